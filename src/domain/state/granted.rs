//! What live grants give over the broker itself: capabilities that policy has put behind an entitlement.

use std::collections::BTreeSet;

use crate::domain::policy::{ACTION_PREFIX, BROKER, Capability, CapabilityName};
use crate::domain::record::grant::{Grant, GrantPhase};
use crate::domain::value::ids::{AccountId, GrantId};
use crate::domain::value::index::{Index, Map};
use crate::domain::value::scope::{Action, Resource, Scope};

/// The grants that give capabilities, while they are on record as active.
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
    /// Puts a grant on record, if it is active and gives a capability.
    pub(in crate::domain) fn put(&mut self, grant: &Grant) {
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
    pub(in crate::domain) fn remove(&mut self, id: GrantId, holder: &AccountId) {
        if self.grants.remove(&id).is_some() {
            self.of.remove(holder, &id);
        }
    }

    /// Every account that an active grant gives a capability, whether its end has come or not.
    pub(in crate::domain) fn holders(&self, name: CapabilityName) -> impl Iterator<Item = &AccountId> {
        let gives = move |(_, given): &&(Grant, Vec<Capability>)| given.iter().any(|it| it.name == name);
        self.grants.values().filter(gives).map(|(grant, _)| &grant.holder)
    }

    /// The active grants that give an account capabilities, whether their ends have come or not, and which ones.
    pub(in crate::domain) fn to(&self, id: &AccountId) -> impl Iterator<Item = &(Grant, Vec<Capability>)> {
        self.of.of(id).filter_map(|id| self.grants.get(id))
    }
}
