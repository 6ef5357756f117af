//! ElevationService: asking and reviewing. Each handler says who, parses, executes, encodes.

use std::ops::Bound::{Excluded, Unbounded};

use tonic::{Request, Response, Status};

use super::caller::{Broker, Caller};
use super::paging::{Draft, list};
use super::review_context::review_context;
use super::tenant_view;
use super::watch::{Step, Teller, Told, resync, watch};
use super::{explain, past};
use crate::domain::record::command::RequestElevation;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::event::{Event, Subject};
use crate::domain::rule::answers::may_audit;
use crate::domain::rule::eligibility::Obstacles;
use crate::domain::rule::emergency::ordinary_stages;
use crate::domain::rule::obstacles::{draft, standing_obstacles};
use crate::domain::rule::reviewers::{reviewer_in, reviewer_in_stages};
use crate::domain::rule::visibility::{Thing, Viewer, as_told, may_see, viewer};
use crate::domain::state::State;
use crate::domain::value::ids::{ElevationId, EntitlementName, GrantId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;
use crate::engine::{Done, History, HistoryError};
use crate::wire::commands::{Asked, Mutation};
use crate::wire::elevations as render;
use crate::wire::events::{elevation_event, elevation_of};
use crate::wire::grants;
use crate::wire::message::InvalidMessage;
use crate::wire::queries::{self, Catalogue, Explained};
use crate::wire::v1 as pb;
use crate::wire::v1::elevation_service_server::ElevationService;
use crate::wire::values::{Named, SaidSequence, named};

/// The service.
#[derive(Clone)]
pub(super) struct Elevations(pub(super) Broker);

#[tonic::async_trait]
impl ElevationService for Elevations {
    async fn list_entitlements(
        &self,
        request: Request<pb::ListEntitlementsRequest>,
    ) -> Result<Response<pb::ListEntitlementsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Catalogue::try_from(request.get_ref())?;
        let filter = format!("{:?}", (&query.entitlement, &query.on_behalf_of));
        let listed =
            list(&self.0, &caller, ("entitlements", filter), &query.paging, |state, viewer, now, after, page| {
                offers(state, viewer, now, &query, after, page);
            });
        let listed = listed.await?;
        let (offers, next_page_token, sequence) = (listed.items, listed.next_page_token, listed.sequence);
        Ok(Response::new(pb::ListEntitlementsResponse { offers, next_page_token, sequence }))
    }

    async fn request_elevation(
        &self,
        request: Request<pb::RequestElevationRequest>,
    ) -> Result<Response<pb::RequestElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (request_id, asked) = match Asked::try_from(request.into_inner())? {
            Asked::Dry(asked) => return Ok(Response::new(self.validated(&caller, asked).await?)),
            Asked::ForReal(request_id, asked) => (request_id, asked),
        };
        let command = crate::domain::record::command::Command::from(asked);
        let (done, elevation) = self.carried_out(&caller, Mutation { request_id, command }).await?;
        let (elevation, sequence) = (Some(elevation), caller.told(done.sequence));
        Ok(Response::new(pb::RequestElevationResponse { elevation, sequence, obstacles: Vec::new() }))
    }

    async fn get_elevation(
        &self,
        request: Request<pb::GetElevationRequest>,
    ) -> Result<Response<pb::GetElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let text = &request.get_ref().elevation_id;
        let id = named(text).map_err(|wanted| InvalidMessage::one("elevation_id", wanted))?;
        Ok(Response::new(self.get(&caller, &id).await?))
    }

    async fn list_elevations(
        &self,
        request: Request<pb::ListElevationsRequest>,
    ) -> Result<Response<pb::ListElevationsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = queries::Elevations::try_from(request.get_ref())?;
        let filter = format!("{:?}", (query.relation, &query.states, &query.entitlement, &query.requester));
        let listed =
            list(&self.0, &caller, ("elevations", filter), &query.paging, |state, viewer, now, after, page| {
                elevations(state, viewer, now, &query, after, page);
            });
        let listed = listed.await?;
        let (elevations, next_page_token, sequence) = (listed.items, listed.next_page_token, listed.sequence);
        Ok(Response::new(pb::ListElevationsResponse { elevations, next_page_token, sequence }))
    }

    type WatchElevationsStream = Told<pb::WatchElevationsResponse>;

    async fn watch_elevations(
        &self,
        request: Request<pb::WatchElevationsRequest>,
    ) -> Result<Response<Self::WatchElevationsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let (after, only) = <(Option<SaidSequence>, Option<ElevationId>)>::try_from(request.get_ref())?;
        let after = caller.meant("after_sequence", after.as_ref())?;
        Ok(Response::new(watch(&self.0, caller, after, Steps { only })?))
    }

    async fn approve_elevation(
        &self,
        request: Request<pb::ApproveElevationRequest>,
    ) -> Result<Response<pb::ApproveElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (done, elevation) = self.carried_out(&caller, mutation).await?;
        let grant = self.last_approvals_grant(&caller, &elevation)?;
        let (elevation, sequence) = (Some(elevation), caller.told(done.sequence));
        Ok(Response::new(pb::ApproveElevationResponse { elevation, sequence, grant }))
    }

    async fn deny_elevation(
        &self,
        request: Request<pb::DenyElevationRequest>,
    ) -> Result<Response<pb::DenyElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (done, elevation) = self.carried_out(&caller, mutation).await?;
        let (elevation, sequence) = (Some(elevation), caller.told(done.sequence));
        Ok(Response::new(pb::DenyElevationResponse { elevation, sequence }))
    }

    async fn withdraw_elevation(
        &self,
        request: Request<pb::WithdrawElevationRequest>,
    ) -> Result<Response<pb::WithdrawElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (done, elevation) = self.carried_out(&caller, mutation).await?;
        let (elevation, sequence) = (Some(elevation), caller.told(done.sequence));
        Ok(Response::new(pb::WithdrawElevationResponse { elevation, sequence }))
    }

    async fn complete_follow_up(
        &self,
        request: Request<pb::CompleteFollowUpRequest>,
    ) -> Result<Response<pb::CompleteFollowUpResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (done, elevation) = self.carried_out(&caller, mutation).await?;
        let (elevation, sequence) = (Some(elevation), caller.told(done.sequence));
        Ok(Response::new(pb::CompleteFollowUpResponse { elevation, sequence }))
    }

    async fn explain_elevation(
        &self,
        request: Request<pb::ExplainElevationRequest>,
    ) -> Result<Response<pb::ExplainElevationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Explained::try_from(request.get_ref())?;
        let explained = self.0.engine.ask(move |state, now| {
            let viewer = viewer(state.organisation(), &caller.identity)?;
            let explained = explain::elevation(state, &viewer, query, now)?;
            Ok::<_, Refusal>(pb::ExplainElevationResponse { sequence: caller.told(state.sequence()), ..explained })
        });
        Ok(Response::new(explained.await??))
    }
}

impl Elevations {
    /// Executes, and renders what it was about from the present state under the caller's present rights.
    async fn carried_out(&self, caller: &Caller, mutation: Mutation) -> Result<(Done, pb::Elevation), Status> {
        let done = self.0.engine.execute(&caller.identity, mutation.request_id, mutation.command).await;
        let done = done.map_err(|refusal| self.0.counted(refusal))?;
        let Some(Subject::Elevation(id)) = done.about else {
            return Err(Refusal::not_found("elevation", "").into());
        };
        let told = self.get(caller, &Named::Whole(id)).await?;
        let elevation = told.elevation.ok_or_else(|| Refusal::not_found("elevation", id))?;
        Ok((done, elevation))
    }

    /// All that stands in the way of a request; nothing is changed.
    async fn validated(
        &self,
        caller: &Caller,
        asked: RequestElevation,
    ) -> Result<pb::RequestElevationResponse, Status> {
        let identity = caller.identity.clone();
        let answer = self.0.engine.ask(move |state, now| {
            let viewer = viewer(state.organisation(), &identity)?;
            let account = viewer.account()?;
            let (_, obstacles) = draft(state, account, &asked, uuid::Uuid::nil().into(), now);
            Ok::<_, Refusal>((told_to(state, &viewer, obstacles), state.sequence()))
        });
        let (obstacles, sequence) = answer.await??;
        let (obstacles, sequence) = (render::obstacles(obstacles), caller.told(sequence));
        Ok(pb::RequestElevationResponse { elevation: None, sequence, obstacles })
    }

    async fn get(&self, caller: &Caller, id: &Named<ElevationId>) -> Result<pb::GetElevationResponse, Status> {
        let told = self.0.read(caller, |state, viewer, now| {
            Ok(find(state, viewer, id, now)?.map(|it| get_response(caller, state, viewer, it, now)))
        })?;
        match (told, id) {
            (Some(told), _) => Ok(told),
            (None, Named::Ending(ending)) => Err(Refusal::not_found("elevation", ending).into()),
            (None, Named::Whole(id)) => {
                let past = past::elevation(&self.0.engine, *id).await?;
                let told = self.0.read(caller, |state, viewer, now| {
                    let visible = past.filter(|it| may_see(state, viewer, Thing::Elevation(it), now));
                    let it = visible.ok_or_else(|| Refusal::not_found("elevation", id))?;
                    Ok(get_response(caller, state, viewer, &it, now))
                });
                Ok(told?)
            }
        }
    }

    /// The grant, if the caller's approval was the last one.
    fn last_approvals_grant(&self, caller: &Caller, elevation: &pb::Elevation) -> Result<Option<pb::Grant>, Status> {
        let Ok(id) = elevation.grant_id.parse::<GrantId>() else { return Ok(None) };
        let grant = self.0.read(caller, |state, viewer, now| {
            let Some(it) = state.grants().get(&id) else { return Ok(None) };
            let approvals = state.elevations().get(&it.elevation).map(|elevation| &elevation.review);
            let last = approvals.and_then(|review| review.approvals().last());
            let was_last = last.is_some_and(|last| viewer.person.as_ref() == Some(&last.person));
            Ok((was_last && may_see(state, viewer, Thing::Grant(it), now))
                .then(|| tenant_view::grant(state, viewer, grants::grant(it, now))))
        });
        Ok(grant?)
    }
}

fn get_response(caller: &Caller, state: &State, viewer: &Viewer, it: &Elevation, now: Now) -> pb::GetElevationResponse {
    pb::GetElevationResponse {
        elevation: Some(tenant_view::elevation(state, viewer, render::elevation(state.organisation(), it, now))),
        sequence: caller.told(state.sequence()),
        context: review_context(state, viewer, it, now),
        could_review: could_review(state, viewer, it, now),
    }
}

/// Who could review what waits, or could follow up what was an emergency: told to those who audit it, and so can notify.
fn could_review(state: &State, viewer: &Viewer, it: &Elevation, now: Now) -> Vec<pb::Reviewer> {
    let organisation = state.organisation();
    if !viewer.account().is_ok_and(|id| may_audit(state, id, &it.scope, now.latest)) {
        return Vec::new();
    }
    if render::state(it, now) == pb::ElevationState::Pending {
        return render::could_review(organisation, it, now.latest);
    }
    let owed = it.open_follow_up().map(|_| render::could_follow_up(organisation, it, now.latest));
    owed.unwrap_or_default()
}

/// The one elevation in memory that is meant, if the viewer may see it.
fn find<'a>(
    state: &'a State,
    viewer: &Viewer,
    id: &Named<ElevationId>,
    now: Now,
) -> Result<Option<&'a Elevation>, Refusal> {
    let sees = |it: &&Elevation| may_see(state, viewer, Thing::Elevation(it), now);
    match id {
        Named::Whole(id) => Ok(state.elevations().get(id).filter(sees)),
        Named::Ending(ending) => {
            let ends = |it: &&Elevation| it.id.to_string().ends_with(ending);
            let mut found = state.elevations().values().filter(ends).filter(sees);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(ambiguous("elevations", ending)),
                (one, None) => Ok(one),
            }
        }
    }
}

/// Several things that the caller may see end alike.
pub(super) fn ambiguous(kind: &str, ending: &str) -> Refusal {
    Refusal::new(Reason::NotFound, format!("several {kind} end in `{ending}`; give more digits"))
        .with("ambiguous", ending)
}

/// What stands in the way, as a viewer is told it.
pub(super) fn told_to(state: &State, viewer: &Viewer, obstacles: Obstacles) -> Obstacles {
    let Ok(account) = viewer.account() else { return obstacles };
    obstacles.into_iter().map(|it| as_told(state.organisation(), account, it)).collect()
}

fn offers(
    state: &State,
    viewer: &Viewer,
    now: Now,
    query: &Catalogue,
    after: Option<&EntitlementName>,
    page: &mut Draft<EntitlementName, pb::EntitlementOffer>,
) {
    let organisation = state.organisation();
    let range = (after.map_or(Unbounded, Excluded), Unbounded);
    for (name, entitlement) in organisation.policy().entitlements.range::<EntitlementName, _>(range) {
        let offer = || {
            let asked = query.entitlement.as_ref().is_none_or(|only| only == name);
            let account = viewer.account().ok().filter(|_| asked)?;
            let terms = &entitlement.terms;
            may_see(state, viewer, Thing::Entitlement(name), now).then(|| pb::EntitlementOffer {
                entitlement: Some(tenant_view::entitlement(state, viewer, (name, entitlement))),
                obstacles: render::obstacles(told_to(
                    state,
                    viewer,
                    standing_obstacles(state, account, query.on_behalf_of.as_ref(), (name, terms), now),
                )),
                can_review: organisation
                    .policy()
                    .approving_roles(terms)
                    .any(|role| organisation.eligible_in(account, role, now.latest).is_ok()),
            })
        };
        if !page.offer(name, offer) {
            return;
        }
    }
    page.end();
}

fn elevations(
    state: &State,
    viewer: &Viewer,
    now: Now,
    query: &queries::Elevations,
    after: Option<&ElevationId>,
    page: &mut Draft<ElevationId, pb::Elevation>,
) {
    for (id, it) in state.elevations().before(after).rev() {
        let wanted = || {
            query.entitlement.as_ref().is_none_or(|only| *only == it.entitlement)
                && query.requester.as_ref().is_none_or(|only| *only == it.requester)
                && (query.states.is_empty() || query.states.contains(&render::state(it, now)))
                && relates(state, viewer, it, query.relation, now)
                && may_see(state, viewer, Thing::Elevation(it), now)
        };
        let told = || tenant_view::elevation(state, viewer, render::elevation(state.organisation(), it, now));
        if !page.offer(id, || wanted().then(told)) {
            return;
        }
    }
    page.end();
}

fn relates(state: &State, viewer: &Viewer, it: &Elevation, relation: pb::ElevationRelation, now: Now) -> bool {
    match relation {
        pb::ElevationRelation::Unspecified => false,
        pb::ElevationRelation::Visible => true,
        pb::ElevationRelation::Requested => {
            viewer.account().is_ok_and(|id| *id == it.requester)
                || viewer.person.as_ref().is_some_and(|person| it.behind.contains(person))
        }
        pb::ElevationRelation::Reviewed => viewer.person.as_ref().is_some_and(|person| it.review.has_decided(person)),
        pb::ElevationRelation::FollowUp => {
            let organisation = state.organisation();
            let may = |account| {
                let ordinary = ordinary_stages(it, organisation);
                reviewer_in_stages(organisation, it, ordinary, account, now.latest).is_ok()
            };
            let decided = viewer.person.as_ref().is_none_or(|person| it.review.has_decided(person));
            it.open_follow_up().is_some() && !decided && viewer.account().is_ok_and(may)
        }
        pb::ElevationRelation::CanReview => {
            let open = render::state(it, now) == pb::ElevationState::Pending;
            let undecided = viewer.person.as_ref().is_some_and(|person| !it.review.has_decided(person));
            let stage = it.review.open_stage().filter(|_| open && undecided);
            stage.zip(viewer.account().ok()).is_some_and(|((_, stage), account)| {
                reviewer_in(state.organisation(), it, stage, account, now.latest).is_ok()
            })
        }
    }
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
