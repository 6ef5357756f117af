//! Events as messages: the journal's rows for readers of the audit, and the steps of one elevation or grant for watches.

use super::calls;
use super::grants::{end_word, revocation};
use super::v1 as pb;
use super::values::pb_timestamp;
use crate::domain::record::event::{Actor, ElevationFact, Event, Fact, GrantFact};
use crate::domain::record::grant::{Grant, GrantPhase};
use crate::domain::value::ids::{Digest, ElevationId, GrantId};

/// A row of the journal. `body` is the row as stored. How its sequence is written depends on the reader.
#[must_use]
pub fn event(it: &Event, body: &str, hash: Option<Digest>) -> pb::Event {
    let stored: Option<Stored<'_>> = serde_json::from_str(body).ok();
    pb::Event {
        sequence: String::new(),
        time: Some(pb_timestamp(it.at)),
        actor: it.actor.to_string(),
        kind: it.fact.kind().to_owned(),
        about: it.fact.about().iter().map(ToString::to_string).collect(),
        facts_json: stored.as_ref().map(|stored| stored.facts.get().to_owned()).unwrap_or_default(),
        hash: hash.map(|hash| hash.to_string()).unwrap_or_default(),
        batch_last: stored.is_some_and(|stored| stored.last),
        call: called(it),
    }
}

fn called(it: &Event) -> Option<pb::Call> {
    let Actor::Caller(caller) = &it.actor else { return None };
    it.from.as_ref().map(|from| calls::from(caller, it.at, from))
}

#[derive(serde::Deserialize)]
struct Stored<'a> {
    #[serde(default)]
    last: bool,
    #[serde(borrow)]
    facts: &'a serde_json::value::RawValue,
}

/// The kind without its version: `elevation-requested`.
#[must_use]
pub fn kind_name(fact: &Fact) -> &'static str {
    let kind = fact.kind();
    kind.split_once('/').map_or(kind, |(name, _)| name)
}

/// Which elevation a fact moves.
#[must_use]
pub fn elevation_of(fact: &Fact) -> Option<ElevationId> {
    let Fact::Elevation(fact) = fact else { return None };
    Some(match fact {
        ElevationFact::Requested(elevation) => elevation.id,
        ElevationFact::ApprovalRecorded(fact) | ElevationFact::Denied(fact) => fact.elevation,
        ElevationFact::ApprovalStruck(fact) => fact.elevation,
        ElevationFact::Approved(fact) => fact.elevation,
        ElevationFact::Withdrawn(fact) => fact.elevation,
        ElevationFact::Expired(fact) => fact.elevation,
        ElevationFact::Cancelled(fact) => fact.elevation,
        ElevationFact::FollowUpOpened(fact) => fact.elevation,
        ElevationFact::FollowUpOverdue(fact) => fact.elevation,
        ElevationFact::FollowUpCompleted(fact) => fact.elevation,
    })
}

/// Which grant a fact moves.
#[must_use]
pub fn grant_of(fact: &Fact) -> Option<GrantId> {
    let Fact::Grant(fact) = fact else { return None };
    Some(match fact {
        GrantFact::Issued(grant) => grant.id,
        GrantFact::Started(fact) => fact.grant,
        GrantFact::Shortened(fact) => fact.grant,
        GrantFact::Ended(fact) => fact.grant,
        GrantFact::Relinquished(fact) => fact.grant,
        GrantFact::Revoked(fact) => fact.grant,
        GrantFact::TokenIssued(_) => return None,
    })
}

/// A step of an elevation; none if the event is no such step. Where it stands then follows from the fact alone.
#[must_use]
pub fn elevation_event(it: &Event) -> Option<pb::ElevationEvent> {
    use pb::ElevationState as S;
    let id = elevation_of(&it.fact)?;
    let Fact::Elevation(fact) = &it.fact else { return None };
    let (state, grant_id, person) = match fact {
        ElevationFact::ApprovalRecorded(fact) => (S::Pending, String::new(), fact.decision.person.to_string()),
        ElevationFact::ApprovalStruck(fact) => {
            let (state, grant) = fact.grant.map_or((S::Pending, String::new()), |it| (S::Approved, it.to_string()));
            (state, grant, fact.person.to_string())
        }
        ElevationFact::Approved(fact) => (S::Approved, fact.grant.to_string(), String::new()),
        ElevationFact::FollowUpOpened(fact) => (S::Approved, fact.grant.to_string(), String::new()),
        ElevationFact::FollowUpOverdue(_) => (S::Approved, String::new(), String::new()),
        ElevationFact::FollowUpCompleted(fact) => (S::Approved, String::new(), fact.completion.person.to_string()),
        ElevationFact::Denied(fact) => (S::Denied, String::new(), fact.decision.person.to_string()),
        ElevationFact::Withdrawn(_) => (S::Withdrawn, String::new(), String::new()),
        ElevationFact::Expired(_) => (S::Expired, String::new(), String::new()),
        ElevationFact::Cancelled(_) => (S::Cancelled, String::new(), String::new()),
        ElevationFact::Requested(_) => (S::Pending, String::new(), String::new()),
    };
    Some(pb::ElevationEvent {
        kind: kind_name(&it.fact).to_owned(),
        time: Some(pb_timestamp(it.at)),
        actor: actor(&it.actor),
        elevation_id: id.to_string(),
        state: state.into(),
        grant_id,
        person,
    })
}

/// A step of a grant; none if the event is no such step. `grant` is the grant as this event left it.
#[must_use]
pub fn grant_event(it: &Event, grant: &Grant) -> Option<pb::GrantEvent> {
    grant_of(&it.fact)?;
    let state = match &grant.phase {
        GrantPhase::Scheduled => pb::GrantState::Scheduled,
        GrantPhase::Active => pb::GrantState::Active,
        GrantPhase::Ended { .. } => pb::GrantState::Ended,
        GrantPhase::Relinquished { .. } => pb::GrantState::Relinquished,
        GrantPhase::Revoked { .. } => pb::GrantState::Revoked,
    };
    let Fact::Grant(fact) = &it.fact else { return None };
    let cause = match fact {
        GrantFact::Ended(_) => end_word(&grant.end_because),
        GrantFact::Relinquished(_) => "RELINQUISHED",
        GrantFact::Revoked(fact) => revocation(&fact.because),
        GrantFact::Issued(_) | GrantFact::Started(_) | GrantFact::Shortened(_) | GrantFact::TokenIssued(_) => "",
    };
    Some(pb::GrantEvent {
        kind: kind_name(&it.fact).to_owned(),
        time: Some(pb_timestamp(it.at)),
        actor: actor(&it.actor),
        grant_id: grant.id.to_string(),
        elevation_id: grant.elevation.to_string(),
        holder_account: grant.holder.to_string(),
        state: state.into(),
        end_time: Some(pb_timestamp(grant.end)),
        cause: cause.to_owned(),
    })
}

/// Who caused it, as everybody may read it: whoever runs the broker's machine is the broker.
#[must_use]
pub fn actor(it: &Actor) -> String {
    match it {
        Actor::Caller(principal) => principal.to_string(),
        Actor::Broker | Actor::Operator => "broker".to_owned(),
    }
}
