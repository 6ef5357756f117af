use super::*;
use crate::domain::record::command::{DecideHold, FeedCommand};
use crate::domain::value::ids::Digest;

const ID: &str = "0197c9a2-7f3b-4cc1-8000-0123456789ab";

fn left(person: &str) -> pb::HrEvent {
    let left = pb::Left { urgent: true, ..Default::default() };
    pb::HrEvent { person: person.to_owned(), change: Some(pb::hr_event::Change::Left(left)) }
}

fn message(events: Vec<pb::HrEvent>) -> pb::ApplyHrEventsRequest {
    pb::ApplyHrEventsRequest { request_id: ID.to_owned(), place: None, events, validate_only: false }
}

fn wrong(message: pb::ApplyHrEventsRequest) -> Vec<String> {
    Change::try_from(message).unwrap_err().fields.into_iter().map(|field| field.path).collect()
}

#[test]
fn every_event_is_read_whole_or_named_by_its_number() {
    use pb::hr_event::Change as Said;
    let event = |person: &str, change: Option<Said>| pb::HrEvent { person: person.to_owned(), change };
    let joined = |login: &str, manager: &str| {
        Said::Joined(pb::Joined { logins: vec![login.to_owned()], manager: manager.to_owned() })
    };
    let tom = "spiffe://northwind.example/person/tom";
    assert!(Change::try_from(message(vec![event("tom", Some(joined(tom, "ines"))), left("ana")])).is_ok());
    assert_eq!(wrong(message(vec![left("ana"), event("tom", None)])), ["events[1]"]);
    assert_eq!(wrong(message(vec![left("Ana")])), ["events[0].person"]);
    assert_eq!(
        wrong(message(vec![event("tom", Some(joined("tom", "Ines")))])),
        ["events[0].joined.logins[0]", "events[0].joined.manager"]
    );
    let fine = prost_types::Timestamp { seconds: 1, nanos: 7 };
    let moved = Said::Transferred(pb::Transferred { manager: "ines".to_owned(), time: Some(fine) });
    assert_eq!(wrong(message(vec![event("tom", Some(moved))])), ["events[0].transferred.time"]);
}

#[test]
fn a_place_has_a_name_and_a_number_and_only_in_one_nothing_can_be_said() {
    let place = |stream: &str, number| Some(pb::StreamPlace { stream: stream.to_owned(), number });
    let beat = pb::ApplyHrEventsRequest { place: place("people", 1), ..message(Vec::new()) };
    assert!(Change::try_from(beat).is_ok());
    assert_eq!(wrong(message(Vec::new())), ["events"]);
    let nowhere = pb::ApplyHrEventsRequest { place: place("", 0), ..message(vec![left("ana")]) };
    assert_eq!(wrong(nowhere), ["place.stream", "place.number"]);
}

#[test]
fn what_has_no_instant_is_the_same_command_whenever_it_is_sent_again() {
    let command = || match Change::try_from(message(vec![left("ana")])).unwrap() {
        Change::ForReal(mutation) => mutation.command,
        Change::Dry(command) => command,
    };
    assert_eq!(command().digest(), command().digest());
    assert!(command().takes_away());
}

#[test]
fn an_import_says_its_place_and_its_format() {
    let header = |format: i32, number: u64, validate_only: bool| pb::ImportHeader {
        request_id: if validate_only { String::new() } else { ID.to_owned() },
        place: Some(pb::StreamPlace { stream: "people".to_owned(), number }),
        format,
        validate_only,
    };
    let paths = |header: pb::ImportHeader| {
        let error = Import::try_from(header).unwrap_err();
        error.fields.into_iter().map(|field| field.path).collect::<Vec<_>>()
    };
    assert!(Import::try_from(header(2, 1, false)).unwrap().request_id.is_some());
    assert!(Import::try_from(header(1, 1, true)).unwrap().request_id.is_none());
    assert_eq!(paths(header(0, 1, false)), ["header.format"]);
    assert_eq!(paths(header(7, 0, false)), ["header.place.number", "header.format"]);
    assert!(Import::try_from(pb::ImportHeader::default()).is_err());
}

#[test]
fn a_release_names_the_hold_and_the_digest_of_what_was_shown() {
    assert!(Change::try_from(pb::ReleaseBrakeRequest::default()).is_err());
    assert!(Change::try_from(pb::RetireStreamRequest::default()).is_err());
    let message = pb::ReleaseBrakeRequest {
        request_id: ID.to_owned(),
        hold_id: ID.to_owned(),
        digest: vec![7; 32],
        discard: true,
        ..Default::default()
    };
    let Change::ForReal(mutation) = Change::try_from(message).unwrap() else { panic!("for real") };
    let Command::Feed(FeedCommand::DecideHold(DecideHold { release, .. })) = mutation.command else { panic!("a hold") };
    assert!(!release);
}

/// What is shown, and what the digest is over, are one: a client that hashes what it read has the core's digest.
#[test]
fn the_bytes_of_a_hold_are_those_that_its_digest_is_over() {
    let events = vec![
        HrEvent { person: "ana".parse().unwrap(), change: HrChange::Stays },
        HrEvent {
            person: "ben".parse().unwrap(),
            change: HrChange::Transferred { manager: None, at: Timestamp::from_millis(7).unwrap() },
        },
    ];
    let hold = Hold {
        id: ID.parse().unwrap(),
        held_at: Timestamp::from_millis(7).unwrap(),
        sender: "hr-sync".parse().unwrap(),
        author: None,
        stream: None,
        from_import: false,
        after: 6,
        aside: None,
        suspends: None,
        events,
    };
    assert_eq!(Digest::of(&held_events(&hold)), hold.digest());
    let mut room = 1_000;
    let told = self::hold(&hold, None, &mut room);
    assert_eq!((told.events.len(), told.event_count, told.events_json.len()), (2, 2, 1_000 - room));
    // Where there is no room for all of it, nothing of it is shown, so that nobody decides on a part.
    let told = self::hold(&hold, None, &mut 10);
    assert_eq!((told.events.len(), told.event_count, told.events_json.len()), (0, 2, 0));
}

#[test]
fn however_much_the_brake_holds_an_answer_tells_of_the_oldest() {
    let hold = |number: u64| Hold {
        id: uuid::Uuid::from_u128(u128::from(number)).into(),
        held_at: Timestamp::MAX,
        sender: "s".repeat(64).parse().unwrap(),
        stream: Some("t".repeat(64).parse().unwrap()),
        from_import: false,
        author: None,
        after: number,
        aside: None,
        suspends: None,
        events: vec![HrEvent {
            person: "p".repeat(64).parse().unwrap(),
            change: HrChange::Left { at: Timestamp::MAX, urgent: false, also_approved: false },
        }],
    };
    let status = |count: u64| FeedStatus {
        moves: std::collections::BTreeMap::new(),
        streams: Vec::new(),
        holds: (1..=count).map(hold).collect(),
        brake_limit: 1,
        enabling_left: 0,
        disabling_left: 0,
    };
    // given events that came one by one, when the brake had caught them: a hold for each
    let told = feed_status(&status(20_000), "7".to_owned());
    assert!(prost::Message::encoded_len(&told) < 700 * 1024, "{} bytes", prost::Message::encoded_len(&told));
    assert_eq!((told.holds.len(), told.omitted_hold_count), (500, 19_500));
    assert_eq!(told.holds[0].id, hold(1).id.to_string());
    let told = feed_status(&status(500), "7".to_owned());
    assert_eq!((told.holds.len(), told.omitted_hold_count), (500, 0));
}
