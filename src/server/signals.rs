//! The signals that mean something to the broker, heard from its first instructions on: one that comes before, or while it
//! reads its journal, is neither lost nor taken for the system's "end at once".

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// SIGTERM or SIGINT: drain, and end.
    Stop,
    /// SIGHUP: read the TLS files again.
    Reload,
}

/// All of them, and the runtime of the thread that waits for them.
#[derive(Debug)]
pub struct Signals {
    pub(super) runtime: Runtime,
    pub(super) heard: Hearing,
}

/// What is heard since the process began, until the broker takes it over.
static EARLY: Mutex<Option<Signals>> = Mutex::new(None);

/// The streams of signals.
#[derive(Debug)]
pub(super) struct Hearing {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Hears them from now on, until the process ends: what comes before [`Signals::listen`] is kept for it. Nothing else in
    /// the process may want the system's way with them.
    pub fn listen_early() {
        let mut early = EARLY.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever needs them asks again, and hears why it cannot be.
        *early = Self::begin().ok();
    }

    /// Hears them from now on, or from where it was begun, until the process ends.
    ///
    /// # Errors
    /// If the system lets nobody hear them.
    pub fn listen() -> io::Result<Self> {
        let early = EARLY.lock().unwrap_or_else(PoisonError::into_inner).take();
        early.map_or_else(Self::begin, Ok)
    }

    /// Does something on a thread of its own, and waits for its end or for a signal to stop.
    pub fn until_stopped(self, work: impl FnOnce() + Send + 'static) {
        let Self { runtime, mut heard } = self;
        runtime.block_on(async {
            let mut working = tokio::task::spawn_blocking(work);
            loop {
                tokio::select! {
                    _ = &mut working => return,
                    heard = heard.next() => if heard == Heard::Stop { return },
                }
            }
        });
        runtime.shutdown_background();
    }

    fn begin() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let heard = runtime.block_on(async {
            io::Result::Ok(Hearing {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup: signal(SignalKind::hangup())?,
            })
        })?;
        Ok(Self { runtime, heard })
    }
}

impl Hearing {
    /// The next one. Safe to drop.
    pub(super) async fn next(&mut self) -> Heard {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Heard::Stop,
            _ = self.interrupt.recv() => Heard::Stop,
            _ = self.hangup.recv() => Heard::Reload,
        }
    }
}
