//! The head mark: beside the journal, how far what was acknowledged reaches (design.md 8; known failure H17). A chain says
//! nothing about its own end: what was cut off there is missed against the mark alone.
//!
//! A file of two slots, written in turn and each with its checksum, so that one that is torn leaves the other.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::chain::origin;
use super::loss::{Loss, Mark, Unmarked};
use super::{Head, JournalId, OpenError, file, guard};
use crate::domain::value::ids::Digest;

/// A slot has a block of the disk to itself.
const SLOT_BYTES: usize = 4_096;

const FIRST_LINE: &str = "countersign mark 1";

/// A mark, and the turn in which it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) turn: u64,
    pub(super) mark: Mark,
}

/// What the journal lacks of what its mark says; `at_mark` is the hash of its chain at the mark's row, if it has that row.
pub(super) fn compare(
    mark: Result<Mark, Unmarked>,
    journal: JournalId,
    head: Head,
    at_mark: Option<Digest>,
) -> Option<Loss> {
    let mark = match mark {
        Ok(mark) => mark,
        Err(unmarked) => return Some(Loss::Unmarked(unmarked)),
    };
    if mark.journal != journal {
        return Some(Loss::OtherJournal(mark));
    }
    let sequence = mark.head.sequence;
    let at_mark = if sequence == 0 { Some(origin(journal).hash) } else { at_mark };
    match at_mark {
        Some(hash) if hash == mark.head.hash => None,
        Some(hash) if sequence <= head.sequence => Some(Loss::Differs { mark, found: Head { sequence, hash } }),
        _ => Some(Loss::Behind(mark)),
    }
}

/// The mark in a file.
///
/// # Errors
/// Why there is none.
pub fn read(path: &Path) -> Result<Mark, Unmarked> {
    written(path).map(|written| written.mark)
}

pub(super) fn written(path: &Path) -> Result<Written, Unmarked> {
    let unreadable = |what: &str| Unmarked::Unreadable { path: path.into(), what: what.to_owned() };
    // Whatever else has its name is not read: a pipe would be waited for, and closing the journal drops SQLite's locks on it.
    match fs::metadata(path) {
        Err(error) if fs::symlink_metadata(path).is_ok() => {
            return Err(unreadable(&format!("it leads nowhere: {error}")));
        }
        Ok(found) if !found.is_file() => return Err(unreadable("it is no file; move it away")),
        Ok(found) if guard::is_open(&found) => {
            return Err(unreadable("it is the journal itself under another name; move it away"));
        }
        _ => {}
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unmarked::Missing { path: path.into() }),
        Err(error) => return Err(unreadable(&error.to_string())),
    };
    newest(&bytes).ok_or_else(|| unreadable("neither of its two slots holds"))
}

/// Where the mark of a journal is.
#[must_use]
pub fn beside(journal: &Path) -> PathBuf {
    file::beside(journal, file::MARK_SUFFIX)
}

/// The mark of a journal that is about to be made. One that says more than nothing belonged to a journal that is not here.
pub(super) fn begin(journal: &Path, id: JournalId) -> Result<(), OpenError> {
    let path = beside(journal);
    if let Ok(mark) = read(&path)
        && mark.head.sequence > 0
    {
        return Err(OpenError::MarkOfAnother { path, mark });
    }
    create(&path, &Mark { journal: id, head: origin(id) }).map(|_| ()).map_err(|error| file::store(&path, &error))
}

/// Makes the file, with both slots filled, in place of any other: it is there as a whole, durably, or not at all.
pub(super) fn create(path: &Path, mark: &Mark) -> io::Result<Written> {
    let made = file::beside(path, ".creating");
    match fs::remove_file(&made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (even, odd) = (Written { turn: 0, mark: *mark }, Written { turn: 1, mark: *mark });
    let mut file = file::create_private(&made)?;
    file.write_all(&slot(&even))?;
    file.write_all(&slot(&odd))?;
    file.sync_all()?;
    fs::rename(&made, path)?;
    sync_directory_of(path)?;
    Ok(odd)
}

pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// Where in the file a turn is written: never over the mark of the turn before.
pub(super) fn place(turn: u64) -> u64 {
    if turn.is_multiple_of(2) { 0 } else { u64::try_from(SLOT_BYTES).unwrap_or_default() }
}

/// The bytes of a slot.
pub(super) fn slot(written: &Written) -> Vec<u8> {
    let Written { turn, mark } = written;
    let mut text = format!("{FIRST_LINE}\nturn {turn}\njournal {}\nhead {}\n", mark.journal, mark.head);
    let sum = Digest::of(text.as_bytes());
    text.push_str(&format!("sha256 {sum}\n"));
    let mut bytes = text.into_bytes();
    bytes.resize(SLOT_BYTES, 0);
    bytes
}

/// The newest of the slots that hold.
pub(super) fn newest(bytes: &[u8]) -> Option<Written> {
    let (even, odd) = bytes.split_at(bytes.len().min(SLOT_BYTES));
    let even = in_slot(even).filter(|written| written.turn.is_multiple_of(2));
    let odd = in_slot(odd).filter(|written| !written.turn.is_multiple_of(2));
    even.into_iter().chain(odd).max_by_key(|written| written.turn)
}

fn in_slot(bytes: &[u8]) -> Option<Written> {
    let text = bytes.split(|byte| *byte == 0).next()?;
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines();
    if lines.next()? != FIRST_LINE {
        return None;
    }
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let turn = value("turn")?.parse().ok()?;
    let journal = value("journal")?.parse().ok()?;
    let head = value("head")?.parse().ok()?;
    let written = Written { turn, mark: Mark { journal, head } };
    // One value has one text, and the checksum is a part of it.
    (slot(&written).starts_with(text.as_bytes()) && text.ends_with('\n') && lines.count() == 1).then_some(written)
}

#[cfg(test)]
#[path = "mark_tests.rs"]
mod tests;
