//! The entries that a replica holds, with their count and set digest.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check::{Change, CheckIndex, SetDigest};
use crate::domain::ids::{AccountId, Digest, GrantId};

/// An index and the sum of what is in it.
pub(super) struct Tallied {
    index: Arc<CheckIndex>,
    entries: BTreeMap<Key, Digest>,
    digest: SetDigest,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Account(AccountId),
    Grant(AccountId, GrantId),
    Baseline,
}

impl Tallied {
    pub(super) fn new() -> Self {
        Self { index: Arc::new(CheckIndex::new()), entries: BTreeMap::new(), digest: SetDigest::default() }
    }

    pub(super) fn index(&self) -> &Arc<CheckIndex> {
        &self.index
    }

    pub(super) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            let (key, entry) = match change {
                Change::Account(account) => (Key::Account(account.id.clone()), Some(change.digest())),
                Change::AccountGone(id) => (Key::Account(id.clone()), None),
                Change::Grant(grant) => (Key::Grant(grant.holder.clone(), grant.id), Some(change.digest())),
                Change::GrantGone { holder, id } => (Key::Grant(holder.clone(), *id), None),
                Change::Baseline(_) => (Key::Baseline, Some(change.digest())),
            };
            let before = match entry {
                Some(entry) => {
                    self.digest = self.digest.with(&entry);
                    self.entries.insert(key, entry)
                }
                None => self.entries.remove(&key),
            };
            if let Some(before) = before {
                self.digest = self.digest.without(&before);
            }
        }
        self.index.apply(changes);
    }

    pub(super) fn count_and_digest(&self) -> (u64, SetDigest) {
        (u64::try_from(self.entries.len()).unwrap_or(u64::MAX), self.digest)
    }
}
