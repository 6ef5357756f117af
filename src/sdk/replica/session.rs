//! The replica's connection: one stream after another, to one broker after another, with pauses that grow and are never
//! the same for two replicas.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Code;
use tracing::Instrument as _;
use uuid::Uuid;

use super::follower::{Follower, Taken};
use super::renewal::Renewal;
use super::shared::Shared;
use super::status::FeedCounters;
use super::stream::{Connected, Stream, connect};
use super::telling::{Loss, Telling};
use super::view::{Break, View};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Span;
use crate::sdk::ClientError;
use crate::sdk::builder::{ClientBuilder, full_address};
use crate::wire::v1;
use crate::wire::v1::replicate_grants_request::Message;
use crate::wire::v1::replicate_grants_response::Message as Heard;
use crate::wire::values::pb_duration;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// After so many pings without an answer the broker is given up.
const UNANSWERED_PINGS: usize = 5;
/// After so many beats without any message too, even before there are pings: making a snapshot takes a while.
const SILENT_BEATS: usize = 15;
/// A stream that answered so often was a good one: pauses begin small again.
const GOOD_ANSWERS: u64 = 3;

/// The session's task, which ends with the replica.
pub(super) struct Task(pub(super) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    /// By which brokers know it again.
    pub(super) id: Uuid,
    /// The age at which it denies everything; none if something runs on.
    pub(super) denies_at: Option<Span>,
    pub(super) follower: Follower,
    pub(super) client: ClientBuilder,
    pub(super) endpoints: VecDeque<String>,
    /// How often a ping is sent.
    pub(super) beat: Duration,
    pub(super) telling: Telling,
}

/// Why a stream is over.
enum Ended {
    /// In good order: what is held stays.
    Closed,
    /// What is held stays, and grows old.
    Lost(ClientError),
    /// What is held is not believed any more.
    Broken(Break, Option<ClientError>),
}

impl From<ClientError> for Ended {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Refused(refused) if takes_away(refused.code, refused.reason) => {
                Self::Broken(Break::Refused, Some(error))
            }
            _ => Self::Lost(error),
        }
    }
}

/// Whether the broker said that this account has no business here. RESYNC is an ordinary end, and a certificate that has ended
/// says nothing of what was held while it stood: another one goes on from there.
fn takes_away(code: Code, reason: Option<Reason>) -> bool {
    matches!(code, Code::PermissionDenied | Code::Unauthenticated)
        && !matches!(reason, Some(Reason::Resync | Reason::CertificateExpired))
}

impl Session {
    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        let (mut pauses, mut tried) = (pauses(), 0_usize);
        loop {
            let Some(address) = self.endpoints.front().map(|address| full_address(address)) else { return };
            let mut answers = 0;
            let span = tracing::info_span!("feed", broker = address);
            let ended = self.follow(&address, &mut answers).instrument(span).await;
            if answers >= GOOD_ANSWERS {
                (pauses, tried) = (self::pauses(), 0);
            }
            let asked = self.ended(ended, &address);
            self.endpoints.rotate_left(1);
            tried = tried.saturating_add(1);
            // The next one may be well: pauses grow only from round to round.
            let all_tried = tried.checked_rem(self.endpoints.len()) == Some(0);
            let pause = if all_tried { pauses.next().unwrap_or(LONGEST_PAUSE) } else { FIRST_PAUSE };
            tokio::time::sleep(pause.max(asked)).await;
        }
    }

    /// Notes the end, and gives the pause that the broker asked for.
    fn ended(&mut self, ended: Ended, address: &str) -> Duration {
        let was_closed = matches!(ended, Ended::Closed);
        let unreachable = |cause: String| ClientError::Unreachable { address: address.to_owned(), cause };
        let (broken, error) = match ended {
            Ended::Closed => (None, unreachable("it closed the feed".to_owned())),
            Ended::Lost(error) => (None, error),
            Ended::Broken(why, Some(error)) => (Some(why), error),
            Ended::Broken(why, None) => (Some(why), unreachable(format!("its feed cannot be believed: {why}"))),
        };
        FeedCounters::add(&self.shared.feed.losses);
        let loss = match broken {
            Some(why) => Loss::Broken(why),
            None if error.reason() == Some(Reason::Resync) => Loss::Gap,
            None if was_closed => Loss::Closed,
            None => Loss::Lost,
        };
        let asked = error.asked_pause();
        self.telling.lost(address, loss, &error, self.shared.clock.boot());
        {
            let mut connection = self.shared.connection();
            connection.endpoint = None;
            connection.definite = if is_definite(&error) { connection.definite.saturating_add(1) } else { 0 };
            connection.last_break = broken.or(connection.last_break);
            connection.last_error = Some(error);
        }
        let view = match loss {
            Loss::Broken(why) => {
                FeedCounters::add(&self.shared.feed.breaks);
                self.follower.forget();
                View::broken(why, &self.shared.view.load())
            }
            Loss::Gap => View::after_a_gap(&self.shared.view.load()),
            Loss::Closed | Loss::Lost => {
                // Whoever waits for the first sync looks at the error.
                self.shared.changed.send_modify(|count| *count = count.wrapping_add(1));
                return asked;
            }
        };
        self.shared.publish(view);
        asked
    }

    async fn follow(&mut self, address: &str, answers: &mut u64) -> Ended {
        match self.try_follow(address, answers).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn try_follow(&mut self, address: &str, answers: &mut u64) -> Result<std::convert::Infallible, Ended> {
        let connected = connect(self.client.at(address)).await?;
        let hello = self.hello(address);
        let mut stream = Stream::open(connected, address, hello, self.client.connect_timeout).await?;
        let mut renewal = Renewal::default();
        let mut beats = interval(self.beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = stream.incoming.message() => {
                    let failed = |status| ClientError::from_status(&status, address, self.silence());
                    let message = message.map_err(failed)?.ok_or(Ended::Closed)?;
                    stream.silent_beats = 0;
                    let taken = self.follower.take(message).map_err(|why| Ended::Broken(why, None))?;
                    self.taken(taken, &mut stream);
                    *answers = stream.answers;
                }
                _ = beats.tick() => {
                    self.beat(&mut stream)?;
                    renewal.look(&self.client, &stream, self.shared.clock.boot());
                }
                connected = renewal.connected() => self.renewed(connected, &mut stream).await,
            }
        }
    }

    /// Takes the new connection's stream in place of the former, or stays with that one.
    async fn renewed(&mut self, connected: Result<Connected, ClientError>, stream: &mut Stream) {
        let renewed = match connected {
            Ok(connected) => self.beside(connected, stream).await,
            Err(error) => Err(error),
        };
        match renewed {
            Ok(()) => tracing::info!(broker = stream.address, "a renewed certificate was taken up"),
            Err(error) => {
                let broker = &stream.address;
                tracing::warn!(broker, %error, "a renewed certificate cannot be used yet; the former goes on to its end");
                self.shared.connection().last_error = Some(error);
            }
        }
    }

    /// Opens a stream beside the former one, of which nothing is read meanwhile, so that both stand at the same change.
    async fn beside(&mut self, connected: Connected, stream: &mut Stream) -> Result<(), ClientError> {
        let address = stream.address.clone();
        let no_time = ClientError::TimedOut { address: address.clone(), after: self.beat };
        let other = |what: &str| ClientError::Confused { address: address.clone(), what: what.to_owned() };
        let Some(hello) = self.follower.hello_beside() else { return Err(other("it has sent nothing to go on from")) };
        let opened = async {
            let mut new = Stream::open(connected, &address, self.signed(hello), self.beat).await?;
            let first = new.incoming.message().await;
            let first = first.map_err(|status| ClientError::from_status(&status, &address, self.beat))?;
            Ok((new, first))
        };
        let (mut new, first) = timeout(self.beat, opened).await.map_err(|_| no_time)??;
        let Some(Heard::Start(start)) = first.and_then(|first| first.message) else {
            return Err(other("a feed begins with its start"));
        };
        let taken = self.follower.start_beside(&start);
        let taken = taken.ok_or_else(|| other("with this certificate the feed does not go on from where it is"))?;
        new.answers = stream.answers;
        *stream = new;
        FeedCounters::add(&self.shared.feed.renewals);
        self.taken(taken, stream);
        Ok(())
    }

    /// How long nothing may come.
    fn silence(&self) -> Duration {
        self.beat.saturating_mul(u32::try_from(SILENT_BEATS).unwrap_or(u32::MAX))
    }

    fn hello(&mut self, address: &str) -> v1::ReplicaHello {
        let hello = self.follower.hello(address);
        self.signed(hello)
    }

    /// Who says it, and what it needs.
    fn signed(&self, hello: v1::ReplicaHello) -> v1::ReplicaHello {
        let (replica_id, max_staleness) = (self.id.as_bytes().to_vec(), self.denies_at.map(pb_duration));
        v1::ReplicaHello { replica_id, max_staleness, ..hello }
    }

    fn taken(&mut self, taken: Taken, stream: &mut Stream) {
        self.note(&taken, stream);
        if let Some(view) = taken.view {
            self.shared.publish(view);
        }
        if let Some(number) = taken.applied {
            // It is in force by now.
            stream.say(Message::Applied(v1::ReplicaApplied { number }));
        }
        if taken.wants_ping {
            self.ping(stream);
        }
    }

    /// Before it is published, so that whoever is woken finds it noted.
    fn note(&mut self, taken: &Taken, stream: &mut Stream) {
        let feed = &self.shared.feed;
        if taken.applied.is_some() {
            FeedCounters::add(if taken.synced { &feed.snapshots } else { &feed.changes });
        }
        if taken.resumed {
            FeedCounters::add(&feed.resumes);
        }
        if taken.answered {
            stream.answers = stream.answers.saturating_add(1);
            if stream.answers == 1 {
                self.telling.back(&stream.address, self.shared.clock.boot());
                let mut connection = self.shared.connection();
                connection.endpoint = Some(stream.address.clone());
                connection.definite = 0;
            }
        }
    }

    fn beat(&mut self, stream: &mut Stream) -> Result<(), Ended> {
        stream.silent_beats = stream.silent_beats.saturating_add(1);
        if self.follower.unanswered() >= UNANSWERED_PINGS || stream.silent_beats > SILENT_BEATS {
            return Err(Ended::Lost(ClientError::TimedOut { address: stream.address.clone(), after: self.silence() }));
        }
        self.ping(stream);
        Ok(())
    }

    fn ping(&mut self, stream: &Stream) {
        // Before it is on its way: the age may be too great, never too small.
        let boot = self.shared.clock.boot();
        if let Some(ping) = self.follower.ping(Uuid::new_v4(), boot) {
            stream.say(Message::Ping(ping));
        }
    }
}

fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_jitter().without_max_times();
    pauses.with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE).build()
}

/// Whether trying again cannot help.
fn is_definite(error: &ClientError) -> bool {
    match error {
        ClientError::Refused(refused) => {
            takes_away(refused.code, refused.reason) || refused.code == Code::Unimplemented
        }
        ClientError::NotAuthenticated { .. } | ClientError::Configuration(_) => true,
        _ => false,
    }
}
