//! One table from each name of a holder to its block, and the verdict read out of it.
//!
//! The table is keyed by a keyed hash of the name; the name itself is in the block, and is compared whole there before
//! anything else is believed. The shards are reached by the map's raw interface, so that names whose hashes are equal
//! are told apart like any others, and so that a batch can hold each shard once (known failure G15: whoever holds
//! several took them in ascending order; the writer holds one at a time; nothing that could wait is called while one is
//! held).

mod slots;
mod tally;
mod writing;

use std::array;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use dashmap::DashMap;

use self::slots::{HashedAlready, Slot, ascending, is_slot, touch};
pub use self::tally::Statistics;
use self::tally::{Tally, Written};
use super::block::{Answer, Block};
use super::caller::CheckCaller;
use super::compiled::{Asked, has_action, patterns_cover};
use super::locked::Locked;
use super::set_digest::SetDigest;
use super::verdict::{Allowed, Denied, Query, Verdict};
use crate::domain::value::time::Timestamp;

/// How many queries of a batch are looked up before the first is answered: enough for their cache misses to overlap.
const LOOKED_UP_TOGETHER: usize = 16;
/// So many that threads seldom need the same one, and as many as a word has bits: a batch marks in a word which it
/// needs.
const SHARDS: usize = 64;

/// The live grants, laid out for checks. One writer at a time; any number of readers.
pub struct CheckIndex {
    table: DashMap<u64, Arc<[u8]>, HashedAlready>,
    hasher: foldhash::quality::RandomState,
    /// All ones but in tests, which narrow it so that names collide.
    hash_mask: u64,
    /// Actions and patterns of each scope.
    baseline: ArcSwap<Vec<(Vec<u8>, Vec<u8>)>>,
    locked: ArcSwapOption<Locked>,
    written: Mutex<Written>,
}

impl Default for CheckIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl CheckIndex {
    /// An empty index: it allows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::with_hash_mask(u64::MAX)
    }

    pub(super) fn with_hash_mask(hash_mask: u64) -> Self {
        Self {
            table: DashMap::with_hasher_and_shard_amount(HashedAlready, SHARDS),
            hasher: foldhash::quality::RandomState::default(),
            hash_mask,
            baseline: ArcSwap::default(),
            locked: ArcSwapOption::empty(),
            written: Mutex::default(),
        }
    }

    /// An empty index that keeps the count and the set digest of its entries.
    #[must_use]
    pub fn with_set_digest() -> Self {
        let index = Self::new();
        index.written().tally = Some(Tally::default());
        index
    }

    /// How many entries there are, and the sum of [`Change::digest`] over them; nothing if it was not made to keep it.
    #[must_use]
    pub fn count_and_digest(&self) -> (u64, SetDigest) {
        self.written().tally.as_ref().map(|tally| (tally.count, tally.digest)).unwrap_or_default()
    }

    /// Whoever has this identity, or this account id: the account must be there, active, and not locked.
    #[must_use]
    pub fn caller(&self, name: &str) -> Option<CheckCaller> {
        let block = self.find(name.as_bytes())?;
        let found = Block::read(&block)?;
        (found.is_active() && !found.is_locked()).then_some(CheckCaller { block })
    }

    /// The verdict at `now`. Allocates nothing.
    pub fn check(&self, caller: &CheckCaller, query: Query<'_>, now: Timestamp) -> Verdict {
        let hash = self.hash(query.subject.as_bytes());
        let Some(shard) = self.table.shards().get(self.table.determine_map(&hash)).map(|shard| shard.read()) else {
            return Verdict::Deny { because: Denied::NoGrant };
        };
        let found = shard.get(hash, |(key, _)| *key == hash);
        // The block is fetched while the resource and the caller's audience, which are near, are looked at.
        found.iter().for_each(|(_, block)| touch(block.get()));
        let exact = || shard.get(hash, |slot| is_slot(slot, hash, query.subject.as_bytes()));
        self.judge(caller, &query, found, exact, now)
    }

    /// Appends the verdict of each query, in their order: the same as [`CheckIndex::check`] of each, only sooner,
    /// because the blocks are fetched together. Allocates nothing if `verdicts` has room.
    pub fn check_batch(
        &self,
        caller: &CheckCaller,
        queries: &[Query<'_>],
        now: Timestamp,
        verdicts: &mut Vec<Verdict>,
    ) {
        verdicts.reserve(queries.len());
        for together in queries.chunks(LOOKED_UP_TOGETHER) {
            self.check_together(caller, together, now, verdicts);
        }
    }

    /// How large it is.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.written().statistics;
        for shard in self.table.shards() {
            // Every bucket takes a slot and a control byte, whether it is used or not.
            let slots = shard.read().buckets();
            let slot_bytes = mem::size_of::<Slot>().saturating_add(1);
            statistics.bytes = statistics.bytes.saturating_add(slots.saturating_mul(slot_bytes));
        }
        statistics
    }

    /// The look-up that a check begins with, through the map's ordinary interface, and one word of what it finds: what
    /// the bench compares a check with.
    #[doc(hidden)]
    #[must_use]
    pub fn look_up(&self, name: &str) -> Option<u8> {
        self.table.view(&self.hash(name.as_bytes()), |_, block| black_box(block.first().copied())).flatten()
    }

    fn check_together(&self, caller: &CheckCaller, queries: &[Query<'_>], now: Timestamp, verdicts: &mut Vec<Verdict>) {
        let mut places = [(0, 0); LOOKED_UP_TOGETHER];
        let mut needed = 0_u64;
        for ((hash, shard), query) in places.iter_mut().zip(queries) {
            *hash = self.hash(query.subject.as_bytes());
            *shard = 1_u64.unbounded_shl(u32::try_from(self.table.determine_map(hash)).unwrap_or(u32::MAX));
            needed |= *shard;
        }
        let mut shards = ascending(needed);
        let guards: [_; LOOKED_UP_TOGETHER] =
            array::from_fn(|_| self.table.shards().get(shards.next()?).map(|shard| shard.read()));
        let guard = |shard: u64| {
            let before = needed & shard.wrapping_sub(1);
            guards.get(usize::try_from(before.count_ones()).ok()?)?.as_ref()
        };
        let mut found: [Option<&Slot>; LOOKED_UP_TOGETHER] = [None; LOOKED_UP_TOGETHER];
        for (found, (hash, shard)) in found.iter_mut().zip(&places).take(queries.len()) {
            *found = guard(*shard).and_then(|guard| guard.get(*hash, |(key, _)| key == hash));
        }
        found.iter().flatten().for_each(|(_, block)| touch(block.get()));
        for ((query, found), (hash, shard)) in queries.iter().zip(&found).zip(&places) {
            let exact = || guard(*shard)?.get(*hash, |slot| is_slot(slot, *hash, query.subject.as_bytes()));
            verdicts.push(self.judge(caller, query, *found, exact, now));
        }
    }

    /// The verdict by the slot that was found under the subject's hash, or by `exact` if that slot is another holder's.
    #[inline]
    fn judge<'a>(
        &self,
        caller: &CheckCaller,
        query: &Query<'_>,
        found: Option<&'a Slot>,
        exact: impl FnOnce() -> Option<&'a Slot>,
        now: Timestamp,
    ) -> Verdict {
        let (subject, action) = (query.subject.as_bytes(), query.action.as_bytes());
        let resource = Asked::read(query.resource.as_bytes());
        if !caller.may_ask(subject, resource, now) {
            return Verdict::Deny { because: Denied::OutOfAudience };
        }
        let Some(resource) = resource else { return Verdict::Deny { because: Denied::NoGrant } };
        if self.is_locked(resource) {
            return Verdict::Deny { because: Denied::Locked };
        }
        let read = |(_, block): &'a Slot| Block::read(block.get());
        let block =
            found.and_then(read).and_then(|block| if block.is_named(subject) { Some(block) } else { read(exact()?) });
        if block.is_some_and(|block| block.is_locked()) {
            return Verdict::Deny { because: Denied::Locked };
        }
        let (because, baseline_until) = match block.map(|block| block.answer(action, resource, now)) {
            Some(Answer::Granted { grant, end }) => {
                return Verdict::Allow { because: Allowed::Granted { grant }, valid_until: end };
            }
            Some(Answer::Locked { baseline_until }) => (Denied::Locked, baseline_until),
            Some(Answer::NotStarted { baseline_until }) => (Denied::NotStarted, baseline_until),
            Some(Answer::Nothing { baseline_until }) => (Denied::NoGrant, baseline_until),
            None => (Denied::NoGrant, None),
        };
        match baseline_until {
            Some(valid_until) if self.baseline_covers(action, resource) => {
                Verdict::Allow { because: Allowed::Baseline, valid_until }
            }
            _ => Verdict::Deny { because },
        }
    }

    #[inline]
    fn is_locked(&self, resource: Asked<'_>) -> bool {
        self.locked.load().as_ref().is_some_and(|locked| locked.covers(resource))
    }

    fn baseline_covers(&self, action: &[u8], resource: Asked<'_>) -> bool {
        let baseline = self.baseline.load();
        baseline.iter().any(|(actions, patterns)| has_action(actions, action) && patterns_cover(patterns, resource))
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, name: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name);
        hasher.finish() & self.hash_mask
    }

    fn find(&self, name: &[u8]) -> Option<Arc<[u8]>> {
        let hash = self.hash(name);
        let shard = self.table.shards().get(self.table.determine_map(&hash))?.read();
        shard.get(hash, |slot| is_slot(slot, hash, name)).map(|(_, block)| Arc::clone(block.get()))
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
