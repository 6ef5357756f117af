//! PolicyService: the policy in force, what is wrong with a file, and loading another.

use tonic::{Request, Response, Status, Streaming};

use super::caller::Broker;
use super::past;
use super::proposals::{self, Examined, File, Piece};
use crate::domain::record::proposal::ProposedFile;
use crate::domain::rule::visibility::{Thing, may_see};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::journal::index::{Filter, Page};
use crate::wire::effects::{omitted_rights, rights};
use crate::wire::events::actor;
use crate::wire::v1 as pb;
use crate::wire::v1::policy_service_server::PolicyService;
use crate::wire::values::pb_timestamp;

/// The service.
#[derive(Clone)]
pub(super) struct Policies(pub(super) Broker);

#[tonic::async_trait]
impl PolicyService for Policies {
    async fn get_policy(
        &self,
        request: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::GetPolicyResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (mut policy, sequence) = self.0.read(&caller, |state, viewer, now| {
            if !may_see(state, viewer, Thing::PolicyText, now) {
                let detail = "`policy.propose` or `audit.read`";
                return Err(Refusal::new(Reason::CapabilityMissing, detail).with("capability", "policy.propose"));
            }
            let organisation = state.organisation();
            let policy = pb::Policy {
                text: organisation.policy_text().to_string(),
                digest: organisation.policy().digest.map(|digest| digest.bytes().to_vec()).unwrap_or_default(),
                ..Default::default()
            };
            Ok((policy, state.sequence()))
        })?;
        let filter = Filter { kind: Some("policy-loaded".to_owned()), ..Filter::default() };
        let page = Page { after: Some(sequence.saturating_add(1)), limit: 1, newest_first: true };
        let past = past::blocking(&self.0.engine, move |history| history.list(&filter, page)).await?;
        if let Some(event) = past.events.first() {
            policy.load_time = Some(pb_timestamp(event.at));
            policy.loaded_by = actor(&event.actor);
        }
        Ok(Response::new(pb::GetPolicyResponse { policy: Some(policy), sequence: caller.told(sequence) }))
    }

    async fn validate_policy(
        &self,
        request: Request<Streaming<pb::ValidatePolicyRequest>>,
    ) -> Result<Response<pb::ValidatePolicyResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let sequence = self.0.read(&caller, |state, viewer, _| viewer.account().map(|_| state.sequence()))?;
        let mut file = File::new(ProposedFile::Policy);
        let mut pieces = request.into_inner();
        while let Some(piece) = pieces.message().await? {
            file.add(&piece.chunk)?;
        }
        let digest = file.digest().bytes().to_vec();
        let (mistakes, warnings) = match proposals::examined_alone(file).await? {
            Examined::Wrong(mistakes) => (mistakes, Vec::new()),
            Examined::Right(_, warnings) => (Vec::new(), warnings),
        };
        Ok(Response::new(pb::ValidatePolicyResponse { digest, sequence: caller.told(sequence), mistakes, warnings }))
    }

    async fn propose_policy(
        &self,
        request: Request<Streaming<pb::ProposePolicyRequest>>,
    ) -> Result<Response<pb::ProposePolicyResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (header, file) = proposals::receive(&self.0, &caller, request.into_inner(), ProposedFile::Policy).await?;
        let loaded = proposals::propose(&self.0, &caller, ProposedFile::Policy, header, file).await?;
        Ok(Response::new(pb::ProposePolicyResponse {
            digest: loaded.digest.bytes().to_vec(),
            sequence: caller.told(loaded.sequence),
            mistakes: loaded.mistakes,
            warnings: loaded.warnings,
            effects: Some(loaded.effects),
            omitted_rights_count: omitted_rights(&loaded.rights),
            rights: rights(&loaded.rights),
            replaced_digest: loaded.replaced.map(|digest| digest.bytes().to_vec()).unwrap_or_default(),
            proposal: loaded.proposal,
        }))
    }
}

impl From<pb::ProposePolicyRequest> for Piece {
    fn from(message: pb::ProposePolicyRequest) -> Self {
        match message.piece {
            Some(pb::propose_policy_request::Piece::Header(header)) => Self::Header(header),
            Some(pb::propose_policy_request::Piece::Chunk(chunk)) => Self::Chunk(chunk),
            None => Self::Nothing,
        }
    }
}
