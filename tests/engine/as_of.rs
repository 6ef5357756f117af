//! States of the past: what was is what comes back, whenever it is asked for, whatever happened since.

use countersign::domain::record::command::{Command, CreateLock};
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::rule::answers::{Access, AccessQuestion, access, fault_of, faults};
use countersign::domain::state::State;
use countersign::domain::value::time::{Span, Timestamp};
use countersign::engine::{Replay, Settings};
use countersign::journal::JournalReader as _;

use super::common::*;

fn just_after(at: Timestamp) -> Timestamp {
    at.plus(Span::from_millis(1).unwrap())
}

/// Who could read the orders database: the holder of each way, and whether it was stopped.
fn who(state: &State, at: Timestamp) -> Vec<(String, bool)> {
    let question = AccessQuestion { resource: Some(RESOURCE.parse().unwrap()), ..AccessQuestion::default() };
    let all = access(state, &question, at);
    all.map(|it| match it {
        Access::Granted { grant, locked, .. } => (grant.holder.to_string(), locked),
        Access::Baseline { account, locked, .. } => (account.to_string(), locked),
    })
    .collect()
}

async fn what_was_comes_back(broker: Broker) {
    // given a history, and what there was after each step of it
    let mut seen: Vec<(Timestamp, State)> = Vec::new();
    let note = |broker: &Broker, seen: &mut Vec<(Timestamp, State)>| {
        let state = broker.state();
        seen.push((state.last_at(), state));
        broker.clock.advance(Span::seconds(7));
    };
    let begun = broker.state().last_at();
    for (asks, approves) in [("ana", "ben"), ("e0", "c0"), ("e1", "ben")] {
        broker.grant(asks, approves).await;
        note(&broker, &mut seen);
    }
    let grant = broker.state().grants().values().next().unwrap().id;
    broker.run("ben", revocation(grant)).await.unwrap();
    note(&broker, &mut seen);
    let (on, mode) = (Locked::Person("e0".parse().unwrap()), LockMode::Suspend);
    let locking = Command::from(CreateLock { on, mode, reason: "lost".into(), until: Some(begun.plus(minutes(9))) });
    broker.run("sam", locking).await.unwrap();
    note(&broker, &mut seen);
    let broker = broker.restart();
    note(&broker, &mut seen);
    broker.clock.advance(minutes(20));
    broker.recorded(broker.state().sequence().saturating_sub(1), "grant-ended/1").await;
    broker.request("ana").await;
    note(&broker, &mut seen);

    // when it is asked for as of each of those times, in whatever order, and a moment later
    for round in 0..2 {
        for (index, (at, then)) in seen.iter().enumerate().rev() {
            let next = seen.get(index + 1).map(|(at, _)| *at);
            for at in [*at, just_after(*at)].into_iter().filter(|at| next.is_none_or(|next| *at < next)) {
                // then the whole state is as it was then
                let now = broker.engine.history().as_of(at).unwrap().unwrap();
                assert!(now == *then, "step {index}, round {round}: {} for {}", now.sequence(), then.sequence());
                assert_eq!(who(&now, at), who(then, at));
            }
        }
    }
    // and what was answered then: who could, who was stopped, who no longer
    let answers: Vec<Vec<(String, bool)>> = seen.iter().map(|(at, state)| who(state, *at)).collect();
    let (ana, e0, e1) = (|| ("ana".to_owned(), false), |locked| ("e0".to_owned(), locked), || ("e1".to_owned(), false));
    assert_eq!(answers[2], [ana(), e0(false), e1()]);
    assert_eq!(answers[3], [e0(false), e1()]);
    assert_eq!(answers[4], [e0(true), e1()]);
    assert_eq!(answers.last().unwrap(), &[]);
    // and before the first event there was nothing
    let before = begun.minus(Span::DAY);
    assert!(broker.engine.history().as_of(before).unwrap().is_none());
}

#[tokio::test]
async fn what_was_comes_back_from_memory() {
    what_was_comes_back(Broker::with(Settings::default(), 3)).await;
}

#[tokio::test]
async fn what_was_comes_back_from_a_file() {
    what_was_comes_back(Broker::sqlite(Settings::default(), 3)).await;
}

#[tokio::test]
async fn a_replay_from_any_state_comes_to_the_same_at_any_sequence() {
    // given a journal
    let broker = Broker::with(Settings::default(), 2);
    broker.grant("ana", "ben").await;
    let grant = broker.grant("e0", "c0").await;
    broker.run("e0", relinquishment(grant)).await.unwrap();
    let rows = broker.memory().read_after(0, usize::MAX).unwrap();
    let replayed = |from: State, until: u64| {
        let mut replay = Replay::from(from, until);
        let after = replay.sequence();
        for row in rows.iter().filter(|row| row.sequence > after) {
            replay.accept(row).unwrap();
        }
        assert!(replay.is_complete());
        replay.finish().0
    };
    let last = rows.last().unwrap().sequence;
    // when it is replayed to each sequence from each earlier one, in the middle of batches too, then it is the same
    for until in 1..=last {
        let whole = replayed(State::default(), until);
        assert_eq!(whole.sequence(), until);
        for from in 1..until {
            assert!(replayed(replayed(State::default(), from), until) == whole, "from {from} to {until}");
        }
    }
}

#[tokio::test]
async fn what_a_grant_must_have_and_lacks_is_found() {
    // given a grant as it is issued
    let broker = Broker::new();
    let id = broker.grant("ana", "ben").await;
    let state = broker.state();
    let good = state.grants().get(&id).unwrap();
    assert_eq!(faults(&state).count(), 0);
    // when it lacks what each must have, then that is told
    let mut endless = good.clone();
    endless.end = endless.start.plus(Span::DAY).plus(Span::SECOND);
    let mut own = good.clone();
    own.behind.insert("ben".parse().unwrap());
    let mut lost = good.clone();
    lost.elevation = uuid::Uuid::nil().into();
    let mut other = good.clone();
    other.id = uuid::Uuid::nil().into();
    for (grant, wanted) in [
        (endless, "it has no end within 24 h of its start"),
        (own, "somebody behind it approved it"),
        (lost, "the request that it came from is not on record"),
        (other, "the request that it came from did not lead to it"),
    ] {
        assert_eq!(fault_of(&state, &grant), Some(wanted));
    }
}
