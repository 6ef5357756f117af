//! How the engine works.

use std::sync::Arc;
use std::time::Duration;

use super::rows::ReadsRow;
use crate::domain::record::row::decode;
use crate::domain::value::time::Span;

/// What the writer did, and how long that took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worked {
    /// A command waited for its turn.
    Waited(Duration),
    /// A command was decided.
    Decided(Duration),
    /// Rows were appended, and are durable.
    Appended {
        /// How many.
        rows: usize,
        /// How long it took.
        took: Duration,
    },
}

/// Who is told what the writer did.
#[derive(Clone)]
pub struct OnWork(Arc<dyn Fn(Worked) + Send + Sync>);

impl OnWork {
    /// Told by a call.
    pub fn new(tell: impl Fn(Worked) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(super) fn tell(&self, worked: Worked) {
        (self.0)(worked);
    }
}

impl std::fmt::Debug for OnWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnWork")
    }
}

/// How the engine works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long what closed stays in memory.
    pub keep_closed: Span,
    /// Revoke every open grant at a start (`grants_on_restart = "void"`).
    pub void_on_restart: bool,
    /// The operator says that the wall clock is right.
    pub accept_clock: bool,
    /// The operator says that what is lost after this row is lost (`--accept-loss`).
    pub accept_loss: Option<u64>,
    /// Commands that may wait, in each of the two queues; questions, half of that.
    pub queue: usize,
    /// Commands of one batch at most.
    pub batch: usize,
    /// How long a batch is decided, past which no further command is taken into it; without a limit unless one is set.
    pub batch_time: Duration,
    /// Events that a watch can resume over without listing anew.
    pub feed_events: usize,
    /// Bytes of rows that those events may have.
    pub feed_bytes: usize,
    /// Bytes of changes that a replica can resume over without a snapshot.
    pub replica_bytes: usize,
    /// Whether due events are recorded. Off in tests alone: no access hangs on it.
    pub timer: bool,
    /// How the next start reads a row: none is appended that it would refuse. Another one in tests alone.
    pub reads_row: ReadsRow,
    /// Who is told what the writer did.
    pub on_work: OnWork,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_closed: Span::DAY,
            void_on_restart: false,
            accept_clock: false,
            accept_loss: None,
            queue: 4_096,
            batch: 256,
            batch_time: Duration::MAX,
            feed_events: 65_536,
            feed_bytes: 64 * 1024 * 1024,
            replica_bytes: 4 * 1024 * 1024,
            timer: true,
            reads_row: decode,
            on_work: OnWork::new(|_| {}),
        }
    }
}
