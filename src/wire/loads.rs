//! Loads of policy and directory, both ways: what is decided about them as commands, and what stands as messages.

use super::commands::{Change, change};
use super::elevations::{phase_closing, review};
use super::message::{Fields, InvalidMessage};
use super::queries::{Paging, all_known, known};
use super::v1 as pb;
use super::values::{LONGEST_TEXT_BYTES, digest, parsed, pb_timestamp, text};
use crate::domain::command::Command;
use crate::domain::elevation::Phase;
use crate::domain::load::{Load, LoadCancellation, LoadedFile};
use crate::domain::organisation::Organisation;
use crate::domain::time::Now;

impl TryFrom<pb::ApproveLoadRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::ApproveLoadRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let load = fields.take("load_id", parsed(&message.load_id));
        let digest = fields.take("approval_digest", digest(&message.approval_digest));
        let comment = fields.take("comment", text(message.comment, 0, LONGEST_TEXT_BYTES));
        let command = || Some(Command::ApproveLoad { load: load?, digest: digest?, comment: comment? });
        change(fields, (&message.request_id, message.validate_only), command())
    }
}

impl TryFrom<pb::DenyLoadRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::DenyLoadRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let load = fields.take("load_id", parsed(&message.load_id));
        let reason = fields.take("reason", text(message.reason, 1, LONGEST_TEXT_BYTES));
        let command = || Some(Command::DenyLoad { load: load?, reason: reason? });
        change(fields, (&message.request_id, message.validate_only), command())
    }
}

impl TryFrom<pb::WithdrawLoadRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::WithdrawLoadRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let load = fields.take("load_id", parsed(&message.load_id));
        let reason = fields.take("reason", text(message.reason, 0, LONGEST_TEXT_BYTES));
        let command = || Some(Command::WithdrawLoad { load: load?, reason: reason? });
        change(fields, (&message.request_id, message.validate_only), command())
    }
}

/// `ListLoads`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loads {
    /// Which page.
    pub paging: Paging,
    /// How they stand to the caller; none: in whatever way.
    pub relation: Option<pb::LoadRelation>,
    /// In these states; empty: in whatever state.
    pub states: Vec<pb::LoadState>,
}

impl TryFrom<&pb::ListLoadsRequest> for Loads {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListLoadsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let relation = match message.relation {
            0 => Some(None),
            relation => fields.take("relation", known::<pb::LoadRelation>(relation)).map(Some),
        };
        let states = all_known(&mut fields, "states", &message.states);
        let query = paging.zip(relation).map(|(paging, relation)| Self { paging, relation, states });
        fields.finish(query)
    }
}

/// A load with its review.
#[must_use]
pub fn load(organisation: &Organisation, it: &Load, now: Now) -> pb::Load {
    let state = state(it, now);
    let file = match it.file {
        LoadedFile::Policy => pb::LoadFile::Policy,
        LoadedFile::Directory => pb::LoadFile::Directory,
    };
    pb::Load {
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
        closing: phase_closing(&it.phase, &it.review, |it: &LoadCancellation| it.name().to_owned(), now),
        review: Some(review(organisation, it, state == pb::LoadState::Pending, now)),
    }
}

/// Where it stands at `now`.
#[must_use]
pub fn state(it: &Load, now: Now) -> pb::LoadState {
    match &it.phase {
        Phase::Pending if it.review.deadline.is_over(now.latest) => pb::LoadState::Expired,
        Phase::Pending => pb::LoadState::Pending,
        Phase::Approved { .. } => pb::LoadState::Approved,
        Phase::Denied { .. } => pb::LoadState::Denied,
        Phase::Withdrawn { .. } => pb::LoadState::Withdrawn,
        Phase::Expired { .. } => pb::LoadState::Expired,
        Phase::Cancelled { .. } => pb::LoadState::Cancelled,
    }
}
