//! The side index that lists of events are read from (design.md 8): which rows have which actor, kind, subject and time.
//! It is filled from a reader, off the writer's thread, says how far it has come, and can be thrown away at any time: a
//! file of another journal, or a damaged one, is built again from the first row.
//!
//! It decides nothing. Rows of a batch that is not complete, and rows struck out as abandoned, are not in it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params, params_from_iter};
use serde::Deserialize;

use super::{JournalReader, ReadError, Row, abandoned_by, file, room, schema};
use crate::domain::value::ids::Digest;
use crate::domain::value::time::Timestamp;

/// How many rows one step takes; lists wait for one step at most.
const STEP_ROWS: usize = 256;

/// Changed with the tables, so that a file of another version is built again.
const FORMAT: &str = "1";

/// An elevation or a grant.
const THING: &str = "(about >= 'elevation:' AND about < 'elevation;' OR about >= 'grant:' AND about < 'grant;')";

const TABLES: &str = "
    CREATE TABLE reached(one INTEGER PRIMARY KEY CHECK (one = 1), journal TEXT NOT NULL, format TEXT NOT NULL,
        sequence INTEGER NOT NULL, digest TEXT NOT NULL) STRICT;
    CREATE TABLE event(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL) STRICT;
    CREATE TABLE about(about TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (about, seq)) STRICT, WITHOUT ROWID;
    CREATE INDEX event_at ON event(at);
    CREATE INDEX event_actor ON event(actor);
    CREATE INDEX event_kind ON event(kind);
    CREATE INDEX about_seq ON about(seq);";

/// Which events a list wants: those that meet every condition given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Who did it, as the body says.
    pub actor: Option<String>,
    /// The kind: `grant-revoked/1`, or `grant-revoked` for every version of it.
    pub kind: Option<String>,
    /// What it is about: `person:ana`.
    pub about: Option<String>,
    /// About any one of these, which is how a caller is kept to what they may see. An empty set allows nothing.
    pub about_any: Option<BTreeSet<String>>,
    /// About any one of these, or about an elevation or a grant that an event about one of them is about as well: what
    /// a person may see is among it, and whether they may is asked for each event.
    pub about_things_of: Option<BTreeSet<String>>,
    /// About nothing that touches a tenant: neither that itself nor any elevation or grant that does.
    pub of_no_tenant: bool,
    /// At this instant or later.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    /// The last sequence of the page before: what follows it in the order asked for.
    pub after: Option<u64>,
    /// The most to answer.
    pub limit: usize,
    /// From the newest to the oldest.
    pub newest_first: bool,
}

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The events, by sequence, in the order asked for.
    pub sequences: Vec<u64>,
    /// How far the index had come: no event after this is in it.
    pub reached: u64,
}

/// Why the index could not answer or go on.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The index itself failed.
    #[error("the index of events cannot be used: {what}; delete the file, it is built again")]
    Store {
        /// What failed.
        what: String,
    },
    /// A row has not the fields that every event has.
    #[error("row {sequence} cannot be indexed: {what}; run `countersign audit verify` on the journal")]
    Row {
        /// Which.
        sequence: u64,
        /// What the parser said.
        what: String,
    },
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The index of one journal. Shared between threads as it is.
#[derive(Debug)]
pub struct Index {
    connection: Mutex<Connection>,
    /// One thread at a time fills it; lists go on meanwhile.
    filling: Mutex<()>,
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Event<'a> {
    at: Timestamp,
    #[serde(borrow)]
    actor: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    about: Vec<Cow<'a, str>>,
    #[serde(default)]
    last: bool,
}

impl Index {
    /// Opens `<journal>.index` beside the journal, or begins it. It is brought up to date by [`Index::catch_up`].
    ///
    /// # Errors
    /// If the file can be neither used nor replaced.
    pub fn open(journal: &Path, reader: &dyn JournalReader) -> Result<Self, IndexError> {
        let path = file::beside(&fs::canonicalize(journal).map_err(|error| failed(&error))?, ".index");
        let connection = match open_file(&path).and_then(|connection| prepare(connection, reader)) {
            Ok(connection) => connection,
            // Where there is no room it may be sound.
            Err(error) if !room::is_left(journal) => return Err(error),
            Err(_) => {
                remove(&path)?;
                open_file(&path).and_then(|connection| prepare(connection, reader))?
            }
        };
        Ok(Self { connection: Mutex::new(connection), filling: Mutex::default(), path: Some(path) })
    }

    /// An index in memory, for a journal in memory.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn in_memory(reader: &dyn JournalReader) -> Result<Self, IndexError> {
        let connection = prepare(Connection::open_in_memory().map_err(|error| failed(&error))?, reader)?;
        Ok(Self { connection: Mutex::new(connection), filling: Mutex::default(), path: None })
    }

    /// Where it is, if it is a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Takes in every complete batch that is in the journal by now, and says how far that is.
    ///
    /// # Errors
    /// If the journal cannot be read, a row is not an event, or the index cannot be written.
    pub fn catch_up(&self, reader: &dyn JournalReader) -> Result<u64, IndexError> {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reached = reached(&self.lock())?;
        let mut waiting: Vec<Row> = Vec::new();
        loop {
            let after = waiting.last().map_or(reached, |row| row.sequence);
            let rows = reader.read_after(after, STEP_ROWS)?;
            let end = rows.len() < STEP_ROWS;
            waiting.extend(rows);
            if let Some(complete) = last_complete(&waiting)? {
                let rest = waiting.split_off(complete);
                reached = self.take_in(&waiting, reached)?;
                waiting = rest;
            }
            if end {
                return Ok(reached);
            }
        }
    }

    /// The events that meet the filter.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn list(&self, filter: &Filter, page: Page) -> Result<Listed, IndexError> {
        let (sql, values) = query(filter, page);
        let connection = self.lock();
        let reached = reached(&connection)?;
        let mut statement = connection.prepare_cached(&sql).map_err(|error| failed(&error))?;
        let found = statement.query_map(params_from_iter(values), |row| row.get::<_, i64>(0));
        let found = found.and_then(Iterator::collect::<rusqlite::Result<Vec<i64>>>).map_err(|error| failed(&error))?;
        Ok(Listed { sequences: found.into_iter().map(unsigned).collect(), reached })
    }

    /// How many events of a kind, of whatever version, there are up to a sequence.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn count(&self, kind: &str, until: u64) -> Result<u64, IndexError> {
        let connection = self.lock();
        let sql = "SELECT count(*) FROM event WHERE kind > ?1 AND kind < ?2 AND seq <= ?3";
        let mut statement = connection.prepare_cached(sql).map_err(|error| failed(&error))?;
        let bounds = params![format!("{kind}/"), format!("{kind}0"), signed(until)];
        statement.query_row(bounds, |row| row.get::<_, i64>(0)).map(unsigned).map_err(|error| failed(&error))
    }

    /// Writes complete batches, and with them how far they go, in one transaction.
    fn take_in(&self, rows: &[Row], reached: u64) -> Result<u64, IndexError> {
        let Some(last) = rows.last() else { return Ok(reached) };
        let mut connection = self.lock();
        let transaction = connection.transaction().map_err(|error| failed(&error))?;
        for row in rows {
            put(&transaction, row)?;
        }
        let update = "UPDATE reached SET sequence = ?1, digest = ?2";
        transaction.execute(update, params![signed(last.sequence), digest(last)]).map_err(|error| failed(&error))?;
        transaction.commit().map_err(|error| failed(&error))?;
        Ok(last.sequence)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of the rows, from the first, are complete batches.
fn last_complete(rows: &[Row]) -> Result<Option<usize>, IndexError> {
    for (at, row) in rows.iter().enumerate().rev() {
        if parse(row)?.last {
            return Ok(at.checked_add(1));
        }
    }
    Ok(None)
}

fn put(connection: &Connection, row: &Row) -> Result<(), IndexError> {
    let event = parse(row)?;
    let sequence = signed(row.sequence);
    let run = || -> rusqlite::Result<()> {
        if let Some(struck) = abandoned_by(&row.body) {
            let range = [signed(*struck.start()), signed(*struck.end()).min(sequence)];
            connection.execute("DELETE FROM event WHERE seq BETWEEN ?1 AND ?2", range)?;
            connection.execute("DELETE FROM about WHERE seq BETWEEN ?1 AND ?2", range)?;
        }
        let mut insert =
            connection.prepare_cached("INSERT INTO event(seq, at, actor, kind) VALUES (?1, ?2, ?3, ?4)")?;
        insert.execute(params![sequence, event.at.millis(), event.actor, event.kind])?;
        let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO about(about, seq) VALUES (?1, ?2)")?;
        for about in &event.about {
            insert.execute(params![about, sequence])?;
        }
        Ok(())
    };
    run().map_err(|error| failed(&error))
}

fn parse(row: &Row) -> Result<Event<'_>, IndexError> {
    serde_json::from_str(&row.body).map_err(|error| IndexError::Row { sequence: row.sequence, what: error.to_string() })
}

/// Only the shape of the text depends on the filter; every value is bound.
fn query(filter: &Filter, page: Page) -> (String, Vec<Value>) {
    let mut sql = String::from("SELECT seq FROM event WHERE 1");
    let mut values: Vec<Value> = Vec::new();
    let mut and = |condition: &str, with: Vec<Value>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.extend(with);
    };
    if let Some(actor) = &filter.actor {
        and("actor = ?", vec![actor.clone().into()]);
    }
    if let Some(kind) = &filter.kind {
        if kind.contains('/') {
            and("kind = ?", vec![kind.clone().into()]);
        } else {
            // `0` is the byte after `/`: every version of the kind, and nothing that only begins alike.
            and("kind > ? AND kind < ?", vec![format!("{kind}/").into(), format!("{kind}0").into()]);
        }
    }
    if let Some(about) = &filter.about {
        and("seq IN (SELECT seq FROM about WHERE about = ?)", vec![about.clone().into()]);
    }
    if let Some(any) = &filter.about_any {
        let marks = vec!["?"; any.len()].join(", ");
        let condition = format!("seq IN (SELECT seq FROM about WHERE about IN ({marks}))");
        and(&condition, any.iter().cloned().map(Value::from).collect());
    }
    if let Some(any) = &filter.about_things_of {
        let marks = vec!["?"; any.len()].join(", ");
        let own = format!("SELECT seq FROM about WHERE about IN ({marks})");
        let linked = format!("SELECT about FROM about WHERE seq IN ({own}) AND {THING}");
        let condition = format!("(seq IN ({own}) OR seq IN (SELECT seq FROM about WHERE about IN ({linked})))");
        and(&condition, any.iter().chain(any).cloned().map(Value::from).collect());
    }
    if filter.of_no_tenant {
        let own = "SELECT seq FROM about WHERE about >= 'tenant:' AND about < 'tenant;'";
        let linked = format!("SELECT about FROM about WHERE seq IN ({own}) AND {THING}");
        and(&format!("seq NOT IN (SELECT seq FROM about WHERE about IN ({linked}))"), Vec::new());
    }
    if let Some(from) = filter.from {
        and("at >= ?", vec![from.millis().into()]);
    }
    if let Some(until) = filter.until {
        and("at < ?", vec![until.millis().into()]);
    }
    if let Some(after) = page.after {
        and(if page.newest_first { "seq < ?" } else { "seq > ?" }, vec![signed(after).into()]);
    }
    sql.push_str(if page.newest_first { " ORDER BY seq DESC LIMIT ?" } else { " ORDER BY seq LIMIT ?" });
    values.push(i64::try_from(page.limit).unwrap_or(i64::MAX).into());
    (sql, values)
}

fn open_file(path: &Path) -> Result<Connection, IndexError> {
    // It says who did what, so it is as private as the journal (known failure H15).
    match file::create_private(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(&error)),
    }
    file::check_modes(path).map_err(|error| failed(&error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(&error))?;
    // What a power cut loses here is read from the journal again.
    let settings = connection.execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = normal;");
    settings.map_err(|error| failed(&error))?;
    Ok(connection)
}

/// Makes the tables, or checks that they are of this journal as it is now.
fn prepare(connection: Connection, reader: &dyn JournalReader) -> Result<Connection, IndexError> {
    schema::harden(&connection).map_err(|error| failed(&error))?;
    let id = reader.id().to_string();
    let tables = "SELECT count(*) FROM sqlite_schema";
    let empty = connection.query_row(tables, [], |row| row.get::<_, i64>(0)).map_err(|error| failed(&error))? == 0;
    if empty {
        let make = format!("BEGIN; {TABLES} INSERT INTO reached VALUES (1, '{id}', '{FORMAT}', 0, ''); COMMIT;");
        connection.execute_batch(&make).map_err(|error| failed(&error))?;
        return Ok(connection);
    }
    let found = "SELECT sequence, digest FROM reached WHERE journal = ?1 AND format = ?2 AND sequence >= 0";
    let found = connection.query_row(found, [&id, FORMAT], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
    let (sequence, noted) = found.map_err(|error| failed(&error))?;
    // A journal that was restored from a copy has the same id, and may have gone on differently.
    let row = reader.read(unsigned(sequence))?;
    if row.as_ref().map(digest).unwrap_or_default() != noted {
        return Err(IndexError::Store { what: "it belongs to another journal".into() });
    }
    let sound = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match sound.map_err(|error| failed(&error))? {
        ok if ok == "ok" => Ok(connection),
        what => Err(IndexError::Store { what }),
    }
}

fn digest(row: &Row) -> String {
    Digest::of(row.body.as_bytes()).to_string()
}

fn reached(connection: &Connection) -> Result<u64, IndexError> {
    let sequence = connection.query_row("SELECT sequence FROM reached", [], |row| row.get::<_, i64>(0));
    sequence.map(unsigned).map_err(|error| failed(&error))
}

fn remove(path: &Path) -> Result<(), IndexError> {
    for suffix in ["-wal", "-shm", ""] {
        match fs::remove_file(file::beside(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
            _ => {}
        }
    }
    Ok(())
}

fn failed(error: &dyn std::fmt::Display) -> IndexError {
    IndexError::Store { what: error.to_string() }
}

fn signed(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

fn unsigned(sequence: i64) -> u64 {
    u64::try_from(sequence).unwrap_or_default()
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
