//! The difference that one batch makes to a feed: entries, and what they add to its count and digest.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::audience::{Audience, as_others_see};
use crate::check::{AccountEntry, Change, GrantEntry, SetDigest};
use crate::domain::value::ids::AccountId;
use crate::domain::value::scope::{Pattern, Scope};

/// How long a piece of entries is before the next one begins: well below what a message may be.
const PIECE_BYTES: usize = 48 * 1024;

/// One thing before and after a batch.
pub(super) enum Difference<'a> {
    Account { old: Option<Arc<AccountEntry>>, new: &'a AccountEntry },
    Baseline { old: Vec<Scope>, new: &'a Vec<Scope> },
    Locked { old: BTreeSet<Pattern>, new: &'a BTreeSet<Pattern> },
    Grant { old: Option<&'a GrantEntry>, new: Option<&'a GrantEntry> },
}

/// Entries in pieces, and by how much count and digest differ after them.
#[derive(Default)]
pub(super) struct Delta {
    pub(super) pieces: Vec<Bytes>,
    piece: Vec<u8>,
    pub(super) added: u64,
    pub(super) removed: u64,
    pub(super) sum: SetDigest,
}

impl Delta {
    /// The part that is the same for every audience whose own account it is not about, so that it is made once.
    pub(super) fn for_all(differences: &[Difference<'_>]) -> Self {
        let mut delta = Self::default();
        for difference in differences {
            match difference {
                Difference::Account { old, new } => {
                    delta.differ(old.as_deref().map(as_others_see).as_ref(), Some(&as_others_see(new)));
                }
                Difference::Baseline { old, new } => delta.baseline(old, new),
                Difference::Locked { old, new } => delta.locked(old, new),
                Difference::Grant { .. } => {}
            }
        }
        delta.finished()
    }

    /// The rest for one audience, or with `whole` everything.
    pub(super) fn for_audience(audience: &Audience, differences: &[Difference<'_>], whole: bool) -> Self {
        let mut delta = Self::default();
        for difference in differences {
            match difference {
                Difference::Account { old, new } if whole => {
                    let old = old.as_deref().map(|entry| audience.account(entry));
                    delta.differ(old.as_ref(), Some(&audience.account(new)));
                }
                Difference::Baseline { old, new } if whole => delta.baseline(old, new),
                Difference::Locked { old, new } if whole => delta.locked(old, new),
                Difference::Account { .. } | Difference::Baseline { .. } | Difference::Locked { .. } => {}
                Difference::Grant { old, new } => {
                    let (old, new) =
                        (old.and_then(|entry| audience.grant(entry)), new.and_then(|entry| audience.grant(entry)));
                    delta.differ(old.as_ref(), new.as_ref());
                }
            }
        }
        delta.finished()
    }

    /// An entry of a snapshot.
    pub(super) fn add(&mut self, entry: &Change) {
        self.differ(None, Some(entry));
    }

    pub(super) fn finished(mut self) -> Self {
        self.cut();
        self
    }

    fn baseline(&mut self, old: &[Scope], new: &[Scope]) {
        self.differ(Some(&Change::Baseline(old.to_vec())), Some(&Change::Baseline(new.to_vec())));
    }

    fn locked(&mut self, old: &BTreeSet<Pattern>, new: &BTreeSet<Pattern>) {
        self.differ(Some(&Change::Locked(old.clone())), Some(&Change::Locked(new.clone())));
    }

    fn differ(&mut self, old: Option<&Change>, new: Option<&Change>) {
        if old == new {
            return;
        }
        if let Some(old) = old {
            self.removed = self.removed.saturating_add(1);
            self.sum = self.sum.without(&old.digest());
        }
        match (new, old) {
            (Some(new), _) => {
                self.added = self.added.saturating_add(1);
                self.sum = self.sum.with(&new.put_hashed(&mut self.piece));
            }
            (None, Some(Change::Grant(entry))) => {
                Change::GrantGone { holder: entry.holder.clone(), id: entry.id }.put(&mut self.piece);
            }
            (None, _) => {}
        }
        if self.piece.len() >= PIECE_BYTES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if !self.piece.is_empty() {
            self.pieces.push(std::mem::take(&mut self.piece).into());
        }
    }
}

/// Whether a batch is about the account itself.
pub(super) fn own<'a>(
    account: &AccountId,
    differences: &'a [Difference<'a>],
) -> Option<(Option<&'a AccountEntry>, &'a AccountEntry)> {
    differences.iter().find_map(|difference| {
        let Difference::Account { old, new } = difference else { return None };
        (new.id == *account).then_some((old.as_deref(), *new))
    })
}
