//! The ways to an answer, each brought into one form. A further one is a further implementation of [`Path`].

use countersign::check::{Query, Verdict};
use countersign::domain::ids::GrantId;
use countersign::domain::time::Timestamp;
use countersign::engine::Engine;
use countersign::sdk::replica::CheckedBatch;
use countersign::sdk::{CheckStream, CheckedAccess, Client, Replica};
use countersign::wire::v1 as pb;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tonic::codegen::Bytes;
use tonic::codegen::http::Request;

use crate::harness::Broker;
use crate::model::Answer;

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
    let reason = ["GRANTED", "BASELINE", "OUT_OF_AUDIENCE", "NOT_STARTED", "NO_GRANT"];
    let reason = reason.into_iter().find(|reason| context["reason"] == *reason).unwrap_or("another");
    let grant = context["grant_id"].as_str().map(|id| id.parse::<GrantId>().unwrap());
    let until =
        context["valid_until"].as_str().map(|at| chrono::DateTime::parse_from_rfc3339(at).unwrap().timestamp_millis());
    assert!(context["sequence"].as_str().unwrap().parse::<u64>().is_ok());
    agrees(&Answer { reason, grant, until }, answer["decision"].as_bool().unwrap())
}

fn agrees(answer: &Answer, allowed: bool) -> Answer {
    assert_eq!(["GRANTED", "BASELINE"].contains(&answer.reason), allowed, "{answer:?}");
    *answer
}
