//! The signals that mean something to the broker, heard from its first instructions on: one that comes before, or while it
//! reads its journal, is neither lost nor taken for the system's "end at once".

use std::io;

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

/// The streams of signals.
#[derive(Debug)]
pub(super) struct Hearing {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Hears them from now on, until the process ends.
    ///
    /// # Errors
    /// If the system lets nobody hear them.
    pub fn listen() -> io::Result<Self> {
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
