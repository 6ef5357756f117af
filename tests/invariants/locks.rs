//! Invariant 6 with locks that come and go in any history.

use countersign::domain::decide::tick::next_due;
use countersign::domain::record::command::{Command, CreateLock, DeleteLock};
use countersign::domain::record::elevation::Cancellation;
use countersign::domain::record::event::{BrokerFact, ElevationFact, Event, Fact, GrantFact, LockFact};
use countersign::domain::record::grant::Revocation;
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::rule::reviewers::counted;
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::Span;
use proptest::prelude::*;

use crate::history::{Past, Step, step};
use crate::world::{self, KEEP, World};

/// A step of a history, or a lock that comes or goes.
#[derive(Debug, Clone)]
enum Move {
    Step(Step),
    Lock { on: usize, revoke: bool, lasts_millis: Option<i64> },
    Lift,
}

fn any_move() -> impl Strategy<Value = Move> {
    let lasts_millis = prop::option::of(1_000_i64..3_600_000);
    prop_oneof![
        12 => step().prop_map(Move::Step),
        3 => (0_usize..7, prop::bool::weighted(0.3), lasts_millis)
            .prop_map(|(on, revoke, lasts_millis)| Move::Lock { on, revoke, lasts_millis }),
        2 => Just(Move::Lift),
    ]
}

/// What can be locked here.
fn lockable(which: usize) -> Locked {
    match which {
        0 => Locked::Person("ana".parse().unwrap()),
        1 => Locked::Person("odo".parse().unwrap()),
        2 => Locked::Account("dan".parse().unwrap()),
        3 => Locked::Role("commander".parse().unwrap()),
        4 => Locked::Entitlement("repair".parse().unwrap()),
        5 => Locked::Resources("prod/eu/**".parse().unwrap()),
        _ => Locked::Everything,
    }
}

/// Makes one move of a history; whatever is refused is refused.
fn make(past: &mut Past, it: &Move) {
    match it {
        Move::Step(step) => drop(past.step(step)),
        Move::Lock { on, revoke, lasts_millis } => {
            let until = lasts_millis.map(|millis| past.world.at.plus(Span::from_millis(millis).unwrap()));
            let mode = if *revoke { LockMode::Revoke } else { LockMode::Suspend };
            let (on, reason) = (lockable(*on), "an incident".to_owned());
            drop(past.send("rex", Command::from(CreateLock { on, mode, reason, until })));
        }
        Move::Lift => {
            let lock = past.world.state.organisation().locks().all().keys().next().copied();
            if let Some(lock) = lock {
                drop(past.send("aud", Command::from(DeleteLock { lock, reason: "over".to_owned() })));
            }
        }
    }
}

/// In which an ordinary auditor may lift what the revoker locks.
fn past() -> Past {
    const MANAGING: &str = "[roles.revoker]\ncapabilities = [\"grant.revoke\", \"lock.manage\"]";
    // Two commanders, so that an approval waits for another, and a lock may come between them.
    let policy = world::POLICY.replacen("[roles.revoker]\ncapabilities = [\"grant.revoke\"]", MANAGING, 1).replacen(
        "approval = [{ by = [\"commander\"], count = 1 }]",
        "approval = [{ by = [\"commander\"], count = 2 }]",
        1,
    );
    let mut organisation = world::Organisation::example();
    organisation.join("aud", "revoker");
    Past { world: World::of(&policy, organisation).unwrap(), sent: Vec::new(), emergencies: false }
}

/// Why an event ended something or voided an approval, if it did.
fn cause(fact: &Fact) -> Option<Reason> {
    match fact {
        Fact::Elevation(ElevationFact::ApprovalStruck(it)) => Some(it.because.reason),
        Fact::Elevation(ElevationFact::Cancelled(it)) => match it.because {
            Cancellation::RequesterNotEligible { reason } => Some(reason),
            Cancellation::TermsChanged | Cancellation::ExtendedOver { .. } => None,
        },
        Fact::Grant(GrantFact::Revoked(it)) => match it.because {
            Revocation::NotEligible { reason } | Revocation::ApprovalVoid { reason, .. } => Some(reason),
            _ => None,
        },
        _ => None,
    }
}

/// What is issued or started has every approval that it needs from people whom no lock stops; and only a lock that revokes
/// ever ends or voids anything.
fn assert_is_an_overlay(world: &World, events: &[Event]) {
    let revokes = |it: &Event| matches!(&it.fact, Fact::Lock(LockFact::Created(lock)) if lock.mode == LockMode::Revoke);
    for event in events {
        let given = match &event.fact {
            Fact::Grant(GrantFact::Issued(grant)) => Some(grant.id),
            Fact::Grant(GrantFact::Started(fact)) => Some(fact.grant),
            _ => None,
        };
        if let Some(grant) = given.and_then(|id| world.state.grants().get(&id)) {
            let elevation = world.elevation(grant.elevation);
            assert!(counted(world.state.organisation(), elevation).is_complete(), "{:?}: {elevation:?}", event.fact);
        }
        let by_lock = cause(&event.fact) == Some(Reason::Locked);
        assert!(!by_lock || events.iter().any(revokes), "{:?} because of a lock that suspends", event.fact);
    }
}

/// A lock that suspends and is lifted before anything else happens leaves every request, approval and grant as it was.
#[test]
fn invariant_6_a_lock_that_comes_and_goes_leaves_all_as_it_was() {
    let pairs = std::cell::Cell::new((0_u32, 0_u32));
    let run = |moves: Vec<(Move, Option<usize>)>| {
        let mut past = past();
        for (it, pair) in &moves {
            make(&mut past, it);
            let Some(on) = pair else { continue };
            let mut other = past.world.clone();
            let (mode, reason) = (LockMode::Suspend, "an incident".to_owned());
            let create = Command::from(CreateLock { on: lockable(*on), mode, reason: reason.clone(), until: None });
            let Ok(created) = other.send("rex", create) else { continue };
            let Fact::Lock(LockFact::Created(lock)) = &created[0].fact else { panic!("{created:?}") };
            if other.send("aud", Command::from(DeleteLock { lock: lock.id, reason })).is_err() {
                continue;
            }
            past.world.tick();
            other.tick();
            let (one, two) = (&past.world.state, &other.state);
            assert_eq!(one.elevations(), two.elevations(), "{it:?} {on}");
            assert_eq!(one.grants(), two.grants(), "{it:?} {on}");
            assert_eq!(one.pending(), two.pending(), "{it:?} {on}");
            let (made, waiting) = pairs.get();
            pairs.set((made + 1, waiting + u32::from(!one.pending().is_empty())));
        }
        Ok(())
    };
    let config =
        ProptestConfig { cases: 48, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() };
    let moves = prop::collection::vec((any_move(), prop::option::weighted(0.15, 0_usize..7)), 30..60);
    proptest::test_runner::TestRunner::new(config).run(&moves, run).unwrap();
    let (made, waiting) = pairs.get();
    assert!(made > 50 && waiting > 10, "{made} locks came and went, {waiting} of them over something that waits");
}

/// Nothing that a lock touches is asked for, approved, issued or started. And the timer, once it has run, has nothing left
/// to do: a start that a lock holds back does not keep it awake.
#[test]
fn invariant_6_what_a_lock_touches_gives_nothing_in_any_history() {
    let (mut locked, mut held_back) = (0, 0);
    let looks = std::cell::RefCell::new((&mut locked, &mut held_back));
    let run = |moves: Vec<Move>| {
        let mut past = past();
        for it in &moves {
            let before = past.world.state.clone();
            let first = past.world.events.len();
            make(&mut past, it);
            let organisation = before.organisation();
            let (locked, held_back) = &mut *looks.borrow_mut();
            for event in &past.world.events[first..] {
                let touched = match &event.fact {
                    Fact::Elevation(ElevationFact::Requested(elevation)) => organisation.lock_on_elevation(elevation),
                    Fact::Elevation(ElevationFact::ApprovalRecorded(fact)) => {
                        let elevation = before.elevations().get(&fact.elevation);
                        elevation.and_then(|elevation| organisation.lock_on_elevation(elevation))
                    }
                    Fact::Grant(GrantFact::Issued(grant)) => organisation.lock_on_grant(grant),
                    Fact::Grant(GrantFact::Started(fact)) => {
                        before.grants().get(&fact.grant).and_then(|grant| organisation.lock_on_grant(grant))
                    }
                    Fact::Lock(LockFact::Created(_)) => {
                        **locked += 1;
                        None
                    }
                    Fact::Broker(BrokerFact::CommandRefused(fact)) if fact.reason == Reason::Locked => {
                        **held_back += 1;
                        None
                    }
                    _ => None,
                };
                // A lock whose end has come may be lifted in the same batch.
                let lifted =
                    past.world.events[first..].iter().any(|it| matches!(it.fact, Fact::Lock(LockFact::Ended(_))));
                assert!(touched.is_none() || lifted, "{:?} under {touched:?}", event.fact);
            }
            assert_is_an_overlay(&past.world, &past.world.events[first..]);
            let first = past.world.events.len();
            past.world.tick();
            assert_is_an_overlay(&past.world, &past.world.events[first..]);
            let now = past.world.now();
            if !now.suspect && now.earliest == now.latest {
                let next = next_due(&past.world.state, KEEP);
                assert!(next.is_none_or(|next| next > now.latest), "{next:?} is not ahead of {:?}", now.latest);
            }
        }
        past.world.assert_replays();
        Ok(())
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner.run(&prop::collection::vec(any_move(), 30..60), run).unwrap();
    assert!(locked > 100 && held_back > 100, "{locked} locks held {held_back} back");
}
