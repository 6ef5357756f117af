//! What the checks of a replica and its session share, and how a check is answered from it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::age::is_stale;
use super::checked::{Checked, CheckedBatch, duration};
use super::status::{CheckCounters, FeedCounters, FeedState, ReplicaStatus};
use super::view::{Break, Trust, View};
use crate::check::{Allowed, Denied, Patterns, Query, Verdict};
use crate::clock::{BootMillis, Clock};
use crate::domain::value::time::{Span, Timestamp};
use crate::sdk::error::ClientError;

/// What the checks and the session share.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) view: ArcSwap<View>,
    /// Counts the views, so that whoever waits for one is woken.
    pub(super) changed: watch::Sender<u64>,
    pub(super) max_staleness: Span,
    pub(super) run_on: Patterns,
    pub(super) checks: CheckCounters,
    pub(super) feed: FeedCounters,
    pub(super) connection: Mutex<Connection>,
}

/// For people, off the check path.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) endpoint: Option<String>,
    pub(super) last_error: Option<ClientError>,
    pub(super) last_break: Option<Break>,
    /// How many attempts in a row ended in an error that no repetition mends.
    pub(super) definite: usize,
}

const STALE: Verdict = Verdict::Deny { because: Denied::Stale };
/// The own account cannot be used, so nothing may be asked.
const NO_CALLER: Verdict = Verdict::Deny { because: Denied::OutOfAudience };

impl Shared {
    /// One check that is not counted.
    pub(super) fn look(&self, at_least: u64, query: Query<'_>) -> Checked {
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

    pub(super) fn look_at_all(&self, queries: &[Query<'_>], answers: &mut CheckedBatch) {
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
    pub(super) fn publish(&self, view: View) {
        self.view.store(Arc::new(view));
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn status(&self) -> ReplicaStatus {
        let view = self.view.load();
        let (allowed, denied, denied_stale) = self.checks.sums();
        let statistics = view.index.statistics();
        let connection = self.connection();
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let feed = match (&connection.endpoint, &connection.last_error) {
            (Some(_), _) => FeedState::Following,
            (None, Some(_)) => FeedState::Lost,
            (None, None) => FeedState::Connecting,
        };
        ReplicaStatus {
            feed,
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
            renewals: of(&self.feed.renewals),
            losses: of(&self.feed.losses),
            breaks: of(&self.feed.breaks),
            changes: of(&self.feed.changes),
        }
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
