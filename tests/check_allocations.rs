//! A check allocates nothing, whatever it answers (design.md 9).
#![allow(clippy::unwrap_used, reason = "a test")]

use allocation_counter::measure;
use countersign::check::{AccountEntry, Allowed, Change, CheckIndex, Denied, GrantEntry, Query, Verdict};
use countersign::domain::value::scope::Scope;
use countersign::domain::value::time::Timestamp;
use uuid::Uuid;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn account(id: &str, may_check: bool) -> Change {
    Change::Account(AccountEntry {
        id: id.parse().unwrap(),
        identities: [format!("spiffe://northwind.example/{id}").parse().unwrap()].into(),
        active: true,
        locked: false,
        baseline_until: at(5_000),
        audience: ["prod/*/db/**".parse().unwrap(), "status/**".parse().unwrap()].into(),
        checks_until: if may_check { Timestamp::MAX } else { Timestamp::MIN },
    })
}

fn scope(action: &str, pattern: &str) -> Scope {
    Scope::new([action.parse().unwrap()].into(), [pattern.parse().unwrap()].into()).unwrap()
}

fn grant(number: u128, started: bool, pattern: &str) -> Change {
    Change::Grant(GrantEntry {
        id: Uuid::from_u128(number).into(),
        holder: "ana".parse().unwrap(),
        scope: scope("db.read", pattern),
        end: at(1_000),
        started,
        locked: false,
    })
}

fn filled() -> CheckIndex {
    let index = CheckIndex::new();
    index.apply(&[account("ana", false), account("orders-api", true)]);
    index.apply(&[grant(1, true, "prod/*/db/orders/**"), grant(2, false, "prod/eu/db/stock")]);
    index.apply(&[Change::Baseline(vec![scope("metadata.read", "status/**")])]);
    index
}

const ANA: &str = "spiffe://northwind.example/ana";

/// A query for each kind of answer, and the answer.
fn questions() -> [(Query<'static>, Verdict); 8] {
    let ask = |subject, action, resource| Query { subject, action, resource };
    let granted = Allowed::Granted { grant: Uuid::from_u128(1).into() };
    let denied = |because| Verdict::Deny { because };
    [
        (ask(ANA, "db.read", "prod/eu/db/orders/a"), Verdict::Allow { because: granted, valid_until: at(1_000) }),
        (
            ask("ana", "metadata.read", "status/x"),
            Verdict::Allow { because: Allowed::Baseline, valid_until: at(5_000) },
        ),
        (ask(ANA, "db.read", "prod/eu/db/stock"), denied(Denied::NotStarted)),
        (ask(ANA, "db.read", "test/db"), denied(Denied::OutOfAudience)),
        (ask(ANA, "db.drop", "prod/eu/db/orders/a"), denied(Denied::NoGrant)),
        (ask("nobody", "db.read", "prod/eu/db/orders/a"), denied(Denied::NoGrant)),
        (ask(ANA, "DB READ", "prod/eu/db/orders/a"), denied(Denied::NoGrant)),
        (ask("\u{0}\u{ffff}", "", "prod//../db/ü"), denied(Denied::OutOfAudience)),
    ]
}

#[test]
fn a_check_allocates_nothing_whatever_it_answers() {
    // given an index, and a caller found in it
    let index = filled();
    let caller = index.caller("orders-api").unwrap();
    for (query, expected) in questions() {
        // when one check is made
        let mut verdict = None;
        let counted = measure(|| verdict = Some(index.check(&caller, query, at(1))));
        // then it has answered, without an allocation
        assert_eq!(verdict, Some(expected), "{query:?}");
        assert_eq!(counted.count_total, 0, "{query:?}");
    }
}

#[test]
fn a_batch_and_finding_the_caller_allocate_nothing() {
    let index = filled();
    let queries: Vec<Query<'_>> = questions().iter().map(|(query, _)| *query).cycle().take(100).collect();
    let mut verdicts = Vec::with_capacity(queries.len());
    let counted = measure(|| {
        let caller = index.caller("orders-api");
        caller.iter().for_each(|caller| index.check_batch(caller, &queries, at(1), &mut verdicts));
    });
    let expected: Vec<Verdict> = questions().iter().map(|(_, verdict)| *verdict).cycle().take(100).collect();
    assert_eq!(verdicts, expected);
    assert_eq!(counted.count_total, 0);
}

#[test]
fn the_counter_counts() {
    // Without this the two above could pass because nothing is counted.
    let counted = measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(counted.count_total, 1);
}
