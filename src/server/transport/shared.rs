//! What the threads of a listener share: its settings, what it is doing, and how many lines of log are left.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::door::Place;
use super::limits::Limits;
use super::pulse::Pulse;
use super::served::Speaks;
use super::tls::TlsStore;
use super::unread::UnreadByIdentity;
use crate::server::metrics::Metrics;

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) speaks: Speaks,
    pub(super) tls: Arc<TlsStore>,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) log: LogBudget,
    pub(super) pulse: Arc<Pulse>,
    pub(super) unread: UnreadByIdentity,
}

/// A socket that was admitted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) socket: std::net::TcpStream,
    pub(super) address: SocketAddr,
    pub(super) place: Place,
}

/// What a listener is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    Draining,
    Cut,
}

/// Phases only go forward.
pub(super) fn advance(phase: &watch::Sender<Phase>, to: Phase) {
    phase.send_if_modified(|now| {
        let forward =
            matches!((*now, to), (Phase::Serving, Phase::Draining | Phase::Cut) | (Phase::Draining, Phase::Cut));
        if forward {
            *now = to;
        }
        forward
    });
}

/// Lines about clients that were turned away: so many a second, so that no crowd fills the log. Counters count them all.
#[derive(Debug)]
pub(super) struct LogBudget(AtomicU32);

const LINES_PER_SECOND: u32 = 20;

impl Default for LogBudget {
    fn default() -> Self {
        Self(AtomicU32::new(LINES_PER_SECOND))
    }
}

impl LogBudget {
    pub(super) fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

/// Refills the log's budget each second, for ever.
pub(super) async fn refill(log: &LogBudget) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        log.0.store(LINES_PER_SECOND, Ordering::Relaxed);
    }
}
