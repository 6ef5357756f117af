//! What a change does to pending enrolments: they are cancelled where policy, manager or standing has changed, and
//! approvals of those who could not approve now are struck out.

use std::collections::BTreeSet;

use super::approvals::{locked_approvers, struck_out};
use super::touched::Touched;
use crate::domain::record::enrolment::{Enrolment, EnrolmentCancellation};
use crate::domain::record::event::{EnrolmentApprovalStruck, EnrolmentCancelled, EnrolmentFact, Fact};
use crate::domain::record::review::StruckOut;
use crate::domain::rule::enrolling::{stages, standing_in_the_way, terms};
use crate::domain::rule::identities::identities_stand;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::EnrolmentId;
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Now;

pub(super) fn consequences(after: &Organisation, state: &State, touched: &Touched, now: Now) -> Vec<Fact> {
    let mut facts = Vec::new();
    for enrolment in reached(after, state, touched).iter().filter_map(|id| state.enrolments.get(id)) {
        if enrolment.review.deadline.is_over(now.latest) {
            continue;
        }
        match void(after, enrolment, now) {
            Some(because) => {
                facts.push(Fact::Enrolment(EnrolmentFact::Cancelled(EnrolmentCancelled {
                    enrolment: enrolment.id,
                    because,
                })));
            }
            None => {
                let struck = struck_out(after, enrolment, now).into_iter();
                facts.extend(struck.map(|(person, because)| {
                    Fact::Enrolment(EnrolmentFact::ApprovalStruck(EnrolmentApprovalStruck {
                        enrolment: enrolment.id,
                        person,
                        because,
                    }))
                }));
            }
        }
    }
    facts
}

/// Why a pending enrolment cannot stand any more.
#[must_use]
pub(in crate::domain) fn void(after: &Organisation, enrolment: &Enrolment, now: Now) -> Option<EnrolmentCancellation> {
    let manager = after.manager_of(&enrolment.person, now.latest);
    if manager != enrolment.manager.as_ref() {
        return Some(EnrolmentCancellation::ManagerChanged);
    }
    if let Some(refusal) = standing_in_the_way(after, enrolment, now).into_iter().next() {
        return Some(EnrolmentCancellation::NoLongerPossible { reason: refusal.reason });
    }
    if let Err(refusal) = identities_stand(after, enrolment) {
        return Some(EnrolmentCancellation::NoLongerPossible { reason: refusal.reason });
    }
    let stages = stages(after, &enrolment.ask, &enrolment.person, &enrolment.behind, now.latest);
    let changed = stages != enrolment.review.stages || terms(after, &enrolment.ask, &stages) != enrolment.terms;
    changed.then_some(EnrolmentCancellation::TermsChanged)
}

fn reached(after: &Organisation, state: &State, touched: &Touched) -> BTreeSet<EnrolmentId> {
    match touched {
        Touched::All => state.pending_enrolments.iter().copied().collect(),
        Touched::Persons(persons) if !state.pending_enrolments.is_empty() => {
            let mut reached = BTreeSet::new();
            for person in persons {
                reached.extend(state.pending_enrolments_of.of(person).copied());
                for (account, _) in after.accounts_of(person).chain(state.organisation.accounts_of(person)) {
                    reached.extend(state.pending_enrolments_about.of(account).copied());
                }
            }
            reached
        }
        Touched::Persons(_) => BTreeSet::new(),
    }
}

/// Enrolments that a lock stops are cancelled, and approvals of persons whom it stops are struck out.
pub(super) fn locked(under: &Organisation, state: &State, now: Now) -> Vec<Fact> {
    let pending = state.pending_enrolments.iter().filter_map(|id| state.enrolments.get(id));
    let pending = pending.filter(|enrolment| !enrolment.review.deadline.is_over(now.latest));
    let reason = Reason::Locked;
    let ends = pending.flat_map(|enrolment| {
        if under.lock_on_enrolment(enrolment).is_some() {
            let because = EnrolmentCancellation::NoLongerPossible { reason };
            return vec![Fact::Enrolment(EnrolmentFact::Cancelled(EnrolmentCancelled {
                enrolment: enrolment.id,
                because,
            }))];
        }
        let struck = locked_approvers(under, enrolment).map(|person| {
            let because = StruckOut { at: now.stamp, reason };
            Fact::Enrolment(EnrolmentFact::ApprovalStruck(EnrolmentApprovalStruck {
                enrolment: enrolment.id,
                person,
                because,
            }))
        });
        struck.collect()
    });
    ends.collect()
}
