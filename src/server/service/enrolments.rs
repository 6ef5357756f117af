//! EnrolmentService: asking for accounts and roles, and their review. Open to a person without an account, who sees what
//! they asked for and nothing else.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::method::change::{Changed, carry_out};
use super::method::get::{get, get_subject, id_or_ending};
use super::method::list::{Draft, Listing, Page, list};
use super::method::watch::{Step, Teller, resync, watch};
use crate::domain::record::command::{Command, EnrolmentCommand, RequestEnrolment};
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::event::Event;
use crate::domain::rule::enrolling::draft_enrolment;
use crate::domain::rule::reviewers::{counted, reviewer_in};
use crate::domain::rule::visibility::{Thing, Viewer, audits_whole, may_see, viewer};
use crate::domain::state::State;
use crate::domain::value::ids::EnrolmentId;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::engine::{History, HistoryError};
use crate::server::caller::{Broker, Messages, VerifiedCaller};
use crate::wire::calls;
use crate::wire::commands::Change;
use crate::wire::elevations::{could_review, obstacles};
use crate::wire::enrolments::{self as render, Enrolments as Query, after_sequence, enrolment_event, enrolment_of};
use crate::wire::queries::Paging;
use crate::wire::v1 as pb;
use crate::wire::v1::enrolment_service_server::EnrolmentService;

/// The service.
#[derive(Clone)]
pub(crate) struct Enrolments(pub(crate) Broker);

#[tonic::async_trait]
impl EnrolmentService for Enrolments {
    async fn request_enrolment(
        &self,
        request: Request<pb::RequestEnrolmentRequest>,
    ) -> Result<Response<pb::RequestEnrolmentResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (enrolment, obstacles, sequence) = self.ask(&caller, change).await?;
        Ok(Response::new(pb::RequestEnrolmentResponse { enrolment, sequence, obstacles }))
    }

    async fn get_enrolment(
        &self,
        request: Request<pb::GetEnrolmentRequest>,
    ) -> Result<Response<pb::GetEnrolmentResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = id_or_ending("enrolment_id", &request.get_ref().enrolment_id)?;
        let (shown, sequence) = get(&self.0, &caller, &id, shown).await?;
        Ok(Response::new(pb::GetEnrolmentResponse { sequence, ..shown }))
    }

    async fn list_enrolments(
        &self,
        request: Request<pb::ListEnrolmentsRequest>,
    ) -> Result<Response<pb::ListEnrolmentsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Query::try_from(request.get_ref())?;
        let Page { items: enrolments, next_page_token, sequence } = list(&self.0, &caller, query).await?;
        Ok(Response::new(pb::ListEnrolmentsResponse { enrolments, next_page_token, sequence }))
    }

    type WatchEnrolmentsStream = Messages<pb::WatchEnrolmentsResponse>;

    async fn watch_enrolments(
        &self,
        request: Request<pb::WatchEnrolmentsRequest>,
    ) -> Result<Response<Self::WatchEnrolmentsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let after = after_sequence(&request.get_ref().after_sequence)?;
        Ok(Response::new(watch(&self.0, caller, after.as_ref(), Steps)?))
    }

    async fn approve_enrolment(
        &self,
        request: Request<pb::ApproveEnrolmentRequest>,
    ) -> Result<Response<pb::ApproveEnrolmentResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (enrolment, Changed { sequence, effects, .. }) = self.carry_out(&caller, change).await?;
        Ok(Response::new(pb::ApproveEnrolmentResponse { enrolment, sequence, effects: Some(effects) }))
    }

    async fn deny_enrolment(
        &self,
        request: Request<pb::DenyEnrolmentRequest>,
    ) -> Result<Response<pb::DenyEnrolmentResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (enrolment, Changed { sequence, effects, .. }) = self.carry_out(&caller, change).await?;
        Ok(Response::new(pb::DenyEnrolmentResponse { enrolment, sequence, effects: Some(effects) }))
    }

    async fn withdraw_enrolment(
        &self,
        request: Request<pb::WithdrawEnrolmentRequest>,
    ) -> Result<Response<pb::WithdrawEnrolmentResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (enrolment, Changed { sequence, effects, .. }) = self.carry_out(&caller, change).await?;
        Ok(Response::new(pb::WithdrawEnrolmentResponse { enrolment, sequence, effects: Some(effects) }))
    }
}

/// What asking comes to: the enrolment, all that stands in its way, and the sequence.
type Answered = (Option<pb::Enrolment>, Vec<pb::Obstacle>, String);

impl Enrolments {
    /// Carries a change out, and shows what it was about.
    async fn carry_out(
        &self,
        caller: &VerifiedCaller,
        change: Change,
    ) -> Result<(Option<pb::Enrolment>, Changed), Status> {
        let done = carry_out(&self.0, caller, change).await?;
        let shown = get_subject(&self.0, caller, done.about.as_ref(), done.done.as_ref(), shown).await?;
        Ok((shown.enrolment, done))
    }

    /// Asks for an enrolment; or, changing nothing, for all that stands in the way of it.
    async fn ask(&self, caller: &VerifiedCaller, change: Change) -> Result<Answered, Status> {
        match change {
            Change::Dry(Command::Enrolment(EnrolmentCommand::Request(asked))) => self.obstacles(caller, asked).await,
            change => {
                let (enrolment, Changed { sequence, .. }) = self.carry_out(caller, change).await?;
                Ok((enrolment, Vec::new(), sequence))
            }
        }
    }

    async fn obstacles(&self, caller: &VerifiedCaller, asked: RequestEnrolment) -> Result<Answered, Status> {
        let from = Arc::clone(&caller.from);
        let caller = caller.clone();
        let answer = self.0.engine.ask_as(&from, move |state, now| {
            let viewer = viewer(state.organisation(), &caller.identity)?;
            let (draft, refusals) = draft_enrolment(state, &viewer, &asked, uuid::Uuid::nil().into(), now);
            let draft = draft.map(|it| render::enrolment(state.organisation(), &it, now));
            Ok::<_, Refusal>((draft, obstacles(refusals), caller.sequence_text(state.sequence())))
        });
        Ok(answer.await??)
    }
}

/// An enrolment as a viewer is shown it, but for the sequence of the view.
fn shown(state: &State, viewer: &Viewer, it: &Enrolment, now: Now) -> pb::GetEnrolmentResponse {
    let pending = it.phase.is_pending() && !it.review.deadline.is_over(now.latest);
    let audits = audits_whole(state.organisation(), viewer, now);
    let could_review = match pending && audits {
        true => could_review(state.organisation(), it, now.latest),
        false => Vec::new(),
    };
    let enrolment = Some(render::enrolment(state.organisation(), it, now));
    let calls = if audits { calls::of_enrolment(it) } else { Vec::new() };
    pb::GetEnrolmentResponse { enrolment, sequence: String::new(), could_review, calls }
}

impl Listing for Query {
    const NAME: &'static str = "enrolments";
    type Key = EnrolmentId;
    type Item = pb::Enrolment;

    fn paging(&self) -> &Paging {
        &self.paging
    }

    fn filter(&self) -> String {
        format!("{:?}", (self.relation, &self.states))
    }

    fn walk(
        &self,
        state: &State,
        viewer: &Viewer,
        now: Now,
        after: Option<&EnrolmentId>,
        page: &mut Draft<EnrolmentId, pb::Enrolment>,
    ) {
        for (id, it) in state.enrolments().before(after).rev() {
            let wanted = || {
                (self.states.is_empty() || self.states.contains(&render::state(it, now)))
                    && self.relation.is_none_or(|relation| relates(state, viewer, it, relation, now))
                    && may_see(state, viewer, Thing::Enrolment(it), now)
            };
            if !page.offer(id, || wanted().then(|| render::enrolment(state.organisation(), it, now))) {
                return;
            }
        }
        page.end();
    }
}

fn relates(state: &State, viewer: &Viewer, it: &Enrolment, relation: pb::EnrolmentRelation, now: Now) -> bool {
    match relation {
        pb::EnrolmentRelation::Unspecified => true,
        pb::EnrolmentRelation::Requested => {
            it.requester == viewer.principal || viewer.person.as_ref().is_some_and(|person| it.behind.contains(person))
        }
        pb::EnrolmentRelation::Reviewed => viewer.person.as_ref().is_some_and(|person| it.review.has_decided(person)),
        pb::EnrolmentRelation::CanReview => {
            let open = render::state(it, now) == pb::EnrolmentState::Pending;
            let undecided = viewer.person.as_ref().is_some_and(|person| !it.review.has_decided(person));
            let stage = counted(state.organisation(), it).open_stage().filter(|_| open && undecided);
            stage.zip(viewer.account().ok()).is_some_and(|((_, stage), account)| {
                reviewer_in(state.organisation(), it, stage, account, now.latest).is_ok()
            })
        }
    }
}

/// Tells the steps of enrolments.
struct Steps;

impl Teller for Steps {
    type Told = pb::EnrolmentEvent;
    type Message = pb::WatchEnrolmentsResponse;

    /// Open to whoever may ask for an enrolment: a person without an account, and a disabled account. To these
    /// `may_see` shows only what they are behind.
    fn is_open(&self, _state: &State, _viewer: &Viewer, _now: Now) -> Result<(), Refusal> {
        Ok(())
    }

    fn step(&self, state: &State, viewer: &Viewer, event: &Event, now: Now) -> Result<Step<Self::Told>, Refusal> {
        let Some(id) = enrolment_of(&event.fact) else { return Ok(Step::Skip) };
        let it = state.enrolments().get(&id).ok_or_else(|| resync(event.sequence))?;
        let told = enrolment_event(event).filter(|_| may_see(state, viewer, Thing::Enrolment(it), now));
        Ok(told.map_or(Step::Skip, Step::Tell))
    }

    fn look_back(&self, _history: &History, event: &Event) -> Result<Option<Self::Told>, HistoryError> {
        Ok(enrolment_event(event))
    }

    fn message(&self, sequence: String, told: Option<Self::Told>) -> Self::Message {
        let event = told.map(|event| pb::EnrolmentEvent { sequence: sequence.clone(), ..event });
        pb::WatchEnrolmentsResponse { sequence, event }
    }
}
