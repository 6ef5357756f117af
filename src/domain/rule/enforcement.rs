//! Enforcement points: which account may check what, and until when.

use std::collections::BTreeSet;

use crate::domain::directory::Account;
use crate::domain::policy::{Capability, CapabilityName};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, RoleName};
use crate::domain::value::scope::Pattern;
use crate::domain::value::time::Timestamp;

impl Organisation {
    /// What the account may check, and until when; never and nothing if it is no enforcement point. A narrowed
    /// capability narrows the audience; several add up, and when one of them ends the whole is worked out anew.
    #[must_use]
    pub fn may_check(&self, id: &AccountId, at: Timestamp) -> (Timestamp, BTreeSet<Pattern>) {
        let mut until = None;
        let mut audience = BTreeSet::new();
        let Some(account) = self.accounts().get(id) else { return (Timestamp::MIN, audience) };
        for (capability, ends_at) in self.capabilities(id, CapabilityName::AccessCheck, at) {
            until = Some(until.map_or(ends_at, |other: Timestamp| other.min(ends_at)));
            audience.extend(checked_by(account, capability));
        }
        (until.unwrap_or(Timestamp::MIN), audience)
    }

    /// What the account checks by a role once it is in that, eligible and free of locks.
    pub(in crate::domain) fn would_check(&self, account: &Account, role: &RoleName) -> BTreeSet<Pattern> {
        let carried = self.policy.roles.get(role).into_iter().flat_map(|role| &role.capabilities);
        let checks = carried.filter(|capability| capability.name == CapabilityName::AccessCheck);
        checks.flat_map(|capability| checked_by(account, capability)).collect()
    }
}

/// What is in an audience by a capability to check.
fn checked_by(account: &Account, capability: &Capability) -> BTreeSet<Pattern> {
    if capability.resources.is_empty() {
        // Not narrowed it reads nothing in tenants; a customer's own audience is its own tenant's.
        let own = |pattern: &&Pattern| account.tenant().is_some() || !pattern.reaches_tenants();
        return account.audience.iter().filter(own).cloned().collect();
    }
    let met = |ours: &Pattern| capability.resources.iter().filter_map(|to| ours.meet(to)).collect::<Vec<_>>();
    account.audience.iter().flat_map(met).collect()
}
