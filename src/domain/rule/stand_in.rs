//! Who decides in a manager's place, where there is none (known failure B6).

use crate::domain::directory::Account;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, PersonId};
use crate::domain::value::time::Timestamp;

impl Organisation {
    /// The accounts that may stand in for the manager of a person: eligible members of the roles that policy names.
    pub(in crate::domain) fn stand_ins(&self, person: &PersonId, at: Timestamp) -> Vec<&AccountId> {
        let roles = self.policy.baseline.manager_missing.iter();
        let members = roles.flat_map(|role| self.members(role));
        members.filter(|id| self.may_stand_in(id, person, at)).collect()
    }

    /// Whether an account may stand in for the manager of a person: never whoever owns the feed that brought that person, or
    /// sends it, then or by now. They would bring in somebody and be the one who lets them in.
    pub(in crate::domain) fn may_stand_in(&self, id: &AccountId, person: &PersonId, at: Timestamp) -> bool {
        let eligible = |role| self.eligible_in(id, role, at).is_ok();
        let own = self.accounts.get(id).map(Account::person);
        self.policy.baseline.manager_missing.iter().any(eligible) && own.is_some_and(|own| !self.brought(own, person))
    }

    /// Whether somebody answers for the feed that brought a person, or did when it was sent.
    fn brought(&self, own: &PersonId, person: &PersonId) -> bool {
        let brought = self.people.get(person).and_then(|person| person.brought_by.as_ref());
        brought.is_some_and(|by| {
            let answers = self.accounts.get(&by.sender).map(Account::person);
            by.author.as_ref() == Some(own) || answers == Some(own)
        })
    }
}
