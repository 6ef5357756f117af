//! What a mark says, and what a journal can lack of it (known failure H17).

use std::path::PathBuf;

use super::{Head, JournalId};

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
