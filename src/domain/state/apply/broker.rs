//! What is recorded of the broker itself: its clocks, what it refused, and what it forgot.

use crate::domain::record::event::{Actor, BrokerFact, Event, Pruned, RefusalsCounted};
use crate::domain::state::State;
use crate::domain::value::time::Timestamp;

pub(super) fn record(state: &mut State, fact: &BrokerFact, event: &Event) {
    match fact {
        BrokerFact::CommandRefused(_) => count_refusal(state, event),
        BrokerFact::RefusalsCounted(fact) => refusals_counted(state, fact),
        BrokerFact::Pruned(fact) => prune(state, fact, event.at),
        BrokerFact::Started(fact) => state.clock = Some(fact.clock.clone()),
        BrokerFact::ClockRead(pair) | BrokerFact::ClockAccepted(pair) => state.clock = Some(pair.clone()),
        BrokerFact::LossAccepted(fact) => state.journal = Some(fact.journal),
        // Those rows were never applied, so nothing is undone.
        BrokerFact::RowsAbandoned(_) => {}
    }
}

fn count_refusal(state: &mut State, event: &Event) {
    let Actor::Caller(principal) = &event.actor else { return };
    state.refusals.or_default(principal.clone()).add(event.at);
}

fn refusals_counted(state: &mut State, fact: &RefusalsCounted) {
    // The count comes a minute late. Refusals recorded in a newer minute must stay counted.
    if state.refusals.get(&fact.caller).is_some_and(|window| window.minute == fact.minute) {
        state.refusals.remove(&fact.caller);
    }
}

fn prune(state: &mut State, fact: &Pruned, at: Timestamp) {
    state.keep_holdings(&fact.grants, at);
    fact.elevations.iter().for_each(|id| state.remove_elevation(*id));
    fact.grants.iter().for_each(|id| state.remove_grant(*id));
    fact.enrolments.iter().for_each(|id| state.remove_enrolment(*id));
    fact.campaigns.iter().for_each(|id| state.remove_campaign(*id));
    fact.proposals.iter().for_each(|id| state.remove_proposal(*id));
    state.organisation.formerly.forget_before(fact.identities_before);
    forget_requests(state, fact.requests_before);
}

fn forget_requests(state: &mut State, before: Timestamp) {
    while let Some((at, principal, id)) = state.requests_by_age.get_min().filter(|(at, ..)| *at < before).cloned() {
        state.requests_by_age.remove(&(at, principal.clone(), id));
        state.forget_request(principal, id);
    }
    let old = state.refusals.iter().filter(|(_, window)| window.minute < before).map(|(who, _)| who.clone());
    old.collect::<Vec<_>>().iter().for_each(|who| {
        state.refusals.remove(who);
    });
    let old = state.tokens.iter().filter(|(_, count)| count.minute < before).map(|(grant, _)| *grant);
    old.collect::<Vec<_>>().iter().for_each(|grant| {
        state.tokens.remove(grant);
    });
}
