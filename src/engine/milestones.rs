//! States of the past, kept as the journal was replayed and as time went by: to answer as of any time without replaying
//! from the first row. A state shares what has not changed with those after it, so that most of them cost little.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::state::State;

/// Events between two of them, at first.
const SPACING: u64 = 65_536;
/// So many are kept; then every other one is dropped, and the next ones lie twice as far apart.
const MOST: usize = 32;

/// States, by the sequence of their last event.
#[derive(Debug)]
pub struct Milestones {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    states: BTreeMap<u64, State>,
    spacing: u64,
    /// What was last asked for: whoever pages through an answer asks for it again.
    asked: Option<State>,
}

impl Default for Milestones {
    fn default() -> Self {
        Self { kept: Mutex::new(Kept { states: BTreeMap::new(), spacing: SPACING, asked: None }) }
    }
}

impl Milestones {
    /// Keeps a state, if the last one that is kept lies far enough back.
    pub(super) fn note(&self, state: &State) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let last = kept.states.last_key_value().map_or(0, |(sequence, _)| *sequence);
        if state.sequence() < last.saturating_add(kept.spacing) {
            return;
        }
        kept.states.insert(state.sequence(), state.clone());
        if kept.states.len() > MOST {
            let mut odd = false;
            kept.states.retain(|_, _| {
                odd = !odd;
                !odd
            });
            kept.spacing = kept.spacing.saturating_mul(2);
        }
    }

    /// Whether a state at this sequence would be kept.
    pub(super) fn wants(&self, sequence: u64) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let last = kept.states.last_key_value().map_or(0, |(sequence, _)| *sequence);
        sequence >= last.saturating_add(kept.spacing)
    }

    /// The last state at or before a sequence; the empty one before all of them.
    pub(super) fn before(&self, sequence: u64) -> State {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let milestone = kept.states.range(..=sequence).next_back().map(|(_, state)| state);
        let asked = kept.asked.as_ref().filter(|state| state.sequence() <= sequence);
        milestone.into_iter().chain(asked).max_by_key(|state| state.sequence()).cloned().unwrap_or_default()
    }

    /// Keeps the state that was asked for, for the next question.
    pub(super) fn asked(&self, state: State) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).asked = Some(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::event::{Actor, BrokerFact, ClockPair, Event, Fact};
    use crate::domain::state::apply::apply;
    use crate::domain::value::time::Timestamp;

    fn at(sequence: u64) -> State {
        let pair = ClockPair { wall: Timestamp::MIN, boot_millis: 0, boot_id: String::new() };
        let mut state = State::default();
        let fact = Fact::Broker(BrokerFact::ClockRead(pair));
        apply(
            &mut state,
            &Event { sequence, at: Timestamp::MIN, actor: Actor::Broker, request: None, from: None, fact },
        );
        state
    }

    #[test]
    fn the_last_one_before_a_sequence_is_found() {
        let milestones = Milestones::default();
        for sequence in [1, SPACING - 1, SPACING, SPACING + 1, 2 * SPACING] {
            milestones.note(&at(sequence));
        }
        for (asked, found) in
            [(0, 0), (SPACING - 1, 0), (SPACING, SPACING), (2 * SPACING - 1, SPACING), (9 * SPACING, 2 * SPACING)]
        {
            assert_eq!(milestones.before(asked).sequence(), found, "{asked}");
        }
        milestones.asked(at(SPACING + 7));
        assert_eq!(milestones.before(SPACING + 7).sequence(), SPACING + 7);
        assert_eq!(milestones.before(SPACING + 6).sequence(), SPACING);
        assert_eq!(milestones.before(2 * SPACING + 1).sequence(), 2 * SPACING);
    }

    #[test]
    fn however_long_the_journal_few_are_kept() {
        let milestones = Milestones::default();
        (1..=1_000).for_each(|number| milestones.note(&at(number * SPACING)));
        let kept = milestones.kept.lock().unwrap();
        assert!(kept.states.len() <= MOST + 1 && kept.states.len() > MOST / 4, "{}", kept.states.len());
        let sequences: Vec<u64> = kept.states.keys().copied().collect();
        let widest = sequences.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(widest <= 2 * kept.spacing, "{widest}");
    }
}
