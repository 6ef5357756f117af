//! The side index that lists of events are read from (design.md 8): which rows have which actor, kind, subject and time.
//! It is filled from a reader, off the writer's thread, says how far it has come, and can be thrown away at any time.
//!
//! It decides nothing, and is not believed (known failure H22): before it answers, all of it is compared with the journal, and
//! again whenever its file was changed by anybody else. What differs is named, set aside and built again. Rows of a batch
//! that is not complete, and rows struck out as abandoned, are not in it.

mod entries;
mod error;
mod query;
mod side_file;
mod wanted;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params, params_from_iter};

use self::entries::{compare, put, walk};
use self::query::{query, subjects};
use self::side_file::{Stamp, failed, in_memory, open, reached, set_aside, signed, unsigned};
use super::{JournalReader, Row, file, room};

pub use self::error::IndexError;
pub use self::query::MOST_SUBJECTS;
pub use self::wanted::{Filter, Listed, Page};

/// How often a list is read again because somebody changed the file meanwhile.
const TRIES: usize = 3;

/// The index of one journal. Threads can share it.
#[derive(Debug)]
pub struct Index {
    side: Mutex<Side>,
    /// One thread at a time fills it; lists go on meanwhile.
    filling: Mutex<()>,
}

#[derive(Debug)]
struct Side {
    connection: Connection,
    /// None: in memory.
    path: Option<PathBuf>,
    /// Where it would be, while it is in memory for want of a file.
    home: Option<PathBuf>,
    /// How the file looked when all of it agreed with the journal; what was written since is the broker's own.
    agreed: Option<Stamp>,
}

impl Side {
    /// In memory, or at a path. Nothing of it is believed yet.
    fn open(path: Option<PathBuf>, reader: &dyn JournalReader) -> Result<Self, IndexError> {
        let connection = match &path {
            Some(path) => open(path, reader)?,
            None => in_memory(reader)?,
        };
        Ok(Self { connection, path, home: None, agreed: None })
    }

    /// Whether nobody else has changed it since it agreed with the journal.
    fn agrees(&self) -> bool {
        self.agreed.as_ref() == Some(&Stamp::of(self.path.as_deref()))
    }

    fn note(&mut self) {
        self.agreed = Some(Stamp::of(self.path.as_deref()));
    }
}

impl Index {
    /// Opens `<journal>.index` beside the journal, or begins it. Whatever else is there is set aside; where no file can be, the
    /// index is in memory. It is brought up to date by [`Index::catch_up`].
    ///
    /// # Errors
    /// If the journal's folder cannot be read, or memory runs out.
    pub fn open(journal: &Path, reader: &dyn JournalReader) -> Result<Self, IndexError> {
        let real = fs::canonicalize(journal).map_err(|error| IndexError::Store { what: error.to_string() })?;
        let path = file::beside(&real, ".index");
        let side = match Side::open(Some(path.clone()), reader) {
            Ok(side) => side,
            Err(error @ IndexError::Differs { .. }) => begun_anew(&path, reader, &error)?,
            Err(error) => begun_in_memory(&path, reader, &error)?,
        };
        Ok(Self { side: Mutex::new(side), filling: Mutex::default() })
    }

    /// An index in memory, for a journal in memory.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn in_memory(reader: &dyn JournalReader) -> Result<Self, IndexError> {
        Ok(Self { side: Mutex::new(Side::open(None, reader)?), filling: Mutex::default() })
    }

    /// Where it is, if it is a file.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.lock().path.clone()
    }

    /// Compares it with the journal, if somebody else may have changed it, then takes in every complete batch that is in the
    /// journal by now, and says how far that is.
    ///
    /// # Errors
    /// If the journal cannot be read, a row is not an event, or the index cannot be written.
    pub fn catch_up(&self, reader: &dyn JournalReader) -> Result<u64, IndexError> {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        self.come_home(reader);
        match self.fill(reader) {
            Err(error @ (IndexError::Differs { .. } | IndexError::Store { .. })) => {
                self.begin_anew(reader, &error)?;
                self.fill(reader)
            }
            filled => filled,
        }
    }

    /// The events that meet the filter: all of them, up to date with the journal.
    ///
    /// # Errors
    /// If the journal or the index cannot be read.
    pub fn list(&self, reader: &dyn JournalReader, filter: &Filter, page: Page) -> Result<Listed, IndexError> {
        let (sql, values) = query(filter, page);
        self.read(reader, |connection| {
            let reached = reached(connection)?;
            let mut statement = connection.prepare_cached(&sql).map_err(|error| failed(&error))?;
            let found = statement.query_map(params_from_iter(&values), |row| row.get::<_, i64>(0));
            let found =
                found.and_then(Iterator::collect::<rusqlite::Result<Vec<i64>>>).map_err(|error| failed(&error))?;
            Ok(Listed { sequences: found.into_iter().map(unsigned).collect(), reached })
        })
    }

    /// How many events of a kind, of whatever version, there are up to a sequence.
    ///
    /// # Errors
    /// If the journal or the index cannot be read.
    pub fn count(&self, reader: &dyn JournalReader, kind: &str, until: u64) -> Result<u64, IndexError> {
        self.read(reader, |connection| {
            let sql = "SELECT count(*) FROM event WHERE kind > ?1 AND kind < ?2 AND seq <= ?3";
            let mut statement = connection.prepare_cached(sql).map_err(|error| failed(&error))?;
            let bounds = params![format!("{kind}/"), format!("{kind}0"), signed(until)];
            statement.query_row(bounds, |row| row.get::<_, i64>(0)).map(unsigned).map_err(|error| failed(&error))
        })
    }

    /// What events are about, if it is among these, or has one of these beginnings and ends so; [`MOST_SUBJECTS`] at most, in order.
    ///
    /// # Errors
    /// If the journal or the index cannot be read.
    pub fn subjects(
        &self,
        reader: &dyn JournalReader,
        whole: &[String],
        ending: Option<&(Vec<&'static str>, String)>,
    ) -> Result<Vec<String>, IndexError> {
        let (sql, values) = subjects(whole, ending);
        self.read(reader, |connection| {
            let mut statement = connection.prepare_cached(&sql).map_err(|error| failed(&error))?;
            let found = statement.query_map(params_from_iter(&values), |row| row.get::<_, String>(0));
            found.and_then(Iterator::collect::<rusqlite::Result<Vec<String>>>).map_err(|error| failed(&error))
        })
    }

    /// Reads what agrees with the journal, before the reading and after it.
    fn read<T>(
        &self,
        reader: &dyn JournalReader,
        read: impl Fn(&Connection) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        for _ in 0..TRIES {
            self.catch_up(reader)?;
            let mut side = self.lock();
            let answer = if side.agrees() { read(&side.connection).map(Some) } else { Ok(None) };
            match answer {
                Ok(Some(answer)) if side.agrees() => return Ok(answer),
                Ok(_) | Err(IndexError::Differs { .. }) => side.agreed = None,
                Err(error) => return Err(error),
            }
        }
        Err(IndexError::Differs { what: "somebody else goes on changing its file".to_owned() })
    }

    /// Goes on in the file, once there is room for it again. What is in memory is all there, so that any failure is none.
    fn come_home(&self, reader: &dyn JournalReader) {
        let Some(home) = self.lock().home.clone().filter(|home| room::is_left(home)) else { return };
        if let Ok(side) = Side::open(Some(home), reader) {
            tracing::info!("the index of events is in its file again");
            *self.lock() = side;
        }
    }

    fn fill(&self, reader: &dyn JournalReader) -> Result<u64, IndexError> {
        let after = {
            let mut side = self.lock();
            if !side.agrees() {
                let stamp = Stamp::of(side.path.as_deref());
                compare(&side.connection, reader)?;
                side.agreed = Some(stamp);
            }
            reached(&side.connection)?
        };
        walk(reader, after, u64::MAX, &mut |rows| self.take_in(rows))
    }

    /// Writes complete batches, and with them how far they go, in one transaction.
    fn take_in(&self, rows: &[Row]) -> Result<(), IndexError> {
        let mut side = self.lock();
        if !side.agrees() {
            return Err(IndexError::Differs { what: "somebody else changed its file".to_owned() });
        }
        let transaction = side.connection.transaction().map_err(|error| failed(&error))?;
        put(&transaction, rows)?;
        transaction.commit().map_err(|error| failed(&error))?;
        side.note();
        Ok(())
    }

    /// What differs is set aside, and an empty one begun; where it cannot be written, in memory.
    fn begin_anew(&self, reader: &dyn JournalReader, error: &IndexError) -> Result<(), IndexError> {
        let mut side = self.lock();
        let Some(path) = side.path.clone() else { return Err(IndexError::Differs { what: error.to_string() }) };
        // The old file is closed before another may have its name.
        *side = Side::open(None, reader)?;
        *side = match error {
            IndexError::Differs { .. } => begun_anew(&path, reader, error)?,
            IndexError::Store { .. } | IndexError::Row { .. } | IndexError::Read(_) => {
                begun_in_memory(&path, reader, error)?
            }
        };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Side> {
        self.side.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets aside what stands at the path, and begins anew.
fn begun_anew(path: &Path, reader: &dyn JournalReader, error: &IndexError) -> Result<Side, IndexError> {
    let begun = match set_aside(path) {
        Ok(aside) => {
            tracing::warn!(%error, file = %path.display(), aside = %aside.display(), "the index of events is set aside");
            Side::open(Some(path.to_owned()), reader)
        }
        Err(error) => Err(IndexError::Store { what: error.to_string() }),
    };
    begun.or_else(|error| begun_in_memory(path, reader, &error))
}

/// Lists go on without a file, until there is room for one.
fn begun_in_memory(path: &Path, reader: &dyn JournalReader, error: &IndexError) -> Result<Side, IndexError> {
    tracing::warn!(%error, file = %path.display(), "the index of events is kept in memory");
    Ok(Side { home: Some(path.to_owned()), ..Side::open(None, reader)? })
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
