//! A single leaving that takes effect at once passes the brake as long as that has something left. Beyond it the person is stopped
//! by a lock at once, and a person with `feed.release` confirms their leaving or undoes it: by single leavings, one after
//! another, a connector gone wrong would else end everybody (known failure B19).

use std::collections::BTreeSet;

use super::brake;
use super::happening::Sent;
use crate::domain::decide::caller::make_id;
use crate::domain::directory::Account;
use crate::domain::effect::overlay::Overlay;
use crate::domain::policy::CapabilityName;
use crate::domain::record::command::Envelope;
use crate::domain::record::event::{Fact, LockFact};
use crate::domain::record::lock::{Lock, LockMode, Locked};
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, HoldId, LockId, PersonId, Principal};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// Who decides on a hold, and who lifts a lock: of each the last two are stopped by no feed.
const KEPT: [CapabilityName; 2] = [CapabilityName::FeedRelease, CapabilityName::LockManage];
/// So many of each.
const KEPT_HOLDERS: usize = 2;

/// The hold in which the very leaving waits already.
pub(super) fn waiting(state: &State, sent: &[Sent]) -> Option<HoldId> {
    let only = brake::alone(sent)?;
    let mut held = state.held_of(&only.person);
    held.find(|(hold, event)| hold.aside.is_none() && event.change.is_urgent()).map(|(hold, _)| hold.id)
}

/// What a repeated leaving without a place in a stream is told.
pub(super) fn still_waits(person: &PersonId, hold: HoldId) -> Refusal {
    Refusal::new(Reason::Held, format!("`{person}`, as `{hold}`")).with("person", person).with("hold", hold)
}

/// Stops a person until their leaving is decided on. None: they are not to be stopped by a feed, or are stopped already.
pub(super) fn suspend(
    overlay: &mut Overlay,
    person: &PersonId,
    sender: &AccountId,
    envelope: &Envelope,
) -> Option<LockId> {
    let organisation = overlay.state().organisation();
    let on = Locked::Person(person.clone());
    if organisation.locks().on(&on).is_some() || is_among_the_last(overlay.state(), person, overlay.clocks()) {
        return None;
    }
    let lock = Lock {
        id: make_id(envelope, 1).into(),
        on,
        mode: LockMode::Suspend,
        reason: "HR says that they left, beyond what the brake lets through; who has `feed.release` decides".to_owned(),
        by: Some(Principal::Account(sender.clone())),
        at: overlay.clocks().stamp,
        until: None,
    };
    let id = lock.id;
    overlay.record([Fact::Lock(LockFact::Created(Box::new(lock)))]);
    Some(id)
}

fn is_among_the_last(state: &State, person: &PersonId, now: Now) -> bool {
    let organisation = state.organisation();
    KEPT.iter().any(|name| {
        let accounts = organisation.holders(*name, now.latest).filter_map(|id| organisation.accounts().get(id));
        let persons: BTreeSet<&PersonId> = accounts.filter(|it| !it.is_machine()).map(Account::person).collect();
        persons.contains(person) && persons.len() <= KEPT_HOLDERS
    })
}
