//! Who is eligible for what, and until when: the account, its person, their requirements, and the role.

use crate::domain::directory::{Account, AccountKind, AccountState, ActsFor, HeldBy};
use crate::domain::policy::{MemberKind, Terms};
use crate::domain::record::grant::EndBecause;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, PersonId, RequirementName, RoleName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;

/// Until when something holds, and what ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// The first instant at which it no longer holds.
    pub until: Timestamp,
    /// What ends it then.
    pub because: EndBecause,
}

impl Validity {
    pub(super) fn sooner(self, other: Self) -> Self {
        if other.until < self.until { other } else { self }
    }
}

/// All that stands in the way; the caller gets the first in the catalogue's order.
pub type Obstacles = Vec<Refusal>;

/// What is told of a person none of whose accounts may ask, and of nobody.
pub(super) fn nobody_may_request(person: &PersonId) -> String {
    format!("`{person}` has no account that may request this")
}

impl Organisation {
    /// Until when a person is employed and has every one of these requirements.
    ///
    /// # Errors
    /// Each requirement that is missing or has lapsed.
    pub fn person_validity<'a>(
        &self,
        id: &PersonId,
        requires: impl IntoIterator<Item = &'a RequirementName>,
        at: Timestamp,
    ) -> Result<Option<Validity>, Obstacles> {
        let Some(person) = self.employed(id, at) else {
            return Err(vec![
                Refusal::new(Reason::NotEligible, format!("`{id}` is not employed here")).with("person", id),
            ]);
        };
        let mut obstacles = Vec::new();
        let mut validity = person
            .employed_until
            .map(|until| Validity { until, because: EndBecause::EmploymentEnds { person: id.clone() } });
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
            let this = Validity { until, because };
            validity = Some(match validity {
                Some(validity) => validity.sooner(this),
                None => this,
            });
        }
        if obstacles.is_empty() { Ok(validity) } else { Err(obstacles) }
    }

    /// An account that is in use: neither disabled nor closed, nor at its own end. What its person lacks is another question.
    ///
    /// # Errors
    /// `NO_ACCOUNT`; `ACCOUNT_DISABLED`, with why.
    pub fn account_in_use(&self, id: &AccountId, at: Timestamp) -> Result<&Account, Refusal> {
        let Some(account) = self.accounts.get(id) else {
            return Err(Refusal::new(Reason::NoAccount, format!("there is no account `{id}`")));
        };
        let why = match &account.state {
            _ if account.is_in_use(at) => return Ok(account),
            AccountState::Active => format!("`{id}` ended at {}", account.ends_at()),
            AccountState::Disabled { reason, .. } => format!("`{id}` is disabled: {reason}"),
            AccountState::Closed => format!("`{id}` is closed"),
        };
        Err(Refusal::new(Reason::AccountDisabled, why).with("account", id))
    }

    /// Until when an account can be used at all: active, its person (or owner) employed, the baseline met.
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn account_validity(&self, id: &AccountId, at: Timestamp) -> Result<Validity, Obstacles> {
        let account = self.account_in_use(id, at).map_err(|refusal| vec![refusal])?;
        let own = Validity { until: account.ends_at(), because: EndBecause::AccountEnds { account: id.clone() } };
        // A machine needs an eligible human owner (known failure B9); a customer's screening is the tenant's own affair.
        let requires = match &account.kind {
            AccountKind::ServiceTeam { .. } | AccountKind::Service { .. } => Some(&self.policy.baseline.requires),
            AccountKind::Customer { .. } => None,
        };
        let person = self.person_validity(account.person(), requires.into_iter().flatten(), at)?;
        Ok(person.map_or_else(|| own.clone(), |person| own.clone().sooner(person)))
    }

    /// Until when an account is eligible in a role: as an account, as a member, and in the role's own requirements.
    ///
    /// # Errors
    /// All that stands in the way; `NOT_IN_ROLE` if it is no member.
    pub fn eligible_in(&self, id: &AccountId, role_name: &RoleName, at: Timestamp) -> Result<Validity, Obstacles> {
        let validity = self.account_validity(id, at)?;
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
        let member = Validity {
            until: membership.ends_at(),
            because: EndBecause::MembershipEnds { account: id.clone(), role: role_name.clone() },
        };
        let own = self.person_validity(account.person(), &role.requires, at)?;
        let validity = validity.sooner(member);
        Ok(own.map_or_else(|| validity.clone(), |own| validity.clone().sooner(own)))
    }

    /// Until when an account may ask for an entitlement: in whichever of its requesting roles that lasts longest.
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn may_request(&self, id: &AccountId, terms: &Terms, at: Timestamp) -> Result<Validity, Obstacles> {
        // Locks change no validity: what they stop goes on when they are lifted, with its old end.
        self.longest_role(id, terms, at, |_| true).map(|(validity, _)| validity)
    }

    /// The role in which an account asks for an entitlement, and until when it may in that one: of the roles that no lock is
    /// on the one that lasts longest. One with a lock on it only where all have one.
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn best_role<'a>(
        &self,
        id: &AccountId,
        terms: &'a Terms,
        at: Timestamp,
    ) -> Result<(Validity, &'a RoleName), Obstacles> {
        self.longest_role(id, terms, at, |role| self.lock_on_role(role).is_none())
    }

    /// Of the requesting roles of an account that are preferred, or else of all, the one that lasts longest.
    fn longest_role<'a>(
        &self,
        id: &AccountId,
        terms: &'a Terms,
        at: Timestamp,
        preferred: impl Fn(&RoleName) -> bool,
    ) -> Result<(Validity, &'a RoleName), Obstacles> {
        self.account_validity(id, at)?;
        let mut best: Option<(bool, Validity, &RoleName)> = None;
        let mut obstacles = Vec::new();
        let held = self.accounts.get(id).map(|account| &account.roles);
        for role in terms.requestable_by.iter().filter(|role| held.is_some_and(|held| held.contains_key(*role))) {
            match self.eligible_in(id, role, at) {
                Ok(validity) => {
                    let preferred = preferred(role);
                    let is_better = |(other, best, _): &(bool, Validity, &RoleName)| {
                        (*other, best.until) < (preferred, validity.until)
                    };
                    if best.as_ref().is_none_or(is_better) {
                        best = Some((preferred, validity, role));
                    }
                }
                Err(found) => obstacles.extend(found),
            }
        }
        match best {
            Some((_, validity, role)) => Ok((validity, role)),
            None if obstacles.is_empty() => {
                // A customer is not told the names of roles that others have.
                let told = terms.requestable_by.iter().filter(|_| self.tenant_of_account(id).is_none());
                let roles: Vec<&str> = told.map(RoleName::as_str).collect();
                let detail = format!("`{id}` is in none of: {}", roles.join(", "));
                Err(vec![Refusal::new(Reason::NotInRole, detail).with("account", id).with("roles", roles.join(","))])
            }
            None => Err(obstacles),
        }
    }

    /// Until when a request may be made, and its grant be held, by the account and the person on whose behalf it asks.
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn requester_validity(
        &self,
        id: &AccountId,
        on_behalf_of: Option<&PersonId>,
        terms: &Terms,
        at: Timestamp,
    ) -> Result<Validity, Obstacles> {
        let validity = self.may_request(id, terms, at)?;
        let Some(person) = on_behalf_of else { return Ok(validity) };
        Ok(validity.sooner(self.person_may_request(person, terms, at)?))
    }

    /// Until when a person may ask for an entitlement, from whichever of their accounts that lasts longest.
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn person_may_request(&self, person: &PersonId, terms: &Terms, at: Timestamp) -> Result<Validity, Obstacles> {
        // One eligible account of that person, in a requesting role, is enough: the one that lasts longest.
        let mut best: Option<Validity> = None;
        let mut obstacles = Vec::new();
        for (account_id, account) in self.accounts_of(person).filter(|(_, account)| !account.is_machine()) {
            debug_assert_eq!(account.person(), person);
            match self.may_request(account_id, terms, at) {
                Ok(validity) if best.as_ref().is_none_or(|best| best.until < validity.until) => best = Some(validity),
                Ok(_) => {}
                Err(found) => obstacles.extend(found),
            }
        }
        match best {
            Some(best) => Ok(best),
            None if obstacles.is_empty() => {
                Err(vec![Refusal::new(Reason::NotEligible, nobody_may_request(person)).with("person", person)])
            }
            None => Err(obstacles),
        }
    }

    /// Until when what was asked for may be held: all that a request needs, everybody behind it still working here, and the
    /// account still whose it was. An account's id may be given to another person, and a machine to another purpose: the
    /// grant does not follow (known failure B5).
    ///
    /// # Errors
    /// All that stands in the way.
    pub fn holder_validity(&self, held_by: HeldBy<'_>, terms: &Terms, at: Timestamp) -> Result<Validity, Obstacles> {
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
                let validity = self.requester_validity(id, on_behalf_of, terms, at)?;
                // A former owner of a machine counts too: when they leave, what it asked for under them ends (design.md
                // 4).
                behind.iter().try_fold(validity, |validity, person| {
                    Ok(self.person_validity(person, [], at)?.map_or(validity.clone(), |theirs| validity.sooner(theirs)))
                })
            }
        }
    }

    /// Whether an account may approve for a tenant now.
    #[must_use]
    pub fn approves_for_tenant(&self, id: &AccountId, tenant: &str, at: Timestamp) -> bool {
        self.tenant_of_account(id).is_some_and(|own| own.as_str() == tenant)
            && self.policy.tenant_approvers().any(|role| self.eligible_in(id, role, at).is_ok())
    }
}
