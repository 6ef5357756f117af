use clap::Parser as _;

use super::*;
use crate::cli::Arguments;
use crate::cli::show::sample;

fn events() -> Vec<HrEvent> {
    let person = |id: &str| id.parse().unwrap();
    let at = crate::cli::term::values::moment("2027-01-31").unwrap();
    let event = |id: &str, change| HrEvent { person: person(id), change };
    let login = std::collections::BTreeSet::from(["spiffe://northwind.example/person/ana".parse().unwrap()]);
    vec![
        event("ana", HrChange::Joined { login: login.clone(), manager: Some(person("ines")) }),
        event("ben", HrChange::Left { at, urgent: false, also_approved: true }),
        event("eva", HrChange::Left { at, urgent: true, also_approved: false }),
        event("ida", HrChange::Transferred { manager: None, at }),
        event("tom", HrChange::Renamed { login }),
        event("uma", HrChange::Stays),
    ]
}

fn hold() -> FeedHold {
    FeedHold {
        id: sample::ENROLMENT_ID.into(),
        held_time: Some(sample::at(-3_600)),
        sender: "hr-sync".into(),
        stream: "workday".into(),
        event_count: 6,
        events_json: serde_json::to_vec(&events()).unwrap(),
        ..Default::default()
    }
}

#[test]
fn what_is_held_is_shown_whole_from_the_bytes_that_the_digest_is_over() {
    let (hold, events) = (hold(), events());
    let held = Held::read(&hold).unwrap();
    assert_eq!((&held.events, held.digest), (&events, Digest::of(&hold.events_json)));
    // the digest is the one that the core computes of the same events
    let core = crate::domain::record::hr::Hold {
        id: hold.id.parse().unwrap(),
        held_at: sample::moment(),
        sender: "hr-sync".parse().unwrap(),
        author: None,
        stream: None,
        from_import: true,
        after: 0,
        aside: None,
        suspends: None,
        events,
    };
    assert_eq!(held.digest, core.digest());
    insta::assert_snapshot!(page(100, &hold, &held, sample::moment()), @r#"
    held     2026-11-22 21:00:00Z (1h ago)
    sent by  hr-sync, in `workday`
    events   6

    PERSON  WHAT         DETAIL
    ana     joins        manager ines; spiffe://northwind.example/person/ana
    ben     leaves       2027-02-01 00:00:00Z, with the grants that they approved
    eva     leaves       at once
    ida     moves        to nobody from 2027-02-01 00:00:00Z
    tom     is meant by  spiffe://northwind.example/person/ana
    uma     stays

    id      019380a1-0000-7000-8000-0000ee55ff66
    digest  a431b24bddbb45b846983d68a0c8a45ae3c07e8ef35bce98232085c07925a976
    "#);
    let narrow = page(40, &hold, &held, sample::moment());
    assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
}

#[test]
fn a_hold_says_which_identity_moves_and_between_whom() {
    let moves = vec![crate::wire::v1::IdentityMove {
        identity: "spiffe://northwind.example/person/ana".into(),
        from_persons: vec!["ana".into()],
        to_person: "tom".into(),
    }];
    let (hold, held) = (FeedHold { moves, ..hold() }, Held::read(&hold()).unwrap());
    let page = page(200, &hold, &held, sample::moment());
    for said in ["moves", "person/ana: ana has it, or had it within 180 days; tom would have it"] {
        assert!(page.contains(said), "{page}");
    }
}

#[test]
fn what_cannot_be_shown_whole_cannot_be_decided() {
    for bytes in [&b"[{\"person\":\"ana\"}]"[..], b"", b"[{\"person\":\"ana\",\"change\":{\"promoted\":{}}}]"] {
        let hold = FeedHold { events_json: bytes.to_vec(), ..hold() };
        assert_eq!(Held::read(&hold).unwrap_err().exit_code(), 1);
    }
}

#[test]
fn a_hold_is_named_by_an_ending_that_is_its_own() {
    let holds = [hold(), FeedHold { id: sample::GRANT_ID.into(), ..hold() }];
    assert_eq!(find(&holds, "ff66").unwrap().id, sample::ENROLMENT_ID);
    assert_eq!(find(&holds, sample::GRANT_ID).unwrap().id, sample::GRANT_ID);
    for id in ["", "66", "0000"] {
        assert_eq!(find(&holds, id).unwrap_err().exit_code(), 4, "{id}");
    }
    let twins = [hold(), hold()];
    assert_eq!(find(&twins, "ff66").unwrap_err().exit_code(), 2);
}

#[test]
fn programs_get_the_bytes_and_their_digest() {
    let value = hold_json(&hold());
    let bytes = value["events_json"].as_str().unwrap();
    assert_eq!(value["digest"], Digest::of(bytes.as_bytes()).to_string().as_str());
}

#[test]
fn nothing_is_released_without_a_reason_or_by_a_yes() {
    let parses = |line: &str| Arguments::try_parse_from(line.split(' ')).is_ok();
    assert!(parses("countersign hr release aa11bb22 --reason checked"));
    for line in [
        "countersign hr release aa11bb22",
        "countersign hr release aa11bb22 --reason checked --yes",
        "countersign hr release a b --reason checked",
        "countersign hr discard aa11bb22",
    ] {
        assert!(!parses(line), "{line}");
    }
}

#[test]
fn a_rename_that_waits_is_shown_as_what_it_adds_and_what_it_takes() {
    let one = |name: &str| [format!("spiffe://northwind.example/{name}").parse().unwrap()].into();
    let row = |added, removed| {
        let change = HrChange::LoginsChanged { added, removed };
        event_row(&HrEvent { person: "tia".parse().unwrap(), change }).join(" ")
    };
    let (new, old) = ("spiffe://northwind.example/new", "spiffe://northwind.example/old");
    assert_eq!(row(one("new"), one("old")), format!("tia is meant also by {new}; no longer by {old}"));
    assert_eq!(row(one("new"), BTreeSet::new()), format!("tia is meant also by {new}"));
    assert_eq!(row(BTreeSet::new(), one("old")), format!("tia is meant no longer by {old}"));
}
