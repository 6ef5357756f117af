//! LoadService: loads of policy and directory under review. Each handler says who, parses, executes, encodes.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::caller::{Broker, Caller};
use super::changes::{Changed, carry_out};
use super::elevations::ambiguous;
use super::loads::PIECE_BYTES;
use super::paging::{Draft, list};
use super::past;
use crate::domain::decide::could_approve_load;
use crate::domain::event::Subject;
use crate::domain::ids::LoadId;
use crate::domain::load::Load;
use crate::domain::refusal::Refusal;
use crate::domain::reviewers::reviewer_in;
use crate::domain::state::State;
use crate::domain::time::Now;
use crate::domain::visibility::{Thing, Viewer, audits_whole, may_see};
use crate::wire::commands::Change;
use crate::wire::effects::{omitted_rights, rights};
use crate::wire::elevations::reviewers;
use crate::wire::loads::{self as render, Loads as Query};
use crate::wire::message::InvalidMessage;
use crate::wire::v1 as pb;
use crate::wire::v1::load_service_server::LoadService;
use crate::wire::values::{Named, named, parsed};

/// The service.
#[derive(Clone)]
pub(super) struct LoadReviews(pub(super) Broker);

#[tonic::async_trait]
impl LoadService for LoadReviews {
    async fn get_load(&self, request: Request<pb::GetLoadRequest>) -> Result<Response<pb::GetLoadResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = named(&request.get_ref().load_id).map_err(|wanted| InvalidMessage::one("load_id", wanted))?;
        Ok(Response::new(get(&self.0, &caller, &id).await?))
    }

    async fn list_loads(
        &self,
        request: Request<pb::ListLoadsRequest>,
    ) -> Result<Response<pb::ListLoadsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Query::try_from(request.get_ref())?;
        let filter = format!("{:?}", (query.relation, &query.states));
        let listed = list(&self.0, &caller, ("loads", filter), &query.paging, |state, viewer, now, after, page| {
            loads(state, viewer, now, &query, after, page);
        });
        let listed = listed.await?;
        let (loads, next_page_token, sequence) = (listed.items, listed.next_page_token, listed.sequence);
        Ok(Response::new(pb::ListLoadsResponse { loads, next_page_token, sequence }))
    }

    type GetLoadTextStream = Pin<Box<dyn Stream<Item = Result<pb::GetLoadTextResponse, Status>> + Send>>;

    async fn get_load_text(
        &self,
        request: Request<pb::GetLoadTextRequest>,
    ) -> Result<Response<Self::GetLoadTextStream>, Status> {
        let caller = self.0.caller(&request)?;
        let id: LoadId = parsed(&request.get_ref().load_id).map_err(|wanted| InvalidMessage::one("load_id", wanted))?;
        let text = self.0.read(&caller, |state, viewer, now| {
            let load = state.loads().get(&id).filter(|it| may_see(state, viewer, Thing::Load(it), now));
            let text = load.and_then(|load| state.load_text(load.id));
            text.ok_or_else(|| Refusal::not_found("pending load", id))
        })?;
        let pieces = text.as_bytes().chunks(PIECE_BYTES.saturating_sub(1)).map(<[u8]>::to_vec);
        let pieces: Vec<_> = pieces.map(|chunk| Ok(pb::GetLoadTextResponse { chunk })).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    async fn approve_load(
        &self,
        request: Request<pb::ApproveLoadRequest>,
    ) -> Result<Response<pb::ApproveLoadResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (done, load) = self.carried_out(&caller, Change::try_from(request.into_inner())?).await?;
        Ok(Response::new(pb::ApproveLoadResponse {
            load: Some(load),
            sequence: caller.told(done.sequence),
            omitted_rights_count: omitted_rights(&done.rights),
            rights: rights(&done.rights),
            effects: Some(done.effects),
        }))
    }

    async fn deny_load(&self, request: Request<pb::DenyLoadRequest>) -> Result<Response<pb::DenyLoadResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (done, load) = self.carried_out(&caller, Change::try_from(request.into_inner())?).await?;
        let (load, sequence) = (Some(load), caller.told(done.sequence));
        Ok(Response::new(pb::DenyLoadResponse { load, sequence }))
    }

    async fn withdraw_load(
        &self,
        request: Request<pb::WithdrawLoadRequest>,
    ) -> Result<Response<pb::WithdrawLoadResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (done, load) = self.carried_out(&caller, Change::try_from(request.into_inner())?).await?;
        let (load, sequence) = (Some(load), caller.told(done.sequence));
        Ok(Response::new(pb::WithdrawLoadResponse { load, sequence }))
    }
}

impl LoadReviews {
    async fn carried_out(&self, caller: &Caller, change: Change) -> Result<(Changed, pb::Load), Status> {
        let done = carry_out(&self.0, caller, change).await?;
        let load = load_of(&self.0, caller, done.about.as_ref()).await?;
        Ok((done, load))
    }
}

/// What a change was about, rendered from the present state under the caller's present rights.
pub(super) async fn load_of(broker: &Broker, caller: &Caller, about: Option<&Subject>) -> Result<pb::Load, Status> {
    let Some(Subject::Load(id)) = about else { return Err(Refusal::not_found("load", "").into()) };
    let told = get(broker, caller, &Named::Whole(*id)).await?;
    told.load.ok_or_else(|| Refusal::not_found("load", id).into())
}

async fn get(broker: &Broker, caller: &Caller, id: &Named<LoadId>) -> Result<pb::GetLoadResponse, Status> {
    let told = broker.read(caller, |state, viewer, now| {
        Ok(find(state, viewer, id, now)?.map(|it| response(caller, state, viewer, it, now)))
    })?;
    match (told, id) {
        (Some(told), _) => Ok(told),
        (None, Named::Ending(ending)) => Err(Refusal::not_found("load", ending).into()),
        (None, Named::Whole(id)) => {
            let past = past::load(&broker.engine, *id).await?;
            let told = broker.read(caller, |state, viewer, now| {
                let visible = past.filter(|it| may_see(state, viewer, Thing::Load(it), now));
                let it = visible.ok_or_else(|| Refusal::not_found("load", id))?;
                Ok(response(caller, state, viewer, &it, now))
            });
            Ok(told?)
        }
    }
}

fn response(caller: &Caller, state: &State, viewer: &Viewer, it: &Load, now: Now) -> pb::GetLoadResponse {
    let organisation = state.organisation();
    let pending = it.phase.is_pending() && !it.review.deadline.is_over(now.latest);
    let could_review = match pending && audits_whole(organisation, viewer, now) {
        true => reviewers(could_approve_load(organisation, it, now.latest)),
        false => Vec::new(),
    };
    let load = Some(render::load(organisation, it, now));
    pb::GetLoadResponse { load, sequence: caller.told(state.sequence()), could_review }
}

/// The one load in memory that is meant, if the viewer may see it.
fn find<'a>(state: &'a State, viewer: &Viewer, id: &Named<LoadId>, now: Now) -> Result<Option<&'a Load>, Refusal> {
    let sees = |it: &&Load| may_see(state, viewer, Thing::Load(it), now);
    match id {
        Named::Whole(id) => Ok(state.loads().get(id).filter(sees)),
        Named::Ending(ending) => {
            let ends = |it: &&Load| it.id.to_string().ends_with(ending);
            let mut found = state.loads().values().filter(ends).filter(sees);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(ambiguous("loads", ending)),
                (one, None) => Ok(one),
            }
        }
    }
}

fn loads(
    state: &State,
    viewer: &Viewer,
    now: Now,
    query: &Query,
    after: Option<&LoadId>,
    page: &mut Draft<LoadId, pb::Load>,
) {
    for (id, it) in state.loads().before(after).rev() {
        let wanted = || {
            (query.states.is_empty() || query.states.contains(&render::state(it, now)))
                && query.relation.is_none_or(|relation| relates(state, viewer, it, relation, now))
                && may_see(state, viewer, Thing::Load(it), now)
        };
        if !page.offer(id, || wanted().then(|| render::load(state.organisation(), it, now))) {
            return;
        }
    }
    page.end();
}

fn relates(state: &State, viewer: &Viewer, it: &Load, relation: pb::LoadRelation, now: Now) -> bool {
    match relation {
        pb::LoadRelation::Unspecified => true,
        pb::LoadRelation::Proposed => {
            viewer.account().is_ok_and(|id| *id == it.requester)
                || viewer.person.as_ref().is_some_and(|person| it.behind.contains(person))
        }
        pb::LoadRelation::Reviewed => viewer.person.as_ref().is_some_and(|person| it.review.has_decided(person)),
        pb::LoadRelation::CanReview => {
            let open = render::state(it, now) == pb::LoadState::Pending;
            let stage = it.review.open_stage().filter(|_| open);
            stage.zip(viewer.account().ok()).is_some_and(|((_, stage), account)| {
                reviewer_in(state.organisation(), it, stage, account, now.latest).is_ok()
            })
        }
    }
}
