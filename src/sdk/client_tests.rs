//! The client against small servers that fail on purpose, over real mutual TLS on loopback.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;
use crate::domain::value::refusal::Reason;
use crate::sdk::builder::ClientBuilder;
use crate::wire::v1::access_service_server::{AccessService, AccessServiceServer};
use crate::wire::v1::grant_service_server::{GrantService, GrantServiceServer};
use crate::wire::v1::proposal_service_server::{ProposalService, ProposalServiceServer};
use crate::wire::v1::propose_policy_request;

#[path = "client_limit_tests.rs"]
mod limits;
use self::limits::limit_of;

const ANA: &str = "spiffe://northwind.example/person/ana";

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn leaf(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI(ANA.try_into().unwrap()));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// The header, the bytes, and the longest piece.
type Loaded = (Option<v1::ProposalHeader>, Vec<u8>, usize);

/// Answers what it is told to, and counts.
#[derive(Clone, Default)]
struct Broker {
    calls: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<Status>>>,
    request_ids: Arc<Mutex<Vec<String>>>,
    limits: Arc<Mutex<Vec<Duration>>>,
    watched_after: Arc<Mutex<Vec<String>>>,
    loaded: Arc<Mutex<Loaded>>,
}

impl Broker {
    fn failing(failures: impl IntoIterator<Item = Status>) -> Self {
        let broker = Self::default();
        broker.failures.lock().unwrap().extend(failures);
        broker
    }

    fn next<T>(&self, answer: T) -> Result<Response<T>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut failures = self.failures.lock().unwrap();
        if failures.is_empty() { Ok(Response::new(answer)) } else { Err(failures.remove(0)) }
    }

    async fn serve(self, authority: &Authority) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (certificate, key) = authority.leaf();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Certificate::from_pem(authority.0.pem()));
        let server = Server::builder().tls_config(tls).unwrap().add_service(AccessServiceServer::new(self.clone()));
        let server = server.add_service(GrantServiceServer::new(self.clone()));
        let server = server.add_service(ProposalServiceServer::new(self));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        port
    }
}

#[tonic::async_trait]
impl AccessService for Broker {
    type StreamCheckAccessStream = ReceiverStream<Result<v1::StreamCheckAccessResponse, Status>>;
    type ReplicateGrantsStream = ReceiverStream<Result<v1::ReplicateGrantsResponse, Status>>;

    async fn stream_check_access(
        &self,
        _: Request<tonic::Streaming<v1::StreamCheckAccessRequest>>,
    ) -> Result<Response<Self::StreamCheckAccessStream>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn replicate_grants(
        &self,
        _: Request<tonic::Streaming<v1::ReplicateGrantsRequest>>,
    ) -> Result<Response<Self::ReplicateGrantsStream>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn check_access(
        &self,
        _: Request<v1::CheckAccessRequest>,
    ) -> Result<Response<v1::CheckAccessResponse>, Status> {
        self.next(v1::CheckAccessResponse { verdict: 1, reason: 1, ..Default::default() })
    }
    async fn batch_check_access(
        &self,
        _: Request<v1::BatchCheckAccessRequest>,
    ) -> Result<Response<v1::BatchCheckAccessResponse>, Status> {
        // Never answers.
        std::future::pending().await
    }
    async fn explain_check(
        &self,
        _: Request<v1::ExplainCheckRequest>,
    ) -> Result<Response<v1::ExplainCheckResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl GrantService for Broker {
    type AwaitReplicasStream = ReceiverStream<Result<v1::AwaitReplicasResponse, Status>>;
    async fn await_replicas(
        &self,
        _: Request<v1::AwaitReplicasRequest>,
    ) -> Result<Response<Self::AwaitReplicasStream>, Status> {
        Err(Status::unimplemented(""))
    }

    type WatchGrantsStream = ReceiverStream<Result<v1::WatchGrantsResponse, Status>>;

    async fn get_grant(&self, _: Request<v1::GetGrantRequest>) -> Result<Response<v1::GetGrantResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_grants(&self, _: Request<v1::ListGrantsRequest>) -> Result<Response<v1::ListGrantsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    /// One step a stream, which then breaks: what comes next depends on what the client resumes after.
    async fn watch_grants(
        &self,
        request: Request<v1::WatchGrantsRequest>,
    ) -> Result<Response<Self::WatchGrantsStream>, Status> {
        let after = request.into_inner().after_sequence;
        self.watched_after.lock().unwrap().push(after.clone());
        let number: u64 = after.parse().unwrap_or_default();
        let (sender, receiver) = tokio::sync::mpsc::channel(2);
        let step = v1::WatchGrantsResponse { sequence: (number + 1).to_string(), event: None };
        sender.send(Ok(step)).await.unwrap();
        match number % 2 {
            0 => sender.send(Err(Status::unavailable("restarting"))).await.unwrap(),
            _ => drop(sender),
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
    async fn relinquish_grant(
        &self,
        request: Request<v1::RelinquishGrantRequest>,
    ) -> Result<Response<v1::RelinquishGrantResponse>, Status> {
        self.limits.lock().unwrap().push(limit_of(request.metadata()));
        self.request_ids.lock().unwrap().push(request.into_inner().request_id);
        self.next(v1::RelinquishGrantResponse::default())
    }
    async fn revoke_grant(
        &self,
        _: Request<v1::RevokeGrantRequest>,
    ) -> Result<Response<v1::RevokeGrantResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl ProposalService for Broker {
    type GetProposalTextStream = ReceiverStream<Result<v1::GetProposalTextResponse, Status>>;

    async fn propose_policy(
        &self,
        request: Request<Streaming<v1::ProposePolicyRequest>>,
    ) -> Result<Response<v1::ProposePolicyResponse>, Status> {
        let mut pieces = request.into_inner();
        while let Some(piece) = pieces.message().await? {
            let mut loaded = self.loaded.lock().unwrap();
            match piece.piece.unwrap() {
                propose_policy_request::Piece::Header(header) => loaded.0 = Some(header),
                propose_policy_request::Piece::Chunk(chunk) => {
                    loaded.2 = loaded.2.max(chunk.len());
                    loaded.1.extend(chunk);
                }
            }
        }
        self.next(v1::ProposePolicyResponse::default())
    }
    async fn propose_directory(
        &self,
        _: Request<Streaming<v1::ProposeDirectoryRequest>>,
    ) -> Result<Response<v1::ProposeDirectoryResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_proposal(
        &self,
        _: Request<v1::GetProposalRequest>,
    ) -> Result<Response<v1::GetProposalResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_proposals(
        &self,
        _: Request<v1::ListProposalsRequest>,
    ) -> Result<Response<v1::ListProposalsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn approve_proposal(
        &self,
        _: Request<v1::ApproveProposalRequest>,
    ) -> Result<Response<v1::ApproveProposalResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn deny_proposal(
        &self,
        _: Request<v1::DenyProposalRequest>,
    ) -> Result<Response<v1::DenyProposalResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn withdraw_proposal(
        &self,
        _: Request<v1::WithdrawProposalRequest>,
    ) -> Result<Response<v1::WithdrawProposalResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_proposal_text(
        &self,
        _: Request<v1::GetProposalTextRequest>,
    ) -> Result<Response<Self::GetProposalTextStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

fn refusal(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "countersign", [("a".to_owned(), "b".to_owned())]);
    Status::with_error_details(code, "text", details)
}

fn builder(port: u16, trusted: &Authority, own: &Authority) -> ClientBuilder {
    let (certificate, key) = own.leaf();
    Client::builder(format!("localhost:{port}"))
        .authority_pem(trusted.0.pem())
        .identity_pem(certificate, key)
        .connect_timeout(Duration::from_secs(30))
}

async fn connected(broker: &Broker) -> Client {
    let authority = Authority::new();
    let port = broker.clone().serve(&authority).await;
    builder(port, &authority, &authority).connect_unasked().await.unwrap()
}

#[tokio::test]
async fn a_busy_broker_is_asked_again_with_the_same_request_id() {
    // given a broker that is overloaded, then unavailable
    let broker = Broker::failing([
        refusal(Code::ResourceExhausted, "OVERLOADED"),
        refusal(Code::Unavailable, "STORAGE_UNAVAILABLE"),
    ]);
    let client = connected(&broker).await;
    // when a grant is relinquished, then it succeeds in the end, by one request_id
    let request = v1::RelinquishGrantRequest { request_id: "one".into(), grant_id: "g".into() };
    client.relinquish_grant(request).await.unwrap();
    assert_eq!(*broker.request_ids.lock().unwrap(), ["one", "one", "one"]);
}

#[tokio::test]
async fn a_refusal_is_not_asked_again() {
    let broker = Broker::failing([refusal(Code::PermissionDenied, "CAPABILITY_MISSING")]);
    let client = connected(&broker).await;
    let error = client.check("ana", "db.read", "prod/db").await.unwrap_err();
    assert_eq!((error.reason(), error.exit_code()), (Some(Reason::CapabilityMissing), 3));
    assert_eq!(broker.calls.load(Ordering::SeqCst), 1);
    // and the connection goes on
    assert!(client.check("ana", "db.read", "prod/db").await.unwrap().is_allowed());
}

#[tokio::test]
async fn a_watch_resumes_after_the_last_sequence_it_gave() {
    // given a broker that breaks every stream after one step, by an error or in good order
    let broker = Broker::default();
    let client = connected(&broker).await;
    let mut watch = client.watch_grants(v1::WatchGrantsRequest { after_sequence: "10".into(), ..Default::default() });
    // when / then no step is missing and none comes twice
    for expected in 11..16 {
        assert_eq!(watch.next().await.unwrap().sequence, expected.to_string());
    }
    assert_eq!(*broker.watched_after.lock().unwrap(), ["10", "11", "12", "13", "14"]);
}

#[tokio::test]
async fn a_file_is_sent_whole_after_its_header_in_small_pieces() {
    let broker = Broker::default();
    let client = connected(&broker).await;
    let file: Vec<u8> = (0..100_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let header = v1::ProposalHeader { request_id: "one".into(), ..Default::default() };
    client.propose_policy(header.clone(), &file).await.unwrap();
    let loaded = broker.loaded.lock().unwrap();
    assert_eq!((loaded.0.as_ref(), &loaded.1, loaded.2 < 32 * 1024), (Some(&header), &file, true));
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_not_waited_for() {
    let authority = Authority::new();
    let port = Broker::default().serve(&authority).await;
    let builder = builder(port, &authority, &authority).call_timeout(Duration::from_millis(50));
    let client = builder.connect_unasked().await.unwrap();
    let error = client.batch_check_access(v1::BatchCheckAccessRequest::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 8);
}

#[tokio::test]
async fn strangers_are_told_apart_from_silence() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let port = Broker::default().serve(&ours).await;
    // a broker whose authority the client does not know
    let error = builder(port, &theirs, &ours).connect_unasked().await.unwrap_err();
    assert_eq!(error.exit_code(), 7, "{error:?}");
    // a client whose authority the broker does not know: TLS 1.3 tells it with the first answer
    let refused = match builder(port, &ours, &theirs).retries(0).connect_unasked().await {
        Ok(client) => client.check("ana", "db.read", "prod/db").await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(refused.exit_code(), 7, "{refused:?}");
    // nobody there
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = builder(free, &ours, &ours).connect_unasked().await.unwrap_err();
    assert_eq!((error.exit_code(), error.is_transient()), (8, true), "{error:?}");
}

/// Accepts, and says nothing.
fn silent() -> (u16, std::net::TcpListener) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap().port(), listener)
}

#[tokio::test]
async fn a_host_that_accepts_and_says_nothing_is_not_waited_for() {
    // given a host without a broker, and one that ends TLS and then says nothing
    let authority = Authority::new();
    let (port, _listening) = silent();
    let limit = Duration::from_millis(200);
    // when somebody connects, then it is told as what it is
    let error = builder(port, &authority, &authority).connect_timeout(limit).connect_unasked().await.unwrap_err();
    assert_eq!((error.exit_code(), error.is_transient()), (8, true), "{error:?}");
}

/// What the other side does with each connection.
#[derive(Debug, Clone, Copy)]
enum Stops {
    /// It accepts, and says nothing.
    BeforeTls,
    /// It shakes hands, and says nothing.
    AfterTls,
}

/// A host where a broker was, that has stopped; and how often somebody came.
async fn stopped(authority: &Authority, listener: tokio::net::TcpListener, stops: Stops) -> Arc<AtomicUsize> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let (certificate, key) = authority.leaf();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap().with_no_client_auth();
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let came = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&came);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            match stops {
                Stops::BeforeTls => kept.push(tokio::spawn(async move {
                    let _held = socket;
                    std::future::pending::<()>().await;
                })),
                Stops::AfterTls => {
                    let accepting = acceptor.accept(socket);
                    kept.push(tokio::spawn(async move {
                        let _held = accepting.await;
                        std::future::pending::<()>().await;
                    }));
                }
            }
        }
    });
    came
}

#[tokio::test]
async fn each_attempt_has_its_own_limit_wherever_the_other_side_stops() {
    for stops in [Stops::BeforeTls, Stops::AfterTls] {
        // given a client whose broker has ended, and in whose place somebody accepts and stops
        let authority = Authority::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limit = Duration::from_millis(200);
        let came = stopped(&authority, listener, stops).await;
        let builder = builder(address.port(), &authority, &authority).connect_timeout(limit).call_timeout(limit);
        let builder = builder.retries(2);
        let dial = builder.dial().unwrap();
        let client = Client::new(builder.clone(), builder.look(), dial.connect_when_needed(), dial);
        // when a watch is opened, then each attempt comes to its end, and is followed by a new connection
        let mut watch = client.watch_grants(v1::WatchGrantsRequest::default());
        let error = tokio::time::timeout(Duration::from_secs(30), watch.next()).await.unwrap().unwrap_err();
        assert_eq!(error.exit_code(), 8, "{stops:?}: {error:?}");
        assert!(came.load(Ordering::SeqCst) >= 3, "{stops:?}: it came {} times", came.load(Ordering::SeqCst));
        // and a call that took its whole limit is not sent again
        let before = came.load(Ordering::SeqCst);
        let error = client.check("ana", "db.read", "prod/db").await.unwrap_err();
        assert_eq!(error.exit_code(), 8, "{stops:?}: {error:?}");
        assert!(came.load(Ordering::SeqCst) <= before + 3, "{stops:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_over_is_found_before_anybody_is_asked() {
    let authority = Authority::new();
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI(ANA.try_into().unwrap()));
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let over = params.self_signed(&key).unwrap();
    let (port, _listening) = silent();
    let builder = builder(port, &authority, &authority).identity_pem(over.pem(), key.serialize_pem());
    let error = builder.connect_unasked().await.unwrap_err();
    assert_eq!(error.exit_code(), 7);
    assert!(error.to_string().contains("has ended at 2020-01-01T00:00:00"), "{error}");
}

#[tokio::test]
async fn a_refused_certificate_is_told_as_such_each_time() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let port = Broker::default().serve(&ours).await;
    for _ in 0..20 {
        let refused = match builder(port, &ours, &theirs).retries(0).connect_unasked().await {
            Ok(client) => client.check("ana", "db.read", "prod/db").await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(refused.exit_code(), 7, "{refused:?}");
    }
}
