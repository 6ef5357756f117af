//! What every change of a life reads and writes: the records of a person, of their accounts and of their machines.

use std::collections::BTreeSet;

use crate::domain::directory::{Account, AccountState, Person};
use crate::domain::effect::cascade::Touched;
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::{AccountRecorded, Fact, OrganisationFact, PersonRecorded};
use crate::domain::value::ids::{AccountId, PersonId};
use crate::domain::value::refusal::{Reason, Refusal};

/// The accounts of a person that are the person's own, and not closed.
pub(super) fn own_accounts(overlay: &Overlay, person: &PersonId) -> Vec<(AccountId, Account)> {
    let accounts = overlay.state().organisation().accounts_of(person);
    let own = accounts.filter(|(_, it)| !it.is_machine() && it.state != AccountState::Closed);
    own.map(|(id, account)| (id.clone(), account.clone())).collect()
}

/// The machines that a person owns, and that are not closed.
pub(super) fn machines(overlay: &Overlay, person: &PersonId) -> Vec<(AccountId, Account)> {
    let accounts = overlay.state().organisation().accounts_of(person);
    let machines = accounts.filter(|(_, it)| it.is_machine() && it.state != AccountState::Closed);
    machines.map(|(id, account)| (id.clone(), account.clone())).collect()
}

/// The person, if on record and working here.
pub(super) fn employed(overlay: &Overlay, id: &PersonId) -> Result<Person, Refusal> {
    let now = overlay.clocks().latest;
    let person = overlay.state().organisation().employed(id, now);
    person.cloned().ok_or_else(|| Refusal::new(Reason::PersonUnknown, format!("`{id}`")).with("person", id))
}

pub(in crate::domain) fn cascade_of(overlay: &mut Overlay, person: &PersonId) {
    overlay.cascade(&Touched::Persons(BTreeSet::from([person.clone()])));
}

pub(super) fn cascade_of_account(overlay: &mut Overlay, account: &AccountId) {
    let person = overlay.state().organisation().accounts().get(account).map(|account| account.person().clone());
    overlay.cascade(&Touched::Persons(person.into_iter().collect()));
}

/// Puts a person on record as changed by a command or HR.
pub(in crate::domain) fn put_person(overlay: &mut Overlay, id: &PersonId, person: Person) {
    record_person(overlay, id, Person { touched: true, ..person });
}

pub(super) fn record_person(overlay: &mut Overlay, id: &PersonId, person: Person) {
    if overlay.state().organisation().people().get(id) != Some(&person) {
        overlay
            .record([Fact::Organisation(OrganisationFact::PersonRecorded(PersonRecorded { id: id.clone(), person }))]);
    }
}

/// Puts an account on record, if that changes anything.
pub(in crate::domain) fn put_account(overlay: &mut Overlay, id: &AccountId, account: Account) {
    if overlay.state().organisation().accounts().get(id) != Some(&account) {
        overlay.record([Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded {
            id: id.clone(),
            account,
        }))]);
    }
}

/// From now on no directory file gives the person anything.
pub(in crate::domain) fn touch(overlay: &mut Overlay, id: &PersonId) {
    let person = overlay.state().organisation().people().get(id).filter(|person| !person.touched).cloned();
    if let Some(person) = person {
        put_person(overlay, id, person);
    }
}
