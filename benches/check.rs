//! `check` at 10 thousand and 1 million live grants, random over all holders, with a change applied each millisecond:
//! against a bare look-up of the same map in the same run, and how many bytes a grant takes.
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

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use countersign::check::{AccountEntry, Caller, Change, CheckIndex, GrantEntry, Query, Verdict};
use countersign::domain::ids::GrantId;
use countersign::domain::scope::Scope;
use countersign::domain::time::Timestamp;
use criterion::Criterion;
use uuid::Uuid;

const GRANTS_A_HOLDER: u64 = 4;
const QUERIES_A_ROUND: usize = 512;

fn main() {
    // Without `--bench` cargo only asks whether this runs at all.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let (sizes, rounds) = if in_earnest { ([10_000, 1_000_000], 600) } else { ([400, 4_000], 3) };
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    println!("            one by one, ns       overlapped, ns      ratios                 bytes a grant");
    println!(
        "grants      bare      check      bare      batch     check/bare  batch/bare  asked for  resident  counted"
    );
    for grants in sizes {
        let holders = grants / GRANTS_A_HOLDER;
        let resident_before = resident_bytes();
        let mut index = CheckIndex::new();
        let asked_for = allocation_counter::measure(|| index = filled(holders));
        let resident = resident_bytes().saturating_sub(resident_before);
        let caller = index.caller(CHECKER).unwrap();
        with_writer(&index, holders, || {
            let [bare, check, overlapped, batch, check_ratio, batch_ratio] = compare(&index, &caller, holders, rounds);
            println!(
                "{grants:<11} {bare:<9.0} {check:<10.0} {overlapped:<9.0} {batch:<9.0} {check_ratio:<11.2} {batch_ratio:<11.2} {:<10.1} {:<9.1} {:.1}",
                asked_for.bytes_current as f64 / grants as f64,
                resident as f64 / grants as f64,
                index.statistics().bytes as f64 / grants as f64,
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
        let holder = random.below(holders);
        let grant = random.below(GRANTS_A_HOLDER);
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

/// Medians: ns of a bare look-up and of a check, each begun when the one before has answered, as in a service that
/// answers one call after another; of bare look-ups which the processor may overlap and of checks in batches of 16;
/// then the ratio within each pair, round by round.
fn compare(index: &CheckIndex, caller: &Caller, holders: u64, rounds: usize) -> [f64; 6] {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut columns: [Vec<f64>; 6] = Default::default();
    let mut verdicts = Vec::with_capacity(QUERIES_A_ROUND);
    for round in 0..rounds {
        let mut nanos = [0.0; 4];
        for turn in 0..4 {
            // Written here and now, as a request's texts are when they are checked.
            let texts: Vec<Texts> = (0..QUERIES_A_ROUND).map(|_| Texts::any(&mut random, holders)).collect();
            let queries: Vec<Query<'_>> = texts.iter().map(Texts::query).collect();
            let kind = (round + turn) % 4;
            let begun = Instant::now();
            match kind {
                0 => one_by_one(&queries, |query| index.look_up(query.subject).unwrap().into()),
                1 => one_by_one(&queries, |query| match index.check(caller, *query, now()) {
                    Verdict::Allow { valid_until, .. } => valid_until.millis(),
                    Verdict::Deny { because } => panic!("{because:?}: {query:?}"),
                }),
                2 => queries.iter().for_each(|query| assert!(index.look_up(query.subject).is_some())),
                _ => {
                    verdicts.clear();
                    queries.chunks(16).for_each(|some| index.check_batch(caller, some, now(), &mut verdicts));
                }
            }
            nanos[kind] = begun.elapsed().as_nanos() as f64 / QUERIES_A_ROUND as f64;
        }
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Allow { .. })));
        let [bare, check, overlapped, batch] = nanos;
        let row = [bare, check, overlapped, batch, check / bare, batch / overlapped];
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    columns.map(|mut column| {
        column.sort_by(f64::total_cmp);
        column[column.len() / 2]
    })
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
fn time_alone(criterion: &mut Criterion, index: &CheckIndex, caller: &Caller, holders: u64, grants: u64) {
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
