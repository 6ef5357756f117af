//! What travels from a feed to a replica, and where either of them stands.

use bytes::Bytes;

use crate::check::SetDigest;

/// Where a replica stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The feed that it followed.
    pub feed_id: String,
    /// The last change that it applied.
    pub number: u64,
    /// The sequence that it had reached.
    pub sequence: u64,
    /// How many entries it holds.
    pub count: u64,
    /// The set digest of them.
    pub digest: SetDigest,
}

/// Where a feed stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The last change.
    pub number: u64,
    /// The sequence after it.
    pub sequence: u64,
    /// How many entries there are.
    pub count: u64,
    /// The set digest of them.
    pub digest: SetDigest,
}

/// A numbered change.
#[derive(Debug, Clone)]
pub struct Frame {
    /// One more than that of the change before.
    pub number: u64,
    /// All that led to this sequence is in it and in the frames before it.
    pub sequence: u64,
    /// Entries, as [`Change::put`](crate::check::Change::put) writes them.
    pub entries: Bytes,
}

/// How a feed begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// As whom the replica checks.
    pub account: String,
    /// The journal's id.
    pub journal_id: String,
    /// The feed's id.
    pub feed_id: String,
    /// Whether a snapshot follows.
    pub snapshot: bool,
    /// The last change that is contained in what the replica then has.
    pub number: u64,
    /// The sequence that this stands at.
    pub sequence: u64,
}

/// One step of what is sent to a replica.
#[derive(Debug, Clone)]
pub enum Sent {
    /// First.
    Start(Start),
    /// A piece of the snapshot.
    Piece(Bytes),
    /// The snapshot is whole: how many entries, and their digest.
    SnapshotEnd {
        /// How many.
        count: u64,
        /// Of them.
        digest: SetDigest,
    },
    /// A change.
    Change(Frame),
}
