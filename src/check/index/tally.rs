//! What the writer of an index counts as it writes.

use crate::check::change::Change;
use crate::check::set_digest::SetDigest;
use crate::domain::value::ids::Digest;

/// How large the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Grants in it, live, waiting or over but not yet removed.
    pub grants: usize,
    /// Accounts in it, and holders whose account is not.
    pub holders: usize,
    /// Account ids and identities by which they are found.
    pub names: usize,
    /// Bytes that it takes, without what the allocator adds.
    pub bytes: usize,
}

/// What the writer keeps.
#[derive(Default)]
pub(super) struct Written {
    pub(super) statistics: Statistics,
    /// Kept in a replica's index alone.
    pub(super) tally: Option<Tally>,
}

/// All entries, summed.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) digest: SetDigest,
    pub(super) baseline: Option<Digest>,
    pub(super) locked: Option<Digest>,
}

impl Written {
    pub(super) fn replace(&mut self, old: Option<Digest>, new: &Change) {
        if let Some(tally) = &mut self.tally {
            tally.replace(old, Some(new.digest()));
        }
    }
}

impl Tally {
    pub(super) fn replace(&mut self, old: Option<Digest>, new: Option<Digest>) {
        if let Some(old) = old {
            self.count = self.count.wrapping_sub(1);
            self.digest = self.digest.without(&old);
        }
        if let Some(new) = new {
            self.count = self.count.wrapping_add(1);
            self.digest = self.digest.with(&new);
        }
    }
}
