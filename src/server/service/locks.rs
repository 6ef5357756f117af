//! LockService: locks in force, to see, to make and to lift.

use tonic::{Request, Response, Status};

use super::method::change::{Changed, carry_out};
use super::method::get::{get, get_subject, id_or_ending};
use super::method::list::{Draft, Listing, Page, list};
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::LockId;
use crate::domain::value::time::Now;
use crate::server::caller::{Broker, VerifiedCaller};
use crate::wire::commands::{Change, Mutation};
use crate::wire::locks::lock;
use crate::wire::queries::Paging;
use crate::wire::v1 as pb;
use crate::wire::v1::lock_service_server::LockService;

/// The service.
#[derive(Clone)]
pub(crate) struct Locks(pub(crate) Broker);

#[tonic::async_trait]
impl LockService for Locks {
    async fn create_lock(
        &self,
        request: Request<pb::CreateLockRequest>,
    ) -> Result<Response<pb::CreateLockResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (lock, Changed { sequence, effects, .. }) = self.create(&caller, change).await?;
        Ok(Response::new(pb::CreateLockResponse { lock, sequence, effects: Some(effects) }))
    }

    async fn delete_lock(
        &self,
        request: Request<pb::DeleteLockRequest>,
    ) -> Result<Response<pb::DeleteLockResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let mutation = Mutation::try_from(request.into_inner())?;
        let done = self.0.execute(&caller, mutation).await?;
        Ok(Response::new(pb::DeleteLockResponse { sequence: caller.sequence_text(done.sequence) }))
    }

    async fn get_lock(&self, request: Request<pb::GetLockRequest>) -> Result<Response<pb::GetLockResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = id_or_ending("lock_id", &request.get_ref().lock_id)?;
        let (lock, sequence) = get(&self.0, &caller, &id, |_, _, it, _| lock(it)).await?;
        Ok(Response::new(pb::GetLockResponse { lock: Some(lock), sequence }))
    }

    async fn list_locks(
        &self,
        request: Request<pb::ListLocksRequest>,
    ) -> Result<Response<pb::ListLocksResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = InForce(Paging::try_from(request.get_ref())?);
        let Page { items: locks, next_page_token, sequence } = list(&self.0, &caller, query).await?;
        Ok(Response::new(pb::ListLocksResponse { locks, next_page_token, sequence }))
    }
}

impl Locks {
    /// Makes a lock, and shows it as it was made, though it may be gone by now; unless that was a dry run.
    async fn create(&self, caller: &VerifiedCaller, change: Change) -> Result<(Option<pb::Lock>, Changed), Status> {
        let changed = carry_out(&self.0, caller, change).await?;
        let Some(done) = &changed.done else { return Ok((None, changed)) };
        let made = get_subject(&self.0, caller, changed.about.as_ref(), Some(done), |_, _, it, _| lock(it)).await?;
        Ok((Some(made), changed))
    }
}

/// All locks in force.
struct InForce(Paging);

impl Listing for InForce {
    const NAME: &'static str = "locks";
    type Key = LockId;
    type Item = pb::Lock;

    fn paging(&self) -> &Paging {
        &self.0
    }

    fn walk(
        &self,
        state: &State,
        viewer: &Viewer,
        now: Now,
        after: Option<&LockId>,
        page: &mut Draft<LockId, pb::Lock>,
    ) {
        for (id, it) in state.organisation().locks().all().before(after).rev() {
            if !page.offer(id, || may_see(state, viewer, Thing::Lock(it), now).then(|| lock(it))) {
                return;
            }
        }
        page.end();
    }
}
