//! The HR feed: numbered events and whole files. Nothing old, repeated, cut off or wrong enables anyone or disables
//! everyone: the brake holds it until a person lets it through; a silent feed stops new grants (known failures B4 and B8).

use countersign::wire::v1 as pb;
use pb::import_people_request::Piece;
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::common::certificates::now_millis;
use crate::harness::Broker;
use crate::life::{DAY, joined, left, left_urgently, moved, place, refused};
use crate::organisation::identity;
use crate::person::{Person, call_id, millis};

pub fn header(number: u64, format: pb::PeopleFormat, validate_only: bool) -> pb::ImportHeader {
    let (place, format) = (place("people", number), format.into());
    pb::ImportHeader { request_id: call_id(), place, format, validate_only }
}

pub async fn import(person: &Person, header: pb::ImportHeader, text: &str) -> Result<pb::ImportPeopleResponse, Status> {
    let chunks = text.as_bytes().chunks(30_000).map(|chunk| Piece::Chunk(chunk.to_vec()));
    send(person, [Piece::Header(header)].into_iter().chain(chunks).collect()).await
}

async fn send(person: &Person, pieces: Vec<Piece>) -> Result<pb::ImportPeopleResponse, Status> {
    let messages = pieces.into_iter().map(|piece| pb::ImportPeopleRequest { piece: Some(piece) });
    let stream = tokio_stream::iter(messages.collect::<Vec<_>>());
    Ok(person.hr().import_people(stream).await?.into_inner())
}

/// A person, the manager, the login.
pub type Line = (String, String, String);

/// Everybody whom the directory has, as a file of HR has them.
pub fn everybody() -> Vec<Line> {
    let person = |id: &str, manager: &str| (id.to_owned(), manager.to_owned(), identity(id));
    let mut people = vec![
        person("ana", "ines"),
        person("ben", "ines"),
        person("ines", "omar"),
        person("omar", ""),
        person("sam", "omar"),
        person("noa", "omar"),
        person("vera", "omar"),
        person("pia", "ines"),
    ];
    people.extend((1..=crate::organisation::ENGINEERS).map(|number| person(&format!("eng{number:02}"), "ines")));
    people
}

pub fn json_lines(people: &[Line]) -> String {
    let line = |(id, manager, login): &Line| {
        let manager = if manager.is_empty() { String::new() } else { format!(",\"manager\":\"{manager}\"") };
        format!("{{\"person\":\"{id}\"{manager},\"login\":[\"{login}\"]}}\n")
    };
    people.iter().map(line).collect()
}

pub fn csv(people: &[Line]) -> String {
    let lines: String = people.iter().map(|(id, manager, login)| format!("{id},{manager},{login},\n")).collect();
    format!("person,manager,login,last_day\n{lines}")
}

/// The grace of a transfer of now counts from the instant of each call: all else is the same.
fn untimed(mut effects: pb::Effects) -> pb::Effects {
    effects.changed_memberships.iter_mut().for_each(|it| it.new_end_time = None);
    effects
}

async fn release(person: &Person, hold: &pb::FeedHold, discard: bool) -> Result<pb::ReleaseBrakeResponse, Status> {
    let request = pb::ReleaseBrakeRequest {
        request_id: call_id(),
        hold_id: hold.id.clone(),
        digest: Sha256::digest(&hold.events_json).to_vec(),
        discard,
        reason: "looked at with HR".to_owned(),
        validate_only: false,
    };
    Ok(person.hr().release_brake(request).await?.into_inner())
}

#[tokio::test]
async fn events_are_numbered_and_replays_gaps_and_strangers_change_nothing() {
    let broker = Broker::new();
    let (hr, noa, dev) = (broker.person("hr-sync").await, broker.person("noa").await, broker.person("dev").await);
    // given two events that were heard
    let told = hr.tell_all(place("workday", 1), vec![joined("dev", "ben"), joined("two", "ben")], false).await.unwrap();
    assert_eq!((told.skipped_count, told.hold_id.as_str()), (0, ""));
    assert_eq!(dev.whoami().await.person.unwrap().manager, "ben");
    // when they come again with a third, then only that is new
    let events = vec![joined("dev", "ben"), joined("two", "ben"), moved("dev", "sam", None)];
    assert_eq!(hr.tell_all(place("workday", 1), events, false).await.unwrap().skipped_count, 2);
    assert_eq!(dev.whoami().await.person.unwrap().manager, "sam");
    // when one is missing, or another account speaks, or nobody may, then it is refused
    let gap = refused(hr.tell_all(place("workday", 9), vec![left("dev", None)], false).await, "FEED_GAP");
    assert!(gap.message().contains('4'), "{gap:?}");
    refused(noa.tell(vec![left("dev", None)]).await, "CAPABILITY_MISSING");
    let nothing = hr.tell_all(None, vec![], false).await;
    refused(nothing, "INVALID_MESSAGE");
    refused(hr.tell_all(place("workday", 0), vec![], false).await, "INVALID_MESSAGE");
    // and whose machine it is, is not lifted by it
    refused(hr.tell(vec![moved("vera", "sam", None)]).await, "OWN_STANDING");
    let status = noa.feed().await.unwrap();
    assert_eq!((status.streams[0].stream.as_str(), status.streams[0].last_number), ("workday", 3));
    assert_eq!((status.streams[0].sender.as_str(), status.streams[0].silent), ("hr-sync", false));
    refused(broker.person("ana").await.feed().await, "CAPABILITY_MISSING");
}

#[tokio::test]
async fn a_file_in_either_form_brings_the_directory_to_agree_and_an_old_one_changes_nothing() {
    let broker = Broker::new();
    let hr = broker.person("hr-sync").await;
    let mut people = everybody();
    // when everybody is in the file, then nothing changes
    let same = import(&hr, header(1, pb::PeopleFormat::JsonLines, false), &json_lines(&people)).await.unwrap();
    assert_eq!((same.mistakes.len(), same.applied_count, same.held_count), (0, 0, 0), "{same:?}");
    assert_eq!(same.people_count as usize, people.len());
    // when one has another manager, one joined and one left
    people.retain(|(id, ..)| id != "eng01");
    people.push(("new".into(), "ben".into(), identity("new")));
    people.iter_mut().filter(|(id, ..)| id == "eng02").for_each(|(_, manager, _)| *manager = "sam".into());
    let text = csv(&people);
    let told = import(&hr, header(2, pb::PeopleFormat::Csv, true), &text).await.unwrap();
    let done = import(&hr, header(2, pb::PeopleFormat::Csv, false), &text).await.unwrap();
    // then that is done, as it was told
    assert_eq!(
        (told.effects.map(untimed), told.applied_count),
        (done.effects.clone().map(untimed), done.applied_count)
    );
    assert_eq!((done.applied_count, done.held_count), (3, 0));
    let effects = done.effects.unwrap();
    let disabled = pb::ChangedAccount { account: "eng01".into(), change: "DISABLED".into() };
    assert!(effects.changed_accounts.contains(&disabled), "{effects:?}");
    assert_eq!(broker.person("eng02").await.whoami().await.person.unwrap().manager, "sam");
    assert_eq!(broker.person("new").await.whoami().await.person.unwrap().manager, "ben");
    assert_eq!(broker.person("eng01").await.account().await.disabled_by, "TERMINATION");
    // and an older file, and one too far ahead, change nothing
    let old = json_lines(&everybody());
    refused(import(&hr, header(1, pb::PeopleFormat::JsonLines, false), &old).await, "FEED_OLD");
    refused(import(&hr, header(9, pb::PeopleFormat::JsonLines, false), &old).await, "FEED_GAP");
    assert_eq!(broker.person("eng01").await.account().await.disabled_by, "TERMINATION");
}

#[tokio::test]
async fn of_40_001_lines_the_40_000th_is_named_and_nothing_is_applied() {
    let broker = Broker::shared();
    let hr = broker.person("hr-sync").await;
    let login = identity("worker");
    let mut lines: Vec<String> =
        (1..=40_001).map(|number| format!("{{\"person\":\"p{number}\",\"login\":[\"{login}-{number}\"]}}")).collect();
    lines[39_999] = "{\"person\":\"p40000\",\"boss\":\"ines\"}".to_owned();
    let told = import(&hr, header(1, pb::PeopleFormat::JsonLines, false), &lines.join("\n")).await.unwrap();
    let [mistake] = told.mistakes.as_slice() else { panic!("{:?}", told.mistakes) };
    assert_eq!((mistake.line, told.applied_count, told.held_count), (40_000, 0, 0));
    assert!(mistake.path == "boss", "{mistake:?}");
    let filter = pb::ListEventsRequest { about: "person:p1".to_owned(), ..Default::default() };
    let nobody = broker.person("omar").await.audit().list_events(filter).await;
    crate::person::refused(nobody, tonic::Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn a_last_day_in_a_file_is_its_end_in_utc() {
    let broker = Broker::new();
    let hr = broker.person("hr-sync").await;
    let last_day = crate::organisation::days_ago(-20);
    let midnight = (now_millis() / DAY + 21) * DAY;
    let text =
        csv(&everybody()).replace(&format!("{},\n", identity("eng07")), &format!("{},{last_day}\n", identity("eng07")));
    let done = import(&hr, header(1, pb::PeopleFormat::Csv, false), &text).await.unwrap();
    assert_eq!((done.mistakes.len(), done.applied_count), (0, 1), "{done:?}");
    let leaver = broker.person("eng07").await;
    assert_eq!(millis(leaver.whoami().await.person.unwrap().employment_end_time.as_ref()), midnight);
    // and the next file, which has no last day for eng07, takes it back
    let text = csv(&everybody());
    import(&hr, header(2, pb::PeopleFormat::Csv, false), &text).await.unwrap();
    assert!(leaver.whoami().await.person.unwrap().employment_end_time.is_none());
}

#[tokio::test]
async fn an_empty_or_wrong_file_comes_back_with_its_lines_and_changes_nothing() {
    let broker = Broker::new();
    let (hr, eng) = (broker.person("hr-sync").await, broker.person("eng05").await);
    let people = everybody();
    let mut wrong: Vec<String> = json_lines(&people).lines().map(str::to_owned).collect();
    wrong[39] = wrong[39].replace("\"manager\"", "\"boss\"");
    let told = import(&hr, header(1, pb::PeopleFormat::JsonLines, false), &wrong.join("\n")).await.unwrap();
    assert_eq!(told.mistakes.iter().map(|it| it.line).collect::<Vec<_>>(), [40], "{:?}", told.mistakes);
    let empty = import(&hr, header(1, pb::PeopleFormat::JsonLines, false), "").await.unwrap();
    assert_eq!(empty.mistakes.len(), 1);
    let header_alone = import(&hr, header(1, pb::PeopleFormat::Csv, false), "person,manager,login,last_day\n").await;
    assert_eq!(header_alone.unwrap().mistakes.len(), 1);
    // when two claim one identity, or managers form a circle, then those are named
    let conflicting = |change: &dyn Fn(&mut Vec<Line>)| {
        let mut people = people.clone();
        change(&mut people);
        csv(&people)
    };
    let twice = conflicting(&|people| people[10].2 = identity("eng01"));
    let circle = conflicting(&|people| people[3].1 = "ana".into());
    for (text, named) in [(twice, ["eng01", "line 10"]), (circle, ["`ana`", "`omar`"])] {
        let told = import(&hr, header(1, pb::PeopleFormat::Csv, false), &text).await.unwrap();
        let told: String = told.mistakes.iter().map(|it| format!("{} {}\n", it.line, it.text)).collect();
        assert!(named.iter().all(|it| told.contains(it)), "{told}");
    }
    assert_eq!(eng.account().await.state(), pb::AccountState::Active);
    // and pieces that are none, and whoever may not import, are refused
    refused(import(&eng, header(1, pb::PeopleFormat::Csv, false), "").await, "CAPABILITY_MISSING");
    refused(send(&hr, vec![]).await, "INVALID_MESSAGE");
    refused(send(&hr, vec![Piece::Chunk(vec![b'x'])]).await, "INVALID_MESSAGE");
    let large = vec![Piece::Header(header(1, pb::PeopleFormat::Csv, true)), Piece::Chunk(vec![b'x'; 32 * 1024])];
    refused(send(&hr, large).await, "INVALID_MESSAGE");
    refused(import(&hr, header(1, pb::PeopleFormat::Unspecified, false), "").await, "INVALID_MESSAGE");
}

#[tokio::test]
async fn a_truncated_file_disables_nobody_until_a_person_lets_it_through() {
    // given a file of which half is missing
    let broker = Broker::new();
    let (hr, noa) = (broker.person("hr-sync").await, broker.person("noa").await);
    let mut people = everybody();
    people.truncate(38);
    people.push(("new".into(), "ben".into(), identity("new")));
    // when it is imported, then who left is held, and who joined has joined
    let done = import(&hr, header(1, pb::PeopleFormat::JsonLines, false), &json_lines(&people)).await.unwrap();
    assert_eq!((done.applied_count, done.held_count), (1, 30));
    let (kept, new) = (broker.person("eng40").await, broker.person("new").await);
    assert_eq!(kept.account().await.state(), pb::AccountState::Active);
    assert!(new.whoami().await.person.is_some());
    // and a single urgent termination passes all the same
    hr.tell(vec![left_urgently("eng41", false)]).await.unwrap();
    assert_eq!(broker.person("eng41").await.account().await.disabled_by, "TERMINATION");
    // when a machine, or somebody without the right, or with another digest decides, then nothing goes through
    let status = noa.feed().await.unwrap();
    let hold = status.holds.first().expect("a hold").clone();
    assert_eq!(hold.id, done.hold_id);
    assert_eq!((hold.event_count, hold.events.len()), (29, 29), "who left at once is not held any more");
    refused(release(&hr, &hold, false).await, "CAPABILITY_MISSING");
    refused(release(&broker.person("omar").await, &hold, false).await, "CAPABILITY_MISSING");
    let altered = pb::FeedHold { events_json: b"[]".to_vec(), ..hold.clone() };
    refused(release(&noa, &altered, false).await, "DIGEST_MISMATCH");
    // when noa reads all of it piece by piece and lets it through
    let request = pb::GetHeldEventsRequest { hold_id: hold.id.clone() };
    let mut pieces = noa.hr().get_held_events(request).await.unwrap().into_inner();
    let mut read = Vec::new();
    while let Some(piece) = pieces.message().await.unwrap() {
        read.extend(piece.chunk);
    }
    assert_eq!(read, hold.events_json);
    let effects = release(&noa, &hold, false).await.unwrap().effects.unwrap();
    assert_eq!(effects.changed_accounts.iter().filter(|it| it.change == "DISABLED").count(), 29);
    assert_eq!(kept.account().await.disabled_by, "TERMINATION");
    refused(release(&noa, &hold, false).await, "NOT_FOUND");
    assert!(noa.feed().await.unwrap().holds.is_empty());
}

#[tokio::test]
async fn many_in_a_day_are_held_as_well_and_what_is_thrown_away_never_happened() {
    let broker = Broker::new();
    let (hr, noa) = (broker.person("hr-sync").await, broker.person("noa").await);
    let limit = noa.feed().await.unwrap().brake_limit;
    assert!((5..30).contains(&limit), "{limit}");
    // when they leave one by one, then each does, up to what a day may have; the next one waits
    let mut number = 1;
    let held = loop {
        let told = hr.tell(vec![left(&format!("eng{number:02}"), None)]).await.unwrap();
        if !told.hold_id.is_empty() {
            break told;
        }
        number += 1;
    };
    // a share of those who work here, who grow fewer
    assert!(number > 5 && number <= limit + 1, "{number} of {limit}");
    let next = format!("eng{number:02}");
    assert_eq!(held.effects.unwrap().held_count, 1);
    assert_eq!(broker.person(&next).await.account().await.state(), pb::AccountState::Active);
    assert_eq!(noa.feed().await.unwrap().disabling_left, 0);
    // when it is thrown away, then nothing is held and nobody has left
    let hold = noa.feed().await.unwrap().holds[0].clone();
    release(&noa, &hold, true).await.unwrap();
    assert!(noa.feed().await.unwrap().holds.is_empty());
    assert_eq!(broker.person(&next).await.account().await.state(), pb::AccountState::Active);
}

#[tokio::test]
async fn a_stream_that_is_not_expected_any_more_is_retired_by_a_person() {
    let broker = Broker::new();
    let (hr, noa) = (broker.person("hr-sync").await, broker.person("noa").await);
    let last_day = now_millis() + 30 * DAY;
    hr.tell_all(place("workday", 1), vec![left("eng09", Some(last_day))], false).await.unwrap();
    // when nothing has happened, then the stream says so, under the next number, and is heard
    let heard = noa.feed().await.unwrap().streams[0].heard_time;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    hr.tell_all(place("workday", 2), vec![], false).await.unwrap();
    let stream = noa.feed().await.unwrap().streams[0].clone();
    assert!(
        stream.heard_time.unwrap().nanos != heard.unwrap().nanos
            || stream.heard_time.unwrap().seconds > heard.unwrap().seconds
    );
    assert_eq!(stream.last_number, 1);
    // when it is retired, then nobody waits for it
    let request = pb::RetireStreamRequest { request_id: call_id(), stream: "workday".into(), ..Default::default() };
    refused(hr.hr().retire_stream(request.clone()).await, "CAPABILITY_MISSING");
    noa.hr().retire_stream(request).await.unwrap();
    assert!(noa.feed().await.unwrap().streams.is_empty());
}

#[tokio::test]
async fn many_who_join_at_once_wait_for_a_person() {
    let broker = Broker::new();
    let (hr, noa, new) = (broker.person("hr-sync").await, broker.person("noa").await, broker.person("new00").await);
    let limit = noa.feed().await.unwrap().brake_limit;
    let many: Vec<pb::HrEvent> = (0..=limit).map(|number| joined(&format!("new{number:02}"), "ines")).collect();
    // when more join than a day may have, then nobody does: tried, then done
    let told = hr.tell_all(None, many.clone(), true).await.unwrap().effects.unwrap();
    let done = hr.tell_all(None, many, false).await.unwrap();
    assert_eq!(done.effects.unwrap(), told);
    assert_eq!(told.held_count, limit + 1);
    assert!(new.whoami().await.person.is_none());
    // when noa lets them through, then all of them have
    let hold = noa.feed().await.unwrap().holds[0].clone();
    assert_eq!((&hold.id, hold.event_count), (&done.hold_id, limit + 1));
    release(&noa, &hold, false).await.unwrap();
    assert_eq!(new.whoami().await.person.unwrap().manager, "ines");
}
