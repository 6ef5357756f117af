//! Who may use a capability now: by a role that carries it, or by a live grant of `countersign.<capability>` on
//! `countersign/broker`, where policy has put it behind an entitlement (design.md 7).

use std::collections::BTreeSet;

use crate::domain::policy::{Capability, CapabilityName};
use crate::domain::record::grant::Grant;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, RoleName};
use crate::domain::value::time::Timestamp;

impl Organisation {
    /// The capabilities of one name that the account may use now, one for each of its roles that carries it and is not
    /// locked, and for each live grant of it; and until when. Each is narrowed by itself alone.
    pub fn capabilities(
        &self,
        id: &AccountId,
        name: CapabilityName,
        at: Timestamp,
    ) -> impl Iterator<Item = (&Capability, Timestamp)> {
        let roles = self.accounts.get(id).into_iter().flat_map(|account| account.roles.keys());
        let roles = roles.filter(|role| self.lock_on_role(role).is_none());
        let held = roles.filter_map(|role| Some((role, self.eligible_in(id, role, at).ok()?.until)));
        let by_role = held.collect::<Vec<_>>().into_iter().flat_map(move |(role, until)| {
            let all = self.policy.roles.get(role).into_iter().flat_map(|role| &role.capabilities);
            all.map(move |capability| (capability, until))
        });
        by_role.chain(self.granted_to(id, at)).filter(move |(capability, _)| capability.name == name)
    }

    /// By comparison, as at every check: live, nothing locked, and the account still one that can be used.
    fn granted_to(&self, id: &AccountId, at: Timestamp) -> impl Iterator<Item = (&Capability, Timestamp)> {
        let usable = move |grant: &Grant| {
            grant.is_live(at)
                && self.lock_on_grant(grant).is_none()
                && self.locks.on_any_of(&grant.scope).is_none()
                && self.account_validity(&grant.holder, at).is_ok()
        };
        let grants = self.granted.to(id);
        let live = grants.filter(move |(grant, _)| usable(grant));
        live.flat_map(|(grant, given)| given.iter().map(|capability| (capability, grant.end)))
    }

    /// A capability that the account may use now, however narrowed.
    #[must_use]
    pub fn capability(&self, id: &AccountId, name: CapabilityName, at: Timestamp) -> Option<&Capability> {
        self.capabilities(id, name, at).next().map(|(capability, _)| capability)
    }

    /// The accounts that may use a capability by a role, now and until that changes.
    pub fn standing_holders(&self, name: CapabilityName, at: Timestamp) -> impl Iterator<Item = &AccountId> {
        let carries = move |role: &crate::domain::policy::Role| role.capabilities.iter().any(|it| it.name == name);
        let roles = self.policy.roles.iter().filter(move |(_, role)| carries(role)).map(|(name, _)| name);
        let members = roles.flat_map(|role| self.members(role).map(move |id| (id, role)));
        let usable = move |(id, role): &(&AccountId, &RoleName)| {
            self.lock_on_role(role).is_none() && self.eligible_in(id, role, at).is_ok()
        };
        members.filter(usable).map(|(id, _)| id)
    }

    /// The accounts that may use a capability now.
    pub fn holders(&self, name: CapabilityName, at: Timestamp) -> impl Iterator<Item = &AccountId> {
        let granted: BTreeSet<&AccountId> = self.granted.holders(name).collect();
        let granted = granted.into_iter().filter(move |id| self.granted_to(id, at).any(|(it, _)| it.name == name));
        let all: BTreeSet<&AccountId> = self.standing_holders(name, at).chain(granted).collect();
        all.into_iter()
    }
}
