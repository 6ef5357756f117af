//! The life of an account: what joining, lapsing, moving and leaving do to people, accounts and memberships, and all that
//! follows (DESIGN 4). Commands, HR events and the timer come here, so that each change is written once.
//!
//! Every function records on an [`Overlay`]: a cause, the records that it changes, and the cascade. What takes access away
//! is a comparison somewhere else; here it is recorded.

mod ahead;
mod joining;
mod lapsing;
mod leaving;
mod moving;

use std::collections::BTreeSet;

use super::cascade::Touched;
use super::directory::{Account, Person};
use super::event::{AccountEnded, AccountRecorded, Fact, MembershipEnded, PersonRecorded};
use super::ids::{AccountId, PersonId, RoleName};
use super::overlay::Overlay;
use super::refusal::{Reason, Refusal};
use super::state::Due;

pub use ahead::{Coming, Lapsing, lapses_ahead};
pub(super) use joining::{Claim, join, named, rename, taken};
pub(super) use lapsing::lapse;
pub(super) use leaving::{close_machine, leave, stay};
pub(super) use moving::{no_cycle, report_to, transfer};

/// What was due comes about.
pub(super) fn come_due(overlay: &mut Overlay, due: &Due) {
    match due {
        Due::RequirementLapse(person, requirement) => lapse(overlay, person, requirement),
        Due::LapseWarning(person, requirement, days) => lapsing::warn(overlay, person, requirement, *days),
        Due::Move(person) => moving::take_effect(overlay, person),
        Due::Leaving(person) => leaving::depart(overlay, person, false),
        Due::MembershipEnd(account, role) => end_membership(overlay, account, role),
        Due::AccountEnd(account) => end_account(overlay, account),
        Due::RoundEnd(round) => super::decide::close_round(overlay, *round),
        Due::ReviewDeadline(_)
        | Due::FollowUp(_)
        | Due::EnrolmentDeadline(_)
        | Due::LoadDeadline(_)
        | Due::GrantEnd(_) => {}
    }
}

/// Whatever is due for a person by now comes about, though no timer has run: a command about a person begins so. By what is
/// on record of the person, not by what else is due.
pub(super) fn settle(overlay: &mut Overlay, id: &PersonId) {
    let now = overlay.clocks().latest;
    let Some(person) = overlay.state().organisation().people().get(id) else { return };
    if person.employment == super::directory::Employment::Left {
        return;
    }
    if !person.is_employed(now) {
        leaving::depart(overlay, id, false);
        return;
    }
    if person.moves.as_ref().is_some_and(|moves| moves.at.is_over(now)) {
        moving::take_effect(overlay, id);
    }
    lapsing::settle(overlay, id);
}

/// Whatever has lapsed by now of anybody is recorded, though no timer has: before a load lets it look as if it had not.
pub(super) fn settle_lapses(overlay: &mut Overlay) {
    let latest = overlay.clocks().latest;
    let due = overlay.state().due.iter().take_while(|(at, _)| at.is_over(latest));
    let persons: BTreeSet<PersonId> = due
        .filter_map(|(_, due)| match due {
            Due::RequirementLapse(person, _) => Some(person.clone()),
            _ => None,
        })
        .collect();
    persons.iter().for_each(|person| lapsing::settle(overlay, person));
}

/// The accounts of a person that are the person's own, and not closed.
fn own_accounts(overlay: &Overlay, person: &PersonId) -> Vec<(AccountId, Account)> {
    let accounts = overlay.state().organisation().accounts_of(person);
    let own = accounts.filter(|(_, it)| !it.is_machine() && it.state != super::directory::AccountState::Closed);
    own.map(|(id, account)| (id.clone(), account.clone())).collect()
}

/// The machines that a person owns, and that are not closed.
fn machines(overlay: &Overlay, person: &PersonId) -> Vec<(AccountId, Account)> {
    let accounts = overlay.state().organisation().accounts_of(person);
    let machines = accounts.filter(|(_, it)| it.is_machine() && it.state != super::directory::AccountState::Closed);
    machines.map(|(id, account)| (id.clone(), account.clone())).collect()
}

/// The person, if on record and working here.
fn employed(overlay: &Overlay, id: &PersonId) -> Result<Person, Refusal> {
    let now = overlay.clocks().latest;
    let person = overlay.state().organisation().people().get(id).filter(|person| person.is_employed(now));
    person.cloned().ok_or_else(|| Refusal::new(Reason::PersonUnknown, format!("`{id}`")).with("person", id))
}

fn end_membership(overlay: &mut Overlay, account: &AccountId, role: &RoleName) {
    overlay.record([Fact::MembershipEnded(MembershipEnded { account: account.clone(), role: role.clone() })]);
    cascade_of_account(overlay, account);
}

fn end_account(overlay: &mut Overlay, account: &AccountId) {
    overlay.record([Fact::AccountEnded(AccountEnded { account: account.clone() })]);
    cascade_of_account(overlay, account);
}

fn cascade_of_account(overlay: &mut Overlay, account: &AccountId) {
    let person = overlay.state().organisation().accounts().get(account).map(|account| account.person().clone());
    overlay.cascade(&Touched::Persons(person.into_iter().collect()));
}

pub(super) fn cascade_of(overlay: &mut Overlay, person: &PersonId) {
    overlay.cascade(&Touched::Persons(BTreeSet::from([person.clone()])));
}

/// Puts a person on record, whom a command or HR has changed.
pub(super) fn put_person(overlay: &mut Overlay, id: &PersonId, person: Person) {
    record_person(overlay, id, Person { touched: true, ..person });
}

fn record_person(overlay: &mut Overlay, id: &PersonId, person: Person) {
    if overlay.state().organisation().people().get(id) != Some(&person) {
        overlay.record([Fact::PersonRecorded(PersonRecorded { id: id.clone(), person })]);
    }
}

/// Puts an account on record, if that changes anything.
pub(super) fn put_account(overlay: &mut Overlay, id: &AccountId, account: Account) {
    if overlay.state().organisation().accounts().get(id) != Some(&account) {
        overlay.record([Fact::AccountRecorded(AccountRecorded { id: id.clone(), account })]);
    }
}
