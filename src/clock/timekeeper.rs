//! What time it is, for a decision and for a check.
//!
//! The check path must not lock, and must not read two clocks. So what it needs is kept ready as two numbers: `latest =
//! max(boot clock + offset, floor)`. The offset is max(wall, projected) less the boot clock, put right every
//! [`REFRESH_EVERY`] by a thread that is not the writer's (a writer stuck in fsync must not stop the clock); the floor
//! is the stamp of the last event, or what was shown before the offset was lowered, if that is later.
//!
//! `latest` never runs backwards, with two exceptions. A leap of the wall clock by more than the suspect distance is
//! believed while it lasts, which ends things early, and forgotten when it is taken back; else one wrong second would
//! deny everything for ever (known failure C4). And an operator may [`accept`](Timekeeper::accept) the wall clock.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Anchor, BootMillis, Clock, ClockRecord};
use crate::domain::value::time::{Now, SUSPECT_AFTER, Timestamp};

/// How often the offset of the check path is put right.
pub const REFRESH_EVERY: Duration = Duration::from_millis(100);

/// The offset may stay too high by this much: lowering it raises `latest` by [`MARGIN_MILLIS`], so it is not done for
/// each millisecond of a slew.
const SLACK_MILLIS: i64 = 1_000;
/// How far past the present `latest` the floor is raised before the offset is lowered, so that no check with the old
/// offset goes by a later time than one with the new offset.
const MARGIN_MILLIS: i64 = 100;

/// Makes the time of a decision and the time of a check out of one clock.
pub struct Timekeeper {
    clock: Arc<dyn Clock>,
    published: Published,
    state: Mutex<State>,
    behind_at_start: bool,
}

struct State {
    anchor: Anchor,
    /// The offset without leaps: it rises at once, and is lowered only under a raised floor.
    steady_millis: i64,
    last_event: Timestamp,
}

/// The two numbers of the check path, side by side.
struct Published {
    offset_millis: AtomicI64,
    floor_millis: AtomicI64,
}

impl Timekeeper {
    /// Starts from the journal: its last clock record and the stamp of its last event. Within one boot the record is
    /// believed, else the wall clock; time begins no earlier than the last event.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, record: Option<&ClockRecord>, last_event: Timestamp) -> Self {
        let reading = clock.read();
        let boot_id = clock.boot_id();
        let anchor = record
            .and_then(|record| Anchor::from_journal(record, reading, boot_id.as_ref()))
            .unwrap_or_else(|| Anchor::at(reading))
            .not_before(last_event, reading.boot);
        let keeper = Self {
            clock,
            published: Published { offset_millis: AtomicI64::new(i64::MIN), floor_millis: AtomicI64::new(0) },
            state: Mutex::new(State { anchor, steady_millis: i64::MIN, last_event }),
            behind_at_start: last_event.since(reading.wall) > SUSPECT_AFTER,
        };
        keeper.refresh();
        keeper
    }

    /// Whether the wall clock at start was before the last event, by more than clocks may differ: then every live grant
    /// is revoked (design.md 5).
    #[must_use]
    pub fn was_behind_at_start(&self) -> bool {
        self.behind_at_start
    }

    /// The time of a decision. `last_event` is the stamp of the newest event in the journal.
    pub fn now(&self, last_event: Timestamp) -> Now {
        let mut state = self.state();
        state.last_event = state.last_event.max(last_event);
        self.advance(&mut state)
    }

    /// The time of a check: one read of the boot clock, two loads, no lock, no allocation.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        // The clock first: whoever still loads an old offset has read the clock before it was replaced.
        self.published.latest(self.clock.boot())
    }

    /// The boot clock: for how long something has been so in this process.
    #[must_use]
    pub fn boot(&self) -> BootMillis {
        self.clock.boot()
    }

    /// Puts the time of a check right. [`Refresher`] calls it.
    pub fn refresh(&self) {
        self.advance(&mut self.state());
    }

    /// The operator says that the wall clock is right (`serve --accept-clock`; the caller journals it).
    pub fn accept(&self) -> Now {
        let mut state = self.state();
        state.anchor = Anchor::at(self.clock.read());
        state.steady_millis = i64::MIN;
        self.published.floor_millis.store(state.last_event.millis(), Ordering::Release);
        self.advance(&mut state)
    }

    /// What to journal at start and each minute while anything is live.
    #[must_use]
    pub fn record(&self) -> ClockRecord {
        let state = self.state();
        let boot = self.clock.boot();
        ClockRecord { wall: state.anchor.project(boot), boot, boot_id: self.clock.boot_id() }
    }

    /// Starts the thread that calls [`refresh`](Self::refresh) every [`REFRESH_EVERY`], until what is returned is
    /// dropped.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn spawn_refresher(self: &Arc<Self>) -> std::io::Result<Refresher> {
        let keeper = Arc::downgrade(self);
        let (stop, stopped) = sync_channel::<()>(0);
        let run = move || {
            while stopped.recv_timeout(REFRESH_EVERY) == Err(RecvTimeoutError::Timeout) {
                let Some(keeper) = keeper.upgrade() else { return };
                keeper.refresh();
            }
        };
        let thread = std::thread::Builder::new().name("clock".to_owned()).spawn(run)?;
        Ok(Refresher { stop: Some(stop), thread: Some(thread) })
    }

    /// Reads the clocks, moves the anchor, publishes. Under the lock, so that readings are taken in order.
    fn advance(&self, state: &mut State) -> Now {
        let reading = self.clock.read();
        state.anchor = state.anchor.slewed(reading);
        let projected = state.anchor.project(reading.boot);
        let mut now = Now::new(reading.wall, projected, state.last_event);
        let leap = reading.wall.since(projected) > SUSPECT_AFTER;
        let steady = if leap { projected } else { reading.wall.max(projected) };
        self.settle(state, offset(steady, reading.boot));
        let shown =
            if leap { state.steady_millis.max(offset(reading.wall, reading.boot)) } else { state.steady_millis };
        self.published.raise_floor(state.last_event.millis());
        self.published.offset_millis.store(shown, Ordering::Release);
        // The writer never decides by an earlier time than a check was answered by.
        now.latest = now.latest.max(self.published.latest(reading.boot));
        now
    }

    /// Brings the steady offset to `wanted`: up at once, down only where no reader can notice.
    fn settle(&self, state: &mut State, wanted: i64) {
        let old = state.steady_millis;
        if wanted >= old {
            state.steady_millis = wanted;
        } else if old.saturating_sub(wanted) > SLACK_MILLIS {
            let floor = self.clock.boot().millis().saturating_add(old).saturating_add(MARGIN_MILLIS);
            self.published.raise_floor(floor);
            state.steady_millis = wanted;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not stop the clock; the state is whole after every line above.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Published {
    fn latest(&self, boot: BootMillis) -> Timestamp {
        let offset = self.offset_millis.load(Ordering::Acquire);
        let floor = self.floor_millis.load(Ordering::Acquire);
        // A time past the year 9999 counts as the latest instant, at which everything is over.
        Timestamp::from_millis(boot.millis().saturating_add(offset).max(floor)).unwrap_or(Timestamp::MAX)
    }

    fn raise_floor(&self, millis: i64) {
        self.floor_millis.fetch_max(millis, Ordering::AcqRel);
    }
}

/// Keeps the time of a check right until it is dropped.
pub struct Refresher {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Refresher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, nothing is to be done: the offset that it left is still added to the boot clock.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Timekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timekeeper").field("latest", &self.latest()).finish_non_exhaustive()
    }
}
impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher").finish_non_exhaustive()
    }
}

fn offset(time: Timestamp, boot: BootMillis) -> i64 {
    time.millis().saturating_sub(boot.millis())
}
