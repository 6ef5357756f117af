//! A journal in a file with its head mark beside it: what a broker runs on. The order is that of design.md 8. At a start:
//! verify, compare, empty the log, mark; then at each commit: durable, answered, marked; at a stop: empty the log, mark.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::loss::Lost;
use super::mark::{self, Written};
use super::marker::{MarkStanding, Marker, Pen};
use super::{
    AppendError, EachRow, Head, Journal, JournalId, JournalReader, OpenError, Options, Recovered, Refused, Row,
    SqliteJournal,
};

/// A journal in a file, whose mark follows it.
#[derive(Debug)]
pub struct MarkedJournal {
    // Dropped first: the log is empty before the last mark is written.
    journal: SqliteJournal,
    /// None until what was found is taken for true.
    marker: Option<Marker>,
    mark: PathBuf,
    /// The mark to go on with; none where another is to be made.
    found: Option<Written>,
}

/// What an opening found.
#[derive(Debug)]
pub struct Opened {
    /// The journal.
    pub journal: MarkedJournal,
    /// Its last row, and the rows without effect.
    pub recovered: Recovered,
    /// That its end may be missing. It is left as it was found unless that is accepted, and it is settled.
    pub lost: Option<Lost>,
}

impl MarkedJournal {
    /// Opens a journal, verifies all of it, and compares it with its mark.
    ///
    /// # Errors
    /// As [`SqliteJournal::open`].
    pub fn open(path: &Path, options: Options, each: EachRow<'_>) -> Result<Opened, OpenError> {
        let (mut journal, recovered) = SqliteJournal::open(path, options, each)?;
        let mark = mark::beside(journal.path());
        let written = mark::written(&mark);
        let at_mark = match &written {
            Ok(written) => {
                let hash = journal.reader().hash(written.mark.head.sequence);
                hash.map_err(|error| super::file::store(journal.path(), &error))?
            }
            Err(_) => None,
        };
        let (id, head) = (journal.id(), recovered.head);
        let loss = mark::compare(written.clone().map(|written| written.mark), id, head, at_mark);
        let lost = loss.map(|loss| Lost { journal: id, head, loss });
        journal.leave_as_found(lost.is_some());
        let found = written.ok().filter(|_| lost.is_none());
        Ok(Opened { journal: Self { journal, marker: None, mark, found }, recovered, lost })
    }
}

impl Journal for MarkedJournal {
    fn id(&self) -> JournalId {
        self.journal.id()
    }

    fn head(&self) -> Head {
        self.journal.head()
    }

    fn append(&mut self, expected: Head, rows: &[Row]) -> Result<Head, AppendError> {
        let head = self.journal.append(expected, rows)?;
        if let Some(marker) = &self.marker {
            marker.note(head);
        }
        Ok(head)
    }

    fn settle(&mut self) -> Result<(), OpenError> {
        self.journal.leave_as_found(false);
        self.journal.settle()?;
        let pen = Pen::new(self.mark.clone(), self.journal.id(), self.found);
        let marker = Marker::start(pen).map_err(|error| super::file::store(&self.mark, &error))?;
        self.marker = Some(marker);
        Ok(())
    }

    fn flush_mark(&self) {
        if let Some(marker) = &self.marker {
            marker.flush();
        }
    }

    fn mark(&self) -> Option<MarkStanding> {
        self.marker.as_ref().map(Marker::standing)
    }

    fn maintain(&mut self) {
        self.journal.maintain();
    }

    fn trouble(&self) -> Option<Refused> {
        self.journal.trouble()
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.journal.reader()
    }
}

#[cfg(test)]
#[path = "marked_tests.rs"]
mod tests;
