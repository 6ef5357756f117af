//! What is recorded of elevations and their reviews.

use crate::domain::record::elevation::{Cancellation, Elevation};
use crate::domain::record::emergency::FollowUp;
use crate::domain::record::event::{ApprovalStruck, DecisionRecorded, ElevationFact};
use crate::domain::record::review::Phase;
use crate::domain::state::State;
use crate::domain::value::ids::{ElevationId, GrantId};
use crate::domain::value::time::Timestamp;

pub(super) fn record(state: &mut State, fact: &ElevationFact, at: Timestamp) {
    match fact {
        ElevationFact::Requested(elevation) => state.put_elevation((**elevation).clone()),
        ElevationFact::ApprovalRecorded(fact) => put_decision(state, fact),
        ElevationFact::ApprovalStruck(fact) => strike(state, fact),
        ElevationFact::Approved(fact) => close(state, fact.elevation, Phase::Approved { at, outcome: fact.grant }),
        ElevationFact::Denied(fact) => {
            put_decision(state, fact);
            close(state, fact.elevation, Phase::Denied { at });
        }
        ElevationFact::Withdrawn(fact) => {
            close(state, fact.elevation, Phase::Withdrawn { at, by: fact.by.clone(), reason: fact.reason.clone() });
        }
        ElevationFact::Expired(fact) => close(state, fact.elevation, Phase::Expired { at }),
        ElevationFact::Cancelled(fact) => {
            close(state, fact.elevation, Phase::Cancelled { at, because: fact.because.clone() });
        }
        ElevationFact::FollowUpOpened(fact) => change_elevation(state, fact.elevation, |elevation| {
            if let Some(emergency) = &mut elevation.emergency {
                emergency.follow_up = Some(FollowUp { due: fact.due, overdue: None, completed: None });
            }
        }),
        ElevationFact::FollowUpOverdue(fact) => {
            change_follow_up(state, fact.elevation, |follow_up| follow_up.overdue = Some(at));
        }
        ElevationFact::FollowUpCompleted(fact) => {
            change_follow_up(state, fact.elevation, |follow_up| follow_up.completed = Some(fact.completion.clone()));
        }
    }
}

fn change_follow_up(state: &mut State, id: ElevationId, change: impl FnOnce(&mut FollowUp)) {
    change_elevation(state, id, |elevation| {
        elevation.emergency.as_mut().and_then(|emergency| emergency.follow_up.as_mut()).map(change);
    });
}

fn change_elevation(state: &mut State, id: ElevationId, change: impl FnOnce(&mut Elevation)) {
    if let Some(mut elevation) = state.elevations.get(&id).cloned() {
        change(&mut elevation);
        state.put_elevation(elevation);
    }
}

fn put_decision(state: &mut State, fact: &DecisionRecorded) {
    change_elevation(state, fact.elevation, |elevation| elevation.review.decisions.push(fact.decision.clone()));
}

fn strike(state: &mut State, fact: &ApprovalStruck) {
    change_elevation(state, fact.elevation, |elevation| {
        for decision in elevation.review.decisions.iter_mut().filter(|decision| decision.person == fact.person) {
            decision.struck.get_or_insert_with(|| fact.because.clone());
        }
    });
}

fn close(state: &mut State, id: ElevationId, phase: Phase<GrantId, Cancellation>) {
    change_elevation(state, id, |elevation| elevation.phase = phase);
}
