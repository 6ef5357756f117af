//! Holds as they are recorded, and recorded anew without what a later word has overtaken: all of a person who left, and the
//! identities that were taken from one.

use std::collections::BTreeSet;

use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::{Fact, FeedFact, HrHoldDecided, LockDeleted, LockFact};
use crate::domain::record::hr::{Hold, HrEvent};
use crate::domain::record::lock::Lock;
use crate::domain::value::ids::{HoldId, Identity, PersonId, Principal};

/// A hold's events are recorded in pieces of about this many bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// Records a hold in pieces that the journal takes as rows.
pub(super) fn put(overlay: &mut Overlay, mut hold: Hold) {
    let events = std::mem::take(&mut hold.events);
    let mut piece = hold.clone();
    let mut bytes = 0_usize;
    for event in events {
        bytes = bytes.saturating_add(serde_json::to_vec(&event).map_or(0, |json| json.len()));
        piece.events.push(event);
        if bytes >= PIECE_BYTES {
            overlay.record([Fact::Feed(FeedFact::Held(Box::new(std::mem::replace(&mut piece, hold.clone()))))]);
            bytes = 0;
        }
    }
    if !piece.events.is_empty() {
        overlay.record([Fact::Feed(FeedFact::Held(Box::new(piece)))]);
    }
}

/// What waits of those who leave at once is dropped: nothing of it may come later. Each hold is written anew once, however many
/// leave: a long one would else be written a second time for each of them.
pub(super) fn drop_persons(overlay: &mut Overlay, persons: &BTreeSet<PersonId>) {
    let held_of = |person| overlay.state().held_of.of(person);
    let holds: BTreeSet<HoldId> = persons.iter().flat_map(held_of).copied().collect();
    for id in holds {
        let Some(mut hold) = overlay.state().holds.get(&id).cloned() else { continue };
        let waiting: BTreeSet<&PersonId> = hold.events.iter().map(|event| &event.person).collect();
        let mut left = waiting.into_iter().filter(|person| persons.contains(*person));
        let Some(first) = left.next() else { continue };
        let reason = match left.count() {
            0 => format!("`{first}` left at once"),
            others => format!("`{first}` left at once, and {others} others"),
        };
        if let Some(person) = &hold.suspends.and(Some(first)) {
            let by = Principal::Account(hold.sender.clone());
            lift(overlay, &hold, &by, &format!("`{person}` left by another word of HR's"));
        }
        hold.events.retain(|event| !persons.contains(&event.person));
        overlay.record([Fact::Feed(FeedFact::HoldDecided(HrHoldDecided { hold: id, released: false, reason }))]);
        put(overlay, hold);
    }
}

/// What a hold stopped goes on once it has been decided on, unless somebody lifted the lock before.
pub(super) fn lift(overlay: &mut Overlay, hold: &Hold, by: &Principal, reason: &str) {
    let lock = hold.suspends.and_then(|id| overlay.state().organisation().locks().get(id).cloned());
    let Some(Lock { id, on, .. }) = lock else { return };
    let deleted = LockDeleted { lock: id, on, by: by.clone(), reason: reason.to_owned() };
    overlay.record([Fact::Lock(LockFact::Deleted(deleted))]);
}

/// What waits of a person no longer gives them what is taken away now: released later, it would bring back what was stolen.
pub(super) fn strip(overlay: &mut Overlay, person: &PersonId, removed: &BTreeSet<Identity>) {
    let gives = |event: &HrEvent| event.person == *person && event.change.gives_any(removed);
    let ids: Vec<HoldId> = overlay.state().held_of.of(person).copied().collect();
    for id in ids {
        let Some(mut hold) = overlay.state().holds.get(&id).cloned() else { continue };
        if !hold.events.iter().any(gives) {
            continue;
        }
        let events = std::mem::take(&mut hold.events).into_iter();
        hold.events =
            events.filter_map(|event| if gives(&event) { event.without(removed) } else { Some(event) }).collect();
        let reason = format!("an identity of `{person}` in it was taken away");
        overlay.record([Fact::Feed(FeedFact::HoldDecided(HrHoldDecided { hold: id, released: false, reason }))]);
        put(overlay, hold);
    }
}
