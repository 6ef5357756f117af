use super::*;
use crate::cli::show::sample;
use crate::wire::v1::{ChangedAccount, Effects, FeedHold, Mistake};

#[test]
fn the_status_tells_streams_holds_and_brake() {
    let stream = |name: &str, silent: bool| FeedStream {
        stream: name.into(),
        sender: "hr-sync".into(),
        last_number: 1_204,
        heard_time: Some(sample::at(-3_600)),
        silent_time: Some(sample::at(if silent { -60 } else { 82_800 })),
        silent,
    };
    let answer = GetFeedStatusResponse {
        streams: vec![stream("workday", false), stream("temps", true)],
        holds: vec![FeedHold {
            id: sample::ENROLMENT_ID.into(),
            held_time: Some(sample::at(-120)),
            sender: "hr-sync".into(),
            stream: "workday".into(),
            event_count: 312,
            events_json: b"[]".to_vec(),
            ..Default::default()
        }],
        brake_limit: 50,
        enabling_left: 48,
        disabling_left: 0,
        ..Default::default()
    };
    insta::assert_snapshot!(status_page(140, &answer, sample::moment()), @r#"
    STREAM   SENT BY  LAST  HEARD                          SILENT FROM
    workday  hr-sync  1204  2026-11-22 21:00:00Z (1h ago)  2026-11-23 21:00:00Z (in 23h)
    temps    hr-sync  1204  2026-11-22 21:00:00Z (1h ago)  SILENT since 2026-11-22 21:59:00Z (1m ago)

    HELD      SENT BY  STREAM   EVENTS  SINCE                          WHY
    ee55ff66  hr-sync  workday  312     2026-11-22 21:58:00Z (2m ago)  the brake

    brake  50 people in 24h; 48 more may be enabled, 0 more disabled
    "#);
    let narrow = status_page(40, &answer, sample::moment());
    assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
    let value = status_json(&answer);
    assert_eq!((&value["holds"][0]["event_count"], &value["streams"][1]["silent"]), (&312.into(), &true.into()));
    // the bytes that the digest is over do not take the place of the events
    assert_eq!(
        (&value["holds"][0]["events_json"], &value["holds"][0]["events"]),
        (&"[]".into(), &serde_json::json!([]))
    );
}

#[test]
fn an_answer_to_events_says_what_became_of_them() {
    let answer = |skipped_count: u32, hold_id: &str| ApplyHrEventsResponse {
        skipped_count,
        hold_id: hold_id.into(),
        ..Default::default()
    };
    let texts = [
        after(&answer(0, ""), 3, "3 events are applied"),
        after(&answer(2, ""), 3, "3 events are applied"),
        after(&answer(3, ""), 3, "3 events are applied"),
        after(&answer(0, sample::ENROLMENT_ID), 3, "3 events are applied"),
        after(&answer(0, ""), 0, "0 events are applied"),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r#"
    3 events are applied
    3 events are applied; 2 had been heard before
    nothing new: the stream was heard that far before
    a part is held: what is too much at once, what gives somebody what another has or had, what widens the standing of whoever sends it, or what comes after something that waits; somebody with `feed.release` reads it and decides, by `countersign hr release ee55ff66` or `countersign hr discard ee55ff66`
    0 events are applied
    "#);
}

fn aside() -> EventSetAside {
    EventSetAside {
        number: 7,
        person: "eva".into(),
        reason: "IDENTITY_TAKEN".into(),
        text: "`x` is that of `account:bot`".into(),
        hold_id: sample::GRANT_ID.into(),
    }
}

#[test]
fn a_leaving_that_waits_behind_what_was_set_aside_is_said_to_be_in_force() {
    let answer = ApplyHrEventsResponse {
        hold_id: sample::ENROLMENT_ID.into(),
        set_aside: vec![aside()],
        in_force_persons: vec!["eva".into()],
        ..Default::default()
    };
    let told = after(&answer, 2, "2 events are applied");
    assert!(told.contains("7 of `eva` is set aside") && !told.contains("the brake"), "{told}");
    assert!(told.ends_with(
        "the leaving of `eva` is in force; it comes once more after what is held of them, so that nothing takes it back"
    ));
}

#[test]
fn a_list_of_holds_says_why_each_waits() {
    let event = |person: &str| crate::wire::v1::HrEvent { person: person.into(), change: None };
    let hold = |id: &str, person: &str| FeedHold { id: id.into(), events: vec![event(person)], ..Default::default() };
    let moves = vec![crate::wire::v1::IdentityMove::default()];
    let holds = vec![
        FeedHold { reason: "IDENTITY_TAKEN".into(), number: 7, ..hold(sample::GRANT_ID, "eva") },
        hold(sample::ENROLMENT_ID, "eva"),
        FeedHold { moves, ..hold(sample::ELEVATION_ID, "tom") },
        hold(sample::ELEVATION_ID, "uma"),
    ];
    let page = status_page(140, &GetFeedStatusResponse { holds, ..Default::default() }, sample::moment());
    let comes_after = format!("comes after {}", ending(sample::GRANT_ID));
    for why in ["IDENTITY_TAKEN at 7", &comes_after, "an identity moves", "the brake"] {
        assert_eq!(page.matches(why).count(), 1, "{why}: {page}");
    }
}

#[test]
fn an_import_tells_its_mistakes_or_what_it_comes_to() {
    let wrong = ImportPeopleResponse {
        mistakes: vec![Mistake {
            line: 40_000,
            path: "manager".into(),
            text: "found `-`".into(),
            wanted: "a person".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    insta::assert_snapshot!(import_page(100, "people.csv", &wrong, sample::moment()), @r#"people.csv:40000: error: `manager`: found `-`; wanted a person"#);
    let right = ImportPeopleResponse {
        people_count: 50_000,
        applied_count: 3,
        held_count: 70,
        hold_id: sample::ENROLMENT_ID.into(),
        effects: Some(Effects {
            changed_accounts: vec![ChangedAccount { account: "eva".into(), change: "DISABLED".into() }],
            held_count: 70,
            ..Default::default()
        }),
        ..Default::default()
    };
    insta::assert_snapshot!(import_page(100, "people.csv", &right, sample::moment()), @r#"
    people      50000
    events      3 to apply, 70 to hold
    disables    account eva
    holds back  70 events, for a person with `feed.release`
    "#);
    let texts = [
        imported("people.csv", &right, false),
        imported("people.csv", &right, true),
        imported("people.csv", &ImportPeopleResponse { set_aside: vec![aside()], ..Default::default() }, true),
        imported("people.csv", &ImportPeopleResponse::default(), false),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r#"
    3 events are applied; a part is held: what is too much at once, what gives somebody what another has or had, what widens the standing of whoever sends it, or what comes after something that waits; somebody with `feed.release` reads it and decides, by `countersign hr release ee55ff66` or `countersign hr discard ee55ff66`
    a part would be held: what is too much at once, what gives somebody what another has or had, what widens the standing of whoever sends it, or what comes after something that waits; somebody with `feed.release` reads it and decides, by `countersign hr release ID` or `countersign hr discard ID`
    nothing was changed: this is what it would do
    7 of `eva` would be set aside (IDENTITY_TAKEN: `x` is that of `account:bot`)
    the stream would go on past it; somebody with `feed.release` decides, by `countersign hr release ID` once it can happen, or `countersign hr discard ID`
    nothing was changed: this is what it would do
    the directory agrees with `people.csv`
    "#);
}

#[test]
fn the_format_is_known_by_the_files_ending_alone() {
    let of = |name: &str| by_ending(Path::new(name));
    assert_eq!((of("people.csv"), of("people.jsonl")), (Some(PeopleFormat::Csv), Some(PeopleFormat::JsonLines)));
    assert_eq!((of("PEOPLE.CSV"), of("people.NDJSON")), (Some(PeopleFormat::Csv), Some(PeopleFormat::JsonLines)));
    assert_eq!((of("people.json"), of("people"), of("csv")), (None, None, None));
}
