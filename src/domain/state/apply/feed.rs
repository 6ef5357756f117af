//! What is recorded of the HR feed: how far each stream was heard, whom it touched lately, and what the brake holds.

use crate::domain::record::event::{Actor, Event, FeedFact};
use crate::domain::record::hr::{Feed, Hold, HrChange, HrEvent, StreamPlace};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, HoldId, PersonId, Principal, RequestId};
use crate::domain::value::limits::BRAKE_WINDOW;
use crate::domain::value::time::Timestamp;

pub(super) fn record(state: &mut State, fact: &FeedFact, event: &Event) {
    let at = event.at;
    match fact {
        FeedFact::EventApplied(fact) => {
            count_of_tenant(state, event, &fact.event);
            forget_touches(state, at);
            if matches!(fact.event.change, HrChange::Joined { .. }) {
                state.joined_by_feed.insert(fact.event.person.clone());
                forget_calls(state, &fact.event.person);
            }
            // What a person has released does not count for the brake.
            if !fact.released {
                state.hr_touches.insert((at, fact.event.person.clone(), fact.event.change.part()));
            }
        }
        FeedFact::Heard(fact) => {
            hear(state, &Heard { place: &fact.place, sender: &fact.sender, whole_file: false }, at);
        }
        FeedFact::Imported(fact) => {
            hear(state, &Heard { place: &fact.place, sender: &fact.sender, whole_file: true }, at);
        }
        FeedFact::Held(hold) | FeedFact::SetAside(hold) => {
            hold.events.iter().for_each(|held| count_of_tenant(state, event, held));
            put_hold(state, hold);
        }
        FeedFact::HoldDecided(fact) => forget_hold(state, fact.hold),
        // The hold is gone by then, and nothing else has changed.
        FeedFact::EventLeftOut(_) => {}
        FeedFact::StreamRetired(fact) => {
            if let Some(feed) = state.feeds.remove(&fact.stream) {
                state.forget_stream(&feed.sender, &fact.stream);
                state.retired_feeds.insert(fact.stream.clone(), feed.last_number);
            }
        }
    }
}

/// Counts what a tenant's own feed says that gives something.
fn count_of_tenant(state: &mut State, event: &Event, said: &HrEvent) {
    let Actor::Caller(Principal::Account(sender)) = &event.actor else { return };
    if !said.change.takes_alone() {
        state.count_of_tenant(&sender.clone(), event.at);
    }
}

/// What was heard of a stream, and from whom.
struct Heard<'a> {
    place: &'a StreamPlace,
    sender: &'a AccountId,
    whole_file: bool,
}

/// A stream that only repeats older numbers does not count as heard, so that a stale feed goes silent (known failure
/// B4).
fn hear(state: &mut State, heard: &Heard<'_>, at: Timestamp) {
    let &Heard { place, sender, whole_file } = heard;
    let present = state.feeds.get(&place.stream);
    let is_news = match (present, state.retired_feeds.get(&place.stream)) {
        (Some(feed), _) => place.number >= feed.last_number,
        // One that was retired is expected again once it says something new.
        (None, Some(last)) => place.number > *last,
        (None, None) => true,
    };
    if is_news {
        let whole_files = whole_file || present.is_some_and(|feed| feed.whole_files);
        let feed = Feed { sender: sender.clone(), last_number: place.number, heard_at: at, whole_files };
        state.feeds.insert(place.stream.clone(), feed);
        state.note_stream(sender, &place.stream);
    }
}

/// Adds a hold. A large one comes in pieces, which share its id.
fn put_hold(state: &mut State, hold: &Hold) {
    for event in hold.events.iter().filter(|_| hold.is_waited_for()) {
        state.held_of.insert(event.person.clone(), hold.id);
    }
    match state.holds.get_mut(&hold.id) {
        Some(present) => present.events.extend(hold.events.iter().cloned()),
        None => {
            state.holds.insert(hold.id, hold.clone());
        }
    }
}

fn forget_hold(state: &mut State, id: HoldId) {
    let Some(hold) = state.holds.remove(&id) else { return };
    for event in &hold.events {
        state.held_of.remove(&event.person, &id);
    }
}

/// Forgets the calls that a person made without an account: whoever joins anew must not get answers to earlier calls.
fn forget_calls(state: &mut State, person: &PersonId) {
    let principal = Principal::Person(person.clone());
    let first = (principal.clone(), RequestId::from(uuid::Uuid::nil()));
    let calls = state.requests.starting_at(&first).take_while(|((of, _), _)| *of == principal);
    let calls: Vec<(Timestamp, RequestId)> = calls.map(|((_, id), bound)| (bound.at, *id)).collect();
    for (at, id) in calls {
        state.forget_request(principal.clone(), id);
        state.requests_by_age.remove(&(at, principal.clone(), id));
    }
}

fn forget_touches(state: &mut State, at: Timestamp) {
    let before = at.minus(BRAKE_WINDOW);
    while let Some(oldest) = state.hr_touches.get_min().filter(|(touched, ..)| *touched <= before).cloned() {
        state.hr_touches.remove(&oldest);
    }
}
