//! What a command led to, and why an engine does not start.

use super::history::HistoryError;
use crate::domain::record::event::{Event, Subject};
use crate::domain::value::refusal::Refusal;
use crate::journal::{AppendError, Lost, OpenError, Refused};

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The sequence of its first event.
    pub sequence: u64,
    /// What it was about.
    pub about: Option<Subject>,
    /// Whether it had taken effect before, under the same `request_id`.
    pub repeated: bool,
    /// Bytes that its events took of the journal; none of a repetition.
    pub journal_bytes: u64,
}

impl Done {
    /// What a command did whose first event this is.
    pub(super) fn by(first: &Event) -> Self {
        Self {
            sequence: first.sequence,
            about: first.fact.about().into_iter().next(),
            repeated: false,
            journal_bytes: 0,
        }
    }
}

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The journal cannot be opened or does not verify.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The journal's end may be missing, and nobody has accepted that.
    #[error(
        "{lost}. Keep the journal and all files beside it as evidence, and look for a copy that goes further. If there \
         is none{}, start `countersign serve` with `--accept-loss {}`: that is journaled, revokes every grant, cancels what is pending and \
         locks everything until a person lifts it",
        said.map_or_else(String::new, |said| format!(", and not at {said}")), lost.head.sequence
    )]
    Lost {
        /// What is missing.
        lost: Lost,
        /// The sequence that was accepted, which is another.
        said: Option<u64>,
    },
    /// The journal has no policy and no directory.
    #[error("the journal is empty; fill it with `countersign init --policy FILE --directory FILE`")]
    NotInitialised,
    /// The journal has been filled before.
    #[error("the journal has been filled before; propose a new policy or directory to the running broker")]
    AlreadyInitialised,
    /// The files cannot be put in force.
    #[error("{0}")]
    Files(Refusal),
    /// The first rows could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The journal takes nothing for now, and this start has grants to revoke before anything is checked.
    #[error("grants must be revoked at this start, and the journal takes nothing: {0}")]
    MustRevoke(Refused),
    /// The side file of lists failed.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// An event has no text, or the system gave no thread.
    #[error("{0}")]
    System(String),
}
