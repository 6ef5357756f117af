//! Who may review what: the third separation rule, and the candidates that could fill a stage.

use std::collections::BTreeSet;

use crate::domain::policy::{Approver, Stage};
use crate::domain::record::called_from::Call;
use crate::domain::record::counted::Counted;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::lock::Lock;
use crate::domain::record::review::{Decision, Review, can_be_filled};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, EntitlementName, PersonId, RoleName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Timestamp;

/// What can be under review, as far as who may review it goes: elevations, enrolments and proposals alike.
pub trait Reviewed {
    /// Its stages, text, deadline and decisions.
    fn review(&self) -> &Review;
    /// The same, to be changed.
    fn review_mut(&mut self) -> &mut Review;
    /// The call by which it was asked for.
    fn call(&self) -> &Call;
    /// The account from which it was asked for, if there was one.
    fn asked_from(&self) -> Option<&AccountId>;
    /// Every person behind it, as they were when it was made.
    fn behind(&self) -> &BTreeSet<PersonId>;
    /// Every person behind it, as things are now.
    fn behind_now(&self, organisation: &Organisation) -> BTreeSet<PersonId>;
    /// The tenant whose approvers `@tenant` means here, if one is touched.
    fn tenant_touched(&self) -> Option<&str> {
        None
    }
    /// The entitlement that it asks for, if it asks for one.
    fn entitlement(&self) -> Option<&EntitlementName> {
        None
    }
    /// The accounts that `@manager`, `@role-owner`, `@tenant` or a capability means here. For a role, none: its members
    /// are looked up by the role.
    fn accounts_meant<'a>(
        &self,
        organisation: &'a Organisation,
        approver: &Approver,
        at: Timestamp,
    ) -> Vec<&'a AccountId>;
}

impl Reviewed for Elevation {
    fn call(&self) -> &Call {
        &self.call
    }

    fn asked_from(&self) -> Option<&AccountId> {
        Some(&self.requester)
    }

    fn review(&self) -> &Review {
        &self.review
    }

    fn review_mut(&mut self) -> &mut Review {
        &mut self.review
    }

    fn behind(&self) -> &BTreeSet<PersonId> {
        &self.behind
    }

    fn behind_now(&self, organisation: &Organisation) -> BTreeSet<PersonId> {
        organisation.persons_behind(&self.requester, self.on_behalf_of.as_ref())
    }

    fn tenant_touched(&self) -> Option<&str> {
        self.tenant()
    }

    fn entitlement(&self) -> Option<&EntitlementName> {
        Some(&self.entitlement)
    }

    fn accounts_meant<'a>(
        &self,
        organisation: &'a Organisation,
        approver: &Approver,
        at: Timestamp,
    ) -> Vec<&'a AccountId> {
        match approver {
            Approver::Manager => {
                let manager = organisation.manager_of(&self.person, at);
                let terms = organisation.policy().entitlements.get(&self.entitlement).map(|it| &it.terms);
                let is_peer = |manager: &PersonId| {
                    terms.is_some_and(|terms| is_peer(organisation, &terms.requestable_by, manager))
                };
                let independent = manager.filter(|manager| !is_peer(manager));
                independent
                    .into_iter()
                    .flat_map(|manager| organisation.accounts_of(manager))
                    .map(|(id, _)| id)
                    .collect()
            }
            Approver::Tenant => {
                let approvers = self.tenant().into_iter().flat_map(|tenant| organisation.tenant_approvers(tenant));
                approvers.collect()
            }
            // Only enrolments name a role's owner, and only proposals a capability.
            Approver::Role(_) | Approver::RoleOwner | Approver::Capability(_) => Vec::new(),
        }
    }
}

/// Whether a manager is in a requesting role: peers do not approve each other (known failure A4).
pub(in crate::domain) fn is_peer(
    organisation: &Organisation,
    requesting: &BTreeSet<RoleName>,
    manager: &PersonId,
) -> bool {
    let mut accounts = organisation.accounts_of(manager);
    accounts.any(|(_, account)| requesting.iter().any(|role| account.roles.contains_key(role)))
}

/// Separation of duties, rule 3: no person behind the request reviews it, from whatever account; behind it as it was
/// made, *and* as things are now (known failures A2 and A3). Persons are compared, never accounts.
///
/// # Errors
/// `SELF_APPROVAL`.
pub fn separation_rule_3(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    reviewer: &PersonId,
) -> Result<(), Refusal> {
    let now = reviewed.behind_now(organisation);
    if reviewed.behind().contains(reviewer) || now.contains(reviewer) {
        let detail = format!("`{reviewer}` is behind this request");
        return Err(Refusal::new(Reason::SelfApproval, detail).with("person", reviewer));
    }
    Ok(())
}

/// In which capacity an account may review a stage now: in the first that no lock stops, or else in the first.
///
/// # Errors
/// Why it may not: a machine, a person behind the request, not eligible, or in no capacity that the stage names.
pub fn reviewer_in(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    stage: &Stage,
    account_id: &AccountId,
    at: Timestamp,
) -> Result<Approver, Refusal> {
    let no_approver = |why: String| Refusal::new(Reason::NotAnApprover, why).with("account", account_id);
    let Some(account) = organisation.accounts().get(account_id) else {
        return Err(no_approver(format!("there is no account `{account_id}`")));
    };
    if account.is_machine() {
        return Err(no_approver("machines never approve".into()));
    }
    separation_rule_3(organisation, reviewed, account.person())?;
    organisation.account_validity(account_id, at).map_err(first)?;
    if let Some(name) = reviewed.entitlement() {
        organisation.author_waits(name, account.person(), at)?;
    }
    let (mut lapsed, mut locked) = (None, None);
    for approver in &stage.by {
        let fits = match approver {
            Approver::Role(role) => match organisation.eligible_in(account_id, role, at) {
                Ok(_) => true,
                Err(obstacles) => {
                    let refusal = first(obstacles);
                    if refusal.reason != Reason::NotInRole {
                        lapsed = Some(refusal);
                    }
                    false
                }
            },
            Approver::Tenant => {
                reviewed.tenant_touched().is_some_and(|tenant| organisation.approves_for_tenant(account_id, tenant, at))
            }
            Approver::Manager | Approver::RoleOwner | Approver::Capability(_) => {
                reviewed.accounts_meant(organisation, approver, at).contains(&account_id)
            }
        };
        if fits && lock_on_reviewer(organisation, account_id, approver).is_none() {
            return Ok(approver.clone());
        }
        if fits && locked.is_none() {
            locked = Some(approver.clone());
        }
    }
    if let Some(approver) = locked {
        return Ok(approver);
    }
    let named: Vec<String> = stage.by.iter().map(ToString::to_string).collect();
    Err(lapsed.unwrap_or_else(|| no_approver(format!("this stage is for {}", named.join(", ")))))
}

/// In which capacity an account may review any stage: enough to say no, and to see.
///
/// # Errors
/// Why it may review none: the refusal of the first stage.
pub fn reviewer_in_any(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    account: &AccountId,
    at: Timestamp,
) -> Result<(u32, Approver), Refusal> {
    reviewer_in_one_of(organisation, reviewed, reviewed.review().numbered_stages(), account, at)
}

/// The same of other stages than those of the review.
///
/// # Errors
/// Why it may review none: the refusal of the first stage.
pub fn reviewer_in_stages<'a>(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    stages: impl Iterator<Item = &'a Stage>,
    account: &AccountId,
    at: Timestamp,
) -> Result<Approver, Refusal> {
    reviewer_in_one_of(organisation, reviewed, (0..).zip(stages), account, at).map(|(_, approver)| approver)
}

fn reviewer_in_one_of<'a>(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    stages: impl Iterator<Item = (u32, &'a Stage)>,
    account: &AccountId,
    at: Timestamp,
) -> Result<(u32, Approver), Refusal> {
    let (mut refused, mut locked) = (None, None);
    for (index, stage) in stages {
        match reviewer_in(organisation, reviewed, stage, account, at) {
            // As in one stage: a lock on one of two roles does not stop what the other is for.
            Ok(approver) if lock_on_reviewer(organisation, account, &approver).is_some() => {
                locked = locked.or(Some((index, approver)));
            }
            Ok(approver) => return Ok((index, approver)),
            Err(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    if let Some(locked) = locked {
        return Ok(locked);
    }
    Err(refused.unwrap_or_else(|| Refusal::new(Reason::NotAnApprover, "")))
}

/// The accounts that could approve in a stage now, with their persons; one that fits in several ways comes more than
/// once.
pub fn could_approve<'a>(
    organisation: &'a Organisation,
    reviewed: &'a impl Reviewed,
    stage: &'a Stage,
    at: Timestamp,
) -> impl Iterator<Item = (&'a AccountId, &'a PersonId)> {
    let accounts = stage.by.iter().flat_map(move |approver| -> Vec<&'a AccountId> {
        match approver {
            Approver::Role(role) => organisation.members(role).collect(),
            Approver::Manager | Approver::RoleOwner | Approver::Tenant | Approver::Capability(_) => {
                reviewed.accounts_meant(organisation, approver, at)
            }
        }
    });
    accounts.filter_map(move |id| {
        let person = organisation.accounts().get(id)?.person();
        let could = !reviewed.review().has_decided(person)
            && reviewer_in(organisation, reviewed, stage, id, at)
                .is_ok_and(|through| lock_on_reviewer(organisation, id, &through).is_none());
        could.then_some((id, person))
    })
}

/// Persons who could still decide in a stage: eligible, not behind the request, and without a decision here. No more
/// than all stages need.
#[must_use]
pub fn candidates(
    organisation: &Organisation,
    reviewed: &impl Reviewed,
    stage: &Stage,
    at: Timestamp,
) -> BTreeSet<PersonId> {
    let persons = could_approve(organisation, reviewed, stage, at).map(|(_, person)| person.clone());
    // As many as there are slots in all are enough for the matching.
    let slots = reviewed
        .review()
        .stages
        .iter()
        .fold(0_usize, |sum, stage| sum.saturating_add(usize::try_from(stage.count).unwrap_or(usize::MAX)));
    let mut few = BTreeSet::new();
    for person in persons {
        few.insert(person);
        if few.len() >= slots {
            break;
        }
    }
    few
}

/// Whether distinct eligible persons could complete every stage from here.
#[must_use]
pub fn can_be_completed(organisation: &Organisation, reviewed: &impl Reviewed, at: Timestamp) -> bool {
    let counted = counted(organisation, reviewed);
    let open = reviewed
        .review()
        .numbered_stages()
        .map(|(index, stage)| (counted.missing_in(index, stage), candidates(organisation, reviewed, stage, at)));
    can_be_filled(&open.collect::<Vec<_>>())
}

/// How far a review has come under the locks in force. An approval by somebody whom a lock stops is not counted, so that its
/// stage is open to others; it stays on record, and counts again once no lock stops them.
#[must_use]
pub fn counted<'a>(organisation: &Organisation, reviewed: &'a impl Reviewed) -> Counted<'a> {
    let review = reviewed.review();
    if organisation.locks().all().is_empty() {
        return Counted::as_recorded(review);
    }
    let suspended = review.approvals().filter(|decision| lock_on_approval(organisation, decision).is_some());
    Counted::without(review, suspended.map(|decision| &decision.person).collect())
}

/// A lock that stops whoever gave an approval, from the account and in the capacity in which they gave it.
#[must_use]
pub fn lock_on_approval<'a>(organisation: &'a Organisation, decision: &Decision) -> Option<&'a Lock> {
    lock_on_reviewer(organisation, &decision.account, &decision.through)
        .or_else(|| organisation.lock_on_person(&decision.person))
}

/// A lock that stops whoever reviews: on the account or its person, or on the role that they review in.
pub(in crate::domain) fn lock_on_reviewer<'a>(
    organisation: &'a Organisation,
    account: &AccountId,
    through: &Approver,
) -> Option<&'a Lock> {
    let on_role = || match through {
        Approver::Role(role) => organisation.lock_on_role(role),
        Approver::Tenant => {
            let roles = organisation.accounts().get(account).map(|account| &account.roles);
            let approving = organisation.policy().tenant_approvers();
            let held = approving.filter(|role| roles.is_some_and(|roles| roles.contains_key(*role)));
            let mut locks = held.map(|role| organisation.lock_on_role(role));
            // While one of its approving roles is free of locks, the account may approve.
            locks.next().flatten().filter(|_| locks.all(|lock| lock.is_some()))
        }
        // Those whom a lock stops are left out where holders of a capability are looked up.
        Approver::Manager | Approver::RoleOwner | Approver::Capability(_) => None,
    };
    organisation.lock_on_account(account).or_else(on_role)
}

/// Of several obstacles the first in the catalogue's order.
#[must_use]
pub fn first(mut obstacles: Vec<Refusal>) -> Refusal {
    obstacles.sort_by_key(|refusal| refusal.reason);
    obstacles.into_iter().next().unwrap_or_else(|| Refusal::new(Reason::NotEligible, ""))
}
