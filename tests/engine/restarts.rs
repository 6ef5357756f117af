//! Invariant 9: the state after a restart is the state before, bit for bit, whatever was going on.

use countersign::domain::record::command::{Command, DenyElevation};
use countersign::domain::record::event::{BrokerFact, Fact};
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::record::row::decode;
use countersign::domain::state::State;
use countersign::domain::state::apply::apply;
use countersign::domain::value::refusal::Reason;
use countersign::engine::{Engine, Halt, Settings, Store};
use countersign::journal::JournalReader as _;

use super::common::*;

/// The state that the event of the start, applied to the state before, makes.
fn with_the_start(mut before: State, after: &Broker) -> State {
    let past = after.engine.history().list(
        &countersign::journal::index::Filter::default(),
        countersign::journal::index::Page { after: Some(before.sequence()), limit: 1_000, newest_first: false },
    );
    past.unwrap().events.iter().for_each(|event| apply(&mut before, event));
    before
}

async fn the_whole_state_is_back(broker: Broker) {
    // given something of each kind: pending, denied, withdrawn, live, relinquished, revoked, scheduled, a refusal
    let pending = broker.request("ana").await;
    let denied = request(&broker.engine, "e0", RESOURCE).await.unwrap();
    broker.run("ben", Command::from(DenyElevation { elevation: denied, reason: "no".into() })).await.unwrap();
    let withdrawn = request(&broker.engine, "e0", RESOURCE).await.unwrap();
    broker.run("e0", withdrawal(withdrawn)).await.unwrap();
    let live = broker.grant("e1", "ben").await;
    let given_up = broker.grant("e2", "c1").await;
    broker.run("e2", relinquishment(given_up)).await.unwrap();
    let revoked = broker.grant("e3", "ben").await;
    broker.run("ben", revocation(revoked)).await.unwrap();
    let mut later = asking(RESOURCE);
    later.entitlement = "orders-db-maintenance".parse().unwrap();
    later.start = Some(timestamp(BEGIN).plus(minutes(90)));
    let scheduled = elevation_of(&broker.run("e4", Command::from(later)).await.unwrap()).unwrap();
    broker.approve("sam", scheduled).await.unwrap();
    assert_eq!(reason(broker.approve("ana", pending).await), Reason::SelfApproval);
    let (id, command) = (request_id(), Command::from(asking("prod/eu1/db/orders/idempotent")));
    let done = broker.engine.execute(&calling("e5"), id, command.clone()).await.unwrap();
    let before = broker.state();

    // when the broker restarts
    let broker = broker.restart();

    // then its whole state is the state before, with the start itself
    let expected = with_the_start(before.clone(), &broker);
    assert_eq!(expected.sequence(), before.sequence() + 1);
    assert_eq!(broker.state(), expected);
    assert_eq!(broker.engine.ask(|state, _| state.clone()).await.unwrap(), expected);
    assert_eq!(broker.state().elevations(), before.elevations());
    assert_eq!(broker.state().grants(), before.grants());
    // and everything goes on where it was
    assert!(is_granted(broker.check("e1")));
    assert!(!is_granted(broker.check("e2")) && !is_granted(broker.check("e3")));
    let again = broker.engine.execute(&calling("e5"), id, command.clone()).await.unwrap();
    assert_eq!((again.repeated, again.sequence, &again.about), (true, done.sequence, &done.about));
    let other = broker.engine.execute(&calling("e5"), id, Command::from(asking(RESOURCE))).await;
    assert_eq!(reason(other), Reason::RequestIdReused);
    broker.approve("c2", pending).await.unwrap();
    assert!(is_granted(broker.check("ana")));
    broker.run("c1", revocation(live)).await.unwrap();
    assert_eq!(broker.check("e1"), NO);
}

#[tokio::test]
async fn the_whole_state_is_back_from_memory() {
    the_whole_state_is_back(Broker::with(Settings::default(), 6)).await;
}

#[tokio::test]
async fn the_whole_state_is_back_from_sqlite() {
    the_whole_state_is_back(Broker::sqlite(Settings::default(), 6)).await;
}

#[tokio::test]
async fn what_ended_while_it_was_down_is_over_and_is_recorded() {
    let broker = Broker::sqlite(Settings::default(), 1);
    let grant = broker.grant("ana", "ben").await;
    let pending = broker.request("e0").await;
    broker.engine.shutdown();
    broker.clock.advance(minutes(45));
    let broker = broker.restart();
    assert_eq!(broker.check("ana"), NO);
    assert_eq!(reason(broker.approve("ben", pending).await), Reason::NotPending);
    broker.recorded(0, "grant-ended/1").await;
    broker.recorded(0, "elevation-expired/1").await;
    assert!(matches!(broker.state().grants().get(&grant).unwrap().phase, GrantPhase::Ended { .. }));
}

#[tokio::test]
async fn what_ended_while_it_was_down_is_over_without_a_timer() {
    let broker = Broker::with(Settings { timer: false, ..Settings::default() }, 0);
    broker.grant("ana", "ben").await;
    broker.engine.shutdown();
    broker.clock.advance(minutes(15));
    assert_eq!(broker.restart().check("ana"), NO);
}

#[tokio::test]
async fn a_broker_told_to_void_revokes_every_open_grant_at_its_start() {
    let mut broker = Broker::with(Settings::default(), 1);
    let live = broker.grant("ana", "ben").await;
    let pending = broker.request("e0").await;
    broker.settings.void_on_restart = true;
    let broker = broker.restart();
    assert_eq!(broker.check("ana"), NO);
    let state = broker.state();
    assert!(matches!(
        state.grants().get(&live).unwrap().phase,
        GrantPhase::Revoked { because: Revocation::Restart, .. }
    ));
    assert!(state.elevations().get(&pending).unwrap().phase.is_pending());
    assert_eq!(broker.replayed(), state);
    broker.approve("ben", pending).await.unwrap();
    assert!(is_granted(broker.check("e0")));
}

#[tokio::test]
async fn many_restarts_change_nothing_but_their_own_events() {
    let mut broker = Broker::new();
    broker.grant("ana", "ben").await;
    for _ in 0..5 {
        let before = broker.state();
        broker = broker.restart();
        assert_eq!(broker.state(), with_the_start(before, &broker));
        assert!(is_granted(broker.check("ana")));
    }
    let rows = broker.memory().read_after(0, usize::MAX).unwrap();
    let starts =
        rows.iter().filter(|row| matches!(decode(&row.body).unwrap().0.fact, Fact::Broker(BrokerFact::Started(_))));
    assert_eq!(starts.count(), 6);
}

/// known failure H16, and H14: two replays of one journal are the same.
#[tokio::test]
async fn a_second_engine_on_one_journal_does_not_start() {
    for broker in [Broker::new(), Broker::sqlite(Settings::default(), 0)] {
        let second = Engine::start(&broker.store, std::sync::Arc::new(broker.clock.clone()), Settings::default());
        assert!(matches!(second.map(|_| ()), Err(Halt::Journal(_))));
        broker.request("ana").await;
        if let Store::Memory(store) = &broker.store {
            assert_eq!(replayed(store), replayed(store));
        }
    }
}

#[test]
fn an_empty_or_missing_journal_says_how_to_fill_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let clock = std::sync::Arc::new(countersign::clock::ManualClock::new(timestamp(BEGIN)));
    let missing = Engine::start(&Store::File(path.clone()), clock.clone(), Settings::default()).map(|_| ());
    assert!(missing.unwrap_err().to_string().contains("countersign init"));
    drop(countersign::journal::SqliteJournal::create(&path, Default::default()).unwrap());
    let empty = Engine::start(&Store::File(path.clone()), clock.clone(), Settings::default()).map(|_| ());
    assert!(empty.unwrap_err().to_string().contains("countersign init"));
    // Files with mistakes leave nothing behind.
    let other = directory.path().join("other.db");
    let files = countersign::domain::decide::Files { policy: "nonsense", directory: DIRECTORY };
    let error = countersign::engine::initialise(&Store::File(other.clone()), files, clock);
    assert!(matches!(error, Err(Halt::Files(_))) && !other.exists());
}
