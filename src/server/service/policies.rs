//! PolicyService: the policy in force, and what is wrong with a file.

use tonic::{Request, Response, Status, Streaming};

use super::method::past;
use super::method::pieces::File;
use super::proposals::examine::{Examined, LONGEST_POLICY_BYTES, policy_alone};
use crate::domain::rule::visibility::{Thing, Viewer, may_see};
use crate::domain::state::State;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;
use crate::journal::index::{Filter, Page};
use crate::server::caller::{Broker, VerifiedCaller};
use crate::wire::events::actor;
use crate::wire::v1 as pb;
use crate::wire::v1::policy_service_server::PolicyService;
use crate::wire::values::pb_timestamp;

/// The service.
#[derive(Clone)]
pub(crate) struct Policies(pub(crate) Broker);

#[tonic::async_trait]
impl PolicyService for Policies {
    async fn get_policy(
        &self,
        request: Request<pb::GetPolicyRequest>,
    ) -> Result<Response<pb::GetPolicyResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let (policy, sequence) = self.in_force(&caller).await?;
        Ok(Response::new(pb::GetPolicyResponse { policy: Some(policy), sequence: caller.sequence_text(sequence) }))
    }

    async fn validate_policy(
        &self,
        request: Request<Streaming<pb::ValidatePolicyRequest>>,
    ) -> Result<Response<pb::ValidatePolicyResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let sequence = self.0.read(&caller, |state, viewer, _| viewer.account().map(|_| state.sequence()))?;
        let caller = self.0.with_place(caller)?;
        let validated = validated(&caller, received(request.into_inner()).await?).await?;
        Ok(Response::new(pb::ValidatePolicyResponse { sequence: caller.sequence_text(sequence), ..validated }))
    }
}

impl Policies {
    /// The policy, when and by whom it was put in force, and the sequence of the view that it is read from.
    async fn in_force(&self, caller: &VerifiedCaller) -> Result<(pb::Policy, u64), Status> {
        let (policy, sequence) = self.0.read(caller, text_in_force)?;
        let filter = Filter { kind: Some("policy-loaded".to_owned()), ..Filter::default() };
        let page = Page { after: Some(sequence.saturating_add(1)), limit: 1, newest_first: true };
        let past = past::in_turn(&self.0, caller, move |history| history.list(&filter, page)).await?;
        let Some(event) = past.events.first() else { return Ok((policy, sequence)) };
        let (load_time, loaded_by) = (Some(pb_timestamp(event.at)), actor(&event.actor));
        Ok((pb::Policy { load_time, loaded_by, ..policy }, sequence))
    }
}

fn text_in_force(state: &State, viewer: &Viewer, now: Now) -> Result<(pb::Policy, u64), Refusal> {
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
}

async fn received(mut pieces: Streaming<pb::ValidatePolicyRequest>) -> Result<File, Status> {
    let mut file = File::of(LONGEST_POLICY_BYTES);
    while let Some(piece) = pieces.message().await? {
        file.add(&piece.chunk)?;
    }
    Ok(file)
}

/// What is wrong with a file by itself, but for the sequence of the view.
async fn validated(caller: &VerifiedCaller, file: File) -> Result<pb::ValidatePolicyResponse, Status> {
    let digest = file.digest().bytes().to_vec();
    let (mistakes, warnings) = match policy_alone(caller, file).await? {
        Examined::Wrong(mistakes) => (mistakes, Vec::new()),
        Examined::Right(_, warnings) => (Vec::new(), warnings),
    };
    Ok(pb::ValidatePolicyResponse { digest, sequence: String::new(), mistakes, warnings })
}
