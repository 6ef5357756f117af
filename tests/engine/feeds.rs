//! The feed: each event once, in order, or RESYNC; never a gap (known failures F4 and F5).

use std::sync::Arc;

use countersign::domain::record::event::Event;
use countersign::domain::record::row::decode;
use countersign::domain::value::refusal::Reason;
use countersign::engine::{Engine, Settings};
use countersign::journal::JournalReader as _;
use countersign::journal::memory::StoreFault;

use super::common::*;

/// The journal's own projection: its rows but for those struck out.
fn journaled(broker: &Broker, after: u64) -> Vec<Event> {
    let rows = broker.memory().read_after(0, usize::MAX).unwrap();
    let struck: Vec<_> = rows.iter().filter_map(|row| countersign::journal::abandoned_by(&row.body)).collect();
    let rows = rows.iter().filter(|row| row.sequence > after && !struck.iter().any(|s| s.contains(&row.sequence)));
    rows.map(|row| decode(&row.body).unwrap().0).collect()
}

async fn some_history(broker: &Broker) {
    for who in ["ana", "e0", "e1"] {
        let grant = broker.grant(who, "ben").await;
        broker.run(who, relinquishment(grant)).await.unwrap();
        let pending = broker.request(who).await;
        assert!(broker.approve(who, pending).await.is_err());
    }
}

async fn followed(engine: &Engine, after: u64, to: u64) -> Vec<Event> {
    let mut follower = engine.follow(after).unwrap();
    let mut events = Vec::new();
    while follower.place() < to {
        events.push((*within(follower.next()).await.unwrap()).clone());
    }
    events
}

#[tokio::test]
async fn from_any_sequence_each_event_comes_once_and_in_order() {
    let broker = Broker::with(Settings::default(), 2);
    let begin = 0;
    some_history(&broker).await;
    let last = broker.engine.sequence();
    for after in begin..=last {
        assert_eq!(followed(&broker.engine, after, last).await, journaled(&broker, after), "after {after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_dropped_and_resumed_at_each_event_misses_none() {
    // given one who follows from the beginning while things happen, and begins anew after every event
    let broker = Broker::with(Settings::default(), 2);
    let begin = broker.engine.sequence();
    let engine = broker.engine.clone();
    let (enough, mut is_enough) = tokio::sync::watch::channel(u64::MAX);
    let following = tokio::spawn(async move {
        let mut events: Vec<Arc<Event>> = Vec::new();
        let mut after = begin;
        while after < *is_enough.borrow_and_update() {
            let mut follower = engine.follow(after).unwrap();
            // A wait that is dropped before it is done loses nothing.
            let cut = tokio::time::timeout(std::time::Duration::from_millis(5), follower.next()).await;
            if let Ok(event) = cut {
                events.push(event.unwrap());
                after = follower.place();
            }
        }
        events
    });
    for _ in 0..40 {
        one_grant(&broker, "c0").await;
    }
    enough.send_replace(broker.engine.sequence());
    let events: Vec<Event> = within(following).await.unwrap().iter().map(|event| (**event).clone()).collect();
    assert_eq!(events, journaled(&broker, begin));
}

async fn one_grant(broker: &Broker, by: &str) {
    let elevation = request(&broker.engine, "ana", "prod/us2/db/orders/main").await.unwrap();
    broker.approve(by, elevation).await.unwrap();
    broker.run("ana", relinquishment(grant_of(&broker.engine, elevation).unwrap())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_many_watch_is_read_once() {
    let broker = Broker::with(Settings::default(), 2);
    some_history(&broker).await;
    let last = broker.engine.sequence();
    // when many ask for one row at the same time
    let engine = &broker.engine;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let engine = engine.clone();
        asked.spawn(async move { engine.row(last).await });
    }
    // then all of them have the one that was read, and it is the journal's
    let rows: Vec<_> = asked.join_all().await.into_iter().map(|row| row.unwrap().unwrap()).collect();
    assert!(rows.iter().all(|row| Arc::ptr_eq(row, &rows[0])));
    assert_eq!(vec![rows[0].event.clone()], journaled(&broker, last - 1));
    assert_eq!(decode(&rows[0].body).unwrap().0, rows[0].event);
    assert_eq!(rows[0].hash, engine.history().hash(last).unwrap());
    assert!(engine.row(last + 1).await.unwrap().is_none());
    // and however many rows are asked for, few are kept
    for sequence in 1..=last {
        assert_eq!(engine.row(sequence).await.unwrap().unwrap().event.sequence, sequence);
    }
    assert!(!Arc::ptr_eq(&engine.row(1).await.unwrap().unwrap(), &rows[0]));
}

#[tokio::test]
async fn too_old_and_too_new_places_begin_anew() {
    let broker = Broker::with(Settings { feed_events: 5, ..Settings::default() }, 2);
    some_history(&broker).await;
    let last = broker.engine.sequence();
    // The five newest are held, so the place before the first of them is good.
    assert_eq!(followed(&broker.engine, last - 5, last).await, journaled(&broker, last - 5));
    for after in [0, last - 6, last + 1, u64::MAX] {
        assert_eq!(reason(broker.engine.follow(after).map(|_| ())), Reason::Resync, "{after}");
    }
    assert!(broker.engine.follow(last).is_ok());
}

#[tokio::test]
async fn a_slow_follower_begins_anew_and_never_skips() {
    let broker = Broker::with(Settings { feed_events: 5, ..Settings::default() }, 2);
    let begin = broker.engine.sequence();
    let mut follower = broker.engine.follow(begin).unwrap();
    some_history(&broker).await;
    assert_eq!(reason(within(follower.next()).await), Reason::Resync);
    assert_eq!((follower.place(), reason(within(follower.next()).await)), (begin, Reason::Resync));
}

#[tokio::test]
async fn a_feed_that_holds_nothing_gives_resync_not_silence() {
    let broker = Broker::with(Settings { feed_events: 0, ..Settings::default() }, 0);
    let mut follower = broker.engine.follow(broker.engine.sequence()).unwrap();
    broker.request("ana").await;
    assert_eq!(reason(within(follower.next()).await), Reason::Resync);
}

#[tokio::test]
async fn a_restart_resumes_where_the_follower_was() {
    let broker = Broker::with(Settings::default(), 2);
    let begin = broker.engine.sequence();
    some_history(&broker).await;
    let place = begin + 3;
    let broker = broker.restart();
    one_grant(&broker, "c0").await;
    let last = broker.engine.sequence();
    assert_eq!(followed(&broker.engine, place, last).await, journaled(&broker, place));
}

#[tokio::test]
async fn rows_that_were_struck_out_are_not_in_the_feed() {
    let broker = Broker::new();
    let elevation = broker.request("ana").await;
    let place = broker.engine.sequence();
    broker.memory().fail_next(StoreFault::Unknown { kept_rows: 2 });
    assert!(broker.approve("ben", elevation).await.is_err());
    let broker = broker.restart();
    broker.approve("ben", elevation).await.unwrap();
    let last = broker.engine.sequence();
    for after in 0..=last {
        assert_eq!(followed(&broker.engine, after, last).await, journaled(&broker, after), "after {after}");
    }
    assert_eq!(journaled(&broker, place)[0].sequence, place + 3);
}

#[tokio::test]
async fn nothing_is_in_the_feed_before_it_is_durable_and_the_end_is_told() {
    let broker = Broker::new();
    let mut follower = broker.engine.follow(broker.engine.sequence()).unwrap();
    broker.memory().fail_next(StoreFault::DiskFull);
    assert!(request(&broker.engine, "ana", RESOURCE).await.is_err());
    let elevation = broker.request("ana").await;
    let event = within(follower.next()).await.unwrap();
    assert_eq!(event.fact.about()[0].to_string(), format!("elevation:{elevation}"));
    broker.memory().fail_next(StoreFault::Unknown { kept_rows: 3 });
    assert_eq!(reason(broker.approve("ben", elevation).await), Reason::Halted);
    assert_eq!(reason(within(follower.next()).await), Reason::Halted);
}
