//! Who may use a capability now: by a role that carries it, or by a live grant of `countersign.<capability>` on
//! `countersign/broker`, where policy has put it behind an entitlement (DESIGN 7).

use std::collections::BTreeSet;

use super::grant::{Grant, GrantPhase};
use super::ids::{AccountId, GrantId, RoleName};
use super::index::{Index, Map};
use super::organisation::Organisation;
use super::policy::{Capability, CapabilityName};
use super::scope::{Action, Resource, Scope};
use super::time::Timestamp;

/// The resource that a capability is a right on.
pub const BROKER: &str = "countersign/broker";
/// What the action of a capability begins with.
pub const ACTION_PREFIX: &str = "countersign.";

/// The grants that give capabilities, while they are live or could be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Granted {
    grants: Map<GrantId, (Grant, Vec<Capability>)>,
    of: Index<AccountId, GrantId>,
}

/// The capabilities that a scope gives.
#[must_use]
pub fn given_by(scope: &Scope) -> Vec<CapabilityName> {
    let Ok(broker) = BROKER.parse::<Resource>() else { return Vec::new() };
    let covers = |name: &CapabilityName| {
        let action = format!("{ACTION_PREFIX}{}", name.as_str()).parse::<Action>();
        action.is_ok_and(|action| scope.covers(&action, &broker))
    };
    CapabilityName::ALL.into_iter().map(|(_, name)| name).filter(covers).collect()
}

impl Granted {
    /// Puts a grant on record; one that gives nothing over the broker, or is over, is not.
    pub(super) fn put(&mut self, grant: &Grant) {
        self.remove(grant.id, &grant.holder);
        if grant.phase != GrantPhase::Active {
            return;
        }
        let whole = |name| Capability { name, requirements: BTreeSet::new(), resources: BTreeSet::new() };
        let given: Vec<Capability> = given_by(&grant.scope).into_iter().map(whole).collect();
        if !given.is_empty() {
            self.of.insert(grant.holder.clone(), grant.id);
            self.grants.insert(grant.id, (grant.clone(), given));
        }
    }

    /// Takes a grant off the record.
    pub(super) fn remove(&mut self, id: GrantId, holder: &AccountId) {
        if self.grants.remove(&id).is_some() {
            self.of.remove(holder, &id);
        }
    }

    /// Every account that a grant gives a capability, live or not.
    pub(super) fn holders(&self, name: CapabilityName) -> impl Iterator<Item = &AccountId> {
        let gives = move |(_, given): &&(Grant, Vec<Capability>)| given.iter().any(|it| it.name == name);
        self.grants.values().filter(gives).map(|(grant, _)| &grant.holder)
    }
}

impl Organisation {
    /// The capabilities of one name that the account may use now, one for each of its roles that carries it and is not
    /// locked, and for each live grant of it; and until when. What one of them is narrowed to narrows no other.
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
                && self.account_rests(&grant.holder, at).is_ok()
        };
        let grants = self.granted.of.of(id).filter_map(|id| self.granted.grants.get(id));
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
        let carries = move |role: &super::policy::Role| role.capabilities.iter().any(|it| it.name == name);
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
