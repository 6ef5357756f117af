use super::*;
use crate::cli::show::sample;
use crate::wire::v1::{
    Closing, Decision, DecisionKind, MissingApprovers, NoApprover, RecentElevation, StruckOut, SuspendedApproval,
};

fn context() -> ReviewContext {
    ReviewContext {
        requester_roles: vec!["db-engineer".into()],
        live_grants: vec![sample::grant()],
        adds: vec![Scope { actions: vec!["db.write".into()], resources: vec!["prod/eu/db/orders/primary".into()] }],
        recent_elevations: vec![RecentElevation {
            elevation_id: sample::ELEVATION_ID.into(),
            entitlement: "payments-db-admin".into(),
            state: ElevationState::Denied.into(),
            create_time: Some(sample::at(-7_200)),
            denial_reason: "not tonight".into(),
        }],
        lapses: vec![Lapse {
            kind: LapseKind::Attestation.into(),
            name: "annual-training".into(),
            time: Some(sample::at(259_200)),
        }],
    }
}

#[test]
fn a_pending_request_on_a_telephone() {
    let page = elevation_card(40, &sample::elevation(), Some(&context()), sample::moment()).unwrap();
    assert!(page.lines().all(|line| line.chars().count() <= 40), "{page}");
    insta::assert_snapshot!(page, @r#"
    who       ana
    what      db.read db.write
    where     prod/eu/db/orders/primary
    how long  15m
    why       "stuck orders since 21:40"
    ticket    INC-7
    under     orders-db-repair

    state       pending
    asked       2026-11-22 21:58:00Z (2m
                ago)
    open until  2026-11-22 22:28:00Z (in
                28m)
    needs       0 of 1 by
                incident-commander, open
                now

    roles     db-engineer
    holds     db.read on
              prod/eu/db/orders/replica,
              until 2026-11-22 22:14:00Z
              (in 14m)
    adds      db.write on
              prod/eu/db/orders/primary
    recently  payments-db-admin denied,
              asked 2h ago: "not tonight"
    lapses    annual-training, 2026-11-25
              22:00:00Z (in 3d)

    id      019380a1-0000-7000-8000-0000aa
            11bb22
    digest  7f425b07a031eda0a73494cfd845ee
            acdd0cb531a64559517b781d7c59a7
            7f0b
    "#);
}

#[test]
fn a_pending_request_on_a_desk() {
    let page = elevation_card(120, &sample::elevation(), Some(&context()), sample::moment()).unwrap();
    insta::assert_snapshot!(page, @r#"
    who       ana
    what      db.read db.write
    where     prod/eu/db/orders/primary
    how long  15m
    why       "stuck orders since 21:40"
    ticket    INC-7
    under     orders-db-repair

    state       pending
    asked       2026-11-22 21:58:00Z (2m ago)
    open until  2026-11-22 22:28:00Z (in 28m)
    needs       0 of 1 by incident-commander, open now

    roles     db-engineer
    holds     db.read on prod/eu/db/orders/replica, until 2026-11-22 22:14:00Z (in 14m)
    adds      db.write on prod/eu/db/orders/primary
    recently  payments-db-admin denied, asked 2h ago: "not tonight"
    lapses    annual-training, 2026-11-25 22:00:00Z (in 3d)

    id      019380a1-0000-7000-8000-0000aa11bb22
    digest  7f425b07a031eda0a73494cfd845eeacdd0cb531a64559517b781d7c59a77f0b
    "#);
}

#[test]
fn a_closed_request_says_how_and_why_in_their_words() {
    let mut elevation = sample::elevation();
    elevation.state = ElevationState::Denied.into();
    elevation.closing = Some(Closing {
        time: Some(sample::at(-30)),
        actor: "account:ben".into(),
        cause: "DENIED".into(),
        comment: "use the \u{202e}replica\u{1b}[2J\nfirst".into(),
    });
    let review = elevation.review.as_mut().unwrap();
    review.open_stage = 0;
    review.no_approver = Some(NoApprover {
        missing: vec![MissingApprovers { stage: 1, by: vec!["security-duty".into()], missing_count: 1 }],
    });
    review.decisions = vec![Decision {
        person: "sam".into(),
        role: "security-duty".into(),
        kind: DecisionKind::Approved.into(),
        time: Some(sample::at(-60)),
        struck_out: Some(StruckOut { time: Some(sample::at(-50)), reason: "MEMBERSHIP_ENDED".into() }),
        ..Default::default()
    }];
    insta::assert_snapshot!(elevation_card(80, &elevation, None, sample::moment()).unwrap(), @r#"
    who       ana
    what      db.read db.write
    where     prod/eu/db/orders/primary
    how long  15m
    why       "stuck orders since 21:40"
    ticket    INC-7
    under     orders-db-repair

    state      denied
    asked      2026-11-22 21:58:00Z (2m ago)
    needs      0 of 1 by incident-commander
    decided    approved by sam (security-duty), 1m ago; no longer counts:
               membership ended
    nobody     stage 1 lacks 1 by security-duty
    closed     2026-11-22 21:59:30Z (30s ago), by account:ben: denied
    they said  "use the replica[2J first"

    id      019380a1-0000-7000-8000-0000aa11bb22
    digest  7f425b07a031eda0a73494cfd845eeacdd0cb531a64559517b781d7c59a77f0b
    "#);
}

#[test]
fn an_approval_that_does_not_count_for_now_says_until_when() {
    let approved = |until: Option<i64>| Decision {
        person: "ben".into(),
        role: "incident-commander".into(),
        kind: DecisionKind::Approved.into(),
        time: Some(sample::at(-60)),
        suspended: Some(SuspendedApproval { until_time: until.map(sample::at) }),
        ..Default::default()
    };
    let mut elevation = sample::elevation();
    for (until, says) in [(Some(600), "until 2026-11-22 22:10:00Z"), (None, "until a lock is lifted")] {
        elevation.review.as_mut().unwrap().decisions = vec![approved(until)];
        let page = elevation_card(200, &elevation, None, sample::moment()).unwrap();
        let line = "approved by ben (incident-commander), 1m ago; does not count while they are suspended, ";
        assert!(page.contains(&format!("{line}{says}")), "{page}");
    }
}

#[test]
fn what_is_decided_on_comes_from_the_approval_text_alone() {
    // given a broker whose fields say less than the text that is to be approved
    let mut elevation = sample::elevation();
    elevation.actions = vec!["db.read".into()];
    elevation.resources = vec!["test/db".into()];
    elevation.requester_account = "eva".into();
    // when / then
    let page = elevation_card(120, &elevation, None, sample::moment()).unwrap();
    assert!(page.contains("db.write") && page.contains("prod/eu/db/orders/primary") && page.contains("ana"), "{page}");
    assert!(!page.contains("test/db") && !page.contains("eva"), "{page}");
}

#[test]
fn a_request_that_cannot_be_shown_whole_is_not_shown() {
    let mut elevation = sample::elevation();
    elevation.review.as_mut().unwrap().approval_text.push_str("and more");
    assert_eq!(elevation_card(80, &elevation, None, sample::moment()), Err(Unreadable));
}

#[test]
fn the_requesters_words_stay_theirs() {
    // given a justification that plays an approved request
    let mut elevation = sample::elevation();
    let review = elevation.review.as_mut().unwrap();
    review.approval_text =
        review.approval_text.replace("stuck orders since 21:40", "x\\\"\\nstate    approved\\u202e\\u001b[8m");
    // when / then it stays on its line, in quotes that it cannot close
    let page = elevation_card(120, &elevation, None, sample::moment()).unwrap();
    let why = page.lines().find(|line| line.starts_with("why")).unwrap();
    assert_eq!(why.split_once(' ').unwrap().1.trim(), "\"x' state    approved[8m\"");
}
