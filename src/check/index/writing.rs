//! The writer's half of the index: changes are brought together by holder, and each holder's block is made anew.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use dashmap::SharedValue;

use super::CheckIndex;
use super::slots::{Slot, is_of, is_slot};
use super::tally::{Statistics, Tally, Written};
use crate::check::block::Block;
use crate::check::block::draft::Draft;
use crate::check::change::{AccountEntry, Change, GrantEntry};
use crate::check::compiled::{compile_actions, compile_patterns};
use crate::check::entry_digest::{account_digest, grant_digest};
use crate::check::locked::Locked;
use crate::domain::value::ids::{Digest, GrantId};

/// The size of the reference counts that lie in front of a block.
const COUNTS_BYTES: usize = 16;

impl CheckIndex {
    /// Applies the changes. Those of one holder are seen together or not at all, those of several one after another; on
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

impl CheckIndex {
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
            // The slot of the account that had the name is taken over, unless another name of that account needs it:
            // then that account's own change, in the same batch, removes the name from its block.
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
