//! What is recorded of elevations and their reviews.

use crate::domain::record::elevation::{Cancellation, Elevation};
use crate::domain::record::emergency::FollowUp;
use crate::domain::record::event::{ApprovalStruck, DecisionRecorded, Event, Fact};
use crate::domain::record::review::Phase;
use crate::domain::state::State;
use crate::domain::value::ids::{ElevationId, GrantId};

pub(super) fn record(state: &mut State, event: &Event) {
    let at = event.at;
    match &event.fact {
        Fact::ElevationRequested(elevation) => state.put_elevation((**elevation).clone()),
        Fact::ApprovalRecorded(fact) => put_decision(state, fact),
        Fact::ApprovalStruck(fact) => strike(state, fact),
        Fact::ElevationApproved(fact) => close(state, fact.elevation, Phase::Approved { at, outcome: fact.grant }),
        Fact::ElevationDenied(fact) => {
            put_decision(state, fact);
            close(state, fact.elevation, Phase::Denied { at });
        }
        Fact::ElevationWithdrawn(fact) => {
            close(state, fact.elevation, Phase::Withdrawn { at, by: fact.by.clone(), reason: fact.reason.clone() });
        }
        Fact::ElevationExpired(fact) => close(state, fact.elevation, Phase::Expired { at }),
        Fact::ElevationCancelled(fact) => {
            close(state, fact.elevation, Phase::Cancelled { at, because: fact.because.clone() });
        }
        Fact::FollowUpOpened(fact) => change_elevation(state, fact.elevation, |elevation| {
            if let Some(emergency) = &mut elevation.emergency {
                emergency.follow_up = Some(FollowUp { due: fact.due, overdue: None, completed: None });
            }
        }),
        Fact::FollowUpOverdue(fact) => {
            change_follow_up(state, fact.elevation, |follow_up| follow_up.overdue = Some(at));
        }
        Fact::FollowUpCompleted(fact) => {
            change_follow_up(state, fact.elevation, |follow_up| follow_up.completed = Some(fact.completion.clone()));
        }
        _ => {}
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
