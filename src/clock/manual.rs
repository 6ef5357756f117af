//! Clocks that a test sets. Shared by any number of threads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BootId, BootMillis, Clock, Reading};
use crate::domain::value::time::{Span, Timestamp};

/// A wall clock and a boot clock that move only when told to. Clones are the same clocks.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Hands>>);

#[derive(Debug)]
struct Hands {
    reading: Reading,
    boot_id: Option<BootId>,
}

impl ManualClock {
    /// A machine that started a moment ago, at `wall`.
    #[must_use]
    pub fn new(wall: Timestamp) -> Self {
        let reading = Reading { wall, boot: BootMillis::new(1_000) };
        Self(Arc::new(Mutex::new(Hands { reading, boot_id: boot_id(1) })))
    }

    /// Time passes on both clocks.
    pub fn advance(&self, span: Span) {
        self.drift(span, span);
    }

    /// The machine sleeps: wall clock and boot clock go on, nothing else does.
    pub fn suspend(&self, span: Span) {
        self.drift(span, span);
    }

    /// Time passes, and the clocks do not agree how much.
    pub fn drift(&self, boot: Span, wall: Span) {
        let mut hands = self.hands();
        hands.reading.boot = hands.reading.boot.plus(boot);
        hands.reading.wall = hands.reading.wall.plus(wall);
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, wall: Timestamp) {
        self.hands().reading.wall = wall;
    }

    /// Somebody sets the wall clock forward, or back if below zero.
    pub fn step_wall(&self, millis: i64) {
        let by = Span::from_millis(millis.saturating_abs()).unwrap_or(Span::MAX);
        let mut hands = self.hands();
        let wall = hands.reading.wall;
        hands.reading.wall = if millis < 0 { wall.minus(by) } else { wall.plus(by) };
    }

    /// The machine starts anew: another boot id, the boot clock from zero. The wall clock stays.
    pub fn reboot(&self, number: u32) {
        let mut hands = self.hands();
        hands.reading.boot = BootMillis::default();
        hands.boot_id = boot_id(number);
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn read(&self) -> Reading {
        self.hands().reading
    }
    fn boot(&self) -> BootMillis {
        self.hands().reading.boot
    }
    fn boot_id(&self) -> Option<BootId> {
        self.hands().boot_id.clone()
    }
}

fn boot_id(number: u32) -> Option<BootId> {
    format!("00000000-0000-4000-8000-0000{number:08x}").parse().ok()
}
