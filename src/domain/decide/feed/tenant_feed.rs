//! What a tenant's own feed sends: event after event. What cannot happen is set aside, as of any feed, so that its leavings wait
//! for nothing.

use super::super::caller::{Caller, needs, principal};
use super::aside::SettingAside;
use super::happening::{Sent, applied, author, not_own};
use super::hold::New;
use super::{place, rewriting, tenant};
use crate::domain::directory::is_named_by;
use crate::domain::effect::overlay::Overlay;
use crate::domain::policy::CapabilityName;
use crate::domain::record::event::{Actor, Fact, FeedFact, HrFeedHeard};
use crate::domain::record::hr::{HrEvent, StreamPlace};
use crate::domain::rule::tenant_limits::{room_for_events, room_for_stream, room_to_set_aside};
use crate::domain::state::State;
use crate::domain::value::ids::TenantName;
use crate::domain::value::refusal::{Reason, Refusal};

/// What a tenant's feed says happened, in order.
pub(super) fn apply_events(
    state: &State,
    caller: &Caller<'_>,
    of: &TenantName,
    place: Option<&StreamPlace>,
    events: &[HrEvent],
    new: &New<'_>,
) -> Result<Overlay, Refusal> {
    let now = new.envelope.now;
    needs(state, caller, CapabilityName::HrFeed, now)?;
    if let Some(place) = place.filter(|place| !is_named_by(of, place.stream.as_str())) {
        return Err(tenant::outside(of, &place.stream));
    }
    if let Some(place) = place {
        room_for_stream(state, Some(of), &place.stream, events.is_empty())?;
    }
    let arrival = place::of_events(state, caller, place, events)?;
    let giving = arrival.fresh.iter().filter(|(_, event)| !event.change.takes_alone()).count();
    room_for_events(state, of, giving, now)?;
    let mut overlay = Overlay::new(state, Actor::Caller(principal(caller)), now);
    if let Some(place) = arrival.heard {
        overlay.record([Fact::Feed(FeedFact::Heard(HrFeedHeard { place, sender: caller.account.clone() }))]);
    }
    let author = author(state, caller);
    let mut aside = SettingAside::new(new);
    for (number, (place, event)) in (1_u64..).zip(arrival.fresh) {
        let sent = Sent { place, event: event.said_at(now.stamp) };
        let mut tried = not_own(author.as_ref(), &sent.event);
        if tried.is_ok() {
            tried = overlay.attempt(|overlay| one(overlay, of, &sent, new));
        }
        if let Err(refusal) = tried {
            if !aside.takes(&sent) {
                let number = sent.place.as_ref().map_or(number, |place| place.number);
                return Err(refusal.with("number", number).with("person", &sent.event.person));
            }
            let rest = aside.take_away(&mut overlay, Some(of), &sent, |overlay, takes| {
                overlay.attempt(|overlay| one(overlay, of, takes, new))
            });
            if let Some(rest) = rest {
                room_to_set_aside(overlay.state(), of)?;
                aside.put(&mut overlay, &rest, &refusal);
            }
        }
    }
    Ok(overlay)
}

/// An event happens, unless something of its person was set aside: what takes identities away and a leaving go on all the same, and when the time of a
/// leaving has come nothing of that is to happen any more.
fn one(overlay: &mut Overlay, of: &TenantName, sent: &Sent, new: &New<'_>) -> Result<(), Refusal> {
    let event = &sent.event;
    let person = &event.person;
    // First: what is another side's is nothing to drop, and nothing to learn of.
    tenant::within(overlay.state().organisation(), of, event, overlay.clocks())?;
    if overlay.state().held_of.count(person) > 0 {
        let works_here = overlay.state().organisation().works_here(person, overlay.clocks().latest);
        let now = event.change.is_leaving_now(overlay.clocks().latest);
        let narrows = event.change.is_leaving() || event.change.only_takes_logins();
        if !narrows || (!now && !works_here) {
            return Err(Refusal::new(Reason::Held, format!("`{person}`")).with("person", person));
        }
        if now {
            rewriting::drop_persons(overlay, &[person.clone()].into());
            if !overlay.state().organisation().people().contains_key(person) {
                overlay.record([applied(sent.place.as_ref(), false, event)]);
                return Ok(());
            }
        }
    }
    tenant::apply(overlay, of, &new.brought_by(), sent.place.as_ref(), false, event)
}
