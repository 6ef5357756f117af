//! What a replica answers, by the boot clock alone: every clock here is set by hand.

use super::held_tests::{ANA, BROKER_TIME_MILLIS, Held, grant, revoked};
use super::*;
use crate::domain::value::time::{Span, Timestamp};

const READ: &str = "db.read";
const ORDERS: &str = "prod/db/orders";

fn span(millis: i64) -> Span {
    Span::from_millis(millis).unwrap()
}

#[tokio::test]
async fn knowledge_is_denied_at_the_very_millisecond_at_which_it_is_too_old() {
    let held = Held::new(&[]);
    held.change(&[grant(1, 600)]);
    // given an answer 4,999 ms old
    held.clock.advance(span(4_999));
    let checked = held.replica.check(ANA, READ, ORDERS);
    assert_eq!((checked.reason(), checked.age()), ("GRANTED", Duration::from_millis(4_999)));
    // when it is one older, then everything is denied, also what the baseline allows, and also what would be denied anyway
    held.clock.advance(span(1));
    assert_eq!(held.reason(READ, ORDERS), "STALE");
    assert_eq!(held.reason("metadata.read", "status/x"), "STALE");
    assert_eq!(held.reason("db.drop", ORDERS), "STALE");
    // and when the broker is heard again, it is as before
    held.hear(9);
    assert_eq!(held.reason(READ, ORDERS), "GRANTED");
    let status = held.replica.status();
    assert_eq!((status.allowed, status.denied, status.denied_stale), (2, 0, 3));
}

#[tokio::test]
async fn the_wall_clock_moves_nothing() {
    // given a grant of ten minutes, and a wall clock that somebody sets to any time
    let held = Held::new(&[]);
    held.change(&[grant(1, 600)]);
    let before = held.replica.check(ANA, READ, ORDERS);
    assert_eq!(before.valid_until().unwrap().millis(), BROKER_TIME_MILLIS + 600_000);
    assert_eq!(before.valid_for(), Some(Duration::from_secs(600)));
    for wall in [Timestamp::MIN, Timestamp::MAX, Timestamp::from_millis(BROKER_TIME_MILLIS - 3_600_000).unwrap()] {
        held.clock.set_wall(wall);
        // then the answer is the same
        assert_eq!(held.replica.check(ANA, READ, ORDERS), before);
    }
}

#[tokio::test]
async fn a_grant_ends_by_comparison_to_the_millisecond() {
    // given a grant whose removal never comes, and a broker that is heard each second
    let held = Held::new(&[]);
    held.change(&[grant(1, 3)]);
    for _ in 0..2 {
        held.clock.advance(Span::SECOND);
        held.hear(2);
    }
    held.clock.advance(span(999));
    assert_eq!(held.reason(READ, ORDERS), "GRANTED");
    held.clock.advance(span(1));
    assert_eq!(held.reason(READ, ORDERS), "NO_GRANT");
}

#[tokio::test]
async fn a_machine_that_slept_denies_when_it_wakes() {
    let held = Held::new(&["prod/db/**"]);
    held.change(&[grant(1, 60)]);
    // when it sleeps longer than the grant lasts, then not even what runs on is allowed by the first check
    held.clock.suspend(Span::seconds(120));
    assert_eq!(held.reason(READ, ORDERS), "STALE");
}

#[tokio::test]
async fn what_runs_on_is_a_held_grant_of_that_pattern_to_its_end_for_age_alone() {
    // given a service that chose so for one pattern, and a grant of a minute; another covers more than the pattern
    let held = Held::new(&["prod/db/orders/**", "prod/db/orders"]);
    held.change(&[grant(1, 60)]);
    held.clock.advance(span(30_000));
    // then it runs on, and tells its age
    let checked = held.replica.check(ANA, READ, ORDERS);
    assert_eq!((checked.reason(), checked.age()), ("GRANTED", Duration::from_secs(30)));
    assert_eq!(held.reason(READ, "prod/db/orders/a"), "GRANTED");
    // but nothing else does: another resource, what is not held, the baseline
    assert_eq!(held.reason(READ, "prod/db/stock"), "STALE");
    assert_eq!(held.reason("db.write", ORDERS), "STALE");
    assert_eq!(held.reason("metadata.read", "status/x"), "STALE");
    // in a batch as well
    let mut answers = CheckedBatch::default();
    let queries = [ORDERS, "prod/db/stock"].map(|resource| Query { subject: ANA, action: READ, resource });
    held.replica.check_batch(&queries, &mut answers);
    assert_eq!(answers.iter().map(|checked| checked.reason()).collect::<Vec<_>>(), ["GRANTED", "STALE"]);
    // and not beyond its end, nor by as much as the clocks may have drifted apart before it
    held.clock.advance(span(29_969));
    assert_eq!(held.reason(READ, ORDERS), "GRANTED");
    held.clock.advance(span(3));
    assert_eq!(held.reason(READ, ORDERS), "STALE");
}

#[tokio::test]
async fn broken_trust_denies_everything_at_once_what_runs_on_too() {
    let held = Held::new(&["prod/db/**"]);
    held.change(&[grant(1, 60)]);
    assert_eq!(held.reason(READ, ORDERS), "GRANTED");
    held.break_trust();
    assert_eq!(held.reason(READ, ORDERS), "STALE");
    assert_eq!(held.replica.status().trust, Trust::Broken(Break::Gap));
}

#[tokio::test]
async fn over_a_gap_nothing_runs_on() {
    // given what may run on, and a broker that said that changes are missing
    let held = Held::new(&["prod/db/**"]);
    held.change(&[grant(1, 60)]);
    held.miss_changes();
    // then it is good until it is too old
    assert_eq!(held.reason(READ, ORDERS), "GRANTED");
    held.clock.advance(span(30_000));
    assert_eq!(held.reason(READ, ORDERS), "STALE");
    // and what is received anew may run on again
    held.hear(9);
    held.clock.advance(span(10_000));
    assert_eq!(held.reason(READ, ORDERS), "GRANTED");
}

#[tokio::test]
async fn a_revocation_is_not_unlearned() {
    let held = Held::new(&[]);
    held.change(&[grant(1, 60)]);
    let sequence = held.replica.check(ANA, READ, ORDERS).sequence();
    // given the sequence of a revocation that has not come yet
    assert_eq!(held.replica.check_at_least(sequence + 1, ANA, READ, ORDERS).reason(), "STALE");
    assert!(held.replica.reached(sequence + 1, Duration::ZERO).await.is_err());
    // when it comes
    held.change(&[revoked(1)]);
    held.replica.reached(sequence + 1, Duration::from_secs(60)).await.unwrap();
    assert_eq!(held.replica.check_at_least(sequence + 1, ANA, READ, ORDERS).reason(), "NO_GRANT");
}

#[tokio::test]
async fn a_batch_answers_as_single_checks_do() {
    let held = Held::new(&[]);
    held.change(&[grant(1, 60)]);
    let ask = |subject, action, resource| Query { subject, action, resource };
    let queries = [
        ask(ANA, READ, ORDERS),
        ask("ana", "metadata.read", "status/x"),
        ask("nobody", READ, ORDERS),
        ask(ANA, READ, "test/db"),
        ask("", "", ""),
        ask(ANA, READ, "prod/db/../db/orders"),
    ];
    let mut answers = CheckedBatch::default();
    let single = || queries.iter().map(|q| held.replica.check(q.subject, q.action, q.resource)).collect::<Vec<_>>();
    held.replica.check_batch(&queries, &mut answers);
    assert_eq!(answers.iter().collect::<Vec<_>>(), single());
    let reasons: Vec<_> = answers.iter().map(|checked| checked.reason()).collect();
    assert_eq!(reasons, ["GRANTED", "BASELINE", "NO_GRANT", "OUT_OF_AUDIENCE", "OUT_OF_AUDIENCE", "OUT_OF_AUDIENCE"]);
    // and when it is too old, and when it is not believed, with the answers of before gone
    held.clock.advance(Span::seconds(6));
    for _ in 0..2 {
        held.replica.check_batch(&queries, &mut answers);
        assert_eq!(answers.iter().collect::<Vec<_>>(), single());
        assert!(answers.iter().all(|checked| checked.reason() == "STALE"));
        held.break_trust();
    }
}

#[tokio::test]
async fn an_own_account_that_cannot_be_used_allows_nothing() {
    let held = Held::new(&[]);
    held.change(&[grant(1, 60), crate::check::Change::AccountGone("orders-api".parse().unwrap())]);
    assert_eq!(held.reason(READ, ORDERS), "OUT_OF_AUDIENCE");
}
