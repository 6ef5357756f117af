//! What can go wrong with the index. Each text says what to do next.

use crate::journal::ReadError;

/// Why the index could not answer or go on.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It cannot be written or kept.
    #[error("the index of events cannot be used: {what}; look at the disk of the journal")]
    Store {
        /// What failed.
        what: String,
    },
    /// It is damaged, or says something else than the journal.
    #[error("the index of events differs from the journal: {what}; it is built again")]
    Differs {
        /// In what.
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
