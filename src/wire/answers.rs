//! What an auditor asks, and what the answers look like.

use super::elevations::{decision, scope_texts};
use super::message::{Fields, InvalidMessage};
use super::queries::Paging;
use super::v1 as pb;
use super::values::{optional, pb_end, pb_timestamp, timestamp};
use crate::domain::rule::answers::{Access, AccessQuestion, CapabilityHolder};
use crate::domain::value::scope::{Pattern, Scope};
use crate::domain::value::time::Timestamp;

/// `ListAccessAsOf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessAsOf {
    /// Which page.
    pub paging: Paging,
    /// When; none: now.
    pub at: Option<Timestamp>,
    /// What is asked.
    pub question: AccessQuestion,
}

impl TryFrom<&pb::ListAccessAsOfRequest> for AccessAsOf {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListAccessAsOfRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let at = fields.take("as_of_time", message.as_of_time.as_ref().map(timestamp).transpose());
        let account = fields.take("account", optional(&message.account));
        let person = fields.take("person", optional(&message.person));
        let action = fields.take("action", optional(&message.action));
        let resource = match message.resource.as_str() {
            "" => Some(None),
            text => fields.take("resource", Pattern::parse_requested(text)).map(Some),
        };
        let question = || {
            let (account, person, action, resource) = (account?, person?, action?, resource?);
            Some(Self { paging: paging?, at: at?, question: AccessQuestion { account, person, action, resource } })
        };
        let question = question();
        fields.finish(question)
    }
}

/// The instant that a report is about; none: now.
///
/// # Errors
/// If the time is out of range.
pub fn as_of(message: &pb::ReportStandingRequest) -> Result<Option<Timestamp>, InvalidMessage> {
    let mut fields = Fields::default();
    let at = fields.take("as_of_time", message.as_of_time.as_ref().map(timestamp).transpose());
    fields.finish(at)
}

/// A scope.
#[must_use]
pub fn scope(it: &Scope) -> pb::Scope {
    let (actions, resources) = scope_texts(it);
    pb::Scope { actions, resources }
}

/// An access.
#[must_use]
pub fn access(it: &Access<'_>) -> pb::Access {
    match it {
        Access::Granted { grant, elevation, locked } => {
            let own_person = grant.behind.iter().find(|person| Some(*person) != grant.on_behalf_of.as_ref());
            let approvals = elevation.iter().flat_map(|elevation| elevation.review.approvals());
            pb::Access {
                kind: pb::AccessKind::Grant.into(),
                account: grant.holder.to_string(),
                person: own_person.unwrap_or(&grant.person).to_string(),
                on_behalf_of: grant.on_behalf_of.as_ref().map(ToString::to_string).unwrap_or_default(),
                grant_id: grant.id.to_string(),
                elevation_id: grant.elevation.to_string(),
                entitlement: grant.entitlement.to_string(),
                scope: Some(scope(&grant.scope)),
                start_time: Some(pb_timestamp(grant.start)),
                end_time: Some(pb_timestamp(grant.end)),
                emergency: grant.emergency,
                locked: *locked,
                justification: elevation.map(|it| it.justification.clone()).unwrap_or_default(),
                ticket: elevation.and_then(|it| it.ticket.clone()).unwrap_or_default(),
                approvals: approvals.map(decision).collect(),
            }
        }
        Access::Baseline { account, person, until, scope: allowed, locked } => pb::Access {
            kind: pb::AccessKind::Baseline.into(),
            account: account.to_string(),
            person: person.to_string(),
            scope: Some(scope(allowed)),
            end_time: pb_end(*until),
            locked: *locked,
            ..Default::default()
        },
    }
}

/// A holder of standing power.
#[must_use]
pub fn capability_holder(it: &CapabilityHolder<'_>) -> pb::CapabilityHolder {
    pb::CapabilityHolder {
        capability: it.capability.name.as_str().to_owned(),
        account: it.account.to_string(),
        person: it.person.to_string(),
        role: it.role.to_string(),
        end_time: pb_end(it.until),
        requirements: it.capability.requirements.iter().map(ToString::to_string).collect(),
        resources: it.capability.resources.iter().map(ToString::to_string).collect(),
    }
}
