//! ProposalService: files of policy and directory, proposed by one holder of the capability and approved by another.

pub(crate) mod examine;
mod propose;
mod shown;

use tonic::{Request, Response, Status, Streaming};

use self::propose::{Proposed, propose, receive};
use self::shown::shown;
use super::method::change::{Changed, carry_out};
use super::method::get::{get, get_subject, id_or_ending, whole_id};
use super::method::list::{Page, list};
use super::method::pieces::{self, Piece};
use crate::domain::record::proposal::ProposedFile;
use crate::domain::rule::visibility::{Thing, may_see};
use crate::domain::value::ids::ProposalId;
use crate::domain::value::refusal::Refusal;
use crate::server::caller::{Broker, Messages, VerifiedCaller};
use crate::wire::commands::Change;
use crate::wire::effects::{omitted_rights, rights};
use crate::wire::proposals::Proposals as Query;
use crate::wire::v1 as pb;
use crate::wire::v1::proposal_service_server::ProposalService;

/// The service.
#[derive(Clone)]
pub(crate) struct Proposals(pub(crate) Broker);

#[tonic::async_trait]
impl ProposalService for Proposals {
    async fn propose_policy(
        &self,
        request: Request<Streaming<pb::ProposePolicyRequest>>,
    ) -> Result<Response<pb::ProposePolicyResponse>, Status> {
        let caller = self.0.with_place(self.0.caller(&request)?)?;
        let asked = receive(&self.0, &caller, request.into_inner(), ProposedFile::Policy).await?;
        let proposed = propose(&self.0, &caller, asked).await?;
        Ok(Response::new(proposed.into()))
    }

    async fn propose_directory(
        &self,
        request: Request<Streaming<pb::ProposeDirectoryRequest>>,
    ) -> Result<Response<pb::ProposeDirectoryResponse>, Status> {
        let caller = self.0.with_place(self.0.caller(&request)?)?;
        let asked = receive(&self.0, &caller, request.into_inner(), ProposedFile::Directory).await?;
        let proposed = propose(&self.0, &caller, asked).await?;
        Ok(Response::new(proposed.into()))
    }

    async fn get_proposal(
        &self,
        request: Request<pb::GetProposalRequest>,
    ) -> Result<Response<pb::GetProposalResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let id = id_or_ending("proposal_id", &request.get_ref().proposal_id)?;
        let (shown, sequence) = get(&self.0, &caller, &id, shown).await?;
        Ok(Response::new(pb::GetProposalResponse { sequence, ..shown }))
    }

    async fn list_proposals(
        &self,
        request: Request<pb::ListProposalsRequest>,
    ) -> Result<Response<pb::ListProposalsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let query = Query::try_from(request.get_ref())?;
        let Page { items: proposals, next_page_token, sequence } = list(&self.0, &caller, query).await?;
        Ok(Response::new(pb::ListProposalsResponse { proposals, next_page_token, sequence }))
    }

    type GetProposalTextStream = Messages<pb::GetProposalTextResponse>;

    async fn get_proposal_text(
        &self,
        request: Request<pb::GetProposalTextRequest>,
    ) -> Result<Response<Self::GetProposalTextStream>, Status> {
        let caller = self.0.caller(&request)?;
        let id = whole_id("proposal_id", &request.get_ref().proposal_id)?;
        let text = self.text(&caller, id)?;
        Ok(Response::new(pieces::send(text.as_bytes(), |chunk| pb::GetProposalTextResponse { chunk })))
    }

    async fn approve_proposal(
        &self,
        request: Request<pb::ApproveProposalRequest>,
    ) -> Result<Response<pb::ApproveProposalResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (proposal, done) = self.carry_out(&caller, change).await?;
        Ok(Response::new(pb::ApproveProposalResponse { proposal, ..done.into() }))
    }

    async fn deny_proposal(
        &self,
        request: Request<pb::DenyProposalRequest>,
    ) -> Result<Response<pb::DenyProposalResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (proposal, Changed { sequence, .. }) = self.carry_out(&caller, change).await?;
        Ok(Response::new(pb::DenyProposalResponse { proposal, sequence }))
    }

    async fn withdraw_proposal(
        &self,
        request: Request<pb::WithdrawProposalRequest>,
    ) -> Result<Response<pb::WithdrawProposalResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let change = Change::try_from(request.into_inner())?;
        let (proposal, Changed { sequence, .. }) = self.carry_out(&caller, change).await?;
        Ok(Response::new(pb::WithdrawProposalResponse { proposal, sequence }))
    }
}

impl Proposals {
    /// Carries a change out, and shows what it was about.
    async fn carry_out(
        &self,
        caller: &VerifiedCaller,
        change: Change,
    ) -> Result<(Option<pb::Proposal>, Changed), Status> {
        let done = carry_out(&self.0, caller, change).await?;
        let shown = get_subject(&self.0, caller, done.about.as_ref(), done.done.as_ref(), shown).await?;
        Ok((shown.proposal, done))
    }

    /// The file that a pending proposal would put in force.
    fn text(&self, caller: &VerifiedCaller, id: ProposalId) -> Result<String, Refusal> {
        self.0.read(caller, |state, viewer, now| {
            let proposal = state.proposals().get(&id).filter(|it| may_see(state, viewer, Thing::Proposal(it), now));
            let text = proposal.and_then(|proposal| state.proposal_text(proposal.id));
            text.ok_or_else(|| Refusal::not_found("pending proposal", id))
        })
    }
}

impl From<Changed> for pb::ApproveProposalResponse {
    fn from(done: Changed) -> Self {
        Self {
            proposal: None,
            sequence: done.sequence,
            omitted_rights_count: omitted_rights(&done.rights),
            rights: rights(&done.rights),
            effects: Some(done.effects),
        }
    }
}

/// The messages of both files have the same fields: a header or a chunk, and what proposing came to.
macro_rules! messages_of_proposing {
    ($request:ty, $piece:ident, $response:ident) => {
        impl From<$request> for Piece<pb::ProposalHeader> {
            fn from(message: $request) -> Self {
                match message.piece {
                    Some(pb::$piece::Piece::Header(header)) => Self::Header(header),
                    Some(pb::$piece::Piece::Chunk(chunk)) => Self::Chunk(chunk),
                    None => Self::Nothing,
                }
            }
        }

        impl From<Proposed> for pb::$response {
            fn from(proposed: Proposed) -> Self {
                Self {
                    digest: proposed.digest.bytes().to_vec(),
                    sequence: proposed.sequence,
                    mistakes: proposed.mistakes,
                    warnings: proposed.warnings,
                    effects: Some(proposed.effects),
                    omitted_rights_count: omitted_rights(&proposed.rights),
                    rights: rights(&proposed.rights),
                    replaced_digest: proposed.replaced.map(|digest| digest.bytes().to_vec()).unwrap_or_default(),
                    proposal: proposed.proposal,
                }
            }
        }
    };
}

messages_of_proposing!(pb::ProposePolicyRequest, propose_policy_request, ProposePolicyResponse);
messages_of_proposing!(pb::ProposeDirectoryRequest, propose_directory_request, ProposeDirectoryResponse);
