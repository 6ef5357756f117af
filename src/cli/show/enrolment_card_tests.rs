use super::*;
use crate::cli::show::sample;
use crate::cli::term::table::rows;
use crate::wire::v1::{AccountAsk, Decision, DecisionKind, EnrolmentAsk, MachineAsk, MachineRole, RestoreAsk};

fn text(lines: &[(&str, &str)]) -> String {
    let line = |(key, value): &(&str, &str)| format!("{key}: {}\n", serde_json::Value::from(*value));
    lines.iter().map(line).collect()
}

fn with_text(lines: &[(&str, &str)]) -> Enrolment {
    let mut enrolment = sample::enrolment();
    enrolment.review.as_mut().unwrap().approval_text = text(lines);
    enrolment
}

#[test]
fn a_pending_role_on_a_telephone() {
    let page = enrolment_card(40, &sample::enrolment(), sample::moment()).unwrap();
    assert!(page.lines().all(|line| line.chars().count() <= 40), "{page}");
    insta::assert_snapshot!(page, @r#"
    who       ana
    asks for  a role
    account   ana
    roles     db-engineer until
              2027-05-21T22:00:00.000Z
    why       "I look after orders now"

    state       pending
    asked       2026-11-22 21:00:00Z (1h
                ago)
    open until  2026-11-29 21:00:00Z (in
                6d 23h)
    needs       0 of 1 by @manager, open
                now
    needs       0 of 1 by @role-owner
    manager     ines

    id      019380a1-0000-7000-8000-0000ee
            55ff66
    digest  680f749f5ec1e34a7ad08d853330f1
            f0c311310be4d0f2de42316cf499b9
            d1d8
    "#);
}

#[test]
fn a_role_that_waits_for_its_owner_on_a_desk() {
    let mut enrolment = sample::enrolment();
    let review = enrolment.review.as_mut().unwrap();
    review.open_stage = 2;
    review.stages[0].approved_count = 1;
    review.decisions = vec![Decision {
        person: "ines".into(),
        role: "@manager".into(),
        kind: DecisionKind::Approved.into(),
        time: Some(sample::at(-60)),
        ..Default::default()
    }];
    insta::assert_snapshot!(enrolment_card(100, &enrolment, sample::moment()).unwrap(), @r#"
    who       ana
    asks for  a role
    account   ana
    roles     db-engineer until 2027-05-21T22:00:00.000Z
    why       "I look after orders now"

    state       pending
    asked       2026-11-22 21:00:00Z (1h ago)
    open until  2026-11-29 21:00:00Z (in 6d 23h)
    needs       1 of 1 by @manager
    needs       0 of 1 by @role-owner, open now
    decided     approved by ines (@manager), 1m ago
    manager     ines

    id      019380a1-0000-7000-8000-0000ee55ff66
    digest  680f749f5ec1e34a7ad08d853330f1f0c311310be4d0f2de42316cf499b9d1d8
    "#);
}

#[test]
fn somebody_without_an_account_asks_for_one() {
    let enrolment = with_text(&[
        ("id", sample::ENROLMENT_ID),
        ("who", "person:pia"),
        ("person", "pia"),
        ("asks_for", "ACCOUNT"),
        ("account", "pia"),
        ("roles", ""),
        ("justification", ""),
    ]);
    insta::assert_snapshot!(enrolment_card(60, &enrolment, sample::moment()).unwrap(), @r#"
    who       pia, who has no account
    asks for  an account, which may ask for nothing privileged
              yet
    account   pia

    state       pending
    asked       2026-11-22 21:00:00Z (1h ago)
    open until  2026-11-29 21:00:00Z (in 6d 23h)
    needs       0 of 1 by @manager, open now
    needs       0 of 1 by @role-owner
    manager     ines

    id      019380a1-0000-7000-8000-0000ee55ff66
    digest  eced44e6c48caab7e5a99bc1dc684fcd5739690b40a3d1e72b
            624cee896b4043
    "#);
}

#[test]
fn a_machine_is_shown_with_all_that_it_would_get() {
    let enrolment = with_text(&[
        ("id", sample::ENROLMENT_ID),
        ("who", "account:ines"),
        ("person", "ines"),
        ("asks_for", "MACHINE"),
        ("account", "lathe"),
        ("roles", "cutter until as late as the role allows"),
        ("identities", "spiffe://northwind.example/service/lathe"),
        ("audience", "prod/*/lathe/**"),
        ("acts_for", "people"),
        ("terms", "00"),
        ("justification", "cuts"),
        ("colour", "red"),
    ]);
    insta::assert_snapshot!(enrolment_card(60, &enrolment, sample::moment()).unwrap(), @r#"
    who       ines
    asks for  a service account, to own it
    account   lathe
    roles     cutter until as late as the role allows
    means     spiffe://northwind.example/service/lathe
    checks    prod/*/lathe/**
    acts for  people
    why       "cuts"
    colour    "red"

    state       pending
    asked       2026-11-22 21:00:00Z (1h ago)
    open until  2026-11-29 21:00:00Z (in 6d 23h)
    needs       0 of 1 by @manager, open now
    needs       0 of 1 by @role-owner
    manager     ines

    id      019380a1-0000-7000-8000-0000ee55ff66
    digest  7ef3aab66711c9724e4b407ddac5ff2a547168ca192557b012
            52ef9ef4761a7b
    "#);
}

#[test]
fn what_is_decided_on_comes_from_the_approval_text_alone() {
    // given a broker whose fields say less than the text that is to be approved
    let mut enrolment = sample::enrolment();
    enrolment.person = "eva".into();
    enrolment.ask = Some(EnrolmentAsk { ask: Some(Ask::Account(AccountAsk { account: "harmless".into() })) });
    // when / then
    let page = enrolment_card(120, &enrolment, sample::moment()).unwrap();
    assert!(page.contains("db-engineer") && page.contains("ana"), "{page}");
    assert!(!page.contains("harmless") && !page.contains("eva"), "{page}");
    // and what cannot be shown whole is not shown
    enrolment.review.as_mut().unwrap().approval_text.push_str("and more");
    assert_eq!(enrolment_card(120, &enrolment, sample::moment()), Err(Unreadable));
}

#[test]
fn what_is_asked_in_a_kind_that_is_not_known_is_quoted() {
    let enrolment = with_text(&[("id", "1"), ("who", "account:ana"), ("person", "ana"), ("asks_for", "THRONE")]);
    let page = enrolment_card(80, &enrolment, sample::moment()).unwrap();
    assert!(page.contains("asks for   \"THRONE\"") || page.contains("asks for  \"THRONE\""), "{page}");
}

#[test]
fn a_list_at_both_widths() {
    let row = || vec![enrolment_row(&sample::enrolment(), sample::moment())];
    insta::assert_snapshot!(rows(120, &ENROLMENT_HEADING, row()), @r#"
    ID        WHO  ASKS FOR                                             STATE    OPEN UNTIL
    ee55ff66  ana  role db-engineer for ana until 2027-05-21 22:00:00Z  pending  in 6d 23h
    "#);
    insta::assert_snapshot!(rows(40, &ENROLMENT_HEADING, row()), @r#"
    id          ee55ff66
    who         ana
    asks for    role db-engineer for ana
                until 2027-05-21 22:00:00Z
    state       pending
    open until  in 6d 23h
    "#);
}

#[test]
fn each_ask_has_its_words() {
    let words = |ask: Ask| ask_words(&Enrolment { ask: Some(EnrolmentAsk { ask: Some(ask) }), ..Default::default() });
    let machine = MachineAsk {
        account: "lathe".into(),
        roles: vec![MachineRole { role: "cutter".into(), end_time: Some(sample::at(0)) }],
        ..Default::default()
    };
    assert_eq!(words(Ask::Machine(machine)), "machine lathe with cutter until 2026-11-22 22:00:00Z");
    let restore = RestoreAsk { account: "ana".into(), roles: vec!["driver".into(), "clerk".into()] };
    assert_eq!(words(Ask::Restore(restore)), "restore account ana with driver clerk");
    assert_eq!(ask_words(&Enrolment::default()), "something that this version does not know");
}

#[test]
fn an_end_says_what_to_do_next() {
    let ended = |state: EnrolmentState, cause: &str, comment: &str| {
        let mut enrolment = sample::enrolment();
        enrolment.state = state.into();
        enrolment.closing = Some(Closing {
            actor: "account:ines".into(),
            cause: cause.into(),
            comment: comment.into(),
            ..Default::default()
        });
        outcome(&enrolment)
    };
    let texts = [
        ended(EnrolmentState::Approved, "", ""),
        ended(EnrolmentState::Denied, "DENIED", "not \"yet\""),
        ended(EnrolmentState::Cancelled, "MANAGER_CHANGED", ""),
        ended(EnrolmentState::Expired, "", ""),
        ended(EnrolmentState::Withdrawn, "WITHDRAWN", ""),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r#"
    approved: ana holds db-engineer; `countersign entitlements` lists what it may ask for
    denied by account:ines: "not 'yet'"
    cancelled: manager changed; `countersign enrol` asks anew, under what holds now
    expired: nobody decided in time; `countersign enrol` asks anew
    withdrawn by account:ines
    "#);
}
