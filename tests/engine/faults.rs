//! Invariant 8: what was acknowledged is in the journal, and nothing has effect before it is (known failures H1, H3 and H10).

use countersign::domain::record::command::Command;
use countersign::domain::state::State;
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::Span;
use countersign::engine::{Halt, Settings, Store, initialise};
use countersign::journal::memory::StoreFault;
use countersign::journal::{JournalReader as _, MemoryStore};

use super::common::*;

#[tokio::test]
async fn a_full_disk_takes_nothing_and_the_next_command_works() {
    // given a pending elevation and a disk that is full for the next batch
    let broker = Broker::new();
    let elevation = broker.request("ana").await;
    let before = broker.state();
    broker.memory().fail_next(StoreFault::DiskFull);
    // when it is approved, then nobody is told yes, and nothing has effect
    let refusal = broker.approve("ben", elevation).await.unwrap_err();
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::StorageUnavailable, Some(Span::SECOND)));
    assert_eq!(broker.check("ana"), NO);
    assert_eq!((broker.state(), broker.replayed()), (before.clone(), before.clone()));
    assert_eq!(broker.engine.ask(|state, _| state.clone()).await.unwrap(), before);
    // when there is room again, then the same command works, under the next sequence
    let done = broker.approve("ben", elevation).await.unwrap();
    assert_eq!((done.sequence, done.repeated), (before.sequence() + 1, false));
    assert!(is_granted(broker.check("ana")));
    assert_eq!(broker.replayed(), broker.state());
}

#[tokio::test]
async fn a_request_id_is_not_bound_by_a_batch_that_failed() {
    let broker = Broker::new();
    let id = request_id();
    let command = Command::from(asking(RESOURCE));
    broker.memory().fail_next(StoreFault::DiskFull);
    let first = broker.engine.execute(&calling("ana"), id, command.clone()).await;
    assert_eq!(reason(first), Reason::StorageUnavailable);
    let second = broker.engine.execute(&calling("ana"), id, command.clone()).await.unwrap();
    assert!(!second.repeated);
    let third = broker.engine.execute(&calling("ana"), id, command).await.unwrap();
    assert_eq!((third.repeated, third.sequence, third.about), (true, second.sequence, second.about));
}

#[tokio::test]
async fn everybody_in_a_batch_that_was_not_taken_is_told_so() {
    // given a writer that is held while many ask
    let broker = Broker::with(Settings::default(), 20);
    let held = hold(&broker.engine).await;
    let names: Vec<String> = (0..20).map(|n| format!("e{n}")).collect();
    let mut calls = Vec::new();
    for name in &names {
        calls.push(sent(request(&broker.engine, name, RESOURCE)).await);
    }
    broker.memory().fail_next(StoreFault::DiskFull);
    let before = broker.state();
    held.release();
    // then each is told that nothing happened, and nothing did
    for call in calls {
        assert_eq!(reason(within(call).await), Reason::StorageUnavailable);
    }
    assert_eq!((broker.state(), broker.replayed()), (before.clone(), before));
    request(&broker.engine, "e0", RESOURCE).await.unwrap();
}

#[tokio::test]
async fn what_is_due_is_recorded_when_there_is_room_again() {
    let broker = Broker::new();
    broker.grant("ana", "ben").await;
    let after = broker.engine.sequence();
    for _ in 0..3 {
        broker.memory().fail_next(StoreFault::DiskFull);
    }
    broker.clock.advance(minutes(15));
    assert_eq!(broker.check("ana"), NO);
    broker.recorded(after, "grant-ended/1").await;
    assert_eq!(kinds(broker.memory(), after).iter().filter(|kind| **kind == "grant-ended/1").count(), 1);
}

#[tokio::test]
async fn an_unknown_outcome_stops_the_writer_and_nothing_else() {
    // given a live grant, and a store that breaks at the next batch
    let broker = Broker::with(Settings::default(), 2);
    broker.grant("ana", "ben").await;
    let before = broker.state();
    broker.memory().fail_next(StoreFault::Unknown { kept_rows: 1 });
    // when somebody asks, then they learn that it halted, and so does whoever waits for that
    assert_eq!(reason(request(&broker.engine, "e1", RESOURCE).await), Reason::Halted);
    within(broker.engine.halted()).await;
    assert_eq!(reason(request(&broker.engine, "e0", RESOURCE).await), Reason::Halted);
    assert_eq!(reason(broker.engine.ask(|_, _| ()).await), Reason::Halted);
    // while reads and checks go on from what is durable
    assert_eq!(broker.state(), before);
    assert!(is_granted(broker.check("ana")));
    broker.clock.advance(minutes(15));
    assert_eq!(broker.check("ana"), NO);
}

/// What a caller was not told may be there whole or not at all, whatever reached the disk.
#[tokio::test]
async fn after_an_unknown_outcome_a_batch_is_there_whole_or_not_at_all() {
    // An approval that issues is a batch of three rows.
    for kept_rows in 0..=3 {
        let broker = Broker::new();
        let elevation = broker.request("ana").await;
        let before = broker.state();
        broker.memory().fail_next(StoreFault::Unknown { kept_rows });
        assert_eq!(reason(broker.approve("ben", elevation).await), Reason::Halted);
        within(broker.engine.halted()).await;
        assert_eq!(broker.check("ana"), NO, "not before it is known to be durable");

        // when the broker starts again
        let broker = broker.restart();
        let first = before.sequence() + 1;
        let whole = kept_rows == 3;
        assert_eq!(is_granted(broker.check("ana")), whole, "{kept_rows} rows");
        let after = broker.state();
        assert_eq!(after.elevations().len(), 1);
        assert_eq!(after.elevations().get(&elevation).unwrap().phase.is_pending(), !whole);
        assert_eq!(after.elevations().get(&elevation).unwrap().review.decisions.len(), usize::from(whole));
        let torn = kept_rows == 1 || kept_rows == 2;
        let recorded = kinds(broker.memory(), before.sequence() + kept_rows as u64);
        let expected: &[&str] = if torn { &["rows-abandoned/1", "broker-started/1"] } else { &["broker-started/1"] };
        assert_eq!(recorded, expected, "{kept_rows} rows");
        assert_eq!(after.sequence(), first - 1 + kept_rows as u64 + expected.len() as u64);
        assert_eq!(broker.replayed(), after);

        // then the command can be sent again, and a second restart comes to the same
        if !whole {
            broker.approve("ben", elevation).await.unwrap();
        }
        assert!(is_granted(broker.check("ana")));
        let last = broker.state();
        let broker = broker.restart();
        assert!(is_granted(broker.check("ana")));
        assert_eq!(broker.state().grants(), last.grants());
        assert_eq!(broker.state().elevations(), last.elevations());
        assert_eq!(broker.replayed(), broker.state());
    }
}

/// The batch of the start itself may be torn as well, and the next start strikes out that too.
#[tokio::test]
async fn a_start_that_is_torn_is_struck_out_by_the_next() {
    let broker = Broker::new();
    let elevation = broker.request("ana").await;
    broker.memory().fail_next(StoreFault::Unknown { kept_rows: 2 });
    assert_eq!(reason(broker.approve("ben", elevation).await), Reason::Halted);
    let store = broker.memory().clone();
    // the next start writes rows-abandoned and broker-started: of the two the first alone arrives
    store.fail_next(StoreFault::Unknown { kept_rows: 1 });
    let (clock, settings) = (broker.clock.clone(), broker.settings.clone());
    assert!(matches!(broker.try_restart(), Err(Halt::Append(_))));
    let again = countersign::engine::Engine::start(&Store::Memory(store.clone()), std::sync::Arc::new(clock), settings);
    let engine = again.unwrap();
    let state = engine.read(State::clone);
    assert!(state.elevations().get(&elevation).unwrap().phase.is_pending());
    assert!(state.elevations().get(&elevation).unwrap().review.decisions.is_empty());
    assert_eq!(replayed(&store), state);
    run(&engine, "ben", approval(&engine, elevation)).await.unwrap();
    assert!(is_granted(check(&engine, "ana", RESOURCE)));
    assert_eq!(replayed(&store), engine.read(State::clone));
    // and lists leave out what was struck out
    let page = countersign::journal::index::Page { limit: 500, ..Default::default() };
    let approvals =
        countersign::journal::index::Filter { kind: Some("approval-recorded".into()), ..Default::default() };
    assert_eq!(engine.history().list(&approvals, page).unwrap().events.len(), 1);
}

#[tokio::test]
async fn whoever_waits_when_the_writer_halts_is_told() {
    let broker = Broker::with(Settings { batch: 1, ..Settings::default() }, 20);
    let held = hold(&broker.engine).await;
    let names: Vec<String> = (0..20).map(|n| format!("e{n}")).collect();
    let mut calls = Vec::new();
    for name in &names {
        calls.push(sent(request(&broker.engine, name, RESOURCE)).await);
    }
    let question = sent(broker.engine.ask(|_, _| ())).await;
    broker.memory().fail_next(StoreFault::Unknown { kept_rows: 0 });
    held.release();
    for call in calls {
        assert_eq!(reason(within(call).await), Reason::Halted);
    }
    assert_eq!(reason(within(question).await), Reason::Halted);
    within(broker.engine.halted()).await;
    assert!(broker.state().pending().is_empty());
}

/// A journal whose first batch was torn is as good as empty: it can be filled, and then starts.
#[tokio::test]
async fn a_torn_initialisation_can_be_done_again() {
    let store = MemoryStore::new();
    let clock = std::sync::Arc::new(countersign::clock::ManualClock::new(timestamp(BEGIN)));
    let directory = directory("2026-06-01", 0);
    let files = || countersign::domain::decide::Files { policy: POLICY, directory: &directory };
    store.fail_next(StoreFault::Unknown { kept_rows: 2 });
    let memory = Store::Memory(store.clone());
    assert!(matches!(initialise(&memory, files(), clock.clone()), Err(Halt::Append(_))));
    assert!(store.head().unwrap().sequence == 2);
    let start = countersign::engine::Engine::start(&memory, clock.clone(), Settings::default());
    assert!(matches!(start.map(|_| ()), Err(Halt::NotInitialised)));
    initialise(&memory, files(), clock.clone()).unwrap();
    assert!(matches!(initialise(&memory, files(), clock.clone()), Err(Halt::AlreadyInitialised)));
    let engine = countersign::engine::Engine::start(&memory, clock, Settings::default()).unwrap();
    request(&engine, "ana", RESOURCE).await.unwrap();
    assert_eq!(replayed(&store), engine.read(State::clone));
}
