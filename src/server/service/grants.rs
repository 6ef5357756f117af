//! GrantService: held rights, to see and to end.

use tonic::{Request, Response, Status};

use super::method::get::{get, get_subject, id_or_ending};
use super::method::list::{Draft, Listing, Page, list};
use super::method::past;
use super::method::watch::{Step, Teller, resync, watch};
use crate::domain::record::event::{Event, Fact, GrantFact};
use crate::domain::record::grant::Grant;
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::GrantId;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::engine::{History, HistoryError};
use crate::server::caller::{Broker, Messages, VerifiedCaller};
use crate::server::check::replication::await_replicas;
use crate::server::tenant_view;
use crate::wire::commands::Mutation;
use crate::wire::events::{grant_event, grant_of};
use crate::wire::grants as render;
use crate::wire::message::InvalidMessage;
use crate::wire::queries::{self, Paging};
use crate::wire::v1 as pb;
use crate::wire::v1::grant_service_server::GrantService;
use crate::wire::values::{SaidSequence, sequence};

/// The service.
#[derive(Clone)]
pub(crate) struct Grants(pub(crate) Broker);

#[tonic::async_trait]
impl GrantService for Grants {
    async fn get_grant(&self, request: Request<pb::GetGrantRequest>) -> Result<Response<pb::GetGrantResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = id_or_ending("grant_id", &request.get_ref().grant_id)?;
        let (grant, sequence) = get(&self.0, &caller, &id, shown).await?;
        Ok(Response::new(pb::GetGrantResponse { grant: Some(grant), sequence }))
    }

    async fn list_grants(
        &self,
        request: Request<pb::ListGrantsRequest>,
    ) -> Result<Response<pb::ListGrantsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = queries::Grants::try_from(request.get_ref())?;
        let Page { items: grants, next_page_token, sequence } = list(&self.0, &caller, query).await?;
        Ok(Response::new(pb::ListGrantsResponse { grants, next_page_token, sequence }))
    }

    type WatchGrantsStream = Messages<pb::WatchGrantsResponse>;

    async fn watch_grants(
        &self,
        request: Request<pb::WatchGrantsRequest>,
    ) -> Result<Response<Self::WatchGrantsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let (after, only) = <(Option<SaidSequence>, Option<GrantId>)>::try_from(request.get_ref())?;
        Ok(Response::new(watch(&self.0, caller, after.as_ref(), Steps { only })?))
    }

    async fn relinquish_grant(
        &self,
        request: Request<pb::RelinquishGrantRequest>,
    ) -> Result<Response<pb::RelinquishGrantResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (grant, sequence) = self.execute(&caller, mutation).await?;
        Ok(Response::new(pb::RelinquishGrantResponse { grant: Some(grant), sequence }))
    }

    async fn revoke_grant(
        &self,
        request: Request<pb::RevokeGrantRequest>,
    ) -> Result<Response<pb::RevokeGrantResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let (grant, sequence) = self.execute(&caller, mutation).await?;
        Ok(Response::new(pb::RevokeGrantResponse { grant: Some(grant), sequence }))
    }

    type AwaitReplicasStream = Messages<pb::AwaitReplicasResponse>;

    async fn await_replicas(
        &self,
        request: Request<pb::AwaitReplicasRequest>,
    ) -> Result<Response<Self::AwaitReplicasStream>, Status> {
        let caller = self.0.caller(&request)?;
        let sequence = sequence(&request.get_ref().sequence).map_err(|why| InvalidMessage::one("sequence", why))?;
        let sequence = caller.sequence_meant("sequence", sequence.as_ref())?;
        Ok(Response::new(await_replicas(&self.0, &caller, sequence).await?))
    }
}

impl Grants {
    /// Executes, and shows what it was about. Whoever ended it may be told what became of it: `grant.revoke` lets do that, and
    /// shows nothing else.
    async fn execute(&self, caller: &VerifiedCaller, mutation: Mutation) -> Result<(pb::Grant, String), Status> {
        let done = self.0.execute(caller, mutation).await?;
        let grant = get_subject(&self.0, caller, done.about.as_ref(), Some(&done), shown).await?;
        Ok((grant, caller.sequence_text(done.sequence)))
    }
}

/// A grant as a viewer is shown it.
fn shown(state: &State, viewer: &Viewer, it: &Grant, now: Now) -> pb::Grant {
    tenant_view::grant(state, viewer, render::grant(it, now))
}

impl Listing for queries::Grants {
    const NAME: &'static str = "grants";
    type Key = GrantId;
    type Item = pb::Grant;

    fn paging(&self) -> &Paging {
        &self.paging
    }

    fn filter(&self) -> String {
        format!("{:?}", (self.relation, &self.states, &self.entitlement, &self.holder))
    }

    fn walk(
        &self,
        state: &State,
        viewer: &Viewer,
        now: Now,
        after: Option<&GrantId>,
        page: &mut Draft<GrantId, pb::Grant>,
    ) {
        for (id, it) in state.grants().before(after).rev() {
            let held = || {
                viewer.account().is_ok_and(|id| *id == it.holder)
                    || viewer.person.as_ref().is_some_and(|person| it.behind.contains(person))
            };
            let wanted = || {
                self.entitlement.as_ref().is_none_or(|only| *only == it.entitlement)
                    && self.holder.as_ref().is_none_or(|only| *only == it.holder)
                    && (self.states.is_empty() || self.states.contains(&render::state(it, now)))
                    && (self.relation == pb::GrantRelation::Visible || held())
                    && may_see(state, viewer, Thing::Grant(it), now)
            };
            if !page.offer(id, || wanted().then(|| shown(state, viewer, it, now))) {
                return;
            }
        }
        page.end();
    }
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
