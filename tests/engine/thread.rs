//! The thread: ask, be refused one's own approval, be approved, be allowed, run out of time.

use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::Span;
use countersign::engine::Settings;

use super::common::*;

async fn the_thread(broker: Broker) {
    // given a request
    assert_eq!(broker.check("ana"), NO);
    let elevation = broker.request("ana").await;
    assert_eq!(broker.check("ana"), NO);
    // when its requester approves it, then that is refused and has no effect
    assert_eq!(reason(broker.approve("ana", elevation).await), Reason::SelfApproval);
    assert_eq!(broker.check("ana"), NO);
    // when somebody else does, then it is allowed at once, for what was asked and to nobody else
    broker.approve("ben", elevation).await.unwrap();
    assert!(is_granted(broker.check("ana")));
    assert_eq!(broker.check("ben"), NO);
    assert!(!is_granted(check(&broker.engine, "ana", "prod/eu1/db/orders/other")));
    // and over at its end, not a millisecond sooner or later, whether the timer runs or not
    broker.clock.advance(minutes(15).minus(Span::from_millis(1).unwrap()));
    assert!(is_granted(broker.check("ana")));
    broker.clock.advance(Span::from_millis(1).unwrap());
    assert_eq!(broker.check("ana"), NO);
    if broker.settings.timer {
        broker.recorded(0, "grant-ended/1").await;
        assert_eq!(broker.check("ana"), NO);
    }
}

#[tokio::test]
async fn the_thread_in_memory() {
    the_thread(Broker::new()).await;
}

#[tokio::test]
async fn the_thread_on_sqlite() {
    the_thread(Broker::sqlite(Settings::default(), 0)).await;
}

#[tokio::test]
async fn the_thread_with_the_timer_off() {
    the_thread(Broker::with(Settings { timer: false, ..Settings::default() }, 0)).await;
    the_thread(Broker::sqlite(Settings { timer: false, ..Settings::default() }, 0)).await;
}

#[tokio::test]
async fn what_takes_access_away_has_effect_when_it_is_acknowledged() {
    for timer in [true, false] {
        let broker = Broker::with(Settings { timer, ..Settings::default() }, 0);
        // given a grant; when the holder gives it up, then it is denied by the time that is acknowledged
        let grant = broker.grant("ana", "ben").await;
        assert!(is_granted(broker.check("ana")));
        broker.run("ana", relinquishment(grant)).await.unwrap();
        assert_eq!(broker.check("ana"), NO);
        // and so it is when the approver revokes
        let grant = broker.grant("ana", "ben").await;
        assert!(is_granted(broker.check("ana")));
        broker.run("ben", revocation(grant)).await.unwrap();
        assert_eq!(broker.check("ana"), NO);
    }
}

#[tokio::test]
async fn a_pending_elevation_is_over_at_its_deadline_without_a_timer() {
    let broker = Broker::with(Settings { timer: false, ..Settings::default() }, 0);
    let elevation = broker.request("ana").await;
    broker.clock.advance(minutes(30));
    assert_eq!(reason(broker.approve("ben", elevation).await), Reason::NotPending);
    assert_eq!(broker.check("ana"), NO);
}

#[tokio::test]
async fn a_scheduled_grant_starts_by_the_timer_alone() {
    use countersign::check::{Denied, Verdict};
    use countersign::domain::record::command::Command;
    for timer in [true, false] {
        // given a grant that starts in an hour
        let broker = Broker::with(Settings { timer, ..Settings::default() }, 0);
        let mut request = asking(RESOURCE);
        request.entitlement = "orders-db-maintenance".parse().unwrap();
        request.start = Some(timestamp(BEGIN).plus(minutes(60)));
        let done = broker.run("ana", Command::from(request)).await.unwrap();
        broker.approve("ben", elevation_of(&done).unwrap()).await.unwrap();
        let not_started = Verdict::Deny { because: Denied::NotStarted };
        assert_eq!(broker.check("ana"), not_started);
        // when its start comes, then it starts where a timer runs, and nowhere else
        broker.clock.advance(minutes(60));
        if timer {
            broker.recorded(0, "grant-started/1").await;
            assert!(is_granted(broker.check("ana")));
        } else {
            // Two answers from the writer: it had its chance.
            broker.engine.ask(|_, _| ()).await.unwrap();
            broker.engine.ask(|_, _| ()).await.unwrap();
            assert_eq!(broker.check("ana"), not_started);
        }
        broker.clock.advance(minutes(15));
        assert_eq!(broker.check("ana"), NO);
    }
}

#[tokio::test]
async fn ends_are_recorded_by_the_timer_without_anybody_asking() {
    let broker = Broker::sqlite(Settings::default(), 0);
    let grant = broker.grant("ana", "ben").await;
    let after = broker.engine.sequence();
    broker.clock.advance(minutes(16));
    let event = broker.recorded(after, "grant-ended/1").await;
    assert_eq!(event.fact.about()[0].to_string(), format!("grant:{grant}"));
}

#[tokio::test]
async fn a_question_and_a_preview_change_nothing() {
    let broker = Broker::new();
    let before = broker.state();
    let command = countersign::domain::record::command::Command::from(asking(RESOURCE));
    let events = broker.engine.preview(&calling("ana"), command.clone()).await.unwrap();
    assert_eq!(events[0].fact.kind(), "elevation-requested/1");
    assert_eq!(reason(broker.engine.preview(&calling("ben"), command).await), Reason::NotInRole);
    let (asked, _) = broker.engine.ask(|state, now| (state.clone(), now)).await.unwrap();
    assert_eq!((asked, broker.state()), (before.clone(), before));
}

#[tokio::test]
async fn a_reader_waits_for_a_sequence_and_is_told_when_it_does_not_come() {
    use std::time::Duration;
    let broker = Broker::new();
    let present = broker.engine.sequence();
    broker.engine.reached(present, Duration::ZERO).await.unwrap();
    let short = Duration::from_millis(20);
    assert_eq!(reason(broker.engine.reached(present + 1, short).await), Reason::BehindSequence);
    let engine = broker.engine.clone();
    let waiting = tokio::spawn(async move { engine.reached(present + 1, Duration::from_secs(60)).await });
    broker.request("ana").await;
    within(waiting).await.unwrap().unwrap();
}
