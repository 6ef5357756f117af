//! A million grants that end within one minute, with the real engine on the real store: how long after its end each is
//! journaled as ended, and what that does to a thread that checks without a pause. The checks do not wait for it: each
//! compares the end itself, and one that allowed at or after an end would stop this bench.
//!
//! `cargo bench --bench expiry`. Floors: lateness at p99 at most 100 ms; a check meanwhile at most 1.1 times one of the quiet
//! seconds before, in the same run. It happens once, so criterion is not used.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::as_conversions,
    unreachable_pub,
    dead_code,
    reason = "a bench stops at the first surprise, reads the clock, prints, and divides"
)]

#[path = "../tests/common/ask.rs"]
mod ask;
#[path = "../tests/common/certificates.rs"]
mod certificates;
#[path = "../tests/common/filled.rs"]
mod filled;
#[path = "../tests/common/organisation.rs"]
mod organisation;
#[path = "replica/world.rs"]
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::check::{Query, Verdict};
use countersign::clock::{Clock as _, SystemClock};
use countersign::domain::record::event::{Fact, GrantFact};
use countersign::domain::value::time::{Span, Timestamp};
use countersign::engine::{Engine, Settings, Store};
use world::Size;

/// As the broker has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHECKS_A_SAMPLE: usize = 2_000;

/// When which grant ends.
#[derive(Clone, Copy)]
struct Ends {
    first: Timestamp,
    grants: u64,
    within_millis: u64,
}

impl Ends {
    /// Spread evenly, and over all holders at any moment.
    fn of(self, grant: u64) -> Timestamp {
        let place = grant * 7_919 % self.grants;
        self.first.plus(Span::from_millis((place * self.within_millis / self.grants) as i64).unwrap())
    }
}

fn main() {
    // Without `--bench` cargo only asks whether this runs at all.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let (grants, within_millis, filling, quiet) =
        if in_earnest { (1_000_000, 60_000, 100, 10) } else { (4_000, 1_000, 6, 1) };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let journal = folder.path().join("journal.db");
    let size = Size { grants, services: 100, grants_each: 4 };
    let first = SystemClock.read().wall.plus(Span::seconds(filling));
    let ends = Ends { first, grants, within_millis };
    world::fill(&journal, size, |grant| ends.of(grant));
    let engine = Engine::start(&Store::File(journal), Arc::new(SystemClock), Settings::default()).unwrap();
    engine.history().catch_up().unwrap();
    let left = first.since(engine.latest()).millis() - quiet * 1_000;
    assert!(left > 0, "the journal took too long to fill; let the first grant end later");
    std::thread::sleep(Duration::from_millis(left as u64));

    let (lateness, checks) = std::thread::scope(|scope| {
        let follower = scope.spawn(|| follow(&engine, ends));
        let checks = check_all_the_while(&engine, ends, size);
        (follower.join().unwrap(), checks)
    });
    let at = |percent: usize| lateness[(lateness.len() * percent / 100).min(lateness.len() - 1)];
    println!(
        "{grants} grants that end within {within_millis} ms: journaled and told after p50 {} ms, p99 {} ms, at most {} ms",
        at(50),
        at(99),
        at(100)
    );
    let [before, meanwhile] = checks.map(median);
    println!("a check: {before:.0} ns before, {meanwhile:.0} ns meanwhile, ratio {:.2}", meanwhile / before);
    engine.shutdown();
}

/// How many milliseconds after its end each grant's event was durable and told, sorted.
fn follow(engine: &Engine, ends: Ends) -> Vec<i64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut follower = engine.follow(engine.sequence()).unwrap();
    let mut lateness = Vec::with_capacity(ends.grants as usize);
    runtime.block_on(async {
        while lateness.len() < ends.grants as usize {
            let event = follower.next().await.unwrap();
            if let Fact::Grant(GrantFact::Ended(ended)) = &event.fact {
                let number = (ended.grant.uuid().as_u128() - 1) as u64;
                lateness.push(engine.latest().millis() - ends.of(number).millis());
            }
        }
    });
    lateness.sort_unstable();
    assert!(lateness[0] >= 0, "a grant was ended before its end");
    lateness
}

/// ns of a check, sample by sample: before the first end, and from there to the last.
fn check_all_the_while(engine: &Engine, ends: Ends, size: Size) -> [Vec<f64>; 2] {
    let caller = engine.checks().caller(world::identity_of("service", world::WIDE).as_str()).unwrap();
    let mut samples: [Vec<f64>; 2] = Default::default();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let last = ends.first.plus(Span::from_millis(ends.within_millis as i64).unwrap());
    while !last.is_over(engine.latest()) {
        let texts: Vec<(u64, String, String)> = (0..CHECKS_A_SAMPLE)
            .map(|_| {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                let grant = chance % ends.grants;
                (grant, world::holder_of(grant, size), world::resource_of(grant, size))
            })
            .collect();
        let meanwhile = ends.first.is_over(engine.latest());
        let begun = Instant::now();
        for (grant, subject, resource) in &texts {
            let now = engine.latest();
            let verdict = engine.checks().check(&caller, Query { subject, action: "db.read", resource }, now);
            let over = ends.of(*grant).is_over(now);
            assert_eq!(matches!(verdict, Verdict::Allow { .. }), !over, "{grant} at {now}: {verdict:?}");
        }
        samples[usize::from(meanwhile)].push(begun.elapsed().as_nanos() as f64 / CHECKS_A_SAMPLE as f64);
    }
    samples
}

fn median(mut column: Vec<f64>) -> f64 {
    column.sort_by(f64::total_cmp);
    column[column.len() / 2]
}
