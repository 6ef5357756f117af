//! etcd: a key for each thing that is granted, read serializably: from the member's own memory, as old as it may be.

use std::path::Path;
use std::process::Command;

use countersign::wire::v1::CheckAccessRequest;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::peer::{Peer, free_address};

pub fn start(binaries: &Path, folder: &Path) -> Peer {
    let (clients, peers) = (free_address(), free_address());
    let mut command = Command::new(binaries.join("etcd"));
    let url = |address: &str| format!("https://{address}");
    command.arg("--data-dir").arg(folder.join("etcd")).arg("--logger=zap").arg("--log-level=error");
    command.args(["--listen-client-urls", &url(&clients), "--advertise-client-urls", &url(&clients)]);
    command.args(["--listen-peer-urls", &format!("http://{peers}")]);
    command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(folder.join("authority.pem"));
    command.arg("--cert-file").arg(folder.join("broker.pem")).arg("--key-file").arg(folder.join("broker.key"));
    Peer::start(command, folder, "etcd", clients)
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bool, tag = "7")]
    serializable: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(int64, tag = "4")]
    count: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

pub fn question(asked: &CheckAccessRequest) -> RangeRequest {
    RangeRequest { key: key(asked), serializable: true }
}

/// Lets it know what is granted.
pub async fn grant(channel: &Channel, asked: &[CheckAccessRequest]) {
    for asked in asked {
        let put = PutRequest { key: key(asked), value: b"until the end".to_vec() };
        let _: PutResponse = call(channel, "/etcdserverpb.KV/Put", put).await;
    }
}

pub async fn ask(channel: &Channel, question: RangeRequest) {
    let answer: RangeResponse = call(channel, "/etcdserverpb.KV/Range", question).await;
    assert_eq!(answer.count, 1);
}

async fn call<Q, A>(channel: &Channel, path: &'static str, question: Q) -> A
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = ProstCodec::<Q, A>::default();
    client.unary(tonic::Request::new(question), PathAndQuery::from_static(path), codec).await.unwrap().into_inner()
}

fn key(asked: &CheckAccessRequest) -> Vec<u8> {
    format!("grants/{}/{}/{}", asked.subject, asked.action, asked.resource).into_bytes()
}
