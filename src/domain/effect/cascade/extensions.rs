//! What is asked for as an extension goes with the grant that it would extend, in whatever way that ends: approved later, it would
//! give again what is over, and nobody asked for that.

use std::collections::BTreeSet;

use crate::domain::record::elevation::Cancellation;
use crate::domain::record::event::{ElevationCancelled, ElevationFact, Fact, GrantFact};
use crate::domain::state::State;
use crate::domain::value::ids::{ElevationId, GrantId};
use crate::domain::value::time::Now;

/// The facts, and after each grant that they end the pending extensions of it, cancelled; unless they cancel those anyway.
#[must_use]
pub(in crate::domain) fn with_extensions(state: &State, facts: Vec<Fact>, now: Now) -> Vec<Fact> {
    let cancelled = |fact: &Fact| {
        if let Fact::Elevation(ElevationFact::Cancelled(fact)) = fact { Some(fact.elevation) } else { None }
    };
    let mut gone: BTreeSet<ElevationId> = facts.iter().filter_map(cancelled).collect();
    let mut all = Vec::with_capacity(facts.len());
    for fact in facts {
        let ended = ended_by(&fact);
        all.push(fact);
        let Some(grant) = ended else { continue };
        for elevation in extensions(state, grant, now).filter(|id| gone.insert(*id)) {
            let because = Cancellation::ExtendedOver { grant };
            all.push(Fact::Elevation(ElevationFact::Cancelled(ElevationCancelled { elevation, because })));
        }
    }
    all
}

/// The grant that is over by a fact.
fn ended_by(fact: &Fact) -> Option<GrantId> {
    let Fact::Grant(fact) = fact else { return None };
    match fact {
        GrantFact::Revoked(fact) => Some(fact.grant),
        GrantFact::Relinquished(fact) => Some(fact.grant),
        GrantFact::Ended(fact) => Some(fact.grant),
        GrantFact::Issued(_) | GrantFact::Started(_) | GrantFact::Shortened(_) | GrantFact::TokenIssued(_) => None,
    }
}

fn extensions(state: &State, grant: GrantId, now: Now) -> impl Iterator<Item = ElevationId> {
    let person = state.grants.get(&grant).map(|grant| &grant.person);
    let pending = person.into_iter().flat_map(|person| state.pending_of(person));
    let extending = pending.filter(move |it| it.extends == Some(grant) && !it.review.deadline.is_over(now.latest));
    extending.map(|elevation| elevation.id)
}
