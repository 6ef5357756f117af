//! RecertificationService: campaigns in which a role's holders are confirmed or end. Of a campaign everybody sees the items that
//! are theirs to judge, and no campaign of which they see none.

use tonic::{Request, Response, Status};

use super::caller::{Broker, Caller};
use super::changes::{Changed, carry_out};
use super::elevations::ambiguous;
use super::paging::{Draft, list};
use crate::domain::record::campaign::Campaign;
use crate::domain::record::event::Subject;
use crate::domain::rule::visibility::{Thing, Viewer, may_see, visible_items};
use crate::domain::state::State;
use crate::domain::value::ids::CampaignId;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::wire::commands::Change;
use crate::wire::message::InvalidMessage;
use crate::wire::recertification::{Recertifications as Query, recertification};
use crate::wire::v1 as pb;
use crate::wire::v1::recertification_service_server::RecertificationService;
use crate::wire::values::{Named, named};

/// The service.
#[derive(Clone)]
pub(super) struct Recertifications(pub(super) Broker);

#[tonic::async_trait]
impl RecertificationService for Recertifications {
    async fn start_recertification(
        &self,
        request: Request<pb::StartRecertificationRequest>,
    ) -> Result<Response<pb::StartRecertificationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (done, recertification) = self.carried_out(&caller, change).await?;
        let (sequence, effects) = (caller.told(done.sequence), Some(done.effects));
        Ok(Response::new(pb::StartRecertificationResponse { recertification, sequence, effects }))
    }

    async fn get_recertification(
        &self,
        request: Request<pb::GetRecertificationRequest>,
    ) -> Result<Response<pb::GetRecertificationResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let text = &request.get_ref().recertification_id;
        let id = named(text).map_err(|wanted| InvalidMessage::one("recertification_id", wanted))?;
        let told = self.0.read(&caller, |state, viewer, now| {
            let recertification = Some(rendered(state, viewer, find(state, viewer, &id, now)?, now));
            Ok(pb::GetRecertificationResponse { recertification, sequence: caller.told(state.sequence()) })
        });
        Ok(Response::new(told?))
    }

    async fn list_recertifications(
        &self,
        request: Request<pb::ListRecertificationsRequest>,
    ) -> Result<Response<pb::ListRecertificationsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Query::try_from(request.get_ref())?;
        let filter = format!("{:?}", (&query.role, query.open_only));
        let listed =
            list(&self.0, &caller, ("recertifications", filter), &query.paging, |state, viewer, now, after, page| {
                campaigns(state, viewer, now, &query, after, page);
            });
        let listed = listed.await?;
        let (recertifications, next_page_token, sequence) = (listed.items, listed.next_page_token, listed.sequence);
        Ok(Response::new(pb::ListRecertificationsResponse { recertifications, next_page_token, sequence }))
    }

    async fn confirm_membership(
        &self,
        request: Request<pb::ConfirmMembershipRequest>,
    ) -> Result<Response<pb::ConfirmMembershipResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (done, recertification) = self.carried_out(&caller, change).await?;
        let sequence = caller.told(done.sequence);
        Ok(Response::new(pb::ConfirmMembershipResponse { recertification, sequence }))
    }
}

impl Recertifications {
    /// Executes, and renders the campaign under the caller's present rights. A dry run has made none.
    async fn carried_out(
        &self,
        caller: &Caller,
        change: Change,
    ) -> Result<(Changed, Option<pb::Recertification>), Status> {
        let is_dry = matches!(change, Change::Dry(_));
        let done = carry_out(&self.0, caller, change).await?;
        let Some(Subject::Campaign(id)) = done.about.clone().filter(|_| !is_dry) else { return Ok((done, None)) };
        let told = self.0.read(caller, |state, viewer, now| {
            Ok(state.campaigns().get(&id).map(|campaign| rendered(state, viewer, campaign, now)))
        });
        Ok((done, told?))
    }
}

fn rendered(state: &State, viewer: &Viewer, it: &Campaign, now: Now) -> pb::Recertification {
    recertification(it, visible_items(state, viewer, it, now))
}

/// The one campaign that is meant, if the viewer may see it.
fn find<'a>(state: &'a State, viewer: &Viewer, id: &Named<CampaignId>, now: Now) -> Result<&'a Campaign, Refusal> {
    let sees = |it: &&Campaign| may_see(state, viewer, Thing::Campaign(it), now);
    match id {
        Named::Whole(id) => {
            let campaign = state.campaigns().get(id).filter(sees);
            campaign.ok_or_else(|| Refusal::not_found("recertification", id))
        }
        Named::Ending(ending) => {
            let ends = |it: &&Campaign| it.id.to_string().ends_with(ending);
            let mut found = state.campaigns().values().filter(ends).filter(sees);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(ambiguous("recertifications", ending)),
                (one, None) => one.ok_or_else(|| Refusal::not_found("recertification", ending)),
            }
        }
    }
}

fn campaigns(
    state: &State,
    viewer: &Viewer,
    now: Now,
    query: &Query,
    after: Option<&CampaignId>,
    page: &mut Draft<CampaignId, pb::Recertification>,
) {
    for (id, it) in state.campaigns().before(after).rev() {
        let wanted = || {
            query.role.as_ref().is_none_or(|role| *role == it.role)
                && (!query.open_only || it.is_open(now.latest))
                && may_see(state, viewer, Thing::Campaign(it), now)
        };
        if !page.offer(id, || wanted().then(|| rendered(state, viewer, it, now))) {
            return;
        }
    }
    page.end();
}
