//! Enrolments, both ways: what is asked and decided as commands, and what stands as messages. Nothing of a review can be
//! said in a request (known failure A1); what is over is given as over by comparison with the time.

use std::collections::{BTreeMap, BTreeSet};

use super::commands::{Change, change};
use super::elevations::{phase_closing, review};
use super::events::{actor, kind_name};
use super::message::{Fields, InvalidMessage};
use super::queries::{Paging, all_known, known};
use super::v1 as pb;
use super::values::{
    LONGEST_TEXT_BYTES, SaidSequence, digest, optional, parsed, pb_timestamp, sequence, text, timestamp,
};
use crate::domain::directory::ActsFor;
use crate::domain::record::command::{
    ApproveEnrolment, Command, DenyEnrolment, EnrolmentAsk, RequestEnrolment, WithdrawEnrolment,
};
use crate::domain::record::enrolment::{Ask, Enrolment, EnrolmentCancellation, MachineAsk};
use crate::domain::record::event::{EnrolmentFact, Event, Fact};
use crate::domain::record::review::Phase;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{EnrolmentId, Identity, RoleName};
use crate::domain::value::limits::IDENTITIES;
use crate::domain::value::scope::Pattern;
use crate::domain::value::time::{Now, Timestamp};

impl TryFrom<pb::RequestEnrolmentRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::RequestEnrolmentRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let ask = asked(&mut fields, message.ask);
        let justification = fields.take("justification", text(message.justification, 0, LONGEST_TEXT_BYTES));
        let request = ask.zip(justification).map(|(ask, justification)| RequestEnrolment { ask, justification });
        change(fields, &message.request_id, message.validate_only, request.map(Command::from))
    }
}

impl TryFrom<pb::ApproveEnrolmentRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::ApproveEnrolmentRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let enrolment = fields.take("enrolment_id", parsed(&message.enrolment_id));
        let digest = fields.take("approval_digest", digest(&message.approval_digest));
        let comment = fields.take("comment", text(message.comment, 0, LONGEST_TEXT_BYTES));
        let command =
            || Some(Command::from(ApproveEnrolment { enrolment: enrolment?, digest: digest?, comment: comment? }));
        change(fields, &message.request_id, message.validate_only, command())
    }
}

impl TryFrom<pb::DenyEnrolmentRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::DenyEnrolmentRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let enrolment = fields.take("enrolment_id", parsed(&message.enrolment_id));
        let reason = fields.take("reason", text(message.reason, 1, LONGEST_TEXT_BYTES));
        let command = || Some(Command::from(DenyEnrolment { enrolment: enrolment?, reason: reason? }));
        change(fields, &message.request_id, message.validate_only, command())
    }
}

impl TryFrom<pb::WithdrawEnrolmentRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::WithdrawEnrolmentRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let enrolment = fields.take("enrolment_id", parsed(&message.enrolment_id));
        let reason = fields.take("reason", text(message.reason, 0, LONGEST_TEXT_BYTES));
        let command = || Some(Command::from(WithdrawEnrolment { enrolment: enrolment?, reason: reason? }));
        change(fields, &message.request_id, message.validate_only, command())
    }
}

/// `ListEnrolments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolments {
    /// Which page.
    pub paging: Paging,
    /// How they stand to the caller; none: in whatever way.
    pub relation: Option<pb::EnrolmentRelation>,
    /// In these states; empty: in whatever state.
    pub states: Vec<pb::EnrolmentState>,
}

impl TryFrom<&pb::ListEnrolmentsRequest> for Enrolments {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListEnrolmentsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let relation = match message.relation {
            0 => Some(None),
            relation => fields.take("relation", known::<pb::EnrolmentRelation>(relation)).map(Some),
        };
        let states = all_known(&mut fields, "states", &message.states);
        let query = paging.zip(relation).map(|(paging, relation)| Self { paging, relation, states });
        fields.finish(query)
    }
}

/// After which sequence to watch.
///
/// # Errors
/// If it is none.
pub fn after_sequence(text: &str) -> Result<Option<SaidSequence>, InvalidMessage> {
    sequence(text).map_err(|wanted| InvalidMessage::one("after_sequence", wanted))
}

fn asked(fields: &mut Fields, message: Option<pb::EnrolmentAsk>) -> Option<EnrolmentAsk> {
    use pb::enrolment_ask::Ask as Said;
    let Some(said) = message.and_then(|message| message.ask) else {
        fields.wrong("ask", "missing; one of account, role, keep, restore, machine, take_over is wanted");
        return None;
    };
    match said {
        Said::Account(said) => {
            let account = fields.take("ask.account.account", optional(&said.account))?;
            Some(EnrolmentAsk::Account { account })
        }
        Said::Role(said) => {
            let account = fields.take("ask.role.account", optional(&said.account));
            let role = fields.take("ask.role.role", parsed(&said.role));
            let until = end(fields, "ask.role.end_time", said.end_time.as_ref());
            Some(EnrolmentAsk::Role { account: account?, role: role?, until: until? })
        }
        Said::Keep(said) => {
            let account = fields.take("ask.keep.account", optional(&said.account));
            let role = fields.take("ask.keep.role", parsed(&said.role));
            Some(EnrolmentAsk::Keep { account: account?, role: role? })
        }
        Said::Restore(said) => {
            let account = fields.take("ask.restore.account", optional(&said.account));
            if !said.roles.is_empty() {
                fields.wrong("ask.restore.roles", "named; leave it empty, all that can return is asked for");
            }
            Some(EnrolmentAsk::Restore { account: account? })
        }
        Said::Machine(said) => machine(fields, &said).map(|machine| EnrolmentAsk::Machine(Box::new(machine))),
        Said::TakeOver(said) => {
            let account = fields.take("ask.take_over.account", parsed(&said.account))?;
            Some(EnrolmentAsk::TakeOver { account })
        }
    }
}

fn machine(fields: &mut Fields, said: &pb::MachineAsk) -> Option<MachineAsk> {
    let account = fields.take("ask.machine.account", parsed(&said.account));
    let mut identities: BTreeSet<Identity> = BTreeSet::new();
    for (at, identity) in said.identities.iter().enumerate() {
        identities.extend(fields.take(format!("ask.machine.identities[{at}]"), parsed(identity)));
    }
    if identities.len() > IDENTITIES {
        fields.wrong("ask.machine.identities", format!("over {IDENTITIES}; an account has no more"));
    }
    if said.identities.is_empty() {
        fields.wrong("ask.machine.identities", "empty; at least one SPIFFE ID is wanted");
    }
    let mut audience: BTreeSet<Pattern> = BTreeSet::new();
    for (at, pattern) in said.audience.iter().enumerate() {
        audience.extend(fields.take(format!("ask.machine.audience[{at}]"), parsed(pattern)));
    }
    let acts_for = match pb::ActsFor::try_from(said.acts_for) {
        Ok(pb::ActsFor::Unspecified | pb::ActsFor::Itself) => Some(ActsFor::Itself),
        Ok(pb::ActsFor::People) => Some(ActsFor::People),
        Err(_) => {
            let wanted = format!("`{}` is not a value that this broker knows", said.acts_for);
            fields.wrong("ask.machine.acts_for", wanted);
            None
        }
    };
    let mut roles: BTreeMap<RoleName, Option<Timestamp>> = BTreeMap::new();
    for (at, membership) in said.roles.iter().enumerate() {
        let path = format!("ask.machine.roles[{at}]");
        let role = fields.take(format!("{path}.role"), parsed::<RoleName>(&membership.role));
        let until = end(fields, &format!("{path}.end_time"), membership.end_time.as_ref());
        if let Some((role, until)) = role.zip(until)
            && roles.insert(role, until).is_some()
        {
            fields.wrong(format!("{path}.role"), "named twice; each role once");
        }
    }
    Some(MachineAsk { account: account?, identities, audience, acts_for: acts_for?, roles })
}

fn end(fields: &mut Fields, path: &str, end: Option<&prost_types::Timestamp>) -> Option<Option<Timestamp>> {
    fields.take(path, end.map(timestamp).transpose())
}

/// An enrolment with its review.
#[must_use]
pub fn enrolment(organisation: &Organisation, it: &Enrolment, now: Now) -> pb::Enrolment {
    let state = state(it, now);
    let cause = |because: &EnrolmentCancellation| because.name().to_owned();
    pb::Enrolment {
        id: it.id.to_string(),
        requester: it.requester.to_string(),
        person: it.person.to_string(),
        ask: Some(pb::EnrolmentAsk { ask: Some(ask(&it.ask)) }),
        justification: it.justification.clone(),
        state: state.into(),
        create_time: Some(pb_timestamp(it.requested_at)),
        closing: phase_closing(&it.phase, &it.review, cause, now),
        review: Some(review(organisation, it, state == pb::EnrolmentState::Pending, now)),
        manager: it.manager.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// Where it stands at `now`.
#[must_use]
pub fn state(it: &Enrolment, now: Now) -> pb::EnrolmentState {
    match &it.phase {
        Phase::Pending if it.review.deadline.is_over(now.latest) => pb::EnrolmentState::Expired,
        Phase::Pending => pb::EnrolmentState::Pending,
        Phase::Approved { .. } => pb::EnrolmentState::Approved,
        Phase::Denied { .. } => pb::EnrolmentState::Denied,
        Phase::Withdrawn { .. } => pb::EnrolmentState::Withdrawn,
        Phase::Expired { .. } => pb::EnrolmentState::Expired,
        Phase::Cancelled { .. } => pb::EnrolmentState::Cancelled,
    }
}

/// Which enrolment a fact moves.
#[must_use]
pub fn enrolment_of(fact: &Fact) -> Option<EnrolmentId> {
    let Fact::Enrolment(fact) = fact else { return None };
    Some(match fact {
        EnrolmentFact::Requested(enrolment) => enrolment.id,
        EnrolmentFact::ApprovalRecorded(fact) | EnrolmentFact::Denied(fact) => fact.enrolment,
        EnrolmentFact::ApprovalStruck(fact) => fact.enrolment,
        EnrolmentFact::Approved(fact) | EnrolmentFact::Expired(fact) => fact.enrolment,
        EnrolmentFact::Withdrawn(fact) => fact.enrolment,
        EnrolmentFact::Cancelled(fact) => fact.enrolment,
    })
}

/// A step of an enrolment; none if the event is no such step. How its sequence is written depends on the reader.
#[must_use]
pub fn enrolment_event(it: &Event) -> Option<pb::EnrolmentEvent> {
    let id = enrolment_of(&it.fact)?;
    Some(pb::EnrolmentEvent {
        kind: kind_name(&it.fact).to_owned(),
        time: Some(pb_timestamp(it.at)),
        actor: actor(&it.actor),
        enrolment_id: id.to_string(),
        sequence: String::new(),
    })
}

fn ask(it: &Ask) -> pb::enrolment_ask::Ask {
    use pb::enrolment_ask::Ask as Said;
    let account = it.account().to_string();
    match it {
        Ask::Account { .. } => Said::Account(pb::AccountAsk { account }),
        Ask::Role { role, until, .. } => {
            Said::Role(pb::RoleAsk { account, role: role.to_string(), end_time: until.map(pb_timestamp) })
        }
        Ask::Keep { role, .. } => Said::Keep(pb::KeepAsk { account, role: role.to_string() }),
        Ask::Restore { roles, .. } => {
            Said::Restore(pb::RestoreAsk { account, roles: roles.iter().map(ToString::to_string).collect() })
        }
        Ask::Machine(machine) => {
            let acts_for = match machine.acts_for {
                ActsFor::Itself => pb::ActsFor::Itself,
                ActsFor::People => pb::ActsFor::People,
            };
            let roles = machine
                .roles
                .iter()
                .map(|(role, until)| pb::MachineRole { role: role.to_string(), end_time: until.map(pb_timestamp) });
            Said::Machine(pb::MachineAsk {
                account,
                identities: machine.identities.iter().map(ToString::to_string).collect(),
                audience: machine.audience.iter().map(ToString::to_string).collect(),
                acts_for: acts_for.into(),
                roles: roles.collect(),
            })
        }
        Ask::TakeOver { .. } => Said::TakeOver(pb::TakeOverAsk { account }),
    }
}

#[cfg(test)]
#[path = "enrolments_tests.rs"]
mod tests;
