//! The HR feed, both ways: events, places, holds and how the feed stands.

use std::collections::BTreeSet;

use super::commands::{Change, change, request_id};
pub use super::hr_event::hr_event;
use super::message::{Fields, InvalidMessage};
use super::people_file::PeopleFormat;
use super::v1 as pb;
use super::values::{LONGEST_TEXT_BYTES, digest, optional, parsed, pb_timestamp, text, timestamp};
use crate::domain::record::command::{ApplyHrEvents, Command, DecideHold, RetireStream};
use crate::domain::record::event::{Event, Fact, FeedFact, LockFact};
use crate::domain::record::hr::{Hold, HrChange, HrEvent, StreamPlace};
use crate::domain::rule::feed::{FeedStatus, IdentityMove, StreamStatus};
use crate::domain::value::ids::{Identity, PersonId, RequestId};
use crate::domain::value::time::Timestamp;

/// The most holds that are listed, oldest first. A sender that goes on event by event past the brake makes a hold of
/// each, and an answer too large to send would let nobody decide.
pub const MOST_HOLDS: usize = 500;
/// Events of a hold that are listed as messages. All of them are in the JSON that the digest is over.
pub const MOST_HELD_EVENTS: usize = 1_000;
/// The JSON of all holds together that a status has; what is longer is read hold by hold.
pub const LONGEST_HELD_BYTES: usize = 256 * 1024;

/// The header of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The caller's id of the call; none: `validate_only`.
    pub request_id: Option<RequestId>,
    /// Its place in a stream.
    pub place: StreamPlace,
    /// How the file is written.
    pub format: PeopleFormat,
}

impl TryFrom<pb::ImportHeader> for Import {
    type Error = InvalidMessage;

    fn try_from(message: pb::ImportHeader) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let id = request_id(&mut fields, &message.request_id, message.validate_only);
        let place = match &message.place {
            Some(place) => self::place(&mut fields, "header.place", place),
            None => fields.take("header.place", Err("missing; an import has a place in a stream".to_owned())),
        };
        let format = match pb::PeopleFormat::try_from(message.format) {
            Ok(pb::PeopleFormat::JsonLines) => Some(PeopleFormat::JsonLines),
            Ok(pb::PeopleFormat::Csv) => Some(PeopleFormat::Csv),
            Ok(pb::PeopleFormat::Unspecified) | Err(_) => {
                fields.wrong("header.format", "JSON Lines or CSV is wanted");
                None
            }
        };
        // A dry run has no id, even if one is given: the flag alone decides.
        let id = id.filter(|_| !message.validate_only);
        let import = place.zip(format).map(|(place, format)| Self { request_id: id, place, format });
        fields.finish(import)
    }
}

impl TryFrom<pb::ApplyHrEventsRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::ApplyHrEventsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let place = match &message.place {
            Some(place) => self::place(&mut fields, "place", place).map(Some),
            None => Some(None),
        };
        if message.place.is_none() && message.events.is_empty() {
            fields.wrong("events", "empty, and no place; without a stream at least one event is wanted");
        }
        let count = message.events.len();
        let events = message.events.into_iter().enumerate();
        let events: Vec<HrEvent> = events.filter_map(|(at, said)| event(&mut fields, at, said)).collect();
        let command = place.filter(|_| events.len() == count);
        let command = command.map(|place| Command::from(ApplyHrEvents { place, events }));
        change(fields, &message.request_id, message.validate_only, command)
    }
}

impl TryFrom<pb::ReleaseBrakeRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::ReleaseBrakeRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let hold = fields.take("hold_id", parsed(&message.hold_id));
        let digest = fields.take("digest", digest(&message.digest));
        let reason = fields.take("reason", text(message.reason, 0, LONGEST_TEXT_BYTES));
        let release = !message.discard;
        let command = || Some(Command::from(DecideHold { hold: hold?, digest: digest?, release, reason: reason? }));
        change(fields, &message.request_id, message.validate_only, command())
    }
}

impl TryFrom<pb::RetireStreamRequest> for Change {
    type Error = InvalidMessage;

    fn try_from(message: pb::RetireStreamRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let stream = fields.take("stream", parsed(&message.stream));
        let reason = fields.take("reason", text(message.reason, 0, LONGEST_TEXT_BYTES));
        let command = || Some(Command::from(RetireStream { stream: stream?, reason: reason? }));
        change(fields, &message.request_id, message.validate_only, command())
    }
}

fn place(fields: &mut Fields, path: &str, said: &pb::StreamPlace) -> Option<StreamPlace> {
    let stream = fields.take(format!("{path}.stream"), parsed(&said.stream));
    if said.number == 0 {
        fields.wrong(format!("{path}.number"), "missing; the first number of a stream is 1");
    }
    Some(StreamPlace { stream: stream?, number: said.number })
}

fn event(fields: &mut Fields, at: usize, said: pb::HrEvent) -> Option<HrEvent> {
    use pb::hr_event::Change as Said;
    let path = format!("events[{at}]");
    let person = fields.take(format!("{path}.person"), parsed(&said.person));
    let change = match said.change {
        None => {
            fields.wrong(
                &path,
                "nothing happened; one of joined, renamed, logins_changed, transferred, left, stays, roles is wanted",
            );
            None
        }
        Some(Said::Joined(said)) => {
            let login = logins(fields, &format!("{path}.joined"), &said.logins);
            let manager = fields.take(format!("{path}.joined.manager"), optional(&said.manager));
            manager.map(|manager| HrChange::Joined { login, manager })
        }
        Some(Said::Renamed(said)) => {
            let login = logins(fields, &format!("{path}.renamed"), &said.logins);
            Some(HrChange::Renamed { login })
        }
        Some(Said::LoginsChanged(said)) => logins_changed(fields, &format!("{path}.logins_changed"), &said),
        Some(Said::Transferred(said)) => {
            let manager = fields.take(format!("{path}.transferred.manager"), optional(&said.manager));
            let at = instant(fields, format!("{path}.transferred.time"), said.time.as_ref());
            manager.zip(at).map(|(manager, at)| HrChange::Transferred { manager, at })
        }
        Some(Said::Left(said)) => {
            let at = instant(fields, format!("{path}.left.time"), said.time.as_ref());
            let (urgent, also_approved) = (said.urgent, said.also_approved);
            at.map(|at| HrChange::Left { at, urgent, also_approved })
        }
        Some(Said::Stays(_)) => Some(HrChange::Stays),
        Some(Said::Roles(said)) => {
            let named = said.roles.iter().enumerate();
            let roles = named.filter_map(|(at, role)| fields.take(format!("{path}.roles.roles[{at}]"), parsed(role)));
            Some(HrChange::Roles { roles: roles.collect() })
        }
    };
    Some(HrEvent { person: person?, change: change? })
}

/// Absent means now, which only the core knows: an instant before all others stands for it, so that a repetition of the
/// call is the same command.
fn instant(fields: &mut Fields, path: String, said: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    match said {
        Some(said) => fields.take(path, timestamp(said)),
        None => Some(Timestamp::MIN),
    }
}

fn logins_changed(fields: &mut Fields, path: &str, said: &pb::LoginsChanged) -> Option<HrChange> {
    let added = identities(fields, &format!("{path}.added"), &said.added);
    let removed = identities(fields, &format!("{path}.removed"), &said.removed);
    if let Some(both) = added.intersection(&removed).next() {
        fields.wrong(path, format!("`{both}` is both added and removed"));
        return None;
    }
    if said.added.is_empty() && said.removed.is_empty() {
        fields.wrong(path, "empty; `added` or `removed` is wanted");
        return None;
    }
    Some(HrChange::LoginsChanged { added, removed })
}

fn logins(fields: &mut Fields, path: &str, said: &[String]) -> BTreeSet<Identity> {
    identities(fields, &format!("{path}.logins"), said)
}

fn identities(fields: &mut Fields, path: &str, said: &[String]) -> BTreeSet<Identity> {
    let logins = said.iter().enumerate();
    logins.filter_map(|(at, login)| fields.take(format!("{path}[{at}]"), parsed(login))).collect()
}

/// How the feed stands.
#[must_use]
pub fn feed_status(it: &FeedStatus, sequence: String) -> pb::GetFeedStatusResponse {
    let counted = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut room = LONGEST_HELD_BYTES;
    pb::GetFeedStatusResponse {
        streams: it.streams.iter().map(stream).collect(),
        holds: it.holds.iter().take(MOST_HOLDS).map(|held| hold(held, it.moves.get(&held.id), &mut room)).collect(),
        brake_limit: counted(it.brake_limit),
        enabling_left: counted(it.enabling_left),
        disabling_left: counted(it.disabling_left),
        sequence,
        omitted_hold_count: counted(it.holds.len().saturating_sub(MOST_HOLDS)),
    }
}

/// The bytes that the digest of a release is over.
#[must_use]
pub fn held_events(it: &Hold) -> Vec<u8> {
    serde_json::to_vec(&it.events).unwrap_or_default()
}

fn stream(it: &StreamStatus) -> pb::FeedStream {
    pb::FeedStream {
        stream: it.stream.to_string(),
        sender: it.feed.sender.to_string(),
        last_number: it.feed.last_number,
        heard_time: Some(pb_timestamp(it.feed.heard_at)),
        silent_time: Some(pb_timestamp(it.silent_at)),
        silent: it.is_silent,
    }
}

/// A hold; its events as far as there is room for all of them.
fn hold(it: &Hold, moves: Option<&Vec<IdentityMove>>, room: &mut usize) -> pb::FeedHold {
    let json = held_events(it);
    let fits = json.len() <= *room;
    if fits {
        *room = room.saturating_sub(json.len());
    }
    let shown = it.events.iter().take(if fits { MOST_HELD_EVENTS } else { 0 });
    pb::FeedHold {
        id: it.id.to_string(),
        held_time: Some(pb_timestamp(it.held_at)),
        sender: it.sender.to_string(),
        stream: it.stream.as_ref().map(ToString::to_string).unwrap_or_default(),
        events: shown.map(hr_event).collect(),
        event_count: u32::try_from(it.events.len()).unwrap_or(u32::MAX),
        events_json: if fits { json } else { Vec::new() },
        number: it.aside.as_ref().map(|aside| aside.number).unwrap_or_default(),
        reason: it.aside.as_ref().map(|aside| aside.reason.entry().name.to_owned()).unwrap_or_default(),
        text: it.aside.as_ref().map(|aside| aside.detail.clone()).unwrap_or_default(),
        moves: moves.into_iter().flatten().map(identity_move).collect(),
        lock_id: it.suspends.map(|lock| lock.to_string()).unwrap_or_default(),
    }
}

fn identity_move(it: &IdentityMove) -> pb::IdentityMove {
    pb::IdentityMove {
        identity: it.identity.to_string(),
        from_persons: it.from.iter().map(ToString::to_string).collect(),
        to_person: it.to.to_string(),
    }
}

/// Whose leaving a change has put in force and holds as well, to be applied again after what is held of them before it.
#[must_use]
pub fn in_force_and_held(events: &[Event]) -> BTreeSet<PersonId> {
    let (mut applied, mut held) = (BTreeSet::new(), BTreeSet::new());
    let leaving = |event: &HrEvent| event.change.is_leaving().then(|| event.person.clone());
    for event in events {
        let Fact::Feed(fact) = &event.fact else { continue };
        if let FeedFact::EventApplied(fact) = fact {
            applied.extend(leaving(&fact.event));
        } else if let FeedFact::Held(hold) = fact {
            held.extend(hold.events.iter().filter_map(leaving));
        }
    }
    applied.intersection(&held).cloned().collect()
}

/// Whom a change stops by a lock until what it holds is decided on.
#[must_use]
pub fn suspended(events: &[Event]) -> Option<&PersonId> {
    let locked = |event: &Event| matches!(event.fact, Fact::Lock(LockFact::Created(_)));
    let held = events.iter().find_map(|event| {
        let Fact::Feed(FeedFact::Held(hold)) = &event.fact else { return None };
        hold.events.first().filter(|_| hold.suspends.is_some())
    });
    held.filter(|_| events.iter().any(locked)).map(|event| &event.person)
}

/// What a change set aside because it could not happen.
pub fn set_aside(events: &[Event]) -> impl Iterator<Item = pb::EventSetAside> {
    let aside = events.iter().filter_map(|event| {
        let Fact::Feed(FeedFact::SetAside(hold)) = &event.fact else { return None };
        Some((hold, hold.aside.as_ref()?, hold.events.first()?))
    });
    aside.map(|(hold, aside, event)| pb::EventSetAside {
        number: aside.number,
        person: event.person.to_string(),
        reason: aside.reason.entry().name.to_owned(),
        text: aside.detail.clone(),
        hold_id: hold.id.to_string(),
    })
}

/// What a release left out because it no longer applied.
pub fn left_out(events: &[Event]) -> impl Iterator<Item = &HrEvent> {
    events.iter().filter_map(|event| {
        let Fact::Feed(FeedFact::EventLeftOut(it)) = &event.fact else { return None };
        Some(&it.event)
    })
}

#[cfg(test)]
#[path = "hr_tests.rs"]
mod tests;
