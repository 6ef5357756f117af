//! What a load gives and takes: who may ask, approve, check or use what, before and after (DESIGN 7). Memberships count, and
//! not whether their holders are eligible at the moment: who lacks an attestation today has it tomorrow.

use std::collections::{BTreeMap, BTreeSet};

use super::directory::{Account, AccountState};
use super::ids::{AccountId, EntitlementName, PersonId, RequirementName, RoleName};
use super::load::LoadedFile;
use super::organisation::Organisation;
use super::policy::{Approver, Capability, CapabilityName, Policy, Terms};
use super::scope::Pattern;
use super::time::{Span, Timestamp};

/// Something that somebody may.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Ask for an entitlement.
    Ask(EntitlementName),
    /// Ask for more of it, for longer, or past fewer hurdles; taken away: less.
    Terms(EntitlementName),
    /// Approve it, in a role.
    Approve(EntitlementName),
    /// Use a capability, narrowed to these.
    Use(CapabilityName, BTreeSet<String>),
    /// Check what lies here.
    Check(Pattern),
    /// Answer for somebody, as the manager of record.
    Manage(PersonId),
    /// Do so without a requirement.
    Without(RequirementName),
    /// Be known by another certificate.
    Identity(String),
    /// What the baseline allows to everybody.
    Baseline(String),
    /// Have an attestation hold for longer.
    Valid(RequirementName),
    /// Answer for a role, as its owner.
    Answer(RoleName),
    /// Decide in the place of a manager who is missing.
    StandIn,
    /// Decide whether somebody gets an account.
    Admit,
}

/// What one account, or with none everybody of the own organisation, gains and loses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightsChange {
    /// Whose; none: everybody's.
    pub account: Option<AccountId>,
    /// What comes.
    pub gains: BTreeSet<Right>,
    /// What goes.
    pub loses: BTreeSet<Right>,
}

/// Who gains what and who loses what from one organisation to another, by accounts; what is everybody's comes first.
#[must_use]
pub fn difference(before: &Organisation, after: &Organisation, at: Timestamp) -> Vec<RightsChange> {
    let all = before.accounts().keys().chain(after.accounts().keys());
    difference_of(before, after, all, at)
}

/// The same of these accounts, and of everybody.
#[must_use]
pub fn difference_of<'a>(
    before: &Organisation,
    after: &Organisation,
    accounts: impl Iterator<Item = &'a AccountId>,
    at: Timestamp,
) -> Vec<RightsChange> {
    let (old, new) = (Rights::of(before, after, at), Rights::of(after, before, at));
    let everybody = change(None, &old.of_everybody(after), &new.of_everybody(before));
    let ids: BTreeSet<&AccountId> = accounts.collect();
    let changes = ids.into_iter().filter_map(|id| {
        let mut changed = change(Some(id), &old.of_account(id), &new.of_account(id))?;
        // What may be asked for both before and after may be offered on other terms.
        for name in old.asked_by(id).intersection(&new.asked_by(id)) {
            let (was, is) = (terms(before.policy(), name)?, terms(after.policy(), name)?);
            if widens(was, is) {
                changed.gains.insert(Right::Terms((*name).clone()));
            }
            if widens(is, was) {
                changed.loses.insert(Right::Terms((*name).clone()));
            }
        }
        (!changed.gains.is_empty() || !changed.loses.is_empty()).then_some(changed)
    });
    everybody.filter(|it| !it.gains.is_empty() || !it.loses.is_empty()).into_iter().chain(changes).collect()
}

fn change(account: Option<&AccountId>, old: &BTreeSet<Right>, new: &BTreeSet<Right>) -> Option<RightsChange> {
    let gains = new.difference(old).cloned().collect();
    let loses = old.difference(new).cloned().collect();
    Some(RightsChange { account: account.cloned(), gains, loses })
}

fn terms<'a>(policy: &'a Policy, name: &EntitlementName) -> Option<&'a Terms> {
    policy.entitlements.get(name).map(|entitlement| &entitlement.terms)
}

/// Whether terms let somebody do more than other terms did: whatever is not plainly as much or less counts as more.
#[must_use]
pub fn widens(was: &Terms, is: &Terms) -> bool {
    let longer = |was: Option<Span>, is: Option<Span>| match (was, is) {
        (Some(was), Some(is)) => is > was,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let further = is.start_within.unwrap_or(Span::ZERO) > was.start_within.unwrap_or(Span::ZERO);
    !was.scope.contains(&is.scope)
        || is.max_duration > was.max_duration
        || is.default_duration > was.default_duration
        || longer(was.max_continuous, is.max_continuous)
        || is.review_within > was.review_within
        || further
        || is.justification_min_length.unwrap_or(0) < was.justification_min_length.unwrap_or(0)
        || was.ticket.is_some() && is.ticket != was.ticket
        || is.approval != was.approval
        || is.emergency.is_some() && is.emergency != was.emergency
        || was.tenant_approval && !is.tenant_approval
}

/// What these persons, or machines of theirs, would be given by a load that they make or approve: the first of it. What
/// terms offer they wait for instead; what everybody is given counts where it makes a difference to them.
#[must_use]
pub fn given_to(
    persons: &BTreeSet<PersonId>,
    (before, after): (&Organisation, &Organisation),
    file: LoadedFile,
    at: Timestamp,
) -> Option<(PersonId, Right)> {
    let own = persons.iter().flat_map(|person| before.accounts_of(person).chain(after.accounts_of(person)));
    let own: BTreeMap<&AccountId, &PersonId> = own.map(|(id, account)| (id, account.person())).collect();
    let changes = difference_of(before, after, own.keys().copied(), at);
    let waited_for = |right: &Right| {
        file == LoadedFile::Policy && matches!(right, Right::Ask(_) | Right::Terms(_) | Right::Approve(_))
    };
    changes.into_iter().find_map(|change| match &change.account {
        Some(id) => {
            let right = change.gains.into_iter().find(|right| !waited_for(right))?;
            Some(((*own.get(id)?).clone(), right))
        }
        None => change.gains.into_iter().find_map(|right| {
            let (Right::Without(name) | Right::Valid(name)) = &right else { return None };
            let has =
                |organisation: &Organisation, person: &PersonId| organisation.person_rests(person, [name], at).is_ok();
            let asked = after.policy().baseline.requires.contains(name);
            let gains = |person: &&PersonId| !has(before, person) && (!asked || has(after, person));
            Some((persons.iter().find(gains)?.clone(), right))
        }),
    })
}

/// The rights in one organisation, as far as they can be compared with those in the other one.
struct Rights<'a> {
    organisation: &'a Organisation,
    at: Timestamp,
    of_roles: BTreeMap<&'a RoleName, BTreeSet<Right>>,
    owned: BTreeMap<&'a PersonId, Vec<&'a RoleName>>,
    /// Requirements that either has: to do without one that is no more is to do without it.
    known: BTreeSet<RequirementName>,
}

impl<'a> Rights<'a> {
    fn of(organisation: &'a Organisation, other: &Organisation, at: Timestamp) -> Self {
        let policy = organisation.policy();
        let mut of_roles: BTreeMap<&RoleName, BTreeSet<Right>> = BTreeMap::new();
        for (name, role) in &policy.roles {
            of_roles.entry(name).or_default().extend(role.capabilities.iter().map(usable));
        }
        for role in &policy.baseline.manager_missing {
            of_roles.entry(role).or_default().insert(Right::StandIn);
        }
        for approver in policy.baseline.approval.iter().flat_map(|stage| &stage.by) {
            if let Approver::Role(role) = approver {
                of_roles.entry(role).or_default().insert(Right::Admit);
            }
        }
        for (name, entitlement) in &policy.entitlements {
            for role in &entitlement.terms.requestable_by {
                of_roles.entry(role).or_default().insert(Right::Ask(name.clone()));
            }
            for role in policy.approving_roles(&entitlement.terms) {
                of_roles.entry(role).or_default().insert(Right::Approve(name.clone()));
            }
        }
        let mut owned: BTreeMap<&PersonId, Vec<&RoleName>> = BTreeMap::new();
        for (name, role) in &policy.roles {
            role.owner.iter().for_each(|owner| owned.entry(owner).or_default().push(name));
        }
        let known = policy.requirements.keys().chain(other.policy().requirements.keys()).cloned();
        Self { organisation, at, of_roles, owned, known: known.collect() }
    }

    fn in_use(&self, id: &AccountId) -> Option<&'a Account> {
        let account = self.organisation.accounts().get(id)?;
        (account.state == AccountState::Active && !account.ends_at().is_over(self.at)).then_some(account)
    }

    fn roles(&self, account: &'a Account) -> impl Iterator<Item = &'a RoleName> {
        let held = account.roles.iter().filter(move |(_, held)| !held.ends_at().is_over(self.at));
        held.map(|(role, _)| role)
    }

    fn of_account(&self, id: &AccountId) -> BTreeSet<Right> {
        let Some(account) = self.in_use(id) else { return BTreeSet::new() };
        let roles = || self.roles(account);
        let mut rights: BTreeSet<Right> =
            roles().filter_map(|role| self.of_roles.get(role)).flatten().cloned().collect();
        let (_, audience) = self.organisation.may_check(id, self.at);
        rights.extend(audience.into_iter().map(Right::Check));
        rights.extend(account.identities.iter().map(|identity| Right::Identity(identity.to_string())));
        if !account.is_machine() {
            rights.extend(self.organisation.reports_of(account.person()).cloned().map(Right::Manage));
            rights.extend(
                self.owned.get(account.person()).into_iter().flatten().map(|role| Right::Answer((*role).clone())),
            );
        }
        // Of what the roles themselves ask; whoever is in none has nothing to be without.
        let asked: BTreeSet<&RequirementName> = roles()
            .filter_map(|role| self.organisation.policy().roles.get(role))
            .flat_map(|role| &role.requires)
            .collect();
        if roles().next().is_some() {
            let without = self.known.iter().filter(|name| !asked.contains(name));
            rights.extend(without.cloned().map(Right::Without));
        }
        rights
    }

    fn asked_by(&self, id: &AccountId) -> BTreeSet<&EntitlementName> {
        let roles = self.in_use(id).into_iter().flat_map(|account| self.roles(account));
        let rights = roles.filter_map(|role| self.of_roles.get(role)).flatten();
        rights.filter_map(|right| if let Right::Ask(name) = right { Some(name) } else { None }).collect()
    }

    fn of_everybody(&self, other: &Organisation) -> BTreeSet<Right> {
        let policy = self.organisation.policy();
        let mut rights = BTreeSet::new();
        for scope in &policy.baseline.allows {
            let pairs = scope.actions().iter().flat_map(|action| {
                scope.resources().iter().map(move |resource| Right::Baseline(format!("{action} on {resource}")))
            });
            rights.extend(pairs);
        }
        for name in self.known.iter().filter(|name| !policy.baseline.requires.contains(*name)) {
            rights.insert(Right::Without(name.clone()));
        }
        for name in &self.known {
            let valid = |policy: &Policy| policy.requirements.get(name).map(|it| it.valid_for.unwrap_or(Span::MAX));
            if valid(policy).zip(valid(other.policy())).is_some_and(|(own, theirs)| own > theirs) {
                rights.insert(Right::Valid(name.clone()));
            }
        }
        rights
    }
}

fn usable(capability: &Capability) -> Right {
    let narrowed = capability.requirements.iter().map(ToString::to_string);
    Right::Use(capability.name, narrowed.chain(capability.resources.iter().map(ToString::to_string)).collect())
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ask(name) => write!(f, "ask for `{name}`"),
            Self::Terms(name) => write!(f, "wider terms of `{name}`"),
            Self::Approve(name) => write!(f, "approve `{name}`"),
            Self::Use(capability, narrowed) if narrowed.is_empty() => write!(f, "use `{}`", capability.as_str()),
            Self::Use(capability, narrowed) => {
                let narrowed: Vec<&str> = narrowed.iter().map(String::as_str).collect();
                write!(f, "use `{}` of {}", capability.as_str(), narrowed.join(" "))
            }
            Self::Check(pattern) => write!(f, "check `{pattern}`"),
            Self::Manage(person) => write!(f, "answer for `{person}`"),
            Self::Without(requirement) => write!(f, "do without `{requirement}`"),
            Self::Identity(identity) => write!(f, "be `{identity}`"),
            Self::Baseline(scope) => write!(f, "without a grant: {scope}"),
            Self::Valid(requirement) => write!(f, "a longer `{requirement}`"),
            Self::Answer(role) => write!(f, "answer for the role `{role}`"),
            Self::StandIn => f.write_str("decide where a manager is missing"),
            Self::Admit => f.write_str("decide who gets an account"),
        }
    }
}
