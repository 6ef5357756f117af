//! HrService: what HR says, the brake, and how the feed stands. Each handler says who, parses, executes, encodes.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::caller::Broker;
use super::changes::{Changed, carry_out};
use super::imports;
use super::proposals::PIECE_BYTES;
use crate::domain::record::event::{Fact, FeedFact};
use crate::domain::rule::feed::feed_status_for;
use crate::domain::value::ids::HoldId;
use crate::domain::value::refusal::Refusal;
use crate::wire::commands::Change;
use crate::wire::hr as render;
use crate::wire::message::InvalidMessage;
use crate::wire::v1 as pb;
use crate::wire::v1::hr_service_server::HrService;
use crate::wire::values::parsed;

/// The service.
#[derive(Clone)]
pub(super) struct Hr(pub(super) Broker);

#[tonic::async_trait]
impl HrService for Hr {
    async fn apply_hr_events(
        &self,
        request: Request<pb::ApplyHrEventsRequest>,
    ) -> Result<Response<pb::ApplyHrEventsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let sent = request.get_ref().events.len();
        let done = carry_out(&self.0, &caller, Change::try_from(request.into_inner())?).await?;
        let (applied, held) = (applied(&done), held(&done));
        let skipped = sent.saturating_sub(applied).saturating_sub(held);
        Ok(Response::new(pb::ApplyHrEventsResponse {
            sequence: caller.told(done.sequence),
            skipped_count: counted(skipped),
            hold_id: hold_id(&done),
            effects: Some(done.effects),
        }))
    }

    async fn import_people(
        &self,
        request: Request<Streaming<pb::ImportPeopleRequest>>,
    ) -> Result<Response<pb::ImportPeopleResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (header, file) = imports::receive(&self.0, &caller, request.into_inner()).await?;
        Ok(Response::new(imports::import(&self.0, &caller, header, file).await?))
    }

    async fn release_brake(
        &self,
        request: Request<pb::ReleaseBrakeRequest>,
    ) -> Result<Response<pb::ReleaseBrakeResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let done = carry_out(&self.0, &caller, Change::try_from(request.into_inner())?).await?;
        let (sequence, effects) = (caller.told(done.sequence), Some(done.effects));
        Ok(Response::new(pb::ReleaseBrakeResponse { sequence, effects }))
    }

    async fn retire_stream(
        &self,
        request: Request<pb::RetireStreamRequest>,
    ) -> Result<Response<pb::RetireStreamResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let done = carry_out(&self.0, &caller, Change::try_from(request.into_inner())?).await?;
        Ok(Response::new(pb::RetireStreamResponse { sequence: caller.told(done.sequence) }))
    }

    async fn get_feed_status(
        &self,
        request: Request<pb::GetFeedStatusRequest>,
    ) -> Result<Response<pb::GetFeedStatusResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let told = self.0.read(&caller, |state, viewer, now| {
            Ok(render::feed_status(&feed_status_for(state, viewer, now)?, caller.told(state.sequence())))
        });
        Ok(Response::new(told?))
    }

    type GetHeldEventsStream = Pin<Box<dyn Stream<Item = Result<pb::GetHeldEventsResponse, Status>> + Send>>;

    async fn get_held_events(
        &self,
        request: Request<pb::GetHeldEventsRequest>,
    ) -> Result<Response<Self::GetHeldEventsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let id: HoldId = parsed(&request.get_ref().hold_id).map_err(|wanted| InvalidMessage::one("hold_id", wanted))?;
        let json = self.0.read(&caller, |state, viewer, now| {
            let status = feed_status_for(state, viewer, now)?;
            let hold = status.holds.iter().find(|hold| hold.id == id);
            Ok(render::held_events(hold.ok_or_else(|| Refusal::not_found("hold", id))?))
        })?;
        let pieces = json.chunks(PIECE_BYTES.saturating_sub(1)).map(<[u8]>::to_vec);
        let pieces: Vec<_> = pieces.map(|chunk| Ok(pb::GetHeldEventsResponse { chunk })).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }
}

/// How many events a change applied.
pub(super) fn applied(done: &Changed) -> usize {
    done.events.iter().filter(|event| matches!(event.fact, Fact::Feed(FeedFact::EventApplied(_)))).count()
}

/// How many the brake caught of it.
pub(super) fn held(done: &Changed) -> usize {
    usize::try_from(done.effects.held_count).unwrap_or(usize::MAX)
}

/// Under which id, if any.
pub(super) fn hold_id(done: &Changed) -> String {
    let caught = held(done) > 0;
    let hold = done.events.iter().rev().filter(|_| caught).find_map(|event| match &event.fact {
        Fact::Feed(FeedFact::Held(hold)) => Some(hold.id.to_string()),
        _ => None,
    });
    hold.unwrap_or_default()
}

pub(super) fn counted(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
