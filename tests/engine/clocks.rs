//! The clocks of design.md 5 through a running engine and its restarts (known failures C1, C2, C4 and C9).

use countersign::domain::record::command::Command;
use countersign::domain::record::event::{BrokerFact, Fact};
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::Span;
use countersign::engine::Settings;

use super::common::*;

#[tokio::test]
async fn a_suspect_clock_gives_nothing_ends_nothing_and_takes_away() {
    // given two live grants of 15 minutes and a pending elevation, ten minutes later
    let broker = Broker::with(Settings::default(), 2);
    let first = broker.grant("ana", "ben").await;
    broker.grant("e0", "ben").await;
    let pending = broker.request("e1").await;
    broker.clock.advance(minutes(10));
    // when the wall clock leaps, not as far as their ends
    broker.clock.step_wall(60_000);
    // then nothing that gives access is decided
    assert_eq!(reason(request(&broker.engine, "ana", "prod/eu1/db/orders/x").await), Reason::ClockSuspect);
    assert_eq!(reason(broker.approve("ben", pending).await), Reason::ClockSuspect);
    assert!(broker.engine.now().suspect);
    // while revoking goes on
    let after = broker.engine.sequence();
    broker.run("ben", revocation(first)).await.unwrap();
    assert_eq!(broker.check("ana"), NO);
    // and when it leaps past the ends, all is denied while that lasts, but no end is recorded
    broker.clock.step_wall(3_600_000);
    assert!(broker.engine.now().suspect);
    assert_eq!(broker.check("e0"), NO);
    broker.engine.ask(|_, _| ()).await.unwrap();
    assert!(kinds(broker.memory(), 0).iter().all(|kind| !matches!(*kind, "grant-ended/1" | "elevation-expired/1")));
    assert!(kinds(broker.memory(), after).contains(&"grant-revoked/1"));
    // when the leap is taken back, then the other is live still, and access is given again
    broker.clock.step_wall(-3_660_000);
    assert!(!broker.engine.now().suspect);
    assert!(is_granted(broker.check("e0")));
    assert_eq!(broker.check("ana"), NO);
    broker.approve("ben", pending).await.unwrap();
    // and no stamp lies in the leap
    assert!(broker.state().last_at() < timestamp(BEGIN).plus(minutes(11)));
}

#[tokio::test]
async fn a_clock_set_back_lengthens_nothing() {
    // given a grant of 15 minutes; when 10 of them pass and the wall clock is set back to the epoch
    let broker = Broker::new();
    broker.grant("ana", "ben").await;
    broker.clock.advance(minutes(10));
    broker.clock.set_wall(countersign::domain::value::time::Timestamp::MIN);
    assert!(is_granted(broker.check("ana")));
    broker.clock.advance(minutes(5));
    // then it ends when its time is over all the same
    assert_eq!(broker.check("ana"), NO);
    assert_eq!(reason(request(&broker.engine, "ana", RESOURCE).await), Reason::ClockSuspect);
}

#[tokio::test]
async fn a_sleep_of_the_machine_counts() {
    let broker = Broker::new();
    broker.grant("ana", "ben").await;
    broker.clock.suspend(minutes(15));
    assert_eq!(broker.check("ana"), NO);
}

#[tokio::test]
async fn a_start_before_the_last_event_revokes_and_is_suspect() {
    let broker = Broker::with(Settings::default(), 1);
    let live = broker.grant("ana", "ben").await;
    let pending = broker.request("e0").await;
    broker.engine.shutdown();
    broker.clock.reboot(2);
    broker.clock.step_wall(-600_000);
    let broker = broker.restart();
    // then what was live is revoked, because no end could be trusted
    assert_eq!(broker.check("ana"), NO);
    let phase = broker.state().grants().get(&live).unwrap().phase.clone();
    assert!(matches!(phase, GrantPhase::Revoked { because: Revocation::Clock, .. }));
    assert_eq!(reason(broker.approve("ben", pending).await), Reason::ClockSuspect);
    broker.run("e0", withdrawal(pending)).await.unwrap();
    assert_eq!(broker.replayed(), broker.state());
}

/// Also where the operator says that this clock is right: the ends were made by one that was not.
#[tokio::test]
async fn accepting_a_clock_before_the_last_event_keeps_no_grant_and_does_not_stop_time() {
    let broker = Broker::with(Settings::default(), 1);
    broker.grant("ana", "ben").await;
    broker.engine.shutdown();
    broker.clock.reboot(2);
    broker.clock.step_wall(-86_400_000);
    let mut broker = broker;
    broker.settings.accept_clock = true;
    let broker = broker.restart();
    assert_eq!(broker.check("ana"), NO);
    // then access is given again, and a grant of 15 minutes is over after 15 minutes, not after a day
    broker.grant("e0", "ben").await;
    assert!(is_granted(broker.check("e0")));
    broker.clock.advance(minutes(16));
    assert_eq!(broker.check("e0"), NO);
    broker.grant("e0", "ben").await;
    assert_eq!(broker.replayed(), broker.state());
}

#[tokio::test]
async fn within_one_boot_a_start_believes_the_journaled_pair_not_the_wall_clock() {
    // given a live grant; when the wall clock leaps while the broker is down
    let broker = Broker::with(Settings::default(), 1);
    broker.grant("ana", "ben").await;
    broker.engine.shutdown();
    broker.clock.advance(minutes(5));
    broker.clock.step_wall(86_400_000);
    let broker = broker.restart();
    // then the leap is seen: suspect, nothing is ended, no stamp lies in it
    assert_eq!(reason(broker.run("e0", Command::from(asking(RESOURCE))).await), Reason::ClockSuspect);
    assert!(broker.state().last_at() < timestamp(BEGIN).plus(minutes(6)));
    broker.clock.step_wall(-86_400_000);
    // The time of a check is put right each 100 ms; a look at the clock does so at once.
    assert!(!broker.engine.now().suspect);
    assert!(is_granted(broker.check("ana")));
    broker.clock.advance(minutes(10));
    assert_eq!(broker.check("ana"), NO);
}

#[tokio::test]
async fn another_boot_believes_the_wall_clock() {
    let broker = Broker::with(Settings::default(), 1);
    broker.grant("ana", "ben").await;
    broker.engine.shutdown();
    broker.clock.reboot(2);
    broker.clock.step_wall(900_000);
    let broker = broker.restart();
    assert_eq!(broker.check("ana"), NO);
    broker.request("e0").await;
    broker.recorded(0, "grant-ended/1").await;
}

#[tokio::test]
async fn accepting_the_clock_is_journaled_and_ends_the_suspicion() {
    // given a leap that the operator knows to be right
    let broker = Broker::with(Settings::default(), 1);
    broker.grant("ana", "ben").await;
    broker.clock.step_wall(86_400_000);
    assert_eq!(reason(request(&broker.engine, "e0", RESOURCE).await), Reason::ClockSuspect);
    let before = broker.engine.sequence();
    let mut broker = broker;
    broker.settings.accept_clock = true;
    let broker = broker.restart();
    // then that is on record, access is given, and what the clock says is over is over
    assert!(kinds(broker.memory(), before).starts_with(&["clock-accepted/1", "broker-started/1"]));
    broker.grant("e0", "ben").await;
    assert!(is_granted(broker.check("e0")));
    assert_eq!(broker.check("ana"), NO);
    let accepted = broker.recorded(0, "clock-accepted/1").await;
    let Fact::Broker(BrokerFact::ClockAccepted(pair)) = &accepted.fact else { panic!("{accepted:?}") };
    assert_eq!(pair.wall, wall(&broker.clock));
    // and a start without the flag believes the pair that was accepted
    let mut broker = broker;
    broker.settings.accept_clock = false;
    let broker = broker.restart();
    assert!(!broker.engine.now().suspect && is_granted(broker.check("e0")));
}

#[tokio::test]
async fn both_clocks_are_journaled_each_minute_while_anything_is_live() {
    let broker = Broker::new();
    let after = broker.engine.sequence();
    broker.clock.advance(minutes(5));
    broker.engine.ask(|_, _| ()).await.unwrap();
    assert!(!kinds(broker.memory(), after).contains(&"clock-read/1"), "nothing is live");
    broker.grant("ana", "ben").await;
    for _ in 0..3 {
        let after = broker.engine.sequence();
        broker.clock.advance(Span::seconds(61));
        broker.recorded(after, "clock-read/1").await;
    }
    let reads = kinds(broker.memory(), after).iter().filter(|kind| **kind == "clock-read/1").count();
    assert!((3..=4).contains(&reads), "{reads}");
}
