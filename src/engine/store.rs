//! Where the journal is, and how it is opened.

use std::path::PathBuf;

use super::outcome::Halt;
use super::replay::Replay;
use crate::journal::{Journal, MemoryJournal, MemoryStore, Options, Recovered, Row, SqliteJournal};

/// Where the journal is.
#[derive(Debug, Clone)]
pub enum Store {
    /// A SQLite file.
    File(PathBuf),
    /// In memory: for tests.
    Memory(MemoryStore),
}

impl Store {
    /// Opens and verifies the journal, and replays its rows.
    pub(super) fn open(&self, replay: &mut Replay) -> Result<(Box<dyn Journal>, Recovered), Halt> {
        let mut each = |row: &Row| replay.accept(row).map_err(Into::into);
        Ok(match self {
            Self::File(path) => {
                let (journal, recovered) = SqliteJournal::open(path, Options::default(), &mut each)?;
                (Box::new(journal), recovered)
            }
            Self::Memory(store) => {
                let (journal, recovered) = MemoryJournal::open(store, &mut each)?;
                (Box::new(journal), recovered)
            }
        })
    }
}
