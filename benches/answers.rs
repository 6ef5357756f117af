//! What it costs to answer as of a time, over a journal of so many events: requests, approvals, grants that were issued and
//! ended, and what left memory, all of them decided by the rules. Each question is asked as an auditor would, of instants in
//! no order; the floor is a replay of the same journal from its first row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench stops at the first surprise, reads the clock, prints, and divides"
)]

#[path = "../tests/common/ask.rs"]
mod ask;
#[path = "../tests/common/filled.rs"]
mod filled;
#[path = "../tests/common/organisation.rs"]
mod organisation;

/// As the broker has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::clock::ManualClock;
use countersign::domain::decide::tick::decide_tick;
use countersign::domain::decide::{Files, decide};
use countersign::domain::record::command::{ApproveElevation, Command, Envelope};
use countersign::domain::record::event::{ElevationFact, Event, Fact};
use countersign::domain::rule::answers::{AccessQuestion, access};
use countersign::domain::state::State;
use countersign::domain::value::ids::{Digest, ElevationId};
use countersign::domain::value::time::{Now, Span, Timestamp};
use countersign::engine::{Engine, Replay, Settings, Store, initialise};
use countersign::journal::{Options, SqliteJournal};

use ask::Ask;
use organisation::Organisation;

const EVENTS: u64 = 1_000_000;
const ENGINEERS: u64 = 200;
const QUESTIONS: usize = 24;
const ROWS_AT_ONCE: usize = 8_192;
const BEGIN: &str = "2026-01-05T08:00:00Z";

const POLICY: &str = r#"
[roles.engineer]
[roles.commander]
[roles.admin]
capabilities = ["policy.propose", "directory.propose", "audit.read"]
[entitlements.repair]
title = "Repair a database"
actions = ["db.read", "db.write"]
resources = ["prod/**"]
requestable_by = ["engineer"]
max_duration = "1h"
approval = [{ by = ["commander"], count = 1 }]
"#;

fn main() {
    // A run of `cargo test` only looks whether it runs.
    let events = if std::env::args().any(|argument| argument == "--bench") { EVENTS } else { 2_000 };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("journal.db");
    let clock = ManualClock::new(Timestamp::parse_rfc3339(BEGIN).unwrap());
    let store = Store::File(path.clone());
    initialise(&store, Files { policy: POLICY, directory: &directory() }, Arc::new(clock.clone())).unwrap();
    let (first, last) = fill(&path, events);
    clock.advance(last.since(first).plus(Span::SECOND));

    let begun = Instant::now();
    let mut replay = Replay::default();
    drop(SqliteJournal::open(&path, Options::default(), &mut |row| replay.accept(row).map_err(Into::into)).unwrap());
    let floor = begun.elapsed();
    let rows = replay.finish().0.sequence();
    let begun = Instant::now();
    let engine = Engine::start(&store, Arc::new(clock), Settings { timer: false, ..Settings::default() }).unwrap();
    println!("{rows} events: verified and replayed in {floor:.2?}, the broker started in {:.2?}", begun.elapsed());
    let begun = Instant::now();
    engine.history().catch_up().unwrap();
    println!("  the side file of lists filled in {:.2?}", begun.elapsed());

    let span = last.since(first).millis();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let question = AccessQuestion { resource: Some("prod/**".parse().unwrap()), ..AccessQuestion::default() };
    let mut took = Vec::new();
    let mut found = 0;
    for _ in 0..QUESTIONS {
        let at = first.plus(Span::from_millis((next() as i64) % span).unwrap());
        let begun = Instant::now();
        let state = engine.history().as_of(at).unwrap().unwrap();
        found += access(&state, &question, at).count();
        took.push(begun.elapsed());
    }
    let begun = Instant::now();
    let sequence = engine.sequence();
    let issued = engine.history().count("grant-issued", sequence).unwrap();
    let counted = begun.elapsed();
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    let ratio = |it: Duration| it.as_secs_f64() / floor.as_secs_f64();
    println!("  who could, as of {QUESTIONS} instants: median {median:.2?}, worst {worst:.2?}; {found} ways found");
    println!("  of a replay from the first row: median {:.3}, worst {:.3}", ratio(median), ratio(worst));
    println!("  one of the counts of a report on standing privilege: {issued} in {counted:.2?}");
    engine.shutdown();
}

fn identity(name: &str) -> String {
    format!("spiffe://northwind.example/person/{name}")
}

fn directory() -> String {
    let mut all = Organisation::of_tenants(&[]);
    let people = (0..ENGINEERS).map(|n| (format!("e{n:03}"), "engineer"));
    let others = [("ben", "commander"), ("cleo", "commander"), ("omar", "admin"), ("olga", "admin")];
    for (name, role) in people.chain(others.map(|(name, role)| (name.to_owned(), role))) {
        all.member(&name, role).identities = [identity(&name)].into();
    }
    all.to_toml()
}

/// A history of requests, approvals, grants and ends, as the rules decide it. Its first and its last instant.
fn fill(path: &Path, events: u64) -> (Timestamp, Timestamp) {
    let (mut journal, mut state) = filled::open(path);
    let first = state.last_at();
    let mut at = first;
    let mut waiting: Vec<Event> = Vec::new();
    for number in 0.. {
        at = at.plus(Span::seconds(20));
        let ticked = decide_tick(&state, Now::exactly(at), Span::DAY);
        record(&mut state, &mut waiting, &ticked);
        let asked = run(&state, &format!("e{:03}", number % ENGINEERS), at, number, asking(number));
        record(&mut state, &mut waiting, &asked);
        let Fact::Elevation(ElevationFact::Requested(elevation)) = &asked[0].fact else { panic!("no request") };
        let approval = approving(elevation.id, elevation.review.digest());
        let approved = run(&state, "ben", at, number, approval);
        record(&mut state, &mut waiting, &approved);
        let over = state.sequence() >= events;
        if waiting.len() >= ROWS_AT_ONCE || over {
            filled::append(&mut journal, &waiting);
            waiting.clear();
        }
        if over {
            break;
        }
    }
    (first, at)
}

fn record(state: &mut State, waiting: &mut Vec<Event>, events: &[Event]) {
    events.iter().for_each(|event| countersign::domain::state::apply::apply(state, event));
    waiting.extend_from_slice(events);
}

fn run(state: &State, who: &str, at: Timestamp, number: u64, command: Command) -> Vec<Event> {
    let nonce = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes();
    let request_id = uuid::Uuid::new_v4().into();
    let envelope = Envelope {
        caller: filled::calls::calling(identity(who).parse().unwrap()),
        request_id,
        now: Now::exactly(at),
        nonce,
        command,
    };
    decide(state, &envelope).unwrap()
}

fn asking(number: u64) -> Command {
    let resource = format!("prod/eu/orders-{}/**", number % 1_000);
    let ask = Ask::of("repair", &["db.read"], &[&resource]).lasting("15m").with(|request| {
        request.justification = "orders are stuck since noon".to_owned();
        request.ticket = None;
    });
    ask.command()
}

fn approving(elevation: ElevationId, digest: Digest) -> Command {
    Command::from(ApproveElevation { elevation, digest, comment: String::new() })
}
