//! The check path: the index of live grants and the verdict, which the broker and its replicas share (design.md 9).
//!
//! A check is one look-up and a few comparisons: it allocates nothing, reads no clock and waits for no writer's work.
//! It compares ends with the `now` that it is given, so that no timer and no removal changes an answer (known failure C9,
//! invariant 1). Its result is a value, never a bool, and whatever is unknown, malformed or empty is no allow
//! (invariant 7). There is one path for all who ask (known failure F1), and a batch is that path repeated (known failure F10).
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::domain::value::ids::{AccountId, GrantId, Identity};
use crate::domain::value::scope::{Pattern, Scope};
use crate::domain::value::time::Timestamp;

mod block;
mod bytes;
mod compiled;
mod entry;
mod index;
mod locked;
mod patterns;
#[cfg(test)]
mod reference;
mod retold;
mod set_digest;

pub use entry::{Unreadable, read_changes};
pub use index::CheckIndex;
pub use patterns::Patterns;
pub use set_digest::SetDigest;

/// One thing that became different, in the order of the journal. Each names its subject whole: what it was before does
/// not matter, so the same change twice is the same as once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An account, new or changed. Its grants stay.
    Account(AccountEntry),
    /// An account that is no more. Its grants stay unusable until they are gone too, or it is back.
    AccountGone(AccountId),
    /// A grant, new or changed.
    Grant(GrantEntry),
    /// A grant that is no more.
    GrantGone {
        /// Whose it was.
        holder: AccountId,
        /// Which.
        id: GrantId,
    },
    /// What every account is allowed while its baseline holds.
    Baseline(Vec<Scope>),
    /// The resources that locks are on: all of them. Nothing is allowed there to anybody.
    Locked(BTreeSet<Pattern>),
}

/// What a check needs to know of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountEntry {
    /// Its id.
    pub id: AccountId,
    /// What else names it. No identity means two accounts (known failure D8); should one, the account applied last has it.
    pub identities: BTreeSet<Identity>,
    /// Whether it can be used. Nothing is allowed to one that cannot.
    pub active: bool,
    /// Whether a lock stops it: nothing is allowed to it, and it may ask nothing.
    pub locked: bool,
    /// The baseline holds for it before this instant; [`Timestamp::MIN`]: never.
    pub baseline_until: Timestamp,
    /// The resources that it may check, as an enforcement point.
    pub audience: BTreeSet<Pattern>,
    /// It is an enforcement point before this instant, which moves no other way than by a change; [`Timestamp::MIN`]: never.
    pub checks_until: Timestamp,
}

/// What a check needs to know of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantEntry {
    /// Its id.
    pub id: GrantId,
    /// The account that holds it.
    pub holder: AccountId,
    /// What it covers.
    pub scope: Scope,
    /// Its end: from this instant on it is as none.
    pub end: Timestamp,
    /// Whether its start is recorded. Until then it allows nothing, whatever the time.
    pub started: bool,
    /// Whether a lock stops it: on a person behind it, on its entitlement, on the role that it was asked for in.
    pub locked: bool,
}

/// One question. The texts are as they came: what is malformed is not covered by anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// An account's id or one of its identities, compared whole.
    pub subject: &'a str,
    /// What is about to be done.
    pub action: &'a str,
    /// To what.
    pub resource: &'a str,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a verdict that is not looked at protects nothing"]
pub enum Verdict {
    /// It may be done.
    Allow {
        /// By what right.
        because: Allowed,
        /// Before this instant alone: whoever goes on past it must ask again (known failure C12).
        valid_until: Timestamp,
    },
    /// It may not.
    Deny {
        /// The first reason that holds, in the order of [`Denied`].
        because: Denied,
    },
}

impl Verdict {
    /// Whether it may be done.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// Why, as the API calls it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Allow { because: Allowed::Granted { .. }, .. } => "GRANTED",
            Self::Allow { because: Allowed::Baseline, .. } => "BASELINE",
            Self::Deny { because: Denied::OutOfAudience } => "OUT_OF_AUDIENCE",
            Self::Deny { because: Denied::Locked } => "LOCKED",
            Self::Deny { because: Denied::NotStarted } => "NOT_STARTED",
            Self::Deny { because: Denied::NoGrant } => "NO_GRANT",
            Self::Deny { because: Denied::Stale } => "STALE",
        }
    }
}

/// By what right something is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Allowed {
    /// A live grant covers it: of several the one that ends last, then the lowest id.
    Granted {
        /// That grant.
        grant: GrantId,
    },
    /// No live grant covers it, but the baseline does.
    Baseline,
}

/// Why something is not allowed; the first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denied {
    /// The caller may not ask this: the resource is outside its audience, and the subject is not itself.
    OutOfAudience,
    /// A lock stops it: on the resource, on the subject, or on all the grants that would have allowed it.
    Locked,
    /// A grant covers it that has not started, and none that has.
    NotStarted,
    /// Everything else: an unknown subject, an account that cannot be used, a malformed text, a grant that is over.
    NoGrant,
    /// What a replica knows is too old, or cannot be trusted. The index itself never gives this.
    Stale,
}

/// Whoever asks, as the index knew it when [`CheckIndex::caller`] was called. Ask anew for each call: a caller that is
/// kept keeps the audience that it had.
#[derive(Clone)]
pub struct Caller {
    block: Arc<[u8]>,
}

impl Caller {
    /// Its account's id.
    #[must_use]
    pub fn account(&self) -> &str {
        let block = block::Block::read(&self.block);
        block.and_then(|block| std::str::from_utf8(block.holder()).ok()).unwrap_or_default()
    }

    /// Whether it may ask about others, within its audience: by comparison, whatever timers run (invariant 5).
    #[must_use]
    pub fn may_check(&self, now: Timestamp) -> bool {
        block::Block::read(&self.block).is_some_and(|block| block.may_check(now))
    }

    /// Whether it may ask this: about itself, by whatever name, or about what its audience covers (known failure D11).
    #[inline]
    fn may_ask(&self, subject: &[u8], resource: Option<compiled::Asked<'_>>, now: Timestamp) -> bool {
        let Some(block) = block::Block::read(&self.block) else { return false };
        let is_covered = |resource| compiled::patterns_cover(block.audience(), resource);
        (block.may_check(now) && resource.is_some_and(is_covered)) || block.is_named(subject)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("account", &self.account()).finish_non_exhaustive()
    }
}

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
