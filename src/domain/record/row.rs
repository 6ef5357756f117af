//! An event as the journal stores it: one JSON object. Reading is strict: what this version does not know it refuses,
//! because to skip a fact would be to forget it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::called_from::CalledFrom;
use super::event::{Actor, Event, Fact, RequestMark};
use crate::domain::value::ids::Principal;
use crate::domain::value::time::Timestamp;

#[derive(Serialize)]
struct Written<'a> {
    seq: u64,
    at: Timestamp,
    actor: String,
    kind: &'static str,
    about: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a RequestMark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a CalledFrom>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    last: bool,
    facts: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    seq: u64,
    at: Timestamp,
    #[serde(borrow)]
    actor: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
    about: Vec<String>,
    #[serde(default)]
    request: Option<RequestMark>,
    #[serde(default)]
    from: Option<Box<CalledFrom>>,
    #[serde(default)]
    last: bool,
    #[serde(borrow)]
    facts: &'a RawValue,
}

/// Why a row is not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not the JSON of a row.
    #[error("not a row of this journal: {0}")]
    Form(String),
    /// A kind that this version does not know.
    #[error("unknown kind `{0}`; a newer version wrote it")]
    Kind(String),
    /// The row's `about` names something else than its facts do.
    #[error("`about` does not agree with the facts")]
    About,
}

/// The row's body. `last`: this event ends its batch.
///
/// # Errors
/// If a value has no JSON form; every value of an event has one.
pub fn encode(event: &Event, last: bool) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Written {
        seq: event.sequence,
        at: event.at,
        actor: event.actor.to_string(),
        kind: event.fact.kind(),
        about: event.fact.about().iter().map(ToString::to_string).collect(),
        request: event.request.as_ref(),
        from: event.from.as_deref(),
        last,
        facts: event.fact.write()?,
    })
}

/// The event that a row's body tells, and whether it ends its batch.
///
/// # Errors
/// If the row has an unknown kind or field, or any other form.
pub fn decode(body: &str) -> Result<(Event, bool), Unreadable> {
    let form = |error: serde_json::Error| Unreadable::Form(error.to_string());
    let read: Read<'_> = serde_json::from_str(body).map_err(form)?;
    let fact = Fact::read(&read.kind, read.facts.get())
        .map_err(form)?
        .ok_or_else(|| Unreadable::Kind(crate::domain::value::ids::excerpt(&read.kind)))?;
    let about = fact.about();
    if about.len() != read.about.len()
        || about.iter().zip(&read.about).any(|(ours, theirs)| ours.to_string() != *theirs)
    {
        return Err(Unreadable::About);
    }
    let actor = actor(&read.actor).ok_or_else(|| Unreadable::Form("unknown actor".into()))?;
    let Read { seq: sequence, at, request, from, last, .. } = read;
    Ok((Event { sequence, at, actor, request, from, fact }, last))
}

fn actor(text: &str) -> Option<Actor> {
    match text.split_once(':') {
        None if text == "broker" => Some(Actor::Broker),
        None if text == "operator" => Some(Actor::Operator),
        Some(("account", id)) => Some(Actor::Caller(Principal::Account(id.parse().ok()?))),
        Some(("person", id)) => Some(Actor::Caller(Principal::Person(id.parse().ok()?))),
        _ => None,
    }
}
