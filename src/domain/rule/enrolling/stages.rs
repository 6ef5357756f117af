//! Who decides about an enrolment: the manager, then whoever answers for the roles. Never anybody behind it.

use std::collections::BTreeSet;

use crate::domain::policy::{Approver, Stage};
use crate::domain::record::called_from::Call;
use crate::domain::record::enrolment::{Ask, Enrolment, SwitchedOn};
use crate::domain::record::review::Review;
use crate::domain::rule::reviewers::Reviewed;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, Digest, PersonId, Principal, RoleName};
use crate::domain::value::time::Timestamp;

/// The stages that policy asks for.
pub(in crate::domain) fn stages(
    organisation: &Organisation,
    ask: &Ask,
    person: &PersonId,
    behind: &BTreeSet<PersonId>,
    at: Timestamp,
) -> Vec<Stage> {
    let by_manager = || Stage { by: BTreeSet::from([Approver::Manager]), count: 1 };
    match ask {
        Ask::Account { .. } if !organisation.policy.baseline.approval.is_empty() => {
            organisation.policy.baseline.approval.clone()
        }
        Ask::Account { .. } | Ask::Keep { .. } | Ask::Restore { .. } => vec![by_manager()],
        Ask::Role { .. } | Ask::Machine(_) | Ask::TakeOver { .. } => {
            // One person's approval counts once: a manager who owns the role does not approve twice.
            let manager = organisation.manager_of(person, at);
            let owners = owners(organisation, ask);
            let others = owners.iter().filter(|owner| Some(**owner) != manager && !behind.contains(**owner)).count();
            let count = u32::try_from(others).unwrap_or(u32::MAX);
            let by_owners = (count > 0).then(|| Stage { by: BTreeSet::from([Approver::RoleOwner]), count });
            [by_manager()].into_iter().chain(by_owners).collect()
        }
    }
}

/// What of an account is switched on by what is asked for it: whoever approves a role, or hands over a machine, decides on the
/// audience that comes with it.
pub(in crate::domain) fn switched_on(organisation: &Organisation, ask: &Ask) -> SwitchedOn {
    let roles: BTreeSet<RoleName> = roles(organisation, ask).into_iter().cloned().collect();
    let account = organisation.accounts.get(ask.account());
    let audience = match ask {
        // Whose account it was matters to nobody who asks for a new one.
        Ask::Account { .. } | Ask::Machine(_) => BTreeSet::new(),
        // With the account returns all that it holds.
        Ask::Restore { .. } => account.map_or_else(BTreeSet::new, |account| {
            account.roles.keys().flat_map(|role| organisation.would_check(account, role)).collect()
        }),
        Ask::Role { .. } | Ask::Keep { .. } | Ask::TakeOver { .. } => account.map_or_else(BTreeSet::new, |account| {
            roles.iter().flat_map(|role| organisation.would_check(account, role)).collect()
        }),
    };
    SwitchedOn { roles, audience }
}

/// SHA-256 of all that policy asks: stages, requirements, longest membership of each role; and of the audience that it
/// switches on, which whoever approved before would not have read.
pub(in crate::domain) fn terms(organisation: &Organisation, ask: &Ask, stages: &[Stage]) -> Digest {
    let roles = roles(organisation, ask);
    let rules = roles.iter().map(|name| {
        let role = organisation.policy.roles.get(*name);
        let requires = role.map(|role| role.requires.iter().map(ToString::to_string).collect::<Vec<_>>());
        let longest = role.and_then(|role| role.longest_membership);
        let owner = role.and_then(|role| role.owner.as_ref()).map(ToString::to_string);
        (name.to_string(), requires, longest, owner)
    });
    let baseline: Vec<String> = organisation.policy.baseline.requires.iter().map(ToString::to_string).collect();
    let audience: Vec<String> = switched_on(organisation, ask).audience.iter().map(ToString::to_string).collect();
    let all = (stages, baseline, rules.collect::<Vec<_>>(), audience);
    Digest::of(&serde_json::to_vec(&all).unwrap_or_default())
}

/// The roles that an enrolment is about: for a machine that changes hands, all its roles.
fn roles<'a>(organisation: &'a Organisation, ask: &'a Ask) -> BTreeSet<&'a RoleName> {
    if let Ask::TakeOver { account } = ask {
        return organisation.accounts.get(account).into_iter().flat_map(|account| account.roles.keys()).collect();
    }
    ask.roles()
}

fn owners<'a>(organisation: &'a Organisation, ask: &'a Ask) -> BTreeSet<&'a PersonId> {
    let roles = roles(organisation, ask).into_iter().filter_map(|role| organisation.policy.roles.get(role));
    roles.filter_map(|role| role.owner.as_ref()).collect()
}

impl Reviewed for Enrolment {
    fn call(&self) -> &Call {
        &self.call
    }

    fn asked_from(&self) -> Option<&AccountId> {
        match &self.requester {
            Principal::Account(id) => Some(id),
            Principal::Person(_) => None,
        }
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

    /// Whoever owns a machine by now is behind what is asked for it. Of what is yet to be made nobody owns anything: whose an
    /// id is that cannot be had is nothing for whoever asks for it to find out.
    fn behind_now(&self, organisation: &Organisation) -> BTreeSet<PersonId> {
        match &self.ask {
            Ask::Account { .. } | Ask::Machine(_) => BTreeSet::from([self.person.clone()]),
            Ask::Role { .. } | Ask::Keep { .. } | Ask::Restore { .. } | Ask::TakeOver { .. } => {
                organisation.persons_behind(self.ask.account(), Some(&self.person))
            }
        }
    }

    fn accounts_meant<'a>(
        &self,
        organisation: &'a Organisation,
        approver: &Approver,
        at: Timestamp,
    ) -> Vec<&'a AccountId> {
        let accounts =
            |person: &PersonId| -> Vec<&'a AccountId> { organisation.accounts_of(person).map(|(id, _)| id).collect() };
        match approver {
            Approver::Manager => match organisation.manager_of(&self.person, at) {
                Some(manager) => accounts(manager),
                None if self.may_stand_in(organisation, at) => organisation.stand_ins(&self.person, at),
                None => Vec::new(),
            },
            Approver::RoleOwner => owners(organisation, &self.ask).into_iter().flat_map(accounts).collect(),
            // A role's members are looked up by the role; enrolments ask for no tenant or capability.
            Approver::Role(_) | Approver::Tenant | Approver::Capability(_) => Vec::new(),
        }
    }
}

impl Enrolment {
    /// Whether somebody may decide in a manager's place: only where there is none, never while one is awaited, and never to
    /// keep what a transfer cut (known failure B6).
    fn may_stand_in(&self, organisation: &Organisation, at: Timestamp) -> bool {
        let keeps = matches!(self.ask, Ask::Keep { .. });
        let person = organisation.people.get(&self.person);
        let awaited = person.is_none_or(|person| {
            person.awaits_manager || person.moves.first().is_some_and(|moves| moves.at.is_over(at))
        });
        !keeps && !awaited
    }
}
