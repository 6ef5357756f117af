//! The index of events that lists are read from: a file beside the journal, or memory as long as the disk has no room for
//! that file (known failure H25). What it says is the same.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};

use crate::journal::JournalReader;
use crate::journal::index::{Index, IndexError};
use crate::journal::room;

pub(super) struct Side {
    /// None: the journal is in memory, too.
    journal: Option<PathBuf>,
    index: RwLock<Arc<Index>>,
    /// Who changes it from one to the other.
    changing: Mutex<()>,
}

impl Side {
    /// Opens the file beside a journal, or does without it where there is no room.
    pub(super) fn open(journal: &Path, reader: &dyn JournalReader) -> Result<Self, IndexError> {
        let index = match Index::open(journal, reader) {
            Err(error) if !room::is_left(journal) => without_room(&error, reader)?,
            opened => opened?,
        };
        Ok(Self { journal: Some(journal.to_owned()), ..Self::of(index) })
    }

    /// Of a journal in memory.
    pub(super) fn in_memory(reader: &dyn JournalReader) -> Result<Self, IndexError> {
        Ok(Self::of(Index::in_memory(reader)?))
    }

    fn of(index: Index) -> Self {
        Self { journal: None, index: RwLock::new(Arc::new(index)), changing: Mutex::default() }
    }

    /// The index as far as it has come.
    pub(super) fn present(&self) -> Arc<Index> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The index, up to date with the journal.
    pub(super) fn caught_up(&self, reader: &dyn JournalReader) -> Result<Arc<Index>, IndexError> {
        let index = self.present();
        let caught_up = index.catch_up(reader);
        let Some(journal) = &self.journal else { return caught_up.map(|_| index) };
        let next = match (caught_up, index.path()) {
            (Err(error), Some(_)) if !room::is_left(journal) => {
                let next = without_room(&error, reader)?;
                next.catch_up(reader)?;
                next
            }
            (Ok(_), None) => match self.back_in_its_file(journal, reader) {
                Some(next) => next,
                None => return Ok(index),
            },
            (caught_up, _) => return caught_up.map(|_| index),
        };
        let next = Arc::new(next);
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        Ok(next)
    }

    /// The file, if there is room for it by now and nobody else is at it. Whatever fails, memory has all of it.
    fn back_in_its_file(&self, journal: &Path, reader: &dyn JournalReader) -> Option<Index> {
        let _turn = match self.changing.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if !room::is_left(journal) {
            return None;
        }
        let index = Index::open(journal, reader).ok()?;
        index.catch_up(reader).ok()?;
        tracing::info!("there is room again for the side file of lists");
        Some(index)
    }
}

fn without_room(error: &IndexError, reader: &dyn JournalReader) -> Result<Index, IndexError> {
    tracing::warn!(%error, "there is no room for the side file of lists, so it is kept in memory");
    Index::in_memory(reader)
}
