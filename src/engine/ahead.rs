//! A wall clock that is accepted although it is behind.

use std::sync::Arc;

use crate::clock::{BootId, BootMillis, Clock, Reading};
use crate::domain::value::time::{Span, Timestamp};

/// A wall clock that the operator accepts although it stands before the last event. Time cannot run backwards, and must
/// not stand still until that clock catches up, for no grant would end meanwhile (invariant 1): it goes on from the last
/// event, at that clock's pace.
pub(super) struct Ahead {
    clock: Arc<dyn Clock>,
    by: Span,
}

impl Ahead {
    pub(super) fn of(clock: Arc<dyn Clock>, last_event: Timestamp) -> Self {
        let by = last_event.since(clock.read().wall);
        Self { clock, by }
    }
}

impl Clock for Ahead {
    fn read(&self) -> Reading {
        let reading = self.clock.read();
        Reading { wall: reading.wall.plus(self.by), ..reading }
    }
    fn boot(&self) -> BootMillis {
        self.clock.boot()
    }
    fn boot_id(&self) -> Option<BootId> {
        self.clock.boot_id()
    }
}
