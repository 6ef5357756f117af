//! Rounds of recertification, both ways.

use super::commands::{Change, change};
use super::message::{Fields, InvalidMessage};
use super::queries::Paging;
use super::v1 as pb;
use super::values::{optional, parsed, pb_timestamp, timestamp};
use crate::domain::command::Command;
use crate::domain::ids::{AccountId, RoleName};
use crate::domain::recertification::{Round, RoundItem, RoundOutcome};

impl TryFrom<pb::StartRecertificationRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::StartRecertificationRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let role = fields.take("role", parsed(&message.role));
        let due = match &message.due_time {
            Some(due) => fields.take("due_time", timestamp(due)),
            None => fields.take("due_time", Err("missing; the instant by which to confirm is wanted".to_owned())),
        };
        let command = role.zip(due).map(|(role, due)| Command::StartRound { role, due });
        change(fields, (&message.request_id, message.validate_only), command)
    }
}

impl TryFrom<pb::ConfirmMembershipRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::ConfirmMembershipRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let round = fields.take("recertification_id", parsed(&message.recertification_id));
        let account = fields.take("account", parsed(&message.account));
        let command = round.zip(account).map(|(round, account)| Command::ConfirmMembership { round, account });
        change(fields, (&message.request_id, message.validate_only), command)
    }
}

/// `ListRecertifications`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recertifications {
    /// Which page.
    pub paging: Paging,
    /// Over this role.
    pub role: Option<RoleName>,
    /// Only those that are open.
    pub open_only: bool,
}

impl TryFrom<&pb::ListRecertificationsRequest> for Recertifications {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListRecertificationsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let role = fields.take("role", optional(&message.role));
        let query = paging.zip(role).map(|(paging, role)| Self { paging, role, open_only: message.open_only });
        fields.finish(query)
    }
}

/// A round with those of its items that the caller may see.
#[must_use]
pub fn recertification<'a>(
    it: &Round,
    items: impl IntoIterator<Item = (&'a AccountId, &'a RoundItem)>,
) -> pb::Recertification {
    pb::Recertification {
        id: it.id.to_string(),
        role: it.role.to_string(),
        starter: it.started_by.to_string(),
        create_time: Some(pb_timestamp(it.started_at)),
        due_time: Some(pb_timestamp(it.due)),
        close_time: it.closed_at.map(pb_timestamp),
        items: items.into_iter().map(|(account, item)| self::item(account, item)).collect(),
    }
}

fn item(account: &AccountId, it: &RoundItem) -> pb::RecertificationItem {
    use pb::RecertificationOutcome as Outcome;
    let (outcome, at, confirmer) = match &it.outcome {
        None => (Outcome::Unspecified, None, String::new()),
        Some(RoundOutcome::Confirmed { at, by }) => (Outcome::Confirmed, Some(*at), by.to_string()),
        Some(RoundOutcome::Ended { at }) => (Outcome::Ended, Some(*at), String::new()),
    };
    pb::RecertificationItem {
        account: account.to_string(),
        person: it.person.to_string(),
        since_time: it.since.map(pb_timestamp),
        enrolment_id: it.approved.as_ref().map(|it| it.enrolment.to_string()).unwrap_or_default(),
        approved_by: it.approved.iter().flat_map(|it| &it.persons).map(ToString::to_string).collect(),
        last_grant_id: it.last_grant.map(|last| last.grant.to_string()).unwrap_or_default(),
        last_grant_time: it.last_grant.map(|last| pb_timestamp(last.at)),
        end_time: it.ends_at.map(pb_timestamp),
        outcome: outcome.into(),
        outcome_time: at.map(pb_timestamp),
        confirmer,
    }
}
