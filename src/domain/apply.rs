//! `apply`: records what was decided. One match; no policy, no clock, nothing refused. Replay is this, over the journal.

use std::sync::Arc;

use super::directory::{Account, Person};
use super::elevation::{Elevation, Phase};
use super::event::{Actor, ApprovalStruck, DecisionRecorded, Event, Fact, GrantShortened};
use super::grant::{Grant, GrantPhase};
use super::ids::{AccountId, ElevationId, GrantId, PersonId};
use super::organisation::Organisation;
use super::state::{Bound, Due, RefusalWindow, State};
use super::time::Timestamp;

/// How long a `request_id` stays bound.
pub const REQUESTS_KEPT: super::time::Span = super::time::Span::DAY;

/// Records one event.
pub fn apply(state: &mut State, event: &Event) {
    state.sequence = event.sequence;
    state.last_at = state.last_at.max(event.at);
    if let (Some(mark), Actor::Caller(principal)) = (&event.request, &event.actor) {
        let about = event.fact.about().into_iter().next();
        let bound = Bound { command: mark.command, about, sequence: event.sequence, at: event.at };
        state.requests.insert((principal.clone(), mark.id), bound);
        state.requests_by_age.insert((event.at, principal.clone(), mark.id));
    }
    record(state, event);
}

fn record(state: &mut State, event: &Event) {
    let at = event.at;
    match &event.fact {
        Fact::PolicyLoaded(loaded) => {
            put_policy(&mut state.organisation, &loaded.text);
            put_all_dues(state, at);
        }
        Fact::DirectoryLoaded(loaded) => state.organisation.directory_digest = Some(loaded.digest),
        Fact::TenantRecorded(fact) => {
            state.organisation.tenants.insert(fact.id.clone(), fact.tenant.clone());
        }
        Fact::PersonRecorded(fact) => put_person(state, &fact.id, &fact.person, at),
        Fact::AccountRecorded(fact) => put_account(state, &fact.id, &fact.account, at),
        Fact::RequirementLapsed(fact) => {
            let due = Due::RequirementLapse(fact.person.clone(), fact.requirement.clone());
            forget_due(state, &due);
        }
        Fact::MembershipEnded(fact) => {
            forget_due(state, &Due::MembershipEnd(fact.account.clone(), fact.role.clone()));
        }
        Fact::AccountEnded(fact) => forget_due(state, &Due::AccountEnd(fact.account.clone())),
        Fact::ElevationRequested(elevation) => state.put_elevation((**elevation).clone()),
        Fact::ApprovalRecorded(fact) => put_decision(state, fact),
        Fact::ApprovalStruck(fact) => strike(state, fact),
        Fact::ElevationApproved(fact) => close(state, fact.elevation, Phase::Approved { at, grant: fact.grant }),
        Fact::ElevationDenied(fact) => {
            put_decision(state, fact);
            close(state, fact.elevation, Phase::Denied { at });
        }
        Fact::ElevationWithdrawn(fact) => {
            close(state, fact.elevation, Phase::Withdrawn { at, by: fact.by.clone(), reason: fact.reason.clone() });
        }
        Fact::ElevationExpired(fact) => close(state, fact.elevation, Phase::Expired { at }),
        Fact::ElevationCancelled(fact) => {
            close(state, fact.elevation, Phase::Cancelled { at, because: fact.because.clone() });
        }
        Fact::GrantIssued(grant) => state.put_grant((**grant).clone()),
        Fact::GrantStarted(fact) => change_grant(state, fact.grant, |grant| {
            grant.continuous_since = fact.continuous_since;
            grant.phase = GrantPhase::Active;
        }),
        Fact::GrantShortened(fact) => shorten(state, fact),
        Fact::GrantEnded(fact) => change_grant(state, fact.grant, |grant| grant.phase = GrantPhase::Ended { at }),
        Fact::GrantRelinquished(fact) => change_grant(state, fact.grant, |grant| {
            grant.phase = GrantPhase::Relinquished { at, by: fact.by.clone(), reason: fact.reason.clone() };
        }),
        Fact::GrantRevoked(fact) => change_grant(state, fact.grant, |grant| {
            grant.phase = GrantPhase::Revoked { at, because: fact.because.clone() };
        }),
        Fact::CommandRefused(_) => count_refusal(state, event),
        Fact::RefusalsCounted(fact) => {
            // The count comes late: what is told in another minute by then stays counted.
            if state.refusals.get(&fact.caller).is_some_and(|window| window.minute == fact.minute) {
                state.refusals.remove(&fact.caller);
            }
        }
        Fact::Pruned(fact) => {
            fact.elevations.iter().for_each(|id| state.remove_elevation(*id));
            fact.grants.iter().for_each(|id| state.remove_grant(*id));
            forget_requests(state, fact.requests_before);
        }
        Fact::BrokerStarted(fact) => state.clock = Some(fact.clock.clone()),
        Fact::ClockRead(pair) | Fact::ClockAccepted(pair) => state.clock = Some(pair.clone()),
        Fact::RowsAbandoned(_) => {}
    }
}

/// Puts a policy in force. The text was parsed before it was journaled; were it not to parse now, nothing is offered.
pub(super) fn put_policy(organisation: &mut Organisation, text: &str) {
    let policy = super::policy::parse_policy(text).map(|parsed| parsed.policy).unwrap_or_default();
    organisation.policy = Arc::new(policy);
    organisation.policy_text = text.into();
}

fn put_person(state: &mut State, id: &PersonId, person: &Person, at: Timestamp) {
    if let Some(old) = state.organisation.people.get(id) {
        for (when, due) in dues_of_person(&state.organisation, id, old) {
            state.due.remove(&(when, due));
        }
    }
    state.organisation.put_person(id.clone(), person.clone());
    let dues = dues_of_person(&state.organisation, id, person);
    state.due.extend(dues.into_iter().filter(|(when, _)| *when > at));
}

fn put_account(state: &mut State, id: &AccountId, account: &Account, at: Timestamp) {
    if let Some(old) = state.organisation.accounts.get(id) {
        for due in dues_of_account(id, old) {
            state.due.remove(&due);
        }
    }
    state.due.extend(dues_of_account(id, account).into_iter().filter(|(when, _)| *when > at));
    state.organisation.put_account(id.clone(), account.clone());
}

/// After a change of policy every lapse is another: the index is made anew.
fn put_all_dues(state: &mut State, at: Timestamp) {
    state.due.retain(|(_, due)| !matches!(due, Due::RequirementLapse(..)));
    let organisation = &state.organisation;
    let dues = organisation.people.iter().flat_map(|(id, person)| dues_of_person(organisation, id, person));
    state.due.extend(dues.filter(|(when, _)| *when > at));
}

fn dues_of_person(organisation: &Organisation, id: &PersonId, person: &Person) -> Vec<(Timestamp, Due)> {
    let known = person.attestations.iter().filter_map(|(name, attested)| {
        let until = organisation.policy.requirements.get(name)?.lapses_at(*attested);
        (until < Timestamp::MAX).then(|| (until, Due::RequirementLapse(id.clone(), name.clone())))
    });
    known.collect()
}

fn dues_of_account(id: &AccountId, account: &Account) -> Vec<(Timestamp, Due)> {
    let memberships = account.roles.iter().filter_map(|(role, membership)| {
        membership.until.map(|until| (until, Due::MembershipEnd(id.clone(), role.clone())))
    });
    memberships.chain(account.until.map(|until| (until, Due::AccountEnd(id.clone())))).collect()
}

fn forget_due(state: &mut State, due: &Due) {
    // By identity, not by time: a tick records by `latest`, which may be past the stamp. What is due stands in front.
    let when = state.due.iter().find(|(_, other)| other == due).map(|(when, _)| *when);
    if let Some(when) = when {
        state.due.remove(&(when, due.clone()));
    }
}

fn change_elevation(state: &mut State, id: ElevationId, change: impl FnOnce(&mut Elevation)) {
    if let Some(mut elevation) = state.elevations.get(&id).cloned() {
        change(&mut elevation);
        state.put_elevation(elevation);
    }
}

fn put_decision(state: &mut State, fact: &DecisionRecorded) {
    change_elevation(state, fact.elevation, |elevation| elevation.review.decisions.push(fact.decision.clone()));
}

fn strike(state: &mut State, fact: &ApprovalStruck) {
    change_elevation(state, fact.elevation, |elevation| {
        for decision in elevation.review.decisions.iter_mut().filter(|decision| decision.person == fact.person) {
            decision.struck.get_or_insert_with(|| fact.because.clone());
        }
    });
}

/// An end never moves later, whatever the journal were to say.
fn shorten(state: &mut State, fact: &GrantShortened) {
    change_grant(state, fact.grant, |grant| {
        if fact.end < grant.end {
            grant.end = fact.end;
            grant.end_because = fact.because.clone();
        }
    });
}

fn close(state: &mut State, id: ElevationId, phase: Phase) {
    change_elevation(state, id, |elevation| elevation.phase = phase);
}

fn change_grant(state: &mut State, id: GrantId, change: impl FnOnce(&mut Grant)) {
    if let Some(mut grant) = state.grants.get(&id).cloned() {
        change(&mut grant);
        state.put_grant(grant);
    }
}

fn count_refusal(state: &mut State, event: &Event) {
    let Actor::Caller(principal) = &event.actor else { return };
    let minute = super::refused::minute_of(event.at);
    let window = state.refusals.entry(principal.clone()).or_default();
    if window.minute != minute {
        *window = RefusalWindow { minute, told: 0 };
    }
    window.told = window.told.saturating_add(1);
}

fn forget_requests(state: &mut State, before: Timestamp) {
    while let Some((at, principal, id)) = state.requests_by_age.first().filter(|(at, ..)| *at < before).cloned() {
        state.requests_by_age.remove(&(at, principal.clone(), id));
        state.requests.remove(&(principal, id));
    }
    state.refusals.retain(|_, window| window.minute >= before);
}
