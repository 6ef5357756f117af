//! Refusals past the number that is recorded one by one: counted for each caller, and recorded as a count a minute later.

use std::collections::BTreeMap;

use crate::domain::decide::refused::minute_of;
use crate::domain::record::command::Envelope;
use crate::domain::record::event::RefusalsCounted;
use crate::domain::state::State;
use crate::domain::value::ids::Principal;
use crate::domain::value::time::Timestamp;

/// The counts that are not recorded yet.
#[derive(Default)]
pub(super) struct UnrecordedRefusals(BTreeMap<Principal, Unrecorded>);

/// One caller's count, and the minute that it began in.
#[derive(Clone, Copy)]
pub(super) struct Unrecorded {
    pub(super) minute: Timestamp,
    pub(super) count: u32,
}

impl UnrecordedRefusals {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more refusal, if its caller is known.
    pub(super) fn count(&mut self, state: &State, envelope: &Envelope) {
        let Some(principal) = state.organisation().principal(&envelope.caller.identity) else { return };
        self.add(principal, minute_of(envelope.now.stamp), 1);
    }

    /// A count that was to be recorded and was not.
    pub(super) fn put_back(&mut self, counted: &RefusalsCounted) {
        self.add(&counted.caller, counted.minute, counted.count);
    }

    /// Takes the counts of the minutes before one.
    pub(super) fn take(&mut self, before: Timestamp) -> BTreeMap<Principal, Unrecorded> {
        let (over, current) =
            std::mem::take(&mut self.0).into_iter().partition(|(_, unrecorded)| unrecorded.minute < before);
        self.0 = current;
        over
    }

    fn add(&mut self, principal: &Principal, minute: Timestamp, count: u32) {
        let unrecorded = self.0.entry(principal.clone()).or_insert(Unrecorded { minute, count: 0 });
        unrecorded.count = unrecorded.count.saturating_add(count);
    }
}
