//! One connection, from the accepted socket to its end: handshake within its time, the protocol agreed there and no other
//! (HTTP/2; on the second listener HTTP/1.1 too), the limits of known failures G1 to G8, the certificate asked about at every call
//! and at every beat, and an end by age or by drain.
//!
//! tonic's own server is not used for this loop: with a grace period it cuts an old connection without telling it to go
//! away first, and its default takes off hyper's cap on streams reset for the client's errors.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::counter::Counter;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tonic::service::Routes;
use tonic::transport::server::Connected;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::server::access_calls::{AccessCalls, Method};
use crate::server::caller::Caller;
use crate::server::limits::{
    HEADER_LIST_MAX_BYTES, HEADER_READ_TIMEOUT, LOCAL_ERROR_RESET_STREAMS, Limits, PENDING_ACCEPT_RESET_STREAMS, Place,
    STREAMS_PER_CONNECTION,
};
use crate::server::listener::{LogBudget, Phase, Services, Speaks};
use crate::server::metrics::{Call, Metrics, Outcome};
use crate::server::peer::{Leaf, Peer, Standing};
use crate::server::tls::{PeerRefusal, TlsStore};
use crate::server::{authzen, scim};

/// Header fields of a request; a call needs about ten.
const HEADERS_MAX: usize = 32;
/// The method under which a call is counted that reached none.
const UNROUTED: &str = "unknown";
/// Pairs of method and code that one connection may be counted under.
const KNOWN_MAX: usize = 128;
/// How long a connection whose certificate is over has to read why.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What all connections of a listener share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) speaks: Speaks,
    pub(crate) tls: Arc<TlsStore>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) log: LogBudget,
}

/// A socket that was admitted.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) place: Place,
}

/// A connection whose handshake is done.
struct Connection {
    stream: TlsStream<TcpStream>,
    /// Whether HTTP/2 was agreed upon.
    is_http2: bool,
    peer: Peer,
    standing: Standing,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Serves one socket to its end.
pub(crate) async fn serve(accepted: Accepted, shared: Arc<Shared>, services: Services) {
    let Accepted { socket, address, place } = accepted;
    let mut phase = shared.phase.clone();
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(shared.limits.handshake_timeout, handshake(socket, address, &shared)) => {
            outcome.unwrap_or_else(|_| Err(Failure::new("timeout", "the handshake took too long".to_owned())))
        }
        () = place.evicted() => Err(Failure::new("evicted", "made room for a newer connection".to_owned())),
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => return,
    };
    place.settle();
    let connection = match outcome {
        Ok(connection) => connection,
        Err(Failure { outcome, text }) => {
            shared.metrics.handshakes.get_or_create(&Outcome { outcome }).inc();
            if shared.log.take() {
                tracing::warn!(%address, outcome, reason = %text, "a client was not let in");
            }
            return;
        }
    };
    shared.metrics.handshakes.get_or_create(&Outcome { outcome: "accepted" }).inc();
    tracing::debug!(%address, identity = %connection.peer.identity, "connected");
    drive(connection, &shared, services, phase).await;
    drop(place);
}

async fn drive(connection: Connection, shared: &Shared, services: Services, mut phase: watch::Receiver<Phase>) {
    let limits = &shared.limits;
    let standing = connection.standing.clone();
    let peer = connection.connect_info();
    let caller = || Caller::of(&peer, Some(standing.clone()));
    let calls = Calls {
        speaks: shared.speaks,
        access: services.access.map(|access| AccessCalls::of(caller(), access)),
        routes: services.routes,
        peer: peer.clone(),
        standing: standing.clone(),
        permits: Arc::new(Semaphore::new(usize::try_from(STREAMS_PER_CONNECTION).unwrap_or(1))),
        timeout: limits.call_timeout,
        counters: Arc::new(Counters { metrics: Arc::clone(&shared.metrics), known: Mutex::default() }),
    };
    let builder = protocol(connection.is_http2, limits);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(connection.stream), TowerToHyperService::new(calls)));
    let mut end = pin!(tokio::time::sleep(limits.connection_age));
    let mut beat = tokio::time::interval(limits.certificate_beat);
    let (mut draining, mut leaving) = (false, false);
    loop {
        tokio::select! {
            result = &mut serving => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection broke off");
                }
                return;
            }
            () = &mut end => {
                if leaving {
                    return;
                }
                leaving = true;
                serving.as_mut().graceful_shutdown();
                end.set(tokio::time::sleep(limits.connection_age_grace));
            }
            now = phase.wait_for(|phase| *phase == Phase::Cut || (!draining && *phase == Phase::Draining)) => {
                if !matches!(now.as_deref(), Ok(Phase::Draining)) {
                    return;
                }
                draining = true;
                serving.as_mut().graceful_shutdown();
            }
            _ = beat.tick(), if !leaving => {
                if standing.check().is_err() {
                    leaving = true;
                    serving.as_mut().graceful_shutdown();
                    end.set(tokio::time::sleep(LAST_WORDS));
                }
            }
        }
    }
}

/// The protocol that was agreed upon, with its limits.
fn protocol(is_http2: bool, limits: &Limits) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(usize::try_from(HEADER_LIST_MAX_BYTES).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_pending_accept_reset_streams(PENDING_ACCEPT_RESET_STREAMS)
        .max_local_error_reset_streams(LOCAL_ERROR_RESET_STREAMS)
        .max_header_list_size(HEADER_LIST_MAX_BYTES)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    builder
}

/// A handshake that came to nothing: what it is counted as, and what the operator reads.
struct Failure {
    outcome: &'static str,
    text: String,
}

impl Failure {
    fn new(outcome: &'static str, text: String) -> Self {
        Self { outcome, text }
    }

    fn of(error: &std::io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Self::new("broken", format!("the connection broke off: {error}"));
        };
        if let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = tls
            && let Some(refusal) = other.0.downcast_ref::<PeerRefusal>()
        {
            return Self::new(refusal.outcome(), refusal.to_string());
        }
        match tls {
            rustls::Error::NoCertificatesPresented => {
                Self::new("no_certificate", "the client showed no certificate; it must connect with one".to_owned())
            }
            rustls::Error::NoApplicationProtocol => Self::new("no_h2", "the client does not offer `h2`".to_owned()),
            rustls::Error::PeerIncompatible(why) => {
                Self::new("incompatible", format!("the client does not speak TLS 1.3 as needed: {why:?}"))
            }
            rustls::Error::AlertReceived(alert) => {
                Self::new("client_alert", format!("the client refused the broker's certificate: {alert:?}"))
            }
            other => Self::new("tls", other.to_string()),
        }
    }
}

async fn handshake(socket: std::net::TcpStream, address: SocketAddr, shared: &Shared) -> Result<Connection, Failure> {
    let broken = |error: std::io::Error| Failure::of(&error);
    let socket = TcpStream::from_std(socket).map_err(broken)?;
    socket.set_nodelay(true).map_err(broken)?;
    let loaded = shared.tls.current();
    let config = match shared.speaks {
        Speaks::Grpc => &loaded.config,
        Speaks::Https => &loaded.https,
    };
    let stream = TlsAcceptor::from(Arc::clone(config)).accept(socket).await.map_err(broken)?;
    let (_, session) = stream.get_ref();
    let is_http2 = session.alpn_protocol() == Some(b"h2".as_slice());
    // A client that names no protocol speaks HTTP/1.1, as `curl --no-alpn` does.
    if !is_http2 && shared.speaks == Speaks::Grpc {
        return Err(Failure::new("no_h2", "the client does not offer `h2`".to_owned()));
    }
    let chain: Vec<CertificateDer<'static>> =
        session.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect();
    // The verifier has read it already; a certificate that gets here without an identity is not let in either.
    let leaf = chain.first().ok_or_else(|| Failure::new("no_certificate", "no client certificate".to_owned()))?;
    let Leaf { identity, trust_domain, not_after, digest } =
        Leaf::read(leaf).map_err(|mistake| Failure::new("bad_identity", mistake.to_string()))?;
    let standing = Standing::new(not_after, chain, Arc::clone(&shared.tls), loaded.generation);
    let peer = Peer { identity, trust_domain, not_after, certificate_digest: digest, address };
    Ok(Connection { stream, is_http2, peer, standing })
}

/// The calls of one connection: each carries the peer, and none goes through once the certificate is over.
#[derive(Clone)]
struct Calls {
    speaks: Speaks,
    access: Option<AccessCalls>,
    routes: Routes,
    peer: Peer,
    standing: Standing,
    permits: Arc<Semaphore>,
    timeout: Duration,
    counters: Arc<Counters>,
}

/// A call that is being answered.
type Working = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<B> Service<Request<B>> for Calls
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Working;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Routes are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Working {
        match (self.admit(&request), &self.access, Method::of(request.uri().path())) {
            (Ok(permit), Some(access), Some(method)) => {
                let counters = Arc::clone(&self.counters);
                let working = tokio::time::timeout(self.timeout, access.clone().call(method, request));
                Box::pin(async move {
                    let response = working.await.unwrap_or_else(|_| too_slow().into_http());
                    drop(permit);
                    counters.add(method.path(), code_of(&response));
                    Ok(response)
                })
            }
            (admitted, ..) => self.route(request, admitted),
        }
    }
}

impl Calls {
    /// A call's place, if its certificate still stands and neither its headers nor the calls beside it are too many.
    fn admit<B>(&self, request: &Request<B>) -> Result<OwnedSemaphorePermit, Status> {
        self.standing.check()?;
        if request.headers().len() > HEADERS_MAX {
            return Err(overloaded(&format!("over {HEADERS_MAX} header fields; send fewer")));
        }
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            overloaded(&format!("over {STREAMS_PER_CONNECTION} calls at a time on one connection; try again"))
        })
    }

    fn route<B>(&mut self, mut request: Request<B>, admitted: Result<OwnedSemaphorePermit, Status>) -> Working
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        let uri = request.uri().clone();
        let counters = Arc::clone(&self.counters);
        let speaks = self.speaks;
        let request_id = authzen::request_id(request.headers());
        let permit = match admitted {
            Ok(permit) => permit,
            Err(status) => {
                let response = refusal(speaks, uri.path(), request_id, status);
                counters.count(UNROUTED, &response, speaks);
                return Box::pin(std::future::ready(Ok(response)));
            }
        };
        request.extensions_mut().insert(self.peer.clone());
        request.extensions_mut().insert(self.standing.clone());
        let working = tokio::time::timeout(self.timeout, self.routes.call(request));
        Box::pin(async move {
            let response = match working.await {
                Ok(Ok(response)) => response,
                Err(_) => refusal(speaks, uri.path(), request_id, too_slow()),
            };
            drop(permit);
            counters.count(uri.path(), &response, speaks);
            Ok(response)
        })
    }
}

/// What a client of this listener understands.
fn refusal(speaks: Speaks, path: &str, request_id: Option<HeaderValue>, status: Status) -> Response<Body> {
    match speaks {
        Speaks::Grpc => status.into_http(),
        Speaks::Https if authzen::is_path(path) => authzen::refusal(&status, request_id),
        Speaks::Https => scim::refusal(&status),
    }
}

fn too_slow() -> Status {
    overloaded("the broker took too long; send the same request_id again")
}

fn overloaded(text: &str) -> Status {
    let mut details = ErrorDetails::with_error_info("OVERLOADED", "countersign", std::collections::HashMap::new());
    details.set_retry_info(Some(Duration::from_secs(1)));
    Status::with_error_details(Code::ResourceExhausted, text, details)
}

/// The counters that this connection has used, so that a call finds its own without the lock that all share.
struct Counters {
    metrics: Arc<Metrics>,
    known: Mutex<Vec<(String, Code, Counter)>>,
}

impl Counters {
    fn count(&self, path: &str, response: &Response<Body>, speaks: Speaks) {
        match speaks {
            Speaks::Https if authzen::is_path(path) => self.add(authzen::LABEL, scim::code_of(response.status())),
            Speaks::Https => self.add(scim::LABEL, scim::code_of(response.status())),
            Speaks::Grpc => {
                let code = code_of(response);
                // Whatever path a client makes up, it makes no label of it.
                let made_up = code == Code::Unimplemented || response.status().as_u16() != 200;
                self.add(if made_up { UNROUTED } else { path }, code);
            }
        }
    }

    fn add(&self, path: &str, code: Code) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, counter)) = known.iter().find(|(known, of, _)| *of == code && known == path) {
            counter.inc();
            return;
        }
        let path = if known.len() < KNOWN_MAX { path } else { UNROUTED };
        let call = Call { method: path.to_owned(), code: format!("{code:?}") };
        let counter = self.metrics.calls.get_or_create_owned(&call);
        counter.inc();
        if known.len() < KNOWN_MAX {
            known.push((call.method, code, counter));
        }
    }
}

/// As a gRPC client reads it, of a response that has only begun.
fn code_of(response: &Response<Body>) -> Code {
    let named = response.headers().get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()));
    named.unwrap_or(Code::Ok)
}
