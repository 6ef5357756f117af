//! What tries to bring the engine down: panics, answers that never come, a busy writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use countersign::clock::{BootId, BootMillis, Clock, ManualClock, Reading};
use countersign::domain::record::command::Command;
use countersign::domain::value::refusal::Reason;
use countersign::engine::{Engine, Settings};

use super::common::*;

#[tokio::test]
async fn a_question_that_panics_hurts_nobody_but_whoever_asked() {
    let broker = Broker::new();
    let answer = within(broker.engine.ask(|_, _| -> () { panic!("a question of a test") })).await;
    assert_eq!(reason(answer), Reason::Halted);
    broker.grant("ana", "ben").await;
    assert!(is_granted(broker.check("ana")));
}

/// A clock whose next reading on the writer's thread panics, to stand for any panic in there.
struct Bomb(ManualClock, std::sync::atomic::AtomicBool);

impl Clock for Bomb {
    fn read(&self) -> Reading {
        let on_writer = std::thread::current().name() == Some("writer");
        assert!(!(on_writer && self.1.load(Ordering::SeqCst)), "a clock of a test");
        self.0.read()
    }
    fn boot(&self) -> BootMillis {
        self.0.boot()
    }
    fn boot_id(&self) -> Option<BootId> {
        self.0.boot_id()
    }
}

#[tokio::test]
async fn a_writer_that_panics_leaves_nobody_waiting() {
    // given a writer that is held, with calls and questions waiting
    let broker = Broker::with(Settings::default(), 0);
    broker.engine.shutdown();
    let clock = Arc::new(Bomb(broker.clock.clone(), false.into()));
    let engine = Engine::start(&broker.store, Arc::clone(&clock) as Arc<dyn Clock>, Settings::default()).unwrap();
    let held = hold(&engine).await;
    let first = sent(request(&engine, "ana", RESOURCE)).await;
    let second = sent(engine.ask(|_, _| ())).await;
    // when it panics
    clock.1.store(true, Ordering::SeqCst);
    held.release();
    // then all who wait learn that it halted, and so do those who come later
    assert_eq!(reason(within(first).await), Reason::Halted);
    assert_eq!(reason(within(second).await), Reason::Halted);
    within(engine.halted()).await;
    assert_eq!(reason(request(&engine, "ana", RESOURCE).await), Reason::Halted);
    assert_eq!(reason(within(engine.ask(|_, _| ())).await), Reason::Halted);
    clock.1.store(false, Ordering::SeqCst);
    assert_eq!(check(&engine, "ana", RESOURCE), NO);
    // and the journal can be opened again
    engine.shutdown();
    drop(engine);
    let engine = Engine::start(&broker.store, clock, Settings::default()).unwrap();
    request(&engine, "ana", RESOURCE).await.unwrap();
}

#[tokio::test]
async fn the_last_handle_may_be_dropped_by_the_writer_itself() {
    // given a question that holds a handle, and becomes the last to hold one
    let broker = Broker::new();
    let engine = broker.engine.clone();
    let held = hold(&broker.engine).await;
    let own = engine.clone();
    drop(sent(engine.ask(move |_, _| drop(own))).await);
    drop(engine);
    let Broker { engine, clock, store, settings, .. } = broker;
    drop(engine);
    held.release();
    // then the writer stops by itself, and lets go of the journal
    let mut started = None;
    until("the journal is free", || {
        started = Engine::start(&store, Arc::new(clock.clone()), settings.clone()).ok();
        started.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let broker = Broker::new();
    let held = hold(&broker.engine).await;
    drop(sent(request(&broker.engine, "ana", RESOURCE)).await);
    drop(sent(broker.engine.ask(|_, _| ())).await);
    held.release();
    until("it is decided all the same", || broker.engine.read(|state| state.pending().len() == 1)).await;
}

/// A row that no journal takes must not fail the batch of others, and not be told as a full disk.
#[tokio::test]
async fn a_command_too_large_for_a_row_fails_alone() {
    let broker = Broker::with(Settings::default(), 1);
    let held = hold(&broker.engine).await;
    let mut huge = asking(RESOURCE);
    huge.justification = "x".repeat(2_000_000);
    let first = sent(broker.run("ana", Command::from(huge))).await;
    let second = sent(request(&broker.engine, "e0", RESOURCE)).await;
    held.release();
    assert_eq!(reason(within(first).await), Reason::InvalidMessage);
    within(second).await.unwrap();
    broker.request("ana").await;
    assert_eq!(broker.replayed(), broker.state());
}

#[tokio::test]
async fn a_batch_longer_than_is_committed_at_once_answers_everybody() {
    use countersign::journal::memory::StoreFault;
    // given more people than events fit one commit, all touched by one proposal, and one who calls after it
    let broker = Broker::with(Settings::default(), 2_100);
    let approval = broker.propose_directory(directory("2026-05-31", 2_100)).await.unwrap();
    let held = hold(&broker.engine).await;
    let first = sent(broker.run("vera", approval.clone())).await;
    let second = sent(request(&broker.engine, "e0", RESOURCE)).await;
    let third = sent(request(&broker.engine, "e1", RESOURCE)).await;
    broker.memory().fail_next(StoreFault::DiskFull);
    held.release();
    // then who has filled the batch is told that nothing was taken, and what comes after it is not touched by that
    assert_eq!(reason(within(first).await), Reason::StorageUnavailable);
    within(second).await.unwrap();
    within(third).await.unwrap();
    broker.run("vera", approval).await.unwrap();
    assert_eq!(broker.replayed(), broker.state());
}

/// Counts how often the writer looks at the clock.
struct Counted(ManualClock, AtomicU32);

impl Clock for Counted {
    fn read(&self) -> Reading {
        if std::thread::current().name() == Some("writer") {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        self.0.read()
    }
    fn boot(&self) -> BootMillis {
        self.0.boot()
    }
    fn boot_id(&self) -> Option<BootId> {
        self.0.boot_id()
    }
}

/// A writer that spins looks at the clock hundreds of thousands of times in such a while; one that sleeps, a few.
#[tokio::test]
async fn the_writer_sleeps_when_nothing_is_due() {
    let broker = Broker::new();
    broker.engine.shutdown();
    let clock = Arc::new(Counted(broker.clock.clone(), AtomicU32::new(0)));
    let engine = Engine::start(&broker.store, Arc::clone(&clock) as Arc<dyn Clock>, Settings::default()).unwrap();
    let looks = async |what: &str| {
        let before = clock.1.load(Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let looks = clock.1.load(Ordering::Relaxed) - before;
        assert!(looks < 200, "{what}: {looks}");
    };
    looks("nothing is open").await;
    let elevation = request(&engine, "ana", RESOURCE).await.unwrap();
    run(&engine, "ben", approval(&engine, elevation)).await.unwrap();
    looks("a grant is live").await;
    broker.clock.step_wall(3_600_000);
    looks("ends are due, and the clock is suspect").await;
    broker.clock.step_wall(-3_600_000);
    broker.clock.advance(minutes(16));
    until("it is recorded", || engine.read(|state| state.grants().values().all(|grant| !grant.is_open()))).await;
    looks("what closed waits to be forgotten").await;
    broker.clock.advance(countersign::domain::value::time::Span::DAY.plus(minutes(5)));
    until("it is forgotten", || engine.read(|state| state.grants().is_empty())).await;
    looks("all is forgotten").await;
    // a start that is due by the wall clock and not yet by the projection, for nearly two seconds
    let mut later = asking(RESOURCE);
    later.entitlement = "orders-db-maintenance".parse().unwrap();
    later.start = Some(wall(&broker.clock).plus(minutes(1)));
    let done = run(&engine, "ana", Command::from(later)).await.unwrap();
    run(&engine, "ben", approval(&engine, elevation_of(&done).unwrap())).await.unwrap();
    broker.clock.step_wall(1_900);
    broker.clock.advance(countersign::domain::value::time::Span::seconds(59));
    looks("a start is in doubt").await;
}
