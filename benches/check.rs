//! `check` at 10 thousand and 1 million live grants, random over all holders, with a change applied each millisecond:
//! against a bare look-up of the same map and against the barest layout that could serve (`check/floor.rs`) in the same
//! run; how two threads scale; and how many bytes a grant takes, its own text apart.
//!
//! `cargo bench --bench check`. Machines and neighbours differ, so compare the ratios alone: medians over rounds in
//! which each kind of work has had other holders, so that none finds what another has just brought into the cache.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::as_conversions,
    reason = "a bench stops at the first surprise, reads the clock, prints, and divides"
)]

#[path = "check/floor.rs"]
mod floor;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use countersign::check::{AccountEntry, Change, CheckCaller, CheckIndex, GrantEntry, Query, Verdict};
use countersign::domain::value::ids::GrantId;
use countersign::domain::value::scope::{Pattern, Scope};
use countersign::domain::value::time::Timestamp;
use criterion::Criterion;
use floor::{Floor, Held};
use uuid::Uuid;

const GRANTS_A_HOLDER: u64 = 4;
const QUERIES_A_ROUND: usize = 512;
const LOCKS: usize = 1_000;

fn main() {
    // Without `--bench` cargo only asks whether this runs at all.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let (sizes, rounds) = if in_earnest { ([10_000, 1_000_000], 600) } else { ([400, 4_000], 3) };
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    for grants in sizes {
        let holders = grants / GRANTS_A_HOLDER;
        let resident_before = resident_bytes();
        let mut index = CheckIndex::new();
        let asked_for = allocation_counter::measure(|| index = filled(holders));
        let resident = resident_bytes().saturating_sub(resident_before);
        let floor = floor(holders);
        let caller = index.caller(CHECKER).unwrap();
        with_writer(&index, holders, || {
            let medians = compare(&index, &floor, &caller, holders, rounds);
            println!("{grants} grants, ns and ratios to the floor and to the bare look-up (medians)");
            let hot = ("check, hot", hot(&index, &floor, &caller, rounds));
            for (name, [nanos, of_floor, of_bare]) in ROWS.into_iter().zip(medians).chain([hot]) {
                println!("  {name:<32} {nanos:>7.0} {of_floor:>7.2} {of_bare:>7.2}");
            }
            let [check, bare, ratio] = scaling(&index, &caller, holders, rounds);
            println!("  two threads give, of one: check {check:.2}, bare look-up {bare:.2}; ratio {ratio:.2}");
            let [cold, hot] = under_locks(&index, &caller, holders, rounds);
            println!("  under {LOCKS} locks, of without: one by one {cold:.2}, hot {hot:.2}");
            let text = text_bytes(holders) as f64 / grants as f64;
            let each = |bytes: f64| bytes / grants as f64;
            println!(
                "  bytes a grant: {:.1} asked for ({:.1} beyond its own text of {text:.1}), {:.1} resident, {:.1} counted",
                each(asked_for.bytes_current as f64),
                each(asked_for.bytes_current as f64) - text,
                each(resident as f64),
                each(index.statistics().bytes as f64),
            );
            time_alone(&mut criterion, &index, &caller, holders, grants);
        });
    }
    criterion.final_summary();
}

const CHECKER: &str = "spiffe://northwind.example/service/orders-api";

/// Repeatable, and good enough to spread over all holders.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Texts {
    subject: String,
    resource: String,
}

impl Texts {
    fn any(random: &mut Random, holders: u64) -> Self {
        Self::of(random.below(holders), random.below(GRANTS_A_HOLDER))
    }

    fn of(holder: u64, grant: u64) -> Self {
        Self { subject: identity(holder), resource: format!("prod/eu/db/orders-{holder:06}-{grant}/primary") }
    }

    fn query(&self) -> Query<'_> {
        Query { subject: &self.subject, action: "db.read", resource: &self.resource }
    }
}

fn identity(holder: u64) -> String {
    format!("spiffe://northwind.example/person/user-{holder:06}")
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000).unwrap()
}

fn account(id: &str, identity: &str, may_check: bool) -> Change {
    Change::Account(AccountEntry {
        id: id.parse().unwrap(),
        identities: [identity.parse().unwrap()].into(),
        active: true,
        locked: false,
        baseline_until: Timestamp::MAX,
        audience: if may_check { ["prod/*/db/**".parse().unwrap()].into() } else { [].into() },
        checks_until: if may_check { Timestamp::MAX } else { Timestamp::MIN },
    })
}

fn grant(holder: u64, number: u64, millis_left: i64) -> Change {
    let resource = format!("prod/eu/db/orders-{holder:06}-{number}/**").parse().unwrap();
    let actions = ["db.read".parse().unwrap(), "db.write".parse().unwrap()].into();
    Change::Grant(GrantEntry {
        id: GrantId::from(Uuid::from_u128(u128::from(holder * GRANTS_A_HOLDER + number))),
        holder: format!("user-{holder:06}").parse().unwrap(),
        scope: Scope::new(actions, [resource].into()).unwrap(),
        end: Timestamp::from_millis(now().millis() + millis_left).unwrap(),
        started: true,
        locked: false,
    })
}

fn filled(holders: u64) -> CheckIndex {
    let index = CheckIndex::new();
    let scope = Scope::new(["metadata.read".parse().unwrap()].into(), ["status/**".parse().unwrap()].into()).unwrap();
    index.apply(&[account("orders-api", CHECKER, true), Change::Baseline(vec![scope])]);
    for holder in 0..holders {
        let mut changes = vec![account(&format!("user-{holder:06}"), &identity(holder), false)];
        changes.extend((0..GRANTS_A_HOLDER).map(|number| grant(holder, number, 60_000 + number as i64)));
        index.apply(&changes);
    }
    index
}

/// The same holders and grants.
fn floor(holders: u64) -> Floor {
    let floor = Floor::new("prod/eu/db/");
    for holder in 0..holders {
        let held = |number| Held {
            end: now().millis() + 60_000 + number as i64,
            actions: ["db.read", "db.write"],
            prefix: format!("prod/eu/db/orders-{holder:06}-{number}/"),
        };
        let held: Vec<Held<'_>> = (0..GRANTS_A_HOLDER).rev().map(held).collect();
        floor.put([&format!("user-{holder:06}"), &identity(holder)], &held);
    }
    floor
}

/// What the grants and their holders' names say, in bytes, without anything around it.
fn text_bytes(holders: u64) -> usize {
    let of_a_grant = "db.read".len() + "db.write".len() + "prod/eu/db/orders-000000-0/**".len();
    let of_a_holder = "user-000000".len() + identity(0).len();
    holders as usize * (of_a_holder + GRANTS_A_HOLDER as usize * of_a_grant)
}

/// Applies one change each millisecond while `work` runs.
fn with_writer(index: &CheckIndex, holders: u64, work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(7);
            while !done.load(Ordering::Relaxed) {
                let (holder, number) = (random.below(holders), random.below(GRANTS_A_HOLDER));
                index.apply(&[grant(holder, number, 60_000 + random.below(1_000) as i64)]);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
}

/// What is timed, and what the ratio beside it is held against.
const ROWS: [&str; 6] = [
    "floor, one by one",
    "check, one by one",
    "bare look-up, one by one",
    "floor, in batches of 16",
    "check, in batches of 16",
    "bare look-up, overlapping",
];

/// Medians of ns and, round by round, of the ratios to the floor and to the bare look-up of its kind. One by one, each is begun when the one
/// before has answered, as in a service that answers one call after another.
fn compare(index: &CheckIndex, floor: &Floor, caller: &CheckCaller, holders: u64, rounds: usize) -> [[f64; 3]; 6] {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut columns: [[Vec<f64>; 3]; 6] = Default::default();
    let (mut verdicts, mut ends) = (Vec::with_capacity(QUERIES_A_ROUND), Vec::with_capacity(QUERIES_A_ROUND));
    for round in 0..rounds {
        let mut nanos = [0.0; 6];
        for turn in 0..6 {
            // Written here and now, as a request's texts are when they are checked.
            let texts: Vec<Texts> = (0..QUERIES_A_ROUND).map(|_| Texts::any(&mut random, holders)).collect();
            let queries: Vec<Query<'_>> = texts.iter().map(Texts::query).collect();
            let bare: Vec<_> = queries.iter().map(|query| (query.subject, query.action, query.resource)).collect();
            let kind = (round + turn) % 6;
            let begun = Instant::now();
            match kind {
                0 => one_by_one(&queries, |query| of_floor(floor, query)),
                1 => one_by_one(&queries, |query| of_check(index, caller, query)),
                2 => one_by_one(&queries, |query| index.look_up(query.subject).unwrap().into()),
                3 => {
                    ends.clear();
                    floor.check_batch(&bare, now().millis(), &mut ends);
                }
                4 => {
                    verdicts.clear();
                    queries.chunks(16).for_each(|some| index.check_batch(caller, some, now(), &mut verdicts));
                }
                _ => queries.iter().for_each(|query| assert!(index.look_up(query.subject).is_some())),
            }
            nanos[kind] = begun.elapsed().as_nanos() as f64 / QUERIES_A_ROUND as f64;
        }
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Allow { .. })));
        assert!(ends.iter().all(Option::is_some));
        for (kind, column) in columns.iter_mut().enumerate() {
            let (floor, bare) = if kind < 3 { (nanos[0], nanos[2]) } else { (nanos[3], nanos[5]) };
            column[0].push(nanos[kind]);
            column[1].push(nanos[kind] / floor);
            column[2].push(nanos[kind] / bare);
        }
    }
    columns.map(|column| column.map(median))
}

/// The same few queries over and over: all of it is in the nearest cache.
fn hot(index: &CheckIndex, floor: &Floor, caller: &CheckCaller, rounds: usize) -> [f64; 3] {
    let texts: Vec<Texts> =
        (0..QUERIES_A_ROUND).map(|number| Texts::of(number as u64 % 8, number as u64 / 8 % GRANTS_A_HOLDER)).collect();
    let queries: Vec<Query<'_>> = texts.iter().map(Texts::query).collect();
    let mut columns: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        let timed = |ask: &dyn Fn()| {
            let begun = Instant::now();
            ask();
            begun.elapsed().as_nanos() as f64 / QUERIES_A_ROUND as f64
        };
        let of_floor = timed(&|| one_by_one(&queries, |query| of_floor(floor, query)));
        let of_check = timed(&|| one_by_one(&queries, |query| of_check(index, caller, query)));
        let of_bare = timed(&|| one_by_one(&queries, |query| index.look_up(query.subject).unwrap().into()));
        columns[0].push(of_check);
        columns[1].push(of_check / of_floor);
        columns[2].push(of_check / of_bare);
    }
    columns.map(median)
}

/// What a check costs under locks on resources beside those that are asked for, as much of each as can be the same.
fn under_locks(index: &CheckIndex, caller: &CheckCaller, holders: u64, rounds: usize) -> [f64; 2] {
    let pattern = |number| format!("prod/eu/db/orders-x{number:05}/**").parse().unwrap();
    let locks: BTreeSet<Pattern> = (0..LOCKS).map(pattern).collect();
    let mut columns: [Vec<f64>; 2] = Default::default();
    for round in 0..rounds {
        let mut random = Random(0xa076_1d64_78bd_642f ^ round as u64);
        let cold: [Vec<Texts>; 2] =
            [(); 2].map(|()| (0..QUERIES_A_ROUND).map(|_| Texts::any(&mut random, holders)).collect());
        let hot: Vec<Texts> = (0..QUERIES_A_ROUND).map(|number| Texts::of(number as u64 % 8, 0)).collect();
        let timed = |texts: &[Texts]| {
            let queries: Vec<Query<'_>> = texts.iter().map(Texts::query).collect();
            let begun = Instant::now();
            one_by_one(&queries, |query| of_check(index, caller, query));
            begun.elapsed().as_nanos() as f64
        };
        // The one that comes first is another each time.
        let mut nanos = [[0.0; 2]; 2];
        for step in 0..2 {
            let locked = (round + step) % 2;
            index.apply(&[Change::Locked(if locked == 1 { locks.clone() } else { BTreeSet::new() })]);
            nanos[locked] = [timed(&cold[locked]), timed(&hot)];
        }
        columns.iter_mut().enumerate().for_each(|(which, column)| column.push(nanos[1][which] / nanos[0][which]));
    }
    index.apply(&[Change::Locked(BTreeSet::new())]);
    columns.map(median)
}

/// How much more two threads check than one in the same time, how much more they look up, and the ratio of both.
fn scaling(index: &CheckIndex, caller: &CheckCaller, holders: u64, rounds: usize) -> [f64; 3] {
    let check = |query: &Query<'_>| of_check(index, caller, query);
    let bare = |query: &Query<'_>| index.look_up(query.subject).unwrap().into();
    let mut columns: [Vec<f64>; 3] = Default::default();
    for round in 0..rounds.div_ceil(10) {
        let seed = round as u64 * 7 + 1;
        let of_check = each_of_two(seed, holders, &check) / alone(seed + 1, holders, &check);
        let of_bare = each_of_two(seed + 2, holders, &bare) / alone(seed + 3, holders, &bare);
        columns.iter_mut().zip([of_check, of_bare, of_check / of_bare]).for_each(|(column, value)| column.push(value));
    }
    columns.map(median)
}

/// Answers a second of one thread.
fn alone(seed: u64, holders: u64, ask: &(impl Fn(&Query<'_>) -> i64 + Sync)) -> f64 {
    answers_a_second(seed, holders, ask, &Barrier::new(1))
}

/// The same, begun when all are ready.
fn answers_a_second(seed: u64, holders: u64, ask: &(impl Fn(&Query<'_>) -> i64 + Sync), ready: &Barrier) -> f64 {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let texts: Vec<Texts> = (0..QUERIES_A_ROUND * 64).map(|_| Texts::any(&mut random, holders)).collect();
    let queries: Vec<Query<'_>> = texts.iter().map(Texts::query).collect();
    ready.wait();
    let begun = Instant::now();
    one_by_one(&queries, ask);
    queries.len() as f64 / begun.elapsed().as_secs_f64()
}

/// The sum of two at once.
fn each_of_two(seed: u64, holders: u64, ask: &(impl Fn(&Query<'_>) -> i64 + Sync)) -> f64 {
    let ready = Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| answers_a_second(seed + 1_000, holders, ask, &ready));
        answers_a_second(seed + 2_000, holders, ask, &ready) + other.join().unwrap()
    })
}

fn of_floor(floor: &Floor, query: &Query<'_>) -> i64 {
    floor.check(query.subject, query.action, query.resource, now().millis()).unwrap()
}

fn of_check(index: &CheckIndex, caller: &CheckCaller, query: &Query<'_>) -> i64 {
    match index.check(caller, *query, now()) {
        Verdict::Allow { valid_until, .. } => valid_until.millis(),
        Verdict::Deny { because } => panic!("{because:?}: {query:?}"),
    }
}

fn median(mut column: Vec<f64>) -> f64 {
    column.sort_by(f64::total_cmp);
    column[column.len() / 2]
}

/// Which query is next depends on the last answer, though it never changes it: nothing is begun early.
fn one_by_one(queries: &[Query<'_>], ask: impl Fn(&Query<'_>) -> i64) {
    let nothing = black_box(0);
    let mut next = 0;
    while let Some(query) = queries.get(next) {
        next += 1 + (ask(query) & nothing) as usize;
    }
}

/// Criterion's own figures, for comparing one version of this code with the next.
fn time_alone(criterion: &mut Criterion, index: &CheckIndex, caller: &CheckCaller, holders: u64, grants: u64) {
    let mut random = Random(11);
    let texts: Vec<Texts> = (0..65_536).map(|_| Texts::any(&mut random, holders)).collect();
    let mut group = criterion.benchmark_group(format!("check/{grants} grants"));
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let mut given = texts.iter().cycle();
    group.bench_function("bare look-up", |b| b.iter(|| index.look_up(&given.next().unwrap().subject)));
    let mut given = texts.iter().cycle();
    group.bench_function("check", |b| {
        b.iter(|| black_box(index.check(caller, given.next().unwrap().query(), now())));
    });
    group.finish();
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}
