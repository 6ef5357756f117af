//! The append-only, hash-chained log that everything else is derived from (design.md 8). An appended batch is one durable
//! commit or nothing; whoever opens a journal has its whole chain verified first (known failures H5 and H13).
//!
//! The journal knows sequences, bytes and hashes. What a body means is the caller's business, but for three fields:
//! `seq`, `last` on a batch's last row, and the [`ABANDONED_KIND`] that strikes out rows of a torn batch.
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::panic, clippy::as_conversions))]

mod chain;
#[cfg(test)]
mod conformance_tests;
mod error;
pub(crate) mod file;
mod file_system;
mod guard;
pub mod index;
mod log;
mod loss;
pub mod mark;
mod marked;
mod marker;
pub mod memory;
mod objects;
pub(crate) mod room;
mod schema;
pub mod sqlite;
mod verify;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::domain::value::ids::{Digest, InvalidId};

pub use crate::domain::value::ids::JournalId;
pub use chain::abandoned_by;
pub use error::{AppendError, Fault, OpenError, ReadError, Refused};
pub use loss::{Loss, Lost, Mark, Unmarked};
pub use marked::{MarkedJournal, Opened};
pub use marker::MarkStanding;
pub use memory::{MemoryJournal, MemoryStore};
pub use sqlite::{Options, SqliteJournal};
pub use verify::{Known, Verified, copy, verify_file, verify_known};

/// The longest body of a row, in bytes. A policy's text is 256 KiB at most, and escaping makes it longer.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The kind of the row by which the writer, after a restart, strikes out the rows of a batch that has no last row. Its
/// facts are `{"first": 17, "last": 19}`. Every later reader skips those rows.
pub const ABANDONED_KIND: &str = "rows-abandoned/1";

/// One row: `body` is one JSON object, kept and hashed byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// 1 for the first row of a journal, then without gaps.
    pub sequence: u64,
    /// One JSON object with `"seq"` equal to `sequence` and, on the last row of a batch alone, `"last": true`.
    pub body: String,
}

/// How far a journal reaches: its last row, and the hash that stands for everything up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last row; 0 if there is none.
    pub sequence: u64,
    /// The hash of the chain up to and with that row.
    pub hash: Digest,
}

/// What opening a journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The last row, all before it verified.
    pub head: Head,
    /// Rows at the end whose batch has no last row: they have no effect, and the writer's first row must be an
    /// [`ABANDONED_KIND`] that says so.
    pub abandoned: Option<RangeInclusive<u64>>,
}

/// A callback's reason to refuse a row, which stops the opening.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a journal gives each verified row to while it is opened.
pub type EachRow<'a> = &'a mut dyn FnMut(&Row) -> Result<(), BoxError>;

/// The writer's side: there is one at a time.
pub trait Journal: Send {
    /// The journal's random name.
    fn id(&self) -> JournalId;

    /// The last row that is known to be durable.
    fn head(&self) -> Head;

    /// Appends a batch in one durable commit. Ok means that it survives a power cut.
    ///
    /// # Errors
    /// [`AppendError::NotAppended`]: nothing was written, and the writer may go on from the same head.
    /// [`AppendError::Unknown`]: the batch is there or is not; the writer must stop for good and be started again.
    fn append(&mut self, expected: Head, rows: &[Row]) -> Result<Head, AppendError>;

    /// What was found at the opening is taken for true, and made durable as far as it was not. Until then a journal is
    /// dropped as it was found, if its end may be missing.
    ///
    /// # Errors
    /// If it cannot be made durable.
    fn settle(&mut self) -> Result<(), OpenError> {
        Ok(())
    }

    /// Waits until the mark beside the journal, if it has one, has come to its head, or could not be written.
    fn flush_mark(&self) {}

    /// How far the mark beside the journal has come; none where a journal has none.
    fn mark(&self) -> Option<MarkStanding> {
        None
    }

    /// What the store must do from time to time. The writer calls it when the callers of a batch have their answers, so
    /// that nobody waits for it. What fails here shows at the next append.
    fn maintain(&mut self) {}

    /// Why nothing that gives access is to be appended now, though the store might still take it. The caller keeps to it;
    /// what takes access away is appended as long as it can be.
    fn trouble(&self) -> Option<Refused> {
        None
    }

    /// A reader of what is durable, for any number of threads.
    fn reader(&self) -> Arc<dyn JournalReader>;
}

/// The readers' side. Rows are those of [`Journal::append`], abandoned ones too.
pub trait JournalReader: Send + Sync {
    /// The journal's random name.
    fn id(&self) -> JournalId;

    /// The last durable row.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn head(&self) -> Result<Head, ReadError>;

    /// At most `limit` rows that follow `sequence`, in order and without a gap.
    ///
    /// # Errors
    /// If the store cannot be read, or a row is missing.
    fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Row>, ReadError>;

    /// The hash of the chain up to and with a row, as stored, if the row exists.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn hash(&self, sequence: u64) -> Result<Option<Digest>, ReadError>;

    /// One row, if it exists.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn read(&self, sequence: u64) -> Result<Option<Row>, ReadError> {
        let Some(before) = sequence.checked_sub(1) else { return Ok(None) };
        Ok(self.read_after(before, 1)?.pop())
    }
}

/// A new name of a journal, from the system's random numbers.
#[must_use]
pub fn random_id() -> JournalId {
    JournalId::from(Uuid::new_v4())
}

impl FromStr for Head {
    type Err = InvalidId;
    /// `17:<64 hexadecimal digits>`, as it is displayed.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new(text, "a journal's head: a sequence, a colon and 64 hexadecimal digits");
        let (sequence, hash) = text.split_once(':').ok_or_else(invalid)?;
        let head =
            Self { sequence: sequence.parse().map_err(|_| invalid())?, hash: hash.parse().map_err(|_| invalid())? };
        if head.to_string() == text { Ok(head) } else { Err(invalid()) }
    }
}
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.hash)
    }
}
