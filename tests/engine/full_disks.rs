//! A disk that is full, at a checkpoint or at a start: commands are refused with what is wrong, everything that only reads
//! goes on, and nobody has to restart anything when there is room (known failures H24 and H25).

use countersign::domain::record::command::Command;
use countersign::domain::value::refusal::Reason;
use countersign::engine::{Engine, Halt, Settings, Store};
use countersign::journal::memory::StoreFault;
use countersign::journal::{JournalReader as _, Refused};

use super::common::*;

fn not_copied() -> Refused {
    Refused::NotCopied { what: "database or disk is full".into() }
}

#[tokio::test]
async fn a_log_that_cannot_be_copied_stops_what_gives_access_and_nothing_else() {
    // given a live grant, a pending elevation, and a store that cannot copy its log
    let broker = Broker::with(Settings::default(), 2);
    broker.grant("ana", "ben").await;
    let pending = request(&broker.engine, "e0", RESOURCE).await.unwrap();
    broker.memory().tell_trouble(Some(not_copied()));
    let after = broker.engine.sequence();
    // when somebody asks for access, or approves it, then they are told why not, and when to try again
    for refused in
        [request(&broker.engine, "e1", RESOURCE).await.map(|_| ()), broker.approve("ben", pending).await.map(|_| ())]
    {
        let refusal = refused.unwrap_err();
        assert_eq!(refusal.reason, Reason::StorageUnavailable);
        assert!(refusal.to_string().contains("disk is full") && refusal.retry_after.is_some(), "{refusal}");
    }
    assert_eq!(broker.engine.sequence(), after);
    // while checks, questions and the feed go on, and what takes access away is recorded
    assert!(is_granted(broker.check("ana")));
    assert_eq!(broker.engine.ask(|state, _| state.sequence()).await.unwrap(), after);
    let grant = broker.engine.read(|state| state.grants().keys().next().copied()).unwrap();
    broker.run("ana", relinquishment(grant)).await.unwrap();
    broker.recorded(after, "grant-relinquished/1").await;
    assert_eq!(broker.check("ana"), NO);
    // when there is room again, then the same is decided
    broker.memory().tell_trouble(None);
    broker.approve("ben", pending).await.unwrap();
    assert_eq!(broker.replayed(), broker.state());
}

#[tokio::test]
async fn a_start_on_a_full_disk_reads_and_checks_until_there_is_room() {
    // given a live grant and a pending elevation, and a disk that is full when the broker starts again
    let broker = Broker::with(Settings::default(), 2);
    broker.grant("ana", "ben").await;
    let pending = request(&broker.engine, "e0", RESOURCE).await.unwrap();
    let before = broker.state();
    broker.memory().be_full(true);
    let broker = broker.restart();
    // then what was durable is read and checked, and commands are refused with what is wrong
    assert_eq!((broker.state(), broker.engine.sequence()), (before.clone(), before.sequence()));
    assert!(is_granted(broker.check("ana")));
    assert_eq!(broker.engine.ask(|state, _| state.clone()).await.unwrap(), before);
    let refusal = broker.approve("ben", pending).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::StorageUnavailable);
    assert!(refusal.to_string().contains("the disk is full; make room"), "{refusal}");
    assert_eq!(broker.memory().head().unwrap().sequence, before.sequence());
    // and what ends by time ends all the same
    broker.clock.advance(minutes(15));
    assert_eq!(broker.check("ana"), NO);
    // when there is room, then the start is recorded without anybody asking, once, and commands are taken
    broker.memory().be_full(false);
    let started = broker.recorded(before.sequence(), "broker-started/1").await;
    assert_eq!(started.sequence, before.sequence() + 1);
    request(&broker.engine, "e1", RESOURCE).await.unwrap();
    let kinds = kinds(broker.memory(), before.sequence());
    assert_eq!(kinds.iter().filter(|kind| **kind == "broker-started/1").count(), 1, "{kinds:?}");
    assert_eq!(broker.replayed(), broker.state());
}

#[tokio::test]
async fn rows_of_a_torn_batch_are_struck_out_when_there_is_room() {
    let broker = Broker::new();
    let elevation = broker.request("ana").await;
    let before = broker.state();
    broker.memory().fail_next(StoreFault::Unknown { kept_rows: 2 });
    assert_eq!(reason(broker.approve("ben", elevation).await), Reason::Halted);
    broker.memory().be_full(true);
    let broker = broker.restart();
    assert_eq!(broker.state(), before);
    broker.memory().be_full(false);
    broker.recorded(before.sequence(), "broker-started/1").await;
    assert_eq!(kinds(broker.memory(), before.sequence() + 2), ["rows-abandoned/1", "broker-started/1"]);
    broker.approve("ben", elevation).await.unwrap();
    assert_eq!(broker.replayed(), broker.state());
}

/// What it would allow meanwhile is what it must revoke.
#[tokio::test]
async fn a_start_that_must_revoke_waits_for_room_before_anything_is_checked() {
    let broker = Broker::new();
    broker.grant("ana", "ben").await;
    let settings = Settings { void_on_restart: true, ..Settings::default() };
    let (store, clock) = (broker.store.clone(), broker.clock.clone());
    broker.engine.shutdown();
    drop(broker);
    let Store::Memory(memory) = &store else { panic!() };
    memory.be_full(true);
    let start = || Engine::start(&store, std::sync::Arc::new(clock.clone()), settings.clone());
    let refused = start().map(|_| ()).unwrap_err();
    assert!(matches!(refused, Halt::MustRevoke(Refused::DiskFull)) && refused.to_string().contains("make room"));
    memory.be_full(false);
    assert_eq!(check(&start().unwrap(), "ana", RESOURCE), NO);
}

#[tokio::test]
async fn a_stop_while_the_start_waits_records_nothing_and_ends() {
    let broker = Broker::new();
    let before = broker.memory().head().unwrap();
    broker.memory().be_full(true);
    let broker = broker.restart();
    broker.engine.shutdown();
    assert_eq!(broker.memory().head().unwrap(), before);
    assert_eq!(reason(broker.engine.ask(|_, _| ()).await), Reason::Halted);
}

/// Known failure A18: what took effect is told so again, whatever keeps the journal from taking more.
#[tokio::test]
async fn a_repetition_is_answered_while_nothing_can_be_recorded() {
    // given a request that took effect
    let broker = Broker::with(Settings::default(), 2);
    let (id, command) = (request_id(), Command::from(asking(RESOURCE)));
    let first = broker.engine.execute(&calling("e0"), id, command.clone()).await.unwrap();
    let again = async |broker: &Broker| {
        let done = broker.engine.execute(&calling("e0"), id, command.clone()).await.unwrap();
        assert_eq!((done.sequence, &done.about, done.repeated), (first.sequence, &first.about, true));
        // while the same under another id is refused
        let refusal = broker.engine.execute(&calling("e1"), request_id(), command.clone()).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::StorageUnavailable);
    };
    // when the log cannot be copied
    broker.memory().tell_trouble(Some(not_copied()));
    again(&broker).await;
    broker.memory().tell_trouble(None);
    // or a batch does not find room in which it is answered
    broker.memory().be_full(true);
    again(&broker).await;
    // or a start waits for room
    let broker = broker.restart();
    again(&broker).await;
}

#[tokio::test]
async fn a_repetition_in_a_batch_that_finds_no_room_is_answered() {
    // given a request that took effect, a grant whose end is due, and a disk without room for that
    let broker = Broker::with(Settings::default(), 2);
    let (id, command) = (request_id(), Command::from(asking(RESOURCE)));
    let first = broker.engine.execute(&calling("e0"), id, command.clone()).await.unwrap();
    broker.grant("ana", "ben").await;
    broker.memory().be_full(true);
    broker.clock.advance(countersign::domain::value::time::Span::DAY);
    // when the request is sent again, then it is told what it led to
    let done = broker.engine.execute(&calling("e0"), id, command).await.unwrap();
    assert_eq!((done.sequence, done.repeated), (first.sequence, true));
}

#[tokio::test]
async fn a_start_that_would_revoke_and_has_nothing_to_revoke_reads_until_there_is_room() {
    let settings = Settings { void_on_restart: true, ..Settings::default() };
    let broker = Broker::with(settings, 2);
    let pending = request(&broker.engine, "e0", RESOURCE).await.unwrap();
    broker.memory().be_full(true);
    let broker = broker.restart();
    assert!(broker.state().elevations().get(&pending).is_some());
    broker.memory().be_full(false);
    broker.approve("ben", pending).await.unwrap();
}
