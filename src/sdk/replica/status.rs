//! What a replica reports of itself: plain numbers, for whichever metrics a service has.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::view::{Break, Trust};
use crate::check::{Denied, Verdict};

/// Whether anything reaches a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedState {
    /// It has reached no broker yet.
    Connecting,
    /// It follows the broker that `endpoint` names.
    Following,
    /// It follows none, for the reason that `last_error` gives, and goes on trying; what it holds grows old.
    Lost,
    /// Nothing will ever reach it: the runtime that it was made on has ended. Make another one.
    Ended,
}

/// A replica at one moment. All counts are since it was made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReplicaStatus {
    /// Whether anything reaches it.
    pub feed: FeedState,
    /// Whether what it holds is believed.
    pub trust: Trust,
    /// How old that is at most; none before the first sync. Alarm before it reaches `max_staleness`.
    pub age: Option<Duration>,
    /// Older than this it denies.
    pub max_staleness: Duration,
    /// The sequence of the broker's journal that it has reached.
    pub sequence: u64,
    /// Live and waiting grants that it holds.
    pub grants: usize,
    /// Bytes that they and their accounts take.
    pub bytes: usize,
    /// The broker whose feed it follows; none while it has no connection.
    pub endpoint: Option<String>,
    /// Why it has none, or had none last.
    pub last_error: Option<String>,
    /// What destroyed its trust last.
    pub last_break: Option<Break>,
    /// Checks that were allowed.
    pub allowed: u64,
    /// Checks that were denied, except as `STALE`.
    pub denied: u64,
    /// Checks that were denied as `STALE`.
    pub denied_stale: u64,
    /// Snapshots that came into force.
    pub snapshots: u64,
    /// Streams that went on without a snapshot.
    pub resumes: u64,
    /// Streams that went on with a renewed certificate.
    pub renewals: u64,
    /// Streams that were lost or could not be opened.
    pub losses: u64,
    /// How often its trust was destroyed.
    pub breaks: u64,
    /// Changes that came into force.
    pub changes: u64,
}

/// What happened to the feed.
#[derive(Debug, Default)]
pub(super) struct FeedCounters {
    pub(super) snapshots: AtomicU64,
    pub(super) resumes: AtomicU64,
    pub(super) renewals: AtomicU64,
    pub(super) losses: AtomicU64,
    pub(super) breaks: AtomicU64,
    pub(super) changes: AtomicU64,
}

impl FeedCounters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

const LANES: usize = 16;

/// Counts of checks, in lanes: threads that check at once do not wait for one another's cache line.
#[derive(Debug, Default)]
pub(super) struct CheckCounters([Lane; LANES]);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane {
    allowed: AtomicU64,
    denied: AtomicU64,
    stale: AtomicU64,
}

static NEXT_LANE: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static LANE: Cell<Option<usize>> = const { Cell::new(None) };
}

impl CheckCounters {
    pub(super) fn count(&self, verdict: Verdict) {
        let lane = LANE.get().unwrap_or_else(|| {
            let lane = NEXT_LANE.fetch_add(1, Ordering::Relaxed).checked_rem(LANES).unwrap_or_default();
            LANE.set(Some(lane));
            lane
        });
        let Some(lane) = self.0.get(lane) else { return };
        let counter = match verdict {
            Verdict::Allow { .. } => &lane.allowed,
            Verdict::Deny { because: Denied::Stale } => &lane.stale,
            Verdict::Deny { .. } => &lane.denied,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Allowed, denied, denied as stale.
    pub(super) fn sums(&self) -> (u64, u64, u64) {
        let sum = |of: fn(&Lane) -> &AtomicU64| self.0.iter().map(|lane| of(lane).load(Ordering::Relaxed)).sum();
        (sum(|lane| &lane.allowed), sum(|lane| &lane.denied), sum(|lane| &lane.stale))
    }
}
