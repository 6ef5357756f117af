//! One listener and one accept task, which holds all caps and hands sockets in turn to the runtimes (design.md 13). A busy
//! port is an error, so there is no SO_REUSEPORT. No error of accept(2) ends the loop; if it ever ends unasked, so does
//! the process (known failure G7). A drain has a hard deadline.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc as threads};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use super::door::Door;
use super::limits::Limits;
use super::pulse::Pulse;
use super::runtimes::{self, Ended, Farewell, MakeServices};
use super::served::{Direct, Services, Speaks};
use super::shared::{Accepted, LogBudget, Phase, Shared, advance, refill};
use super::tls::{Reloaded, TlsStore};
use super::unread::UnreadByIdentity;
use crate::server::metrics::{Metrics, Outcome, Reason};

/// How a listener is set up.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// What it speaks.
    pub speaks: Speaks,
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// How many runtimes serve; at least one.
    pub runtimes: usize,
    /// The caps.
    pub limits: Limits,
    /// How often the TLS files are looked at.
    pub reload_interval: Duration,
    /// Whoever notifies it has them looked at at once.
    pub reload_asked: Arc<Notify>,
}

/// Why there is no listener, or why it has stopped.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The port is taken.
    #[error("`{0}` is in use by another process; stop it or choose another `listen` address")]
    Busy(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on `{0}`: {1}; check the `listen` address")]
    Bind(SocketAddr, io::Error),
    /// A thread or runtime could not be made.
    #[error("the listener cannot start: {0}")]
    Start(io::Error),
    /// A thread ended unasked: the process must restart.
    #[error("the listener's thread `{0}` has stopped; restart the broker")]
    Stopped(String),
    /// A thread did not end in time: something in it does not yield.
    #[error("the listener's threads did not end within the drain's deadline; restart the broker")]
    Stuck,
}

/// What a drain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections that finished within the deadline.
    pub finished: usize,
    /// Connections that were cut at it.
    pub cut: usize,
}

/// A listener at work. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens.
    pub local_address: SocketAddr,
    phase: watch::Sender<Phase>,
    ended: threads::Receiver<Ended>,
    runtimes: usize,
    pulse: Arc<Pulse>,
}

/// Begins the drain from anywhere, as from a signal's task.
#[derive(Debug, Clone)]
pub struct ShutdownHandle(watch::Sender<Phase>);

impl ShutdownHandle {
    /// No new connections; the open ones are told to go away and may finish what they are at.
    pub fn shutdown(&self) {
        advance(&self.0, Phase::Draining);
    }
}

/// How long threads that were cut have to end.
const CUT_GRACE: Duration = Duration::from_secs(2);

impl Listening {
    /// Begins the drain.
    pub fn shutdown(&self) {
        advance(&self.phase, Phase::Draining);
    }

    /// A handle that can begin the drain after [`Listening::wait`] has consumed this.
    #[must_use]
    pub fn handle(&self) -> ShutdownHandle {
        ShutdownHandle(self.phase.clone())
    }

    /// The beats of its threads.
    #[must_use]
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// Waits until somebody begins the drain, then until all connections are over, but no longer than `deadline`: then
    /// what is left is cut.
    ///
    /// # Errors
    /// If a thread of the listener has ended unasked, or does not end: the process must end as well.
    pub fn wait(self, deadline: Duration) -> Result<DrainReport, ListenError> {
        let mut left = self.runtimes;
        let mut report = DrainReport { finished: 0, cut: 0 };
        let mut ended = self.ended.recv().map_err(|_| ListenError::Stuck)?;
        if *self.phase.borrow() == Phase::Serving {
            let Ended::Broke(name) = ended else { return Err(ListenError::Stopped("accept".to_owned())) };
            return Err(ListenError::Stopped(name));
        }
        let phase = self.phase.clone();
        let cut = move || {
            std::thread::sleep(deadline);
            advance(&phase, Phase::Cut);
        };
        std::thread::Builder::new().name("countersign-drain".to_owned()).spawn(cut).map_err(ListenError::Start)?;
        loop {
            match ended {
                Ended::Accept => {}
                Ended::Runtime { finished, cut } => {
                    left = left.saturating_sub(1);
                    report.finished = report.finished.saturating_add(finished);
                    report.cut = report.cut.saturating_add(cut);
                }
                Ended::Broke(name) => return Err(ListenError::Stopped(name)),
            }
            if left == 0 {
                return Ok(report);
            }
            ended = self.ended.recv_timeout(deadline.saturating_add(CUT_GRACE)).map_err(|_| ListenError::Stuck)?;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        advance(&self.phase, Phase::Cut);
    }
}

/// Takes an address.
///
/// # Errors
/// If it is taken, or none of this host.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::Busy(address),
        _ => ListenError::Bind(address, error),
    })
}

/// Listens. `services` is called once on each runtime's thread, so that no two share a service.
///
/// # Errors
/// If the address is taken or cannot be bound, or a thread cannot be made.
pub fn listen<S: Into<Services<D>>, D: Direct>(
    settings: &ListenerSettings,
    tls: Arc<TlsStore>,
    metrics: Arc<Metrics>,
    services: impl Fn() -> S + Send + Sync + 'static,
) -> Result<Listening, ListenError> {
    let address = settings.address;
    let listener = bind(address)?;
    listener.set_nonblocking(true).map_err(|error| ListenError::Bind(address, error))?;
    let local_address = listener.local_addr().map_err(|error| ListenError::Bind(address, error))?;
    let (phase, watched) = watch::channel(Phase::Serving);
    let (farewells, ended) = threads::channel();
    let (speaks, limits) = (settings.speaks, settings.limits.clone());
    let count = settings.runtimes.max(1);
    // The last is the accept loop's.
    let pulse = Arc::new(Pulse::of(count.saturating_add(1)));
    let (log, beats) = (LogBudget::default(), Arc::clone(&pulse));
    let unread = UnreadByIdentity::new(&limits);
    let shared = Arc::new(Shared { speaks, tls, limits, metrics, phase: watched, log, pulse: beats, unread });
    let services: MakeServices<D> = Arc::new(move || services().into());
    let queues: Vec<_> = (0..count)
        .map(|number| runtimes::start(number, Arc::clone(&shared), Arc::clone(&services), farewells.clone()))
        .collect::<io::Result<_>>()
        .map_err(ListenError::Start)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ListenError::Start)?;
    let farewell = Farewell { name: "countersign-accept".to_owned(), to: farewells, said: false };
    let settings = settings.clone();
    let run = move || {
        let result = runtime.block_on(async {
            let mut phase = shared.phase.clone();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::select! {
                () = accept(&listener, &settings.limits, &shared, &queues) => {}
                () = refill(&shared.log) => {}
                () = shared.pulse.beat(count) => {}
                () = reload(&settings, &shared) => {}
                _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
            }
            io::Result::Ok(())
        });
        runtime.shutdown_background();
        if let Err(error) = result {
            tracing::error!(%error, "the accept loop cannot run");
        } else if *shared.phase.borrow() != Phase::Serving {
            farewell.say(Ended::Accept);
        }
    };
    std::thread::Builder::new().name("countersign-accept".to_owned()).spawn(run).map_err(ListenError::Start)?;
    Ok(Listening { local_address, phase, ended, runtimes: count, pulse })
}

async fn accept(
    listener: &tokio::net::TcpListener,
    limits: &Limits,
    shared: &Shared,
    queues: &[mpsc::Sender<Accepted>],
) {
    let door = Door::new(limits);
    let mut turn = queues.iter().cycle();
    loop {
        let (socket, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors or memory: open connections go on, and the oldest half-open one makes room. A
                // connection that was gone before it was accepted needs none, but no error may make this loop spin.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    door.make_room();
                }
                shared.metrics.accept_errors.inc();
                if shared.log.take() {
                    tracing::warn!(%error, "accept failed; going on");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let refused = |reason: &'static str| {
            shared.metrics.connections_refused.get_or_create(&Reason { reason }).inc();
            if shared.log.take() {
                tracing::warn!(%address, reason, "a connection was refused; see `limits` in the configuration");
            }
        };
        let place = match door.admit(address.ip()) {
            Ok(place) => place,
            Err(full) => {
                refused(full.reason());
                continue;
            }
        };
        // Off this runtime's poller: the one that serves it registers it with its own. It stays non-blocking.
        let Ok(socket) = socket.into_std() else { continue };
        let Some(queue) = turn.next() else { return };
        match queue.try_send(Accepted { socket, address, place }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => refused("runtime_busy"),
            // Its thread is gone and has said so.
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

/// Looks at the TLS files at each interval, and when it is asked to.
async fn reload(settings: &ListenerSettings, shared: &Shared) {
    let mut interval = tokio::time::interval(settings.reload_interval);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval.tick().await;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = settings.reload_asked.notified() => {}
        }
        // A file system that hangs must not stop the accept loop.
        let tls = Arc::clone(&shared.tls);
        let Ok(result) = tokio::task::spawn_blocking(move || tls.reload()).await else { continue };
        let counted = |outcome| shared.metrics.tls_reloads.get_or_create(&Outcome { outcome }).inc();
        match result {
            Ok(Reloaded::Unchanged | Reloaded::StillBroken) => {}
            Ok(Reloaded::Changed) => {
                counted("changed");
                tracing::info!("new TLS files are in force");
            }
            Err(mistakes) => {
                counted("broken");
                for mistake in mistakes {
                    tracing::error!(%mistake, "new TLS files cannot be used; the old ones stay in force");
                }
            }
        }
    }
}
