//! What the journal keeps of refusals: the true reason, for at most 60 a minute of each caller, then a count.

use crate::domain::record::command::Envelope;
use crate::domain::record::event::{Actor, BrokerFact, CommandRefused, Event, Fact, RefusalsCounted};
use crate::domain::state::State;
pub use crate::domain::state::minute_of;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Timestamp;

/// Refusals of one caller that are recorded one by one within a minute.
pub const TOLD_PER_MINUTE: u32 = 60;

/// The event of a refusal; none for an unknown caller, and none past the cap, where the engine only counts.
#[must_use]
pub fn refused(state: &State, envelope: &Envelope, refusal: &Refusal) -> Option<Event> {
    let principal = state.organisation.principal(&envelope.caller.identity)?;
    let told = state.refusals.get(principal).map_or(0, |told| told.at(envelope.now.stamp));
    if told >= TOLD_PER_MINUTE {
        return None;
    }
    let fact = CommandRefused {
        command: envelope.command.name().to_owned(),
        reason: refusal.true_reason.unwrap_or(refusal.reason),
        told: refusal.true_reason.map(|_| refusal.reason),
        detail: cut(&refusal.detail),
        facts: refusal.facts.iter().take(8).map(|(key, value)| (key.clone(), cut(value))).collect(),
        about: envelope.command.about(),
    };
    Some(Event {
        sequence: state.sequence.saturating_add(1),
        at: envelope.now.stamp,
        actor: Actor::Caller(principal.clone()),
        request: None,
        from: Some(Box::new(envelope.caller.clone())),
        fact: Fact::Broker(BrokerFact::CommandRefused(fact)),
    })
}

/// The event that says how many refusals of a minute were not recorded one by one.
#[must_use]
pub fn counted(
    state: &State,
    caller: crate::domain::value::ids::Principal,
    minute: Timestamp,
    count: u32,
    at: Timestamp,
) -> Event {
    Event {
        sequence: state.sequence.saturating_add(1),
        at,
        actor: Actor::Broker,
        request: None,
        from: None,
        fact: Fact::Broker(BrokerFact::RefusalsCounted(RefusalsCounted { caller, minute, count })),
    }
}

/// At most 400 characters of a text.
fn cut(text: &str) -> String {
    text.chars().take(400).collect()
}
