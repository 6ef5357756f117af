//! The HR feed: numbered events, whole files, the brake, and who releases it (known failures B4 and B8).
//!
//! Everything is decided on one overlay and is one batch: all of it, or none. What the brake catches goes into a hold
//! until a person with `feed.release` decides; the rest goes on.

mod aside;
mod brake;
mod claims;
mod diff;
mod file;
mod fits;
mod happening;
mod hold;
mod place;
mod rewriting;
mod suspending;
mod taking;
mod tenant;
mod tenant_feed;

use crate::domain::record::command::{ApplyHrEvents, FeedCommand, ImportPeople};

use aside::SettingAside;
use happening::{Sent, applied, author, happen, not_own, of_own_organisation};

use super::caller::{Caller, make_id, needs, principal};
use crate::domain::directory::tenant_named_by;
use crate::domain::effect::overlay::Overlay;
use crate::domain::policy::CapabilityName;
use crate::domain::record::command::Envelope;
use crate::domain::record::event::{Actor, Fact, FeedFact, HrFeedHeard, HrImported};
use crate::domain::record::hr::{HrEvent, StreamPlace};
use crate::domain::rule::tenant_limits::room_for_stream;
use crate::domain::state::State;
use crate::domain::value::ids::HoldId;
use crate::domain::value::refusal::{Reason, Refusal};

/// Decides what is asked about the HR feed.
///
/// # Errors
/// The first thing that stands in the way.
pub(super) fn decide(
    state: &State,
    caller: &Caller<'_>,
    command: &FeedCommand,
    envelope: &Envelope,
) -> Result<Overlay, Refusal> {
    let now = envelope.now;
    match command {
        FeedCommand::ApplyEvents(command) => apply_events(state, caller, command, envelope),
        FeedCommand::Import(command) => import(state, caller, command, envelope),
        FeedCommand::DecideHold(command) => decide_hold(state, caller, command, now),
        FeedCommand::RetireStream(command) => retire(state, caller, command, now),
    }
}

use hold::{decide_hold, retire};

/// What HR says happened, in order. Events that a stream repeats change nothing, and one that would make its author a
/// manager is held for somebody else to decide.
fn apply_events(
    state: &State,
    caller: &Caller<'_>,
    command: &ApplyHrEvents,
    envelope: &Envelope,
) -> Result<Overlay, Refusal> {
    let place = command.place.as_ref();
    let events: Vec<HrEvent> = command.events.iter().map(|event| event.said_at(envelope.now.stamp)).collect();
    if let Some(tenant) = state.organisation.tenant_of_account(caller.account).cloned() {
        let new = new_hold(state, caller, place, envelope);
        return tenant_feed::apply_events(state, caller, &tenant, place, &events, &new);
    }
    needs(state, caller, CapabilityName::HrFeed, envelope.now)?;
    own_stream(state, place)?;
    if let Some(place) = place {
        room_for_stream(state, None, &place.stream, events.is_empty())?;
    }
    let arrival = place::of_events(state, caller, place, &events)?;
    let new = new_hold(state, caller, place, envelope);
    // What has a place is set aside where it cannot happen; anything else is refused, and nobody waits behind it.
    for (_, event) in arrival.fresh.iter().filter(|(place, _)| place.is_none()) {
        not_own(new.author.as_ref(), event)?;
        of_own_organisation(&state.organisation, event)?;
    }
    let sent = arrival.fresh.into_iter();
    let sent: Vec<Sent> = sent.map(|(place, event)| Sent { place, event: event.said_at(envelope.now.stamp) }).collect();
    let stopped = brake::stops(state, &sent, envelope.now).cloned();
    let waiting = stopped.as_ref().zip(suspending::waiting(state, &sent));
    if let (Some((person, hold)), None) = (waiting, &arrival.heard) {
        return Err(suspending::still_waits(person, hold));
    }
    let mut overlay = Overlay::new(state, Actor::Caller(principal(caller)), envelope.now);
    if let Some(place) = arrival.heard {
        overlay.record([Fact::Feed(FeedFact::Heard(HrFeedHeard { place, sender: caller.account.clone() }))]);
    }
    if waiting.is_some() {
        return Ok(overlay);
    }
    let suspends =
        stopped.as_ref().and_then(|person| suspending::suspend(&mut overlay, person, caller.account, envelope));
    let new = hold::New { suspends, ..new };
    let sorted = brake::sort(state, sent, new.author.as_ref(), stopped.is_some(), envelope.now);
    take(&mut overlay, sorted, &new)?;
    Ok(overlay)
}

/// Everybody whom HR knows: the directory is made to agree. An import cannot widen its author's standing: what it says
/// of them, or who would report to them, is held for somebody else to decide.
fn import(state: &State, caller: &Caller<'_>, command: &ImportPeople, envelope: &Envelope) -> Result<Overlay, Refusal> {
    let ImportPeople { place, people } = command;
    let now = envelope.now;
    needs(state, caller, CapabilityName::HrFeed, now)?;
    if state.organisation.tenant_of_account(caller.account).is_some() {
        let detail = "only the own organisation imports whole files; a tenant's feed sends events";
        return Err(Refusal::new(Reason::OutsideTenant, detail));
    }
    own_stream(state, Some(place))?;
    place::of_import(state, caller, place)?;
    let events = diff::of(&state.organisation, people, now)?;
    let actor = Actor::Caller(principal(caller));
    // What the brake holds of an earlier import is left out here: if it is still so, this import says it again.
    let replaced = hold::replaced(state, place);
    let mut sorting = Overlay::new(state, actor.clone(), now);
    sorting.record(replaced.iter().cloned());
    let sent = events.into_iter().map(|event| Sent { place: None, event }).collect();
    let new = hold::New { from_import: true, ..new_hold(state, caller, Some(place), envelope) };
    let sorted = brake::sort(sorting.state(), sent, new.author.as_ref(), false, now);
    drop(sorting);
    let mut overlay = Overlay::new(state, actor, now);
    overlay.record([Fact::Feed(FeedFact::Imported(HrImported {
        place: place.clone(),
        sender: caller.account.clone(),
        people: count(people.len()),
        changes: count(sorted.pass.len()),
        held: count(sorted.held.len()),
    }))]);
    overlay.record(replaced);
    take(&mut overlay, sorted, &new)?;
    Ok(overlay)
}

/// What passes happens, or is set aside where it cannot; and what does not pass is held.
fn take(overlay: &mut Overlay, sorted: brake::Sorted, new: &hold::New<'_>) -> Result<(), Refusal> {
    let mut aside = SettingAside::new(new);
    for (index, sent) in (1_u64..).zip(&sorted.pass) {
        let dropped = sorted.dropped.contains(&sent.event.person);
        let unknown = !overlay.state().organisation().people().contains_key(&sent.event.person);
        if dropped && unknown {
            // The person leaves while their joining is still held: dropping that is all there is to do.
            overlay.record([applied(sent.place.as_ref(), false, &sent.event)]);
            continue;
        }
        if aside.takes(sent) {
            aside.take(overlay, sent);
            continue;
        }
        let happened = happen(overlay, None, Some(&new.brought_by()), None, false, &sent.event);
        happened.map_err(|refusal| refusal.with("number", index).with("person", &sent.event.person))?;
    }
    rewriting::drop_persons(overlay, &sorted.dropped);
    // Of one person what waits for what was set aside came before what the brake holds.
    aside.waits.extend(sorted.held);
    hold::catch(overlay, aside.waits, new);
    Ok(())
}

/// A stream that begins with a tenant's name and a dot is that tenant's to begin.
fn own_stream(state: &State, place: Option<&StreamPlace>) -> Result<(), Refusal> {
    let named = place.filter(|place| !state.feeds.contains_key(&place.stream));
    match named.filter(|place| tenant_named_by(&state.organisation.tenants, place.stream.as_str()).is_some()) {
        None => Ok(()),
        Some(place) => {
            let detail = format!("`{}`: of a tenant's name, and so that tenant's own feed's", place.stream);
            Err(Refusal::new(Reason::OutsideTenant, detail).with("stream", &place.stream))
        }
    }
}

fn new_hold<'a>(
    state: &State,
    caller: &Caller<'_>,
    place: Option<&StreamPlace>,
    envelope: &'a Envelope,
) -> hold::New<'a> {
    hold::New {
        envelope,
        id: HoldId::from(make_id(envelope, 0)),
        sender: caller.account.clone(),
        author: author(state, caller),
        stream: place.map(|place| place.stream.clone()),
        from_import: false,
        number: place.map(|place| place.number),
        suspends: None,
    }
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}
