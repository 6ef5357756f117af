//! What is recorded of rounds of recertification. What they change of memberships stands in records of accounts.

use crate::domain::event::{Event, Fact};
use crate::domain::ids::{AccountId, RoleName, RoundId};
use crate::domain::recertification::{Round, RoundOutcome};
use crate::domain::state::State;
use crate::domain::time::Timestamp;

pub(super) fn record(state: &mut State, event: &Event) {
    let at = event.at;
    match &event.fact {
        Fact::RoundStarted(round) => state.put_round((**round).clone()),
        Fact::MembershipConfirmed(fact) => change(state, fact.round, |round| {
            if let (Some(item), crate::domain::event::Actor::Caller(by)) =
                (round.items.get_mut(&fact.account), &event.actor)
            {
                item.outcome = Some(RoundOutcome::Confirmed { at, by: by.clone() });
            }
        }),
        Fact::MembershipRevoked(fact) => end(state, &fact.account, &fact.role, at),
        Fact::MembershipEnded(fact) => end(state, &fact.account, &fact.role, at),
        Fact::RoundClosed(fact) => close(state, fact.round, at),
        _ => {}
    }
}

/// What was not decided about ended some other way, with the account or the person; unless it is still held, because an
/// enrolment gave it anew meanwhile: about that this round decides nothing.
fn close(state: &mut State, id: RoundId, at: Timestamp) {
    let accounts = state.organisation.accounts.clone();
    change(state, id, |round| {
        for (account, item) in &mut round.items {
            let held = accounts.get(account).is_some_and(|account| account.roles.contains_key(&round.role));
            if item.outcome.is_none() && !held {
                item.outcome = Some(RoundOutcome::Ended { at });
            }
        }
        round.closed_at = Some(at);
    });
}

fn end(state: &mut State, account: &AccountId, role: &RoleName, at: Timestamp) {
    let concerned = |round: &Round| {
        round.closed_at.is_none()
            && round.role == *role
            && round.items.get(account).is_some_and(|item| item.outcome.is_none())
    };
    let rounds: Vec<RoundId> = state.rounds.values().filter(|it| concerned(it)).map(|round| round.id).collect();
    for id in rounds {
        change(state, id, |round| {
            if let Some(item) = round.items.get_mut(account) {
                item.outcome = Some(RoundOutcome::Ended { at });
            }
        });
    }
}

fn change(state: &mut State, id: RoundId, change: impl FnOnce(&mut Round)) {
    if let Some(mut round) = state.rounds.get(&id).cloned() {
        change(&mut round);
        state.put_round(round);
    }
}
