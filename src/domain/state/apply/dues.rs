//! What is due when, as it follows from records and policy: kept in step with both.

use std::collections::BTreeSet;

use crate::domain::directory::{Account, Employment, Person};
use crate::domain::policy::Policy;
use crate::domain::state::organisation::Organisation;
use crate::domain::state::{Due, State};
use crate::domain::value::ids::{AccountId, PersonId, RequirementName};
use crate::domain::value::limits::WARNED_DAYS;
use crate::domain::value::time::{Span, Timestamp};

/// Replaces what was due by a record. A time that has passed is not added, but one that was due and is not recorded yet
/// stays, so that another change does not hide it.
pub(super) fn put_dues(
    state: &mut State,
    before: Option<Vec<(Timestamp, Due)>>,
    after: Vec<(Timestamp, Due)>,
    at: Timestamp,
) {
    let before = before.unwrap_or_default();
    for gone in before.iter().filter(|due| !after.contains(due)) {
        state.due.remove(gone);
    }
    state.due.extend(after.into_iter().filter(|due| due.0 > at && !before.contains(due)));
}

/// After a change of policy every lapse is another: the index is made anew. What held until then and has lapsed by the new
/// policy is due at once, as if its time had come now.
pub(super) fn put_all_dues(state: &mut State, before: &Policy, at: Timestamp) {
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
    let lapsed_at_once = |due: &Due| matches!(due, Due::RequirementLapse(person, name) if unrecorded.contains(due) || held(person, name));
    let is_due = |(when, due): &(Timestamp, Due)| *when > at || lapsed_at_once(due);
    let dues = organisation.people.iter().flat_map(|(id, person)| dues_of_person(organisation, id, person));
    state.due.extend(dues.filter(is_due));
}

pub(super) fn dues_of_person(organisation: &Organisation, id: &PersonId, person: &Person) -> Vec<(Timestamp, Due)> {
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
    let moves = person.moves.first().map(|moves| (moves.at, Due::Move(id.clone())));
    lapses.chain(leaves.map(|at| (at, Due::Leaving(id.clone())))).chain(moves).collect()
}

pub(super) fn dues_of_account(id: &AccountId, account: &Account) -> Vec<(Timestamp, Due)> {
    let memberships = account.roles.iter().filter_map(|(role, membership)| {
        let until = membership.ends_at();
        (until < Timestamp::MAX).then(|| (until, Due::MembershipEnd(id.clone(), role.clone())))
    });
    memberships.chain(account.until.map(|until| (until, Due::AccountEnd(id.clone())))).collect()
}

/// Removes a due thing. Its time follows from the record and the policy in force, as it did when it was added.
pub(super) fn forget_due(state: &mut State, due: &Due) {
    let organisation = &state.organisation;
    let dues = match due {
        Due::RequirementLapse(id, _) | Due::LapseWarning(id, ..) => {
            organisation.people.get(id).map(|person| dues_of_person(organisation, id, person))
        }
        Due::MembershipEnd(id, _) | Due::AccountEnd(id) => {
            organisation.accounts.get(id).map(|account| dues_of_account(id, account))
        }
        Due::ReviewDeadline(_)
        | Due::FollowUp(_)
        | Due::GrantEnd(_)
        | Due::Move(_)
        | Due::Leaving(_)
        | Due::EnrolmentDeadline(_)
        | Due::ProposalDeadline(_)
        | Due::CampaignEnd(_) => None,
    };
    for it in dues.into_iter().flatten().filter(|(_, other)| other == due) {
        state.due.remove(&it);
    }
}
