//! What a proposed file gives and takes: who may ask, approve, check or use what, before and after (design.md 7).
//! Memberships count whether their holders are eligible now or not, because whoever lacks an attestation today may have
//! it tomorrow. The requirements of each role that gives a right count too, so that a right which comes with fewer
//! requirements shows.

use std::collections::{BTreeMap, BTreeSet};

pub use super::right::Right;
use crate::domain::directory::{Account, AccountKind, ActsFor};
use crate::domain::policy::{Approver, Capability, Policy, Terms};
use crate::domain::rule::proposal::records::more_in_account;
use crate::domain::rule::reviewers::is_peer;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, EntitlementName, PersonId, RequirementName, RoleName};
use crate::domain::value::time::{Span, Timestamp};

/// What one account, or with none everybody of the own organisation, gains and loses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightsChange {
    /// Whose; none: everybody's.
    pub account: Option<AccountId>,
    /// What they gain.
    pub gains: BTreeSet<Right>,
    /// What they lose.
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
        let (had, has) = (old.of_account(id), new.of_account(id));
        let rights = |ways: &Ways<'_>| ways.keys().cloned().collect();
        let mut changed = change(Some(id), &rights(&had), &rights(&has));
        let (was, is) = (before.accounts().get(id), after.accounts().get(id));
        changed.gains.extend(more_in_record(was, is, &changed.gains));
        changed.loses.extend(more_in_record(is, was, &changed.loses));
        changed.gains.extend(with_less(&had, &has, new.of_everybody_asked(id)));
        changed.loses.extend(with_less(&has, &had, old.of_everybody_asked(id)));
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
    let says_more = |it: &RightsChange| !it.gains.is_empty() || !it.loses.is_empty();
    Some(everybody).filter(says_more).into_iter().chain(changes).collect()
}

/// What a person gains as the manager of record of others and as the owner of roles, by whatever account.
#[must_use]
pub fn gains_of_person(before: &Organisation, after: &Organisation, id: &PersonId, at: Timestamp) -> BTreeSet<Right> {
    let (old, new) = (Rights::of(before, after, at), Rights::of(after, before, at));
    new.of_person(id).difference(&old.of_person(id)).cloned().collect()
}

fn change(account: Option<&AccountId>, old: &BTreeSet<Right>, new: &BTreeSet<Right>) -> RightsChange {
    // To check a part of what one checks already is nothing new.
    let is_part = |right: &Right, of: &BTreeSet<Right>| {
        let Right::Check(part) = right else { return false };
        of.iter().any(|known| matches!(known, Right::Check(known) if known.contains(part)))
    };
    let gains = new.difference(old).filter(|right| !is_part(right, old)).cloned().collect();
    let loses = old.difference(new).filter(|right| !is_part(right, new)).cloned().collect();
    RightsChange { account: account.cloned(), gains, loses }
}

/// What the record of an account gives beside what its roles do. What a role of its own gives is named by that; the record of
/// an account that was not there is compared with one that checks nothing.
fn more_in_record(was: Option<&Account>, is: Option<&Account>, named: &BTreeSet<Right>) -> BTreeSet<Right> {
    let Some(is) = is else { return BTreeSet::new() };
    let is_told = |right: &Right| {
        if let Right::Hold(role, _) = right {
            return was.is_none_or(|was| !was.roles.contains_key(role));
        }
        matches!(right, Right::Audience(pattern) if named.contains(&Right::Check(pattern.clone())))
    };
    let more = match was {
        Some(was) => more_in_account(was, is),
        None => more_in_account(&Account { audience: BTreeSet::new(), ..is.clone() }, is),
    };
    more.into_iter().filter(|right| !is_told(right)).collect()
}

/// The requirements that a right no longer takes, over the roles that give it; those in `anyway` are asked in any case.
fn with_less(was: &Ways<'_>, is: &Ways<'_>, anyway: &BTreeSet<RequirementName>) -> BTreeSet<Right> {
    let both = is.iter().filter_map(|(right, ways)| Some((was.get(right)?, ways)));
    let missing = both.flat_map(|(before, ways)| {
        ways.iter().filter_map(move |way| {
            let missing = |old: &&BTreeSet<RequirementName>| -> Vec<RequirementName> {
                let asked = |name: &&RequirementName| way.contains(*name) || anyway.contains(*name);
                old.iter().filter(|name| !asked(name)).cloned().collect()
            };
            before.iter().map(missing).min_by_key(Vec::len)
        })
    });
    missing.flatten().map(Right::Without).collect()
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
    let sooner = was.min_break.zip(is.min_break).is_some_and(|(was, is)| is < was);
    let further = is.start_within.unwrap_or(Span::ZERO) > was.start_within.unwrap_or(Span::ZERO);
    !was.scope.contains(&is.scope)
        || is.max_duration > was.max_duration
        || is.default_duration > was.default_duration
        || longer(was.max_continuous, is.max_continuous)
        || sooner
        || is.review_within > was.review_within
        || further
        || is.justification_min_length.unwrap_or(0) < was.justification_min_length.unwrap_or(0)
        || was.ticket.is_some() && is.ticket != was.ticket
        || is.approval != was.approval
        || is.emergency.is_some() && is.emergency != was.emergency
        || was.tenant_approval && !is.tenant_approval
}

/// The rights of an account, each with the requirements of every role that gives it; an empty set for a right that
/// comes from no role.
type Ways<'a> = BTreeMap<Right, Vec<&'a BTreeSet<RequirementName>>>;

/// No requirements.
static NOTHING: BTreeSet<RequirementName> = BTreeSet::new();

/// The rights in one organisation, as far as they can be compared with those in the other one.
struct Rights<'a> {
    organisation: &'a Organisation,
    at: Timestamp,
    of_roles: BTreeMap<&'a RoleName, BTreeSet<Right>>,
    owned: BTreeMap<&'a PersonId, Vec<&'a RoleName>>,
    /// Who has no manager, where policy names who then decides.
    without_manager: Vec<&'a PersonId>,
    /// What managers of record approve, and who asks for it.
    of_managers: Vec<(&'a EntitlementName, &'a BTreeSet<RoleName>)>,
    /// The requirements of both organisations: one that was removed shows as a requirement to do without.
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
        let of_managers = policy.entitlements.iter().map(|(name, it)| (name, &it.terms));
        let of_managers = of_managers.filter(|(_, terms)| terms.approvers().any(|it| *it == Approver::Manager));
        let of_managers = of_managers.map(|(name, terms)| (name, &terms.requestable_by)).collect();
        let known = policy.requirements.keys().chain(other.policy().requirements.keys()).cloned();
        let is_decided = !policy.baseline.manager_missing.is_empty();
        let without_manager = is_decided.then(|| without_manager(organisation, at)).into_iter().flatten().collect();
        Self { organisation, at, of_roles, owned, without_manager, of_managers, known: known.collect() }
    }

    fn in_use(&self, id: &AccountId) -> Option<&'a Account> {
        self.organisation.account_in_use(id, self.at).ok()
    }

    fn roles(&self, account: &'a Account) -> impl Iterator<Item = &'a RoleName> {
        let held = account.roles.iter().filter(move |(_, held)| !held.ends_at().is_over(self.at));
        held.map(|(role, _)| role)
    }

    fn of_account(&self, id: &AccountId) -> Ways<'a> {
        let Some(account) = self.in_use(id) else { return Ways::new() };
        let mut ways = Ways::new();
        for role in self.roles(account) {
            let requires = self.organisation.policy().roles.get(role).map_or(&NOTHING, |role| &role.requires);
            for right in self.of_roles.get(role).into_iter().flatten() {
                if self.can_be_asked(account, right) {
                    ways.entry(right.clone()).or_default().push(requires);
                }
                if *right == Right::StandIn {
                    let others = self.without_manager.iter().filter(|person| **person != account.person());
                    for person in others {
                        ways.entry(Right::StandInFor((*person).clone())).or_default().push(requires);
                    }
                }
            }
        }
        let (_, audience) = self.organisation.may_check(id, self.at);
        let mut rights: BTreeSet<Right> = audience.into_iter().map(Right::Check).collect();
        rights.extend(account.identities.iter().map(|identity| Right::Identity(identity.to_string())));
        if !account.is_machine() {
            rights.extend(self.of_person(account.person()));
        }
        rights.into_iter().for_each(|right| ways.entry(right).or_default().push(&NOTHING));
        ways
    }

    /// A machine that asks for people asks for nothing while nobody could be named.
    fn can_be_asked(&self, account: &Account, right: &Right) -> bool {
        let asks_for_people = matches!(account.kind, AccountKind::Service { acts_for: ActsFor::People, .. });
        let (true, Right::Ask(name)) = (asks_for_people, right) else { return true };
        let asking = terms(self.organisation.policy(), name).into_iter().flat_map(|terms| &terms.requestable_by);
        let mut members = asking.flat_map(|role| self.organisation.members(role).map(move |id| (role, id)));
        members.any(|(role, id)| {
            let person = self.in_use(id).filter(|account| !account.is_machine());
            person.is_some_and(|account| self.roles(account).any(|held| held == role))
        })
    }

    /// As the manager of record of others, and as the owner of roles.
    fn of_person(&self, id: &PersonId) -> BTreeSet<Right> {
        let reports = || self.organisation.reports_of(id);
        let owned = self.owned.get(id).into_iter().flatten().map(|role| Right::Answer((*role).clone()));
        let mut rights: BTreeSet<Right> = reports().cloned().map(Right::Manage).chain(owned).collect();
        let accounts = reports().flat_map(|report| self.organisation.accounts_of(report));
        let in_use = accounts.filter_map(|(id, _)| self.in_use(id));
        let asking: BTreeSet<&RoleName> = in_use.flat_map(|account| self.roles(account)).collect();
        for (name, requestable_by) in &self.of_managers {
            let is_asked_for = requestable_by.iter().any(|role| asking.contains(role));
            if is_asked_for && !is_peer(self.organisation, requestable_by, id) {
                rights.insert(Right::Approve((*name).clone()));
            }
        }
        rights
    }

    /// What is asked of whoever has such an account, in whatever role.
    fn of_everybody_asked(&self, id: &AccountId) -> &'a BTreeSet<RequirementName> {
        let own = self.in_use(id).filter(|account| account.tenant().is_none());
        own.map_or(&NOTHING, |_| &self.organisation.policy().baseline.requires)
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

/// The people of the own organisation for whom others decide in a manager's place.
fn without_manager(organisation: &Organisation, at: Timestamp) -> impl Iterator<Item = &PersonId> {
    let here = organisation.people().iter().filter(move |(_, it)| it.tenant.is_none() && it.is_employed(at));
    let alone = here.filter(|(_, person)| !person.awaits_manager);
    alone.filter(move |(id, _)| organisation.manager_of(id, at).is_none()).map(|(id, _)| id)
}

fn usable(capability: &Capability) -> Right {
    let narrowed = capability.requirements.iter().map(ToString::to_string);
    Right::Use(capability.name, narrowed.chain(capability.resources.iter().map(ToString::to_string)).collect())
}
