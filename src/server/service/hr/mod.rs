//! HrService: what HR says, the brake, and how the feed stands.

mod import;

use tonic::{Request, Response, Status, Streaming};

use super::method::change::{Changed, carry_out};
use super::method::get::whole_id;
use super::method::pieces;
use crate::domain::rule::feed::feed_status_for;
use crate::domain::value::ids::HoldId;
use crate::domain::value::refusal::Refusal;
use crate::server::caller::{Broker, Messages, VerifiedCaller};
use crate::wire::commands::Change;
use crate::wire::hr as render;
use crate::wire::v1 as pb;
use crate::wire::v1::hr_service_server::HrService;

/// The service.
#[derive(Clone)]
pub(crate) struct Hr(pub(crate) Broker);

#[tonic::async_trait]
impl HrService for Hr {
    async fn apply_hr_events(
        &self,
        request: Request<pb::ApplyHrEventsRequest>,
    ) -> Result<Response<pb::ApplyHrEventsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (sent, change) = (request.get_ref().events.len(), Change::try_from(request.into_inner())?);
        let (skipped_count, hold_id, done) = self.apply(&caller, change, sent).await?;
        let set_aside = render::set_aside(&done.events).collect();
        let in_force_persons = import::in_force(&done);
        let suspended_person = render::suspended(&done.events).map(ToString::to_string).unwrap_or_default();
        let Changed { sequence, effects, .. } = done;
        Ok(Response::new(pb::ApplyHrEventsResponse {
            sequence,
            skipped_count,
            hold_id,
            effects: Some(effects),
            set_aside,
            in_force_persons,
            suspended_person,
        }))
    }

    async fn import_people(
        &self,
        request: Request<Streaming<pb::ImportPeopleRequest>>,
    ) -> Result<Response<pb::ImportPeopleResponse>, Status> {
        let caller = self.0.with_place(self.0.caller(&request)?)?;
        let (header, file) = import::receive(&self.0, &caller, request.into_inner()).await?;
        let imported = import::import(&self.0, &caller, header, file).await?;
        Ok(Response::new(imported))
    }

    async fn release_brake(
        &self,
        request: Request<pb::ReleaseBrakeRequest>,
    ) -> Result<Response<pb::ReleaseBrakeResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let done = carry_out(&self.0, &caller, change).await?;
        let applied_count = import::counted(import::applied(&done));
        let left_out_count = import::counted(render::left_out(&done.events).count());
        let left_out = render::left_out(&done.events).take(render::MOST_HELD_EVENTS).map(render::hr_event).collect();
        let Changed { sequence, effects, .. } = done;
        let effects = Some(effects);
        Ok(Response::new(pb::ReleaseBrakeResponse { sequence, effects, applied_count, left_out_count, left_out }))
    }

    async fn retire_stream(
        &self,
        request: Request<pb::RetireStreamRequest>,
    ) -> Result<Response<pb::RetireStreamResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let Changed { sequence, .. } = carry_out(&self.0, &caller, change).await?;
        Ok(Response::new(pb::RetireStreamResponse { sequence }))
    }

    async fn get_feed_status(
        &self,
        request: Request<pb::GetFeedStatusRequest>,
    ) -> Result<Response<pb::GetFeedStatusResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (status, sequence) =
            self.0.read(&caller, |state, viewer, now| Ok((feed_status_for(state, viewer, now)?, state.sequence())))?;
        Ok(Response::new(render::feed_status(&status, caller.sequence_text(sequence))))
    }

    type GetHeldEventsStream = Messages<pb::GetHeldEventsResponse>;

    async fn get_held_events(
        &self,
        request: Request<pb::GetHeldEventsRequest>,
    ) -> Result<Response<Self::GetHeldEventsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let id = whole_id("hold_id", &request.get_ref().hold_id)?;
        let json = self.held_events(&caller, id)?;
        Ok(Response::new(pieces::send(&json, |chunk| pb::GetHeldEventsResponse { chunk })))
    }
}

impl Hr {
    /// Applies events. Also gives how many of the `sent` ones were known already, and the id of the hold if the brake
    /// caught some.
    async fn apply(
        &self,
        caller: &VerifiedCaller,
        change: Change,
        sent: usize,
    ) -> Result<(u32, String, Changed), Status> {
        let done = carry_out(&self.0, caller, change).await?;
        let aside = render::set_aside(&done.events).count();
        let skipped =
            sent.saturating_sub(import::applied(&done)).saturating_sub(import::held(&done)).saturating_sub(aside);
        Ok((import::counted(skipped), import::hold_id(&done), done))
    }

    /// What the brake holds under an id, as the JSON that a release names the digest of.
    fn held_events(&self, caller: &VerifiedCaller, id: HoldId) -> Result<Vec<u8>, Refusal> {
        self.0.read(caller, |state, viewer, now| {
            let status = feed_status_for(state, viewer, now)?;
            let hold = status.holds.iter().find(|hold| hold.id == id);
            Ok(render::held_events(hold.ok_or_else(|| Refusal::not_found("hold", id))?))
        })
    }
}
