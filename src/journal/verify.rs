//! Verification: at start by the writer, and offline over any copy (`audit verify FILE`; known failures H5, H6 and
//! H13).

use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::chain::Verifier;
use super::loss::{Loss, Mark};
use super::schema::has_log;
use super::{EachRow, Fault, Head, JournalId, OpenError, Recovered, file, guard, schema};

/// A journal whose whole chain holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The journal's random name.
    pub id: JournalId,
    /// Its last row (which is also how many there are), and the rows at its end that have no effect.
    pub recovered: Recovered,
}

/// Verifies a journal, or a copy of one, without writing to it or beside it. The chain must pass through `expected`, a
/// head noted earlier; without one a cut-off end cannot show.
///
/// # Errors
/// The first bad row, or what else is wrong with the file.
pub fn verify_file(path: &Path, expected: Option<Head>) -> Result<Verified, OpenError> {
    verify_known(path, Known { head: expected, mark: None }, &mut |_| Ok(()))
}

/// What the journal's chain must pass through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// A head noted earlier.
    pub head: Option<Head>,
    /// What the journal's mark says; it must be of this journal.
    pub mark: Option<Mark>,
}

/// The same, with a mark besides, giving each verified row to `each`: who verifies for a start reads each row as a start does.
///
/// # Errors
/// As [`verify_file`]; a mark of another journal; the first row that `each` refuses.
pub fn verify_known(path: &Path, known: Known, each: EachRow<'_>) -> Result<Verified, OpenError> {
    let path = file::existing(path)?;
    if !fs::metadata(&path).map_err(|error| file::store(&path, &error))?.is_file() {
        return Err(OpenError::NotAFile { path });
    }
    file::check_links(&path)?;
    // Without a write-ahead log the file is all there is, and `immutable` reads it even where nothing may be written. A
    // broker that begins to write meanwhile makes a log: then the answer is discarded, and the file read again.
    if !has_log(&path)? {
        let verified = verify_as(&path, "immutable=1", known, each);
        if !has_log(&path)? {
            return verified;
        }
    }
    verify_as(&path, "mode=ro", known, each)
}

/// Makes a copy of a journal by SQLite's own hand, owner-only. To read the file in a process that has it open, were it only
/// through a reader that outlived its broker, would drop SQLite's locks on it when that descriptor is closed.
///
/// # Errors
/// If `path` cannot be read, or something is at `to`.
pub fn copy(path: &Path, to: &Path) -> Result<(), OpenError> {
    let path = file::existing(path)?;
    let failed = |error: &dyn std::fmt::Display| file::store(to, error);
    drop(file::create_private(to).map_err(|error| failed(&error))?);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(|error| file::store(&path, &error))?;
    let Some(name) = to.to_str() else { return Err(failed(&"its name is not UTF-8")) };
    connection.execute("VACUUM INTO ?1", [name]).map_err(|error| failed(&error))?;
    Ok(())
}

/// Gives every row to `each`, in order, once it is verified.
pub(super) fn scan(
    connection: &Connection,
    id: JournalId,
    expected: impl IntoIterator<Item = Head>,
    each: EachRow<'_>,
) -> Result<Recovered, OpenError> {
    let mut verifier = Verifier::new(id, expected)?;
    let broken = |verifier: &Verifier, error: rusqlite::Error| OpenError::Broken {
        sequence: verifier.next_sequence(),
        fault: Fault::Unreadable { what: error.to_string() },
    };
    let statement = connection.prepare("SELECT seq, body, hash FROM journal ORDER BY seq");
    let mut statement = statement.map_err(|error| broken(&verifier, error))?;
    let mut rows = statement.query([]).map_err(|error| broken(&verifier, error))?;
    while let Some(row) = rows.next().map_err(|error| broken(&verifier, error))? {
        let column = |at: usize| row.get_ref(at).unwrap_or(ValueRef::Null);
        let wrong = |verifier: &Verifier, column, wanted| OpenError::Broken {
            sequence: verifier.next_sequence(),
            fault: Fault::Column { column, wanted },
        };
        let ValueRef::Integer(sequence) = column(0) else { return Err(wrong(&verifier, "seq", "a number")) };
        let ValueRef::Text(body) = column(1) else { return Err(wrong(&verifier, "body", "text")) };
        let ValueRef::Blob(hash) = column(2) else { return Err(wrong(&verifier, "hash", "a blob")) };
        let row = verifier.accept(sequence, body, hash)?;
        each(row).map_err(|source| OpenError::Refused { sequence: row.sequence, source })?;
    }
    verifier.finish()
}

fn verify_as(path: &Path, mode: &str, known: Known, each: EachRow<'_>) -> Result<Verified, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| file::store(path, &error);
    // Before the connection, and so closed after it.
    let guard = guard::keep(path)?;
    schema::check_header(&guard)?;
    let connection = Connection::open_with_flags(uri(path, mode), flags).map_err(failed)?;
    schema::harden(&connection).map_err(failed)?;
    // One snapshot for all of it, also beside a writer.
    connection.execute_batch("BEGIN").map_err(failed)?;
    let id = schema::check(&connection)?;
    if let Some(mark) = known.mark.filter(|mark| mark.journal != id) {
        return Err(OpenError::Mark(Loss::OtherJournal(mark)));
    }
    let expected = known.head.into_iter().chain(known.mark.map(|mark| mark.head));
    let recovered = scan(&connection, id, expected, each)?;
    check_pages(&connection)?;
    Ok(Verified { id, recovered })
}

/// The chain protects a reader who walks all rows; this check protects one who looks up a single row, and a writer from adding to
/// pages that do not hold together.
pub(super) fn check_pages(connection: &Connection) -> Result<(), OpenError> {
    let damaged = |what: String| OpenError::NotAJournal { what: format!("its pages are damaged: {what}") };
    let answer = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    match answer.map_err(|error| damaged(error.to_string()))? {
        ok if ok == "ok" => Ok(()),
        what => Err(damaged(what)),
    }
}

/// A URI, with every byte escaped that could mean something in it.
fn uri(path: &Path, mode: &str) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri + "?" + mode
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
