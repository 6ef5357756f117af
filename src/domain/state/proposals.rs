//! Proposals in the state, and the texts of those that wait for their approval.

use super::{Closed, Due, State};
use crate::domain::record::proposal::Proposal;
use crate::domain::value::ids::{Principal, ProposalId};
use crate::domain::value::index::Map;

impl State {
    /// Proposals that wait for their approval, and what closed lately.
    #[must_use]
    pub fn proposals(&self) -> &Map<ProposalId, Proposal> {
        &self.proposals
    }

    /// The file that a pending proposal would put in force.
    #[must_use]
    pub fn proposal_text(&self, id: ProposalId) -> Option<String> {
        let pieces = self.proposal_texts.get(&id)?;
        Some(pieces.iter().map(|piece| &**piece).collect())
    }

    /// Proposals that wait for their approval: one for each account and file at most.
    pub fn pending_proposals(&self) -> impl Iterator<Item = &Proposal> {
        self.proposal_texts.keys().filter_map(|id| self.proposals.get(id))
    }

    pub(in crate::domain) fn put_proposal(&mut self, proposal: Proposal) {
        let texts = self.proposal_texts.get(&proposal.id).cloned().unwrap_or_default();
        self.remove_proposal(proposal.id);
        self.keeps(Principal::Account(proposal.requester.clone()), proposal.kept_bytes());
        if proposal.phase.is_pending() {
            self.due.insert((proposal.review.deadline, Due::ProposalDeadline(proposal.id)));
            self.proposal_texts.insert(proposal.id, texts);
        }
        if let Some(at) = proposal.phase.closed_at() {
            self.closed.insert((at, Closed::Proposal(proposal.id)));
        }
        self.proposals.insert(proposal.id, proposal);
    }

    pub(in crate::domain) fn remove_proposal(&mut self, id: ProposalId) {
        let Some(old) = self.proposals.remove(&id) else { return };
        self.keeps_no_more(&Principal::Account(old.requester.clone()), old.kept_bytes());
        self.proposal_texts.remove(&id);
        self.due.remove(&(old.review.deadline, Due::ProposalDeadline(id)));
        if let Some(at) = old.phase.closed_at() {
            self.closed.remove(&(at, Closed::Proposal(id)));
        }
    }
}
