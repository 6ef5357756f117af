//! What is on record of the broker itself.

use super::State;
use crate::domain::record::event::ClockPair;
use crate::domain::value::ids::JournalId;

impl State {
    /// The clocks as last journaled.
    #[must_use]
    pub fn clock(&self) -> Option<&ClockPair> {
        self.clock.as_ref()
    }

    /// The journal's name since a loss was accepted, if one was.
    #[must_use]
    pub fn journal(&self) -> Option<JournalId> {
        self.journal
    }
}
