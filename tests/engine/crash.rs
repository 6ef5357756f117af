//! kill -9, for real: a child process hammers a SQLite journal and says what was acknowledged; the parent kills it at
//! random moments (known failures H1 and H2; invariants 3, 8, 9, 13).

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;

use countersign::clock::SystemClock;
use countersign::domain::decide::Files;
use countersign::domain::record::command::Command;
use countersign::domain::record::row::decode;
use countersign::domain::state::State;
use countersign::domain::value::ids::RequestId;
use countersign::engine::{Engine, Settings, Store, initialise};
use countersign::journal::{JournalReader, MemoryStore, Options, Row, SqliteJournal, verify_file};

use super::common::*;

const JOURNAL: &str = "COUNTERSIGN_TEST_CRASH_JOURNAL";
const ROUNDS: usize = 12;
const MOST_ROUNDS: usize = 20 * ROUNDS;
const TASKS: usize = 24;

/// Not a test: what `no_kill_loses_what_was_acknowledged` starts, in this same binary. By itself it does nothing.
#[test]
fn child() {
    let Ok(path) = std::env::var(JOURNAL) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = Store::File(path.into());
    let engine = Engine::start(&store, Arc::new(SystemClock), Settings::default()).unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS).map(|n| tokio::spawn(hammer(engine.clone(), n))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Requests, approves and gives up for ever, and tells each acknowledged id.
async fn hammer(engine: Engine, n: usize) {
    let (engineer, commander) = (format!("e{n}"), format!("c{n}"));
    loop {
        // A unique resource, so that what an earlier life left pending is not in the way; and that is withdrawn.
        let left: Vec<_> = engine.read(|state| {
            let person = engineer.parse().unwrap();
            state.pending_of(&person).map(|elevation| elevation.id).collect()
        });
        for elevation in left {
            tell(&engine, &engineer, withdrawal(elevation)).await;
        }
        let held: Vec<_> = engine.read(|state| {
            let person = engineer.parse().unwrap();
            state.open_grants_of(&person).map(|grant| grant.id).collect()
        });
        for grant in held {
            tell(&engine, &engineer, relinquishment(grant)).await;
        }
        let resource = format!("prod/eu1/db/orders/{engineer}");
        let done = tell(&engine, &engineer, Command::from(asking(&resource))).await;
        let elevation = elevation_of(&done).unwrap();
        tell(&engine, &commander, approval(&engine, elevation)).await;
        let grant = grant_of(&engine, elevation).unwrap();
        tell(&engine, &engineer, relinquishment(grant)).await;
    }
}

async fn tell(engine: &Engine, who: &str, command: Command) -> countersign::engine::Done {
    let id = request_id();
    let done = engine.execute(&calling(who), id, command).await.unwrap();
    let mut out = std::io::stdout().lock();
    // One write, so that a kill leaves whole lines but for the last.
    out.write_all(format!("ack {id} {}\n", done.sequence).as_bytes()).unwrap();
    out.flush().unwrap();
    done
}

fn start_child(path: &Path) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(JOURNAL, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the child after so many acknowledgements and so many microseconds; all that it acknowledged.
fn run_and_kill(path: &Path, after: usize, pause_micros: u64) -> Vec<(RequestId, u64)> {
    let mut child = start_child(path);
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut line = String::new();
    let mut is_dead = false;
    while lines.read_line(&mut line).unwrap() > 0 {
        // What a kill cut short was not acknowledged.
        if let Some((_, rest)) = line.strip_suffix('\n').and_then(|whole| whole.split_once("ack ")) {
            let (id, sequence) = rest.split_once(' ').unwrap();
            acknowledged.push((id.parse().unwrap(), sequence.parse().unwrap()));
        }
        line.clear();
        if acknowledged.len() >= after && !is_dead {
            std::thread::sleep(std::time::Duration::from_micros(pause_micros));
            child.kill().unwrap();
            is_dead = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(is_dead, "the child ended by itself: {status}");
    acknowledged
}

struct Rows(Vec<Row>);

impl JournalReader for Rows {
    fn id(&self) -> countersign::journal::JournalId {
        JournalReader::id(&MemoryStore::new())
    }
    fn head(&self) -> Result<countersign::journal::Head, countersign::journal::ReadError> {
        MemoryStore::new().head()
    }
    fn hash(&self, _: u64) -> Result<Option<countersign::domain::value::ids::Digest>, countersign::journal::ReadError> {
        Ok(None)
    }
    fn read_after(&self, after: u64, _: usize) -> Result<Vec<Row>, countersign::journal::ReadError> {
        Ok(self.0.iter().filter(|row| row.sequence > after).cloned().collect())
    }
}

#[test]
fn no_kill_loses_what_was_acknowledged() {
    // given a journal of people of today
    let directory_of_test = tempfile::tempdir().unwrap();
    let path = directory_of_test.path().join("journal.db");
    let today = wall(&SystemClock).to_string();
    let directory = directory(today.get(..10).unwrap(), TASKS);
    let store = Store::File(path.clone());
    initialise(&store, Files { policy: POLICY, directory: &directory }, Arc::new(SystemClock)).unwrap();

    let mut acknowledged: Vec<(RequestId, u64)> = Vec::new();
    let mut unacknowledged_tails = 0;
    let mut round = 0;
    // As many more as it takes, on a machine that is busy otherwise, until one falls between journal and answer.
    while round < ROUNDS || (unacknowledged_tails == 0 && round < MOST_ROUNDS) {
        round += 1;
        // when the broker is killed at a random moment
        let [a, b, c, ..] = *uuid::Uuid::new_v4().as_bytes();
        let last_before = acknowledged.len();
        acknowledged.extend(run_and_kill(&path, 1 + usize::from(a), u64::from(b) * 16 + u64::from(c) / 16));
        assert!(acknowledged.len() > last_before);

        // then the journal verifies, and all that was acknowledged is in it, where it was said to be
        verify_file(&path, None).unwrap();
        let rows = rows_of(&path);
        let mut journaled = BTreeSet::new();
        for row in &rows {
            let event = decode(&row.body).unwrap().0;
            if let Some(mark) = event.request {
                assert!(journaled.insert((mark.id, row.sequence)), "round {round}: {} twice", mark.id);
            }
        }
        for known in &acknowledged {
            assert!(journaled.contains(known), "round {round}: {} was acknowledged and is gone", known.0);
        }
        assert_eq!(journaled.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len(), journaled.len());
        // what nobody was told of may be there; then it is there whole
        let told: BTreeSet<_> = acknowledged.iter().copied().collect();
        let newest_told = acknowledged.iter().map(|(_, sequence)| *sequence).max().unwrap();
        if journaled.difference(&told).any(|(_, sequence)| *sequence > newest_told) {
            unacknowledged_tails += 1;
        }
        // and a broker that starts on it comes to the state that its rows tell, with one grant an elevation at most
        let engine = Engine::start(&store, Arc::new(SystemClock), Settings { timer: false, ..Settings::default() });
        let engine = engine.unwrap();
        let state = engine.read(State::clone);
        engine.shutdown();
        assert_eq!(state, replayed(&Rows(rows_of(&path))), "round {round}");
        let elevations: BTreeSet<_> = state.grants().values().map(|grant| grant.elevation).collect();
        assert_eq!(elevations.len(), state.grants().len());
    }
    println!("{} commands acknowledged, {unacknowledged_tails} of {round} kills left a tail", acknowledged.len());
    assert!(unacknowledged_tails > 0, "no kill left rows that nobody was told of: it proves too little");
}

fn rows_of(path: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    let opened = SqliteJournal::open(path, Options::default(), &mut |row| {
        rows.push(row.clone());
        Ok(())
    });
    drop(opened.unwrap());
    rows
}
