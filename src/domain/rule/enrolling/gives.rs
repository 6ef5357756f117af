//! What an approved enrolment gives, as records of people and accounts.

use std::collections::BTreeSet;

use crate::domain::directory::{Account, AccountKind, AccountState, ApprovedBy, Cut, Membership, Person};
use crate::domain::policy::Role;
use crate::domain::record::enrolment::{Ask, Enrolment, MachineAsk};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, PersonId};
use crate::domain::value::time::{Now, Timestamp};

/// The records that it changes, as they will be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Given {
    /// People.
    pub people: Vec<(PersonId, Person)>,
    /// Accounts.
    pub accounts: Vec<(AccountId, Account)>,
}

/// What an enrolment gives, once these persons have approved it.
#[must_use]
pub(in crate::domain) fn given(
    organisation: &Organisation,
    enrolment: &Enrolment,
    approvers: BTreeSet<PersonId>,
    now: Now,
) -> Given {
    let approved = ApprovedBy { enrolment: enrolment.id, persons: approvers };
    let person = organisation.people.get(&enrolment.person);
    let account = organisation.accounts.get(enrolment.ask.account());
    let mut given = Given::default();
    if let Some(person) = person {
        given.people.push((enrolment.person.clone(), person.clone()));
    }
    let after = match (&enrolment.ask, account) {
        (Ask::Account { .. }, _) => person.map(|person| {
            given.people = vec![(enrolment.person.clone(), Person { login: BTreeSet::new(), ..person.clone() })];
            new_account(&enrolment.person, person)
        }),
        (Ask::Machine(machine), _) => {
            Some(self::machine(&enrolment.person, machine, Some(&approved), organisation, now))
        }
        (_, None) => None,
        (Ask::Role { role, until, .. }, Some(account)) => {
            let mut account = account.clone();
            let held = account.roles.get(role).filter(|it| !it.ends_at().is_over(now.latest));
            let since = held.map_or(Some(now.stamp), |held| held.since);
            let until = organisation.policy.roles.get(role).and_then(|role| end_of(role, *until, now));
            let membership = Membership { until, since, approved: Some(approved), ..Membership::default() };
            let membership = if account.is_machine() { membership } else { cut(organisation, person, membership) };
            account.roles.insert(role.clone(), membership);
            Some(account)
        }
        (Ask::Keep { role, .. }, Some(account)) => {
            let mut account = account.clone();
            let rule = organisation.policy.roles.get(role);
            if let Some(membership) = account.roles.get_mut(role) {
                let before = membership.cut.take().and_then(|cut| cut.until);
                let longest = rule.and_then(|role| end_of(role, None, now));
                let kept = [before, longest].into_iter().flatten().min();
                // Keeping a membership never makes it end before the grace period does.
                membership.until = kept.map(|kept| membership.until.map_or(kept, |grace| grace.max(kept)));
                membership.approved = Some(approved);
            }
            Some(account)
        }
        (Ask::Restore { roles, .. }, Some(account)) => {
            let mut account = account.clone();
            account.state = AccountState::Active;
            for (_, membership) in account.roles.iter_mut().filter(|(role, _)| roles.contains(*role)) {
                membership.suspended = None;
            }
            Some(account)
        }
        (Ask::TakeOver { .. }, Some(account)) => {
            let mut account = account.clone();
            if let AccountKind::Service { owner, .. } = &mut account.kind {
                *owner = enrolment.person.clone();
            }
            Some(account)
        }
    };
    given.accounts.extend(after.map(|account| (enrolment.ask.account().clone(), account)));
    given
}

/// An announced transfer cuts a new membership as it has cut the others, so that no timer is needed.
fn cut(organisation: &Organisation, person: Option<&Person>, mut membership: Membership) -> Membership {
    let moves = person.and_then(|person| person.moves.first());
    let end = moves.map(|moves| moves.at.plus(organisation.policy.baseline.transfer_grace));
    if let Some(end) = end.filter(|end| membership.until.is_none_or(|until| until > *end)) {
        membership.cut = Some(Cut { until: membership.until });
        membership.until = Some(end);
    }
    membership
}

/// A baseline account: the person's identities become its own.
fn new_account(id: &PersonId, person: &Person) -> Account {
    Account {
        kind: AccountKind::ServiceTeam { person: id.clone() },
        identities: person.login.clone(),
        audience: BTreeSet::new(),
        roles: std::collections::BTreeMap::new(),
        until: None,
        state: AccountState::Active,
    }
}

pub(super) fn machine(
    owner: &PersonId,
    machine: &MachineAsk,
    approved: Option<&ApprovedBy>,
    organisation: &Organisation,
    now: Now,
) -> Account {
    let roles = machine.roles.iter().map(|(name, until)| {
        let until = organisation.policy.roles.get(name).and_then(|role| end_of(role, *until, now));
        let since = Some(now.stamp);
        (name.clone(), Membership { until, since, approved: approved.cloned(), ..Membership::default() })
    });
    Account {
        kind: AccountKind::Service { owner: owner.clone(), acts_for: machine.acts_for },
        identities: machine.identities.clone(),
        audience: machine.audience.clone(),
        roles: roles.collect(),
        until: None,
        state: AccountState::Active,
    }
}

/// The end of a membership that begins now: the one asked for, or as late as the role allows.
pub(super) fn end_of(role: &Role, until: Option<Timestamp>, now: Now) -> Option<Timestamp> {
    until.or_else(|| role.longest_membership.map(|longest| now.stamp.plus(longest)))
}
