//! What a decision costs, and applying it, at 100 and at 100 thousand grants in the state; what recovery costs; and, for
//! the whole engine, how many requests and approvals a second 64 callers get through a SQLite journal.
//!
//! `cargo bench --bench decide`. Recovery of 100 thousand events is to take less than 2 s.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions, clippy::panic)]

#[path = "../tests/common/ask.rs"]
mod ask;
#[path = "../tests/common/calls.rs"]
mod calls;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use countersign::clock::{Clock as _, SystemClock};
use countersign::domain::decide::{Files, decide, initialise as first_events};
use countersign::domain::directory::AccountKind;
use countersign::domain::record::command::{ApproveElevation, Command, Envelope, RelinquishGrant};
use countersign::domain::record::event::{
    AccountRecorded, Actor, Event, Fact, GrantFact, OrganisationFact, PersonRecorded, Subject,
};
use countersign::domain::record::row::encode;
use countersign::domain::state::State;
use countersign::domain::state::apply::apply;
use countersign::domain::value::ids::{AccountId, ElevationId, GrantId, Identity, RequestId};
use countersign::domain::value::time::{Now, Timestamp};
use countersign::engine::{Engine, Recent, Replay, Settings, Store, initialise};
use countersign::journal::{Journal as _, Options, Row, SqliteJournal};
use criterion::Criterion;

use ask::Ask;

const POLICY: &str = include_str!("../examples/policy.toml");
const DIRECTORY: &str = include_str!("../examples/directory.toml");
const EVENTS: u64 = 100_000;

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    // Without `--bench` cargo only asks whether this runs at all.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    for grants in if in_earnest { [100, 100_000] } else { [100, 1_000] } {
        decisions(&mut criterion, grants);
    }
    criterion.final_summary();
    recovery(if in_earnest { EVENTS } else { 2_000 });
    whole_engine();
}

fn begin() -> Timestamp {
    Timestamp::parse_rfc3339("2026-06-01T08:00:00Z").unwrap()
}

fn request_id() -> RequestId {
    uuid::Uuid::new_v4().into()
}

fn identity(name: &str) -> Identity {
    format!("spiffe://northwind.example/person/{name}").parse().unwrap()
}

fn asking() -> Command {
    let ask = Ask::of("orders-db-repair", &["db.read"], &["prod/eu1/db/orders/main"]).lasting("15m").with(|request| {
        request.justification = "orders are stuck since noon".to_owned();
        request.ticket = Some("INC-4711".to_owned());
    });
    ask.command()
}

fn approval(state: &State, elevation: ElevationId) -> Command {
    let digest = state.elevations().get(&elevation).unwrap().review.digest();
    Command::from(ApproveElevation { elevation, digest, comment: String::new() })
}

fn envelope(who: &str, command: Command) -> Envelope {
    let nonce = uuid::Uuid::new_v4().into_bytes();
    Envelope {
        caller: calls::calling(identity(who)),
        request_id: request_id(),
        now: Now::exactly(begin()),
        nonce,
        command,
    }
}

/// A state, and every event that led to it.
struct Built {
    state: State,
    events: Vec<Vec<Event>>,
}

impl Built {
    fn new() -> Self {
        let directory = DIRECTORY.replace("2026-11-02", "2026-06-01");
        let files = Files { policy: POLICY, directory: &directory };
        let first = first_events(files, Now::exactly(begin())).unwrap();
        let mut built = Self { state: State::default(), events: Vec::new() };
        built.take(first);
        built
    }

    fn take(&mut self, events: Vec<Event>) {
        events.iter().for_each(|event| apply(&mut self.state, event));
        self.events.push(events);
    }

    fn run(&mut self, who: &str, command: Command) -> Event {
        let events = decide(&self.state, &envelope(who, command)).unwrap();
        let last = events.last().unwrap().clone();
        self.take(events);
        last
    }

    /// Another engineer like ana.
    fn person(&mut self, name: &str) {
        let organisation = self.state.organisation();
        let person = organisation.people().get("ana").unwrap().clone();
        let mut account = organisation.accounts().get("ana").unwrap().clone();
        account.identities = [identity(name)].into();
        account.kind = AccountKind::ServiceTeam { person: name.parse().unwrap() };
        let id: AccountId = name.parse().unwrap();
        for fact in [
            Fact::Organisation(OrganisationFact::PersonRecorded(PersonRecorded { id: name.parse().unwrap(), person })),
            Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded { id, account })),
        ] {
            let sequence = self.state.sequence() + 1;
            self.take(vec![Event { sequence, at: begin(), actor: Actor::Operator, request: None, from: None, fact }]);
        }
    }

    fn grant(&mut self, name: &str) -> GrantId {
        let requested = self.run(name, asking());
        let Some(Subject::Elevation(elevation)) = requested.fact.about().into_iter().next() else { panic!() };
        let command = approval(&self.state, elevation);
        let Fact::Grant(GrantFact::Issued(grant)) = self.run("ben", command).fact else { panic!() };
        grant.id
    }
}

/// Ten grants a person, which is as many as policy allows.
fn decisions(criterion: &mut Criterion, grants: usize) {
    let mut built = Built::new();
    for person in 0..grants.div_ceil(10) {
        built.person(&format!("p{person}"));
        for _ in 0..10 {
            built.grant(&format!("p{person}"));
        }
    }
    let Built { mut state, .. } = built;
    let mut group = criterion.benchmark_group(format!("{grants} grants"));
    let ask = envelope("ana", asking());
    group.bench_function("decide request", |b| b.iter(|| decide(black_box(&state), black_box(&ask)).unwrap()));
    let requested = decide(&state, &ask).unwrap();
    // The same events over the same state again and again: put anew each time, so the state does not grow.
    group.bench_function("apply request", |b| {
        b.iter(|| requested.iter().for_each(|event| apply(black_box(&mut state), event)));
    });
    let Some(Subject::Elevation(elevation)) = requested.first().unwrap().fact.about().into_iter().next() else {
        panic!()
    };
    let approve = envelope("ben", approval(&state, elevation));
    group.bench_function("decide approve", |b| b.iter(|| decide(black_box(&state), black_box(&approve)).unwrap()));
    let approved = decide(&state, &approve).unwrap();
    // Together: the request puts the elevation back as it was, or each round would add a decision to the last.
    let both = || requested.iter().chain(&approved);
    group.bench_function("apply request and approve", |b| {
        b.iter(|| both().for_each(|event| apply(black_box(&mut state), event)));
    });
    group.bench_function("encode approve", |b| {
        b.iter(|| approved.iter().map(|event| encode(black_box(event), false).unwrap().len()).sum::<usize>());
    });
    group.finish();
}

fn recovery(events: u64) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("journal.db");
    let mut journal = SqliteJournal::create(&path, Options::default()).unwrap();
    let mut built = Built::new();
    for person in 0..100 {
        built.person(&format!("p{person}"));
    }
    let mut turn = 0;
    while built.state.sequence() < events {
        turn += 1;
        let name = format!("p{}", turn % 100);
        let grant = built.grant(&name);
        built.run(&name, Command::from(RelinquishGrant { grant, reason: "done".to_owned() }));
    }
    let batches: Vec<Vec<Event>> = built.events.chunks(64).map(<[Vec<Event>]>::concat).collect();
    for batch in &batches {
        let last = batch.last().unwrap().sequence;
        let row =
            |event: &Event| Row { sequence: event.sequence, body: encode(event, event.sequence == last).unwrap() };
        let rows: Vec<Row> = batch.iter().map(row).collect();
        let head = journal.head();
        journal.append(head, &rows).unwrap();
        journal.maintain();
    }
    drop(journal);
    let begin = Instant::now();
    let mut replay = Replay::new(Recent::new(65_536, usize::MAX));
    let opened = SqliteJournal::open(&path, Options::default(), &mut |row| replay.accept(row).map_err(Into::into));
    let (state, _) = replay.finish();
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(state, built.state);
    drop(opened.unwrap());
    let events = state.sequence() as f64;
    println!("recovery: {events} events verified and replayed in {seconds:.2} s, {:.0} a second", events / seconds);
    let begin = Instant::now();
    let engine = Engine::start(&Store::File(path), Arc::new(SystemClock), Settings::default()).unwrap();
    println!("recovery: the engine was up in {:.2} s", begin.elapsed().as_secs_f64());
    drop(engine);
}

fn whole_engine() {
    const TASKS: usize = 64;
    const ROUNDS: usize = 100;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::File(directory.path().join("journal.db"));
    let today = SystemClock.read().wall.to_string();
    let day = today.get(..10).unwrap();
    let mut people = DIRECTORY.replace("2026-11-02", day);
    for n in 0..TASKS {
        people.push_str(&format!(
            "\n[people.p{n}]\nattestations = {{ screening = {day}, background-check = {day}, annual-training = {day}, \
             dba-training = {day} }}\n[accounts.p{n}]\nperson = \"p{n}\"\nroles = [\"db-engineer\"]\n\
             identities = [\"spiffe://northwind.example/person/p{n}\"]\n"
        ));
    }
    initialise(&store, Files { policy: POLICY, directory: &people }, Arc::new(SystemClock)).unwrap();
    let engine = Engine::start(&store, Arc::new(SystemClock), Settings::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let begin = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS).map(|n| tokio::spawn(ask_and_approve(engine.clone(), n, ROUNDS))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let seconds = begin.elapsed().as_secs_f64();
    let pairs = (TASKS * ROUNDS) as f64;
    println!("engine on SQLite, {TASKS} callers: {:.0} requests with their approvals a second", pairs / seconds);
    println!("  (three commands each: {:.0} commands a second, all durable)", 3.0 * pairs / seconds);
}

async fn ask_and_approve(engine: Engine, n: usize, rounds: usize) {
    let (own, ben) = (calls::calling(identity(&format!("p{n}"))), calls::calling(identity("ben")));
    for _ in 0..rounds {
        let done = engine.execute(&own, request_id(), asking()).await.unwrap();
        let Some(Subject::Elevation(elevation)) = done.about else { panic!() };
        let command = engine.read(|state| approval(state, elevation));
        engine.execute(&ben, request_id(), command).await.unwrap();
        let person = format!("p{n}").parse().unwrap();
        let grant = engine.read(|state| state.open_grants_of(&person).next().unwrap().id);
        let command = Command::from(RelinquishGrant { grant, reason: "done".to_owned() });
        engine.execute(&own, request_id(), command).await.unwrap();
    }
}
