//! What is asked for as an extension goes with the grant that it would extend, in whatever way that ends: approved later, it would
//! give again what is over, and nobody asked for that.

use std::collections::BTreeSet;

use crate::domain::record::elevation::Cancellation;
use crate::domain::record::event::{ElevationCancelled, ElevationFact, Fact, GrantFact, GrantRevoked};
use crate::domain::record::grant::{Grant, GrantPhase, Revocation};
use crate::domain::state::State;
use crate::domain::value::ids::{ElevationId, GrantId};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Now;

/// The facts, and after each grant that they end the pending extensions of it, cancelled, and what was to start as an
/// extension of one that was taken away or given up, revoked; unless they end those anyway.
#[must_use]
pub(in crate::domain) fn with_extensions(state: &State, facts: Vec<Fact>, now: Now) -> Vec<Fact> {
    let cancelled = |fact: &Fact| {
        if let Fact::Elevation(ElevationFact::Cancelled(fact)) = fact { Some(fact.elevation) } else { None }
    };
    let mut gone: BTreeSet<ElevationId> = facts.iter().filter_map(cancelled).collect();
    let mut over: BTreeSet<GrantId> = facts.iter().filter_map(|fact| ended_by(fact).map(|(grant, _)| grant)).collect();
    let mut all = Vec::with_capacity(facts.len());
    for fact in facts {
        let ended = ended_by(&fact);
        all.push(fact);
        let Some((grant, before_its_time)) = ended else { continue };
        for elevation in extensions(state, grant, now).filter(|id| gone.insert(*id)) {
            let because = Cancellation::ExtendedOver { grant };
            all.push(Fact::Elevation(ElevationFact::Cancelled(ElevationCancelled { elevation, because })));
        }
        let scheduled = before_its_time.then(|| scheduled(state, grant)).into_iter().flatten();
        for later in scheduled.filter(|later| over.insert(later.id)) {
            let (holder, because) =
                (later.holder.clone(), Revocation::NotEligible { reason: Reason::ExtensionInvalid });
            all.push(Fact::Grant(GrantFact::Revoked(GrantRevoked { grant: later.id, holder, because })));
        }
    }
    all
}

/// The grant that is over by a fact, and whether before its time.
fn ended_by(fact: &Fact) -> Option<(GrantId, bool)> {
    let Fact::Grant(fact) = fact else { return None };
    match fact {
        GrantFact::Revoked(fact) => Some((fact.grant, true)),
        GrantFact::Relinquished(fact) => Some((fact.grant, true)),
        GrantFact::Ended(fact) => Some((fact.grant, false)),
        GrantFact::Issued(_) | GrantFact::Started(_) | GrantFact::Shortened(_) | GrantFact::TokenIssued(_) => None,
    }
}

fn extensions(state: &State, grant: GrantId, now: Now) -> impl Iterator<Item = ElevationId> {
    let person = state.grants.get(&grant).map(|grant| &grant.person);
    let pending = person.into_iter().flat_map(|person| state.pending_of(person));
    let extending = pending.filter(move |it| it.extends == Some(grant) && !it.review.deadline.is_over(now.latest));
    extending.map(|elevation| elevation.id)
}

/// No request makes one any more: an extension starts when it is approved.
fn scheduled(state: &State, grant: GrantId) -> impl Iterator<Item = &Grant> {
    let person = state.grants.get(&grant).map(|grant| &grant.person);
    let open = person.into_iter().flat_map(|person| state.open_grants_of(person));
    let extends = move |it: &&Grant| state.elevations.get(&it.elevation).is_some_and(|it| it.extends == Some(grant));
    open.filter(|it| it.phase == GrantPhase::Scheduled).filter(extends)
}
