//! TokenService: signs what the core decided and the journal holds. The claims are made of the event and nothing else, so
//! that the same call sent again gives the same token, as long as the grant stands (known failures E4 and E10: no token is logged).

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::method::past;
use crate::domain::record::command::{Command, IssueGrantToken};
use crate::domain::record::event::{Event, Fact, GrantFact, GrantTokenIssued};
use crate::domain::state::State;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;
use crate::engine::{Done, Engine};
use crate::server::caller::{Broker, VerifiedCaller};
use crate::server::keys::signing::SigningKeys;
use crate::server::transport::peer::Peer;
use crate::wire::commands::Mutation;
use crate::wire::grant_token::Claims;
use crate::wire::tokens::TokenAsked;
use crate::wire::v1 as pb;
use crate::wire::v1::token_service_server::TokenService;
use crate::wire::values::pb_timestamp;

/// The service.
#[derive(Clone)]
pub(crate) struct Tokens {
    broker: Broker,
    keys: Arc<SigningKeys>,
}

#[tonic::async_trait]
impl TokenService for Tokens {
    async fn issue_grant_token(
        &self,
        request: Request<pb::IssueGrantTokenRequest>,
    ) -> Result<Response<pb::IssueGrantTokenResponse>, Status> {
        let caller = self.broker.caller(&request)?;
        let mutation = issuing(&request)?;
        let done = self.broker.execute(&caller, mutation).await?;
        Ok(Response::new(self.signed(&caller, &done).await?))
    }

    async fn get_signing_keys(
        &self,
        request: Request<pb::GetSigningKeysRequest>,
    ) -> Result<Response<pb::GetSigningKeysResponse>, Status> {
        self.broker.caller(&request)?;
        self.keys.ready(self.broker.engine.now().stamp).map_err(|problem| unsigned(&problem))?;
        let jwks = serde_json::to_string(&self.keys.public()).map_err(|error| unsigned(&error.to_string()))?;
        Ok(Response::new(pb::GetSigningKeysResponse { jwks }))
    }
}

/// The command: for the certificate that the caller showed, which no message carries.
fn issuing(request: &Request<pb::IssueGrantTokenRequest>) -> Result<Mutation, Status> {
    let certificate = Peer::of(request)?.certificate_digest;
    let TokenAsked { request_id, grant, audience, lifetime } = TokenAsked::try_from(request.get_ref())?;
    Ok(Mutation { request_id, command: Command::from(IssueGrantToken { grant, audience, lifetime, certificate }) })
}

impl Tokens {
    pub(crate) fn new(broker: Broker, keys: Arc<SigningKeys>) -> Self {
        Self { broker, keys }
    }

    async fn signed(&self, caller: &VerifiedCaller, done: &Done) -> Result<pb::IssueGrantTokenResponse, Status> {
        let event = event(&self.broker.engine, done.sequence).await?;
        let Fact::Grant(GrantFact::TokenIssued(issued)) = &event.fact else {
            return Err(unsigned("the event of the call is of another kind"));
        };
        let now = self.broker.engine.now();
        // At the moment of signing: since it was decided, or asked for the first time, the grant may have ended.
        if !self.broker.engine.read(|state| still_stands(state, issued, now)) {
            let over = Refusal::new(Reason::NotLive, format!("`{}` stands no more as it did", issued.grant));
            return Err(self.broker.counted(over));
        }
        self.keys.ready(now.stamp).map_err(|problem| unsigned(&problem))?;
        let mut claims = Claims::of(&event, issued);
        if caller.is_sealed() {
            // A count of events is not for a customer to know, and a sealed one would differ each time.
            claims.sequence.clear();
        }
        let token = self.keys.sign(&claims).map_err(|problem| unsigned(&problem))?;
        let (expire_time, sequence) = (Some(pb_timestamp(issued.expires)), caller.sequence_text(done.sequence));
        Ok(pb::IssueGrantTokenResponse { token, expire_time, sequence })
    }
}

fn still_stands(state: &State, issued: &GrantTokenIssued, now: Now) -> bool {
    let grant = state.grants().get(&issued.grant).filter(|grant| grant.is_live(now.latest));
    let (until, audience) = state.organisation().may_check(&issued.audience, now.latest);
    let scope = grant.and_then(|grant| grant.scope.within(&audience));
    !now.suspect
        && !issued.expires.is_over(now.latest)
        && !until.is_over(now.latest)
        && scope.as_ref() == Some(&issued.scope)
}

/// The one event of the command, from memory if it is still there.
async fn event(engine: &Engine, sequence: u64) -> Result<Arc<Event>, Status> {
    if let Ok(mut follower) = engine.follow(sequence.saturating_sub(1))
        && let Ok(event) = follower.next().await
    {
        return Ok(event);
    }
    let events = past::blocking(engine, move |history| history.led_to(sequence)).await?;
    let event = events.into_iter().next().ok_or_else(|| unsigned("the event of the call is not in the journal"))?;
    Ok(Arc::new(event))
}

fn unsigned(problem: &str) -> Status {
    tracing::error!(problem, "no token can be signed");
    Refusal::new(Reason::StorageUnavailable, "no token can be signed now").into()
}
