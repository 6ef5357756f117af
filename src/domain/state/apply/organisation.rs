//! What is recorded of policy, people, accounts and memberships, and what falls due by it.

use super::dues::{dues_of_account, dues_of_person, put_all_dues, put_dues};
use crate::domain::directory::{Account, Person};
use crate::domain::record::event::OrganisationFact;
use crate::domain::state::State;
use crate::domain::state::identities::When;
use crate::domain::value::ids::{AccountId, PersonId};
use crate::domain::value::time::Timestamp;

pub(super) fn record(state: &mut State, fact: &OrganisationFact, at: Timestamp) {
    match fact {
        OrganisationFact::PolicyLoaded(loaded) => {
            let before = state.organisation.policy.clone();
            state.organisation.put_policy(&loaded.text);
            state.organisation.shorten_waits(&before, at);
            put_all_dues(state, &before, at);
        }
        OrganisationFact::DirectoryLoaded(loaded) => state.organisation.directory_digest = Some(loaded.digest),
        OrganisationFact::TenantRecorded(fact) => {
            state.organisation.tenants.insert(fact.id.clone(), fact.tenant.clone());
        }
        OrganisationFact::PersonRecorded(fact) => put_person(state, &fact.id, &fact.person, at),
        OrganisationFact::AccountRecorded(fact) => put_account(state, &fact.id, &fact.account, at),
    }
}

fn put_person(state: &mut State, id: &PersonId, person: &Person, at: Timestamp) {
    let before = state.organisation.people.get(id).map(|old| dues_of_person(&state.organisation, id, old));
    let when = When { at, sequence: state.sequence };
    state.organisation.put_person(id.clone(), person.clone(), when);
    let after = dues_of_person(&state.organisation, id, person);
    put_dues(state, before, after, at);
}

fn put_account(state: &mut State, id: &AccountId, account: &Account, at: Timestamp) {
    let old = state.organisation.accounts.get(id);
    let changes_hands = account.is_machine() && old.is_some_and(|old| old.person() != account.person());
    let before = old.map(|old| dues_of_account(id, old));
    if changes_hands {
        state.put_behind(id, account.person());
    }
    let when = When { at, sequence: state.sequence };
    state.organisation.put_account(id.clone(), account.clone(), when);
    put_dues(state, before, dues_of_account(id, account), at);
}
