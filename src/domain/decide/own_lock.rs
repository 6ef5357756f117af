//! Whoever is behind something decides by no lock when it begins: they do not lift what holds it back, and it does not begin
//! by the end that they gave to a lock of their own.

use std::collections::BTreeSet;

use crate::domain::directory::Account;
use crate::domain::record::elevation::Cancellation;
use crate::domain::record::enrolment::EnrolmentCancellation;
use crate::domain::record::event::{
    ElevationCancelled, ElevationFact, EnrolmentCancelled, EnrolmentFact, Fact, GrantFact, GrantRevoked,
};
use crate::domain::record::grant::Revocation;
use crate::domain::record::lock::Lock;
use crate::domain::rule::held_back::{
    alone, could_be_approved, holds_elevation, holds_enrolment, holds_grant, holds_proposal, is_behind, leaves_nobody,
};
use crate::domain::rule::reviewers::{Reviewed, can_be_completed};
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{PersonId, Principal};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::{Now, Timestamp};

/// What the lock holds back and the caller's person is behind, by its kind and id: a grant, or what was asked for and is
/// pending. They would give themselves back what was stopped, or let it go on when it suits them.
pub(super) fn stopped_of_own(state: &State, lock: &Lock, own: &Account, now: Now) -> Option<(&'static str, String)> {
    let (person, at, organisation) = (own.person(), now.latest, &state.organisation);
    let under = alone(organisation, lock);
    let accounts = || organisation.accounts_of(person).map(|(id, _)| id);
    let grant = || {
        let open = state.open_grants_of(person).chain(accounts().flat_map(|id| state.open_grants_by(id)));
        open.filter(|it| !it.end.is_over(at)).find(|grant| holds_grant(&under, state, grant))
    };
    let elevation = || {
        let pending = state.pending_of(person).chain(accounts().flat_map(|id| state.pending_by(id)));
        pending.filter(|it| !it.review.deadline.is_over(at)).find(|it| {
            let could = |organisation: &Organisation| can_be_completed(organisation, *it, at);
            holds_elevation(&under, it) || leaves_nobody(organisation, lock, could)
        })
    };
    let enrolment = || {
        let own = state.pending_enrolments_of(person).filter(|it| it.person == *person || it.behind.contains(person));
        own.filter(|it| !it.review.deadline.is_over(at)).find(|it| {
            let could = |organisation: &Organisation| can_be_completed(organisation, *it, at);
            holds_enrolment(&under, it) || leaves_nobody(organisation, lock, could)
        })
    };
    let proposal = || {
        let own = state.pending_proposals().filter(|it| is_behind(organisation, *it, person));
        own.filter(|it| !it.review.deadline.is_over(at)).find(|it| {
            let could = |organisation: &Organisation| could_be_approved(organisation, it, at);
            holds_proposal(&under, organisation, it, at) || leaves_nobody(organisation, lock, could)
        })
    };
    grant()
        .map(|it| ("grant", it.id.to_string()))
        .or_else(|| elevation().map(|it| ("elevation", it.id.to_string())))
        .or_else(|| enrolment().map(|it| ("enrolment", it.id.to_string())))
        .or_else(|| proposal().map(|it| ("proposal", it.id.to_string())))
}

/// What is over with a lock whose end has come: all that waited for it alone, approved by all that it needs, and that
/// whoever made the lock is behind. They chose the end, so it would begin when they want, with nobody asked again. A lock
/// may be made all the same, on whatever it is: a stop comes first.
pub(super) fn over_with(state: &State, lock: &Lock, now: Now) -> Vec<Fact> {
    let (Some(by), Some(until)) = (&lock.by, lock.until) else { return Vec::new() };
    let organisation = &state.organisation;
    let makers = match by {
        Principal::Account(id) => organisation.persons_behind(id, None),
        Principal::Person(id) => BTreeSet::from([id.clone()]),
    };
    let under = alone(organisation, lock);
    let reason = Reason::OwnLock;
    let complete = state.complete.iter().filter_map(|id| state.elevations.get(id));
    let complete = complete.filter(|it| is_own(organisation, &makers, *it) && waited(*it, until, now));
    let elevations = complete.filter(|it| holds_elevation(&under, it)).map(|it| {
        let because = Cancellation::RequesterNotEligible { reason };
        Fact::Elevation(ElevationFact::Cancelled(ElevationCancelled { elevation: it.id, because }))
    });
    let complete = state.complete_enrolments.iter().filter_map(|id| state.enrolments.get(id));
    let complete = complete.filter(|it| is_own(organisation, &makers, *it) && waited(*it, until, now));
    let enrolments = complete.filter(|it| holds_enrolment(&under, it)).map(|it| {
        let because = EnrolmentCancellation::NoLongerPossible { reason };
        Fact::Enrolment(EnrolmentFact::Cancelled(EnrolmentCancelled { enrolment: it.id, because }))
    });
    // One whose start was not yet due begins when it was approved to.
    let due = state.starts.iter().take_while(|(at, _)| *at < until).filter_map(|(_, id)| state.grants.get(id));
    let due = due.filter(|it| !it.end.is_over(now.latest) && holds_grant(&under, state, it));
    let own = due.filter(|it| state.elevations.get(&it.elevation).is_some_and(|it| is_own(organisation, &makers, it)));
    let grants = own.map(|it| {
        let because = Revocation::NotEligible { reason };
        Fact::Grant(GrantFact::Revoked(GrantRevoked { grant: it.id, holder: it.holder.clone(), because }))
    });
    elevations.chain(enrolments).chain(grants).collect()
}

fn is_own(organisation: &Organisation, makers: &BTreeSet<PersonId>, reviewed: &impl Reviewed) -> bool {
    makers.iter().any(|person| is_behind(organisation, reviewed, person))
}

/// Whether its last approval came before the lock was to end, so that nobody has decided since.
fn waited(reviewed: &impl Reviewed, until: Timestamp, now: Now) -> bool {
    let review = reviewed.review();
    !review.deadline.is_over(now.latest) && review.approvals().all(|decision| decision.at < until)
}
