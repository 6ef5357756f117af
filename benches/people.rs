//! What HR costs, with the real engine on the real store: an import of 50 thousand new people; 50 thousand terminations in
//! one batch, each of somebody with a live grant and a pending elevation, while a thread checks without a pause; and how
//! long a single urgent termination takes until the next check denies.
//!
//! `cargo bench --bench people`. Floors: each of the two batches durable in less than 5 s, the p99 of a check during the
//! second at most 3 times that of the quiet seconds before it, in the same run. Criterion repeats what it measures, and an
//! import cannot be repeated, so it is not used here.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::as_conversions,
    reason = "a bench stops at the first surprise, reads the clock, prints, and divides"
)]

/// As the broker has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "../tests/common/ask.rs"]
mod ask;
#[path = "../tests/common/filled.rs"]
mod filled;
#[path = "people/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use countersign::check::{Query, Verdict};
use countersign::clock::SystemClock;
use countersign::domain::decide::decide;
use countersign::domain::record::command::{ApplyHrEvents, Command, DecideHold, Envelope, ImportPeople};
use countersign::domain::record::hr::{HrChange, HrEvent, ImportedPerson, StreamPlace};
use countersign::domain::state::State;
use countersign::domain::value::ids::PersonId;
use countersign::domain::value::time::Timestamp;
use countersign::engine::{Engine, Settings, Store};

use world::{ENFORCER, HR, RELEASER, RESOURCE, fill, identity, name, request_id};

/// Quiet checks are measured for so long.
const QUIET: Duration = Duration::from_secs(3);
const FLOOR_SECONDS: f64 = 5.0;

fn main() {
    // Without `--bench` cargo only asks whether this runs at all.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let people = if in_earnest { 50_000 } else { 200 };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    import(&directory.path().join("import.db"), people);
    terminate(&directory.path().join("terminate.db"), people);
    one_by_one(&directory.path().join("one-by-one.db"));
}

/// The command on the runtime of the caller, as a server has it: how long until it is durable and answered.
fn timed(engine: &Engine, who: &str, command: Command) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let begun = Instant::now();
    let done = runtime.block_on(engine.execute(&filled::calls::calling(who.parse().unwrap()), request_id(), command));
    let seconds = begun.elapsed().as_secs_f64();
    assert!(!done.unwrap().repeated);
    seconds
}

/// How long the decision alone takes, on the state as it is read.
fn decision(engine: &Engine, who: &str, command: &Command) -> (f64, usize) {
    let state: State = engine.read(Clone::clone);
    let envelope = Envelope {
        caller: filled::calls::calling(who.parse().unwrap()),
        request_id: request_id(),
        now: engine.now(),
        nonce: uuid::Uuid::new_v4().into_bytes(),
        command: command.clone(),
    };
    let begun = Instant::now();
    let events = decide(&state, &envelope).unwrap();
    (begun.elapsed().as_secs_f64(), events.len())
}

fn start(path: &Path) -> Engine {
    let engine = Engine::start(&Store::File(path.to_owned()), Arc::new(SystemClock), Settings::default()).unwrap();
    // The side file of lists is built while nothing is measured.
    engine.history().catch_up().unwrap();
    engine
}

fn place(number: u64) -> StreamPlace {
    StreamPlace { stream: "people".parse().unwrap(), number }
}

fn floor(what: &str, measured: f64, most: f64) {
    println!("  {what}: {measured:.2}, of at most {most} ({})", if measured <= most { "met" } else { "NOT MET" });
}

fn import(path: &Path, people: usize) {
    fill(path, 0);
    let engine = start(path);
    let present = engine.read(|state| {
        // Whose ids have a dot are of a tenant, whose own feed speaks for them.
        let people = state.organisation().people().iter().filter(|(id, _)| !id.as_str().contains('.'));
        people.map(|(id, it)| (id.clone(), file(it.manager.clone(), None))).collect::<BTreeMap<_, _>>()
    });
    let mut all = present;
    for n in 0..people {
        // Ten report to each.
        let manager = if n < 10 { "ines".to_owned() } else { name(n / 10) };
        all.insert(name(n).parse().unwrap(), file(Some(manager.parse().unwrap()), Some(&name(n))));
    }
    let command = Command::from(ImportPeople { place: place(1), people: all });
    let (alone, _) = decision(&engine, HR, &command);
    let caught = timed(&engine, HR, command);
    // So many at once are a matter for a person.
    let (hold, digest) =
        engine.read(|state| state.holds().values().map(|hold| (hold.id, hold.digest())).next()).unwrap();
    let command = Command::from(DecideHold { hold, digest, release: true, reason: "the first import".to_owned() });
    let (released_alone, events) = decision(&engine, RELEASER, &command);
    let released = timed(&engine, RELEASER, command);
    println!("an import of {people} new people, which the brake holds: {caught:.2} s, decided alone in {alone:.2} s");
    println!("  let through by a person, {events} events: {released:.2} s, decided alone in {released_alone:.2} s");
    floor("both durable and answered, in seconds", caught + released, FLOOR_SECONDS);
    let known = engine.read(|state| state.organisation().people().contains_key(name(people - 1).as_str()));
    assert!(known, "the last of them is on record");
    engine.shutdown();
}

fn file(manager: Option<PersonId>, login: Option<&str>) -> ImportedPerson {
    let login = login.map(identity).into_iter().collect();
    ImportedPerson { manager, login, leaves_at: None }
}

fn terminate(path: &Path, people: usize) {
    fill(path, people);
    let engine = start(path);
    let at = Timestamp::from_millis(1).unwrap();
    let left = |n| HrEvent {
        person: name(n).parse().unwrap(),
        change: HrChange::Left { at, urgent: false, also_approved: false },
    };
    let command = Command::from(ApplyHrEvents { place: Some(place(1)), events: (0..people).map(left).collect() });
    let (alone, events) = decision(&engine, HR, &command);
    let checking = Checking::start(engine.clone(), people);
    let quiet = checking.during(|| std::thread::sleep(QUIET));
    let mut seconds = 0.0;
    let busy = checking.during(|| seconds = timed(&engine, HR, command));
    let after = checking.during(|| std::thread::sleep(QUIET / 3));
    checking.stop();
    println!("{people} terminations in one batch: {events} events; decided alone in {alone:.2} s");
    floor("durable and answered, in seconds", seconds, FLOOR_SECONDS);
    println!(
        "  checks: quiet p50 {} ns, p99 {} ns ({}); during it p50 {} ns, p99 {} ns ({}); after it p99 {} ns",
        quiet.percentile(50),
        quiet.percentile(99),
        quiet.nanos.len(),
        busy.percentile(50),
        busy.percentile(99),
        busy.nanos.len(),
        after.percentile(99),
    );
    floor("p99 of a check, in times of quiet", busy.percentile(99) as f64 / quiet.percentile(99) as f64, 3.0);
    for n in 0..people {
        assert!(!allowed(&engine, &name(n)), "{} is allowed", name(n));
    }
    let open = engine.read(|state| (state.pending().len(), state.is_anything_live()));
    assert_eq!(open, (0, false), "nothing is left of anybody");
    engine.shutdown();
}

/// So many leave one after another.
const ONE_BY_ONE: usize = 100;

/// Urgent terminations, each alone: acknowledged means that the next check denies. As many stay, so that the brake, which here
/// lets through as many as work here, stops nobody.
fn one_by_one(path: &Path) {
    fill(path, 2 * ONE_BY_ONE);
    let engine = &start(path);
    let at = Timestamp::from_millis(1).unwrap();
    let mut nanos = Vec::new();
    for n in 0..ONE_BY_ONE {
        let person = name(n);
        assert!(allowed(engine, &person), "{person} is not allowed yet");
        let change = HrChange::Left { at, urgent: true, also_approved: false };
        let events = vec![HrEvent { person: person.parse().unwrap(), change }];
        nanos.push((timed(engine, HR, Command::from(ApplyHrEvents { place: None, events })) * 1e9) as u64);
        assert!(!allowed(engine, &person), "{person} is allowed after the answer");
    }
    let measured = Measured { nanos }.sorted();
    let [p50, p99] = [50, 99].map(|percent| measured.percentile(percent) as f64 / 1e6);
    println!(
        "{ONE_BY_ONE} urgent terminations one by one, each denied by the next check: p50 {p50:.2} ms, p99 {p99:.2} ms"
    );
    let here =
        |n: usize| engine.read(|state| state.organisation().works_here(&name(n).parse().unwrap(), engine.latest()));
    assert!((0..ONE_BY_ONE).all(|n| !here(n)), "nobody of them is only stopped");
    engine.shutdown();
}

fn allowed(engine: &Engine, who: &str) -> bool {
    let checks = engine.checks();
    let caller = checks.caller(ENFORCER).unwrap();
    let query = Query { subject: who, action: "db.read", resource: RESOURCE };
    matches!(checks.check(&caller, query, engine.latest()), Verdict::Allow { .. })
}

struct Measured {
    nanos: Vec<u64>,
}

impl Measured {
    fn sorted(mut self) -> Self {
        self.nanos.sort_unstable();
        self
    }

    fn percentile(&self, percent: usize) -> u64 {
        self.nanos[(self.nanos.len() - 1) * percent / 100]
    }
}

/// A thread that checks without a pause; each check is timed.
struct Checking {
    shared: Arc<Shared>,
    thread: std::thread::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    done: AtomicBool,
    nanos: std::sync::Mutex<Vec<u64>>,
}

impl Checking {
    fn start(engine: Engine, people: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let names: Vec<String> = (0..people).map(name).collect();
            let mut local = Vec::with_capacity(1_024);
            let mut next = 0;
            while !its.done.load(Ordering::Relaxed) {
                for _ in 0..1_024 {
                    // Spread over all of them.
                    next = (next + 7_919) % people;
                    let begun = Instant::now();
                    std::hint::black_box(allowed(&engine, &names[next]));
                    local.push(u64::try_from(begun.elapsed().as_nanos()).unwrap());
                }
                its.nanos.lock().unwrap().append(&mut local);
            }
        });
        Self { shared, thread }
    }

    /// What checks took while something else went on.
    fn during(&self, work: impl FnOnce()) -> Measured {
        self.shared.nanos.lock().unwrap().clear();
        work();
        let nanos = std::mem::take(&mut *self.shared.nanos.lock().unwrap());
        assert!(!nanos.is_empty(), "nothing was checked");
        Measured { nanos }.sorted()
    }

    fn stop(self) {
        self.shared.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}
