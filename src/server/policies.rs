//! PolicyService: the policy in force, what is wrong with a file, and loading another.

use tonic::{Request, Response, Status, Streaming};

use super::caller::Broker;
use super::loads::{self, Examined, File, Piece};
use super::past;
use crate::domain::load::LoadedFile;
use crate::domain::refusal::{Reason, Refusal};
use crate::domain::visibility::{Thing, may_see};
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
                let detail = "`policy.load` or `audit.read`";
                return Err(Refusal::new(Reason::CapabilityMissing, detail).with("capability", "policy.load"));
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
        let mut file = File::new(LoadedFile::Policy);
        let mut pieces = request.into_inner();
        while let Some(piece) = pieces.message().await? {
            file.add(&piece.chunk)?;
        }
        let digest = file.digest().bytes().to_vec();
        let (mistakes, warnings) = match loads::examined_alone(file).await? {
            Examined::Wrong(mistakes) => (mistakes, Vec::new()),
            Examined::Right(_, warnings) => (Vec::new(), warnings),
        };
        Ok(Response::new(pb::ValidatePolicyResponse { digest, sequence: caller.told(sequence), mistakes, warnings }))
    }

    async fn load_policy(
        &self,
        request: Request<Streaming<pb::LoadPolicyRequest>>,
    ) -> Result<Response<pb::LoadPolicyResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (header, file) = loads::receive(&self.0, &caller, request.into_inner(), LoadedFile::Policy).await?;
        let loaded = loads::load(&self.0, &caller, LoadedFile::Policy, header, file).await?;
        Ok(Response::new(pb::LoadPolicyResponse {
            digest: loaded.digest.bytes().to_vec(),
            sequence: caller.told(loaded.sequence),
            mistakes: loaded.mistakes,
            warnings: loaded.warnings,
            effects: Some(loaded.effects),
            omitted_rights_count: omitted_rights(&loaded.rights),
            rights: rights(&loaded.rights),
            replaced_digest: loaded.replaced.map(|digest| digest.bytes().to_vec()).unwrap_or_default(),
            load: loaded.load,
        }))
    }
}

impl From<pb::LoadPolicyRequest> for Piece {
    fn from(message: pb::LoadPolicyRequest) -> Self {
        match message.piece {
            Some(pb::load_policy_request::Piece::Header(header)) => Self::Header(header),
            Some(pb::load_policy_request::Piece::Chunk(chunk)) => Self::Chunk(chunk),
            None => Self::Nothing,
        }
    }
}
