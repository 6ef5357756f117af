//! A single leaving at once, beyond what the brake lets through: its person is stopped by a lock, and somebody decides (known
//! failure B19).

use countersign::domain::record::command::{Command, CreateLock, DeleteLock};
use countersign::domain::record::hr::{Hold, Part};
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::rule::feed::touched_lately;
use countersign::domain::value::refusal::Reason;

use crate::support::feed::{decide, employed, held, hold, id, left, send, tell, urgent, world};
use crate::world::{Ask, World, assert_refused, kinds};

/// A brake that lets so many through, and has let them through.
fn full(brake: u32) -> World {
    let mut world = world(brake);
    let at = world.at;
    for name in ["sam", "eve"].into_iter().take(usize::try_from(brake).unwrap()) {
        tell(&mut world, vec![urgent(name, at)]).unwrap();
        assert!(!employed(&world, name), "up to the limit they pass");
    }
    world
}

fn is_stopped(world: &World, name: &str) -> bool {
    let on = world.state.organisation().locks().on(&Locked::Person(id(name)));
    on.is_some_and(|lock| lock.mode == LockMode::Suspend && lock.until.is_none())
}

fn hold_of(world: &World, name: &str) -> Hold {
    world.state.held_of(&id(name)).next().unwrap().0.clone()
}

#[test]
fn beyond_the_brake_a_single_leaving_stops_its_person_at_once_and_waits() {
    // given a brake that is full, and somebody with a grant
    let mut world = full(2);
    let at = world.at;
    let (_, grant) = world.granted();
    // when they leave at once, and another
    let done = tell(&mut world, vec![urgent("ana", at)]).unwrap();
    tell(&mut world, vec![urgent("dan", at)]).unwrap();
    // then both are stopped, nothing is ended, and each waits by themselves
    assert_eq!(kinds(&done), ["lock-created", "hr-held"]);
    assert!(employed(&world, "ana") && is_stopped(&world, "ana") && is_stopped(&world, "dan"));
    let open = world.state.grants().get(&grant).unwrap();
    assert!(open.is_open() && world.state.organisation().lock_on_grant(open).is_some());
    assert_refused(Ask::critical().by("ana", &mut world), Reason::Locked);
    assert_eq!(world.state.holds().len(), 2);
    // and what waits has touched nobody
    assert_eq!(touched_lately(&world.state, Part::Disabling, world.now()).len(), 2);
}

#[test]
fn who_decides_confirms_it_or_undoes_it() {
    let mut world = full(1);
    let at = world.at;
    world.granted();
    for name in ["ana", "dan"] {
        tell(&mut world, vec![urgent(name, at)]).unwrap();
    }
    // when one leaving is confirmed, and the other thrown away
    let (ana, dan) = (hold_of(&world, "ana"), hold_of(&world, "dan"));
    decide(&mut world, "rela", &ana, true).unwrap();
    decide(&mut world, "rela", &dan, false).unwrap();
    // then the one has left, and the other goes on as before; neither is stopped by a lock
    assert!(!employed(&world, "ana") && employed(&world, "dan"));
    assert!(!is_stopped(&world, "ana") && !is_stopped(&world, "dan"));
    assert!(!world.may("ana", "db.read", "prod/eu/db/orders/a"));
    assert_eq!(world.state.holds().len(), 0);
    world.assert_replays();
}

#[test]
fn the_same_leaving_again_makes_no_second_hold() {
    let mut world = full(1);
    let at = world.at;
    tell(&mut world, vec![urgent("ana", at)]).unwrap();
    let first = hold(&world).id;
    // when it comes again, without a place it is refused with the hold, and in a stream that goes on it is passed by
    let refusal = assert_refused(tell(&mut world, vec![urgent("ana", at)]), Reason::Held);
    assert_eq!(refusal.facts["hold"], first.to_string());
    send(&mut world, 1, vec![urgent("ana", at)]).unwrap();
    assert_eq!((hold(&world).id, world.state.feeds().get("hr").unwrap().last_number), (first, 1));
    assert_eq!(world.state.organisation().locks().all().len(), 1);
    // and one with missing numbers before it is stopped as well
    send(&mut world, 7, vec![urgent("dan", at)]).unwrap();
    assert!(is_stopped(&world, "dan") && employed(&world, "dan"));
}

#[test]
fn the_last_two_who_decide_or_lift_locks_are_not_stopped() {
    // given two who may release, and those who may lock
    let mut world = full(1);
    let at = world.at;
    // when HR says that one of the releasers left
    tell(&mut world, vec![urgent("rela", at)]).unwrap();
    // then it waits, and they are not stopped: a connector gone wrong must leave somebody who can say so
    assert!(employed(&world, "rela") && !is_stopped(&world, "rela"));
    assert_eq!(held(&hold(&world)), ["LEFT rela"]);
    // but nobody decides about their own leaving
    let own = hold(&world);
    assert_refused(decide(&mut world, "rela", &own, false), Reason::OwnStanding);
    decide(&mut world, "relo", &own, true).unwrap();
    assert!(!employed(&world, "rela"));
}

#[test]
fn who_leaves_by_another_word_of_hrs_is_stopped_no_longer_and_has_left() {
    let mut world = full(1);
    let at = world.at;
    tell(&mut world, vec![urgent("ana", at)]).unwrap();
    // given a day later, when the brake lets one through again
    world.pass_and_tick("25h");
    let at = world.at;
    tell(&mut world, vec![urgent("ana", at)]).unwrap();
    // then nothing of the hold is left: no lock that would stop them when they come back
    assert!(!employed(&world, "ana") && !is_stopped(&world, "ana"));
    assert_eq!(world.state.holds().len(), 0);
}

#[test]
fn a_lock_that_somebody_lifted_before_stays_lifted_and_who_was_locked_before_stays_locked() {
    let mut world = full(1);
    let at = world.at;
    // given dan, whom a person has locked
    let on = Locked::Person(id("dan"));
    let lock = CreateLock { on: on.clone(), mode: LockMode::Suspend, reason: "a lost laptop".into(), until: None };
    world.send("loki", Command::from(lock)).unwrap();
    let lock = world.state.organisation().locks().on(&on).unwrap().id;
    tell(&mut world, vec![urgent("dan", at)]).unwrap();
    assert_eq!(hold(&world).suspends, None);
    let waits = hold(&world);
    decide(&mut world, "rela", &waits, false).unwrap();
    assert!(world.state.organisation().locks().get(lock).is_some(), "a lock of somebody else's is not lifted with it");
    // and ana, whose lock somebody lifts
    tell(&mut world, vec![urgent("ana", at)]).unwrap();
    let waits = hold(&world);
    let lift = DeleteLock { lock: waits.suspends.unwrap(), reason: "they are here".into() };
    world.send("loki", Command::from(lift)).unwrap();
    let events = decide(&mut world, "rela", &waits, false).unwrap();
    assert_eq!(kinds(&events), ["hr-hold-decided"]);
}

#[test]
fn several_in_one_command_wait_without_a_lock_as_they_did() {
    let mut world = full(1);
    let at = world.at;
    tell(&mut world, vec![urgent("cleo", at), urgent("rex", at)]).unwrap();
    assert!(employed(&world, "cleo") && employed(&world, "rex") && !is_stopped(&world, "cleo"));
    tell(&mut world, vec![left("dan", at)]).unwrap();
    assert!(employed(&world, "dan") && !is_stopped(&world, "dan"));
}
