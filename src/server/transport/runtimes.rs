//! One current-thread runtime a core, each on a thread of its own: a connection, its handshake and its calls stay on
//! one thread, and all responses of a wake-up go out in one write (tokio's default runtime needs one write a response;
//! docs/performance.md).

use std::sync::{Arc, mpsc as threads};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection::serve;
use super::served::{Direct, Services};
use super::shared::{Accepted, Phase, Shared};

/// Sockets that wait for one runtime. More than that, and it is not keeping up: the accept loop drops them.
const WAITING_MAX: usize = 256;

/// How far threads that put lists and the past together stand back: under load they have about a tenth of what one that serves
/// has (`nice`, sched(7)).
const ASIDE_NICE: i32 = 10;

/// Makes what a runtime serves.
pub(super) type MakeServices<D> = Arc<dyn Fn() -> Services<D> + Send + Sync>;

/// What a thread of the listener says when it ends.
#[derive(Debug)]
pub(super) enum Ended {
    /// The accept loop stopped because it was told to.
    Accept,
    /// A runtime has no connection left.
    Runtime {
        /// Connections that ended by themselves during the drain.
        finished: usize,
        /// Connections that were cut.
        cut: usize,
    },
    /// A thread ended though nobody told it to.
    Broke(String),
}

/// Says that a thread is over even if it panics.
pub(super) struct Farewell {
    pub(super) name: String,
    pub(super) to: threads::Sender<Ended>,
    pub(super) said: bool,
}

impl Farewell {
    pub(super) fn say(mut self, ended: Ended) {
        self.said = true;
        let _ = self.to.send(ended);
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if !self.said {
            let _ = self.to.send(Ended::Broke(std::mem::take(&mut self.name)));
        }
    }
}

/// Starts one runtime; the sender is its queue of sockets, and closing it begins its end.
pub(super) fn start<D: Direct>(
    number: usize,
    shared: Arc<Shared>,
    services: MakeServices<D>,
    ended: threads::Sender<Ended>,
) -> std::io::Result<mpsc::Sender<Accepted>> {
    let (sockets, queue) = mpsc::channel(WAITING_MAX);
    // These threads are the ones for what blocks: the runtime itself runs on the thread that is started below.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("countersign-aside")
        .on_thread_start(stand_back)
        .build()?;
    let name = format!("countersign-serve-{number}");
    let farewell = Farewell { name: name.clone(), to: ended, said: false };
    let run = move || {
        let report = runtime.block_on(serve_all(number, queue, shared, services));
        runtime.shutdown_background();
        farewell.say(report);
    };
    std::thread::Builder::new().name(name).spawn(run)?;
    Ok(sockets)
}

/// Where processors are scarce, checks and commands come before what is put together aside (known failure G40).
fn stand_back() {
    // On Linux this is said of one thread. Where it is not allowed, the thread works as others do.
    let _ = rustix::process::setpriority_process(None, ASIDE_NICE);
}

async fn serve_all<D: Direct>(
    number: usize,
    mut queue: mpsc::Receiver<Accepted>,
    shared: Arc<Shared>,
    services: MakeServices<D>,
) -> Ended {
    // Made here, on the runtime's own thread, so that no two runtimes share one.
    let services = services();
    let services = Services { routes: services.routes.prepare(), ..services };
    let mut phase = shared.phase.clone();
    let beating = Arc::clone(&shared);
    let beats = tokio::spawn(async move { beating.pulse.beat(number).await });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = queue.recv() => {
                let Some(accepted) = accepted else { break };
                let (shared, services) = (Arc::clone(&shared), services.clone());
                shared.metrics.connections_open.inc();
                connections.spawn(async move {
                    let counted = Counted(Arc::clone(&shared));
                    serve(accepted, shared, services).await;
                    drop(counted);
                });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    let mut finished: usize = 0;
    loop {
        let (ended, told): (usize, bool) = tokio::select! {
            _ = phase.wait_for(|phase| *phase == Phase::Cut) => (0, true),
            over = connections.join_next() => match over {
                Some(_) => (1, false),
                None => {
                    beats.abort();
                    return Ended::Runtime { finished, cut: 0 };
                }
            },
        };
        // A connection may see the cut before this loop does: one that ends because of it counts as cut.
        if told || *shared.phase.borrow() == Phase::Cut {
            let cut = connections.len().saturating_add(ended);
            connections.shutdown().await;
            beats.abort();
            return Ended::Runtime { finished, cut };
        }
        finished = finished.saturating_add(ended);
    }
}

/// Keeps the gauge right also when a connection's task is cut or panics.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.connections_open.dec();
    }
}
