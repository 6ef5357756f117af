//! Facts about a lock.

use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::domain::record::lock::{Lock, Locked};
use crate::domain::value::ids::{LockId, Principal};

facts! {
    /// A lock.
    LockFact {
        /// Something was stopped at once. What a revoking lock ends follows.
        Created(Box<Lock>) "lock-created/1";
        /// Somebody lifted a lock.
        Deleted(LockDeleted) "lock-deleted/1";
        /// A lock's time came.
        Ended(LockNamed) "lock-ended/1";
    }
}

impl LockFact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        let (lock, on) = match self {
            Self::Created(lock) => (lock.id, &lock.on),
            Self::Deleted(LockDeleted { lock, on, .. }) | Self::Ended(LockNamed { lock, on }) => (*lock, on),
        };
        // The account or person that it is on may see the event.
        let whom = match on {
            Locked::Account(id) => Some(Subject::Account(id.clone())),
            Locked::Person(id) => Some(Subject::Person(id.clone())),
            Locked::Role(_)
            | Locked::Entitlement(_)
            | Locked::Resources(_)
            | Locked::Tenant(_)
            | Locked::Everything => None,
        };
        [Subject::Lock(lock)].into_iter().chain(whom).collect()
    }
}

bodies! {
    /// Which, on what, by whom, and why.
    LockDeleted { lock: LockId, on: Locked, by: Principal, reason: String }
    /// Which, and on what.
    LockNamed { lock: LockId, on: Locked }
}
