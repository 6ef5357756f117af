//! Which lock stops something. Locks are compared where something is asked for, approved, started or checked.

use crate::domain::directory::{Account, AccountKind};
use crate::domain::record::elevation::Elevation;
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::grant::Grant;
use crate::domain::record::lock::{Lock, Locked};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, EntitlementName, PersonId, RoleName};

impl Organisation {
    /// A lock on an account as such: on itself, its person or owner, or its tenant.
    #[must_use]
    pub fn lock_on_account(&self, id: &AccountId) -> Option<&Lock> {
        if self.locks.all().is_empty() {
            return None;
        }
        let on_account = self.locks.on(&Locked::Account(id.clone()));
        let account = self.accounts.get(id);
        on_account.or_else(|| self.lock_on_person(account.map(Account::person)?)).or_else(|| match &account?.kind {
            AccountKind::Customer { tenant, .. } => self.locks.on(&Locked::Tenant(tenant.clone())),
            AccountKind::ServiceTeam { .. } | AccountKind::Service { .. } => None,
        })
    }

    /// The lock on everything.
    #[must_use]
    pub fn lock_on_everything(&self) -> Option<&Lock> {
        self.locks.on(&Locked::Everything)
    }

    /// A lock on a person.
    #[must_use]
    pub fn lock_on_person(&self, id: &PersonId) -> Option<&Lock> {
        self.locks.on(&Locked::Person(id.clone()))
    }

    /// A lock on what is done in a role.
    #[must_use]
    pub fn lock_on_role(&self, role: &RoleName) -> Option<&Lock> {
        self.locks.on(&Locked::Role(role.clone()))
    }

    /// A lock on an entitlement.
    #[must_use]
    pub fn lock_on_entitlement(&self, name: &EntitlementName) -> Option<&Lock> {
        self.locks.on(&Locked::Entitlement(name.clone()))
    }

    /// A lock that stops what an elevation would lead to: on whoever is behind it, on its entitlement, on every role in
    /// which it could be asked for, or on some of its resources.
    #[must_use]
    pub fn lock_on_elevation(&self, elevation: &Elevation) -> Option<&Lock> {
        if self.locks.all().is_empty() {
            return None;
        }
        self.lock_on_holder(&elevation.requester, elevation.behind.iter().chain([&elevation.person]))
            .or_else(|| self.lock_on_entitlement(&elevation.entitlement))
            .or_else(|| self.lock_on_asking(&elevation.requester, &elevation.entitlement))
            .or_else(|| self.locks.on_any_of(&elevation.scope))
    }

    /// A lock that stops an account from asking for an entitlement, whatever the resources.
    #[must_use]
    pub fn lock_on_offer(&self, id: &AccountId, name: &EntitlementName) -> Option<&Lock> {
        self.lock_on_account(id)
            .or_else(|| self.lock_on_entitlement(name))
            .or_else(|| self.lock_on_asking(id, name))
            .or_else(|| self.locks.on(&Locked::Everything))
    }

    /// A lock that keeps an account from asking for an entitlement in any of its roles; none while one of them is not
    /// locked.
    #[must_use]
    pub fn lock_on_asking(&self, id: &AccountId, name: &EntitlementName) -> Option<&Lock> {
        if self.locks.all().is_empty() {
            return None;
        }
        let asking = &self.policy.entitlements.get(name)?.terms.requestable_by;
        let held = self.accounts.get(id)?.roles.keys().filter(|role| asking.contains(*role));
        let mut last = None;
        for role in held {
            last = Some(self.lock_on_role(role)?);
        }
        last
    }

    /// A lock that stops what an enrolment would give: on the account, on whoever is behind it, on a role of it.
    #[must_use]
    pub fn lock_on_enrolment(&self, enrolment: &Enrolment) -> Option<&Lock> {
        if self.locks.all().is_empty() {
            return None;
        }
        let mut roles = enrolment.ask.roles().into_iter();
        self.lock_on_holder(enrolment.ask.account(), enrolment.behind.iter().chain([&enrolment.person]))
            .or_else(|| roles.find_map(|role| self.lock_on_role(role)))
            .or_else(|| self.locks.on(&Locked::Everything))
    }

    /// A lock that stops a grant on all that it covers: on whoever is behind it, its entitlement, or the role that it was
    /// asked for in. Locks on resources are compared with the resource.
    #[must_use]
    pub fn lock_on_grant(&self, grant: &Grant) -> Option<&Lock> {
        if self.locks.all().is_empty() {
            return None;
        }
        self.lock_on_holder(&grant.holder, grant.behind.iter().chain([&grant.person]))
            .or_else(|| self.lock_on_entitlement(&grant.entitlement))
            .or_else(|| self.lock_on_role(grant.through.as_ref()?))
    }

    fn lock_on_holder<'a>(
        &self,
        account: &AccountId,
        mut persons: impl Iterator<Item = &'a PersonId>,
    ) -> Option<&Lock> {
        self.lock_on_account(account).or_else(|| persons.find_map(|person| self.lock_on_person(person)))
    }
}
