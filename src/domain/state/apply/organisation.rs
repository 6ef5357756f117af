//! What is recorded of policy, people, accounts and memberships, and what falls due by it.

use std::collections::BTreeSet;

use super::campaigns;
use crate::domain::directory::{Account, Employment, Person};
use crate::domain::policy::Policy;
use crate::domain::record::event::{Event, Fact};
use crate::domain::state::organisation::Organisation;
use crate::domain::state::{Due, State};
use crate::domain::value::ids::{AccountId, PersonId, RequirementName};
use crate::domain::value::limits::WARNED_DAYS;
use crate::domain::value::time::{Span, Timestamp};

pub(super) fn record(state: &mut State, event: &Event) {
    let at = event.at;
    match &event.fact {
        Fact::PolicyLoaded(loaded) => {
            let before = state.organisation.policy.clone();
            state.organisation.put_policy(&loaded.text);
            state.organisation.shorten_waits(&before, at);
            put_all_dues(state, &before, at);
        }
        Fact::DirectoryLoaded(loaded) => state.organisation.directory_digest = Some(loaded.digest),
        Fact::TenantRecorded(fact) => {
            state.organisation.tenants.insert(fact.id.clone(), fact.tenant.clone());
        }
        Fact::PersonRecorded(fact) => put_person(state, &fact.id, &fact.person, at),
        Fact::AccountRecorded(fact) => put_account(state, &fact.id, &fact.account, at),
        Fact::RequirementLapsed(fact) => {
            forget_due(state, &Due::RequirementLapse(fact.person.clone(), fact.requirement.clone()));
        }
        Fact::LapseAhead(fact) => {
            forget_due(state, &Due::LapseWarning(fact.person.clone(), fact.requirement.clone(), fact.days));
        }
        Fact::MembershipEnded(fact) => {
            forget_due(state, &Due::MembershipEnd(fact.account.clone(), fact.role.clone()));
            campaigns::record(state, event);
        }
        Fact::MembershipRevoked(_) => campaigns::record(state, event),
        Fact::AccountEnded(fact) => forget_due(state, &Due::AccountEnd(fact.account.clone())),
        _ => {}
    }
}

fn put_person(state: &mut State, id: &PersonId, person: &Person, at: Timestamp) {
    let before = state.organisation.people.get(id).map(|old| dues_of_person(&state.organisation, id, old));
    state.organisation.put_person(id.clone(), person.clone());
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
    state.organisation.put_account(id.clone(), account.clone());
    put_dues(state, before, dues_of_account(id, account), at);
}

/// What lies behind is due no more, unless it was due and nobody has recorded it: another change does not hide it.
fn put_dues(state: &mut State, before: Option<Vec<(Timestamp, Due)>>, after: Vec<(Timestamp, Due)>, at: Timestamp) {
    let before = before.unwrap_or_default();
    for gone in before.iter().filter(|due| !after.contains(due)) {
        state.due.remove(gone);
    }
    state.due.extend(after.into_iter().filter(|due| due.0 > at && !before.contains(due)));
}

/// After a change of policy every lapse is another: the index is made anew. What held until then and has lapsed by the new
/// policy is due at once, as if its time had come now.
fn put_all_dues(state: &mut State, before: &Policy, at: Timestamp) {
    let of_policy = |due: &Due| matches!(due, Due::RequirementLapse(..) | Due::LapseWarning(..));
    let (old, others): (Vec<_>, Vec<_>) = state.due.iter().cloned().partition(|(_, due)| of_policy(due));
    let unrecorded: BTreeSet<Due> = old.into_iter().map(|(_, due)| due).collect();
    state.due = others.into_iter().collect();
    let organisation = &state.organisation;
    let held = |person: &PersonId, name: &RequirementName| {
        let attested = organisation.people.get(person).and_then(|person| person.attestations.get(name));
        let rule = before.requirements.get(name);
        attested.zip(rule).is_some_and(|(attested, rule)| rule.lapses_at(*attested) > at)
    };
    let is_due = |(when, due): &(Timestamp, Due)| match due {
        Due::RequirementLapse(person, name) => *when > at || unrecorded.contains(due) || held(person, name),
        _ => *when > at,
    };
    let dues = organisation.people.iter().flat_map(|(id, person)| dues_of_person(organisation, id, person));
    state.due.extend(dues.filter(is_due));
}

fn dues_of_person(organisation: &Organisation, id: &PersonId, person: &Person) -> Vec<(Timestamp, Due)> {
    let known = person.attestations.iter().filter_map(|(name, attested)| {
        let until = organisation.policy.requirements.get(name)?.lapses_at(*attested);
        (until < Timestamp::MAX).then_some((until, name))
    });
    let lapses = known.flat_map(|(until, name)| {
        let ahead = WARNED_DAYS
            .map(|ahead| (until.minus(Span::days(ahead)), Due::LapseWarning(id.clone(), name.clone(), ahead)));
        ahead.into_iter().chain([(until, Due::RequirementLapse(id.clone(), name.clone()))])
    });
    let leaves = person.employed_until.filter(|_| person.employment == Employment::Employed);
    let moves = person.moves.as_ref().map(|moves| (moves.at, Due::Move(id.clone())));
    lapses.chain(leaves.map(|at| (at, Due::Leaving(id.clone())))).chain(moves).collect()
}

fn dues_of_account(id: &AccountId, account: &Account) -> Vec<(Timestamp, Due)> {
    let memberships = account.roles.iter().filter_map(|(role, membership)| {
        let until = membership.ends_at();
        (until < Timestamp::MAX).then(|| (until, Due::MembershipEnd(id.clone(), role.clone())))
    });
    memberships.chain(account.until.map(|until| (until, Due::AccountEnd(id.clone())))).collect()
}

/// It stands at the time that follows from the record and the policy in force, as it did when it was put there.
fn forget_due(state: &mut State, due: &Due) {
    let organisation = &state.organisation;
    let dues = match due {
        Due::RequirementLapse(id, _) | Due::LapseWarning(id, ..) => {
            organisation.people.get(id).map(|person| dues_of_person(organisation, id, person))
        }
        Due::MembershipEnd(id, _) | Due::AccountEnd(id) => {
            organisation.accounts.get(id).map(|account| dues_of_account(id, account))
        }
        _ => None,
    };
    for it in dues.into_iter().flatten().filter(|(_, other)| other == due) {
        state.due.remove(&it);
    }
}
