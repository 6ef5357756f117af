//! The settings of a replica: where the broker is, whom it trusts, who it is, and how old its knowledge may grow.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::Replica;
use super::follower::Follower;
use super::session::{Session, Task};
use super::shared::{Connection, Shared};
use super::status::{CheckCounters, FeedCounters};
use super::telling::Telling;
use super::view::{Trust, View};
use crate::check::Patterns;
use crate::clock::{Clock, SystemClock};
use crate::domain::value::scope::{Pattern, PatternSegment};
use crate::domain::value::time::Span;
use crate::sdk::ClientError;
use crate::sdk::builder::{ClientBuilder, full_address};

/// Pings are sent at least so often.
const LONGEST_BEAT: Duration = Duration::from_secs(1);
/// So many pings fit into `max_staleness`, so that a lost one does no harm.
const BEATS_PER_STALENESS: u32 = 3;
const LEAST_STALENESS: Duration = Duration::from_millis(500);
const MOST_STALENESS: Duration = Duration::from_secs(300);

/// Settings of a [`Replica`]. Endpoints, authority, certificate and key have to be given.
#[must_use = "a builder does nothing until it connects"]
pub struct ReplicaBuilder {
    client: ClientBuilder,
    endpoints: Vec<String>,
    max_staleness: Duration,
    first_sync_within: Duration,
    run_on: Vec<Pattern>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ReplicaBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = (&self.client, &self.endpoints, self.max_staleness, &self.run_on);
        f.debug_tuple("ReplicaBuilder").field(&all).finish()
    }
}

impl Replica {
    /// Begins to build a replica of what the brokers at these addresses know: `https://host:port`, or `host:port`. They
    /// all lead to one broker, and are tried in turn.
    pub fn builder(endpoints: impl IntoIterator<Item = impl Into<String>>) -> ReplicaBuilder {
        ReplicaBuilder::new(endpoints.into_iter().map(Into::into).collect())
    }
}

impl ReplicaBuilder {
    fn new(endpoints: Vec<String>) -> Self {
        Self {
            client: ClientBuilder::new(String::new()),
            endpoints,
            max_staleness: Duration::from_secs(5),
            first_sync_within: Duration::from_secs(30),
            run_on: Vec::new(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The file with the certificate of the authority that vouches for the broker. It is read anew at each connection.
    pub fn authority_file(mut self, path: impl AsRef<Path>) -> Self {
        self.client = self.client.authority_file(path);
        self
    }

    /// The same as PEM text.
    pub fn authority_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.client = self.client.authority_pem(pem);
        self
    }

    /// The files with this service's certificate (its chain, the leaf first) and its key. They are read anew at each
    /// connection.
    pub fn identity_files(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.client = self.client.identity_files(certificate, key);
        self
    }

    /// The same as PEM texts.
    pub fn identity_pem(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client = self.client.identity_pem(certificate, key);
        self
    }

    /// The name that the broker's certificate must carry, if not the host of the address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.client = self.client.server_name(name);
        self
    }

    /// How long connecting to one broker may take; 5 s by default.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.client = self.client.connect_timeout(limit);
        self
    }

    /// How old knowledge may be: from this age on everything is denied as `STALE`. 500 ms to 5 min; 5 s by default. This is
    /// the longest that a revocation can take when nothing else works.
    pub fn max_staleness(mut self, longest: Duration) -> Self {
        self.max_staleness = longest;
        self
    }

    /// On resources of this pattern, which begins with a literal segment, grants that were held when the broker was last
    /// heard run on to their ends, past `max_staleness`. That is for age alone: after anything else that is wrong with the
    /// feed they are denied like all others. **A revocation in that time is not seen.** May be called again for more
    /// patterns; there is none for everything.
    pub fn lets_held_grants_run_on(mut self, pattern: Pattern) -> Self {
        self.run_on.push(pattern);
        self
    }

    /// How long [`ReplicaBuilder::connect`] tries; 30 s by default.
    pub fn first_sync_within(mut self, limit: Duration) -> Self {
        self.first_sync_within = limit;
        self
    }

    /// Another boot clock, for tests.
    #[doc(hidden)]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Connects, and returns when the first sync is in force. The replica then stays connected, through failures of any
    /// length, on the runtime of the caller.
    ///
    /// # Errors
    /// If a setting or a file cannot be used, every broker refuses, or none was heard in time.
    pub async fn connect(self) -> Result<Replica, ClientError> {
        let (max_staleness, run_on) = (self.staleness()?, self.patterns()?);
        for address in &self.endpoints {
            // What is wrong with a setting is reported at once.
            self.client.at(address).dial()?;
        }
        let shared = Arc::new(Shared {
            clock: self.clock,
            view: ArcSwap::from_pointee(View::unsynced()),
            changed: watch::Sender::new(0),
            max_staleness,
            run_on,
            checks: CheckCounters::default(),
            feed: FeedCounters::default(),
            connection: Mutex::new(Connection::default()),
        });
        let brokers = self.endpoints.iter().map(|address| full_address(address)).collect::<BTreeSet<_>>().len();
        let address = self.endpoints.join(" ");
        let session = Session {
            shared: Arc::clone(&shared),
            id: Uuid::new_v4(),
            // What may run on is not cut off by age.
            denies_at: self.run_on.is_empty().then_some(max_staleness),
            follower: Follower::new(brokers),
            client: self.client,
            endpoints: self.endpoints.into(),
            beat: LONGEST_BEAT.min(self.max_staleness.checked_div(BEATS_PER_STALENESS).unwrap_or(LONGEST_BEAT)),
            telling: Telling::default(),
        };
        let mut changed = shared.changed.subscribe();
        let task = Arc::new(Task(tokio::spawn(session.run())));
        let is_live = || shared.view.load().trust == Trust::Live;
        let first = changed.wait_for(|_| is_live() || shared.connection().definite >= brokers);
        // The view says how it ended.
        let _ = timeout(self.first_sync_within, first).await;
        if is_live() {
            return Ok(Replica { shared, session: Some(task) });
        }
        let last_error = shared.connection().last_error.clone();
        Err(last_error.unwrap_or(ClientError::TimedOut { address, after: self.first_sync_within }))
    }

    fn staleness(&self) -> Result<Span, ClientError> {
        if self.endpoints.is_empty() {
            return Err(ClientError::Configuration("no endpoint was given; name at least one broker".to_owned()));
        }
        let in_range = (LEAST_STALENESS..=MOST_STALENESS).contains(&self.max_staleness);
        let span = i64::try_from(self.max_staleness.as_millis()).ok().and_then(|millis| Span::from_millis(millis).ok());
        span.filter(|_| in_range).ok_or_else(|| {
            let given = self.max_staleness.as_millis();
            ClientError::Configuration(format!("max_staleness is {given} ms; 500 ms to 5 min are possible"))
        })
    }

    fn patterns(&self) -> Result<Patterns, ClientError> {
        let mut patterns = Patterns::default();
        for pattern in &self.run_on {
            if !matches!(pattern.segments().first(), Some(PatternSegment::Literal(_))) {
                let text =
                    format!("held grants cannot run on over `{pattern}`: begin the pattern with a literal segment");
                return Err(ClientError::Configuration(text));
            }
            patterns.add(pattern);
        }
        Ok(patterns)
    }
}
