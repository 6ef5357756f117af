//! What the journal tells of the past. Reading it blocks, so it happens on threads for that.

use tonic::Status;

use super::work;

use crate::domain::record::event::{Event, Subject};
use crate::domain::record::grant::Grant;
use crate::domain::state::State;
use crate::domain::state::apply::apply;
use crate::domain::value::ids::GrantId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};
use crate::engine::{Engine, History, HistoryError};
use crate::journal::index::{Filter, Page};
use crate::server::caller::{Broker, VerifiedCaller};

/// Reads the journal on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    engine: &Engine,
    read: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, Status> {
    let engine = engine.clone();
    let read = tokio::task::spawn_blocking(move || read(engine.history())).await;
    match read {
        Ok(read) => read.map_err(unread),
        Err(_) => Err(unread(HistoryError::BrokeOff)),
    }
}

/// The same, in the caller's turn.
pub(crate) async fn in_turn<T: Send + 'static>(
    broker: &Broker,
    caller: &VerifiedCaller,
    read: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, Status> {
    let engine = broker.engine.clone();
    work::in_turn(broker, caller, move || read(engine.history())).await?.map_err(unread)
}

/// What a caller is told of a journal that cannot be read.
pub(crate) fn unread(error: HistoryError) -> Status {
    tracing::error!(%error, "the past cannot be read");
    Refusal::new(Reason::StorageUnavailable, "the journal's past cannot be read now").into()
}

/// The state as a command left it, and the instant at which it did.
pub(crate) async fn left_by(engine: &Engine, first: u64) -> Result<(State, Now), Status> {
    blocking(engine, move |history| {
        let events = history.led_to(first)?;
        let last = events.last().map_or((first, Timestamp::MIN), |event| (event.sequence, event.at));
        Ok((history.state_at(last.0)?, Now::exactly(last.1)))
    })
    .await
}

/// The state right before a command, and its events.
pub(crate) async fn led_to(engine: &Engine, first: u64) -> Result<(State, Vec<Event>), Status> {
    blocking(engine, move |history| Ok((history.state_at(first.saturating_sub(1))?, history.led_to(first)?))).await
}

/// What took effect, and cannot be told now: an error of the telling says nothing about the command.
pub(crate) fn untold(status: Status) -> Status {
    tracing::warn!(%status, "a command took effect, and its answer cannot be told");
    Refusal::new(Reason::OutcomeUnknown, "what it came to cannot be told now").into()
}

/// A grant as one event left it.
pub(crate) fn grant_at(history: &History, id: GrantId, sequence: u64) -> Result<Option<Grant>, HistoryError> {
    let filter = Filter { about: Some(Subject::Grant(id).to_string()), ..Filter::default() };
    let mut state = State::default();
    let mut after = None;
    loop {
        let past = history.list(&filter, Page { after, limit: 100, newest_first: false })?;
        let reached = past.events.last().map(|event| event.sequence);
        past.events.iter().filter(|event| event.sequence <= sequence).for_each(|event| apply(&mut state, event));
        match reached {
            Some(last) if last < sequence => after = Some(last),
            _ => return Ok(state.grants().get(&id).cloned()),
        }
    }
}
