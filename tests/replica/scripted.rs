//! A broker that speaks the feed as it should, until a test makes it lie.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use countersign::check::{AccountEntry, Change, GrantEntry, SetDigest};
use countersign::domain::value::scope::Scope;
use countersign::domain::value::time::Timestamp;
use countersign::sdk::{Replica, ReplicaBuilder};
use countersign::wire::v1;
use countersign::wire::v1::access_service_server::{AccessService, AccessServiceServer};
use countersign::wire::v1::replicate_grants_request::Message as Said;
use countersign::wire::v1::replicate_grants_response::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::common::certificates::{Authority, client};

pub const ANA: &str = "spiffe://northwind.example/person/ana";
pub const ORDERS: &str = "prod/eu/db/orders/primary";
/// The broker's time: not this machine's.
const TIME_SECONDS: i64 = 1_700_000_000;

type Sent = Result<v1::ReplicateGrantsResponse, Status>;

/// What the broker holds, and how it behaves.
pub struct Script {
    entries: BTreeMap<String, Change>,
    pub journal_id: String,
    pub feed_id: String,
    pub number: u64,
    pub sequence: u64,
    /// Opens no feed, with this.
    pub refuses: Option<Status>,
    /// Answers no ping.
    pub is_mute: bool,
    /// What replicas began with.
    pub hellos: Vec<v1::ReplicaHello>,
    /// The last change that a replica said to have in force.
    pub applied: u64,
    streams: Vec<mpsc::UnboundedSender<Sent>>,
}

/// The broker. Clones are one.
#[derive(Clone)]
pub struct Scripted {
    script: Arc<Mutex<Script>>,
    authority: Arc<Authority>,
    pub port: u16,
}

pub fn grant(number: u128, resource: &str) -> Change {
    let scope = Scope::new(["db.read".parse().unwrap()].into(), [resource.parse().unwrap()].into()).unwrap();
    let end = Timestamp::from_millis((TIME_SECONDS + 3_600) * 1_000).unwrap();
    let (id, holder) = (Uuid::from_u128(number).into(), "ana".parse().unwrap());
    Change::Grant(GrantEntry { id, holder, scope, end, started: true, locked: false })
}

pub fn revoked(number: u128) -> Change {
    Change::GrantGone { holder: "ana".parse().unwrap(), id: Uuid::from_u128(number).into() }
}

fn account(id: &str, identity: &str, audience: &[&str]) -> Change {
    Change::Account(AccountEntry {
        id: id.parse().unwrap(),
        identities: [identity.parse().unwrap()].into(),
        active: true,
        locked: false,
        baseline_until: Timestamp::MIN,
        audience: audience.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        checks_until: if audience.is_empty() { Timestamp::MIN } else { Timestamp::MAX },
    })
}

impl Scripted {
    /// Serves one grant of ana's.
    pub async fn new() -> Self {
        Self::of(Arc::new(Authority::new("northwind"))).await
    }

    /// The same, of an authority that another one has too.
    pub async fn of(authority: Arc<Authority>) -> Self {
        let mut script = Script {
            entries: BTreeMap::new(),
            journal_id: "journal-1".into(),
            feed_id: "feed-1".into(),
            number: 4,
            sequence: 100,
            refuses: None,
            is_mute: false,
            hellos: Vec::new(),
            applied: 0,
            streams: Vec::new(),
        };
        script.hold(&[
            account("orders-api", "spiffe://northwind.example/service/orders-api", &["prod/*/db/orders/**"]),
            account("ana", ANA, &[]),
            grant(1, ORDERS),
        ]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let leaf = authority.issue_server("spiffe://northwind.example/broker");
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(leaf.chain_pem, leaf.key_pem))
            .client_ca_root(Certificate::from_pem(authority.pem()));
        let broker = Self { script: Arc::new(Mutex::new(script)), authority, port };
        let service = AccessServiceServer::new(broker.clone());
        let server = Server::builder().tls_config(tls).unwrap().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        broker
    }

    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// A replica of these brokers, of whom this is the first.
    pub fn builder_with(&self, others: &[&Self]) -> ReplicaBuilder {
        let endpoints = [self].into_iter().chain(others.iter().copied());
        let leaf = self.authority.issue(&client("spiffe://northwind.example/service/orders-api"));
        Replica::builder(endpoints.map(|broker| format!("localhost:{}", broker.port)))
            .authority_pem(self.authority.pem())
            .identity_pem(leaf.chain_pem, leaf.key_pem)
            .connect_timeout(Duration::from_secs(20))
    }

    /// A replica that grows too old only where a test waits for it.
    pub async fn replica(&self) -> Replica {
        self.builder_with(&[]).max_staleness(Duration::from_secs(300)).connect().await.unwrap()
    }

    /// A change, true and in order.
    pub fn change(&self, changes: &[Change]) -> u64 {
        let mut script = self.script();
        script.hold(changes);
        (script.number, script.sequence) = (script.number + 1, script.sequence + 3);
        let change =
            v1::ReplicaChange { number: script.number, sequence: script.sequence, entries: bytes(changes).into() };
        script.say(Message::Change(change));
        script.sequence
    }

    /// Whatever a test wants.
    pub fn say(&self, message: Message) {
        self.script().say(message);
    }

    /// Ends all feeds, in good order or with an error.
    pub fn end_feeds(&self, with: Option<Status>) {
        for stream in self.script().streams.drain(..) {
            if let Some(status) = &with {
                let _ = stream.send(Err(status.clone()));
            }
        }
    }

    fn open(&self, hello: v1::ReplicaHello) -> (mpsc::UnboundedSender<Sent>, UnboundedReceiverStream<Sent>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut script = self.script();
        let (count, digest) = script.count_and_digest();
        let snapshot = hello.feed_id != script.feed_id || hello.number != script.number;
        script.hellos.push(hello);
        let start = v1::ReplicaStart {
            account: "orders-api".into(),
            journal_id: script.journal_id.clone(),
            feed_id: script.feed_id.clone(),
            snapshot,
            number: script.number,
            sequence: script.sequence,
        };
        let send = |message| sender.send(Ok(v1::ReplicateGrantsResponse { message: Some(message) })).unwrap();
        send(Message::Start(start));
        if snapshot {
            // A piece for each entry.
            for entry in script.entries.values() {
                let entries = bytes(std::slice::from_ref(entry)).into();
                send(Message::Piece(v1::ReplicaPiece { entries }));
            }
            send(Message::SnapshotEnd(v1::ReplicaSnapshotEnd { count, digest }));
        }
        script.streams.push(sender.clone());
        (sender, UnboundedReceiverStream::new(receiver))
    }

    fn heard(&self, said: Said, stream: &mpsc::UnboundedSender<Sent>) {
        let mut script = self.script();
        match said {
            Said::Ping(ping) if !script.is_mute => {
                let pong = script.pong(ping.nonce);
                let message = Some(Message::Pong(pong));
                let _ = stream.send(Ok(v1::ReplicateGrantsResponse { message }));
            }
            Said::Applied(applied) => script.applied = script.applied.max(applied.number),
            _ => {}
        }
    }
}

impl Script {
    pub fn hold(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Account(account) => drop(self.entries.insert(account.id.to_string(), change.clone())),
                Change::Grant(grant) => drop(self.entries.insert(grant.id.to_string(), change.clone())),
                Change::GrantGone { id, .. } => drop(self.entries.remove(&id.to_string())),
                Change::AccountGone(id) => drop(self.entries.remove(id.as_str())),
                Change::Baseline(_) => drop(self.entries.insert("baseline".into(), change.clone())),
                Change::Locked(_) => drop(self.entries.insert("locked".into(), change.clone())),
            }
        }
    }

    pub fn pong(&self, nonce: Vec<u8>) -> v1::ReplicaPong {
        let (count, digest) = self.count_and_digest();
        let time = Some(prost_types::Timestamp { seconds: TIME_SECONDS, nanos: 0 });
        v1::ReplicaPong { nonce, time, number: self.number, sequence: self.sequence, count, digest }
    }

    /// How many feeds are open.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    fn count_and_digest(&self) -> (u64, Vec<u8>) {
        let sum = self.entries.values().fold(SetDigest::default(), |sum, entry| sum.with(&entry.digest()));
        (u64::try_from(self.entries.len()).unwrap(), sum.bytes().to_vec())
    }

    fn say(&mut self, message: Message) {
        let message = v1::ReplicateGrantsResponse { message: Some(message) };
        self.streams.retain(|stream| stream.send(Ok(message.clone())).is_ok());
    }
}

pub fn bytes(changes: &[Change]) -> Vec<u8> {
    let mut bytes = Vec::new();
    changes.iter().for_each(|change| change.put(&mut bytes));
    bytes
}

/// Polls until it holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came: {what}");
}

#[tonic::async_trait]
impl AccessService for Scripted {
    type StreamCheckAccessStream = UnboundedReceiverStream<Result<v1::StreamCheckAccessResponse, Status>>;
    type ReplicateGrantsStream = UnboundedReceiverStream<Sent>;

    async fn replicate_grants(
        &self,
        request: Request<Streaming<v1::ReplicateGrantsRequest>>,
    ) -> Result<Response<Self::ReplicateGrantsStream>, Status> {
        if let Some(refusal) = &self.script().refuses {
            return Err(refusal.clone());
        }
        let mut incoming = request.into_inner();
        let Some(Said::Hello(hello)) = incoming.message().await?.and_then(|said| said.message) else {
            return Err(Status::invalid_argument("a hello comes first"));
        };
        let (stream, outgoing) = self.open(hello);
        // The script alone keeps it open.
        let stream = stream.downgrade();
        let broker = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(said)) = incoming.message().await {
                if let Some((said, stream)) = said.message.zip(stream.upgrade()) {
                    broker.heard(said, &stream);
                }
            }
        });
        Ok(Response::new(outgoing))
    }

    async fn stream_check_access(
        &self,
        _: Request<Streaming<v1::StreamCheckAccessRequest>>,
    ) -> Result<Response<Self::StreamCheckAccessStream>, Status> {
        Err(Status::unimplemented("not part of this"))
    }
    async fn check_access(
        &self,
        _: Request<v1::CheckAccessRequest>,
    ) -> Result<Response<v1::CheckAccessResponse>, Status> {
        Err(Status::unimplemented("not part of this"))
    }
    async fn batch_check_access(
        &self,
        _: Request<v1::BatchCheckAccessRequest>,
    ) -> Result<Response<v1::BatchCheckAccessResponse>, Status> {
        Err(Status::unimplemented("not part of this"))
    }
    async fn explain_check(
        &self,
        _: Request<v1::ExplainCheckRequest>,
    ) -> Result<Response<v1::ExplainCheckResponse>, Status> {
        Err(Status::unimplemented("not part of this"))
    }
}
