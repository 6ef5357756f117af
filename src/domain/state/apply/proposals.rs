//! What is recorded of proposals. What an approved one brings stands in the events that follow it.

use crate::domain::record::event::{ProposalDecision, ProposalFact};
use crate::domain::record::proposal::Proposal;
use crate::domain::record::review::Phase;
use crate::domain::state::State;
use crate::domain::value::ids::ProposalId;
use crate::domain::value::time::Timestamp;

pub(super) fn record(state: &mut State, fact: &ProposalFact, at: Timestamp) {
    match fact {
        ProposalFact::Made(proposal) => state.put_proposal((**proposal).clone()),
        ProposalFact::TextAdded(fact) => state.proposal_texts.or_default(fact.proposal).push(fact.text.as_str().into()),
        ProposalFact::Approved(fact) => decided(state, fact, Phase::Approved { at, outcome: () }),
        ProposalFact::Denied(fact) => decided(state, fact, Phase::Denied { at }),
        ProposalFact::Withdrawn(fact) => change(state, fact.proposal, |proposal| {
            proposal.phase = Phase::Withdrawn { at, by: fact.by.clone(), reason: fact.reason.clone() };
        }),
        ProposalFact::Expired(fact) => change(state, fact.proposal, |proposal| proposal.phase = Phase::Expired { at }),
        ProposalFact::Cancelled(fact) => change(state, fact.proposal, |proposal| {
            proposal.phase = Phase::Cancelled { at, because: fact.because.clone() };
        }),
        ProposalFact::AuthorsWait(fact) => {
            state.organisation.put_waits(fact, at);
        }
    }
}

fn decided(
    state: &mut State,
    fact: &ProposalDecision,
    phase: Phase<(), crate::domain::record::proposal::ProposalCancellation>,
) {
    change(state, fact.proposal, |proposal| {
        proposal.review.decisions.push(fact.decision.clone());
        proposal.phase = phase;
    });
}

fn change(state: &mut State, id: ProposalId, change: impl FnOnce(&mut Proposal)) {
    if let Some(mut proposal) = state.proposals.get(&id).cloned() {
        change(&mut proposal);
        state.put_proposal(proposal);
    }
}
