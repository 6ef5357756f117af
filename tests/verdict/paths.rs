//! The ways to an answer, each brought into one form. A further one is a further implementation of [`Path`].

use std::collections::BTreeMap;

use countersign::check::{Query, Verdict};
use countersign::domain::value::ids::GrantId;
use countersign::domain::value::time::Timestamp;
use countersign::engine::Engine;
use countersign::sdk::replica::CheckedBatch;
use countersign::sdk::{CheckStream, CheckedAccess, Client, Replica};
use countersign::wire::v1 as pb;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{self, HttpRequest, Peer};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tonic::codegen::Bytes;
use tonic::codegen::http::Request;
use tonic::transport::Channel;

use crate::common::certificates::{Authority, client};
use crate::harness::Broker;
use crate::model::Answer;
use crate::organisation::identity;

/// A question, as every path can carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub subject: String,
    pub action: String,
    pub resource: String,
}

impl Asked {
    pub fn query(&self) -> Query<'_> {
        Query { subject: &self.subject, action: &self.action, resource: &self.resource }
    }

    fn message(&self) -> pb::CheckQuery {
        let Self { subject, action, resource } = self.clone();
        pb::CheckQuery { subject, action, resource }
    }

    pub fn authzen(&self) -> Value {
        let kind = if self.subject.starts_with("spiffe:") { "spiffe" } else { "account" };
        json!({
            "subject": { "type": kind, "id": self.subject },
            "action": { "name": self.action },
            "resource": { "type": "resource", "id": self.resource },
        })
    }
}

pub trait Path {
    const NAME: &'static str;
    async fn ask(&mut self, asked: &[Asked]) -> Vec<Answer>;
}

/// The core in the broker's own process: what the others are compared with.
pub struct Core {
    pub engine: Engine,
    pub caller: String,
}

impl Path for Core {
    const NAME: &'static str = "core";
    async fn ask(&mut self, asked: &[Asked]) -> Vec<Answer> {
        let caller = self.engine.checks().caller(&self.caller).unwrap();
        let one = |asked: &Asked| of(self.engine.checks().check(&caller, asked.query(), self.engine.latest()));
        asked.iter().map(one).collect()
    }
}

pub struct Unary(pub Client);

impl Path for Unary {
    const NAME: &'static str = "CheckAccess";
    async fn ask(&mut self, asked: &[Asked]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for asked in asked {
            answers.push(told(&self.0.check(&asked.subject, &asked.action, &asked.resource).await.unwrap()));
        }
        answers
    }
}

pub struct Batch(pub Client);

impl Path for Batch {
    const NAME: &'static str = "BatchCheckAccess";
    async fn ask(&mut self, asked: &[Asked]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for together in asked.chunks(100) {
            let queries = together.iter().map(Asked::message).collect();
            answers.extend(self.0.check_batch(queries).await.unwrap().iter().map(told));
        }
        answers
    }
}

pub struct Stream(pub CheckStream);

impl Path for Stream {
    const NAME: &'static str = "StreamCheckAccess";
    async fn ask(&mut self, asked: &[Asked]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for (number, together) in asked.chunks(37).enumerate() {
            let queries = together.iter().take(1 + number % 37).map(Asked::message).collect();
            answers.extend(self.0.check(queries).await.unwrap().iter().map(told));
            let rest: Vec<_> = together.iter().skip(1 + number % 37).map(Asked::message).collect();
            if !rest.is_empty() {
                answers.extend(self.0.check(rest).await.unwrap().iter().map(told));
            }
        }
        answers
    }
}

pub struct Copy(pub Replica);

impl Path for Copy {
    const NAME: &'static str = "replica";
    async fn ask(&mut self, asked: &[Asked]) -> Vec<Answer> {
        let mut batch = CheckedBatch::with_capacity(asked.len());
        let queries: Vec<_> = asked.iter().map(Asked::query).collect();
        self.0.check_batch(&queries, &mut batch);
        let answers: Vec<Answer> = batch.iter().map(|checked| of(checked.verdict())).collect();
        for (asked, answer) in asked.iter().zip(&answers) {
            assert_eq!(of(self.0.check(&asked.subject, &asked.action, &asked.resource).verdict()), *answer);
        }
        answers
    }
}

/// AuthZEN on one connection: the first fifth one by one, the rest in batches.
pub struct AuthZen(SendRequest<Full<Bytes>>);

impl AuthZen {
    pub async fn connect(broker: &Broker, name: &str) -> Self {
        let stream = broker.raw(Some(&broker.organisation.leaf(name)), &["http/1.1"]).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn post(&mut self, path: &str, body: &Value) -> Value {
        let request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
        self.0.ready().await.unwrap();
        let response = self.0.send_request(request.body(Full::new(body.to_string().into())).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200, "{body}");
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }
}

impl Path for AuthZen {
    const NAME: &'static str = "AuthZEN";
    async fn ask(&mut self, asked: &[Asked]) -> Vec<Answer> {
        let (single, together) = asked.split_at(asked.len() / 5);
        let mut answers = Vec::new();
        for asked in single {
            answers.push(decided(&self.post("/access/v1/evaluation", &asked.authzen()).await));
        }
        for together in together.chunks(50) {
            let evaluations: Vec<Value> = together.iter().map(Asked::authzen).collect();
            let answer = self.post("/access/v1/evaluations", &json!({ "evaluations": evaluations })).await;
            answers.extend(answer["evaluations"].as_array().unwrap().iter().map(decided));
        }
        answers
    }
}

/// What an Envoy says: the subject is its client's certificate, the action its host, the resource its path.
pub struct ExtAuthz<'a> {
    client: AuthorizationClient<Channel>,
    authority: &'a Authority,
    certificates: BTreeMap<String, String>,
}

impl<'a> ExtAuthz<'a> {
    pub fn new(envoy: Channel, authority: &'a Authority) -> Self {
        Self { client: AuthorizationClient::new(envoy), authority, certificates: BTreeMap::new() }
    }

    /// A route for every resource of two, five and six segments.
    pub fn routes(actions: &[&str]) -> String {
        let paths = ["status/{a}", "prod/{a}/{b}/{c}/{d}", "prod/{a}/{b}/{c}/{d}/{e}"];
        let route = |action: &str, path: &str| {
            format!(
                "[[routes]]\nhost = \"{action}\"\nmethods = [\"GET\"]\npath = \"/{path}\"\naction = \"{action}\"\nresource = \"{path}\"\n"
            )
        };
        actions.iter().flat_map(|action| paths.map(|path| route(action, path))).collect()
    }

    fn request(&mut self, asked: &Asked) -> CheckRequest {
        let named = asked.subject.starts_with("spiffe:");
        let principal = if named { asked.subject.clone() } else { identity(&asked.subject) };
        let issue =
            || utf8_percent_encode(&self.authority.issue(&client(&principal)).chain_pem, NON_ALPHANUMERIC).to_string();
        let certificate = self.certificates.entry(principal.clone()).or_insert_with(issue).clone();
        let http = HttpRequest {
            method: "GET".to_owned(),
            host: asked.action.clone(),
            path: format!("/{}?subject=sam", asked.resource),
            ..HttpRequest::default()
        };
        let attributes = AttributeContext {
            source: Some(Peer { principal, certificate, ..Peer::default() }),
            request: Some(attribute_context::Request { http: Some(http), ..Default::default() }),
            ..AttributeContext::default()
        };
        CheckRequest { attributes: Some(attributes) }
    }
}

impl Path for ExtAuthz<'_> {
    const NAME: &'static str = "ext_authz";
    async fn ask(&mut self, asked: &[Asked]) -> Vec<Answer> {
        let mut answers = Vec::new();
        for asked in asked {
            let request = self.request(asked);
            answers.push(passed(&self.client.check(request).await.unwrap().into_inner()));
        }
        answers
    }
}

fn passed(response: &CheckResponse) -> Answer {
    let (headers, allowed) = match response.http_response.as_ref().unwrap() {
        HttpResponse::OkResponse(ok) => (&ok.headers, true),
        HttpResponse::DeniedResponse(denied) => (&denied.headers, false),
        HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
    };
    let header = |name: &str| {
        let header = headers.iter().filter_map(|option| option.header.as_ref()).find(|header| header.key == name);
        header.map(|header| header.value.as_str())
    };
    let grant = header("x-countersign-grant").map(|id| id.parse::<GrantId>().unwrap());
    let until = header("x-countersign-valid-until").map(|at| chrono::DateTime::parse_from_rfc3339(at).unwrap());
    let reason = match (allowed, grant) {
        (true, Some(_)) => "GRANTED",
        (true, None) => "BASELINE",
        (false, _) => known(header("x-countersign-reason").unwrap()),
    };
    agrees(&Answer { reason, grant, until: until.map(|at| at.timestamp_millis()) }, allowed)
}

fn of(verdict: Verdict) -> Answer {
    use countersign::check::Allowed;
    let until = |at: Timestamp| (at < Timestamp::MAX).then(|| at.millis());
    match verdict {
        Verdict::Allow { because, valid_until } => {
            let grant = if let Allowed::Granted { grant } = because { Some(grant) } else { None };
            Answer { reason: verdict.reason(), grant, until: until(valid_until) }
        }
        Verdict::Deny { .. } => Answer { reason: verdict.reason(), grant: None, until: None },
    }
}

fn told(checked: &CheckedAccess) -> Answer {
    let grant = checked.grant_id().map(|id| id.parse::<GrantId>().unwrap());
    let answer = Answer { reason: checked.reason(), grant, until: checked.valid_until().map(Timestamp::millis) };
    agrees(&answer, checked.is_allowed())
}

fn decided(answer: &Value) -> Answer {
    let context = &answer["context"];
    let reason = known(context["reason"].as_str().unwrap());
    let grant = context["grant_id"].as_str().map(|id| id.parse::<GrantId>().unwrap());
    let until =
        context["valid_until"].as_str().map(|at| chrono::DateTime::parse_from_rfc3339(at).unwrap().timestamp_millis());
    assert!(context["sequence"].as_str().unwrap().parse::<u64>().is_ok());
    agrees(&Answer { reason, grant, until }, answer["decision"].as_bool().unwrap())
}

fn known(reason: &str) -> &'static str {
    crate::memory::REASONS.into_iter().find(|known| *known == reason).unwrap_or("another")
}

fn agrees(answer: &Answer, allowed: bool) -> Answer {
    assert_eq!(["GRANTED", "BASELINE"].contains(&answer.reason), allowed, "{answer:?}");
    *answer
}
