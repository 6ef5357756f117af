//! RecertificationService: campaigns in which a role's holders are confirmed or end. A caller sees the items that are
//! theirs to judge, and no campaign in which they have none.

use tonic::{Request, Response, Status};

use super::method::change::{Changed, carry_out};
use super::method::get::{get, get_subject, id_or_ending};
use super::method::list::{Draft, Listing, Page, list};
use crate::domain::record::campaign::Campaign;
use crate::domain::rule::visibility::{Thing, Viewer, may_see, visible_items};
use crate::domain::state::State;
use crate::domain::value::ids::CampaignId;
use crate::domain::value::time::Now;
use crate::server::caller::{Broker, VerifiedCaller};
use crate::wire::commands::Change;
use crate::wire::queries::Paging;
use crate::wire::recertification::{Recertifications as Query, recertification};
use crate::wire::v1 as pb;
use crate::wire::v1::recertification_service_server::RecertificationService;

/// The service.
#[derive(Clone)]
pub(crate) struct Recertifications(pub(crate) Broker);

#[tonic::async_trait]
impl RecertificationService for Recertifications {
    async fn start_recertification(
        &self,
        request: Request<pb::StartRecertificationRequest>,
    ) -> Result<Response<pb::StartRecertificationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (recertification, Changed { sequence, effects, .. }) = self.carry_out(&caller, change).await?;
        Ok(Response::new(pb::StartRecertificationResponse { recertification, sequence, effects: Some(effects) }))
    }

    async fn get_recertification(
        &self,
        request: Request<pb::GetRecertificationRequest>,
    ) -> Result<Response<pb::GetRecertificationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = id_or_ending("recertification_id", &request.get_ref().recertification_id)?;
        let (recertification, sequence) = get(&self.0, &caller, &id, shown).await?;
        Ok(Response::new(pb::GetRecertificationResponse { recertification: Some(recertification), sequence }))
    }

    async fn list_recertifications(
        &self,
        request: Request<pb::ListRecertificationsRequest>,
    ) -> Result<Response<pb::ListRecertificationsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Query::try_from(request.get_ref())?;
        let Page { items: recertifications, next_page_token, sequence } = list(&self.0, &caller, query).await?;
        Ok(Response::new(pb::ListRecertificationsResponse { recertifications, next_page_token, sequence }))
    }

    async fn confirm_membership(
        &self,
        request: Request<pb::ConfirmMembershipRequest>,
    ) -> Result<Response<pb::ConfirmMembershipResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (recertification, Changed { sequence, .. }) = self.carry_out(&caller, change).await?;
        Ok(Response::new(pb::ConfirmMembershipResponse { recertification, sequence }))
    }
}

impl Recertifications {
    /// Carries a change out, and shows the campaign. A dry run has made none.
    async fn carry_out(
        &self,
        caller: &VerifiedCaller,
        change: Change,
    ) -> Result<(Option<pb::Recertification>, Changed), Status> {
        let changed = carry_out(&self.0, caller, change).await?;
        let Some(done) = &changed.done else { return Ok((None, changed)) };
        let campaign = get_subject(&self.0, caller, changed.about.as_ref(), Some(done), shown).await?;
        Ok((Some(campaign), changed))
    }
}

/// A campaign as a viewer is shown it.
fn shown(state: &State, viewer: &Viewer, it: &Campaign, now: Now) -> pb::Recertification {
    recertification(it, visible_items(state, viewer, it, now))
}

impl Listing for Query {
    const NAME: &'static str = "recertifications";
    type Key = CampaignId;
    type Item = pb::Recertification;

    fn paging(&self) -> &Paging {
        &self.paging
    }

    fn filter(&self) -> String {
        format!("{:?}", (&self.role, self.open_only))
    }

    fn walk(
        &self,
        state: &State,
        viewer: &Viewer,
        now: Now,
        after: Option<&CampaignId>,
        page: &mut Draft<CampaignId, pb::Recertification>,
    ) {
        for (id, it) in state.campaigns().before(after).rev() {
            let wanted = || {
                self.role.as_ref().is_none_or(|role| *role == it.role)
                    && (!self.open_only || it.is_open(now.latest))
                    && may_see(state, viewer, Thing::Campaign(it), now)
            };
            if !page.offer(id, || wanted().then(|| shown(state, viewer, it, now))) {
                return;
            }
        }
        page.end();
    }
}
