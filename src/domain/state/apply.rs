//! `apply`: records what was decided. One match; no policy, no clock, nothing refused. Replay is this, over the journal.

mod broker;
mod campaigns;
mod dues;
mod elevations;
mod enrolments;
mod feed;
mod grants;
mod life;
mod organisation;
mod proposals;

use super::{Bound, State, kept};
use crate::domain::record::event::{Actor, Event, Fact, LockDeleted, LockFact, LockNamed};

/// Records one event.
pub fn apply(state: &mut State, event: &Event) {
    state.sequence = event.sequence;
    state.last_at = state.last_at.max(event.at);
    bind(state, event);
    record(state, event);
}

/// Binds the `request_id` that the event carries, if it does.
pub(in crate::domain) fn bind(state: &mut State, event: &Event) {
    if let (Some(mark), Actor::Caller(principal)) = (&event.request, &event.actor) {
        let about = event.fact.about().into_iter().next();
        let by = event.from.as_ref().map(|from| from.identity.clone());
        if let Some(by) = &by {
            state.senders.insert((by.clone(), mark.id), principal.clone());
        }
        let bound = Bound { by, command: mark.command, about, sequence: event.sequence, at: event.at };
        if state.requests.insert((principal.clone(), mark.id), bound).is_none() {
            state.keeps(principal.clone(), kept::REQUEST_BYTES);
        }
        state.requests_by_age.insert((event.at, principal.clone(), mark.id));
    }
}

fn record(state: &mut State, event: &Event) {
    let at = event.at;
    match &event.fact {
        Fact::Organisation(fact) => organisation::record(state, fact, at),
        Fact::Life(fact) => life::record(state, fact, at),
        Fact::Proposal(fact) => proposals::record(state, fact, at),
        Fact::Feed(fact) => feed::record(state, fact, event),
        Fact::Enrolment(fact) => enrolments::record(state, fact, at),
        Fact::Campaign(fact) => campaigns::record(state, fact, event),
        Fact::Elevation(fact) => elevations::record(state, fact, at),
        Fact::Grant(fact) => grants::record(state, fact, at),
        Fact::Lock(LockFact::Created(lock)) => state.organisation.locks.put((**lock).clone()),
        Fact::Lock(LockFact::Deleted(LockDeleted { lock, .. }) | LockFact::Ended(LockNamed { lock, .. })) => {
            state.organisation.locks.remove(*lock);
        }
        Fact::Broker(fact) => broker::record(state, fact, event),
    }
}
