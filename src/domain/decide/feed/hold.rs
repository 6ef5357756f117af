//! What the brake holds, and its release or rejection by a person.

use super::super::caller::{Caller, needs, principal};
use super::brake::lifts;
use super::claims;
use super::fits;
use super::happening::{happen, of_own_organisation};
use super::rewriting::{lift, put};
use super::tenant;
use crate::domain::directory::{Account, BroughtBy};
use crate::domain::effect::overlay::Overlay;
use crate::domain::policy::CapabilityName;
use crate::domain::record::command::{DecideHold, Envelope, RetireStream};
use crate::domain::record::event::{Actor, Fact, FeedFact, HrEventLeftOut, HrHoldDecided, HrStreamRetired};
use crate::domain::record::hr::{Hold, HrChange, HrEvent, StreamPlace};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, HoldId, LockId, PersonId, StreamName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// Where a hold comes from.
pub(super) struct New<'a> {
    pub(super) envelope: &'a Envelope,
    pub(super) id: HoldId,
    pub(super) sender: AccountId,
    pub(super) author: Option<PersonId>,
    pub(super) stream: Option<StreamName>,
    pub(super) from_import: bool,
    /// The lock that stops the person of what is held.
    pub(super) suspends: Option<LockId>,
    /// The number of what came in the stream.
    pub(super) number: Option<u64>,
}

/// Holds events, if there are any.
pub(super) fn catch(overlay: &mut Overlay, events: Vec<HrEvent>, new: &New<'_>) {
    if events.is_empty() {
        return;
    }
    put(
        overlay,
        Hold {
            id: new.id,
            held_at: overlay.clocks().stamp,
            sender: new.sender.clone(),
            author: new.author.clone(),
            stream: new.stream.clone(),
            from_import: new.from_import,
            after: overlay.state().sequence(),
            aside: None,
            suspends: new.suspends,
            events,
        },
    );
}

/// The rejections of what was held of earlier imports of the stream, which a new import replaces.
pub(super) fn replaced(state: &State, place: &StreamPlace) -> Vec<Fact> {
    let older = state.holds.values().filter(|it| it.from_import && it.stream.as_ref() == Some(&place.stream));
    let reason = || "a later import takes its place".to_owned();
    older
        .map(|it| Fact::Feed(FeedFact::HoldDecided(HrHoldDecided { hold: it.id, released: false, reason: reason() })))
        .collect()
}

/// Lets a hold through or throws it away. What can no longer be applied is left out.
pub(super) fn decide_hold(
    state: &State,
    caller: &Caller<'_>,
    command: &DecideHold,
    now: Now,
) -> Result<Overlay, Refusal> {
    let &DecideHold { hold: id, digest, release, ref reason } = command;
    let own = releaser(state, caller, now)?;
    let Some(hold) = state.holds.get(&id) else { return Err(Refusal::not_found("hold", id)) };
    if hold.digest() != digest {
        let detail = format!("`{digest}` was named, what is held is `{}`", hold.digest());
        return Err(Refusal::new(Reason::DigestMismatch, detail).with("hold", id));
    }
    // A release may widen one's own standing, and a rejection may keep it from being narrowed.
    let answers = state.organisation.accounts.get(&hold.sender).map(Account::person);
    let own_author = hold.author.as_ref() == Some(own) || answers == Some(own);
    let touches = |event: &HrEvent| {
        // What is another side's says nothing of anybody, and is for anybody to throw away.
        let own_part = hold.is_waited_for() && event.person == *own && event.change.is_leaving() != release;
        own_part || (release && own_author && lifts(&state.organisation, own, event, now))
    };
    if let Some(event) = hold.events.iter().find(|event| touches(event)) {
        let detail = match event.person == *own {
            true => format!("`{own}` is among them"),
            false => format!("`{own}` sent what would make them answer for `{}`", event.person),
        };
        return Err(Refusal::new(Reason::OwnStanding, detail).with("person", own));
    }
    // No identity goes from one to another by the word of either, nor by that of whoever sent it.
    let moves = |event: &&HrEvent| {
        let others = claims::others(&state.organisation, event, now.latest);
        others.contains(own) || (own_author && !others.is_empty())
    };
    if release && let Some(event) = hold.events.iter().find(moves) {
        let detail = format!(
            "`{}` would have an identity that is, or was lately, another's: neither `{own}`, whose it was or who sent it, lets it go",
            event.person
        );
        return Err(Refusal::new(Reason::OwnStanding, detail).with("person", own));
    }
    if release && let Some((person, earlier)) = earlier(state, hold, now) {
        let detail = format!("`{earlier}` has an earlier change of `{person}`");
        return Err(Refusal::new(Reason::Held, detail).with("person", person).with("hold", earlier));
    }
    let mut overlay = Overlay::new(state, Actor::Caller(principal(caller)), now);
    overlay.record([Fact::Feed(FeedFact::HoldDecided(HrHoldDecided {
        hold: id,
        released: release,
        reason: reason.to_owned(),
    }))]);
    for event in hold.events.iter().filter(|_| release) {
        let_through(&mut overlay, hold, event)?;
    }
    lift(&mut overlay, hold, &principal(caller), reason);
    Ok(overlay)
}

/// What the brake held and no longer fits is left out, and said to be. What was set aside because it could not happen is let through once it
/// can: whoever lets it through is told what still stands in its way.
fn let_through(overlay: &mut Overlay, hold: &Hold, event: &HrEvent) -> Result<(), Refusal> {
    let by = BroughtBy { sender: hold.sender.clone(), author: hold.author.clone() };
    let tenant = overlay.state().organisation().tenant_of_account(&hold.sender).cloned();
    match (&hold.aside, tenant) {
        (Some(_), Some(tenant)) => tenant::apply(overlay, &tenant, &by, None, true, event),
        (Some(_), None) => {
            of_own_organisation(overlay.state().organisation(), event)?;
            happen(overlay, None, Some(&by), None, true, event)
        }
        (None, _) if fits::fits(overlay, event) => happen(overlay, None, Some(&by), None, true, event),
        (None, _) => {
            overlay
                .record([Fact::Feed(FeedFact::EventLeftOut(HrEventLeftOut { hold: hold.id, event: event.clone() }))]);
            Ok(())
        }
    }
}

/// Retires a stream: nothing more is expected of it.
pub(super) fn retire(state: &State, caller: &Caller<'_>, command: &RetireStream, now: Now) -> Result<Overlay, Refusal> {
    let RetireStream { stream, reason } = command;
    releaser(state, caller, now)?;
    if !state.feeds.contains_key(stream) {
        return Err(Refusal::not_found("stream", stream));
    }
    let fact = HrStreamRetired { stream: stream.clone(), reason: reason.clone() };
    let mut overlay = Overlay::new(state, Actor::Caller(principal(caller)), now);
    overlay.record([Fact::Feed(FeedFact::StreamRetired(fact))]);
    Ok(overlay)
}

/// The caller's person, who needs `feed.release`: no machine decides on what a machine sent.
fn releaser<'a>(state: &State, caller: &Caller<'a>, now: Now) -> Result<&'a PersonId, Refusal> {
    needs(state, caller, CapabilityName::FeedRelease, now)?;
    let machine = || Refusal::new(Reason::NotAnApprover, "only a person decides on what the brake holds");
    caller.viewer.person.as_ref().ok_or_else(machine)
}

/// The first hold that was caught before this one and is about one of the same persons, or about a manager who has yet
/// to join, without whom the joinings and transfers to them could not be applied.
fn earlier<'a>(state: &'a State, hold: &'a Hold, now: Now) -> Option<(&'a PersonId, HoldId)> {
    let works_here = |id: &PersonId| state.organisation.works_here(id, now.latest);
    let mut persons = hold.events.iter().flat_map(|event| {
        let manager = match &event.change {
            HrChange::Joined { manager, .. } | HrChange::Transferred { manager, .. } => manager.as_ref(),
            HrChange::Renamed { .. }
            | HrChange::LoginsChanged { .. }
            | HrChange::Left { .. }
            | HrChange::Stays
            | HrChange::Roles { .. } => None,
        };
        [Some(&event.person), manager.filter(|manager| !works_here(manager))].into_iter().flatten()
    });
    persons.find_map(|person| {
        let others = state.held_of.of(person).filter_map(|id| state.holds.get(id));
        let before = others.filter(|other| other.id != hold.id && other.after < hold.after).map(|other| other.id);
        before.min().map(|id| (person, id))
    })
}
