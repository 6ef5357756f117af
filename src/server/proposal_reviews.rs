//! ProposalService: loads of policy and directory under review. Each handler says who, parses, executes, encodes.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::caller::{Broker, Caller};
use super::changes::{Changed, carry_out};
use super::elevations::ambiguous;
use super::paging::{Draft, list};
use super::past;
use super::proposals::PIECE_BYTES;
use crate::domain::decide::could_approve_proposal;
use crate::domain::record::event::Subject;
use crate::domain::record::proposal::Proposal;
use crate::domain::rule::reviewers::reviewer_in;
use crate::domain::rule::visibility::{Thing, Viewer, audits_whole, may_see};
use crate::domain::state::State;
use crate::domain::value::ids::ProposalId;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Now;
use crate::wire::commands::Change;
use crate::wire::effects::{omitted_rights, rights};
use crate::wire::elevations::reviewers;
use crate::wire::message::InvalidMessage;
use crate::wire::proposals::{self as render, Proposals as Query};
use crate::wire::v1 as pb;
use crate::wire::v1::proposal_service_server::ProposalService;
use crate::wire::values::{Named, named, parsed};

/// The service.
#[derive(Clone)]
pub(super) struct ProposalReviews(pub(super) Broker);

#[tonic::async_trait]
impl ProposalService for ProposalReviews {
    async fn get_proposal(
        &self,
        request: Request<pb::GetProposalRequest>,
    ) -> Result<Response<pb::GetProposalResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = named(&request.get_ref().proposal_id).map_err(|wanted| InvalidMessage::one("proposal_id", wanted))?;
        Ok(Response::new(get(&self.0, &caller, &id).await?))
    }

    async fn list_proposals(
        &self,
        request: Request<pb::ListLoadsRequest>,
    ) -> Result<Response<pb::ListLoadsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Query::try_from(request.get_ref())?;
        let filter = format!("{:?}", (query.relation, &query.states));
        let listed = list(&self.0, &caller, ("proposals", filter), &query.paging, |state, viewer, now, after, page| {
            proposals(state, viewer, now, &query, after, page);
        });
        let listed = listed.await?;
        let (proposals, next_page_token, sequence) = (listed.items, listed.next_page_token, listed.sequence);
        Ok(Response::new(pb::ListLoadsResponse { proposals, next_page_token, sequence }))
    }

    type GetProposalTextStream = Pin<Box<dyn Stream<Item = Result<pb::GetProposalTextResponse, Status>> + Send>>;

    async fn get_proposal_text(
        &self,
        request: Request<pb::GetProposalTextRequest>,
    ) -> Result<Response<Self::GetProposalTextStream>, Status> {
        let caller = self.0.caller(&request)?;
        let id: ProposalId =
            parsed(&request.get_ref().proposal_id).map_err(|wanted| InvalidMessage::one("proposal_id", wanted))?;
        let text = self.0.read(&caller, |state, viewer, now| {
            let proposal = state.proposals().get(&id).filter(|it| may_see(state, viewer, Thing::Proposal(it), now));
            let text = proposal.and_then(|proposal| state.proposal_text(proposal.id));
            text.ok_or_else(|| Refusal::not_found("pending proposal", id))
        })?;
        let pieces = text.as_bytes().chunks(PIECE_BYTES.saturating_sub(1)).map(<[u8]>::to_vec);
        let pieces: Vec<_> = pieces.map(|chunk| Ok(pb::GetProposalTextResponse { chunk })).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    async fn approve_proposal(
        &self,
        request: Request<pb::ApproveProposalRequest>,
    ) -> Result<Response<pb::ApproveProposalResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (done, proposal) = self.carried_out(&caller, Change::try_from(request.into_inner())?).await?;
        Ok(Response::new(pb::ApproveProposalResponse {
            proposal: Some(proposal),
            sequence: caller.told(done.sequence),
            omitted_rights_count: omitted_rights(&done.rights),
            rights: rights(&done.rights),
            effects: Some(done.effects),
        }))
    }

    async fn deny_proposal(
        &self,
        request: Request<pb::DenyProposalRequest>,
    ) -> Result<Response<pb::DenyProposalResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (done, proposal) = self.carried_out(&caller, Change::try_from(request.into_inner())?).await?;
        let (proposal, sequence) = (Some(proposal), caller.told(done.sequence));
        Ok(Response::new(pb::DenyProposalResponse { proposal, sequence }))
    }

    async fn withdraw_proposal(
        &self,
        request: Request<pb::WithdrawProposalRequest>,
    ) -> Result<Response<pb::WithdrawProposalResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (done, proposal) = self.carried_out(&caller, Change::try_from(request.into_inner())?).await?;
        let (proposal, sequence) = (Some(proposal), caller.told(done.sequence));
        Ok(Response::new(pb::WithdrawProposalResponse { proposal, sequence }))
    }
}

impl ProposalReviews {
    async fn carried_out(&self, caller: &Caller, change: Change) -> Result<(Changed, pb::Proposal), Status> {
        let done = carry_out(&self.0, caller, change).await?;
        let proposal = proposal_of(&self.0, caller, done.about.as_ref()).await?;
        Ok((done, proposal))
    }
}

/// What a change was about, rendered from the present state under the caller's present rights.
pub(super) async fn proposal_of(
    broker: &Broker,
    caller: &Caller,
    about: Option<&Subject>,
) -> Result<pb::Proposal, Status> {
    let Some(Subject::Proposal(id)) = about else { return Err(Refusal::not_found("proposal", "").into()) };
    let told = get(broker, caller, &Named::Whole(*id)).await?;
    told.proposal.ok_or_else(|| Refusal::not_found("proposal", id).into())
}

async fn get(broker: &Broker, caller: &Caller, id: &Named<ProposalId>) -> Result<pb::GetProposalResponse, Status> {
    let told = broker.read(caller, |state, viewer, now| {
        Ok(find(state, viewer, id, now)?.map(|it| response(caller, state, viewer, it, now)))
    })?;
    match (told, id) {
        (Some(told), _) => Ok(told),
        (None, Named::Ending(ending)) => Err(Refusal::not_found("proposal", ending).into()),
        (None, Named::Whole(id)) => {
            let past = past::proposal(&broker.engine, *id).await?;
            let told = broker.read(caller, |state, viewer, now| {
                let visible = past.filter(|it| may_see(state, viewer, Thing::Proposal(it), now));
                let it = visible.ok_or_else(|| Refusal::not_found("proposal", id))?;
                Ok(response(caller, state, viewer, &it, now))
            });
            Ok(told?)
        }
    }
}

fn response(caller: &Caller, state: &State, viewer: &Viewer, it: &Proposal, now: Now) -> pb::GetProposalResponse {
    let organisation = state.organisation();
    let pending = it.phase.is_pending() && !it.review.deadline.is_over(now.latest);
    let could_review = match pending && audits_whole(organisation, viewer, now) {
        true => reviewers(could_approve_proposal(organisation, it, now.latest)),
        false => Vec::new(),
    };
    let proposal = Some(render::proposal(organisation, it, now));
    pb::GetProposalResponse { proposal, sequence: caller.told(state.sequence()), could_review }
}

/// The one proposal in memory that is meant, if the viewer may see it.
fn find<'a>(
    state: &'a State,
    viewer: &Viewer,
    id: &Named<ProposalId>,
    now: Now,
) -> Result<Option<&'a Proposal>, Refusal> {
    let sees = |it: &&Proposal| may_see(state, viewer, Thing::Proposal(it), now);
    match id {
        Named::Whole(id) => Ok(state.proposals().get(id).filter(sees)),
        Named::Ending(ending) => {
            let ends = |it: &&Proposal| it.id.to_string().ends_with(ending);
            let mut found = state.proposals().values().filter(ends).filter(sees);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(ambiguous("proposals", ending)),
                (one, None) => Ok(one),
            }
        }
    }
}

fn proposals(
    state: &State,
    viewer: &Viewer,
    now: Now,
    query: &Query,
    after: Option<&ProposalId>,
    page: &mut Draft<ProposalId, pb::Proposal>,
) {
    for (id, it) in state.proposals().before(after).rev() {
        let wanted = || {
            (query.states.is_empty() || query.states.contains(&render::state(it, now)))
                && query.relation.is_none_or(|relation| relates(state, viewer, it, relation, now))
                && may_see(state, viewer, Thing::Proposal(it), now)
        };
        if !page.offer(id, || wanted().then(|| render::proposal(state.organisation(), it, now))) {
            return;
        }
    }
    page.end();
}

fn relates(state: &State, viewer: &Viewer, it: &Proposal, relation: pb::ProposalRelation, now: Now) -> bool {
    match relation {
        pb::ProposalRelation::Unspecified => true,
        pb::ProposalRelation::Proposed => {
            viewer.account().is_ok_and(|id| *id == it.requester)
                || viewer.person.as_ref().is_some_and(|person| it.behind.contains(person))
        }
        pb::ProposalRelation::Reviewed => viewer.person.as_ref().is_some_and(|person| it.review.has_decided(person)),
        pb::ProposalRelation::CanReview => {
            let open = render::state(it, now) == pb::ProposalState::Pending;
            let stage = it.review.open_stage().filter(|_| open);
            stage.zip(viewer.account().ok()).is_some_and(|((_, stage), account)| {
                reviewer_in(state.organisation(), it, stage, account, now.latest).is_ok()
            })
        }
    }
}
