//! The journal's tables, and the SQLite settings that its promises rest on (known failures H2 and H4).

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use super::file::{beside, store};
use super::guard::Guard;
use super::objects::{self, Wrong};
use super::room::{self, LogIndex};
use super::{JournalId, OpenError};

/// How long a connection waits for somebody else's lock before it answers that the journal is busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The first SQLite without the WAL-reset bug (known failure H4).
const OLDEST_SQLITE: i32 = 3_051_003;

/// `CSGN`, so that a journal is told apart from other SQLite files.
const APPLICATION_ID: i32 = 0x4353_474e;
/// Of the whole: 4 since the first row of each command carries who called. A journal of another format is not opened.
const FORMAT: i32 = 5;

/// Every object of a journal, by name, as `sqlite_schema` has it. No index: four of them over JSON cost three quarters
/// of the append rate.
pub(super) const OBJECTS: [(&str, &str, &str); 3] = [
    (
        "view",
        "event",
        "CREATE VIEW event AS SELECT seq, \
         strftime('%Y-%m-%dT%H:%M:%S', json_extract(body, '$.at') / 1000, 'unixepoch') \
         || printf('.%03dZ', json_extract(body, '$.at') % 1000) AS at, \
         json_extract(body, '$.actor') AS actor, json_extract(body, '$.kind') AS kind, \
         json_extract(body, '$.about') AS about, json_extract(body, '$.facts') AS facts FROM journal",
    ),
    (
        "table",
        "journal",
        "CREATE TABLE journal(seq INTEGER PRIMARY KEY, body TEXT NOT NULL, hash BLOB NOT NULL) STRICT",
    ),
    (
        "table",
        "journal_id",
        "CREATE TABLE journal_id(one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, format INTEGER NOT NULL) STRICT",
    ),
];

/// Refuses an SQLite with the WAL-reset bug.
pub(super) fn check_version(version_number: i32) -> Result<(), OpenError> {
    if version_number >= OLDEST_SQLITE {
        return Ok(());
    }
    let what = format!("its SQLite is {version_number}, older than {OLDEST_SQLITE}, which can lose a journal");
    Err(OpenError::Unsafe { what })
}

/// Refuses a file without a header of SQLite's, before SQLite sees it: beside a file without pages it deletes the log, and with it
/// what was acknowledged last. And one whose header does not say how it is read and written as SQLite makes it: 1 for a copy by
/// `VACUUM INTO`, 2 with a log (file format, 1.3, "File format version numbers"). Of a greater number SQLite says at some later
/// time that the database is read-only, and a reader notices nothing.
pub(super) fn check_header(guard: &Guard) -> Result<(), OpenError> {
    let what = match guard.header::<100>() {
        Some(header) if header.starts_with(b"SQLite format 3\0") => match header.get(18..20) {
            Some([1, 1] | [2, 2]) => return Ok(()),
            versions => format!("its header is damaged: bytes 18 and 19 are {versions:?}, neither 1 nor 2 both"),
        },
        Some(_) => "it is no SQLite file".to_owned(),
        None => "it is shorter than the header of a SQLite file".to_owned(),
    };
    Err(OpenError::NotAJournal { what })
}

/// The one connection that writes.
pub(super) fn open_writer(path: &Path, index: LogIndex) -> Result<Connection, OpenError> {
    check_version(rusqlite::version_number())?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| store(path, &error);
    let connection = Connection::open_with_flags_and_vfs(path, flags, index.vfs()).map_err(failed)?;
    // A start that is refused leaves a log as it was, and none where there was none.
    keep_log(&connection, has_log(path)?).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    harden(&connection).map_err(failed)?;
    // Checkpoints are the writer's own: SQLite's automatic ones drop the error of a failed fsync.
    for (name, value) in [("journal_mode", "wal"), ("synchronous", "full"), ("wal_autocheckpoint", "0")] {
        connection.pragma_update(None, name, value).or_else(ignore_rows).map_err(failed)?;
    }
    check_settings(&connection).map_err(failed)??;
    Ok(connection)
}

/// Whether something is in the log beside a journal.
pub(super) fn has_log(path: &Path) -> Result<bool, OpenError> {
    let log = beside(path, "-wal");
    match fs::metadata(&log) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(store(&log, &error)),
    }
}

/// Whether closing a connection leaves the log as it is. Else the last one that is closed takes the files of the log with it.
pub(super) fn keep_log(connection: &Connection, keeps: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps).map(|_| ())
}

/// The connection that writes. Where the disk has no room for what SQLite keeps beside the file, it does without.
pub(super) fn open_writer_somehow(path: &Path) -> Result<(Connection, LogIndex), OpenError> {
    match open_writer(path, LogIndex::Shared) {
        Ok(connection) => Ok((connection, LogIndex::Shared)),
        Err(error) if room::is_left(path) => Err(error),
        Err(error) => match open_writer(path, LogIndex::Own) {
            Ok(connection) => Ok((connection, LogIndex::Own)),
            Err(_) => Err(error),
        },
    }
}

/// A connection that can only read, for lists and the feed.
pub(super) fn open_reader(path: &Path, index: LogIndex) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(path, flags, index.vfs())?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    harden(&connection)?;
    Ok(connection)
}

/// Nothing in the file is trusted to run, a trigger least of all, to be mapped into memory or to have the size that it
/// claims.
pub(super) fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    for (name, value) in [("trusted_schema", 0), ("mmap_size", 0), ("cell_size_check", 1)] {
        connection.pragma_update(None, name, value).or_else(ignore_rows)?;
    }
    Ok(())
}

/// Makes the tables of an empty file, in one transaction.
pub(super) fn create(connection: &Connection, id: JournalId) -> rusqlite::Result<()> {
    let mut sql = String::from("BEGIN IMMEDIATE;");
    // Tables before the view that reads them.
    for (_, _, text) in OBJECTS.iter().rev() {
        sql.push_str(text);
        sql.push(';');
    }
    sql.push_str(&format!(
        "INSERT INTO journal_id(one, id, format) VALUES (1, '{id}', {FORMAT});
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
    ));
    connection.execute_batch(&sql)
}

/// Compares every definition in the file with what this version makes, and reads the journal's id.
pub(super) fn check(connection: &Connection) -> Result<JournalId, OpenError> {
    let wrong = |what: String| OpenError::NotAJournal { what };
    let unreadable = |error: rusqlite::Error| wrong(format!("its tables cannot be read: {error}"));
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(unreadable);
    if number("application_id")? != i64::from(APPLICATION_ID) {
        return Err(wrong("it was not made by countersign".into()));
    }
    let format = number("user_version")?;
    if format != i64::from(FORMAT) {
        return Err(wrong(format!("its format is {format}, this version knows {FORMAT}")));
    }
    match objects::check(&objects::read(connection).map_err(unreadable)?, &OBJECTS) {
        Ok(()) => {}
        Err(Wrong::Altered(what)) => return Err(wrong(what)),
        Err(Wrong::Foreign { what, remedy, .. }) => return Err(OpenError::Foreign { what, remedy }),
    }
    let mut ids = connection.prepare("SELECT one, id, format FROM journal_id").map_err(unreadable)?;
    let ids = ids.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i32>(2)?)));
    let ids: Vec<_> = ids.and_then(Iterator::collect).map_err(unreadable)?;
    match ids.as_slice() {
        [(1, id, FORMAT)] => id.parse().map_err(|error| wrong(format!("its id {error}"))),
        _ => Err(wrong("table `journal_id` does not hold its one row".into())),
    }
}

/// The settings that make a commit durable, read back rather than believed (known failure H2).
pub(super) fn check_settings(connection: &Connection) -> rusqlite::Result<Result<(), OpenError>> {
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let mapped: i64 = connection.pragma_query_value(None, "mmap_size", |row| row.get(0)).or_else(no_mapping)?;
    let what = match (mode.as_str(), synchronous, mapped) {
        ("wal", 2, 0) => return Ok(Ok(())),
        ("wal", 2, _) => format!("mmap_size is {mapped}, not 0"),
        ("wal", _, _) => format!("synchronous is {synchronous}, not 2 (full)"),
        _ => format!("the journal mode is `{mode}`, not `wal`"),
    };
    Ok(Err(OpenError::Unsafe { what }))
}

/// Some pragmas answer with the value that they set.
fn ignore_rows(error: rusqlite::Error) -> rusqlite::Result<()> {
    if matches!(error, rusqlite::Error::ExecuteReturnedResults) { Ok(()) } else { Err(error) }
}

/// A store that cannot map has no such setting.
fn no_mapping(error: rusqlite::Error) -> rusqlite::Result<i64> {
    if matches!(error, rusqlite::Error::QueryReturnedNoRows) { Ok(0) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_can_lose_a_journal_is_refused() {
        assert!(check_version(3_051_002).is_err());
        assert!(check_version(3_051_003).is_ok() && check_version(rusqlite::version_number()).is_ok());
    }

    #[test]
    fn a_commit_that_would_not_be_durable_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        drop(super::super::file::create_private(&path).unwrap());
        let connection = open_writer(&path, LogIndex::Shared).unwrap();
        assert!(check_settings(&connection).unwrap().is_ok());
        connection.pragma_update(None, "synchronous", "normal").unwrap();
        let refused = check_settings(&connection).unwrap().unwrap_err();
        assert!(refused.to_string().contains("synchronous is 1"), "{refused}");
        let memory = Connection::open_in_memory().unwrap();
        assert!(check_settings(&memory).unwrap().unwrap_err().to_string().contains("not `wal`"));
    }
}
