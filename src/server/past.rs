//! What has left memory, from the journal: Get shows it under the same rights (known failure H12). Reading the journal blocks,
//! so it happens on threads for that.

use tonic::Status;

use crate::domain::record::elevation::Elevation;
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::event::Subject;
use crate::domain::record::grant::Grant;
use crate::domain::record::proposal::Proposal;
use crate::domain::state::State;
use crate::domain::state::apply::apply;
use crate::domain::value::ids::{ElevationId, EnrolmentId, GrantId, ProposalId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::engine::{Engine, History, HistoryError};
use crate::journal::index::{Filter, Page};

/// Reads the journal on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    engine: &Engine,
    read: impl FnOnce(&History) -> Result<T, HistoryError> + Send + 'static,
) -> Result<T, Status> {
    let engine = engine.clone();
    let read = tokio::task::spawn_blocking(move || read(engine.history())).await;
    match read {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::error!(%error, "the past cannot be read");
            Err(Refusal::new(Reason::StorageUnavailable, "the journal's past cannot be read now").into())
        }
        Err(error) => {
            tracing::error!(%error, "reading the past broke off");
            Err(Refusal::new(Reason::StorageUnavailable, "the journal's past cannot be read now").into())
        }
    }
}

/// An elevation as the journal tells it.
pub(super) async fn elevation(engine: &Engine, id: ElevationId) -> Result<Option<Elevation>, Status> {
    blocking(engine, move |history| Ok(history.only(&Subject::Elevation(id))?.elevations().get(&id).cloned())).await
}

/// An enrolment as the journal tells it.
pub(super) async fn enrolment(engine: &Engine, id: EnrolmentId) -> Result<Option<Enrolment>, Status> {
    blocking(engine, move |history| Ok(history.only(&Subject::Enrolment(id))?.enrolments().get(&id).cloned())).await
}

/// A proposal as the journal tells it.
pub(super) async fn proposal(engine: &Engine, id: ProposalId) -> Result<Option<Proposal>, Status> {
    blocking(engine, move |history| Ok(history.only(&Subject::Proposal(id))?.proposals().get(&id).cloned())).await
}

/// A grant as the journal tells it, with the elevation that it came from.
pub(super) async fn grant(engine: &Engine, id: GrantId) -> Result<Option<(Grant, Option<Elevation>)>, Status> {
    blocking(engine, move |history| {
        let Some(grant) = history.only(&Subject::Grant(id))?.grants().get(&id).cloned() else { return Ok(None) };
        let from = history.only(&Subject::Elevation(grant.elevation))?;
        let elevation = from.elevations().get(&grant.elevation).cloned();
        Ok(Some((grant, elevation)))
    })
    .await
}

/// A grant as one event left it.
pub(super) fn grant_at(history: &History, id: GrantId, sequence: u64) -> Result<Option<Grant>, HistoryError> {
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
