//! A real listener on loopback with two tiny services, its authorities, an injected clock, and clients of two kinds:
//! tonic's, and one that writes HTTP/2 frames by hand.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use countersign::domain::rule::spender::Spender;
use countersign::domain::value::time::Timestamp;
use countersign::server::metrics::{Metrics, Outcome, Reason};
use countersign::server::transport::door::Guest;
use countersign::server::transport::limits::Limits;
use countersign::server::transport::listener::{ListenerSettings, Listening, listen};
use countersign::server::transport::peer::Peer;
use countersign::server::transport::served::{self, Direct, DirectCalls, Services, Speaks};
use countersign::server::transport::standing::Standing;
use countersign::server::transport::tls::{AuthoritySettings, TlsSettings, TlsStore, provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;
use tonic::body::Body;
use tonic::codegen::{Bytes, StdError, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::service::Routes;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;

use crate::common::certificates::{self, Authority, Leaf, client, now_millis};

pub const ANA: &str = "spiffe://northwind.example/person/ana";

pub struct Broker {
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub listening: Option<Listening>,
    pub clock: Arc<AtomicI64>,
    pub tls: Arc<TlsStore>,
    pub folder: tempfile::TempDir,
    pub northwind: Authority,
    pub acme: Authority,
    /// Opening it lets every call of `test.Slow` go on.
    pub gate: watch::Sender<bool>,
    /// Calls of `test.Slow` that have begun.
    pub begun: Arc<AtomicUsize>,
}

/// Of all who have certificates here, `ana` alone is somebody.
fn guest(identity: &countersign::domain::value::ids::Identity) -> Guest {
    let spender = match identity.as_str() {
        ANA => Spender::Person("ana".parse().unwrap()),
        _ => Spender::Unknown,
    };
    Guest { spender, takes_away: false }
}

pub fn tls_settings(folder: &std::path::Path) -> TlsSettings {
    let authority = |file: &str, domain: &str| AuthoritySettings {
        file: folder.join(file),
        trust_domains: [domain.parse().unwrap()].into(),
        identities: [].into(),
    };
    TlsSettings {
        certificate: folder.join("broker.pem"),
        key: folder.join("broker.key"),
        authorities: vec![authority("northwind.pem", "northwind.example"), authority("acme.pem", "acme.example")],
    }
}

impl Broker {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut ListenerSettings)) -> Self {
        Self::start_by(|_| {}, change)
    }

    pub fn start_by(trust: impl FnOnce(&mut TlsSettings), change: impl FnOnce(&mut ListenerSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (northwind, acme) = (Authority::new("northwind"), Authority::new("acme"));
        let broker = northwind.issue_server("spiffe://northwind.example/service/countersign");
        certificates::write(folder.path(), "northwind.pem", &northwind.pem());
        certificates::write(folder.path(), "acme.pem", &acme.pem());
        certificates::write(folder.path(), "broker.pem", &broker.chain_pem);
        certificates::write(folder.path(), "broker.key", &broker.key_pem);
        let clock = Arc::new(AtomicI64::new(now_millis()));
        let read = Arc::clone(&clock);
        let now = Arc::new(move || Timestamp::from_millis(read.load(Ordering::SeqCst)).unwrap());
        let mut tls = tls_settings(folder.path());
        trust(&mut tls);
        let tls = TlsStore::load(tls, now).unwrap();
        let metrics = Arc::new(Metrics::default());
        let (gate, closed) = watch::channel(false);
        let begun = Arc::new(AtomicUsize::new(0));
        let slow = Slow(closed, Arc::clone(&begun));
        let mut settings = ListenerSettings {
            speaks: Speaks::Grpc,
            address: "127.0.0.1:0".parse().unwrap(),
            runtimes: 2,
            limits: Limits { certificate_beat: Duration::from_secs(600), ..Limits::default() },
            reload_interval: Duration::from_secs(600),
            reload_asked: Arc::default(),
        };
        change(&mut settings);
        let services = move || {
            let routes = Routes::new(tonic_health::server::health_reporter().1);
            let routes = routes.add_service(slow.clone()).add_service(Long);
            Services { routes, direct: Past, dialect: Arc::new(served::Grpc), guests: Arc::new(guest) }
        };
        let listening = listen(&settings, Arc::clone(&tls), Arc::clone(&metrics), services).unwrap();
        let address = listening.local_address;
        Self { address, metrics, listening: Some(listening), clock, tls, folder, northwind, acme, gate, begun }
    }

    pub fn stranger(&self) -> Leaf {
        self.northwind.issue(&client("spiffe://northwind.example/person/nobody"))
    }

    pub fn ana(&self) -> Leaf {
        self.northwind.issue(&client(ANA))
    }

    pub fn endpoint(&self, leaf: Option<&Leaf>) -> Endpoint {
        let tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.northwind.pem())).domain_name("localhost");
        let tls = match leaf {
            Some(leaf) => tls.identity(Identity::from_pem(&leaf.chain_pem, &leaf.key_pem)),
            None => tls,
        };
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(tls).unwrap().timeout(Duration::from_secs(10))
    }

    /// A channel, connected, with one call made.
    pub async fn connect(&self, leaf: &Leaf) -> Result<Channel, String> {
        let channel = self.endpoint(Some(leaf)).connect().await.map_err(|error| format!("{error:?}"))?;
        health(&channel).await.map_err(|status| format!("{status:?}"))?;
        Ok(channel)
    }

    /// The first call of a client that should not get in, and what it was counted as.
    pub async fn refused(&self, leaf: Option<&Leaf>, outcome: &'static str) {
        let result = match self.endpoint(leaf).connect().await {
            Ok(channel) => health(&channel).await.map_err(|status| format!("{status:?}")),
            Err(error) => Err(format!("{error:?}")),
        };
        assert!(result.is_err(), "{outcome}: was let in");
        eventually(outcome, || self.handshakes(outcome) >= 1).await;
        assert_eq!(self.handshakes("accepted"), 0, "{outcome}");
    }

    pub fn handshakes(&self, outcome: &'static str) -> u64 {
        self.metrics.handshakes.get_or_create(&Outcome { outcome }).get()
    }

    pub fn connections_refused(&self, reason: &'static str) -> u64 {
        self.metrics.connections_refused.get_or_create(&Reason { reason }).get()
    }

    pub fn advance_clock(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    /// A TLS connection without HTTP in it.
    pub async fn raw(&self, leaf: &Leaf, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.northwind.pem().as_bytes()).unwrap()).unwrap();
        let chain = CertificateDer::pem_slice_iter(leaf.chain_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }

    pub async fn frames(&self) -> Frames {
        let mut stream = self.raw(&self.ana(), &["h2"]).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        stream.write_all(&frame(4, 1, 0, &[])).await.unwrap();
        let (reader, writer) = tokio::io::split(stream);
        Frames { reader, writer }
    }
}

pub async fn health(channel: &Channel) -> Result<Response<HealthCheckResponse>, Status> {
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await
}

/// A call of `test.Slow`, which answers who the caller is, once the gate is open.
pub async fn slow(
    channel: &Channel,
    request: Request<HealthCheckRequest>,
) -> Result<Response<HealthCheckResponse>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    client.unary(request, http::uri::PathAndQuery::from_static("/test.Slow/Wait"), codec).await
}

pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came: {what}");
}

#[derive(Clone)]
struct Slow(watch::Receiver<bool>, Arc<AtomicUsize>);

impl NamedService for Slow {
    const NAME: &'static str = "test.Slow";
}

type Answer<T, E> = std::pin::Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

impl tonic::codegen::Service<http::Request<Body>> for Slow {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let handler = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(handler, request).await) })
    }
}

/// What an answer of `test.Long` has.
pub const LONG_BYTES: usize = 1024 * 1024;

/// `test.Long`, which answers much to whatever it is asked.
#[derive(Clone)]
struct Long;

impl NamedService for Long {
    const NAME: &'static str = "test.Long";
}

impl tonic::codegen::Service<http::Request<Body>> for Long {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        std::future::ready(Ok(long()))
    }
}

fn long() -> http::Response<Body> {
    http::Response::new(Body::new(http_body_util::Full::new(Bytes::from(vec![7; LONG_BYTES]))))
}

/// `test.Past`, which answers the same without the router.
#[derive(Clone)]
struct Past;

impl Direct for Past {
    type Calls = Self;

    fn connected(&self, _: &Peer, _: &Standing) -> Self {
        Self
    }
}

impl DirectCalls for Past {
    type Method = ();

    fn method(path: &str) -> Option<()> {
        (path == "/test.Past/Get").then_some(())
    }
    fn path((): ()) -> &'static str {
        "/test.Past/Get"
    }
    fn is_short((): ()) -> bool {
        false
    }
    async fn call<B>(self, (): (), _: http::Request<B>) -> http::Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        long()
    }
}

impl UnaryService<HealthCheckRequest> for Slow {
    type Response = HealthCheckResponse;
    type Future = Answer<Response<HealthCheckResponse>, Status>;

    fn call(&mut self, request: Request<HealthCheckRequest>) -> Self::Future {
        let mut gate = self.0.clone();
        self.1.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let who = Peer::of(&request)?.identity.to_string();
            gate.wait_for(|open| *open).await.map_err(|_| Status::aborted("the test is over"))?;
            let mut response = Response::new(HealthCheckResponse::default());
            response.metadata_mut().insert("who", who.parse().unwrap());
            Ok(response)
        })
    }
}

/// HTTP/2, frame by frame.
pub struct Frames {
    pub reader: tokio::io::ReadHalf<TlsStream<TcpStream>>,
    pub writer: tokio::io::WriteHalf<TlsStream<TcpStream>>,
}

pub const RST_STREAM: u8 = 3;
pub const GOAWAY: u8 = 7;

pub struct Read {
    pub kind: u8,
    pub payload: Vec<u8>,
}

impl Frames {
    /// The next frame; none at the end of the connection.
    pub async fn read(&mut self) -> Option<Read> {
        read(&mut self.reader).await
    }
}

pub async fn read(reader: &mut tokio::io::ReadHalf<TlsStream<TcpStream>>) -> Option<Read> {
    let mut head = [0_u8; 9];
    let reading = tokio::time::timeout(Duration::from_secs(10), reader.read_exact(&mut head));
    reading.await.expect("a frame or the end within 10 s").ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0_u8; length as usize];
    reader.read_exact(&mut payload).await.ok()?;
    Some(Read { kind: head[3], payload })
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// HEADERS of a gRPC call, HPACK without Huffman and without the dynamic table.
pub fn headers(stream: u32, path: &str) -> Vec<u8> {
    let literal = |block: &mut Vec<u8>, value: &str| {
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    };
    let mut block = vec![0x83, 0x87, 0x04];
    literal(&mut block, path);
    block.push(0x01);
    literal(&mut block, "localhost");
    block.extend([0x0f, 0x10]);
    literal(&mut block, "application/grpc");
    block.push(0x00);
    literal(&mut block, "te");
    literal(&mut block, "trailers");
    frame(1, 4, stream, &block)
}
