//! One table from each name of a holder to its block, and the verdict read out of it.
//!
//! The table is keyed by a keyed hash of the name; the name itself is in the block, and is compared whole there before
//! anything else is believed. The shards are reached by the map's raw interface, so that names whose hashes are equal
//! are told apart like any others, and so that a batch can hold each shard once (known failure G15: whoever holds several
//! took them in ascending order; the writer holds one at a time; nothing is called while one is held but comparisons).

use std::array;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use dashmap::{DashMap, SharedValue};

use super::block::{Answer, Block, Draft};
use super::compiled::{Asked, compile_actions, compile_patterns, has_action, patterns_cover};
use super::locked::Locked;
use super::retold::{account_digest, grant_digest};
use super::{AccountEntry, Allowed, Caller, Change, Denied, GrantEntry, Query, SetDigest, Statistics, Verdict};
use crate::domain::value::ids::{Digest, GrantId};
use crate::domain::value::time::Timestamp;

/// How many queries of a batch are looked up before the first is answered: enough for their cache misses to overlap.
const LOOKED_UP_TOGETHER: usize = 16;
/// So many that threads seldom meet at one, and as many as a word has bits: a batch marks there which it needs.
const SHARDS: usize = 64;
const CACHE_LINE_BYTES: usize = 64;
/// Of a block longer than this many lines, of a holder of many grants, the rest is fetched as it is read.
const TOUCHED_LINES: usize = 16;
/// Reference counts in front of a block.
const COUNTS_BYTES: usize = 16;

type Slot = (u64, SharedValue<Arc<[u8]>>);

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

/// What the writer keeps.
#[derive(Default)]
struct Written {
    statistics: Statistics,
    /// A replica's alone.
    tally: Option<Tally>,
}

/// All entries, summed.
#[derive(Default)]
struct Tally {
    count: u64,
    digest: SetDigest,
    baseline: Option<Digest>,
    locked: Option<Digest>,
}

impl Written {
    fn replace(&mut self, old: Option<Digest>, new: &Change) {
        if let Some(tally) = &mut self.tally {
            tally.replace(old, Some(new.digest()));
        }
    }
}

impl Tally {
    fn replace(&mut self, old: Option<Digest>, new: Option<Digest>) {
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

    /// Makes it so. The changes of one holder are seen together or not at all, those of several one after another; on
    /// return all of them are seen by every check that begins. Of one thing the last change counts; the order of
    /// changes to different things does not matter.
    pub fn apply(&self, changes: &[Change]) {
        let mut written = self.written();
        let mut holders: BTreeMap<&str, HolderChanges<'_>> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Account(account) => {
                    holders.entry(account.id.as_str()).or_default().account = Some(Some(account));
                }
                Change::AccountGone(id) => holders.entry(id.as_str()).or_default().account = Some(None),
                Change::Grant(grant) => {
                    holders.entry(grant.holder.as_str()).or_default().grants.insert(grant.id, Some(grant));
                }
                Change::GrantGone { holder, id } => {
                    holders.entry(holder.as_str()).or_default().grants.insert(*id, None);
                }
                Change::Baseline(scopes) => {
                    let compiled =
                        scopes.iter().map(|scope| (compile_actions(scope), compile_patterns(scope.resources())));
                    self.baseline.store(Arc::new(compiled.collect()));
                    if let Some(Tally { baseline, .. }) = &mut written.tally {
                        let old = baseline.replace(change.digest());
                        written.replace(old, change);
                    }
                }
                Change::Locked(patterns) => {
                    let locked = (!patterns.is_empty()).then(|| Arc::new(Locked::of(patterns)));
                    self.locked.store(locked);
                    if let Some(Tally { locked, .. }) = &mut written.tally {
                        let old = locked.replace(change.digest());
                        written.replace(old, change);
                    }
                }
            }
        }
        for (holder, changes) in &holders {
            self.write(holder.as_bytes(), changes, &mut written);
        }
    }

    /// Whoever has this identity, or this account id: the account must be there, active, and not locked.
    #[must_use]
    pub fn caller(&self, name: &str) -> Option<Caller> {
        let block = self.find(name.as_bytes())?;
        let found = Block::read(&block)?;
        (found.is_active() && !found.is_locked()).then_some(Caller { block })
    }

    /// The verdict at `now`. Allocates nothing.
    pub fn check(&self, caller: &Caller, query: Query<'_>, now: Timestamp) -> Verdict {
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
    pub fn check_batch(&self, caller: &Caller, queries: &[Query<'_>], now: Timestamp, verdicts: &mut Vec<Verdict>) {
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
            // A slot and its control byte, at the load that the table grows at.
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

    fn check_together(&self, caller: &Caller, queries: &[Query<'_>], now: Timestamp, verdicts: &mut Vec<Verdict>) {
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

    /// The verdict by what was found under the hash of the subject; by `exact` if that is another's.
    #[inline]
    fn judge<'a>(
        &self,
        caller: &Caller,
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

/// What one call of [`CheckIndex::apply`] changes of one holder.
#[derive(Default)]
struct HolderChanges<'a> {
    account: Option<Option<&'a AccountEntry>>,
    grants: BTreeMap<GrantId, Option<&'a GrantEntry>>,
}

impl HolderChanges<'_> {
    /// The digest of each entry that changes, in one order; none where there is no entry.
    fn digests(&self, draft: &Draft<'_>) -> Vec<Option<Digest>> {
        let account = self.account.is_some().then(|| account_digest(draft));
        let grants = self.grants.keys().map(|id| grant_digest(draft, id.uuid().as_bytes()));
        account.into_iter().chain(grants).collect()
    }
}

/// The writer's half.
impl CheckIndex {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, holder: &[u8], changes: &HolderChanges<'_>, Written { statistics: written, tally }: &mut Written) {
        let old = self.find(holder);
        let old_block = old.as_deref().and_then(Block::read);
        let mut draft = Draft::of(holder, old_block);
        let before = if tally.is_some() { changes.digests(&draft) } else { Vec::new() };
        match changes.account {
            Some(Some(account)) => draft.set_account(account),
            Some(None) => draft.clear_account(),
            None => {}
        }
        for (id, grant) in &changes.grants {
            match grant {
                Some(grant) => draft.set_grant(grant),
                None => draft.clear_grant(*id),
            }
        }
        if let Some(tally) = tally {
            let after = changes.digests(&draft);
            before.into_iter().zip(after).for_each(|(old, new)| tally.replace(old, new));
        }
        let new = draft.encode();
        if let Some(new) = &new {
            for name in draft.names() {
                // A name is taken over by its account's own change alone, so that of two accounts that claim one
                // identity the one applied last keeps it, whatever happens to the other's grants.
                self.put(name, holder, new, changes.account.is_some() || *name == holder, written);
            }
        }
        for name in old_block.iter().flat_map(Block::names) {
            let is_kept = |kept: &&[u8]| self.hash(kept) == self.hash(name);
            if new.is_none() || !draft.names().iter().any(is_kept) {
                self.take(name, holder, written);
            }
        }
        uncount(written, old_block);
        count(written, new.as_deref().and_then(Block::read));
    }

    /// One slot for each hash of a holder's names: two names of one hash share it, since the block has both.
    fn put(&self, name: &[u8], holder: &[u8], new: &Arc<[u8]>, claim: bool, written: &mut Statistics) {
        let hash = self.hash(name);
        let Some(shard) = self.table.shards().get(self.table.determine_map(&hash)) else { return };
        let mut slots = shard.write();
        let mut replaced = None;
        if let Some((_, block)) = slots.get_mut(hash, |slot| is_of(slot, hash, holder)) {
            replaced = Some(mem::replace(block.get_mut(), Arc::clone(new)));
        } else if claim {
            // The slot of the account that had the name goes over, unless another of its names needs it: then that
            // account's own change, in the same batch, takes this name out of it.
            let only_name = |slot: &Slot| is_slot(slot, hash, name) && self.names_of_hash(slot, hash) == 1;
            match slots.get_mut(hash, only_name) {
                Some((_, block)) => replaced = Some(mem::replace(block.get_mut(), Arc::clone(new))),
                None => {
                    slots.insert(hash, (hash, SharedValue::new(Arc::clone(new))), |(hash, _)| *hash);
                    written.names = written.names.saturating_add(1);
                }
            }
        }
        drop(slots);
        // Freed here, after the shard is released.
        drop(replaced);
    }

    fn take(&self, name: &[u8], holder: &[u8], written: &mut Statistics) {
        let hash = self.hash(name);
        let Some(shard) = self.table.shards().get(self.table.determine_map(&hash)) else { return };
        let removed = shard.write().remove_entry(hash, |slot| is_of(slot, hash, holder));
        if removed.is_some() {
            written.names = written.names.saturating_sub(1);
        }
    }

    fn names_of_hash(&self, (_, block): &Slot, hash: u64) -> usize {
        let block = Block::read(block.get());
        block.iter().flat_map(Block::names).filter(|name| self.hash(name) == hash).count()
    }
}

/// The places of the bits that are set, the lowest first.
fn ascending(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (bits != 0).then(|| bits.trailing_zeros())?;
        bits &= bits.wrapping_sub(1);
        usize::try_from(lowest).ok()
    })
}

/// Asks for each cache line of a block before the first is needed: the misses of a cold block then overlap, where
/// comparing from front to back would wait for them one by one.
#[inline]
fn touch(block: &[u8]) {
    let lines = block.chunks(CACHE_LINE_BYTES).take(TOUCHED_LINES);
    let last = block.last().copied().unwrap_or_default();
    black_box(lines.fold(last, |sum, line| sum ^ line.first().copied().unwrap_or_default()));
}

/// Whether it is this holder's.
fn is_of((key, block): &Slot, hash: u64, holder: &[u8]) -> bool {
    *key == hash && Block::read(block.get()).is_some_and(|block| block.holder() == holder)
}

/// Whether it answers to this name.
#[inline]
fn is_slot((key, block): &Slot, hash: u64, name: &[u8]) -> bool {
    *key == hash && Block::read(block.get()).is_some_and(|block| block.is_named(name))
}

fn uncount(written: &mut Statistics, old: Option<Block<'_>>) {
    let Some(old) = old else { return };
    written.holders = written.holders.saturating_sub(1);
    written.grants = written.grants.saturating_sub(old.grants());
    written.bytes = written.bytes.saturating_sub(old.length_bytes().saturating_add(COUNTS_BYTES));
}

fn count(written: &mut Statistics, new: Option<Block<'_>>) {
    let Some(new) = new else { return };
    written.holders = written.holders.saturating_add(1);
    written.grants = written.grants.saturating_add(new.grants());
    written.bytes = written.bytes.saturating_add(new.length_bytes().saturating_add(COUNTS_BYTES));
}

/// The key is a hash, so it is its own hash.
#[derive(Clone, Default)]
struct HashedAlready;

/// See [`HashedAlready`].
#[derive(Default)]
struct OwnHash(u64);

impl BuildHasher for HashedAlready {
    type Hasher = OwnHash;
    fn build_hasher(&self) -> OwnHash {
        OwnHash::default()
    }
}

impl Hasher for OwnHash {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
