//! A journal in memory, for tests. A [`MemoryStore`] is its disk: it outlives the journal, can be opened again, and can
//! be told to fail as a disk does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::chain::{Verifier, check_batch, following, origin};
use super::{
    AppendError, EachRow, Head, Journal, JournalId, JournalReader, OpenError, ReadError, Recovered, Refused, Row,
};
use crate::domain::value::ids::Digest;

/// How an append can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// Known not to have happened: the disk is full.
    DiskFull,
    /// The outcome is unknown to the writer, and the store kept the first so many rows of the batch: none, some (a torn
    /// batch) or all.
    Unknown {
        /// How many rows reached the store.
        kept_rows: usize,
    },
}

/// Where the rows of a journal in memory are. Clones are the same store.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
    id: JournalId,
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) rows: Vec<Stored>,
    faults: VecDeque<StoreFault>,
    trouble: Option<Refused>,
    is_full: bool,
    open: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) sequence: i64,
    pub(super) body: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

/// The writer's side of a journal in memory.
#[derive(Debug)]
pub struct MemoryJournal {
    store: MemoryStore,
    head: Head,
    stopped: bool,
}

impl MemoryStore {
    /// An empty store of a new journal.
    #[must_use]
    pub fn new() -> Self {
        Self { disk: Arc::default(), id: super::random_id() }
    }

    /// Makes the next append fail; faults given one after the other are met in that order, one an append.
    pub fn fail_next(&self, fault: StoreFault) {
        self.disk().faults.push_back(fault);
    }

    /// Takes nothing from now on, as a full disk does; or takes rows again.
    pub fn be_full(&self, is_full: bool) {
        self.disk().is_full = is_full;
    }

    /// Says from now on that there is trouble, or that it is over: [`Journal::trouble`].
    pub fn tell_trouble(&self, trouble: Option<Refused>) {
        self.disk().trouble = trouble;
    }

    pub(super) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryJournal {
    /// Opens a store: verifies all of it, giving each verified row to `each`.
    ///
    /// # Errors
    /// The first bad row, or the first that `each` refuses; a store that is open already.
    pub fn open(store: &MemoryStore, each: EachRow<'_>) -> Result<(Self, Recovered), OpenError> {
        // A copy, so that `each` may use the store.
        let rows = {
            let mut disk = store.disk();
            if disk.open {
                return Err(OpenError::InUse { path: "(memory)".into() });
            }
            disk.open = true;
            disk.rows.clone()
        };
        let mut journal = Self { store: store.clone(), head: origin(store.id), stopped: false };
        let mut verifier = Verifier::new(store.id, None)?;
        for stored in &rows {
            let row = verifier.accept(stored.sequence, &stored.body, &stored.hash)?;
            each(row).map_err(|source| OpenError::Refused { sequence: row.sequence, source })?;
        }
        let recovered = verifier.finish()?;
        journal.head = recovered.head;
        Ok((journal, recovered))
    }
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        self.store.disk().open = false;
    }
}

impl Journal for MemoryJournal {
    fn id(&self) -> JournalId {
        self.store.id
    }

    fn head(&self) -> Head {
        self.head
    }

    fn append(&mut self, expected: Head, rows: &[Row]) -> Result<Head, AppendError> {
        let unknown = || AppendError::Unknown { what: "a failure that was asked for".into() };
        if self.stopped {
            return Err(unknown());
        }
        check_batch(self.head, expected, rows)?;
        let mut disk = self.store.disk();
        if disk.is_full {
            return Err(AppendError::NotAppended { reason: Refused::DiskFull });
        }
        let fault = disk.faults.pop_front();
        let kept_rows = match fault {
            Some(StoreFault::DiskFull) => return Err(AppendError::NotAppended { reason: Refused::DiskFull }),
            Some(StoreFault::Unknown { kept_rows }) => kept_rows,
            None => rows.len(),
        };
        let mut head = self.head;
        for row in rows.iter().take(kept_rows) {
            head = following(&head, row.body.as_bytes());
            disk.rows.push(Stored {
                sequence: i64::try_from(head.sequence).unwrap_or(i64::MAX),
                body: row.body.clone().into_bytes(),
                hash: head.hash.bytes().to_vec(),
            });
        }
        if fault.is_some() {
            self.stopped = true;
            return Err(unknown());
        }
        self.head = head;
        Ok(head)
    }

    fn trouble(&self) -> Option<Refused> {
        self.store.disk().trouble.clone()
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::new(self.store.clone())
    }
}

impl JournalReader for MemoryStore {
    fn id(&self) -> JournalId {
        self.id
    }

    fn head(&self) -> Result<Head, ReadError> {
        let disk = self.disk();
        let Some(last) = disk.rows.last() else { return Ok(origin(self.id)) };
        let hash = <[u8; 32]>::try_from(last.hash.as_slice()).map(Digest::from);
        let hash = hash.map_err(|_| ReadError::Store { what: "a hash is not 32 bytes".into() })?;
        Ok(Head { sequence: u64::try_from(last.sequence).unwrap_or_default(), hash })
    }

    fn hash(&self, sequence: u64) -> Result<Option<Digest>, ReadError> {
        let disk = self.disk();
        let row = disk.rows.iter().find(|row| u64::try_from(row.sequence) == Ok(sequence));
        let hash = row.map(|row| <[u8; 32]>::try_from(row.hash.as_slice()).map(Digest::from)).transpose();
        hash.map_err(|_| ReadError::Store { what: "a hash is not 32 bytes".into() })
    }

    fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Row>, ReadError> {
        let disk = self.disk();
        let skip = usize::try_from(sequence).unwrap_or(usize::MAX);
        let rows = disk.rows.iter().skip(skip).take(limit);
        rows.map(|stored| {
            let body = String::from_utf8(stored.body.clone());
            let body = body.map_err(|error| ReadError::Store { what: error.to_string() })?;
            Ok(Row { sequence: u64::try_from(stored.sequence).unwrap_or_default(), body })
        })
        .collect()
    }
}
