//! Whose an identity is, and whose it was. Two functions alone change that, those that put a person and an account on record:
//! both note what somebody has no longer.

use std::collections::BTreeSet;

use super::formerly::Lost;
use super::organisation::Organisation;
use crate::domain::directory::{Account, Person};
use crate::domain::value::ids::{AccountId, Identity, PersonId, Principal};
use crate::domain::value::limits::IDENTITIES_REMEMBERED;
use crate::domain::value::time::Timestamp;

/// The event that changes a record.
#[derive(Debug, Clone, Copy)]
pub(in crate::domain) struct When {
    /// Its stamp.
    pub(in crate::domain) at: Timestamp,
    /// Its place in the journal.
    pub(in crate::domain) sequence: u64,
}

/// Whose an identity is.
struct Holder {
    person: PersonId,
    /// The account that it means, if it means one.
    account: Option<AccountId>,
    is_machine: bool,
    /// The account is shut for good, so that nobody has the identity by it.
    is_shut: bool,
}

impl Holder {
    /// A machine stays the same whoever owns it; a person whatever account they have.
    fn is_same(&self, other: &Self) -> bool {
        let same_machine = self.account == other.account;
        self.is_machine == other.is_machine && if self.is_machine { same_machine } else { self.person == other.person }
    }
}

impl Organisation {
    /// Puts a person on record, and notes which identities somebody has no longer by that.
    pub(in crate::domain) fn put_person(&mut self, id: PersonId, person: Person, when: When) {
        let old = self.people.get(&id).map(|old| &old.login);
        let changes = old.map_or(!person.login.is_empty(), |old| *old != person.login);
        let named = old.into_iter().flatten().chain(&person.login).cloned();
        let held = if changes { self.held(named.collect()) } else { Vec::new() };
        self.record_person(id, person);
        self.note_changes(held, when);
    }

    /// Puts an account on record, and notes the same.
    pub(in crate::domain) fn put_account(&mut self, id: AccountId, account: Account, when: When) {
        let old = self.accounts.get(&id);
        let is_same = |old: &Account| {
            old.identities == account.identities
                && old.is_machine() == account.is_machine()
                && old.state.is_shut() == account.state.is_shut()
                && (old.is_machine() || old.person() == account.person())
        };
        let named = || old.into_iter().flat_map(|old| &old.identities).chain(&account.identities).cloned();
        let held = if old.is_some_and(is_same) { Vec::new() } else { self.held(named().collect()) };
        self.record_account(id, account);
        self.note_changes(held, when);
    }

    /// Whom an identity belongs to, or belonged to within the time that is remembered: everybody but one.
    #[must_use]
    pub fn others_with(&self, identity: &Identity, but: &PersonId, now: Timestamp) -> BTreeSet<PersonId> {
        let present = self.holder(identity).filter(|it| !it.is_shut).map(|holder| holder.person);
        let remembered = |lost: &Lost| !lost.at.plus(IDENTITIES_REMEMBERED).is_over(now);
        let before = self.formerly.of(identity).filter(|(_, lost)| remembered(lost)).map(|(person, _)| person.clone());
        before.chain(present).filter(|person| person != but).collect()
    }

    /// Who had an identity and has it no longer, as far as that is remembered.
    pub fn who_had(&self, identity: &Identity) -> impl Iterator<Item = &PersonId> {
        self.formerly.of(identity).map(|(person, _)| person)
    }

    /// The person whom an identity means, or who answers for what it means.
    #[must_use]
    pub fn person_of(&self, identity: &Identity) -> Option<&PersonId> {
        match self.principals.get(identity)? {
            Principal::Person(person) => Some(person),
            Principal::Account(id) => self.accounts.get(id).map(Account::person),
        }
    }

    /// Whether a person has lost an identity since an event: of a machine, or of an account that was shut, as far as it is
    /// this account's.
    #[must_use]
    pub fn has_lost_since(&self, person: &PersonId, after: u64, account: Option<&AccountId>) -> bool {
        let lost = self.formerly.lost_by(person);
        let concerns = |lost: &Lost| lost.of_account.is_none() || lost.of_account.as_ref() == account;
        lost.filter(|lost| lost.sequence > after).any(concerns)
    }

    fn holder(&self, identity: &Identity) -> Option<Holder> {
        let of_person = |person: &PersonId, account: Option<&AccountId>, is_machine, is_shut| Holder {
            person: person.clone(),
            account: account.cloned(),
            is_machine,
            is_shut,
        };
        match self.principals.get(identity)? {
            Principal::Person(person) => Some(of_person(person, None, false, false)),
            Principal::Account(id) => {
                let account = self.accounts.get(id)?;
                Some(of_person(account.person(), Some(id), account.is_machine(), account.state.is_shut()))
            }
        }
    }

    fn held(&self, identities: BTreeSet<Identity>) -> Vec<(Identity, Option<Holder>)> {
        let held = identities.into_iter().map(|identity| {
            let holder = self.holder(&identity);
            (identity, holder)
        });
        held.collect()
    }

    fn note_changes(&mut self, before: Vec<(Identity, Option<Holder>)>, when: When) {
        for (identity, before) in before {
            let after = self.holder(&identity);
            // Who had it by an account that is shut has lost it with that.
            if let Some(before) = before.filter(|it| !it.is_shut) {
                let stays = after.as_ref().is_some_and(|after| after.is_same(&before));
                let is_shut = stays && after.as_ref().is_some_and(|after| after.is_shut);
                if !stays || is_shut {
                    let of_account = before.account.filter(|_| before.is_machine || is_shut);
                    let of_machine = before.is_machine;
                    let lost = Lost { at: when.at, sequence: when.sequence, of_account, of_machine };
                    self.formerly.note(identity.clone(), before.person, lost);
                }
            }
            if let Some(after) = after.filter(|it| !it.is_shut) {
                let machine = after.account.as_ref().filter(|_| after.is_machine);
                self.formerly.has_again(&identity, &after.person, machine);
            }
        }
    }
}

#[cfg(test)]
#[path = "identities_tests.rs"]
mod tests;
