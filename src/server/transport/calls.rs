//! The calls of one connection: each carries the peer, none goes through once the certificate is over, at most so many
//! are worked on at a time, each within its time, and each is counted.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tonic::service::Routes;
use tonic::{Code, Status};

use super::limits::{HEADERS_MAX, STREAMS_PER_CONNECTION};
use super::peer::Peer;
use super::served::{Dialect, Direct, DirectCalls, Head, Services, UNROUTED, code_of, overloaded, unreadable};
use super::standing::Standing;
use super::unread::Unread;
use crate::clock::Stopwatch;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::server::metrics::{Call, Called, Metrics, Spent};

/// Pairs of method and code that one connection may be counted under.
const KNOWN_MAX: usize = 128;
/// What is counted where answers wait that nobody reads.
pub(super) const UNREAD: Spent = Spent { budget: "unread_answers" };
/// The header in which a client says what it calls a request.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// The calls of one connection: each carries the peer, and none goes through once the certificate is over.
#[derive(Clone)]
pub(super) struct Calls<C> {
    direct: C,
    routes: Routes,
    dialect: Arc<dyn Dialect>,
    peer: Peer,
    standing: Standing,
    /// Why none of them is answered.
    refusal: Option<Refusal>,
    permits: Arc<Semaphore>,
    timeout: Duration,
    unread: Arc<Unread>,
    counters: Arc<Counters>,
}

impl<C> Calls<C> {
    /// The calls of a connection, which share its number of streams.
    pub(super) fn new<D: Direct<Calls = C>>(
        services: Services<D>,
        peer: Peer,
        standing: Standing,
        refusal: Option<Refusal>,
        timeout: Duration,
        unread: Arc<Unread>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let Services { routes, direct, dialect, .. } = services;
        let permits = Arc::new(Semaphore::new(usize::try_from(STREAMS_PER_CONNECTION).unwrap_or(1)));
        let counters = Arc::new(Counters {
            metrics,
            begun: AtomicU64::new(0),
            known: Mutex::default(),
            measured: Mutex::default(),
        });
        let direct = direct.connected(&peer, &standing);
        Self { direct, routes, dialect, peer, standing, refusal, permits, timeout, unread, counters }
    }

    /// Tells how many calls have begun.
    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

/// A call that is being answered.
type Working = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<B, C: DirectCalls> Service<Request<B>> for Calls<C>
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
        match (self.admit(&request), C::method(request.uri().path())) {
            (Ok(permit), Some(method)) => {
                let (counters, unread) = (Arc::clone(&self.counters), Arc::clone(&self.unread));
                let working = tokio::time::timeout(self.timeout, self.direct.clone().call(method, request));
                Box::pin(async move {
                    let mut response = readable(working.await.unwrap_or_else(|_| check_too_slow().into_http()));
                    if !C::is_short(method) {
                        let counted = Box::pin(unread.counted(response));
                        response = counted.await.unwrap_or_else(|status| counters.unread(status).into_http());
                    }
                    drop(permit);
                    counters.add(C::path(method), code_of(&response));
                    Ok(response)
                })
            }
            (admitted, _) => self.route(request, admitted),
        }
    }
}

impl<C: DirectCalls> Calls<C> {
    /// A call's place, if its certificate still stands and neither its headers nor the calls beside it are too many.
    fn admit<B>(&self, request: &Request<B>) -> Result<OwnedSemaphorePermit, Status> {
        self.standing.check()?;
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone().into());
        }
        self.counters.begun.fetch_add(1, Ordering::Relaxed);
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
        let call = Head { uri: request.uri().clone(), request_id: request.headers().get(REQUEST_ID).cloned() };
        let (dialect, counters) = (Arc::clone(&self.dialect), Arc::clone(&self.counters));
        let unread = Arc::clone(&self.unread);
        let permit = match admitted {
            Ok(permit) => permit,
            Err(status) => {
                let response = dialect.refusal(&call, status);
                counters.count(&*dialect, &call, &response);
                return Box::pin(std::future::ready(Ok(response)));
            }
        };
        request.extensions_mut().insert(self.peer.clone());
        request.extensions_mut().insert(self.standing.clone());
        let working = tokio::time::timeout(self.timeout, self.routes.call(request));
        let begun = Stopwatch::start();
        Box::pin(async move {
            let response = match working.await {
                Ok(Ok(response)) => readable(response),
                Err(_) => dialect.refusal(&call, too_slow()),
            };
            let counted = unread.counted(response).await;
            let response = counted.unwrap_or_else(|status| dialect.refusal(&call, counters.unread(status)));
            drop(permit);
            counters.took(&*dialect, &call, &response, begun.took());
            counters.count(&*dialect, &call, &response);
            Ok(response)
        })
    }
}

/// The answer, or what is said in place of one that was made of a message that nobody could read.
fn readable(response: Response<Body>) -> Response<Body> {
    let code = code_of(&response);
    if !matches!(code, Code::Internal | Code::OutOfRange) || response.headers().contains_key("grpc-status-details-bin")
    {
        return response;
    }
    match Status::from_header_map(response.headers()) {
        Some(status) => unreadable(status).into_http(),
        None => response,
    }
}

/// A check changes nothing; it is asked again.
fn check_too_slow() -> Status {
    overloaded("the broker took too long; ask again")
}

/// What a call would change may have taken effect by now, or may yet (known failure H27).
fn too_slow() -> Status {
    Refusal::new(Reason::OutcomeUnknown, "the broker took too long").into()
}

/// The counters that this connection has used, so that a call finds its own without the lock that all share.
pub(super) struct Counters {
    metrics: Arc<Metrics>,
    begun: AtomicU64,
    known: Mutex<Vec<(String, Code, Counter)>>,
    measured: Mutex<Vec<(String, Histogram)>>,
}

impl Counters {
    /// Calls that have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    fn count(&self, dialect: &dyn Dialect, call: &Head, response: &Response<Body>) {
        let (method, code) = dialect.counted(call.uri.path(), response);
        self.add(method, code);
    }

    /// Notes how long a call took until its answer began. Checks that go past the router are not measured: that would cost as
    /// much as to answer them.
    fn took(&self, dialect: &dyn Dialect, call: &Head, response: &Response<Body>, took: Duration) {
        let (method, _) = dialect.counted(call.uri.path(), response);
        let mut known = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, histogram)) = known.iter().find(|(known, _)| known == method) {
            histogram.observe(took.as_secs_f64());
            return;
        }
        let method = if known.len() < KNOWN_MAX { method } else { UNROUTED };
        let called = Called { method: method.to_owned() };
        let histogram = self.metrics.figures.calls.get_or_create_owned(&called);
        histogram.observe(took.as_secs_f64());
        if known.len() < KNOWN_MAX {
            known.push((called.method, histogram));
        }
    }

    /// Counts an answer that is refused because too many wait that nobody reads.
    fn unread(&self, status: Status) -> Status {
        self.metrics.budget_refused.get_or_create(&UNREAD).inc();
        status
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
