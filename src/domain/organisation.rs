//! The organisation: policy, people and accounts in force, and who is eligible for what, until when.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::capability::Granted;
use super::directory::{Account, AccountKind, AccountState, ActsFor, Employment, HeldBy, Person, Tenant};
use super::grant::EndBecause;
use super::ids::{
    AccountId, Digest, EntitlementName, Identity, PersonId, Principal, RequirementName, RoleName, TenantName,
};
use super::index::{Index, Map};
use super::lock::Locks;
use super::policy::{MemberKind, Policy, Terms};
use super::refusal::{Reason, Refusal};
use super::time::{Span, Timestamp};

/// What eligibility is decided from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Organisation {
    pub(super) policy: Arc<Policy>,
    pub(super) policy_text: Arc<str>,
    pub(super) directory_digest: Option<Digest>,
    pub(super) tenants: Map<TenantName, Tenant>,
    pub(super) people: Map<PersonId, Person>,
    /// How many of them are on record as working here, in the own organisation.
    pub(super) employed: usize,
    pub(super) accounts: Map<AccountId, Account>,
    pub(super) principals: Map<Identity, Principal>,
    pub(super) members: Index<RoleName, AccountId>,
    /// Accounts of a person, and machines that the person owns.
    pub(super) accounts_of: Index<PersonId, AccountId>,
    pub(super) reports_of: Index<PersonId, PersonId>,
    /// By the manager whom an announced transfer names.
    pub(super) moves_to: Index<PersonId, PersonId>,
    pub(super) locks: Locks,
    /// What live grants give over the broker itself.
    pub(super) granted: Granted,
    /// Until when somebody behind a load uses nothing of an entitlement that it widened.
    pub(super) waits: Map<(EntitlementName, PersonId), Timestamp>,
    /// How long they waited before a policy made that shorter, and until when they still do.
    pub(super) waited_before: Option<(Span, Timestamp)>,
}

/// Until when something holds, and what ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// The first instant at which it no longer holds.
    pub until: Timestamp,
    /// What ends it then.
    pub because: EndBecause,
}

impl Rest {
    fn sooner(self, other: Self) -> Self {
        if other.until < self.until { other } else { self }
    }
}

/// All that stands in the way; the first in the catalogue's order is told.
pub type Obstacles = Vec<Refusal>;

impl Organisation {
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

    /// The digest of the directory file last loaded.
    #[must_use]
    pub fn directory_digest(&self) -> Option<Digest> {
        self.directory_digest
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

    /// How many people are on record as working here.
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

    /// The manager of record of a person at an instant, if that manager works here.
    #[must_use]
    pub fn manager_of(&self, person: &PersonId, at: Timestamp) -> Option<&PersonId> {
        let person = self.people.get(person)?;
        let manager = person.manager_at(at)?;
        let fits = |it: &&Person| it.is_employed(at) && it.tenant == person.tenant;
        self.people.get(manager).filter(fits).map(|_| manager)
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

    /// Whether an account may approve for a tenant now.
    #[must_use]
    pub fn approves_for_tenant(&self, id: &AccountId, tenant: &str, at: Timestamp) -> bool {
        self.tenant_of_account(id).is_some_and(|own| own.as_str() == tenant)
            && self.policy.tenant_approvers().any(|role| self.eligible_in(id, role, at).is_ok())
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

    /// Puts a person on record.
    pub(super) fn put_person(&mut self, id: PersonId, person: Person) {
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
            for manager in old.announced().filter_map(|moves| moves.manager.as_ref()) {
                self.moves_to.remove(manager, &id);
            }
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
        for manager in person.announced().filter_map(|moves| moves.manager.as_ref()) {
            self.moves_to.insert(manager.clone(), id.clone());
        }
        self.people.insert(id, person);
    }

    /// Puts an account on record.
    pub(super) fn put_account(&mut self, id: AccountId, account: Account) {
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

    /// Until when a person is employed and has every one of these requirements.
    ///
    /// # Errors
    /// Each requirement that is missing or has lapsed.
    pub fn person_rests<'a>(
        &self,
        id: &PersonId,
        requires: impl IntoIterator<Item = &'a RequirementName>,
        at: Timestamp,
    ) -> Result<Option<Rest>, Obstacles> {
        let Some(person) = self.people.get(id).filter(|person| person.is_employed(at)) else {
            return Err(vec![
                Refusal::new(Reason::NotEligible, format!("`{id}` is not employed here")).with("person", id),
            ]);
        };
        let mut obstacles = Vec::new();
        let mut rest = person
            .employed_until
            .map(|until| Rest { until, because: EndBecause::EmploymentEnds { person: id.clone() } });
        for name in requires {
            let attested = person.attestations.get(name).filter(|attested| **attested <= at);
            let Some((attested, requirement)) = attested.zip(self.policy.requirements.get(name)) else {
                let detail = format!("`{id}` has no attestation of `{name}`");
                obstacles.push(Refusal::new(Reason::NotEligible, detail).with("person", id).with("requirement", name));
                continue;
            };
            let until = requirement.lapses_at(*attested);
            if until.is_over(at) {
                let detail = format!("`{name}` of `{id}` lapsed at {until}");
                obstacles.push(
                    Refusal::new(Reason::RequirementLapsed, detail)
                        .with("person", id)
                        .with("requirement", name)
                        .with("lapsed", until),
                );
                continue;
            }
            let because = EndBecause::RequirementLapses { person: id.clone(), requirement: name.clone() };
            let this = Rest { until, because };
            rest = Some(match rest {
                Some(rest) => rest.sooner(this),
                None => this,
            });
        }
        if obstacles.is_empty() { Ok(rest) } else { Err(obstacles) }
    }

    /// Until when an account can be used at all: active, its person (or owner) employed, the baseline met.
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn account_rests(&self, id: &AccountId, at: Timestamp) -> Result<Rest, Obstacles> {
        let Some(account) = self.accounts.get(id) else {
            return Err(vec![Refusal::new(Reason::NoAccount, format!("there is no account `{id}`"))]);
        };
        let disabled = |why: String| Err(vec![Refusal::new(Reason::AccountDisabled, why).with("account", id)]);
        match &account.state {
            AccountState::Active if account.ends_at().is_over(at) => {
                return disabled(format!("`{id}` ended at {}", account.ends_at()));
            }
            AccountState::Active => {}
            AccountState::Disabled { reason, .. } => return disabled(format!("`{id}` is disabled: {reason}")),
            AccountState::Closed => return disabled(format!("`{id}` is closed")),
        }
        let own = Rest { until: account.ends_at(), because: EndBecause::AccountEnds { account: id.clone() } };
        // A machine needs an eligible human owner (THREATS B9); a customer's screening is the tenant's own affair.
        let requires = match &account.kind {
            AccountKind::ServiceTeam { .. } | AccountKind::Service { .. } => Some(&self.policy.baseline.requires),
            AccountKind::Customer { .. } => None,
        };
        let person = self.person_rests(account.person(), requires.into_iter().flatten(), at)?;
        Ok(person.map_or_else(|| own.clone(), |person| own.clone().sooner(person)))
    }

    /// Until when an account is eligible in a role: as an account, as a member, and in the role's own requirements.
    ///
    /// # Errors
    /// All that stands in the way; `NOT_IN_ROLE` if it is no member.
    pub fn eligible_in(&self, id: &AccountId, role_name: &RoleName, at: Timestamp) -> Result<Rest, Obstacles> {
        let rest = self.account_rests(id, at)?;
        let not_in_role =
            |why: String| vec![Refusal::new(Reason::NotInRole, why).with("account", id).with("role", role_name)];
        let Some((account, role)) = self.accounts.get(id).zip(self.policy.roles.get(role_name)) else {
            return Err(not_in_role(format!("there is no role `{role_name}`")));
        };
        let Some(membership) = account.roles.get(role_name) else {
            return Err(not_in_role(format!("`{id}` is not a member of `{role_name}`")));
        };
        let kind_fits = match &account.kind {
            AccountKind::ServiceTeam { .. } => role.member_kind == MemberKind::People,
            AccountKind::Service { .. } => role.member_kind == MemberKind::Machines,
            AccountKind::Customer { .. } => role.member_kind == MemberKind::Customers,
        };
        if !kind_fits {
            return Err(not_in_role(format!("`{role_name}` is not for an account of the kind of `{id}`")));
        }
        if membership.ends_at().is_over(at) {
            return Err(not_in_role(format!(
                "the membership of `{id}` in `{role_name}` ended at {}",
                membership.ends_at()
            )));
        }
        if let Some(since) = membership.suspended {
            let detail =
                format!("the membership of `{id}` in `{role_name}` is suspended since {since}: something lapsed");
            return Err(vec![Refusal::new(Reason::NotEligible, detail).with("account", id).with("role", role_name)]);
        }
        let member = Rest {
            until: membership.ends_at(),
            because: EndBecause::MembershipEnds { account: id.clone(), role: role_name.clone() },
        };
        let own = self.person_rests(account.person(), &role.requires, at)?;
        let rest = rest.sooner(member);
        Ok(own.map_or_else(|| rest.clone(), |own| rest.clone().sooner(own)))
    }

    /// Until when an account may ask for an entitlement: in whichever of its requesting roles that lasts longest.
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn may_request(&self, id: &AccountId, terms: &Terms, at: Timestamp) -> Result<Rest, Obstacles> {
        self.best_role(id, terms, at).map(|(rest, _)| rest)
    }

    /// The same, and the role.
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn best_role<'a>(
        &self,
        id: &AccountId,
        terms: &'a Terms,
        at: Timestamp,
    ) -> Result<(Rest, &'a RoleName), Obstacles> {
        self.account_rests(id, at)?;
        let mut best: Option<(Rest, &RoleName)> = None;
        let mut obstacles = Vec::new();
        let held = self.accounts.get(id).map(|account| &account.roles);
        for role in terms.requestable_by.iter().filter(|role| held.is_some_and(|held| held.contains_key(*role))) {
            match self.eligible_in(id, role, at) {
                Ok(rest) if best.as_ref().is_none_or(|(best, _)| best.until < rest.until) => best = Some((rest, role)),
                Ok(_) => {}
                Err(found) => obstacles.extend(found),
            }
        }
        match best {
            Some(best) => Ok(best),
            None if obstacles.is_empty() => {
                // Roles of others are nothing for a customer to know.
                let told = terms.requestable_by.iter().filter(|_| self.tenant_of_account(id).is_none());
                let roles: Vec<&str> = told.map(RoleName::as_str).collect();
                let detail = format!("`{id}` is in none of: {}", roles.join(", "));
                Err(vec![Refusal::new(Reason::NotInRole, detail).with("account", id).with("roles", roles.join(","))])
            }
            None => Err(obstacles),
        }
    }

    /// Until when a request may be made and what it leads to be held: over the account and everybody behind it.
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn requester_rests(
        &self,
        id: &AccountId,
        on_behalf_of: Option<&PersonId>,
        terms: &Terms,
        at: Timestamp,
    ) -> Result<Rest, Obstacles> {
        let rest = self.may_request(id, terms, at)?;
        let Some(person) = on_behalf_of else { return Ok(rest) };
        // One eligible account of that person, in a requesting role, is enough: the one that lasts longest.
        let mut best: Option<Rest> = None;
        let mut obstacles = Vec::new();
        for (account_id, account) in self.accounts_of(person).filter(|(_, account)| !account.is_machine()) {
            debug_assert_eq!(account.person(), person);
            match self.may_request(account_id, terms, at) {
                Ok(rest) if best.as_ref().is_none_or(|best| best.until < rest.until) => best = Some(rest),
                Ok(_) => {}
                Err(found) => obstacles.extend(found),
            }
        }
        match best {
            Some(best) => Ok(rest.sooner(best)),
            None if obstacles.is_empty() => {
                let detail = format!("`{person}` has no account that may request this");
                Err(vec![Refusal::new(Reason::NotEligible, detail).with("person", person)])
            }
            None => Err(obstacles),
        }
    }

    /// Until when what was asked for may be held: all that a request needs, everybody behind it still working here, and the
    /// account still whose it was. Ids of
    /// accounts are given to others, machines to other purposes; a grant does not go along (THREATS B5).
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn holder_rests(&self, held_by: HeldBy<'_>, terms: &Terms, at: Timestamp) -> Result<Rest, Obstacles> {
        let HeldBy { account: id, person, on_behalf_of, behind } = held_by;
        let moved = match (self.accounts.get(id).map(|account| &account.kind), on_behalf_of) {
            (Some(AccountKind::Service { acts_for: ActsFor::People, .. }), None) => Some(Reason::OnBehalfRequired),
            (Some(AccountKind::Service { acts_for: ActsFor::People, .. }), Some(_)) | (None, _) => None,
            (Some(_), Some(_)) => Some(Reason::OnBehalfForbidden),
            (Some(AccountKind::ServiceTeam { person: now } | AccountKind::Customer { person: now, .. }), None) => {
                (now != person).then_some(Reason::NotEligible)
            }
            (Some(AccountKind::Service { acts_for: ActsFor::Itself, .. }), None) => None,
        };
        match moved {
            Some(reason) => Err(vec![Refusal::new(reason, format!("`{id}` is no longer what it was at the request"))]),
            None => {
                let rest = self.requester_rests(id, on_behalf_of, terms, at)?;
                // Who owned a machine when it asked need not own it now, and takes along what it asked for (DESIGN 4).
                behind.iter().try_fold(rest, |rest, person| {
                    Ok(self.person_rests(person, [], at)?.map_or(rest.clone(), |theirs| rest.sooner(theirs)))
                })
            }
        }
    }
}
