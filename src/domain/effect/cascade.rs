//! The one cascade: what a change of people, accounts, policy or time does to all that is open. Commands and ticks call
//! it; a dry run is its output. What takes access away never waits for a missing requirement.

mod approvals;
mod enrolments;
mod extensions;
mod proposals;
mod touched;

use std::collections::BTreeSet;

use approvals::{Locked, locked_approvers, locked_scheduled};
pub use approvals::{struck_out, surplus_struck_out};
pub(in crate::domain) use enrolments::void as void_enrolment;
pub(in crate::domain) use extensions::with_extensions;
pub use touched::Touched;

use crate::domain::record::elevation::{Cancellation, Elevation};
use crate::domain::record::event::{
    ApprovalStruck, ElevationCancelled, ElevationFact, Fact, GrantFact, GrantRevoked, GrantShortened,
};
use crate::domain::record::grant::{Grant, Revocation};
use crate::domain::record::lock::{Lock, Locks};
use crate::domain::record::review::StruckOut;
use crate::domain::rule::identities::identities_stand;
use crate::domain::rule::reviewers::first;
use crate::domain::rule::standing::grant_stands;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{ElevationId, GrantId};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Now;

/// What follows for all that is open, once the organisation is `after`.
#[must_use]
pub fn consequences(after: &Organisation, state: &State, touched: &Touched, now: Now) -> Vec<Fact> {
    let (elevations, grants) = reached(after, state, touched);
    let mut facts = enrolments::consequences(after, state, touched, now);
    facts.extend(proposals::consequences(after, state, now));
    for elevation in elevations.iter().filter_map(|id| state.elevations.get(id)) {
        if elevation.phase.is_pending() && !elevation.review.deadline.is_over(now.latest) {
            for_elevation(after, elevation, now, &mut facts);
        }
    }
    for grant in grants.iter().filter_map(|id| state.grants.get(id)) {
        // A grant whose time has come is recorded as ended, not as revoked.
        if grant.is_open() && !grant.end.is_over(now.latest) {
            facts.extend(for_grant(after, state, grant, now));
        }
    }
    with_extensions(state, facts, now)
}

fn reached(after: &Organisation, state: &State, touched: &Touched) -> (BTreeSet<ElevationId>, BTreeSet<GrantId>) {
    match touched {
        Touched::All => {
            let open = state.grants.values().filter(|grant| grant.is_open()).map(|grant| grant.id);
            (state.pending.iter().copied().collect(), open.collect())
        }
        Touched::Persons(persons) => {
            let mut elevations = BTreeSet::new();
            let mut grants = BTreeSet::new();
            for person in persons {
                elevations.extend(state.pending_of.of(person).copied());
                grants.extend(state.open_grants_of.of(person).copied());
                // All that their accounts and machines asked for and hold, whoever is behind it, because machines
                // change hands.
                let accounts = after.accounts_of(person).chain(state.organisation.accounts_of(person));
                for (account, _) in accounts {
                    elevations.extend(state.pending_by.of(account).copied());
                    grants.extend(state.open_grants_by.of(account).copied());
                }
                for id in state.approved_by.of(person) {
                    elevations.insert(*id);
                    if let Some(crate::domain::record::review::Phase::Approved { outcome: grant, .. }) =
                        state.elevations.get(id).map(|e| &e.phase)
                    {
                        grants.insert(*grant);
                    }
                }
            }
            (elevations, grants)
        }
    }
}

fn for_elevation(after: &Organisation, elevation: &Elevation, now: Now, facts: &mut Vec<Fact>) {
    let cancelled =
        |because| Fact::Elevation(ElevationFact::Cancelled(ElevationCancelled { elevation: elevation.id, because }));
    let entitlement = after.policy().entitlements.get(&elevation.entitlement);
    let Some(entitlement) = entitlement.filter(|entitlement| entitlement.terms_digest == elevation.terms) else {
        facts.push(cancelled(Cancellation::TermsChanged));
        return;
    };
    let rests = after.holder_validity(elevation.held_by(), &entitlement.terms, now.latest);
    if let Err(obstacles) = rests {
        facts.push(cancelled(Cancellation::RequesterNotEligible { reason: first(obstacles).reason }));
        return;
    }
    if let Err(refusal) = identities_stand(after, elevation) {
        facts.push(cancelled(Cancellation::RequesterNotEligible { reason: refusal.reason }));
        return;
    }
    let struck = struck_out(after, elevation, now).into_iter();
    facts.extend(struck.map(|(person, because)| {
        let struck = ApprovalStruck { elevation: elevation.id, person, because, grant: None };
        Fact::Elevation(ElevationFact::ApprovalStruck(struck))
    }));
}

fn for_grant(after: &Organisation, state: &State, grant: &Grant, now: Now) -> Vec<Fact> {
    let rest = match grant_stands(after, state, grant, now) {
        Ok(rest) => rest,
        Err(because) => return vec![revoked(grant, because)],
    };
    let mut facts = surplus_struck_out(after, state, grant, now);
    if rest.until < grant.end {
        facts.push(Fact::Grant(GrantFact::Shortened(GrantShortened {
            grant: grant.id,
            holder: grant.holder.clone(),
            end: rest.until,
            because: rest.because,
        })));
    }
    facts
}

fn revoked(grant: &Grant, because: Revocation) -> Fact {
    Fact::Grant(GrantFact::Revoked(GrantRevoked { grant: grant.id, holder: grant.holder.clone(), because }))
}

/// What a revoking lock ends at once: pending requests that it touches, open grants, and the approvals of those whom it is
/// on, as far as they have not led to a started grant. A scheduled grant that has enough without them goes on.
pub(in crate::domain) fn locked(state: &State, lock: &Lock, now: Now) -> Vec<Fact> {
    // Under this lock alone: what another lock holds back is not ended by this one.
    let mut under = state.organisation.clone();
    under.locks = Locks::default();
    under.locks.put(lock.clone());
    let reason = Reason::Locked;
    let mut facts = enrolments::locked(&under, state, now);
    facts.extend(proposals::locked(&under, state, now));
    for elevation in state.pending.iter().filter_map(|id| state.elevations.get(id)) {
        if elevation.review.deadline.is_over(now.latest) {
            continue;
        }
        if under.lock_on_elevation(elevation).is_some() {
            let because = Cancellation::RequesterNotEligible { reason };
            facts.push(Fact::Elevation(ElevationFact::Cancelled(ElevationCancelled {
                elevation: elevation.id,
                because,
            })));
            continue;
        }
        let struck = locked_approvers(&under, elevation).map(|person| {
            let because = StruckOut { at: now.stamp, reason };
            let struck = ApprovalStruck { elevation: elevation.id, person, because, grant: None };
            Fact::Elevation(ElevationFact::ApprovalStruck(struck))
        });
        facts.extend(struck);
    }
    for grant in state.grants.values().filter(|grant| grant.is_open() && !grant.end.is_over(now.latest)) {
        let on_grant = under.lock_on_grant(grant).or_else(|| under.locks.on_any_of(&grant.scope)).is_some();
        match locked_scheduled(&under, state, grant, now) {
            _ if on_grant => facts.push(revoked(grant, Revocation::NotEligible { reason })),
            Locked::Missing(person) => facts.push(revoked(grant, Revocation::ApprovalVoid { person, reason })),
            Locked::Surplus(struck) => facts.extend(struck),
        }
    }
    with_extensions(state, facts, now)
}
