use super::*;
use crate::check::{AccountEntry, Change, GrantEntry};
use crate::domain::value::ids::{AccountId, Identity};
use crate::domain::value::scope::Scope;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use uuid::Uuid;

#[path = "history_tests.rs"]
mod history;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn identity(number: usize) -> Identity {
    format!("spiffe://northwind.example/{number}").parse().unwrap()
}

fn scope(actions: &[&str], patterns: &[&str]) -> Scope {
    let actions = actions.iter().map(|action| action.parse().unwrap()).collect();
    Scope::new(actions, patterns.iter().map(|pattern| pattern.parse().unwrap()).collect()).unwrap()
}

fn account(id: &str) -> AccountEntry {
    AccountEntry {
        id: id.parse().unwrap(),
        identities: BTreeSet::new(),
        active: true,
        locked: false,
        baseline_until: Timestamp::MIN,
        audience: BTreeSet::new(),
        checks_until: Timestamp::MIN,
    }
}

fn checker() -> Change {
    Change::Account(AccountEntry {
        checks_until: Timestamp::MAX,
        audience: ["prod/**".parse().unwrap()].into(),
        ..account("orders-api")
    })
}

fn grant(holder: &str, number: u128, end: i64) -> GrantEntry {
    GrantEntry {
        id: Uuid::from_u128(number).into(),
        holder: holder.parse().unwrap(),
        scope: scope(&["db.read"], &["prod/eu/**"]),
        end: at(end),
        started: true,
        locked: false,
    }
}

fn ask<'a>(subject: &'a str, action: &'a str, resource: &'a str) -> Query<'a> {
    Query { subject, action, resource }
}

fn index_of(changes: &[Change]) -> (CheckIndex, CheckCaller) {
    let index = CheckIndex::new();
    index.apply(&[checker()]);
    index.apply(changes);
    let caller = index.caller("orders-api").unwrap();
    (index, caller)
}

fn granted(number: u128, until: i64) -> Verdict {
    Verdict::Allow { because: Allowed::Granted { grant: Uuid::from_u128(number).into() }, valid_until: at(until) }
}

fn denied(because: Denied) -> Verdict {
    Verdict::Deny { because }
}

#[test]
fn invariant_1_a_grant_is_over_at_the_very_instant_of_its_end_with_no_timer() {
    // given a grant that nothing ever removes
    let (index, caller) = index_of(&[Change::Account(account("ana")), Change::Grant(grant("ana", 1, 1_000))]);
    let verdict = |now| index.check(&caller, ask("ana", "db.read", "prod/eu/db"), at(now));
    // then the comparison alone ends it
    assert_eq!(verdict(999), granted(1, 1_000));
    assert_eq!(verdict(1_000), denied(Denied::NoGrant));
    assert_eq!(verdict(1_001), denied(Denied::NoGrant));
    // and the end of the baseline is compared the same way
    index.apply(&[
        Change::Account(AccountEntry { baseline_until: at(2_000), ..account("ana") }),
        Change::Baseline(vec![scope(&["db.read"], &["prod/**"])]),
    ]);
    assert_eq!(verdict(1_999), Verdict::Allow { because: Allowed::Baseline, valid_until: at(2_000) });
    assert_eq!(verdict(2_000), denied(Denied::NoGrant));
}

#[test]
fn invariant_1_a_grant_whose_start_is_not_recorded_allows_nothing_at_any_time() {
    let waiting = GrantEntry { started: false, ..grant("ana", 1, 1_000) };
    let (index, caller) = index_of(&[Change::Account(account("ana")), Change::Grant(waiting)]);
    let verdict = |now| index.check(&caller, ask("ana", "db.read", "prod/eu/db"), at(now));
    assert_eq!(verdict(0), denied(Denied::NotStarted));
    assert_eq!(verdict(999), denied(Denied::NotStarted));
    assert_eq!(verdict(1_000), denied(Denied::NoGrant));
    // when a live one covers it too, that one answers
    index.apply(&[Change::Grant(grant("ana", 2, 500))]);
    assert_eq!(verdict(499), granted(2, 500));
    assert_eq!(verdict(500), denied(Denied::NotStarted));
}

#[test]
fn invariant_7_any_error_unknown_value_or_empty_scope_is_not_an_allow() {
    let (index, caller) = index_of(&[
        Change::Account(account("ana")),
        Change::Account(AccountEntry { active: false, ..account("ben") }),
        Change::Grant(GrantEntry { scope: scope(&["db.read"], &["**"]), ..grant("ana", 1, 1_000) }),
        Change::Grant(grant("ben", 2, 1_000)),
        Change::Grant(grant("nobody", 3, 1_000)),
        Change::Baseline(vec![]),
    ]);
    let verdict = |query| index.check(&caller, query, at(1));
    assert_eq!(verdict(ask("ana", "db.read", "prod/eu/db")), granted(1, 1_000));
    // unknown, inactive, without an account, written another way
    for subject in ["", "eve", "ben", "nobody", "Ana", "ana ", "an", "ana/", "spiffe://northwind.example/ana"] {
        assert_eq!(verdict(ask(subject, "db.read", "prod/eu/db")), denied(Denied::NoGrant), "{subject:?}");
    }
    for action in ["", "*", "db", "db.", "db.read.", "DB.READ", "db.read ", "db.write", "db.read\0"] {
        assert_eq!(verdict(ask("ana", action, "prod/eu/db")), denied(Denied::NoGrant), "{action:?}");
    }
    let seventeen = ["prod"; 17].join("/");
    for resource in [
        "",
        "/",
        "prod",
        "prod/",
        "prod//eu",
        "prod/../eu",
        "prod/./eu",
        "prod/*",
        "prod/**",
        "prod/ü",
        "tenants",
        &seventeen,
    ] {
        let verdict = verdict(ask("ana", "db.read", resource));
        assert!(matches!(verdict, Verdict::Deny { .. }), "{resource:?}");
        // nor of oneself, where no audience stands before it
        let own = index.check(&index.caller("ana").unwrap(), ask("ana", "db.read", resource), at(1));
        assert!(own == denied(Denied::NoGrant) || resource == "prod", "{resource:?}");
    }
    // an enforcement point without an audience, and one that is none, may ask nothing
    for entry in [
        AccountEntry { checks_until: Timestamp::MAX, ..account("zoe") },
        AccountEntry { audience: ["**".parse().unwrap()].into(), ..account("zoe") },
    ] {
        index.apply(&[Change::Account(entry)]);
        let zoe = index.caller("zoe").unwrap();
        assert_eq!(index.check(&zoe, ask("ana", "db.read", "prod/eu/db"), at(1)), denied(Denied::OutOfAudience));
    }
    // and who is not there or not active is no caller at all
    assert!(["eve", "ben", "nobody", ""].iter().all(|name| index.caller(name).is_none()));
    assert!(CheckIndex::new().caller("ana").is_none());
}

#[test]
fn of_several_covering_grants_the_last_to_end_answers_then_the_lowest_id() {
    let (index, caller) = index_of(&[
        Change::Account(account("ana")),
        Change::Grant(grant("ana", 4, 2_000)),
        Change::Grant(grant("ana", 3, 2_000)),
        Change::Grant(grant("ana", 1, 1_000)),
        Change::Grant(GrantEntry { scope: scope(&["db.read"], &["prod/us/**"]), ..grant("ana", 2, 9_000) }),
    ]);
    assert_eq!(index.check(&caller, ask("ana", "db.read", "prod/eu/db"), at(1)), granted(3, 2_000));
    // when that one goes, the next answers; the others never moved
    index.apply(&[Change::GrantGone { holder: "ana".parse().unwrap(), id: Uuid::from_u128(3).into() }]);
    assert_eq!(index.check(&caller, ask("ana", "db.read", "prod/eu/db"), at(1)), granted(4, 2_000));
}

#[test]
fn a_caller_asks_within_its_audience_or_about_itself_alone() {
    let ana = AccountEntry { identities: [identity(1)].into(), ..account("ana") };
    let (index, caller) =
        index_of(&[Change::Account(ana), Change::Account(account("ben")), Change::Grant(grant("ana", 1, 9))]);
    assert_eq!(index.check(&caller, ask("ana", "db.read", "test/db"), at(1)), denied(Denied::OutOfAudience));
    assert_eq!(index.check(&caller, ask("orders-api", "db.read", "test/db"), at(1)), denied(Denied::NoGrant));
    for name in ["ana", identity(1).as_str()] {
        let own = index.caller(name).unwrap();
        assert_eq!((own.account(), own.may_check(at(1))), ("ana", false));
        assert_eq!(index.check(&own, ask("ana", "db.read", "prod/eu/db"), at(1)), granted(1, 9));
        assert_eq!(index.check(&own, ask(identity(1).as_str(), "db.read", "prod/eu/db"), at(1)), granted(1, 9));
        assert_eq!(index.check(&own, ask("ben", "db.read", "prod/eu/db"), at(1)), denied(Denied::OutOfAudience));
    }
}

#[test]
fn an_identity_that_moves_means_its_new_account_whatever_the_order() {
    let with = |id: &str, identities: &[usize]| {
        Change::Account(AccountEntry { identities: identities.iter().map(|n| identity(*n)).collect(), ..account(id) })
    };
    let moves = [with("ana", &[]), with("ben", &[1]), Change::Grant(grant("ben", 2, 9))];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (index, caller) = index_of(&[with("ana", &[1, 2]), Change::Grant(grant("ana", 1, 9)), with("ben", &[])]);
        let verdict = |name: &str| index.check(&caller, ask(name, "db.read", "prod/eu/db"), at(1));
        assert_eq!(verdict(identity(1).as_str()), granted(1, 9));
        index.apply(&order.map(|position| moves[position].clone()));
        assert_eq!(verdict(identity(1).as_str()), granted(2, 9), "{order:?}");
        assert_eq!(verdict(identity(2).as_str()), denied(Denied::NoGrant), "{order:?}");
        assert_eq!(index.statistics().names, 4, "{order:?}");
        // an account's going takes its names with it, and no other's
        index.apply(&[Change::AccountGone("ana".parse().unwrap())]);
        assert_eq!(verdict(identity(1).as_str()), granted(2, 9), "{order:?}");
        assert_eq!(verdict("ana"), denied(Denied::NoGrant), "{order:?}");
    }
}

#[test]
fn what_is_taken_out_leaves_nothing_behind() {
    let (index, _) = index_of(&[]);
    let before = index.statistics();
    let id: AccountId = "ana".parse().unwrap();
    let ana = AccountEntry { identities: [identity(1), identity(2)].into(), ..account("ana") };
    index.apply(&[Change::Account(ana), Change::Grant(grant("ana", 1, 9))]);
    let full = index.statistics();
    assert_eq!((full.grants, full.holders, full.names), (1, before.holders + 1, before.names + 3));
    index.apply(&[Change::AccountGone(id.clone())]);
    index.apply(&[Change::GrantGone { holder: id, id: Uuid::from_u128(1).into() }]);
    let after = index.statistics();
    assert_eq!((after.grants, after.holders, after.names), (before.grants, before.holders, before.names));
}

#[test]
fn a_batch_holds_each_shard_once_and_in_ascending_order() {
    // Held twice, or in any order, shards and a waiting writer can stop each other for good (known failure G15).
    for shards in [vec![], vec![0], vec![63], vec![0, 1, 5, 31, 32, 62, 63], (0..64).collect()] {
        let needed = shards.iter().fold(0_u64, |needed, shard| needed | 1 << shard);
        assert_eq!(ascending(needed).collect::<Vec<_>>(), shards);
    }
    // and each shard has its own bit
    assert_eq!(CheckIndex::new().table.shards().len(), 64);
}

#[test]
fn a_reader_sees_each_block_whole_while_a_writer_changes_it() {
    // given two grants of one holder of which exactly one is live before and after every change
    let (index, caller) = index_of(&[Change::Account(account("ana")), Change::Grant(grant("ana", 1, 9))]);
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let gone = |number| Change::GrantGone { holder: "ana".parse().unwrap(), id: Uuid::from_u128(number).into() };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut verdicts = Vec::new();
                // Others between, from other shards.
                let query = ask("ana", "db.read", "prod/eu/db");
                let others: Vec<String> = (0..10).map(|number| format!("other-{number}")).collect();
                let queries: Vec<_> =
                    others.iter().flat_map(|other| [query, ask(other, "db.read", "prod/eu/db")]).collect();
                while !done.load(Ordering::Relaxed) {
                    // then no check ever finds none
                    verdicts.clear();
                    index.check_batch(&caller, &queries, at(1), &mut verdicts);
                    verdicts.push(index.check(&caller, query, at(1)));
                    let own = verdicts.iter().step_by(2);
                    assert!(own.clone().all(|v| [granted(1, 9), granted(2, 9)].contains(v)), "{verdicts:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // when a writer swaps them until the readers have asked often enough
        while asked.load(Ordering::Relaxed) < 2_000 {
            index.apply(&[gone(1), Change::Grant(grant("ana", 2, 9))]);
            index.apply(&[Change::Grant(grant("ana", 1, 9)), gone(2)]);
        }
        done.store(true, Ordering::Relaxed);
    });
}
