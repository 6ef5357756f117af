//! How a request would fare, and why. Slow, for people, and never more than the caller may see.

use std::collections::BTreeSet;

use crate::domain::policy::Stage;
use crate::domain::record::elevation::Elevation;
use crate::domain::rule::eligibility::Obstacles;
use crate::domain::rule::obstacles::think_through;
use crate::domain::rule::reviewers::could_approve;
use crate::domain::rule::visibility::{Thing, Viewer, as_told, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::PersonId;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::server::tenant_view;
use crate::wire::queries::Explained;
use crate::wire::{elevations, v1 as pb};

/// How a request would fare.
pub(super) fn elevation(
    state: &State,
    viewer: &Viewer,
    query: &Explained,
    now: Now,
) -> Result<pb::ExplainElevationResponse, Refusal> {
    let organisation = state.organisation();
    let request = &query.request;
    let account = match &query.account {
        Some(id) if may_see(state, viewer, Thing::Account(id), now) => id,
        Some(id) => return Err(Refusal::not_found("account", id)),
        None => viewer.account()?,
    };
    let unseen = || Refusal::not_found("entitlement", &request.entitlement);
    if !may_see(state, viewer, Thing::Entitlement(&request.entitlement), now) {
        return Err(unseen());
    }
    let entitlement = organisation.policy().entitlements.get(&request.entitlement).ok_or_else(unseen)?;
    let (drafted, obstacles) = think_through(state, account, &query.request, now);
    let stages = drafted.iter().flat_map(|drafted| {
        drafted.review.stages.iter().map(|stage| pb::ExplainedStage {
            by: elevations::approvers(stage),
            required_count: stage.count,
            eligible_count: eligible(state, drafted, stage, now),
        })
    });
    Ok(pb::ExplainElevationResponse {
        entitlement: Some(tenant_view::entitlement(state, viewer, &request.entitlement, entitlement)),
        sequence: String::new(),
        stages: stages.collect(),
        obstacles: elevations::obstacles(as_told_to(state, viewer, obstacles)),
    })
}

/// How many distinct eligible persons could approve a stage.
fn eligible(state: &State, drafted: &Elevation, stage: &Stage, now: Now) -> u32 {
    let could = could_approve(state.organisation(), drafted, stage, now.latest);
    let persons: BTreeSet<&PersonId> = could.map(|(_, person)| person).collect();
    u32::try_from(persons.len()).unwrap_or(u32::MAX)
}

/// What stands in the way, as a viewer is told it.
pub(super) fn as_told_to(state: &State, viewer: &Viewer, obstacles: Obstacles) -> Obstacles {
    let Ok(account) = viewer.account() else { return obstacles };
    obstacles.into_iter().map(|it| as_told(state.organisation(), account, it)).collect()
}
