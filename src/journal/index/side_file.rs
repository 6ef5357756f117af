//! The side file itself: made, opened, looked at, and set aside where it cannot be what it should be.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use super::error::IndexError;
use crate::journal::{JournalReader, file, schema};

/// Changed with the tables, so that a file of another version is built again.
const FORMAT: &str = "2";

const TABLES: &str = "
    CREATE TABLE reached(one INTEGER PRIMARY KEY CHECK (one = 1), journal TEXT NOT NULL, format TEXT NOT NULL,
        sequence INTEGER NOT NULL) STRICT;
    CREATE TABLE event(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL) STRICT;
    CREATE TABLE about(about TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (about, seq)) STRICT, WITHOUT ROWID;
    CREATE INDEX event_at ON event(at);
    CREATE INDEX event_actor ON event(actor);
    CREATE INDEX event_kind ON event(kind);
    CREATE INDEX about_seq ON about(seq);";

/// A database, with its log.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// How many files that were set aside are kept; then the last one is replaced.
const KEPT_ASIDE: usize = 9;

/// How a file and its log looked: another stamp, another content, but for what the broker wrote itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([Option<[i64; 6]>; 2]);

impl Stamp {
    /// None of them for an index in memory, which nobody else writes to.
    pub(super) fn of(path: Option<&Path>) -> Self {
        let look = |suffix| {
            let found = fs::symlink_metadata(file::beside(path?, suffix)).ok()?;
            let (inode, size) = (found.ino(), found.size());
            let number = |of: u64| i64::try_from(of).unwrap_or(i64::MAX);
            let changed = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
            Some([number(inode), number(size), changed[0], changed[1], changed[2], changed[3]])
        };
        Self([look(""), look("-wal")])
    }
}

/// The side file at a path, if it can be one of this journal; what it holds is another question.
pub(super) fn open(path: &Path, reader: &dyn JournalReader) -> Result<Connection, IndexError> {
    SUFFIXES.iter().try_for_each(|suffix| is_own_file(&file::beside(path, suffix)))?;
    // It says who did what, so it is as private as the journal (known failure H15).
    match file::create_private(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(IndexError::Store { what: error.to_string() }),
    }
    file::check_modes(path).map_err(|error| differs(error.to_string()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(&error))?;
    // What a power cut loses here is read from the journal again.
    let settings = connection.execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = normal;");
    settings.map_err(|error| failed(&error))?;
    prepare(connection, reader)
}

/// The same in memory.
pub(super) fn in_memory(reader: &dyn JournalReader) -> Result<Connection, IndexError> {
    prepare(Connection::open_in_memory().map_err(|error| failed(&error))?, reader)
}

/// A link may lead to the journal itself, which nobody else may open, write over or close.
fn is_own_file(path: &Path) -> Result<(), IndexError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.nlink() == 1 => Ok(()),
        Ok(_) => Err(differs(format!("`{}` is no file of its own", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(differs(error.to_string())),
    }
}

/// Makes the tables, or checks that they are those of this version and this journal.
fn prepare(connection: Connection, reader: &dyn JournalReader) -> Result<Connection, IndexError> {
    schema::harden(&connection).map_err(|error| failed(&error))?;
    let id = reader.id().to_string();
    if objects(&connection)?.is_empty() {
        let make = format!("BEGIN; {TABLES} INSERT INTO reached VALUES (1, '{id}', '{FORMAT}', 0); COMMIT;");
        connection.execute_batch(&make).map_err(|error| failed(&error))?;
        return Ok(connection);
    }
    check(&connection, reader)?;
    Ok(connection)
}

/// Whether the tables are those of this version and this journal.
pub(super) fn check(connection: &Connection, reader: &dyn JournalReader) -> Result<(), IndexError> {
    let model = Connection::open_in_memory().map_err(|error| failed(&error))?;
    model.execute_batch(TABLES).map_err(|error| failed(&error))?;
    if objects(connection)? != objects(&model)? {
        return Err(differs("its tables are others".to_owned()));
    }
    let own = "SELECT count(*) FROM reached WHERE journal = ?1 AND format = ?2 AND sequence >= 0";
    let id = reader.id().to_string();
    match connection.query_row(own, [&id, FORMAT], |row| row.get::<_, i64>(0)).map_err(|error| failed(&error))? {
        1 => Ok(()),
        _ => Err(differs("it belongs to another journal or another version".to_owned())),
    }
}

fn objects(connection: &Connection) -> Result<Vec<String>, IndexError> {
    let sql = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name";
    let mut statement = connection.prepare(sql).map_err(|error| failed(&error))?;
    let found = statement.query_map([], |row| row.get::<_, String>(0));
    found.and_then(Iterator::collect).map_err(|error| failed(&error))
}

/// Moves whatever stands at the path out of the way, with its log, for somebody to look at. Says where it is now.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = |number: usize| file::beside(path, &format!(".aside-{number}"));
    let is_free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
    let target = (1..=KEPT_ASIDE).map(name).find(is_free).unwrap_or_else(|| name(KEPT_ASIDE));
    for suffix in SUFFIXES {
        match fs::rename(file::beside(path, suffix), file::beside(&target, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(target)
}

/// How far it has come.
pub(super) fn reached(connection: &Connection) -> Result<u64, IndexError> {
    let sequence = connection.query_row("SELECT sequence FROM reached", [], |row| row.get::<_, i64>(0));
    sequence.map(unsigned).map_err(|error| failed(&error))
}

/// An error of SQLite: of the room that there is, or of the file.
pub(super) fn failed(error: &Error) -> IndexError {
    let of_the_room = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::ReadOnly
        )
    );
    if of_the_room { IndexError::Store { what: error.to_string() } } else { differs(error.to_string()) }
}

pub(super) fn differs(what: String) -> IndexError {
    IndexError::Differs { what }
}

pub(super) fn signed(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(sequence: i64) -> u64 {
    u64::try_from(sequence).unwrap_or_default()
}
