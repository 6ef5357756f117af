//! Enforcement points: which account may check what, and until when.

use std::collections::BTreeSet;

use crate::domain::policy::CapabilityName;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::AccountId;
use crate::domain::value::scope::Pattern;
use crate::domain::value::time::Timestamp;

impl Organisation {
    /// What the account may check, and until when; never and nothing if it is no enforcement point. A narrowed capability
    /// narrows the audience; several add up, and where one of them ends, all of it is worked out anew.
    #[must_use]
    pub fn may_check(&self, id: &AccountId, at: Timestamp) -> (Timestamp, BTreeSet<Pattern>) {
        let mut until = None;
        let mut audience = BTreeSet::new();
        let Some(account) = self.accounts().get(id) else { return (Timestamp::MIN, audience) };
        for (capability, ends_at) in self.capabilities(id, CapabilityName::AccessCheck, at) {
            until = Some(until.map_or(ends_at, |other: Timestamp| other.min(ends_at)));
            if capability.resources.is_empty() {
                // Not narrowed it reads nothing in tenants; a customer's own audience is its own tenant's.
                let own = |pattern: &&Pattern| account.tenant().is_some() || !pattern.reaches_tenants();
                audience.extend(account.audience.iter().filter(own).cloned());
            }
            for ours in &account.audience {
                audience.extend(capability.resources.iter().filter_map(|to| ours.meet(to)));
            }
        }
        (until.unwrap_or(Timestamp::MIN), audience)
    }
}
