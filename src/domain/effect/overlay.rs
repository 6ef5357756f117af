//! The overlay: a copy of the state on which the parts of one change are decided one after another, each on what those
//! before it left. It is dropped after a refusal; else its facts are taken. The copy shares all that does not change.

use super::cascade::{Touched, consequences};
use crate::domain::record::event::{Actor, Event, Fact};
use crate::domain::state::State;
use crate::domain::state::apply::apply;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;

/// A change that is being decided.
#[derive(Debug)]
pub(in crate::domain) struct Overlay {
    state: State,
    facts: Vec<Fact>,
    actor: Actor,
    now: Now,
}

impl Overlay {
    /// Nothing changed yet.
    pub(in crate::domain) fn new(state: &State, actor: Actor, now: Now) -> Self {
        Self { state: state.clone(), facts: Vec::new(), actor, now }
    }

    /// The state as it is after what was recorded so far.
    pub(in crate::domain) fn state(&self) -> &State {
        &self.state
    }

    /// What the clocks say.
    pub(in crate::domain) fn clocks(&self) -> Now {
        self.now
    }

    /// Records facts: what is decided next sees them.
    pub(in crate::domain) fn record(&mut self, facts: impl IntoIterator<Item = Fact>) {
        for fact in facts {
            let sequence = self.state.sequence().saturating_add(1);
            let event =
                Event { sequence, at: self.now.stamp, actor: self.actor.clone(), request: None, from: None, fact };
            apply(&mut self.state, &event);
            self.facts.push(event.fact);
        }
    }

    /// Tries a change: what it records stays if it is made, and is as if it had never been if it is refused.
    ///
    /// # Errors
    /// Why it is refused.
    pub(in crate::domain) fn attempt(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let (state, recorded) = (self.state.clone(), self.facts.len());
        let tried = change(self);
        if tried.is_err() {
            self.state = state;
            self.facts.truncate(recorded);
        }
        tried
    }

    /// Records what the changes so far mean for all that is open.
    pub(in crate::domain) fn cascade(&mut self, touched: &Touched) {
        let facts = consequences(&self.state.organisation, &self.state, touched, self.now);
        self.record(facts);
    }

    /// All that was recorded, in order.
    pub(in crate::domain) fn into_facts(self) -> Vec<Fact> {
        self.facts
    }

    /// All that was recorded, in order, and the state that it leads to.
    pub(in crate::domain) fn into_parts(self) -> (Vec<Fact>, State) {
        (self.facts, self.state)
    }
}
