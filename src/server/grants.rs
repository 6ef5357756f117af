//! GrantService: held rights, to see and to end.

use tonic::{Request, Response, Status};

use super::caller::{Broker, Caller};
use super::elevations::ambiguous;
use super::paging::{Draft, list};
use super::past;
use super::replication::await_replicas;
use super::tenant_view;
use super::watch::{Step, Teller, Told, resync, watch};
use crate::domain::record::event::{Event, Fact, GrantFact, Subject};
use crate::domain::record::grant::Grant;
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::GrantId;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::engine::{Done, History, HistoryError};
use crate::wire::commands::Mutation;
use crate::wire::events::{grant_event, grant_of};
use crate::wire::grants as render;
use crate::wire::message::InvalidMessage;
use crate::wire::queries;
use crate::wire::v1 as pb;
use crate::wire::v1::grant_service_server::GrantService;
use crate::wire::values::{Named, SaidSequence, named, sequence};

/// The service.
#[derive(Clone)]
pub(super) struct Grants(pub(super) Broker);

#[tonic::async_trait]
impl GrantService for Grants {
    async fn get_grant(&self, request: Request<pb::GetGrantRequest>) -> Result<Response<pb::GetGrantResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = named(&request.get_ref().grant_id).map_err(|wanted| InvalidMessage::one("grant_id", wanted))?;
        let (grant, sequence) = self.get(&caller, &id).await?;
        Ok(Response::new(pb::GetGrantResponse { grant: Some(grant), sequence }))
    }

    async fn list_grants(
        &self,
        request: Request<pb::ListGrantsRequest>,
    ) -> Result<Response<pb::ListGrantsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = queries::Grants::try_from(request.get_ref())?;
        let filter = format!("{:?}", (query.relation, &query.states, &query.entitlement, &query.holder));
        let listed = list(&self.0, &caller, ("grants", filter), &query.paging, |state, viewer, now, after, page| {
            grants(state, viewer, now, &query, after, page);
        });
        let listed = listed.await?;
        let (grants, next_page_token, sequence) = (listed.items, listed.next_page_token, listed.sequence);
        Ok(Response::new(pb::ListGrantsResponse { grants, next_page_token, sequence }))
    }

    type WatchGrantsStream = Told<pb::WatchGrantsResponse>;

    async fn watch_grants(
        &self,
        request: Request<pb::WatchGrantsRequest>,
    ) -> Result<Response<Self::WatchGrantsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let (after, only) = <(Option<SaidSequence>, Option<GrantId>)>::try_from(request.get_ref())?;
        let after = caller.meant("after_sequence", after.as_ref())?;
        Ok(Response::new(watch(&self.0, caller, after, Steps { only })?))
    }

    async fn relinquish_grant(
        &self,
        request: Request<pb::RelinquishGrantRequest>,
    ) -> Result<Response<pb::RelinquishGrantResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (done, grant) = self.carried_out(&caller, mutation).await?;
        let (grant, sequence) = (Some(grant), caller.told(done.sequence));
        Ok(Response::new(pb::RelinquishGrantResponse { grant, sequence }))
    }

    async fn revoke_grant(
        &self,
        request: Request<pb::RevokeGrantRequest>,
    ) -> Result<Response<pb::RevokeGrantResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (done, grant) = self.carried_out(&caller, mutation).await?;
        let (grant, sequence) = (Some(grant), caller.told(done.sequence));
        Ok(Response::new(pb::RevokeGrantResponse { grant, sequence }))
    }

    type AwaitReplicasStream = Told<pb::AwaitReplicasResponse>;

    async fn await_replicas(
        &self,
        request: Request<pb::AwaitReplicasRequest>,
    ) -> Result<Response<Self::AwaitReplicasStream>, Status> {
        let caller = self.0.caller(&request)?;
        let sequence =
            sequence(&request.get_ref().sequence).map_err(|wanted| InvalidMessage::one("sequence", wanted))?;
        let sequence = caller.meant("sequence", sequence.as_ref())?;
        Ok(Response::new(await_replicas(&self.0, &caller, sequence).await?))
    }
}

impl Grants {
    async fn carried_out(&self, caller: &Caller, mutation: Mutation) -> Result<(Done, pb::Grant), Status> {
        let done = self.0.engine.execute(&caller.identity, mutation.request_id, mutation.command).await;
        let done = done.map_err(|refusal| self.0.counted(refusal))?;
        let Some(Subject::Grant(id)) = done.about else { return Err(Refusal::not_found("grant", "").into()) };
        // Whoever ended it just now may be told what became of it: `grant.revoke` lets do that, and shows nothing else.
        let now = self.0.engine.now();
        let told = self.0.read(caller, |state, viewer, _| {
            Ok(state.grants().get(&id).map(|it| tenant_view::grant(state, viewer, render::grant(it, now))))
        })?;
        let grant = match told.filter(|_| !done.repeated) {
            Some(grant) => grant,
            None => self.get(caller, &Named::Whole(id)).await?.0,
        };
        Ok((done, grant))
    }

    async fn get(&self, caller: &Caller, id: &Named<GrantId>) -> Result<(pb::Grant, String), Status> {
        let told = self.0.read(caller, |state, viewer, now| {
            let it = find(state, viewer, id, now)?;
            Ok(it.map(|it| (tenant_view::grant(state, viewer, render::grant(it, now)), caller.told(state.sequence()))))
        })?;
        match (told, id) {
            (Some(told), _) => Ok(told),
            (None, Named::Ending(ending)) => Err(Refusal::not_found("grant", ending).into()),
            (None, Named::Whole(id)) => {
                let past = past::grant(&self.0.engine, *id).await?;
                let told = self.0.read(caller, |state, viewer, now| {
                    let sees = |(grant, elevation): &(Grant, Option<_>)| {
                        may_see(state, viewer, Thing::Grant(grant), now)
                            || elevation.as_ref().is_some_and(|it| may_see(state, viewer, Thing::Elevation(it), now))
                    };
                    let (it, _) = past.filter(sees).ok_or_else(|| Refusal::not_found("grant", id))?;
                    Ok((tenant_view::grant(state, viewer, render::grant(&it, now)), caller.told(state.sequence())))
                });
                Ok(told?)
            }
        }
    }
}

fn find<'a>(state: &'a State, viewer: &Viewer, id: &Named<GrantId>, now: Now) -> Result<Option<&'a Grant>, Refusal> {
    let sees = |it: &&Grant| may_see(state, viewer, Thing::Grant(it), now);
    match id {
        Named::Whole(id) => Ok(state.grants().get(id).filter(sees)),
        Named::Ending(ending) => {
            let ends = |it: &&Grant| it.id.to_string().ends_with(ending);
            let mut found = state.grants().values().filter(ends).filter(sees);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(ambiguous("grants", ending)),
                (one, None) => Ok(one),
            }
        }
    }
}

fn grants(
    state: &State,
    viewer: &Viewer,
    now: Now,
    query: &queries::Grants,
    after: Option<&GrantId>,
    page: &mut Draft<GrantId, pb::Grant>,
) {
    for (id, it) in state.grants().before(after).rev() {
        let held = || {
            viewer.account().is_ok_and(|id| *id == it.holder)
                || viewer.person.as_ref().is_some_and(|person| it.behind.contains(person))
        };
        let wanted = || {
            query.entitlement.as_ref().is_none_or(|only| *only == it.entitlement)
                && query.holder.as_ref().is_none_or(|only| *only == it.holder)
                && (query.states.is_empty() || query.states.contains(&render::state(it, now)))
                && (query.relation == pb::GrantRelation::Visible || held())
                && may_see(state, viewer, Thing::Grant(it), now)
        };
        if !page.offer(id, || wanted().then(|| tenant_view::grant(state, viewer, render::grant(it, now)))) {
            return;
        }
    }
    page.end();
}

/// Tells the steps of grants. A step says the grant's end as it was then: where the view is past the step, and a later
/// one may have changed what it says, the journal is asked.
struct Steps {
    only: Option<GrantId>,
}

impl Teller for Steps {
    type Told = pb::GrantEvent;
    type Message = pb::WatchGrantsResponse;

    fn step(&self, state: &State, viewer: &Viewer, event: &Event, now: Now) -> Result<Step<Self::Told>, Refusal> {
        let id = grant_of(&event.fact).filter(|id| self.only.is_none_or(|only| only == *id));
        let Some(id) = id else { return Ok(Step::Skip) };
        let it = state.grants().get(&id).ok_or_else(|| resync(event.sequence))?;
        if !may_see(state, viewer, Thing::Grant(it), now) {
            return Ok(Step::Skip);
        }
        let as_then = match &event.fact {
            Fact::Grant(GrantFact::Issued(issued)) => Some(&**issued),
            Fact::Grant(GrantFact::Started(_)) | Fact::Grant(GrantFact::Shortened(_))
                if state.sequence() != event.sequence =>
            {
                None
            }
            // Nothing comes after an end.
            _ => Some(it),
        };
        Ok(as_then.map_or(Step::Past, |grant| grant_event(event, grant).map_or(Step::Skip, Step::Tell)))
    }

    fn look_back(&self, history: &History, event: &Event) -> Result<Option<Self::Told>, HistoryError> {
        let Some(id) = grant_of(&event.fact) else { return Ok(None) };
        let grant = past::grant_at(history, id, event.sequence)?;
        Ok(grant.and_then(|grant| grant_event(event, &grant)))
    }

    fn message(&self, sequence: String, told: Option<Self::Told>) -> Self::Message {
        pb::WatchGrantsResponse { sequence, event: told }
    }
}
