//! Campaigns of recertification, both ways.

use prost::Message;

use super::commands::{Change, change};
use super::message::{Fields, InvalidMessage};
use super::queries::Paging;
use super::v1 as pb;
use super::values::{optional, parsed, pb_timestamp, timestamp};
use crate::domain::record::campaign::{Campaign, CampaignItem, CampaignOutcome};
use crate::domain::record::command::{Command, ConfirmMembership, StartCampaign};
use crate::domain::value::ids::{AccountId, RoleName};

/// All items of a campaign that are given together; well under the largest answer.
const MOST_ITEM_BYTES: usize = 640 * 1024;
/// What stands before an item: its tag and its length.
const ITEM_FRAME_BYTES: usize = 4;

impl TryFrom<pb::StartRecertificationRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::StartRecertificationRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let role = fields.take("role", parsed(&message.role));
        let due = match &message.due_time {
            Some(due) => fields.take("due_time", timestamp(due)),
            None => fields.take("due_time", Err("missing; the instant by which to confirm is wanted".to_owned())),
        };
        let command = role.zip(due).map(|(role, due)| Command::from(StartCampaign { role, due }));
        change(fields, &message.request_id, message.validate_only, command)
    }
}

impl TryFrom<pb::ConfirmMembershipRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::ConfirmMembershipRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let campaign = fields.take("recertification_id", parsed(&message.recertification_id));
        let account = fields.take("account", parsed(&message.account));
        let command =
            campaign.zip(account).map(|(campaign, account)| Command::from(ConfirmMembership { campaign, account }));
        change(fields, &message.request_id, message.validate_only, command)
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

/// A campaign with those of its items that the caller may see, as far as an answer holds them: a role may be everybody's.
#[must_use]
pub fn recertification<'a>(
    it: &Campaign,
    items: impl IntoIterator<Item = (&'a AccountId, &'a CampaignItem)>,
) -> pb::Recertification {
    let (mut shown, mut bytes, mut omitted) = (Vec::new(), 0_usize, 0_u32);
    for item in items.into_iter().map(|(account, item)| self::item(account, item)) {
        bytes = bytes.saturating_add(item.encoded_len().saturating_add(ITEM_FRAME_BYTES));
        if bytes <= MOST_ITEM_BYTES {
            shown.push(item);
        } else {
            omitted = omitted.saturating_add(1);
        }
    }
    pb::Recertification {
        id: it.id.to_string(),
        role: it.role.to_string(),
        starter: it.started_by.to_string(),
        create_time: Some(pb_timestamp(it.started_at)),
        due_time: Some(pb_timestamp(it.due)),
        close_time: it.closed_at.map(pb_timestamp),
        items: shown,
        omitted_item_count: omitted,
    }
}

fn item(account: &AccountId, it: &CampaignItem) -> pb::RecertificationItem {
    use pb::RecertificationOutcome as Outcome;
    let (outcome, at, confirmer) = match &it.outcome {
        None => (Outcome::Unspecified, None, String::new()),
        Some(CampaignOutcome::Confirmed { at, by }) => (Outcome::Confirmed, Some(*at), by.to_string()),
        Some(CampaignOutcome::Ended { at }) => (Outcome::Ended, Some(*at), String::new()),
    };
    pb::RecertificationItem {
        account: account.to_string(),
        person: it.person.to_string(),
        since_time: it.since.map(pb_timestamp),
        enrolment_id: it.approved.as_ref().map(|it| it.enrolment.to_string()).unwrap_or_default(),
        approved_by: it.approved.iter().flat_map(|it| &it.persons).map(ToString::to_string).collect(),
        fed_by: it.fed_by.as_ref().map(ToString::to_string).unwrap_or_default(),
        last_grant_id: it.last_grant.map(|last| last.grant.to_string()).unwrap_or_default(),
        last_grant_time: it.last_grant.map(|last| pb_timestamp(last.at)),
        end_time: it.ends_at.map(pb_timestamp),
        outcome: outcome.into(),
        outcome_time: at.map(pb_timestamp),
        confirmer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::value::ids::Principal;
    use crate::domain::value::time::Timestamp;

    #[test]
    fn a_campaign_over_everybody_fits_into_an_answer_and_what_does_not_is_counted() {
        // given a role that ten thousand hold, each of whom was confirmed
        let by = Principal::Account("m".repeat(64).parse().unwrap());
        let item = |number: usize| CampaignItem {
            person: format!("person-of-the-north-{number:05}").parse().unwrap(),
            since: Some(Timestamp::MAX),
            approved: None,
            fed_by: None,
            last_grant: None,
            ends_at: Some(Timestamp::MAX),
            outcome: Some(CampaignOutcome::Confirmed { at: Timestamp::MAX, by: by.clone() }),
        };
        let items = |count: usize| (0..count).map(|number| (format!("a{number:05}").parse().unwrap(), item(number)));
        let campaign = |count: usize| Campaign {
            id: uuid::Uuid::nil().into(),
            role: "everybody".parse().unwrap(),
            started_by: by.clone(),
            started_at: Timestamp::MIN,
            due: Timestamp::MAX,
            items: items(count).collect(),
            closed_at: None,
        };
        // when it is given whole, then as much as fits
        let many = campaign(10_000);
        let message = recertification(&many, &many.items);
        assert!(message.encoded_len() < 700 * 1024, "{} bytes", message.encoded_len());
        assert!(message.items.len() > 3_000);
        assert_eq!(message.items.len() + usize::try_from(message.omitted_item_count).unwrap(), 10_000);
        // and of fewer all
        let few = campaign(500);
        let message = recertification(&few, &few.items);
        assert_eq!((message.items.len(), message.omitted_item_count), (500, 0));
    }
}
