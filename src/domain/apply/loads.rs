//! What is recorded of loads. What an approved one brings stands in the events that follow it.

use crate::domain::elevation::Phase;
use crate::domain::event::{Event, Fact, LoadDecision};
use crate::domain::ids::LoadId;
use crate::domain::load::Load;
use crate::domain::state::State;

pub(super) fn record(state: &mut State, event: &Event) {
    let at = event.at;
    match &event.fact {
        Fact::LoadProposed(load) => state.put_load((**load).clone()),
        Fact::LoadTextAdded(fact) => state.load_texts.or_default(fact.load).push(fact.text.as_str().into()),
        Fact::LoadApproved(fact) => decided(state, fact, Phase::Approved { at, outcome: () }),
        Fact::LoadDenied(fact) => decided(state, fact, Phase::Denied { at }),
        Fact::LoadWithdrawn(fact) => change(state, fact.load, |load| {
            load.phase = Phase::Withdrawn { at, by: fact.by.clone(), reason: fact.reason.clone() };
        }),
        Fact::LoadExpired(fact) => change(state, fact.load, |load| load.phase = Phase::Expired { at }),
        Fact::LoadCancelled(fact) => change(state, fact.load, |load| {
            load.phase = Phase::Cancelled { at, because: fact.because.clone() };
        }),
        Fact::AuthorsWait(fact) => {
            state.organisation.put_waits((&fact.persons, &fact.entitlements), fact.until, at);
        }
        _ => {}
    }
}

fn decided(state: &mut State, fact: &LoadDecision, phase: Phase<(), crate::domain::load::LoadCancellation>) {
    change(state, fact.load, |load| {
        load.review.decisions.push(fact.decision.clone());
        load.phase = phase;
    });
}

fn change(state: &mut State, id: LoadId, change: impl FnOnce(&mut Load)) {
    if let Some(mut load) = state.loads.get(&id).cloned() {
        change(&mut load);
        state.put_load(load);
    }
}
