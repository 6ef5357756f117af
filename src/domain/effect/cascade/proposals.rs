//! What a change does to pending proposals: they are cancelled where the proposer may no longer act. All are looked at,
//! because there are few: one for each account and file.

use crate::domain::record::event::{Fact, ProposalCancelled, ProposalFact};
use crate::domain::record::lock::Locks;
use crate::domain::record::proposal::{Proposal, ProposalCancellation};
use crate::domain::rule::held_back::holds_proposal;
use crate::domain::rule::identities::identities_stand;
use crate::domain::rule::proposal::quorum::could_propose;
use crate::domain::rule::reviewers::first;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Now;

pub(super) fn consequences(after: &Organisation, state: &State, now: Now) -> Vec<Fact> {
    if state.pending_proposals().next().is_none() {
        return Vec::new();
    }
    // Without the locks: one that suspends ends nothing, whatever else happens under it.
    let mut after = after.clone();
    after.locks = Locks::default();
    let after = &after;
    cancelled(state, now, |proposal| {
        let moved = after.accounts().get(&proposal.requester).is_none_or(|it| !proposal.behind.contains(it.person()));
        let rests = after.account_validity(&proposal.requester, now.latest);
        let could = || could_propose(after, proposal, now.latest);
        let stands = || identities_stand(after, proposal).err().map(|refusal| refusal.reason);
        let obstacle = rests.err().map(|obstacles| first(obstacles).reason).or(moved.then_some(Reason::NotEligible));
        obstacle.or_else(stands).or_else(|| (!could()).then_some(Reason::CapabilityMissing))
    })
}

/// Cancels the proposals that a lock stops.
pub(super) fn locked(under: &Organisation, state: &State, now: Now) -> Vec<Fact> {
    let held = |proposal: &Proposal| holds_proposal(under, &state.organisation, proposal, now.latest);
    cancelled(state, now, |proposal| held(proposal).then_some(Reason::Locked))
}

fn cancelled(state: &State, now: Now, why: impl Fn(&Proposal) -> Option<Reason>) -> Vec<Fact> {
    let pending = state.pending_proposals().filter(|proposal| !proposal.review.deadline.is_over(now.latest));
    let void = pending.filter_map(|proposal| {
        let because = ProposalCancellation::ProposerNotEligible { reason: why(proposal)? };
        Some(Fact::Proposal(ProposalFact::Cancelled(ProposalCancelled { proposal: proposal.id, because })))
    });
    void.collect()
}
