//! What is done to persons and accounts one by one: attestations, the end of a membership, the end of a service account;
//! and what is reported of them: lapses ahead, and the events of a watch.

use super::commands::{Change, change};
use super::events::{actor, kind_name};
use super::message::{Fields, InvalidMessage};
use super::v1 as pb;
use super::values::{LONGEST_TEXT_BYTES, parsed, pb_timestamp, text, timestamp};
use crate::domain::effect::life::{Coming, Lapsing};
use crate::domain::record::command::{CloseAccount, Command, CorrectAttestation, EndMembership, RecordAttestation};
use crate::domain::record::event::{CampaignFact, Event, Fact, FeedFact, LifeFact, OrganisationFact};
use crate::domain::value::ids::PersonId;
use crate::domain::value::time::{Span, Timestamp};

/// What shows an attestation: a reference, no document.
pub const LONGEST_EVIDENCE_BYTES: usize = 512;

impl TryFrom<pb::RecordAttestationRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::RecordAttestationRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let person = fields.take("person", parsed(&message.person));
        let requirement = fields.take("requirement", parsed(&message.requirement));
        let met_at = match &message.met_time {
            Some(met) => fields.take("met_time", timestamp(met)),
            None => fields.take("met_time", Err("missing; the instant at which it was met is wanted".to_owned())),
        };
        let evidence = fields.take("evidence", text(message.evidence, 0, LONGEST_EVIDENCE_BYTES));
        let command = || {
            let (person, requirement) = (person?, requirement?);
            Some(Command::from(RecordAttestation { person, requirement, met_at: met_at?, evidence: evidence? }))
        };
        change(fields, &message.request_id, message.validate_only, command())
    }
}

impl TryFrom<pb::CorrectAttestationRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::CorrectAttestationRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let person = fields.take("person", parsed(&message.person));
        let requirement = fields.take("requirement", parsed(&message.requirement));
        let met_at = fields.take("met_time", message.met_time.as_ref().map(timestamp).transpose());
        let reason = fields.take("reason", text(message.reason, 0, LONGEST_TEXT_BYTES));
        let command = || {
            let (person, requirement) = (person?, requirement?);
            Some(Command::from(CorrectAttestation { person, requirement, met_at: met_at?, reason: reason? }))
        };
        change(fields, &message.request_id, message.validate_only, command())
    }
}

impl TryFrom<pb::EndMembershipRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::EndMembershipRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let account = fields.take("account", parsed(&message.account));
        let role = fields.take("role", parsed(&message.role));
        let reason = fields.take("reason", text(message.reason, 0, LONGEST_TEXT_BYTES));
        let command = || Some(Command::from(EndMembership { account: account?, role: role?, reason: reason? }));
        change(fields, &message.request_id, message.validate_only, command())
    }
}

impl TryFrom<pb::CloseAccountRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::CloseAccountRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let account = fields.take("account", parsed(&message.account));
        let reason = fields.take("reason", text(message.reason, 0, LONGEST_TEXT_BYTES));
        let command = || Some(Command::from(CloseAccount { account: account?, reason: reason? }));
        change(fields, &message.request_id, message.validate_only, command())
    }
}

/// What lapses or ends soon, as it stands at `at`.
#[must_use]
pub fn lapse_ahead(person: &PersonId, it: &Coming, at: Timestamp) -> pb::LapseAhead {
    let (kind, name, account) = match &it.what {
        Lapsing::Requirement(requirement) => ("REQUIREMENT", requirement.to_string(), String::new()),
        Lapsing::Membership(account, role) => ("MEMBERSHIP", role.to_string(), account.to_string()),
        Lapsing::Account(account) => ("ACCOUNT", account.to_string(), account.to_string()),
        Lapsing::Employment => ("EMPLOYMENT", person.to_string(), String::new()),
    };
    let days = it.at.since(at).millis().checked_div(Span::DAY.millis()).unwrap_or_default();
    pb::LapseAhead {
        kind: kind.to_owned(),
        name,
        account,
        time: Some(pb_timestamp(it.at)),
        days: u32::try_from(days).unwrap_or_default(),
    }
}

/// Whether a fact is about the life of an account or a person: what a watch of accounts gives.
#[must_use]
pub fn is_of_life(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Life(_)
            | Fact::Organisation(OrganisationFact::PersonRecorded(_) | OrganisationFact::AccountRecorded(_))
            | Fact::Campaign(CampaignFact::MembershipConfirmed(_))
            | Fact::Feed(FeedFact::EventApplied(_))
    )
}

/// An event about an account or a person; none if it is about neither.
#[must_use]
pub fn account_event(it: &Event) -> Option<pb::AccountEvent> {
    let ahead = if let Fact::Life(LifeFact::LapseAhead(fact)) = &it.fact { Some(fact) } else { None };
    let lapse_ahead = ahead.map(|fact| pb::LapseAhead {
        kind: "REQUIREMENT".to_owned(),
        name: fact.requirement.to_string(),
        account: String::new(),
        time: Some(pb_timestamp(fact.lapses_at)),
        days: fact.days,
    });
    is_of_life(&it.fact).then(|| pb::AccountEvent {
        kind: kind_name(&it.fact).to_owned(),
        time: Some(pb_timestamp(it.at)),
        actor: actor(&it.actor),
        about: it.fact.about().iter().map(ToString::to_string).collect(),
        sequence: String::new(),
        lapse_ahead,
    })
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
