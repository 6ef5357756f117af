//! Facts become events: numbered and stamped.

use crate::domain::record::event::{Actor, Event, Fact, RequestMark};
use crate::domain::state::State;
use crate::domain::value::time::Timestamp;

/// Numbers and stamps facts as the next events of a state.
pub(super) fn events(
    state: &State,
    at: Timestamp,
    actor: &Actor,
    mut mark: Option<RequestMark>,
    facts: Vec<Fact>,
) -> Vec<Event> {
    let numbered = (state.sequence.saturating_add(1)..).zip(facts);
    numbered
        .map(|(sequence, fact)| Event { sequence, at, actor: actor.clone(), request: mark.take(), from: None, fact })
        .collect()
}
