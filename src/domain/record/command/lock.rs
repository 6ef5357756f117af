//! Commands about a lock.

use serde::Serialize;

use crate::domain::record::lock::{LockMode, Locked};
use crate::domain::value::ids::LockId;
use crate::domain::value::time::Timestamp;

commands! {
    /// A lock.
    LockCommand in Lock {
        /// Stop something at once.
        Create(CreateLock) "create-lock";
        /// Lift a lock.
        Delete(DeleteLock) "delete-lock";
    }
}

impl LockCommand {
    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::Create(_) => true,
            Self::Delete(_) => false,
        }
    }

    /// What it is about, for the record of a refusal.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        match self {
            Self::Create(command) => Some(format!("lock on {}", command.on)),
            Self::Delete(command) => Some(format!("lock:{}", command.lock)),
        }
    }

    /// How many bytes of free text it adds to the journal; none if it adds sets of any size as well.
    #[must_use]
    pub fn words_bytes(&self) -> Option<usize> {
        match self {
            Self::Create(command) => Some(command.reason.len()),
            Self::Delete(command) => Some(command.reason.len()),
        }
    }
}

/// Stop something at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreateLock {
    /// What.
    pub on: Locked,
    /// What becomes of what it touches.
    pub mode: LockMode,
    /// Told to those whom it touches.
    pub reason: String,
    /// When it is lifted by itself; none: by a person alone.
    pub until: Option<Timestamp>,
}

/// Lift a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeleteLock {
    /// Which.
    pub lock: LockId,
    /// For the record.
    pub reason: String,
}
