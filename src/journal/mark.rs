//! The head mark: beside the journal, how far what was acknowledged reaches (design.md 8; known failure H17). A chain says
//! nothing about its own end: what was cut off there is missed against the mark alone.
//!
//! A file of two slots, written in turn and each with its checksum, so that one that is torn leaves the other.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::chain::origin;
use super::{Head, JournalId, OpenError, file};
use crate::domain::value::ids::Digest;

/// What a mark's name ends with, after the journal's.
pub(super) const SUFFIX: &str = ".mark";

/// A slot has a block of the disk to itself.
const SLOT_BYTES: usize = 4_096;

const FIRST_LINE: &str = "countersign mark 1";

/// How far a journal had come when this was written: all up to there had been durable before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Whose it is.
    pub journal: JournalId,
    /// Its last row, and the hash of the chain there.
    pub head: Head,
}

/// Why there is no mark to compare with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmarked {
    /// No file.
    #[error("there is no head mark `{}`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Neither slot holds.
    #[error("the head mark `{}` cannot be read: {what}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

/// Why a journal does not hold what its mark says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Nothing says how far it should reach.
    #[error("{0}, so that nobody can tell whether rows are missing at its end")]
    Unmarked(#[from] Unmarked),
    /// The mark is that of another journal.
    #[error("its head mark is that of journal {}, at {}", .0.journal, .0.head)]
    OtherJournal(Mark),
    /// It ends before its mark.
    #[error("its head mark says {}: the rows from there back to its end are gone", .0.head)]
    Behind(Mark),
    /// Other rows are where the mark says.
    #[error("its head mark says {}, and other rows are there, up to {found}", mark.head)]
    Differs {
        /// What the mark says.
        mark: Mark,
        /// What the chain says at that row.
        found: Head,
    },
}

/// A journal whose end may be missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal {journal} ends at {head}; {loss}")]
pub struct Lost {
    /// Its id, as the chain has it.
    pub journal: JournalId,
    /// Where it ends.
    pub head: Head,
    /// What is wrong.
    pub loss: Loss,
}

impl Lost {
    /// What its mark said, where one could be read.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        match &self.loss {
            Loss::Unmarked(_) => None,
            Loss::OtherJournal(mark) | Loss::Behind(mark) | Loss::Differs { mark, .. } => Some(*mark),
        }
    }

    /// Nothing is there, and nothing says that anything was: a journal that `init` has yet to fill.
    #[must_use]
    pub fn is_of_nothing(&self) -> bool {
        self.head.sequence == 0 && matches!(self.loss, Loss::Unmarked(Unmarked::Missing { .. }))
    }
}

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
    file::beside(journal, SUFFIX)
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
