//! Proposals of policy and directory, both ways: what is decided about them as commands, and what stands as messages.

use super::commands::{Change, change};
use super::elevations::{phase_closing, review};
use super::message::{Fields, InvalidMessage};
use super::queries::{Paging, all_known, known};
use super::v1 as pb;
use super::values::{LONGEST_TEXT_BYTES, digest, parsed, pb_timestamp, text};
use crate::domain::record::command::{ApproveProposal, Command, DenyProposal, WithdrawProposal};
use crate::domain::record::proposal::{Proposal, ProposalCancellation, ProposedFile};
use crate::domain::record::review::Phase;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::time::Now;

impl TryFrom<pb::ApproveProposalRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::ApproveProposalRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let proposal = fields.take("proposal_id", parsed(&message.proposal_id));
        let digest = fields.take("approval_digest", digest(&message.approval_digest));
        let comment = fields.take("comment", text(message.comment, 0, LONGEST_TEXT_BYTES));
        let command =
            || Some(Command::from(ApproveProposal { proposal: proposal?, digest: digest?, comment: comment? }));
        change(fields, &message.request_id, message.validate_only, command())
    }
}

impl TryFrom<pb::DenyProposalRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::DenyProposalRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let proposal = fields.take("proposal_id", parsed(&message.proposal_id));
        let reason = fields.take("reason", text(message.reason, 1, LONGEST_TEXT_BYTES));
        let command = || Some(Command::from(DenyProposal { proposal: proposal?, reason: reason? }));
        change(fields, &message.request_id, message.validate_only, command())
    }
}

impl TryFrom<pb::WithdrawProposalRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::WithdrawProposalRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let proposal = fields.take("proposal_id", parsed(&message.proposal_id));
        let reason = fields.take("reason", text(message.reason, 0, LONGEST_TEXT_BYTES));
        let command = || Some(Command::from(WithdrawProposal { proposal: proposal?, reason: reason? }));
        change(fields, &message.request_id, message.validate_only, command())
    }
}

/// `ListProposals`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposals {
    /// Which page.
    pub paging: Paging,
    /// How they stand to the caller; none: in whatever way.
    pub relation: Option<pb::ProposalRelation>,
    /// In these states; empty: in whatever state.
    pub states: Vec<pb::ProposalState>,
}

impl TryFrom<&pb::ListProposalsRequest> for Proposals {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListProposalsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let relation = match message.relation {
            0 => Some(None),
            relation => fields.take("relation", known::<pb::ProposalRelation>(relation)).map(Some),
        };
        let states = all_known(&mut fields, "states", &message.states);
        let query = paging.zip(relation).map(|(paging, relation)| Self { paging, relation, states });
        fields.finish(query)
    }
}

/// A proposal with its review.
#[must_use]
pub fn proposal(organisation: &Organisation, it: &Proposal, now: Now) -> pb::Proposal {
    let state = state(it, now);
    let file = match it.file {
        ProposedFile::Policy => pb::ProposalFile::Policy,
        ProposedFile::Directory => pb::ProposalFile::Directory,
    };
    pb::Proposal {
        id: it.id.to_string(),
        requester: it.requester.to_string(),
        persons: it.behind.iter().map(ToString::to_string).collect(),
        file: file.into(),
        replaced_digest: it.replaces.bytes().to_vec(),
        digest: it.digest.bytes().to_vec(),
        size_bytes: it.bytes,
        justification: it.justification.clone(),
        state: state.into(),
        create_time: Some(pb_timestamp(it.requested_at)),
        closing: phase_closing(&it.phase, &it.review, |it: &ProposalCancellation| it.name().to_owned(), now),
        review: Some(review(organisation, it, state == pb::ProposalState::Pending, now)),
    }
}

/// Where it stands at `now`.
#[must_use]
pub fn state(it: &Proposal, now: Now) -> pb::ProposalState {
    match &it.phase {
        Phase::Pending if it.review.deadline.is_over(now.latest) => pb::ProposalState::Expired,
        Phase::Pending => pb::ProposalState::Pending,
        Phase::Approved { .. } => pb::ProposalState::Approved,
        Phase::Denied { .. } => pb::ProposalState::Denied,
        Phase::Withdrawn { .. } => pb::ProposalState::Withdrawn,
        Phase::Expired { .. } => pb::ProposalState::Expired,
        Phase::Cancelled { .. } => pb::ProposalState::Cancelled,
    }
}
