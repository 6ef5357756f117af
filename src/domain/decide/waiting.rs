//! What was approved by all that it needs, and waited because a lock stopped one of those who had approved, or what was asked
//! for. Nobody has to approve again once it is free: the timer gives it. It is checked then as at a last approval, and its
//! clock starts then; its deadline has expired what waited for too long.

use super::caller::id_at;
use super::elevations::issued;
use super::enrolments::give;
use crate::domain::effect::cascade::{struck_out, void_enrolment};
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::elevation::{Cancellation, Elevation};
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::event::{
    Actor, ApprovalStruck, ElevationCancelled, ElevationFact, EnrolmentApprovalStruck, EnrolmentCancelled,
    EnrolmentFact, Fact,
};
use crate::domain::record::review::Review;
use crate::domain::rule::reviewers::counted;
use crate::domain::state::State;
use crate::domain::value::ids::{Digest, ElevationId, GrantId};
use crate::domain::value::time::{Now, Timestamp};

/// Since when the first of them could have been given; a tick before then finds nothing of them.
pub(super) fn next(state: &State) -> Option<Timestamp> {
    let elevations = free_elevations(state).map(|it| complete_since(&it.review));
    elevations.chain(free_enrolments(state).map(|it| complete_since(&it.review))).min()
}

/// One of them at a time, because what it gives may leave no room for the next.
pub(super) fn given(state: &State, now: Now) -> Vec<Fact> {
    // It gives access, so it waits for every clock, as starts do.
    let due = |review: &Review| complete_since(review).is_over(now.earliest) && !review.deadline.is_over(now.latest);
    if let Some(elevation) = free_elevations(state).find(|it| due(&it.review)) {
        return elevation_given(state, elevation, now);
    }
    free_enrolments(state).find(|it| due(&it.review)).map(|it| enrolment_given(state, it, now)).unwrap_or_default()
}

fn free_elevations(state: &State) -> impl Iterator<Item = &Elevation> {
    let organisation = &state.organisation;
    let complete = state.complete.iter().filter_map(|id| state.elevations.get(id));
    complete.filter(|it| counted(organisation, *it).is_complete() && organisation.lock_on_elevation(it).is_none())
}

fn free_enrolments(state: &State) -> impl Iterator<Item = &Enrolment> {
    let organisation = &state.organisation;
    let complete = state.complete_enrolments.iter().filter_map(|id| state.enrolments.get(id));
    complete.filter(|it| counted(organisation, *it).is_complete() && organisation.lock_on_enrolment(it).is_none())
}

fn complete_since(review: &Review) -> Timestamp {
    review.approvals().map(|decision| decision.at).max().unwrap_or(Timestamp::MAX)
}

fn elevation_given(state: &State, elevation: &Elevation, now: Now) -> Vec<Fact> {
    let id = elevation.id;
    let struck = struck_out(&state.organisation, elevation, now);
    if !struck.is_empty() {
        let struck = struck.into_iter();
        let struck = struck.map(|(person, because)| ApprovalStruck { elevation: id, person, because, grant: None });
        return struck.map(|fact| Fact::Elevation(ElevationFact::ApprovalStruck(fact))).collect();
    }
    issued(state, elevation, grant_of(id, now), now).unwrap_or_else(|refusal| {
        // As a scheduled grant that cannot start is revoked: nobody would be there to try again.
        let because = Cancellation::RequesterNotEligible { reason: refusal.reason };
        vec![Fact::Elevation(ElevationFact::Cancelled(ElevationCancelled { elevation: id, because }))]
    })
}

fn enrolment_given(state: &State, enrolment: &Enrolment, now: Now) -> Vec<Fact> {
    let id = enrolment.id;
    let struck = struck_out(&state.organisation, enrolment, now);
    if !struck.is_empty() {
        let struck =
            struck.into_iter().map(|(person, because)| EnrolmentApprovalStruck { enrolment: id, person, because });
        return struck.map(|fact| Fact::Enrolment(EnrolmentFact::ApprovalStruck(fact))).collect();
    }
    if let Some(because) = void_enrolment(&state.organisation, enrolment, now) {
        return vec![Fact::Enrolment(EnrolmentFact::Cancelled(EnrolmentCancelled { enrolment: id, because }))];
    }
    let mut overlay = Overlay::new(state, Actor::Broker, now);
    give(&mut overlay, enrolment);
    overlay.into_facts()
}

/// No command brings entropy for this id; it is mixed out of the one of the elevation, which leads to one grant at most.
fn grant_of(elevation: ElevationId, now: Now) -> GrantId {
    let mut nonce = [0; 16];
    let mixed = Digest::of(elevation.to_string().as_bytes());
    nonce.iter_mut().zip(mixed.bytes()).for_each(|(to, from)| *to = *from);
    id_at(now.stamp, nonce, 1).into()
}
