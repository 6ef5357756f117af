//! Where the journal is, and how it is opened.

use std::path::PathBuf;

use super::outcome::Halt;
use super::replay::Replay;
use crate::journal::{Journal, Lost, MarkedJournal, MemoryJournal, MemoryStore, Opened, Options, Recovered, Row};

/// A journal whose rows are replayed.
pub(super) struct Found {
    pub(super) journal: Box<dyn Journal>,
    pub(super) recovered: Recovered,
    /// That its end may be missing.
    pub(super) lost: Option<Lost>,
}

/// Where the journal is.
#[derive(Debug, Clone)]
pub enum Store {
    /// A SQLite file.
    File(PathBuf),
    /// In memory: for tests.
    Memory(MemoryStore),
}

impl Store {
    /// Opens and verifies the journal, compares it with its mark, and replays its rows.
    pub(super) fn open(&self, replay: &mut Replay) -> Result<Found, Halt> {
        let mut each = |row: &Row| replay.accept(row).map_err(Into::into);
        Ok(match self {
            Self::File(path) => {
                let Opened { journal, recovered, lost } = MarkedJournal::open(path, Options::default(), &mut each)?;
                Found { journal: Box::new(journal), recovered, lost }
            }
            Self::Memory(store) => {
                let (journal, recovered) = MemoryJournal::open(store, &mut each)?;
                Found { journal: Box::new(journal), recovered, lost: None }
            }
        })
    }
}
