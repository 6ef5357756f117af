//! What a command led to, and why an engine does not start.

use super::history::HistoryError;
use crate::domain::record::event::Subject;
use crate::domain::value::refusal::Refusal;
use crate::journal::{AppendError, OpenError, Refused};

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The sequence of its first event.
    pub sequence: u64,
    /// What it was about.
    pub about: Option<Subject>,
    /// Whether it had taken effect before, under the same `request_id`.
    pub repeated: bool,
}

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The journal cannot be opened or does not verify.
    #[error(transparent)]
    Journal(#[from] OpenError),
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
