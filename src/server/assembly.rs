//! From a configuration to a broker that serves: journal, engine, services, health, reflection, listener, and back again
//! in order: streams end, calls finish, the queue empties, the journal closes. A writer that stopped for good ends the
//! process, so that its supervisor restarts it and recovery decides what the journal holds (known failures G7 and H3).

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use tokio::sync::{Notify, watch};
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::server::Builder as Reflection;

use super::budget::Ledger;
use super::caller::Broker;
use super::check::access::Access;
use super::check::calls::AccessCalls;
use super::check::ext_authz::ExtAuthz;
use super::check::ext_authz::routes::RouteMap;
use super::https;
use super::keys::sealed::{self, keys_beside};
use super::keys::signing::SigningKeys;
use super::reflection::{strict_v1, strict_v1alpha};
use super::service::accounts::Accounts;
use super::service::audit::Audit;
use super::service::elevations::Elevations;
use super::service::enrolments::Enrolments;
use super::service::grants::Grants;
use super::service::hr::Hr;
use super::service::locks::Locks;
use super::service::policies::Policies;
use super::service::proposals::Proposals;
use super::service::recertifications::Recertifications;
use super::service::tokens::Tokens;
use super::transport::descriptors;
use super::transport::limits::{REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES};
use super::transport::listener::{ListenError, ListenerSettings, Listening, bind, listen};
use super::transport::listeners::Listeners;
use super::transport::served::{Grpc, Services, Speaks};
use super::transport::tls::TlsStore;
use crate::clock::{Stopwatch, SystemClock};
use crate::engine::{self, Engine, Halt, Store};
use crate::server::config::{self, ConfigMistakes, GrantsOnRestart, ServeSettings};
use crate::server::metrics::{self, Metrics, MetricsError};
use crate::wire::DESCRIPTOR_SET;
use crate::wire::v1::account_service_server::AccountServiceServer;
use crate::wire::v1::audit_service_server::AuditServiceServer;
use crate::wire::v1::elevation_service_server::ElevationServiceServer;
use crate::wire::v1::enrolment_service_server::EnrolmentServiceServer;
use crate::wire::v1::grant_service_server::GrantServiceServer;
use crate::wire::v1::hr_service_server::HrServiceServer;
use crate::wire::v1::lock_service_server::LockServiceServer;
use crate::wire::v1::policy_service_server::PolicyServiceServer;
use crate::wire::v1::proposal_service_server::ProposalServiceServer;
use crate::wire::v1::recertification_service_server::RecertificationServiceServer;
use crate::wire::v1::token_service_server::TokenServiceServer;

/// How long commands are decided before they are made durable and answered: far less than what people notice.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// How often the TLS files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(60);

/// Why there is no broker, or why it has stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration, or a file that it names, has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigMistakes),
    /// The engine cannot start.
    #[error(transparent)]
    Engine(#[from] Halt),
    /// The TLS files cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The listener cannot start, or broke off.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Metrics cannot be served.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The writer stopped for good.
    #[error(
        "the broker has stopped writing, because it cannot know what its journal holds; start it again, it recovers"
    )]
    Halted,
    /// The system did not give what is needed.
    #[error("the broker cannot run: {0}")]
    System(String),
}

/// A broker that runs.
pub struct Running {
    address: SocketAddr,
    https_address: Option<SocketAddr>,
    engine: Engine,
    metrics: Arc<Metrics>,
    keys: Arc<SigningKeys>,
    tls: Arc<TlsStore>,
    ledger: Arc<Ledger>,
    health: HealthReporter,
    stopping: watch::Sender<bool>,
    listeners: Listeners,
    pub(super) reload_asked: Arc<Notify>,
}

/// Starts a broker. It serves until it is told to stop.
///
/// # Errors
/// Why it cannot; the text says what to do.
pub fn start(settings: ServeSettings) -> Result<Running, ServeError> {
    start_with(settings, Accepted::default())
}

/// What an operator accepts at one start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accepted {
    /// The wall clock is right.
    pub clock: bool,
    /// What the journal held after this row is lost.
    pub loss: Option<u64>,
}

/// The same, with what the operator accepts.
///
/// # Errors
/// As [`start`].
pub fn start_with(settings: ServeSettings, accepted: Accepted) -> Result<Running, ServeError> {
    // Before the journal is opened, so that a broker that could never listen leaves no trace in it.
    config::check(&settings)?;
    sealed::look_beside(&settings.journal).map_err(ServeError::System)?;
    SigningKeys::look_beside(&settings.journal).map_err(ServeError::System)?;
    drop(bind_all(&settings)?);
    let metrics = Arc::new(Metrics::default());
    let store = Store::File(settings.journal.clone());
    let starting = Stopwatch::start();
    let engine = Engine::start(&store, Arc::new(SystemClock), engine_settings(&settings, accepted, &metrics))?;
    metrics.figures.start.set(starting.took().as_secs_f64());
    let clock = engine.clone();
    let tls = TlsStore::load(settings.tls.clone(), Arc::new(move || clock.latest()))
        .map_err(|mistakes| ServeError::Tls(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    let (stopping, watched) = watch::channel(false);
    let keys = keys_beside(&settings.journal, &engine.history().journal_id());
    let (seal, note_key) = keys.map_err(ServeError::System)?;
    let (seal, note_key) = (Arc::new(seal), Arc::new(note_key));
    let ledger = Arc::new(Ledger::new(settings.budgets.clone(), &metrics));
    let broker = Broker {
        engine: engine.clone(),
        seal,
        note_key,
        metrics: Arc::clone(&metrics),
        ledger: Arc::clone(&ledger),
        stopping: watched,
    };
    let health = HealthReporter::new();
    let keys = SigningKeys::open(&settings.journal, engine.now().stamp).map(Arc::new).map_err(ServeError::System)?;
    let services = services(&broker, &health, &keys, config::route_map(&settings)?)?;
    let reload_asked = Arc::new(Notify::new());
    descriptors::raise(settings.limits.connections);
    let listener = ListenerSettings {
        speaks: Speaks::Grpc,
        address: settings.listen,
        runtimes: settings.runtimes,
        limits: settings.limits.clone(),
        reload_interval: RELOAD_EVERY,
        reload_asked: Arc::clone(&reload_asked),
    };
    let listening = listen(&listener, Arc::clone(&tls), Arc::clone(&metrics), move || services.clone())?;
    let address = listening.local_address;
    let mut pulses = vec![listening.pulse()];
    let https = listen_https(&settings, &listener, &tls, &broker)?;
    let https_address = https.as_ref().map(|listening| listening.local_address);
    pulses.extend(https.as_ref().map(Listening::pulse));
    if let Some(address) = settings.metrics_listen {
        let live = engine.clone();
        let lives = move || !has_halted(&live) && pulses.iter().all(|pulse| pulse.is_steady());
        metrics::serve(address, Arc::clone(&metrics), lives)?;
    }
    let mut listeners = Listeners::default();
    for listening in std::iter::once(listening).chain(https) {
        let added = listeners.add(listening, settings.drain_deadline());
        added.map_err(|error| ServeError::System(error.to_string()))?;
    }
    Ok(Running {
        address,
        https_address,
        engine,
        metrics,
        keys,
        tls,
        ledger,
        health,
        stopping,
        listeners,
        reload_asked,
    })
}

/// The second listener, if there is to be one. Both read the TLS files from one store, which is read again once.
fn listen_https(
    settings: &ServeSettings,
    first: &ListenerSettings,
    tls: &Arc<TlsStore>,
    broker: &Broker,
) -> Result<Option<Listening>, ListenError> {
    let Some(address) = settings.https_listen else { return Ok(None) };
    let settings =
        ListenerSettings { speaks: Speaks::Https, address, runtimes: 1, reload_asked: Arc::default(), ..first.clone() };
    let services = https::services(broker);
    listen(&settings, Arc::clone(tls), Arc::clone(&broker.metrics), move || services.clone()).map(Some)
}

fn engine_settings(settings: &ServeSettings, accepted: Accepted, metrics: &Metrics) -> engine::Settings {
    engine::Settings {
        batch_time: BATCH_TIME,
        on_work: metrics.figures.on_work(),
        keep_closed: settings.keep_closed,
        void_on_restart: settings.grants_on_restart == GrantsOnRestart::Void,
        accept_clock: accepted.clock,
        accept_loss: accepted.loss,
        ..engine::Settings::default()
    }
}

/// All that it will listen on, bound at the same time.
fn bind_all(settings: &ServeSettings) -> Result<Vec<TcpListener>, ServeError> {
    let addresses = [Some(settings.listen), settings.https_listen, settings.metrics_listen].into_iter().flatten();
    addresses.map(|address| bind(address).map_err(ServeError::from)).collect()
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each caller has left of what one may take.
    pub(super) fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Where SCIM and AuthZEN are served, if they are.
    #[must_use]
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https_address
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Resolves if the broker cannot go on: its writer stopped for good, or its listener broke off. Safe to drop.
    pub async fn broken(&mut self) -> ServeError {
        tokio::select! {
            () = self.engine.halted() => ServeError::Halted,
            ended = self.listeners.any_ended() => match ended {
                Some(Err(error)) => ServeError::Listen(error),
                Some(Ok(_)) | None => ServeError::System("a listener has ended".to_owned()),
            },
        }
    }

    /// Drains: new connections are refused, streams end, calls finish within the deadline; then the writer finishes its
    /// queue and stops.
    ///
    /// # Errors
    /// If a thread of the listener broke off or did not end.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.health.set_service_status("", ServingStatus::NotServing).await;
        let _ = self.stopping.send(true);
        self.listeners.shutdown();
        let drained = self.listeners.drained().await;
        let engine = self.engine.clone();
        let stopped = tokio::task::spawn_blocking(move || engine.shutdown()).await;
        stopped.map_err(|error| ServeError::System(error.to_string()))?;
        let report = drained?;
        tracing::info!(finished = report.finished, cut = report.cut, "drained");
        Ok(())
    }

    pub(super) fn observe(&self) {
        self.metrics.journal_sequence.set(i64::try_from(self.engine.sequence()).unwrap_or(i64::MAX));
        let aside = self.engine.read(|state| state.holds().values().filter(|hold| hold.aside.is_some()).count());
        self.metrics.hr_events_set_aside.set(i64::try_from(aside).unwrap_or(i64::MAX));
        let now = self.engine.now();
        let (pending, oldest) = self.engine.read(|state| {
            let first = state.pending().get_min().and_then(|id| state.elevations().get(id));
            let waited = first.map(|it| now.latest.since(it.requested_at).millis()).unwrap_or_default();
            (state.pending().len(), waited.checked_div(1_000).unwrap_or_default())
        });
        self.metrics.elevations_pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.metrics.elevations_pending_oldest_seconds.set(oldest);
        self.metrics.clock_suspect.set(i64::from(now.suspect));
        self.metrics.figures.look(&self.engine, self.tls.ends());
        // The next key is there long before it signs, whether anybody asks for tokens or not.
        if let Err(problem) = self.keys.rotate(self.engine.now().stamp) {
            tracing::error!(problem, "the keys of tokens cannot be renewed");
        }
        self.metrics.replicas_connected.set(i64::try_from(self.engine.replicas()).unwrap_or(i64::MAX));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stopping.send(true);
    }
}

pub(super) fn services(
    broker: &Broker,
    health: &HealthReporter,
    keys: &Arc<SigningKeys>,
    route_map: RouteMap,
) -> Result<Services<Access>, ServeError> {
    let reflection = || {
        Reflection::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let failed = |error: tonic_reflection::server::Error| ServeError::System(error.to_string());
    let mut routes = RoutesBuilder::default();
    macro_rules! add {
        ($server:ident, $service:expr) => {{
            let service = $server::new($service)
                .max_decoding_message_size(REQUEST_MAX_BYTES)
                .max_encoding_message_size(RESPONSE_MAX_BYTES);
            serving(health, name_of(&service));
            routes.add_service(service);
        }};
    }
    add!(ElevationServiceServer, Elevations(broker.clone()));
    add!(GrantServiceServer, Grants(broker.clone()));
    add!(AccountServiceServer, Accounts(broker.clone()));
    add!(PolicyServiceServer, Policies(broker.clone()));
    add!(AuditServiceServer, Audit(broker.clone()));
    add!(EnrolmentServiceServer, Enrolments(broker.clone()));
    add!(ProposalServiceServer, Proposals(broker.clone()));
    add!(HrServiceServer, Hr(broker.clone()));
    add!(RecertificationServiceServer, Recertifications(broker.clone()));
    add!(LockServiceServer, Locks(broker.clone()));
    add!(TokenServiceServer, Tokens::new(broker.clone(), Arc::clone(keys)));
    add!(AuthorizationServer, ExtAuthz::new(Access::new(broker.clone()), Arc::new(route_map), Arc::clone(keys)));
    serving(health, AccessCalls::NAME);
    let health = HealthServer::new(HealthService::from_health_reporter(health.clone()));
    routes.add_service(health.max_decoding_message_size(REQUEST_MAX_BYTES));
    routes.add_service(strict_v1(reflection().build_v1().map_err(failed)?));
    routes.add_service(strict_v1alpha(reflection().build_v1alpha().map_err(failed)?));
    let direct = Access::new(broker.clone());
    Ok(Services { routes: routes.routes(), direct, dialect: Arc::new(Grpc), guests: broker.guests() })
}

/// Notes a service as serving. The reporter's lock is free while the broker starts, so that one poll is enough.
fn serving(health: &HealthReporter, name: &'static str) {
    let noted =
        pin!(health.set_service_status(name, ServingStatus::Serving)).poll(&mut Context::from_waker(Waker::noop()));
    debug_assert!(noted.is_ready(), "nobody else holds the reporter yet");
}

fn name_of<S: NamedService>(_service: &S) -> &'static str {
    S::NAME
}

/// Whether the writer has stopped for good.
fn has_halted(engine: &Engine) -> bool {
    pin!(engine.halted()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}
