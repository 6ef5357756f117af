//! The organisation: the policy in force, the records of tenants, people and accounts, and what is looked up by them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::formerly::Formerly;
use super::granted::Granted;
use crate::domain::directory::{Account, Employment, Person, Tenant};
use crate::domain::policy::{Policy, parse_policy};
use crate::domain::record::lock::Locks;
use crate::domain::record::proposal::ProposedFile;
use crate::domain::value::ids::{
    AccountId, Digest, EntitlementName, Identity, PersonId, Principal, RoleName, TenantName,
};
use crate::domain::value::index::{Index, Map};
use crate::domain::value::time::{Span, Timestamp};

/// What eligibility is decided from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Organisation {
    pub(in crate::domain) policy: Arc<Policy>,
    pub(in crate::domain) policy_text: Arc<str>,
    pub(in crate::domain) directory_digest: Option<Digest>,
    pub(in crate::domain) tenants: Map<TenantName, Tenant>,
    pub(in crate::domain) people: Map<PersonId, Person>,
    /// How many of them are on record as working here, in the own organisation.
    pub(in crate::domain) employed: usize,
    /// How many people and accounts each tenant has on record. Nobody is taken off it.
    pub(in crate::domain) of_tenants: Map<TenantName, OfTenant>,
    pub(in crate::domain) accounts: Map<AccountId, Account>,
    pub(in crate::domain) principals: Map<Identity, Principal>,
    /// Who had an identity before.
    pub(in crate::domain) formerly: Formerly,
    pub(in crate::domain) members: Index<RoleName, AccountId>,
    /// Accounts of a person, and machines that the person owns.
    pub(in crate::domain) accounts_of: Index<PersonId, AccountId>,
    pub(in crate::domain) reports_of: Index<PersonId, PersonId>,
    /// By the manager whom an announced transfer names.
    pub(in crate::domain) moves_to: Index<PersonId, PersonId>,
    pub(in crate::domain) locks: Locks,
    /// What live grants give over the broker itself.
    pub(in crate::domain) granted: Granted,
    /// Until when somebody behind a proposal uses nothing of an entitlement that it widened.
    pub(in crate::domain) waits: Map<(EntitlementName, PersonId), Timestamp>,
    /// How long they waited before a policy made that shorter, and until when they still do.
    pub(in crate::domain) waited_before: Option<(Span, Timestamp)>,
}

/// How much of a tenant is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfTenant {
    /// People, those who left among them.
    pub people: usize,
    /// Accounts, closed ones among them.
    pub accounts: usize,
}

impl Organisation {
    /// How much of a tenant is on record.
    #[must_use]
    pub fn of_tenant(&self, tenant: &TenantName) -> OfTenant {
        self.of_tenants.get(tenant).copied().unwrap_or_default()
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The text of the policy in force.
    #[must_use]
    pub fn policy_text(&self) -> &Arc<str> {
        &self.policy_text
    }

    /// The locks in force.
    #[must_use]
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    /// The digest of the directory file last loaded.
    #[must_use]
    pub fn directory_digest(&self) -> Option<Digest> {
        self.directory_digest
    }

    /// The digest of the file of this kind that was last put in force.
    #[must_use]
    pub fn digest_in_force(&self, file: ProposedFile) -> Option<Digest> {
        match file {
            ProposedFile::Policy => self.policy.digest,
            ProposedFile::Directory => self.directory_digest,
        }
    }

    /// All tenants.
    #[must_use]
    pub fn tenants(&self) -> &Map<TenantName, Tenant> {
        &self.tenants
    }

    /// All accounts.
    #[must_use]
    pub fn accounts(&self) -> &Map<AccountId, Account> {
        &self.accounts
    }

    /// All people.
    #[must_use]
    pub fn people(&self) -> &Map<PersonId, Person> {
        &self.people
    }

    /// How many people are on record as working here, in the own organisation.
    #[must_use]
    pub fn employed_count(&self) -> usize {
        self.employed
    }

    /// Whom an identity belongs to.
    #[must_use]
    pub fn principal(&self, identity: &Identity) -> Option<&Principal> {
        self.principals.get(identity)
    }

    /// The accounts of a person and the machines that the person owns.
    pub fn accounts_of(&self, person: &PersonId) -> impl Iterator<Item = (&AccountId, &Account)> {
        self.accounts_of.of(person).filter_map(|id| self.accounts.get_key_value(id))
    }

    /// The person, if they are on record and work here at an instant: in the own organisation, or at a tenant.
    #[must_use]
    pub fn employed(&self, id: &PersonId, at: Timestamp) -> Option<&Person> {
        self.people.get(id).filter(|person| person.is_employed(at))
    }

    /// Whether a person works here at an instant. Nobody who left decides, answers or stands for anything.
    #[must_use]
    pub fn works_here(&self, id: &PersonId, at: Timestamp) -> bool {
        self.employed(id, at).is_some()
    }

    /// The manager of record of a person at an instant, if that manager works here.
    #[must_use]
    pub fn manager_of(&self, person: &PersonId, at: Timestamp) -> Option<&PersonId> {
        let person = self.people.get(person)?;
        let manager = person.manager_at(at)?;
        self.employed(manager, at).filter(|it| it.tenant == person.tenant).map(|_| manager)
    }

    /// The tenant whose person this is; none: of the own organisation, or nobody.
    #[must_use]
    pub fn tenant_of(&self, person: &PersonId) -> Option<&TenantName> {
        self.people.get(person)?.tenant.as_ref()
    }

    /// The tenant whose account this is.
    #[must_use]
    pub fn tenant_of_account(&self, id: &AccountId) -> Option<&TenantName> {
        self.accounts.get(id)?.tenant()
    }

    /// The accounts that `@tenant` means for a tenant: its own, in a role that approves for its tenant.
    pub fn tenant_approvers<'a, 't>(&'a self, tenant: &'t str) -> impl Iterator<Item = &'a AccountId> + use<'a, 't> {
        let members = self.policy.tenant_approvers().flat_map(|role| self.members(role));
        members.filter(move |id| self.tenant_of_account(id).is_some_and(|own| own.as_str() == tenant))
    }

    /// The people whose manager of record this is.
    pub fn reports_of(&self, manager: &PersonId) -> impl Iterator<Item = &PersonId> {
        self.reports_of.of(manager)
    }

    /// The people whom an announced transfer brings to this manager.
    pub fn moves_to(&self, manager: &PersonId) -> impl Iterator<Item = &PersonId> {
        self.moves_to.of(manager)
    }

    /// The accounts that hold a role.
    pub fn members(&self, role: &RoleName) -> impl Iterator<Item = &AccountId> {
        self.members.of(role)
    }

    /// Puts a policy in force. The text was parsed before it was journaled; were it not to parse now, nothing is offered.
    pub(in crate::domain) fn put_policy(&mut self, text: &str) {
        self.policy = Arc::new(parse_policy(text).map(|parsed| parsed.policy).unwrap_or_default());
        self.policy_text = text.into();
    }

    /// Who had an identity before.
    #[must_use]
    pub fn formerly(&self) -> &Formerly {
        &self.formerly
    }

    /// Puts a person on record.
    pub(super) fn record_person(&mut self, id: PersonId, person: Person) {
        let counts = |it: &Person| it.employment == Employment::Employed && it.tenant.is_none();
        if counts(&person) {
            self.employed = self.employed.saturating_add(1);
        }
        if let Some(old) = self.people.get(&id) {
            if counts(old) {
                self.employed = self.employed.saturating_sub(1);
            }
            for identity in &old.login {
                if self.principals.get(identity) == Some(&Principal::Person(id.clone())) {
                    self.principals.remove(identity);
                }
            }
            if let Some(manager) = &old.manager {
                self.reports_of.remove(manager, &id);
            }
            for manager in old.moves.iter().filter_map(|moves| moves.manager.as_ref()) {
                self.moves_to.remove(manager, &id);
            }
        }
        if let Some(tenant) = person.tenant.as_ref().filter(|_| !self.people.contains_key(&id)) {
            let of_tenant = self.of_tenants.or_default(tenant.clone());
            of_tenant.people = of_tenant.people.saturating_add(1);
        }
        for identity in &person.login {
            // An account's identity is the account's; another person's login may have moved here.
            if !matches!(self.principals.get(identity), Some(Principal::Account(_))) {
                self.principals.insert(identity.clone(), Principal::Person(id.clone()));
            }
        }
        if let Some(manager) = &person.manager {
            self.reports_of.insert(manager.clone(), id.clone());
        }
        for manager in person.moves.iter().filter_map(|moves| moves.manager.as_ref()) {
            self.moves_to.insert(manager.clone(), id.clone());
        }
        self.people.insert(id, person);
    }

    /// Puts an account on record.
    pub(super) fn record_account(&mut self, id: AccountId, account: Account) {
        if let Some(old) = self.accounts.get(&id) {
            for identity in &old.identities {
                if self.principals.get(identity) == Some(&Principal::Account(id.clone())) {
                    self.principals.remove(identity);
                }
            }
            for role in old.roles.keys() {
                self.members.remove(role, &id);
            }
            self.accounts_of.remove(old.person(), &id);
        }
        if let Some(tenant) = account.tenant().filter(|_| !self.accounts.contains_key(&id)) {
            let of_tenant = self.of_tenants.or_default(tenant.clone());
            of_tenant.accounts = of_tenant.accounts.saturating_add(1);
        }
        for identity in &account.identities {
            self.principals.insert(identity.clone(), Principal::Account(id.clone()));
        }
        for role in account.roles.keys() {
            self.members.insert(role.clone(), id.clone());
        }
        self.accounts_of.insert(account.person().clone(), id.clone());
        self.accounts.insert(id, account);
    }

    /// Every person that stands behind what an account asks for: its person or owner, and the one it asks for.
    #[must_use]
    pub fn persons_behind(&self, account: &AccountId, on_behalf_of: Option<&PersonId>) -> BTreeSet<PersonId> {
        let person = self.accounts.get(account).map(Account::person);
        person.into_iter().chain(on_behalf_of).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_works_here_until_the_last_day_is_over_and_nobody_else_does() {
        let (ana, ben): (PersonId, PersonId) = ("ana".parse().unwrap(), "ben".parse().unwrap());
        let last = Timestamp::from_millis(1_000).unwrap();
        let mut organisation = Organisation::default();
        organisation.record_person(ana.clone(), Person { employed_until: Some(last), ..Person::default() });
        assert!(organisation.works_here(&ana, last.minus(Span::from_millis(1).unwrap())));
        assert!(!organisation.works_here(&ana, last));
        assert!(!organisation.works_here(&ben, Timestamp::MIN));
        // and who is on record as having left does not, whenever that was
        organisation.record_person(ana.clone(), Person { employment: Employment::Left, ..Person::default() });
        assert!(!organisation.works_here(&ana, Timestamp::MIN));
    }
}
