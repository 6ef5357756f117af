//! What the broker counts, and the loopback-only listener that shows it: `/metrics` in the OpenMetrics text format and
//! `/live`. It is the one thing that is open without a certificate (known failure J5), so it says nothing of who or what.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tonic::body::Body;
use tonic::codegen::http::{Method, Request, Response, StatusCode, header};
use tower::service_fn;

pub use super::figures::Called;
use super::figures::Figures;

/// A count by how something came out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// How.
    pub outcome: &'static str,
}

/// A count by reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// The reason, as in the catalogue.
    pub reason: &'static str,
}

/// A count by budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Spent {
    /// The budget's name: its key in the configuration.
    pub budget: &'static str,
}

/// A count by method and status code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Call {
    /// The method's path; `unknown` if there is no such method, so that no client can make labels.
    pub method: String,
    /// The status code's name; `Ok` as well for a stream that began.
    pub code: String,
}

/// A count by verdict and reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Verdict {
    /// `allow` or `deny`.
    pub verdict: &'static str,
    /// The reason.
    pub reason: &'static str,
}

/// All counters of the process. Cheap to clone parts of; share it in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// TLS handshakes, by outcome: `accepted`, or why not.
    pub handshakes: Family<Outcome, Counter>,
    /// Connections open now, half-open ones included.
    pub connections_open: Gauge,
    /// Connections not admitted, by the limit that was reached.
    pub connections_refused: Family<Reason, Counter>,
    /// Errors of accept(2), such as too many open files.
    pub accept_errors: Counter,
    /// Changed TLS files that were read, by outcome: `changed`, `broken`.
    pub tls_reloads: Family<Outcome, Counter>,
    /// Calls, by method and code.
    pub calls: Family<Call, Counter>,
    /// Access checks, by verdict and reason.
    pub checks: Family<Verdict, Counter>,
    /// Commands refused, by reason.
    pub refusals: Family<Reason, Counter>,
    /// What was taken of each budget, of all spenders together: commands, or bytes.
    pub budget_used: Family<Spent, Counter>,
    /// Commands refused because whoever sent them was over a budget.
    pub budget_refused: Family<Spent, Counter>,
    /// The journal's last sequence.
    pub journal_sequence: Gauge,
    /// Events of HR that could not happen and wait for a person.
    pub hr_events_set_aside: Gauge,
    /// Elevations that wait for a decision.
    pub elevations_pending: Gauge,
    /// How many seconds the one of them that was asked for first has waited; 0 if there is none.
    pub elevations_pending_oldest_seconds: Gauge,
    /// 1 while wall clock and projection disagree.
    pub clock_suspect: Gauge,
    /// Replicas that follow a feed now.
    pub replicas_connected: Gauge,
    /// Feeds that began, by outcome: `snapshot`, or `resumed`.
    pub feeds: Family<Outcome, Counter>,
    /// Feeds that ended with RESYNC: a slow reader, or another audience.
    pub feeds_resynced: Counter,
    /// How long things take, and how what is there stands.
    pub figures: Figures,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("countersign");
        let figures = Figures::new(&mut registry);
        let metrics = Self {
            registry: Mutex::new(registry),
            figures,
            handshakes: Family::default(),
            connections_open: Gauge::default(),
            connections_refused: Family::default(),
            accept_errors: Counter::default(),
            tls_reloads: Family::default(),
            calls: Family::default(),
            checks: Family::default(),
            refusals: Family::default(),
            budget_used: Family::default(),
            budget_refused: Family::default(),
            journal_sequence: Gauge::default(),
            hr_events_set_aside: Gauge::default(),
            elevations_pending: Gauge::default(),
            elevations_pending_oldest_seconds: Gauge::default(),
            clock_suspect: Gauge::default(),
            replicas_connected: Gauge::default(),
            feeds: Family::default(),
            feeds_resynced: Counter::default(),
        };
        let mut registry = metrics.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register("handshakes", "TLS handshakes by outcome", metrics.handshakes.clone());
        registry.register("connections_open", "Connections open now", metrics.connections_open.clone());
        registry.register("connections_refused", "Connections refused by limit", metrics.connections_refused.clone());
        registry.register("accept_errors", "Errors of accept", metrics.accept_errors.clone());
        registry.register("tls_reloads", "Changed TLS files by outcome", metrics.tls_reloads.clone());
        registry.register("calls", "Calls by method and code", metrics.calls.clone());
        registry.register("checks", "Access checks by verdict and reason", metrics.checks.clone());
        registry.register("refusals", "Commands refused by reason", metrics.refusals.clone());
        registry.register("budget_used", "Commands or bytes by budget", metrics.budget_used.clone());
        registry.register("budget_refused", "Commands refused by budget", metrics.budget_refused.clone());
        registry.register("journal_sequence", "Last sequence of the journal", metrics.journal_sequence.clone());
        registry.register(
            "hr_events_set_aside",
            "Events of HR that wait for a person because they could not happen",
            metrics.hr_events_set_aside.clone(),
        );
        registry.register("elevations_pending", "Elevations that wait", metrics.elevations_pending.clone());
        registry.register(
            "elevations_pending_oldest_seconds",
            "How long the first of the elevations that wait has waited",
            metrics.elevations_pending_oldest_seconds.clone(),
        );
        registry.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("clock_suspect", "1 while the clocks disagree", metrics.clock_suspect.clone());
        registry.register("replicas_connected", "Replicas that follow now", metrics.replicas_connected.clone());
        registry.register("feeds", "Feeds of replicas begun by outcome", metrics.feeds.clone());
        registry.register("feeds_resynced", "Feeds ended with RESYNC", metrics.feeds_resynced.clone());
        drop(registry);
        metrics
    }
}

impl Metrics {
    /// Counts lines of log that found no reader, as somebody else counts them.
    pub fn count_dropped_lines(&self, dropped: impl Fn() -> u64 + Send + Sync + 'static) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(DroppedLines(Box::new(dropped))));
    }

    /// All of it in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            text.clear();
            let _ = text.write_str("# EOF\n");
        }
        text
    }
}

struct DroppedLines(Box<dyn Fn() -> u64 + Send + Sync>);

impl std::fmt::Debug for DroppedLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DroppedLines")
    }
}

impl Collector for DroppedLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = ConstCounter::new((self.0)());
        let help = "Lines of log that were dropped because nobody read them";
        let metric = encoder.encode_descriptor("log_lines_dropped", help, None, count.metric_type())?;
        count.encode(metric)
    }
}

/// Why there is no metrics listener.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// It would be open to others.
    #[error("`{0}` is not a loopback address; metrics are plain text, so listen on 127.0.0.1 or [::1]")]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("metrics cannot listen on `{0}`: {1}; choose another `metrics.listen`")]
    Bind(SocketAddr, std::io::Error),
}

/// Connections of the metrics listener at a time.
const SCRAPES_MAX: usize = 16;
/// How long one may take.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves `/metrics` and `/live` on a thread of its own until the process ends. `live` says whether the broker does its work.
///
/// # Errors
/// If the address is not loopback or not free.
pub fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    live: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Result<SocketAddr, MetricsError> {
    if !address.ip().is_loopback() {
        return Err(MetricsError::NotLoopback(address));
    }
    let failed = |error| MetricsError::Bind(address, error);
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let run = move || {
        runtime.block_on(async move {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => accept(listener, metrics, live).await,
                Err(error) => tracing::error!(%error, "metrics cannot be served"),
            }
        });
    };
    std::thread::Builder::new().name("countersign-metrics".to_owned()).spawn(run).map_err(failed)?;
    Ok(local)
}

async fn accept(
    listener: tokio::net::TcpListener,
    metrics: Arc<Metrics>,
    live: impl Fn() -> bool + Clone + Send + Sync + 'static,
) {
    let places = Arc::new(tokio::sync::Semaphore::new(SCRAPES_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "metrics: accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (metrics, live) = (Arc::clone(&metrics), live.clone());
        tokio::spawn(async move {
            let mut builder = Builder::new(TokioExecutor::new()).http1_only();
            builder.http1().keep_alive(false).timer(TokioTimer::new()).header_read_timeout(SCRAPE_TIMEOUT);
            let answer = service_fn(move |request| {
                let response = respond(&request, &metrics, &live);
                async move { Ok::<_, Infallible>(response) }
            });
            let serving = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(Scrape(answer)));
            let _ = tokio::time::timeout(SCRAPE_TIMEOUT, serving).await;
            drop(place);
        });
    }
}

/// Drops the body, whatever its type, so that the answer is a function of the request's head alone.
#[derive(Clone)]
struct Scrape<S>(S);

impl<S, B> tower::Service<Request<B>> for Scrape<S>
where
    S: tower::Service<Request<()>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.0.call(request.map(|_| ()))
    }
}

fn respond(request: &Request<()>, metrics: &Metrics, live: &impl Fn() -> bool) -> Response<Body> {
    let plain = |status: StatusCode, text: &str| answer(status, "text/plain; charset=utf-8", text.to_owned());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match request.uri().path() {
        "/metrics" => {
            answer(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics.text())
        }
        "/live" if live() => plain(StatusCode::OK, "live\n"),
        "/live" => plain(StatusCode::SERVICE_UNAVAILABLE, "not live\n"),
        _ => plain(StatusCode::NOT_FOUND, "only /metrics and /live\n"),
    }
}

fn answer(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    // The body has its whole length, so one frame carries it.
    let mut response = Response::new(Body::new(FullText(Some(text.into()))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

struct FullText(Option<tonic::codegen::Bytes>);

impl http_body::Body for FullText {
    type Data = tonic::codegen::Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Infallible>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let length = self.0.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        http_body::SizeHint::with_exact(length)
    }
}
