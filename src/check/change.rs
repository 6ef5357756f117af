//! What the index is made of, and how it changes: entries that are new, changed or gone.

use std::collections::BTreeSet;

use crate::domain::value::ids::{AccountId, GrantId, Identity};
use crate::domain::value::scope::{Pattern, Scope};
use crate::domain::value::time::Timestamp;

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
    /// All resources that locks are on. Nobody is allowed anything there.
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
    /// It is an enforcement point before this instant, which only another change moves; [`Timestamp::MIN`]: never.
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
    /// Its end: from this instant on it allows nothing.
    pub end: Timestamp,
    /// Whether its start is recorded. Until then it allows nothing, whatever the time.
    pub started: bool,
    /// Whether a lock stops it: on a person behind it, on its entitlement, on the role that it was asked for in.
    pub locked: bool,
}
