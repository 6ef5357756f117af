//! A live copy, in the service's own process, of everything that it may check (design.md 9).
//!
//! A check of a replica is a look-up in memory: it waits for nothing, takes no lock across anything, allocates nothing, and
//! is the same function as the broker's. A revocation arrives as a change, within milliseconds. When the broker cannot be
//! heard, knowledge ages; past `max_staleness` everything is denied (known failures F3 and F6). When what is heard does not fit
//! together, everything is denied at once, until all of it has been received anew (known failures F4 and I11).
//!
//! ```no_run
//! # async fn guard() -> Result<(), Box<dyn std::error::Error>> {
//! use countersign::sdk::Replica;
//!
//! let replica = Replica::builder(["https://broker.northwind.example:7443"])
//!     .authority_file("/etc/countersign/authority.pem")
//!     .identity_files("/etc/orders-api/tls.pem", "/etc/orders-api/tls.key")
//!     .connect()
//!     .await?;
//! let checked = replica.check("ana", "db.write", "prod/eu/db/orders/primary");
//! if !checked.is_allowed() {
//!     // Refuse the work, and say why: `checked.reason()`.
//! }
//! # Ok(()) }
//! ```
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod age;
mod body;
mod builder;
mod checked;
mod follower;
mod guard;
#[cfg(test)]
mod held_tests;
mod layer;
mod peer;
mod session;
mod status;
mod view;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

pub use body::{BodyCut, CheckedBody};
pub use builder::ReplicaBuilder;
pub use checked::{Checked, CheckedBatch};
pub use guard::Cut;
pub use layer::{Act, CheckLayer, CheckService, PassedCheck, REASON_HEADER};
pub use peer::{NoPeer, VerifiedPeer};
pub use status::ReplicaStatus;
pub use view::{Break, Trust};

use crate::check::{Allowed, Denied, Patterns, Query, Verdict};
use crate::clock::{BootMillis, Clock};
use crate::domain::value::ids::AccountId;
use crate::domain::value::time::{Span, Timestamp};
use age::is_stale;
use checked::duration;
use status::{CheckCounters, FeedCounters};
use view::View;

/// A replica. Cheap to clone; all clones are one. When the last is dropped, its connection ends.
#[derive(Clone)]
pub struct Replica {
    shared: Arc<Shared>,
    _session: Arc<session::Task>,
}

/// What the checks and the session share.
struct Shared {
    clock: Arc<dyn Clock>,
    view: ArcSwap<View>,
    /// Counts the views, so that whoever waits for one is woken.
    changed: watch::Sender<u64>,
    max_staleness: Span,
    run_on: Patterns,
    checks: CheckCounters,
    feed: FeedCounters,
    connection: Mutex<Connection>,
}

/// For people, off the check path.
#[derive(Default)]
struct Connection {
    endpoint: Option<String>,
    last_error: Option<crate::sdk::ClientError>,
    last_break: Option<Break>,
    /// How many attempts in a row ended in an error that no repetition mends.
    definite: usize,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.shared.view.load();
        f.debug_struct("Replica").field("trust", &view.trust).field("sequence", &view.sequence).finish_non_exhaustive()
    }
}

impl Replica {
    /// Begins to build a replica of what the brokers at these addresses know: `https://host:port`, or `host:port`. They are
    /// of one broker, tried in turn.
    pub fn builder(endpoints: impl IntoIterator<Item = impl Into<String>>) -> ReplicaBuilder {
        ReplicaBuilder::new(endpoints.into_iter().map(Into::into).collect())
    }

    /// Whether `subject` (an account, or one of its identities) may do `action` on `resource` now. Memory only: it waits for
    /// nothing, allocates nothing, and never fails; what cannot be decided is a deny.
    pub fn check(&self, subject: &str, action: &str, resource: &str) -> Checked {
        self.check_at_least(0, subject, action, resource)
    }

    /// The same, at a sequence of the broker's journal or a later one: a replica that has not reached it denies as `STALE`.
    /// With the sequence of a revocation's answer this is "not before you know of it"; [`Replica::reached`] waits for it.
    pub fn check_at_least(&self, sequence: u64, subject: &str, action: &str, resource: &str) -> Checked {
        let checked = self.shared.look(sequence, Query { subject, action, resource });
        self.shared.checks.count(checked.verdict);
        checked
    }

    /// Answers each question as [`Replica::check`] does, only sooner, and all at one moment. What `answers` had before is
    /// gone; it allocates nothing if there is room in it.
    pub fn check_batch(&self, queries: &[Query<'_>], answers: &mut CheckedBatch) {
        self.shared.look_at_all(queries, answers);
        answers.verdicts.iter().for_each(|verdict| self.shared.checks.count(*verdict));
    }

    /// Waits until everything up to a sequence of the broker's journal is in force here.
    ///
    /// # Errors
    /// If it is not within that time.
    pub async fn reached(&self, sequence: u64, within: Duration) -> Result<(), NotReached> {
        let mut changed = self.shared.changed.subscribe();
        let reached = changed.wait_for(|_| {
            let view = self.shared.view.load();
            view.trust == Trust::Live && view.sequence >= sequence
        });
        match tokio::time::timeout(within, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(NotReached { sequence, at: self.shared.view.load().sequence }),
        }
    }

    /// Whom this identity names, by what is known here.
    pub(super) fn account_of(&self, identity: &str) -> Option<AccountId> {
        self.shared.view.load().index.caller(identity)?.account().parse().ok()
    }

    /// How it is doing: for metrics and alarms.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        self.shared.status()
    }
}

/// The replica has not come as far as was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the replica is at sequence {at} and not yet at {sequence}; ask again, and until then take it as a deny")]
pub struct NotReached {
    /// What was waited for.
    pub sequence: u64,
    /// Where it is.
    pub at: u64,
}

const STALE: Verdict = Verdict::Deny { because: Denied::Stale };
/// The own account cannot be used, so nothing may be asked.
const NO_CALLER: Verdict = Verdict::Deny { because: Denied::OutOfAudience };

impl Shared {
    /// One check that is not counted.
    fn look(&self, at_least: u64, query: Query<'_>) -> Checked {
        let view = self.view.load();
        // After the view, so that no moment between the two makes it younger than it is.
        let boot = self.clock.boot();
        self.look_in(&view, boot, at_least, query)
    }

    fn look_in(&self, view: &View, boot: BootMillis, at_least: u64, query: Query<'_>) -> Checked {
        let (sequence, age, now) = view.at(boot);
        let verdict = if view.trust != Trust::Live || sequence < at_least {
            STALE
        } else if is_stale(age, self.max_staleness) {
            self.run_on(view, query, now)
        } else {
            view.caller.as_ref().map_or(NO_CALLER, |caller| view.index.check(caller, query, now))
        };
        Checked { verdict, sequence, age, now }
    }

    fn look_at_all(&self, queries: &[Query<'_>], answers: &mut CheckedBatch) {
        let view = self.view.load();
        let boot = self.clock.boot();
        answers.verdicts.clear();
        (answers.sequence, answers.age, answers.now) = view.at(boot);
        match &view.caller {
            Some(caller) if view.trust == Trust::Live && !is_stale(answers.age, self.max_staleness) => {
                view.index.check_batch(caller, queries, answers.now, &mut answers.verdicts);
            }
            _ => {
                let one = |query: &Query<'_>| self.look_in(&view, boot, 0, *query).verdict;
                answers.verdicts.extend(queries.iter().map(one));
            }
        }
    }

    /// What was held and may run on goes on to its end. Nothing else is known any more.
    fn run_on(&self, view: &View, query: Query<'_>, now: Timestamp) -> Verdict {
        let may_run_on = view.is_unbroken && self.run_on.cover(query.resource);
        let caller = view.caller.as_ref().filter(|_| may_run_on);
        match caller.map(|caller| view.index.check(caller, query, now)) {
            Some(held @ Verdict::Allow { because: Allowed::Granted { .. }, .. }) => held,
            _ => STALE,
        }
    }

    /// From now on checks read this.
    fn publish(&self, view: View) {
        self.view.store(Arc::new(view));
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn status(&self) -> ReplicaStatus {
        let view = self.view.load();
        let (allowed, denied, denied_stale) = self.checks.sums();
        let statistics = view.index.statistics();
        let connection = self.connection();
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        ReplicaStatus {
            trust: view.trust,
            age: view.beat.map(|beat| duration(beat.age(self.clock.boot()))),
            max_staleness: duration(self.max_staleness),
            sequence: view.sequence,
            grants: statistics.grants,
            bytes: statistics.bytes,
            endpoint: connection.endpoint.clone(),
            last_error: connection.last_error.as_ref().map(ToString::to_string),
            last_break: connection.last_break,
            allowed,
            denied,
            denied_stale,
            snapshots: of(&self.feed.snapshots),
            resumes: of(&self.feed.resumes),
            losses: of(&self.feed.losses),
            breaks: of(&self.feed.breaks),
            changes: of(&self.feed.changes),
        }
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
