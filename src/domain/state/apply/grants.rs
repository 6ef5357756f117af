//! What is recorded of grants.

use crate::domain::record::campaign::LastGrant;
use crate::domain::record::event::{Event, Fact, GrantShortened};
use crate::domain::record::grant::{Grant, GrantPhase};
use crate::domain::state::State;
use crate::domain::value::ids::GrantId;

pub(super) fn record(state: &mut State, event: &Event) {
    let at = event.at;
    match &event.fact {
        Fact::GrantIssued(grant) => {
            if let Some(role) = &grant.through {
                state.last_grants.insert((grant.holder.clone(), role.clone()), LastGrant { grant: grant.id, at });
            }
            state.put_grant((**grant).clone());
        }
        Fact::GrantStarted(fact) => change_grant(state, fact.grant, |grant| {
            grant.continuous_since = fact.continuous_since;
            grant.phase = GrantPhase::Active;
        }),
        Fact::GrantShortened(fact) => shorten(state, fact),
        Fact::GrantEnded(fact) => change_grant(state, fact.grant, |grant| grant.phase = GrantPhase::Ended { at }),
        Fact::GrantRelinquished(fact) => change_grant(state, fact.grant, |grant| {
            grant.phase = GrantPhase::Relinquished { at, by: fact.by.clone(), reason: fact.reason.clone() };
        }),
        Fact::GrantRevoked(fact) => change_grant(state, fact.grant, |grant| {
            grant.phase = GrantPhase::Revoked { at, because: fact.because.clone() };
        }),
        _ => {}
    }
}

/// An end never moves later, whatever the journal were to say.
fn shorten(state: &mut State, fact: &GrantShortened) {
    change_grant(state, fact.grant, |grant| {
        if fact.end < grant.end {
            grant.end = fact.end;
            grant.end_because = fact.because.clone();
        }
    });
}

fn change_grant(state: &mut State, id: GrantId, change: impl FnOnce(&mut Grant)) {
    if let Some(mut grant) = state.grants.get(&id).cloned() {
        change(&mut grant);
        state.put_grant(grant);
    }
}
