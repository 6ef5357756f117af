//! Whoever asks for a check, and what they may ask about.

use std::fmt;
use std::sync::Arc;

use super::block::Block;
use super::compiled::{Asked, patterns_cover};
use crate::domain::value::time::Timestamp;

/// Whoever asks, as the index knew it when [`CheckIndex::caller`](super::CheckIndex::caller) was called. Ask anew for each call: a caller that is
/// kept keeps the audience that it had.
#[derive(Clone)]
pub struct CheckCaller {
    pub(super) block: Arc<[u8]>,
}

impl CheckCaller {
    /// Its account's id.
    #[must_use]
    pub fn account(&self) -> &str {
        let block = Block::read(&self.block);
        block.and_then(|block| std::str::from_utf8(block.holder()).ok()).unwrap_or_default()
    }

    /// Whether it may ask about others, within its audience: by comparison, whatever timers run (invariant 5).
    #[must_use]
    pub fn may_check(&self, now: Timestamp) -> bool {
        Block::read(&self.block).is_some_and(|block| block.may_check(now))
    }

    /// Whether it may ask this: about itself, by whatever name, or about what its audience covers (known failure D11).
    #[inline]
    pub(super) fn may_ask(&self, subject: &[u8], resource: Option<Asked<'_>>, now: Timestamp) -> bool {
        let Some(block) = Block::read(&self.block) else { return false };
        let is_covered = |resource| patterns_cover(block.audience(), resource);
        (block.may_check(now) && resource.is_some_and(is_covered)) || block.is_named(subject)
    }
}

impl fmt::Debug for CheckCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckCaller").field("account", &self.account()).finish_non_exhaustive()
    }
}
