//! Cerbos: CheckResources over gRPC, a policy on disk, and a principal who brings along what they were granted.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use countersign::wire::v1::CheckAccessRequest;
use prost_types::{Value, value};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::peer::{Peer, free_address};

const POLICY: &str = r#"
apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: database
  version: default
  rules:
    - actions: ["db.read", "db.write"]
      effect: EFFECT_ALLOW
      roles: ["engineer"]
      condition:
        match:
          expr: R.id.startsWith(P.attr.granted)
"#;

pub fn start(binaries: &Path, folder: &Path) -> Peer {
    let policies = folder.join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("database.yaml"), POLICY).unwrap();
    let (http, grpc) = (free_address(), free_address());
    let file = |name: &str| folder.join(name).display().to_string();
    let settings = format!(
        "server:\n  httpListenAddr: \"{http}\"\n  grpcListenAddr: \"{grpc}\"\n  tls:\n    cert: {}\n    key: {}\n    caCert: {}\n\
         storage:\n  driver: disk\n  disk:\n    directory: {}\n    watchForChanges: false\ntelemetry:\n  disabled: true\n",
        file("broker.pem"),
        file("broker.key"),
        file("authority.pem"),
        policies.display(),
    );
    std::fs::write(folder.join("cerbos.yaml"), settings).unwrap();
    let mut command = Command::new(binaries.join("cerbos"));
    command.args(["server", "--log-level=error", "--config"]).arg(folder.join("cerbos.yaml"));
    Peer::start(command, folder, "cerbos", grpc)
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    #[prost(string, tag = "1")]
    request_id: String,
    #[prost(message, optional, tag = "3")]
    principal: Option<Principal>,
    #[prost(message, repeated, tag = "4")]
    resources: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Principal {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "3")]
    roles: Vec<String>,
    #[prost(map = "string, message", tag = "4")]
    attributes: HashMap<String, Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, repeated, tag = "1")]
    actions: Vec<String>,
    #[prost(message, optional, tag = "2")]
    resource: Option<Resource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "3")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(message, repeated, tag = "2")]
    results: Vec<Outcome>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Outcome {
    #[prost(map = "string, int32", tag = "2")]
    actions: HashMap<String, i32>,
}

const ALLOW: i32 = 1;

pub fn question(asked: &CheckAccessRequest) -> Request {
    let granted = asked.resource.trim_end_matches("primary").to_owned();
    let granted = Value { kind: Some(value::Kind::StringValue(granted)) };
    Request {
        request_id: "1".to_owned(),
        principal: Some(Principal {
            id: asked.subject.clone(),
            roles: vec!["engineer".to_owned()],
            attributes: [("granted".to_owned(), granted)].into(),
        }),
        resources: vec![Entry {
            actions: vec![asked.action.clone()],
            resource: Some(Resource { kind: "database".to_owned(), id: asked.resource.clone() }),
        }],
    }
}

pub async fn ask(channel: &Channel, question: Request) {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/cerbos.svc.v1.CerbosService/CheckResources");
    let codec = ProstCodec::<Request, Response>::default();
    let answer = client.unary(tonic::Request::new(question), path, codec).await.unwrap().into_inner();
    assert!(answer.results[0].actions.values().all(|effect| *effect == ALLOW), "{answer:?}");
}
