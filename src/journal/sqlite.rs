//! The default journal: one SQLite file in WAL mode, every commit fsynced (design.md 8; known failure H1 to H4, H15, H16).
//!
//! A failed commit is either known not to have happened or stops the writer for good; which of the two is decided from
//! a short list of errors after which nothing of the batch is in the file. All others count as unknown.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rusqlite::{CachedStatement, Connection, Error, ErrorCode, OptionalExtension as _, params};

use super::chain::{check_batch, following, origin};
use super::file::{self, Lock};
use super::guard::{self, Guard, Held};
use super::log::{self, Emptied};
use super::mark;
use super::objects::Watched;
use super::room::{self, LogIndex};
use super::{
    AppendError, EachRow, Fault, Head, Journal, JournalId, JournalReader, OpenError, ReadError, Recovered, Refused,
    Row, file_system, schema, verify,
};
use crate::domain::value::ids::Digest;

/// Pages of the write-ahead log after which it is copied into the file, between two batches. Every command waits for a
/// copy that is under way: with four times as many pages the slowest ends of grants came four times as late.
const CHECKPOINT_PAGES: u64 = 1_000;

/// The log may grow to this if it is not copied between batches in time; then an append waits for the copy.
const CHECKPOINT_OVERDUE_PAGES: u64 = 16_000;

const PAGE_BYTES: u64 = 4_096;

/// How many idle connections the readers keep.
const IDLE_READERS: usize = 4;

/// What can be set about a journal's file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The most pages of 4 KiB that the file may have. A batch that would need more is refused as on a full disk.
    pub max_pages: Option<u32>,
}

/// The writer's side of a journal in a file. Holds the journal's locks until dropped.
#[derive(Debug)]
pub struct SqliteJournal {
    // Dropped, and so closed, before the locks are let go.
    connection: Connection,
    _held: Held,
    reader: Arc<SqliteReader>,
    head: Head,
    log_pages: u64,
    stopped: Option<String>,
    /// Its end may be missing: what is closed is left as it was found, as evidence.
    as_found: bool,
    /// Why the log could not be copied into the file when that was last tried.
    not_copied: Option<String>,
    watched: Watched,
    /// Whether an append has looked at the definitions since the last maintenance.
    has_looked: bool,
    _lock: Lock,
}

#[derive(Debug)]
struct SqliteReader {
    path: PathBuf,
    id: JournalId,
    idle: Mutex<Vec<Connection>>,
    /// The journal is closed: who still reads keeps no connection.
    closed: AtomicBool,
    /// Held for reading while a connection is in use, so that nobody has one open when it is changed.
    index: RwLock<LogIndex>,
    // Closed when no connection is left: closing a descriptor of the file drops SQLite's own locks on it.
    _guard: Guard,
}

impl SqliteJournal {
    /// Makes an empty journal. It appears at `path` complete, or not at all.
    ///
    /// # Errors
    /// If something is at `path`, or it cannot be written.
    pub fn create(path: &Path, options: Options) -> Result<Self, OpenError> {
        let path = file::creatable(path)?;
        file_system::check(path.parent().unwrap_or(Path::new("/")))?;
        let left = ["-wal", "-shm"].map(|suffix| file::beside(&path, suffix));
        if let Some(path) = left.into_iter().find(|path| fs::symlink_metadata(path).is_ok()) {
            // SQLite would take what is in it for a part of the new file.
            return Err(OpenError::LogOfAnother { path });
        }
        let lock = file::lock(&path)?;
        let (made, id) = (file::beside(&path, ".creating"), super::random_id());
        for suffix in ["", "-wal", "-shm"] {
            // Left over from a creation that was cut short; the lock says that nobody is at it.
            let _ = fs::remove_file(file::beside(&made, suffix));
        }
        file::create_private(&made).map_err(|error| file::store(&made, &error))?;
        let failed = |error| file::store(&made, &error);
        let connection = schema::open_writer(&made, LogIndex::Shared)?;
        schema::create(&connection, id).map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))?;
        mark::begin(&path, id)?;
        file::publish(&made, &path)?;
        Ok(Self::open_locked(path, lock, options, &mut |_| Ok(()))?.0)
    }

    /// Opens a journal: verifies all of it, giving each verified row to `each`.
    ///
    /// # Errors
    /// The first bad row, or the first that `each` refuses; another broker; a file that others may read; no journal.
    pub fn open(path: &Path, options: Options, each: EachRow<'_>) -> Result<(Self, Recovered), OpenError> {
        let path = file::existing(path)?;
        file_system::check(&path)?;
        file_system::check(path.parent().unwrap_or(Path::new("/")))?;
        file::check_links(&path)?;
        let lock = file::lock(&path)?;
        Self::open_locked(path, lock, options, each)
    }

    fn open_locked(
        path: PathBuf,
        lock: Lock,
        options: Options,
        each: EachRow<'_>,
    ) -> Result<(Self, Recovered), OpenError> {
        file::check_modes(&path)?;
        let (guard, held) = guard::take(&path)?;
        schema::check_header(&guard)?;
        let (connection, index) = schema::open_writer_somehow(&path)?;
        let id = schema::check(&connection)?;
        if let Some(pages) = options.max_pages {
            let set = connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
            set.map_err(|error| file::store(&path, &error))?;
        }
        let recovered = verify::scan(&connection, id, None, each)?;
        verify::check_pages(&connection)?;
        schema::keep_log(&connection, true).map_err(|error| file::store(&path, &error))?;
        let index = RwLock::new(index);
        let (idle, closed) = (Mutex::default(), AtomicBool::new(false));
        let reader = Arc::new(SqliteReader { path, id, idle, closed, index, _guard: guard });
        let journal = Self {
            connection,
            _held: held,
            reader,
            head: recovered.head,
            log_pages: 0,
            stopped: None,
            as_found: false,
            not_copied: None,
            watched: Watched::default(),
            has_looked: false,
            _lock: lock,
        };
        Ok((journal, recovered))
    }

    pub(super) fn path(&self) -> &Path {
        &self.reader.path
    }

    pub(super) fn leave_as_found(&mut self, as_found: bool) {
        self.as_found = as_found;
    }

    fn empty_log(&mut self) -> Result<Emptied, OpenError> {
        let emptied = log::empty(&self.connection, &self.reader.path);
        let emptied = emptied.map_err(|what| file::store(&self.reader.path, &what))?;
        if emptied == Emptied::Whole {
            self.log_pages = 0;
        }
        Ok(emptied)
    }

    fn insert(&self, rows: &[Row]) -> Result<Head, Error> {
        let mut insert = self.statement("INSERT INTO journal(seq, body, hash) VALUES (?1, ?2, ?3)")?;
        let mut head = self.head;
        for row in rows {
            head = following(&head, row.body.as_bytes());
            // The batch was checked to count on from the head, so this is in range.
            let sequence = i64::try_from(head.sequence).unwrap_or(i64::MAX);
            insert.execute(params![sequence, row.body, head.hash.bytes().as_slice()])?;
        }
        Ok(head)
    }

    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, Error> {
        self.connection.prepare_cached(sql)
    }

    fn run(&self, sql: &str) -> Result<(), Error> {
        self.statement(sql)?.execute([]).map(|_| ())
    }

    /// Answers a failed step: nothing happened and the transaction is gone, or the writer stops.
    fn failed(&mut self, step: Step, error: &Error) -> AppendError {
        if let Some(reason) = harmless(step, error)
            && (self.connection.is_autocommit() || self.run("ROLLBACK").is_ok())
        {
            return AppendError::NotAppended { reason };
        }
        self.stop(format!("{step:?} failed: {error}").to_lowercase())
    }

    /// Why nothing can be appended, as the definitions in the file are by now. A change is told to whoever is the first to
    /// meet it, since they may have asked for access.
    fn look(&mut self) -> Result<Option<Refused>, Error> {
        self.has_looked = true;
        let changed = self.watched.look(&self.connection, &schema::OBJECTS)?;
        Ok(if changed { self.watched.trouble() } else { self.watched.obstacle() })
    }

    /// Lets others read beside this process again, once there is room for what that takes.
    fn share(&mut self) {
        let reader = Arc::clone(&self.reader);
        // Whoever reads is not waited for unless there is something to do.
        let is_shared = *reader.index.read().unwrap_or_else(PoisonError::into_inner) == LogIndex::Shared;
        if is_shared || self.stopped.is_some() || !room::is_left(&reader.path) {
            return;
        }
        // Its last connection copies the log on its way out, where nobody would hear of a failed fsync.
        self.checkpoint();
        if self.stopped.is_some() || self.not_copied.is_some() {
            return;
        }
        let mut index = reader.index.write().unwrap_or_else(PoisonError::into_inner);
        reader.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let opened = Connection::open_in_memory().map_err(|error| file::store(&reader.path, &error)).and_then(|none| {
            let _ = std::mem::replace(&mut self.connection, none).close();
            schema::open_writer_somehow(&reader.path)
        });
        match opened {
            Ok((connection, found)) => {
                (self.connection, *index) = (connection, found);
                self.watched = Watched::default();
            }
            Err(error) => {
                self.stop(error.to_string());
            }
        }
    }

    fn stop(&mut self, what: String) -> AppendError {
        // Closing must not write either: an fsync that is tried again may claim what never reached the disk.
        let _ = schema::keep_log(&self.connection, true);
        self.stopped = Some(what.clone());
        AppendError::Unknown { what }
    }

    /// Copies the log into the file. A reader in the way, or a disk without room, costs nothing that was acknowledged: that
    /// is in the log, and there it stays. Any other error, a failed fsync first of all, stops the writer.
    fn checkpoint(&mut self) {
        let copied = self.statement("PRAGMA wal_checkpoint(PASSIVE)").and_then(|mut statement| {
            statement.query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        });
        match copied {
            Ok(_) => {
                self.log_pages = 0;
                self.not_copied = None;
            }
            Err(error) if matches!(code(&error), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {}
            Err(error) if room::is_log_whole_after(&error) => {
                if self.not_copied.is_none() {
                    tracing::error!(%error, "the journal's log cannot be copied into its file");
                }
                self.not_copied = Some(error.to_string());
            }
            Err(error) => {
                self.stop(format!("checkpoint failed: {error}"));
            }
        }
    }
}

impl Drop for SqliteJournal {
    /// A journal that is closed in order is one whole file, even if somebody still reads it. A writer that stopped
    /// writes nothing more.
    fn drop(&mut self) {
        self.reader.close();
        if self.stopped.is_some() {
            return;
        }
        if self.as_found {
            let was_there = schema::has_log(&self.reader.path).unwrap_or(true);
            let _ = schema::keep_log(&self.connection, was_there);
            return;
        }
        match self.empty_log() {
            Ok(Emptied::Whole) => {
                // Nothing is left to copy: the files of the log go with the last connection.
                let _ = schema::keep_log(&self.connection, false);
            }
            Ok(emptied) => log::warn(&emptied, "at the stop"),
            Err(error) => tracing::error!(%error, "the journal's log could not be emptied at the stop"),
        }
    }
}

impl Journal for SqliteJournal {
    fn id(&self) -> JournalId {
        self.reader.id
    }

    fn head(&self) -> Head {
        self.head
    }

    fn append(&mut self, expected: Head, rows: &[Row]) -> Result<Head, AppendError> {
        if let Some(what) = &self.stopped {
            return Err(AppendError::Unknown { what: what.clone() });
        }
        check_batch(self.head, expected, rows)?;
        if let Err(error) = self.run("BEGIN IMMEDIATE") {
            return Err(self.failed(Step::Begin, &error));
        }
        match self.look() {
            Ok(None) => {}
            Ok(Some(reason)) if self.run("ROLLBACK").is_ok() => return Err(AppendError::NotAppended { reason }),
            Ok(Some(reason)) => return Err(self.stop(reason.to_string())),
            Err(error) => return Err(self.failed(Step::Insert, &error)),
        }
        let head = match self.insert(rows) {
            Ok(head) => head,
            Err(error) => return Err(self.failed(Step::Insert, &error)),
        };
        if let Err(error) = self.run("COMMIT") {
            return Err(self.failed(Step::Commit, &error));
        }
        self.head = head;
        let bytes: usize = rows.iter().map(|row| row.body.len().saturating_add(64)).sum();
        let pages = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_div(PAGE_BYTES).saturating_add(2);
        self.log_pages = self.log_pages.saturating_add(pages);
        if self.log_pages >= CHECKPOINT_OVERDUE_PAGES {
            self.checkpoint();
        }
        Ok(head)
    }

    fn settle(&mut self) -> Result<(), OpenError> {
        let emptied = self.empty_log()?;
        log::warn(&emptied, "at the start");
        Ok(())
    }

    fn maintain(&mut self) {
        if self.stopped.is_some() {
            return;
        }
        if !std::mem::take(&mut self.has_looked) {
            // What fails here shows at the next append.
            let _ = self.watched.look(&self.connection, &schema::OBJECTS);
        }
        if self.log_pages >= CHECKPOINT_PAGES || self.not_copied.is_some() {
            self.checkpoint();
        }
        self.share();
    }

    fn trouble(&self) -> Option<Refused> {
        let not_copied = self.not_copied.as_ref().map(|what| Refused::NotCopied { what: what.clone() });
        not_copied.or_else(|| self.watched.trouble())
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::<SqliteReader>::clone(&self.reader)
    }
}

/// Where an append was when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin,
    Insert,
    Commit,
}

/// The errors after which nothing of the batch is in the file. SQLite answers `full` for a write that found no room,
/// which leaves a commit frame incomplete; a failed fsync it answers as an I/O error, which is not on the list.
fn harmless(step: Step, error: &Error) -> Option<Refused> {
    let busy = || Some(Refused::Busy { what: error.to_string() });
    match (code(error)?, step) {
        (ErrorCode::DiskFull, _) => Some(Refused::DiskFull),
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => busy(),
        (ErrorCode::OutOfMemory, Step::Begin | Step::Insert) => busy(),
        _ => None,
    }
}

fn code(error: &Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

impl SqliteReader {
    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let taken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match taken {
            Some(connection) => connection,
            None => schema::open_reader(&self.path, *index).map_err(|error| unreadable(&error))?,
        };
        let answer = read(&connection)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS && !self.closed.load(Ordering::Acquire) {
            idle.push(connection);
        }
        Ok(answer)
    }

    fn close(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
        idle.clear();
    }
}

impl JournalReader for SqliteReader {
    fn id(&self) -> JournalId {
        self.id
    }

    fn head(&self) -> Result<Head, ReadError> {
        self.with(|connection| {
            let sql = "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1";
            let mut statement = connection.prepare_cached(sql).map_err(|error| unreadable(&error))?;
            let found = statement.query_row([], |row| {
                let sequence = u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
                Ok(Head { sequence, hash: Digest::from(row.get::<_, [u8; 32]>(1)?) })
            });
            Ok(found.optional().map_err(|error| unreadable(&error))?.unwrap_or_else(|| origin(self.id)))
        })
    }

    fn hash(&self, sequence: u64) -> Result<Option<Digest>, ReadError> {
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        self.with(|connection| {
            let sql = "SELECT hash FROM journal WHERE seq = ?1";
            let mut statement = connection.prepare_cached(sql).map_err(|error| unreadable(&error))?;
            let found = statement.query_row([sequence], |row| Ok(Digest::from(row.get::<_, [u8; 32]>(0)?)));
            found.optional().map_err(|error| unreadable(&error))
        })
    }

    fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Row>, ReadError> {
        let after = i64::try_from(sequence).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.with(|connection| {
            let sql = "SELECT seq, body FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2";
            let mut statement = connection.prepare_cached(sql).map_err(|error| unreadable(&error))?;
            let mut found = statement.query([after, limit]).map_err(|error| unreadable(&error))?;
            let mut rows = Vec::new();
            let mut wanted = sequence;
            while let Some(row) = found.next().map_err(|error| unreadable(&error))? {
                wanted = wanted.saturating_add(1);
                let at: i64 = row.get(0).map_err(|error| unreadable(&error))?;
                if u64::try_from(at) != Ok(wanted) {
                    return Err(ReadError::Broken { sequence: wanted, fault: Fault::Missing { found: at } });
                }
                rows.push(Row { sequence: wanted, body: row.get(1).map_err(|error| unreadable(&error))? });
            }
            Ok(rows)
        })
    }
}

fn unreadable(error: &Error) -> ReadError {
    ReadError::Store { what: error.to_string() }
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
