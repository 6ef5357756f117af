//! What is read from the journal: lists, what left memory, refusals (known failures H9 and H12).

use countersign::domain::record::command::{Command, DenyElevation};
use countersign::domain::record::event::{BrokerFact, Fact, Subject};
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::{Span, Timestamp};
use countersign::engine::{Done, Settings};
use countersign::journal::index::{Filter, Page};

use super::common::*;

const ALL: Page = Page { after: None, limit: 500, newest_first: false };

fn list(broker: &Broker, filter: Filter) -> Vec<u64> {
    broker.engine.history().list(&filter, ALL).unwrap().events.iter().map(|event| event.sequence).collect()
}

#[tokio::test]
async fn events_are_listed_by_whom_what_about_and_when() {
    for broker in [Broker::new(), Broker::sqlite(Settings::default(), 0)] {
        let elevation = broker.request("ana").await;
        let denied = broker.approve("ana", elevation).await;
        assert!(denied.is_err());
        broker.clock.advance(Span::seconds(5));
        let Done { sequence: approved, .. } = broker.approve("ben", elevation).await.unwrap();
        let grant = grant_of(&broker.engine, elevation).unwrap();
        let requested = approved - 2;
        let filter = Filter::default();
        let by = |actor: &str| Filter { actor: Some(actor.into()), ..filter.clone() };
        let about = |about: String| Filter { about: Some(about), ..filter.clone() };
        let of = |kind: &str| Filter { kind: Some(kind.into()), ..filter.clone() };
        assert_eq!(list(&broker, by("account:ana")), [requested, requested + 1]);
        assert_eq!(list(&broker, by("account:ben")), [approved, approved + 1, approved + 2]);
        assert_eq!(list(&broker, about(format!("grant:{grant}"))), [approved + 1, approved + 2]);
        assert_eq!(
            list(&broker, about(format!("elevation:{elevation}"))),
            [requested, approved, approved + 1, approved + 2]
        );
        assert_eq!(list(&broker, of("grant-issued")), [approved + 2]);
        assert_eq!(list(&broker, of("command-refused/1")), [requested + 1]);
        let late = Filter { from: Some(timestamp(BEGIN).plus(Span::seconds(5))), ..filter.clone() };
        assert_eq!(list(&broker, late), [approved, approved + 1, approved + 2]);
        // and a page's bodies are the rows as they are stored
        let past = broker.engine.history().list(&of("grant-issued"), ALL).unwrap();
        assert!(past.bodies[0].contains("\"kind\":\"grant-issued/1\"") && past.reached == broker.engine.sequence());
    }
}

#[tokio::test]
async fn what_was_pruned_is_read_as_it_was() {
    // given a grant that was given up, one that ended and one denied request, past what is kept
    let broker = Broker::with(Settings { keep_closed: minutes(30), ..Settings::default() }, 3);
    let given_up = broker.grant("ana", "ben").await;
    broker.run("ana", relinquishment(given_up)).await.unwrap();
    let ended = broker.grant("e0", "ben").await;
    let denied = broker.request("e1").await;
    broker.run("ben", Command::from(DenyElevation { elevation: denied, reason: "not now".into() })).await.unwrap();
    broker.clock.advance(minutes(15));
    broker.recorded(0, "grant-ended/1").await;
    let before = broker.state();
    assert_eq!((before.grants().len(), before.elevations().len()), (2, 3));
    // when they leave memory
    broker.clock.advance(minutes(32));
    until("all is pruned", || broker.engine.read(|state| state.grants().is_empty() && state.elevations().is_empty()))
        .await;
    // then each is read from the journal exactly as it was
    let history = broker.engine.history();
    for grant in [given_up, ended] {
        let state = history.only(&Subject::Grant(grant)).unwrap();
        assert_eq!(state.grants(), &[(grant, before.grants().get(&grant).unwrap().clone())].into_iter().collect());
        assert!(state.elevations().is_empty());
    }
    for elevation in before.elevations().values() {
        let state = history.only(&Subject::Elevation(elevation.id)).unwrap();
        assert_eq!(state.elevations(), &[(elevation.id, elevation.clone())].into_iter().collect());
        assert!(state.grants().is_empty(), "a grant without its later events would be another grant");
    }
    assert_eq!(broker.replayed(), broker.state());
}

#[tokio::test]
async fn a_request_id_is_forgotten_after_a_day_and_not_before() {
    let broker = Broker::new();
    let (id, command) = (request_id(), Command::from(asking(RESOURCE)));
    let first = broker.engine.execute(&calling("ana"), id, command.clone()).await.unwrap();
    broker.clock.advance(Span::DAY.minus(minutes(1)));
    let second = broker.engine.execute(&calling("ana"), id, command.clone()).await.unwrap();
    assert_eq!((second.repeated, second.sequence), (true, first.sequence));
    broker.clock.advance(minutes(3));
    broker.recorded(0, "pruned/1").await;
    let third = broker.engine.execute(&calling("ana"), id, command).await.unwrap();
    assert!(!third.repeated && third.about != first.about);
}

#[tokio::test]
async fn the_state_does_not_grow_with_what_is_over() {
    let broker = Broker::with(Settings { keep_closed: minutes(10), ..Settings::default() }, 0);
    let empty = broker.state();
    for _ in 0..50 {
        let grant = broker.grant("ana", "ben").await;
        broker.run("ana", relinquishment(grant)).await.unwrap();
        broker.clock.advance(minutes(1));
    }
    assert!(broker.state().grants().len() <= 13);
    broker.clock.advance(Span::DAY.plus(minutes(2)));
    until("everything is pruned", || {
        broker.engine.read(|state| {
            state.grants().is_empty()
                && state.elevations().is_empty()
                && format!("{state:?}").len() < 2 * format!("{empty:?}").len()
        })
    })
    .await;
    assert_eq!(broker.replayed(), broker.state());
}

fn refusals(broker: &Broker, from: Timestamp) -> (usize, u32) {
    let filter = Filter { from: Some(from), ..Filter::default() };
    let mut told = (0, 0);
    let mut page = ALL;
    loop {
        let events = broker.engine.history().list(&filter, page).unwrap().events;
        let Some(last) = events.last() else { return told };
        page.after = Some(last.sequence);
        for event in &events {
            match &event.fact {
                Fact::Broker(BrokerFact::CommandRefused(_)) => told.0 += 1,
                Fact::Broker(BrokerFact::RefusalsCounted(fact)) => told.1 += fact.count,
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn sixty_refusals_of_a_minute_are_told_and_the_rest_counted() {
    // given one who is refused 150 times within a minute, and another who is refused once
    let broker = Broker::with(Settings::default(), 1);
    let elevation = broker.request("ana").await;
    for _ in 0..150 {
        assert_eq!(reason(broker.approve("ana", elevation).await), Reason::SelfApproval);
    }
    assert!(broker.approve("e0", elevation).await.is_err());
    assert_eq!(refusals(&broker, timestamp(BEGIN)), (61, 0));
    // when the minute is over, then every one is accounted for
    broker.clock.advance(minutes(1));
    let event = broker.recorded(0, "refusals-counted/1").await;
    let Fact::Broker(BrokerFact::RefusalsCounted(fact)) = &event.fact else { panic!("{event:?}") };
    assert_eq!((fact.caller.to_string().as_str(), fact.minute, fact.count), ("account:ana", timestamp(BEGIN), 90));
    assert_eq!(refusals(&broker, timestamp(BEGIN)), (61, 90));
    // and the next minute begins anew
    assert!(broker.approve("ana", elevation).await.is_err());
    assert_eq!(refusals(&broker, timestamp(BEGIN)), (62, 90));
    assert_eq!(broker.replayed(), broker.state());
}

#[tokio::test]
async fn counts_survive_a_full_disk_and_a_shutdown() {
    use countersign::journal::memory::StoreFault;
    let broker = Broker::new();
    let elevation = broker.request("ana").await;
    for _ in 0..70 {
        assert!(broker.approve("ana", elevation).await.is_err());
    }
    // when the batch that would tell the count is not taken, it is told later
    broker.memory().fail_next(StoreFault::DiskFull);
    broker.clock.advance(minutes(1));
    broker.recorded(0, "refusals-counted/1").await;
    assert_eq!(refusals(&broker, timestamp(BEGIN)), (60, 10));
    // when the broker stops within the minute, what it counted so far is told first
    for _ in 0..65 {
        assert!(broker.approve("ana", elevation).await.is_err());
    }
    let broker = broker.restart();
    assert_eq!(refusals(&broker, timestamp(BEGIN)), (120, 15));
    assert_eq!(broker.replayed(), broker.state());
}

#[tokio::test]
async fn an_unknown_caller_leaves_no_row() {
    let broker = Broker::new();
    let before = broker.engine.sequence();
    let stranger = "spiffe://northwind.example/person/nobody".parse().unwrap();
    let command = Command::from(asking(RESOURCE));
    assert_eq!(
        reason(broker.engine.execute(&crate::calls::calling(stranger), request_id(), command).await),
        Reason::NoAccount
    );
    assert_eq!(broker.engine.sequence(), before);
}
