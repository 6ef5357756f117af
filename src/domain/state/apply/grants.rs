//! What is recorded of grants.

use crate::domain::record::campaign::LastGrant;
use crate::domain::record::event::{GrantFact, GrantShortened};
use crate::domain::record::grant::GrantPhase;
use crate::domain::state::State;
use crate::domain::value::time::Timestamp;

pub(super) fn record(state: &mut State, fact: &GrantFact, at: Timestamp) {
    match fact {
        GrantFact::Issued(grant) => {
            if let Some(role) = &grant.through {
                state.last_grants.insert((grant.holder.clone(), role.clone()), LastGrant { grant: grant.id, at });
            }
            state.put_grant((**grant).clone());
        }
        GrantFact::Started(fact) => state.change_grant(fact.grant, |grant| {
            grant.continuous_since = fact.continuous_since;
            grant.phase = GrantPhase::Active;
        }),
        GrantFact::Shortened(fact) => shorten(state, fact),
        GrantFact::Ended(fact) => state.change_grant(fact.grant, |grant| grant.phase = GrantPhase::Ended { at }),
        GrantFact::Relinquished(fact) => state.change_grant(fact.grant, |grant| {
            grant.phase = GrantPhase::Relinquished { at, by: fact.by.clone(), reason: fact.reason.clone() };
        }),
        GrantFact::Revoked(fact) => state.change_grant(fact.grant, |grant| {
            grant.phase = GrantPhase::Revoked { at, because: fact.because.clone() };
        }),
        // A token only copies what the grant says, so it is only counted.
        GrantFact::TokenIssued(fact) => state.tokens.or_default(fact.grant).add(at),
    }
}

/// An end never moves later, whatever the journal were to say.
fn shorten(state: &mut State, fact: &GrantShortened) {
    state.change_grant(fact.grant, |grant| {
        if fact.end < grant.end {
            grant.end = fact.end;
            grant.end_because = fact.because.clone();
        }
    });
}
