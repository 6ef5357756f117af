//! What one enforcement point gets to know: of grants what overlaps its audience, of accounts what a check of others needs,
//! and of its own account everything, for an account may check itself.

use std::collections::BTreeSet;

use crate::check::{AccountEntry, Change, GrantEntry};
use crate::domain::value::ids::AccountId;
use crate::domain::value::scope::{Pattern, Scope};
use crate::domain::value::time::Timestamp;

/// Whose, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Audience {
    pub(super) account: AccountId,
    patterns: BTreeSet<Pattern>,
}

impl Audience {
    pub(super) fn of(entry: &AccountEntry) -> Self {
        Self { account: entry.id.clone(), patterns: entry.audience.clone() }
    }

    /// The account as this audience sees it.
    pub(super) fn account(&self, entry: &AccountEntry) -> Change {
        if entry.id == self.account { Change::Account(entry.clone()) } else { as_others_see(entry) }
    }

    /// Whether this audience sees anything of such a grant.
    pub(super) fn concerns(&self, holder: &AccountId, scope: &Scope) -> bool {
        let overlaps = |ours: &Pattern| self.patterns.iter().any(|theirs| ours.overlaps(theirs));
        *holder == self.account || scope.resources().iter().any(overlaps)
    }

    /// The part of the grant that this audience sees, if any.
    pub(super) fn grant(&self, entry: &GrantEntry) -> Option<Change> {
        if entry.holder == self.account {
            return Some(Change::Grant(entry.clone()));
        }
        let scope = entry.scope.within(&self.patterns)?;
        Some(Change::Grant(GrantEntry { scope, ..entry.clone() }))
    }
}

/// An account as every other one sees it.
pub(super) fn as_others_see(entry: &AccountEntry) -> Change {
    Change::Account(AccountEntry {
        id: entry.id.clone(),
        identities: entry.identities.clone(),
        active: entry.active,
        locked: entry.locked,
        baseline_until: entry.baseline_until,
        audience: BTreeSet::new(),
        checks_until: Timestamp::MIN,
    })
}
