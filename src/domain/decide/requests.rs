//! Asking.

use super::super::state::State;
use super::caller::{Caller, make_id};
use crate::domain::record::command::{Envelope, RequestElevation};
use crate::domain::record::event::Fact;
use crate::domain::rule::obstacles::draft;
use crate::domain::value::refusal::{Reason, Refusal};

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
