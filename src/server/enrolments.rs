//! EnrolmentService: asking for accounts and roles, and their review. Open to a person without an account, who sees what
//! they asked for and nothing else. Each handler says who, parses, executes, encodes.

use tonic::{Request, Response, Status};

use super::caller::{Broker, Caller};
use super::changes::{Changed, carry_out};
use super::elevations::ambiguous;
use super::paging::{Draft, list};
use super::past;
use super::watch::{Step, Teller, Told, resync, watch};
use crate::domain::record::command::{Command, EnrolmentCommand, RequestEnrolment};
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::event::{Event, Subject};
use crate::domain::rule::enrolling::draft_enrolment;
use crate::domain::rule::reviewers::reviewer_in;
use crate::domain::rule::visibility::{Thing, Viewer, audits_whole, may_see, viewer};
use crate::domain::state::State;
use crate::domain::value::ids::EnrolmentId;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::engine::{History, HistoryError};
use crate::wire::commands::Change;
use crate::wire::elevations::{could_review, obstacles};
use crate::wire::enrolments::{self as render, Enrolments as Query, after_sequence, enrolment_event, enrolment_of};
use crate::wire::message::InvalidMessage;
use crate::wire::v1 as pb;
use crate::wire::v1::enrolment_service_server::EnrolmentService;
use crate::wire::values::{Named, named};

/// The service.
#[derive(Clone)]
pub(super) struct Enrolments(pub(super) Broker);

#[tonic::async_trait]
impl EnrolmentService for Enrolments {
    async fn request_enrolment(
        &self,
        request: Request<pb::RequestEnrolmentRequest>,
    ) -> Result<Response<pb::RequestEnrolmentResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = match Change::try_from(request.into_inner())? {
            Change::Dry(Command::Enrolment(EnrolmentCommand::Request(asked))) => {
                return Ok(Response::new(self.validated(&caller, asked).await?));
            }
            change => change,
        };
        let (done, enrolment) = self.carried_out(&caller, change).await?;
        let (enrolment, sequence) = (Some(enrolment), caller.told(done.sequence));
        Ok(Response::new(pb::RequestEnrolmentResponse { enrolment, sequence, obstacles: Vec::new() }))
    }

    async fn get_enrolment(
        &self,
        request: Request<pb::GetEnrolmentRequest>,
    ) -> Result<Response<pb::GetEnrolmentResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let text = &request.get_ref().enrolment_id;
        let id = named(text).map_err(|wanted| InvalidMessage::one("enrolment_id", wanted))?;
        Ok(Response::new(self.get(&caller, &id).await?))
    }

    async fn list_enrolments(
        &self,
        request: Request<pb::ListEnrolmentsRequest>,
    ) -> Result<Response<pb::ListEnrolmentsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Query::try_from(request.get_ref())?;
        let filter = format!("{:?}", (query.relation, &query.states));
        let listed =
            list(&self.0, &caller, ("enrolments", filter), &query.paging, |state, viewer, now, after, page| {
                enrolments(state, viewer, now, &query, after, page);
            });
        let listed = listed.await?;
        let (enrolments, next_page_token, sequence) = (listed.items, listed.next_page_token, listed.sequence);
        Ok(Response::new(pb::ListEnrolmentsResponse { enrolments, next_page_token, sequence }))
    }

    type WatchEnrolmentsStream = Told<pb::WatchEnrolmentsResponse>;

    async fn watch_enrolments(
        &self,
        request: Request<pb::WatchEnrolmentsRequest>,
    ) -> Result<Response<Self::WatchEnrolmentsStream>, Status> {
        let caller = self.0.caller(&request)?;
        let after = after_sequence(&request.get_ref().after_sequence)?;
        let after = caller.meant("after_sequence", after.as_ref())?;
        Ok(Response::new(watch(&self.0, caller, after, Steps)?))
    }

    async fn approve_enrolment(
        &self,
        request: Request<pb::ApproveEnrolmentRequest>,
    ) -> Result<Response<pb::ApproveEnrolmentResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (done, enrolment) = self.carried_out(&caller, change).await?;
        let (enrolment, sequence, effects) = (Some(enrolment), caller.told(done.sequence), Some(done.effects));
        Ok(Response::new(pb::ApproveEnrolmentResponse { enrolment, sequence, effects }))
    }

    async fn deny_enrolment(
        &self,
        request: Request<pb::DenyEnrolmentRequest>,
    ) -> Result<Response<pb::DenyEnrolmentResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (done, enrolment) = self.carried_out(&caller, change).await?;
        let (enrolment, sequence, effects) = (Some(enrolment), caller.told(done.sequence), Some(done.effects));
        Ok(Response::new(pb::DenyEnrolmentResponse { enrolment, sequence, effects }))
    }

    async fn withdraw_enrolment(
        &self,
        request: Request<pb::WithdrawEnrolmentRequest>,
    ) -> Result<Response<pb::WithdrawEnrolmentResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (done, enrolment) = self.carried_out(&caller, change).await?;
        let (enrolment, sequence, effects) = (Some(enrolment), caller.told(done.sequence), Some(done.effects));
        Ok(Response::new(pb::WithdrawEnrolmentResponse { enrolment, sequence, effects }))
    }
}

impl Enrolments {
    /// Executes, and renders what it was about from the present state under the caller's present rights.
    async fn carried_out(&self, caller: &Caller, change: Change) -> Result<(Changed, pb::Enrolment), Status> {
        let done = carry_out(&self.0, caller, change).await?;
        let Some(Subject::Enrolment(id)) = done.about else {
            return Err(Refusal::not_found("enrolment", "").into());
        };
        let told = self.get(caller, &Named::Whole(id)).await?;
        let enrolment = told.enrolment.ok_or_else(|| Refusal::not_found("enrolment", id))?;
        Ok((done, enrolment))
    }

    /// All that stands in the way of a request; nothing is changed.
    async fn validated(
        &self,
        caller: &Caller,
        asked: RequestEnrolment,
    ) -> Result<pb::RequestEnrolmentResponse, Status> {
        let caller = caller.clone();
        let answer = self.0.engine.ask(move |state, now| {
            let viewer = viewer(state.organisation(), &caller.identity)?;
            let (draft, refusals) = draft_enrolment(state, &viewer, &asked, uuid::Uuid::nil().into(), now);
            Ok::<_, Refusal>(pb::RequestEnrolmentResponse {
                enrolment: draft.map(|it| render::enrolment(state.organisation(), &it, now)),
                sequence: caller.told(state.sequence()),
                obstacles: obstacles(refusals),
            })
        });
        Ok(answer.await??)
    }

    async fn get(&self, caller: &Caller, id: &Named<EnrolmentId>) -> Result<pb::GetEnrolmentResponse, Status> {
        let told = self.0.read(caller, |state, viewer, now| {
            Ok(find(state, viewer, id, now)?.map(|it| get_response(caller, state, viewer, it, now)))
        })?;
        match (told, id) {
            (Some(told), _) => Ok(told),
            (None, Named::Ending(ending)) => Err(Refusal::not_found("enrolment", ending).into()),
            (None, Named::Whole(id)) => {
                let past = past::enrolment(&self.0.engine, *id).await?;
                let told = self.0.read(caller, |state, viewer, now| {
                    let visible = past.filter(|it| may_see(state, viewer, Thing::Enrolment(it), now));
                    let it = visible.ok_or_else(|| Refusal::not_found("enrolment", id))?;
                    Ok(get_response(caller, state, viewer, &it, now))
                });
                Ok(told?)
            }
        }
    }
}

fn get_response(caller: &Caller, state: &State, viewer: &Viewer, it: &Enrolment, now: Now) -> pb::GetEnrolmentResponse {
    let enrolment = Some(render::enrolment(state.organisation(), it, now));
    let pending = it.phase.is_pending() && !it.review.deadline.is_over(now.latest);
    let could_review = match pending && audits_whole(state.organisation(), viewer, now) {
        true => could_review(state.organisation(), it, now.latest),
        false => Vec::new(),
    };
    pb::GetEnrolmentResponse { enrolment, sequence: caller.told(state.sequence()), could_review }
}

/// The one enrolment in memory that is meant, if the viewer may see it.
fn find<'a>(
    state: &'a State,
    viewer: &Viewer,
    id: &Named<EnrolmentId>,
    now: Now,
) -> Result<Option<&'a Enrolment>, Refusal> {
    let sees = |it: &&Enrolment| may_see(state, viewer, Thing::Enrolment(it), now);
    match id {
        Named::Whole(id) => Ok(state.enrolments().get(id).filter(sees)),
        Named::Ending(ending) => {
            let ends = |it: &&Enrolment| it.id.to_string().ends_with(ending);
            let mut found = state.enrolments().values().filter(ends).filter(sees);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(ambiguous("enrolments", ending)),
                (one, None) => Ok(one),
            }
        }
    }
}

fn enrolments(
    state: &State,
    viewer: &Viewer,
    now: Now,
    query: &Query,
    after: Option<&EnrolmentId>,
    page: &mut Draft<EnrolmentId, pb::Enrolment>,
) {
    for (id, it) in state.enrolments().before(after).rev() {
        let wanted = || {
            (query.states.is_empty() || query.states.contains(&render::state(it, now)))
                && query.relation.is_none_or(|relation| relates(state, viewer, it, relation, now))
                && may_see(state, viewer, Thing::Enrolment(it), now)
        };
        if !page.offer(id, || wanted().then(|| render::enrolment(state.organisation(), it, now))) {
            return;
        }
    }
    page.end();
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
            let stage = it.review.open_stage().filter(|_| open && undecided);
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

    /// Open to whoever may ask for an enrolment: a person without an account, and a disabled account. Of such a one
    /// `may_see` shows what they are behind themselves, and nothing else.
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
