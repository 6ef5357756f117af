//! What is recorded of enrolments. What an approved one gives stands in records of people and accounts that follow it.

use crate::domain::record::enrolment::{Ask, Enrolment};
use crate::domain::record::event::{EnrolmentDecision, EnrolmentFact};
use crate::domain::record::review::Phase;
use crate::domain::state::State;
use crate::domain::value::ids::EnrolmentId;
use crate::domain::value::time::Timestamp;

pub(super) fn record(state: &mut State, fact: &EnrolmentFact, at: Timestamp) {
    match fact {
        EnrolmentFact::Requested(enrolment) => state.put_enrolment((**enrolment).clone()),
        EnrolmentFact::ApprovalRecorded(fact) => put_decision(state, fact),
        EnrolmentFact::ApprovalStruck(fact) => change(state, fact.enrolment, |enrolment| {
            for decision in enrolment.review.decisions.iter_mut().filter(|decision| decision.person == fact.person) {
                decision.struck.get_or_insert_with(|| fact.because.clone());
            }
        }),
        EnrolmentFact::Approved(fact) => {
            let ask = state.enrolments.get(&fact.enrolment).map(|enrolment| &enrolment.ask);
            if let Some(ask @ (Ask::Account { .. } | Ask::Machine(_) | Ask::TakeOver { .. })) = ask {
                state.made_by_enrolment.insert(ask.account().clone());
            }
            change(state, fact.enrolment, |it| it.phase = Phase::Approved { at, outcome: () });
        }
        EnrolmentFact::Denied(fact) => {
            put_decision(state, fact);
            change(state, fact.enrolment, |it| it.phase = Phase::Denied { at });
        }
        EnrolmentFact::Withdrawn(fact) => change(state, fact.enrolment, |it| {
            it.phase = Phase::Withdrawn { at, by: fact.by.clone(), reason: fact.reason.clone() };
        }),
        EnrolmentFact::Expired(fact) => change(state, fact.enrolment, |it| it.phase = Phase::Expired { at }),
        EnrolmentFact::Cancelled(fact) => change(state, fact.enrolment, |it| {
            it.phase = Phase::Cancelled { at, because: fact.because.clone() };
        }),
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
