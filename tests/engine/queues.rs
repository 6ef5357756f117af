//! The two queues, the questions beside them, and what happens to many who come at once.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::domain::record::command::Command;
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::Span;
use countersign::engine::{OnWork, Settings, Worked};

use super::common::*;

#[tokio::test]
async fn what_takes_access_away_goes_first() {
    // given a held writer, and requests that wait before a revocation and a withdrawal do
    let broker = Broker::with(Settings::default(), 4);
    let grant = broker.grant("ana", "ben").await;
    let pending = broker.request("e0").await;
    let held = hold(&broker.engine).await;
    let first = sent(request(&broker.engine, "e1", RESOURCE)).await;
    let second = sent(request(&broker.engine, "e2", RESOURCE)).await;
    let revoke = sent(broker.run("ben", revocation(grant))).await;
    let withdraw = sent(broker.run("e0", withdrawal(pending))).await;
    let before = broker.engine.sequence();
    // when it goes on
    held.release();
    let (revoke, withdraw) = (within(revoke).await.unwrap(), within(withdraw).await.unwrap());
    // then what takes away has the first sequences, in its own order, and the rest follow in theirs
    assert_eq!((revoke.sequence, withdraw.sequence), (before + 1, before + 2));
    let (first, second) = (within(first).await.unwrap(), within(second).await.unwrap());
    let asked = kinds(broker.memory(), before);
    assert_eq!(asked, ["grant-revoked/1", "elevation-withdrawn/1", "elevation-requested/1", "elevation-requested/1"]);
    let pending = broker.state().pending().clone();
    assert_eq!(pending.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([first, second]));
}

#[tokio::test]
async fn it_goes_first_even_past_a_batch_of_one() {
    let broker = Broker::with(Settings { batch: 1, ..Settings::default() }, 8);
    let grant = broker.grant("ana", "ben").await;
    let held = hold(&broker.engine).await;
    let names: Vec<String> = (0..8).map(|n| format!("e{n}")).collect();
    let mut calls = Vec::new();
    for name in &names {
        calls.push(sent(request(&broker.engine, name, RESOURCE)).await);
    }
    let revoke = sent(broker.run("ben", revocation(grant))).await;
    let before = broker.engine.sequence();
    held.release();
    assert_eq!(within(revoke).await.unwrap().sequence, before + 1);
    for call in calls {
        within(call).await.unwrap();
    }
}

/// Known failure G40: sixteen commands of a feed that took long each were decided before anything else was looked at.
#[tokio::test]
async fn it_goes_first_even_if_it_comes_while_a_batch_is_being_decided() {
    // given a writer that stands still once it has decided the first of several requests
    let (decided, is_decided) = std::sync::mpsc::channel();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let standing = Arc::new(Mutex::new(None));
    let stands = Arc::clone(&standing);
    let on_work = OnWork::new(move |worked| {
        let standing = matches!(worked, Worked::Decided(_)).then(|| stands.lock().unwrap().take());
        if let Some((decided, wait)) = standing.flatten() {
            let (decided, wait): (Sender<()>, Receiver<()>) = (decided, wait);
            decided.send(()).unwrap();
            // An error means go on as well.
            let _ = wait.recv();
        }
    });
    let broker = Broker::with(Settings { on_work, ..Settings::default() }, 4);
    let grant = broker.grant("ana", "ben").await;
    *standing.lock().unwrap() = Some((decided, wait));
    let before = broker.engine.sequence();
    let first = sent(request(&broker.engine, "e1", RESOURCE)).await;
    tokio::task::spawn_blocking(move || is_decided.recv()).await.unwrap().unwrap();
    let second = sent(request(&broker.engine, "e2", RESOURCE)).await;
    // when a revocation comes
    let revoke = sent(broker.run("ben", revocation(grant))).await;
    drop(go_on);
    // then it is next
    assert_eq!(within(revoke).await.unwrap().sequence, before + 2);
    within(first).await.unwrap();
    within(second).await.unwrap();
}

#[tokio::test]
async fn a_batch_ends_when_it_has_been_decided_for_long_enough() {
    // given batches that may take no time
    let rows = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&rows);
    let on_work = OnWork::new(move |worked| {
        if let Worked::Appended { rows, .. } = worked {
            told.lock().unwrap().push(rows);
        }
    });
    let broker = Broker::with(Settings { batch_time: Duration::ZERO, on_work, ..Settings::default() }, 4);
    // when several ask while the writer is held
    let held = hold(&broker.engine).await;
    rows.lock().unwrap().clear();
    let names: Vec<String> = (0..4).map(|n| format!("e{n}")).collect();
    let mut calls = Vec::new();
    for name in &names {
        calls.push(sent(request(&broker.engine, name, RESOURCE)).await);
    }
    held.release();
    for call in calls {
        within(call).await.unwrap();
    }
    // then each is durable before the next is decided
    assert_eq!(*rows.lock().unwrap(), [1; 4]);
}

#[tokio::test]
async fn each_queue_is_bounded_by_itself() {
    // given queues of four, and a held writer
    let broker = Broker::with(Settings { queue: 4, ..Settings::default() }, 6);
    let pending = broker.request("e5").await;
    let held = hold(&broker.engine).await;
    let names: Vec<String> = (0..4).map(|n| format!("e{n}")).collect();
    let mut calls = Vec::new();
    for name in &names {
        calls.push(sent(request(&broker.engine, name, RESOURCE)).await);
    }
    // then the fifth request is told to come again, and when
    let refusal = request(&broker.engine, "e4", RESOURCE).await.unwrap_err();
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::Overloaded, Some(Span::SECOND)));
    // while what takes away still has its own room, and questions theirs
    let withdraw = sent(broker.run("e5", withdrawal(pending))).await;
    let first = sent(broker.engine.ask(|_, _| 1)).await;
    let second = sent(broker.engine.ask(|_, _| 2)).await;
    assert_eq!(reason(broker.engine.ask(|_, _| 3).await), Reason::Overloaded);
    // and what callers ask of the writer has room beside both
    let (e3, e4) = (calling("e3"), calling("e4"));
    let dry = [sent(broker.engine.ask_as(&e3, |_, _| 3)).await, sent(broker.engine.ask_as(&e4, |_, _| 4)).await];
    assert_eq!(reason(broker.engine.preview(&calling("e2"), withdrawal(pending)).await), Reason::Overloaded);
    held.release();
    for call in calls {
        within(call).await.unwrap();
    }
    within(withdraw).await.unwrap();
    assert_eq!((within(first).await.unwrap(), within(second).await.unwrap()), (1, 2));
    for (asked, answer) in dry.into_iter().zip(3..) {
        assert_eq!(within(asked).await.unwrap(), answer);
    }
    request(&broker.engine, "e4", RESOURCE).await.unwrap();
}

#[tokio::test]
async fn one_sender_has_their_share_of_a_queue_and_the_others_take_turns_with_them() {
    // given a held writer, and one who has filled what one may of each queue
    let broker = Broker::with(Settings { queue: 16, batch: 4, ..Settings::default() }, 4);
    let pending = broker.request("ana").await;
    let held = hold(&broker.engine).await;
    let mut calls = Vec::new();
    for _ in 0..2 {
        calls.push(sent(request(&broker.engine, "e0", RESOURCE)).await);
    }
    assert_eq!(reason(request(&broker.engine, "e0", RESOURCE).await), Reason::Overloaded);
    let e0 = calling("e0");
    let asked = [sent(broker.engine.ask_as(&e0, |_, _| ())).await, sent(broker.engine.ask_as(&e0, |_, _| ())).await];
    assert_eq!(reason(broker.engine.ask_as(&e0, |_, _| ()).await), Reason::Overloaded);
    // then others, and what takes away, still have theirs
    let other = sent(request(&broker.engine, "e1", RESOURCE)).await;
    let withdraw = sent(broker.run("ana", withdrawal(pending))).await;
    let before = broker.engine.sequence();
    held.release();
    assert_eq!(within(withdraw).await.unwrap().sequence, before + 1);
    within(other).await.unwrap();
    // and the other's came before the second of the one's, which is refused because of the first
    let sequences = kinds(broker.memory(), before);
    assert_eq!(sequences[..3], ["elevation-withdrawn/1", "elevation-requested/1", "elevation-requested/1"]);
    for question in asked {
        within(question).await.unwrap();
    }
}

#[tokio::test]
async fn a_quarter_of_what_is_urgent_is_kept_for_who_may_take_from_others() {
    // given a held writer, and so many who give up what is their own that there is no room for more of them
    let broker = Broker::with(Settings { queue: 16, ..Settings::default() }, 16);
    let grant = broker.grant("ana", "ben").await;
    let names: Vec<String> = (0..13).map(|n| format!("e{n}")).collect();
    let mut pending = Vec::new();
    for name in &names {
        pending.push(broker.request(name).await);
    }
    let held = hold(&broker.engine).await;
    let mut calls = Vec::new();
    for (name, elevation) in names.iter().zip(&pending).take(12) {
        calls.push(sent(broker.run(name, withdrawal(*elevation))).await);
    }
    assert_eq!(reason(broker.run(&names[12], withdrawal(pending[12])).await), Reason::Overloaded);
    // then whoever may revoke any grant still can
    let revoke = sent(broker.run("sam", revocation(grant))).await;
    held.release();
    within(revoke).await.unwrap();
    for call in calls {
        within(call).await.unwrap();
    }
}

/// known failure A6: one approver counts once, however often the call arrives at the same time.
#[tokio::test]
async fn of_64_identical_approvals_at_once_one_counts() {
    for broker in [Broker::new(), Broker::sqlite(Settings::default(), 0)] {
        // given an elevation that two persons must approve, and one of them calling 64 times at once
        let mut request = asking("prod/eu1/db/payments/main");
        request.entitlement = "payments-db-admin".parse().unwrap();
        request.justification = "the ledger of March does not add up".to_owned();
        let done = broker.run("ana", Command::from(request)).await.unwrap();
        let elevation = elevation_of(&done).unwrap();
        let held = hold(&broker.engine).await;
        let mut calls = Vec::new();
        for _ in 0..64 {
            calls.push(sent(broker.approve("ben", elevation)).await);
        }
        held.release();
        // then one counts, and no grant comes of it
        let mut counted = 0;
        for call in calls {
            match within(call).await {
                Ok(_) => counted += 1,
                Err(refusal) => assert_eq!(refusal.reason, Reason::AlreadyReviewed),
            }
        }
        let state = broker.state();
        assert_eq!((counted, state.elevations().get(&elevation).unwrap().review.decisions.len()), (1, 1));
        assert!(state.grants().is_empty());
        broker.approve("sam", elevation).await.unwrap();
        assert_eq!(broker.state().grants().len(), 1);
    }
}

/// known failure A7, invariant 3: many approvers at once, one grant.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_approvers_at_once_one_grant_comes() {
    let broker = Broker::with(Settings::default(), 32);
    for round in 0..10 {
        let elevation = broker.request("ana").await;
        let tasks: Vec<_> = (0..32)
            .map(|n| {
                let engine = broker.engine.clone();
                let command = approval(&engine, elevation);
                tokio::spawn(async move { run(&engine, &format!("c{n}"), command).await })
            })
            .collect();
        let mut approved = 0;
        for task in tasks {
            match within(task).await.unwrap() {
                Ok(_) => approved += 1,
                Err(refusal) => assert_eq!(refusal.reason, Reason::NotPending),
            }
        }
        let state = broker.state();
        let grants: Vec<_> = state.grants().values().filter(|grant| grant.elevation == elevation).collect();
        assert_eq!((approved, grants.len()), (1, 1), "round {round}");
        broker.run("ana", relinquishment(grants[0].id)).await.unwrap();
    }
    assert_eq!(broker.replayed(), broker.state());
}

/// Invariant 13.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_id_sent_many_times_at_once_takes_effect_once() {
    let broker = Broker::sqlite(Settings::default(), 0);
    for round in 0..10 {
        let (id, command) = (request_id(), Command::from(asking(RESOURCE)));
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let (engine, command) = (broker.engine.clone(), command.clone());
                tokio::spawn(async move { engine.execute(&calling("ana"), id, command).await })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(within(task).await.unwrap().unwrap());
        }
        let first = answers.iter().find(|done| !done.repeated).unwrap().clone();
        assert_eq!(answers.iter().filter(|done| !done.repeated).count(), 1, "round {round}");
        assert!(answers.iter().all(|done| (done.sequence, &done.about) == (first.sequence, &first.about)));
        assert_eq!(broker.state().pending().len(), 1);
        broker.run("ana", withdrawal(elevation_of(&first).unwrap())).await.unwrap();
    }
}

/// An id of one account says nothing about another's.
#[tokio::test]
async fn a_request_id_belongs_to_its_caller() {
    let broker = Broker::with(Settings::default(), 2);
    let id = request_id();
    for who in ["e0", "e1"] {
        let command = Command::from(asking(RESOURCE));
        assert!(!broker.engine.execute(&calling(who), id, command).await.unwrap().repeated);
    }
    assert_eq!(broker.state().pending().len(), 2);
}

#[tokio::test]
async fn a_shutdown_finishes_what_waits_and_refuses_what_comes() {
    let broker = Broker::with(Settings { batch: 2, ..Settings::default() }, 10);
    let held = hold(&broker.engine).await;
    let names: Vec<String> = (0..10).map(|n| format!("e{n}")).collect();
    let mut calls = Vec::new();
    for name in &names {
        calls.push(sent(request(&broker.engine, name, RESOURCE)).await);
    }
    let engine = broker.engine.clone();
    let stopping = tokio::task::spawn_blocking(move || engine.shutdown());
    let mut late = Vec::new();
    until("it is closed", || {
        let mut call = Box::pin(broker.engine.ask(|_, _| ()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match call.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => matches!(answer, Err(refusal) if refusal.reason == Reason::Halted),
            std::task::Poll::Pending => {
                late.push(call);
                false
            }
        }
    })
    .await;
    held.release();
    for call in calls {
        within(call).await.unwrap();
    }
    within(stopping).await.unwrap();
    within(broker.engine.halted()).await;
    assert_eq!(reason(request(&broker.engine, "ana", RESOURCE).await), Reason::Halted);
    assert_eq!(broker.state().pending().len(), 10);
    assert_eq!(broker.replayed(), broker.state());
    // a second time does nothing
    broker.engine.shutdown();
}
