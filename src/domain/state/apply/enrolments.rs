//! What is recorded of enrolments. What an approved one gives stands in records of people and accounts that follow it.

use crate::domain::record::enrolment::{Ask, Enrolment};
use crate::domain::record::event::{EnrolmentDecision, Event, Fact};
use crate::domain::record::review::Phase;
use crate::domain::state::State;
use crate::domain::value::ids::EnrolmentId;

pub(super) fn record(state: &mut State, event: &Event) {
    let at = event.at;
    match &event.fact {
        Fact::EnrolmentRequested(enrolment) => state.put_enrolment((**enrolment).clone()),
        Fact::EnrolmentApprovalRecorded(fact) => put_decision(state, fact),
        Fact::EnrolmentApprovalStruck(fact) => change(state, fact.enrolment, |enrolment| {
            for decision in enrolment.review.decisions.iter_mut().filter(|decision| decision.person == fact.person) {
                decision.struck.get_or_insert_with(|| fact.because.clone());
            }
        }),
        Fact::EnrolmentApproved(fact) => {
            let ask = state.enrolments.get(&fact.enrolment).map(|enrolment| &enrolment.ask);
            if let Some(ask @ (Ask::Account { .. } | Ask::Machine(_) | Ask::TakeOver { .. })) = ask {
                state.made_by_enrolment.insert(ask.account().clone());
            }
            change(state, fact.enrolment, |it| it.phase = Phase::Approved { at, outcome: () });
        }
        Fact::EnrolmentDenied(fact) => {
            put_decision(state, fact);
            change(state, fact.enrolment, |it| it.phase = Phase::Denied { at });
        }
        Fact::EnrolmentWithdrawn(fact) => change(state, fact.enrolment, |it| {
            it.phase = Phase::Withdrawn { at, by: fact.by.clone(), reason: fact.reason.clone() };
        }),
        Fact::EnrolmentExpired(fact) => change(state, fact.enrolment, |it| it.phase = Phase::Expired { at }),
        Fact::EnrolmentCancelled(fact) => change(state, fact.enrolment, |it| {
            it.phase = Phase::Cancelled { at, because: fact.because.clone() };
        }),
        _ => {}
    }
}

fn put_decision(state: &mut State, fact: &EnrolmentDecision) {
    change(state, fact.enrolment, |enrolment| enrolment.review.decisions.push(fact.decision.clone()));
}

fn change(state: &mut State, id: EnrolmentId, change: impl FnOnce(&mut Enrolment)) {
    if let Some(mut enrolment) = state.enrolments.get(&id).cloned() {
        change(&mut enrolment);
        state.put_enrolment(enrolment);
    }
}
