//! Asking.

use super::super::command::{Envelope, RequestElevation};
use super::super::event::Fact;
use super::super::obstacles::draft;
use super::super::refusal::{Reason, Refusal};
use super::super::state::State;
use super::{Caller, make_id};

/// A request is refused with the first of all that stands in its way.
pub(super) fn request(
    state: &State,
    caller: &Caller<'_>,
    request: &RequestElevation,
    envelope: &Envelope,
) -> Result<Vec<Fact>, Refusal> {
    let id = make_id(envelope, 0).into();
    let (elevation, obstacles) = draft(state, caller.account, request, id, envelope.now);
    if let Some(refusal) = obstacles.into_iter().next() {
        return Err(refusal);
    }
    let elevation = elevation.ok_or_else(|| Refusal::new(Reason::NotFound, ""))?;
    Ok(vec![Fact::ElevationRequested(Box::new(elevation))])
}
