//! LockService: locks in force, to see, to make and to lift.

use tonic::{Request, Response, Status};

use super::caller::Broker;
use super::changes::carry_out;
use super::elevations::ambiguous;
use super::paging::{Draft, list};
use crate::domain::record::event::Subject;
use crate::domain::record::lock::Lock;
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::LockId;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::wire::commands::{Change, Mutation};
use crate::wire::locks::lock;
use crate::wire::message::InvalidMessage;
use crate::wire::queries::Paging;
use crate::wire::v1 as pb;
use crate::wire::v1::lock_service_server::LockService;
use crate::wire::values::{Named, named};

/// The service.
#[derive(Clone)]
pub(super) struct Locks(pub(super) Broker);

#[tonic::async_trait]
impl LockService for Locks {
    async fn create_lock(
        &self,
        request: Request<pb::CreateLockRequest>,
    ) -> Result<Response<pb::CreateLockResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let is_dry = matches!(change, Change::Dry(_));
        let done = carry_out(&self.0, &caller, change).await?;
        // Whoever made it sees it, also a moment later, when it may be gone.
        let made = match done.about {
            Some(Subject::Lock(id)) if !is_dry => {
                self.0.engine.read(|state| state.organisation().locks().get(id).map(lock))
            }
            _ => None,
        };
        let (sequence, effects) = (caller.told(done.sequence), Some(done.effects));
        Ok(Response::new(pb::CreateLockResponse { lock: made, sequence, effects }))
    }

    async fn delete_lock(
        &self,
        request: Request<pb::DeleteLockRequest>,
    ) -> Result<Response<pb::DeleteLockResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let Mutation { request_id, command } = Mutation::try_from(request.into_inner())?;
        let done = self.0.engine.execute(&caller.identity, request_id, command).await;
        let done = done.map_err(|refusal| self.0.counted(refusal))?;
        Ok(Response::new(pb::DeleteLockResponse { sequence: caller.told(done.sequence) }))
    }

    async fn get_lock(&self, request: Request<pb::GetLockRequest>) -> Result<Response<pb::GetLockResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = named(&request.get_ref().lock_id).map_err(|wanted| InvalidMessage::one("lock_id", wanted))?;
        let told = self.0.read(&caller, |state, viewer, now| {
            let found = Some(lock(find(state, viewer, &id, now)?));
            Ok(pb::GetLockResponse { lock: found, sequence: caller.told(state.sequence()) })
        });
        Ok(Response::new(told?))
    }

    async fn list_locks(
        &self,
        request: Request<pb::ListLocksRequest>,
    ) -> Result<Response<pb::ListLocksResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let paging = Paging::try_from(request.get_ref())?;
        let listed = list(&self.0, &caller, ("locks", String::new()), &paging, locks).await?;
        let (locks, next_page_token, sequence) = (listed.items, listed.next_page_token, listed.sequence);
        Ok(Response::new(pb::ListLocksResponse { locks, next_page_token, sequence }))
    }
}

/// The one lock that is meant, if the viewer may see it.
fn find<'a>(state: &'a State, viewer: &Viewer, id: &Named<LockId>, now: Now) -> Result<&'a Lock, Refusal> {
    let sees = |it: &&Lock| may_see(state, viewer, Thing::Lock(it), now);
    let all = state.organisation().locks();
    match id {
        Named::Whole(id) => all.get(*id).filter(sees).ok_or_else(|| Refusal::not_found("lock", id)),
        Named::Ending(ending) => {
            let ends = |it: &&Lock| it.id.to_string().ends_with(ending);
            let mut found = all.all().values().filter(ends).filter(sees);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(ambiguous("locks", ending)),
                (one, None) => one.ok_or_else(|| Refusal::not_found("lock", ending)),
            }
        }
    }
}

fn locks(state: &State, viewer: &Viewer, now: Now, after: Option<&LockId>, page: &mut Draft<LockId, pb::Lock>) {
    for (id, it) in state.organisation().locks().all().before(after).rev() {
        if !page.offer(id, || may_see(state, viewer, Thing::Lock(it), now).then(|| lock(it))) {
            return;
        }
    }
    page.end();
}
