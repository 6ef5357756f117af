//! ElevationService: asking and reviewing.

mod explain;
mod lists;
mod review_context;

use tonic::{Request, Response, Status};

use self::explain::as_told_to;
use self::review_context::review_context;
use super::method::get::{get, get_subject, id_or_ending};
use super::method::list::{Page, list};
use super::method::watch::{Step, Teller, resync, watch};
use crate::domain::record::command::{Command, RequestElevation};
use crate::domain::record::elevation::Elevation;
use crate::domain::record::event::Event;
use crate::domain::record::grant::GrantPhase;
use crate::domain::rule::answers::may_audit;
use crate::domain::rule::obstacles::draft;
use crate::domain::rule::visibility::{Thing, Viewer, may_see, viewer};
use crate::domain::state::State;
use crate::domain::value::ids::{ElevationId, GrantId};
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::engine::{History, HistoryError};
use crate::server::caller::{Broker, Messages, VerifiedCaller};
use crate::server::tenant_view;
use crate::wire::calls;
use crate::wire::commands::{Asked, Mutation};
use crate::wire::elevations as render;
use crate::wire::events::{elevation_event, elevation_of};
use crate::wire::grants;
use crate::wire::queries::{self, Catalogue, Explained};
use crate::wire::v1 as pb;
use crate::wire::v1::elevation_service_server::ElevationService;
use crate::wire::values::SaidSequence;

/// The service.
#[derive(Clone)]
pub(crate) struct Elevations(pub(crate) Broker);

#[tonic::async_trait]
impl ElevationService for Elevations {
    async fn list_entitlements(
        &self,
        request: Request<pb::ListEntitlementsRequest>,
    ) -> Result<Response<pb::ListEntitlementsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Catalogue::try_from(request.get_ref())?;
        let Page { items: offers, next_page_token, sequence } = list(&self.0, &caller, query).await?;
        Ok(Response::new(pb::ListEntitlementsResponse { offers, next_page_token, sequence }))
    }

    async fn request_elevation(
        &self,
        request: Request<pb::RequestElevationRequest>,
    ) -> Result<Response<pb::RequestElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let asked = Asked::try_from(request.into_inner())?;
        let (elevation, obstacles, sequence) = self.ask(&caller, asked).await?;
        Ok(Response::new(pb::RequestElevationResponse { elevation, sequence, obstacles }))
    }

    async fn get_elevation(
        &self,
        request: Request<pb::GetElevationRequest>,
    ) -> Result<Response<pb::GetElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = id_or_ending("elevation_id", &request.get_ref().elevation_id)?;
        let (shown, sequence) = get(&self.0, &caller, &id, shown).await?;
        Ok(Response::new(pb::GetElevationResponse { sequence, ..shown }))
    }

    async fn list_elevations(
        &self,
        request: Request<pb::ListElevationsRequest>,
    ) -> Result<Response<pb::ListElevationsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = queries::Elevations::try_from(request.get_ref())?;
        let Page { items: elevations, next_page_token, sequence } = list(&self.0, &caller, query).await?;
        Ok(Response::new(pb::ListElevationsResponse { elevations, next_page_token, sequence }))
    }

    type WatchElevationsStream = Messages<pb::WatchElevationsResponse>;

    async fn watch_elevations(
        &self,
        request: Request<pb::WatchElevationsRequest>,
    ) -> Result<Response<Self::WatchElevationsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let (after, only) = <(Option<SaidSequence>, Option<ElevationId>)>::try_from(request.get_ref())?;
        Ok(Response::new(watch(&self.0, caller, after.as_ref(), Steps { only })?))
    }

    async fn approve_elevation(
        &self,
        request: Request<pb::ApproveElevationRequest>,
    ) -> Result<Response<pb::ApproveElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let ((elevation, grant), sequence) = self.execute(&caller, mutation, with_last_approvals_grant).await?;
        Ok(Response::new(pb::ApproveElevationResponse { elevation, sequence, grant }))
    }

    async fn deny_elevation(
        &self,
        request: Request<pb::DenyElevationRequest>,
    ) -> Result<Response<pb::DenyElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (elevation, sequence) = self.execute(&caller, mutation, elevation_alone).await?;
        Ok(Response::new(pb::DenyElevationResponse { elevation, sequence }))
    }

    async fn withdraw_elevation(
        &self,
        request: Request<pb::WithdrawElevationRequest>,
    ) -> Result<Response<pb::WithdrawElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (elevation, sequence) = self.execute(&caller, mutation, elevation_alone).await?;
        Ok(Response::new(pb::WithdrawElevationResponse { elevation, sequence }))
    }

    async fn complete_follow_up(
        &self,
        request: Request<pb::CompleteFollowUpRequest>,
    ) -> Result<Response<pb::CompleteFollowUpResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (elevation, sequence) = self.execute(&caller, mutation, elevation_alone).await?;
        Ok(Response::new(pb::CompleteFollowUpResponse { elevation, sequence }))
    }

    async fn explain_elevation(
        &self,
        request: Request<pb::ExplainElevationRequest>,
    ) -> Result<Response<pb::ExplainElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Explained::try_from(request.get_ref())?;
        let (explained, sequence) = self.explain(&caller, query).await?;
        Ok(Response::new(pb::ExplainElevationResponse { sequence, ..explained }))
    }
}

impl Elevations {
    /// Executes, and shows what it was about.
    async fn execute<R>(
        &self,
        caller: &VerifiedCaller,
        mutation: Mutation,
        show: impl Fn(&State, &Viewer, &Elevation, Now) -> R,
    ) -> Result<(R, String), Status> {
        let done = self.0.execute(caller, mutation).await?;
        let shown = get_subject(&self.0, caller, done.about.as_ref(), Some(&done), show).await?;
        Ok((shown, caller.sequence_text(done.sequence)))
    }

    /// Asks for an elevation; or, changing nothing, for all that stands in the way of it.
    async fn ask(
        &self,
        caller: &VerifiedCaller,
        asked: Asked,
    ) -> Result<(Option<pb::Elevation>, Vec<pb::Obstacle>, String), Status> {
        match asked {
            Asked::Dry(asked) => {
                let (obstacles, sequence) = self.obstacles(caller, asked).await?;
                Ok((None, obstacles, sequence))
            }
            Asked::ForReal(request_id, asked) => {
                let mutation = Mutation { request_id, command: Command::from(asked) };
                let (elevation, sequence) = self.execute(caller, mutation, elevation_alone).await?;
                Ok((elevation, Vec::new(), sequence))
            }
        }
    }

    async fn obstacles(
        &self,
        caller: &VerifiedCaller,
        asked: RequestElevation,
    ) -> Result<(Vec<pb::Obstacle>, String), Status> {
        let identity = caller.identity.clone();
        let answer = self.0.engine.ask_as(&caller.from, move |state, now| {
            let viewer = viewer(state.organisation(), &identity)?;
            let account = viewer.account()?;
            let (_, obstacles) = draft(state, account, &asked, uuid::Uuid::nil().into(), now);
            Ok::<_, Refusal>((as_told_to(state, &viewer, obstacles), state.sequence()))
        });
        let (obstacles, sequence) = answer.await??;
        Ok((render::obstacles(obstacles), caller.sequence_text(sequence)))
    }

    async fn explain(
        &self,
        caller: &VerifiedCaller,
        query: Explained,
    ) -> Result<(pb::ExplainElevationResponse, String), Status> {
        let identity = caller.identity.clone();
        let answer = self.0.engine.ask_as(&caller.from, move |state, now| {
            let viewer = viewer(state.organisation(), &identity)?;
            Ok::<_, Refusal>((explain::elevation(state, &viewer, &query, now)?, state.sequence()))
        });
        let (explained, sequence) = answer.await??;
        Ok((explained, caller.sequence_text(sequence)))
    }
}

fn elevation_alone(state: &State, viewer: &Viewer, it: &Elevation, now: Now) -> Option<pb::Elevation> {
    shown(state, viewer, it, now).elevation
}

/// With the grant, if the caller's approval was the last one.
fn with_last_approvals_grant(
    state: &State,
    viewer: &Viewer,
    it: &Elevation,
    now: Now,
) -> (Option<pb::Elevation>, Option<pb::Grant>) {
    let elevation = elevation_alone(state, viewer, it, now);
    let last = it.review.approvals().last();
    let was_last = last.is_some_and(|last| viewer.person.as_ref() == Some(&last.person));
    let id = elevation.as_ref().and_then(|elevation| elevation.grant_id.parse::<GrantId>().ok());
    let grant = id.filter(|_| was_last).and_then(|id| state.grants().get(&id));
    let grant = grant.filter(|grant| may_see(state, viewer, Thing::Grant(grant), now));
    (elevation, grant.map(|grant| tenant_view::grant(state, viewer, grants::grant(grant, now))))
}

/// An elevation as a viewer is shown it, but for the sequence of the view.
fn shown(state: &State, viewer: &Viewer, it: &Elevation, now: Now) -> pb::GetElevationResponse {
    let mut told = render::elevation(state.organisation(), it, now);
    let grant = it.phase.outcome().and_then(|id| state.grants().get(id));
    if let Some(review) = told.review.as_mut().filter(|_| grant.is_some_and(|it| it.phase == GrantPhase::Scheduled)) {
        let under = |it| render::decision_under(state.organisation(), it);
        review.decisions = it.review.decisions.iter().map(under).collect();
    }
    pb::GetElevationResponse {
        elevation: Some(tenant_view::elevation(state, viewer, told)),
        sequence: String::new(),
        context: review_context(state, viewer, it, now),
        could_review: could_review(state, viewer, it, now),
        calls: if audits(state, viewer, it, now) { calls::of_elevation(it) } else { Vec::new() },
    }
}

/// Who could review what waits, or could follow up what was an emergency: told to those who audit it, and so can notify.
fn could_review(state: &State, viewer: &Viewer, it: &Elevation, now: Now) -> Vec<pb::Reviewer> {
    let organisation = state.organisation();
    if !audits(state, viewer, it, now) {
        return Vec::new();
    }
    if render::state(it, now) == pb::ElevationState::Pending {
        return render::could_review(organisation, it, now.latest);
    }
    let owed = it.open_follow_up().map(|_| render::could_follow_up(organisation, it, now.latest));
    owed.unwrap_or_default()
}

fn audits(state: &State, viewer: &Viewer, it: &Elevation, now: Now) -> bool {
    viewer.account().is_ok_and(|id| may_audit(state, id, &it.scope, now.latest))
}

/// Tells the steps of elevations. Where one stands after a step follows from the step itself.
struct Steps {
    only: Option<ElevationId>,
}

impl Teller for Steps {
    type Told = pb::ElevationEvent;
    type Message = pb::WatchElevationsResponse;

    fn step(&self, state: &State, viewer: &Viewer, event: &Event, now: Now) -> Result<Step<Self::Told>, Refusal> {
        let id = elevation_of(&event.fact).filter(|id| self.only.is_none_or(|only| only == *id));
        let Some(id) = id else { return Ok(Step::Skip) };
        let it = state.elevations().get(&id).ok_or_else(|| resync(event.sequence))?;
        let told = elevation_event(event).filter(|_| may_see(state, viewer, Thing::Elevation(it), now));
        Ok(told.map_or(Step::Skip, Step::Tell))
    }

    fn look_back(&self, _history: &History, event: &Event) -> Result<Option<Self::Told>, HistoryError> {
        Ok(elevation_event(event))
    }

    fn message(&self, sequence: String, told: Option<Self::Told>) -> Self::Message {
        pb::WatchElevationsResponse { sequence, event: told }
    }
}
