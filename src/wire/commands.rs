//! From messages to commands. A message becomes a command whole, or every field that is wrong is reported at once; no
//! request can carry any part of its review (known failures A1, A5 and A6).

use std::collections::BTreeSet;

use super::message::{Fields, InvalidMessage};
use super::v1 as pb;
use super::values::{LONGEST_TEXT_BYTES, LONGEST_TICKET_BYTES, digest, duration, optional, parsed, text, timestamp};
use crate::domain::record::command::{
    ApproveElevation, Command, CompleteFollowUp, DenyElevation, RelinquishGrant, RequestElevation, RevokeGrant,
    WithdrawElevation,
};
use crate::domain::record::emergency::Finding;
use crate::domain::value::ids::{Digest, RequestId};
use crate::domain::value::limits::{REQUESTED_ACTIONS, REQUESTED_RESOURCES};
use crate::domain::value::scope::{Action, Pattern};

/// A command under the caller's own id of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// The id.
    pub request_id: RequestId,
    /// What is asked.
    pub command: Command,
}

/// A command to carry out, or only to think through: a dry run binds no id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// To do.
    ForReal(Mutation),
    /// `validate_only`.
    Dry(Command),
}

/// `RequestElevation`: to do, or only to think through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// To do.
    ForReal(RequestId, RequestElevation),
    /// `validate_only`.
    Dry(RequestElevation),
}

/// The header of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// To propose, in place of this file, and why.
    ForReal(RequestId, Digest, String),
    /// `validate_only`; none: in place of whatever is in force.
    Dry(Option<Digest>),
}

impl TryFrom<pb::RequestElevationRequest> for Asked {
    type Error = InvalidMessage;

    fn try_from(message: pb::RequestElevationRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let request_id = request_id(&mut fields, &message.request_id, message.validate_only);
        let entitlement = fields.take("entitlement", parsed(&message.entitlement));
        let actions = actions(&mut fields, &message.actions);
        let resources = resources(&mut fields, &message.resources);
        if message.actions.is_empty() {
            fields.wrong("actions", "empty; at least one action is named, and empty never means all");
        }
        if message.resources.is_empty() {
            fields.wrong("resources", "empty; at least one resource is named, and empty never means all");
        }
        let duration = message.duration.as_ref().map(duration).transpose();
        let duration = fields.take("duration", duration);
        let start = fields.take("start_time", message.start_time.as_ref().map(timestamp).transpose());
        let justification = fields.take("justification", text(message.justification, 0, LONGEST_TEXT_BYTES));
        let ticket = fields.take("ticket", text(message.ticket, 0, LONGEST_TICKET_BYTES));
        let on_behalf_of = fields.take("on_behalf_of", optional(&message.on_behalf_of));
        let extends = fields.take("extends_grant_id", optional(&message.extends_grant_id));
        let request = || {
            Some(RequestElevation {
                entitlement: entitlement?,
                actions,
                resources,
                duration: duration?,
                start: start?,
                justification: justification?,
                ticket: ticket.map(|ticket| Some(ticket).filter(|ticket| !ticket.is_empty()))?,
                on_behalf_of: on_behalf_of?,
                extends: extends?,
                emergency: message.emergency,
            })
        };
        let asked = request().and_then(|request| match (message.validate_only, request_id) {
            (true, _) => Some(Self::Dry(request)),
            (false, id) => id.map(|id| Self::ForReal(id, request)),
        });
        fields.finish(asked)
    }
}

impl TryFrom<pb::ApproveElevationRequest> for Mutation {
    type Error = InvalidMessage;

    fn try_from(message: pb::ApproveElevationRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let request_id = request_id(&mut fields, &message.request_id, false);
        let elevation = fields.take("elevation_id", parsed(&message.elevation_id));
        let digest = fields.take("approval_digest", digest(&message.approval_digest));
        let comment = fields.take("comment", text(message.comment, 0, LONGEST_TEXT_BYTES));
        let command =
            || Some(Command::from(ApproveElevation { elevation: elevation?, digest: digest?, comment: comment? }));
        mutation(fields, request_id, command())
    }
}

impl TryFrom<pb::DenyElevationRequest> for Mutation {
    type Error = InvalidMessage;

    fn try_from(message: pb::DenyElevationRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let request_id = request_id(&mut fields, &message.request_id, false);
        let elevation = fields.take("elevation_id", parsed(&message.elevation_id));
        let reason = fields.take("reason", text(message.reason, 1, LONGEST_TEXT_BYTES));
        let command = || Some(Command::from(DenyElevation { elevation: elevation?, reason: reason? }));
        mutation(fields, request_id, command())
    }
}

impl TryFrom<pb::WithdrawElevationRequest> for Mutation {
    type Error = InvalidMessage;

    fn try_from(message: pb::WithdrawElevationRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let request_id = request_id(&mut fields, &message.request_id, false);
        let elevation = fields.take("elevation_id", parsed(&message.elevation_id));
        let command = elevation.map(|elevation| Command::from(WithdrawElevation { elevation, reason: String::new() }));
        mutation(fields, request_id, command)
    }
}

impl TryFrom<pb::CompleteFollowUpRequest> for Mutation {
    type Error = InvalidMessage;

    fn try_from(message: pb::CompleteFollowUpRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let finding = match message.finding() {
            pb::FollowUpFinding::Justified => Some(Finding::Justified),
            pb::FollowUpFinding::NotJustified => Some(Finding::NotJustified),
            pb::FollowUpFinding::Unspecified => None,
        };
        let finding = fields.take("finding", finding.ok_or("JUSTIFIED or NOT_JUSTIFIED"));
        let request_id = request_id(&mut fields, &message.request_id, false);
        let elevation = fields.take("elevation_id", parsed(&message.elevation_id));
        let digest = fields.take("approval_digest", digest(&message.approval_digest));
        let comment = fields.take("comment", text(message.comment, 1, LONGEST_TEXT_BYTES));
        let command = || {
            Some(Command::from(CompleteFollowUp {
                elevation: elevation?,
                digest: digest?,
                finding: finding?,
                comment: comment?,
            }))
        };
        mutation(fields, request_id, command())
    }
}

impl TryFrom<pb::RelinquishGrantRequest> for Mutation {
    type Error = InvalidMessage;

    fn try_from(message: pb::RelinquishGrantRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let request_id = request_id(&mut fields, &message.request_id, false);
        let grant = fields.take("grant_id", parsed(&message.grant_id));
        let command = grant.map(|grant| Command::from(RelinquishGrant { grant, reason: String::new() }));
        mutation(fields, request_id, command)
    }
}

impl TryFrom<pb::RevokeGrantRequest> for Mutation {
    type Error = InvalidMessage;

    fn try_from(message: pb::RevokeGrantRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let request_id = request_id(&mut fields, &message.request_id, false);
        let grant = fields.take("grant_id", parsed(&message.grant_id));
        let reason = fields.take("reason", text(message.reason, 1, LONGEST_TEXT_BYTES));
        let command = || Some(Command::from(RevokeGrant { grant: grant?, reason: reason? }));
        mutation(fields, request_id, command())
    }
}

impl TryFrom<pb::ProposalHeader> for Proposal {
    type Error = InvalidMessage;

    fn try_from(message: pb::ProposalHeader) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let request_id = request_id(&mut fields, &message.request_id, message.validate_only);
        let replaces = if message.validate_only && message.replaces_digest.is_empty() {
            Some(None)
        } else {
            fields.take("header.replaces_digest", digest(&message.replaces_digest)).map(Some)
        };
        let justification =
            fields.take("header.justification", text(message.justification, 0, LONGEST_TEXT_BYTES)).unwrap_or_default();
        let proposal = replaces.and_then(|replaces| match (message.validate_only, request_id, replaces) {
            (true, _, replaces) => Some(Self::Dry(replaces)),
            (false, Some(id), Some(replaces)) => Some(Self::ForReal(id, replaces, justification)),
            _ => None,
        });
        fields.finish(proposal)
    }
}

/// Actions, each by itself; the mistakes name the number of each wrong one. Of too many none is read.
pub(super) fn actions(fields: &mut Fields, texts: &[String]) -> BTreeSet<Action> {
    if texts.len() > REQUESTED_ACTIONS {
        fields.wrong("actions", format!("over {REQUESTED_ACTIONS}; ask for fewer, or in several requests"));
        return BTreeSet::new();
    }
    let parsed = texts.iter().enumerate().filter_map(|(at, text)| fields.take(format!("actions[{at}]"), parsed(text)));
    parsed.collect()
}

/// Resources as a request may name them. Of too many none is read.
pub(super) fn resources(fields: &mut Fields, texts: &[String]) -> BTreeSet<Pattern> {
    if texts.len() > REQUESTED_RESOURCES {
        let wanted = "ask for fewer, by a pattern say, or in several requests";
        fields.wrong("resources", format!("over {REQUESTED_RESOURCES}; {wanted}"));
        return BTreeSet::new();
    }
    let parsed = texts.iter().enumerate();
    parsed.filter_map(|(at, text)| fields.take(format!("resources[{at}]"), Pattern::parse_requested(text))).collect()
}

/// A dry run needs no id, and a wrong one is a mistake there too.
pub(super) fn request_id(fields: &mut Fields, text: &str, dry: bool) -> Option<RequestId> {
    if dry { fields.take("request_id", optional(text)).flatten() } else { fields.take("request_id", parsed(text)) }
}

pub(super) fn mutation(
    fields: Fields,
    request_id: Option<RequestId>,
    command: Option<Command>,
) -> Result<Mutation, InvalidMessage> {
    fields.finish(request_id.zip(command).map(|(request_id, command)| Mutation { request_id, command }))
}

/// A command with a dry run.
pub(super) fn change(
    mut fields: Fields,
    request_id: &str,
    validate_only: bool,
    command: Option<Command>,
) -> Result<Change, InvalidMessage> {
    let request_id = self::request_id(&mut fields, request_id, validate_only);
    let change = match (validate_only, request_id, command) {
        (true, _, Some(command)) => Some(Change::Dry(command)),
        (false, Some(request_id), Some(command)) => Some(Change::ForReal(Mutation { request_id, command })),
        _ => None,
    };
    fields.finish(change)
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
