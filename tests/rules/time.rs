//! Doubtful clocks, restarts, no timer at all.

use countersign::domain::decide::tick::next_due;
use countersign::domain::record::event::{ElevationFact, Fact, GrantFact};
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::value::refusal::Reason;

use crate::world::{Ask, KEEP, NOON, World, assert_refused, at, span};

const DB: &str = "prod/eu/db/orders/1";

#[test]
fn while_the_clock_is_suspect_nothing_gives_access_and_what_takes_it_goes_on() {
    let mut world = World::new();
    let (_, grant) = world.granted();
    let [withdrawn, denied] =
        ["a", "b"].map(|name| Ask::repair().on(&[&format!("prod/eu/db/orders/{name}")]).by("ana", &mut world).unwrap());
    for off in [2_001, -2_001] {
        world.wall_off_by = off;
        assert_refused(Ask::maintenance().by("dan", &mut world), Reason::ClockSuspect);
        assert_refused(world.approve("ben", withdrawn), Reason::ClockSuspect);
        assert_refused(world.change_directory(|_| ()), Reason::ClockSuspect);
        assert_refused(world.propose_policy("Planned work", "Planned"), Reason::ClockSuspect);
    }
    world.withdraw("ana", withdrawn).unwrap();
    world.deny("ben", denied).unwrap();
    world.revoke("ben", grant).unwrap();
    // two seconds are not suspect
    world.wall_off_by = 2_000;
    assert!(Ask::maintenance().by("dan", &mut world).is_ok());
}

#[test]
fn a_leap_of_the_wall_clock_ends_nothing_on_record_and_allows_nothing_more() {
    let mut world = World::new();
    let (id, _) = world.granted();
    // given a leap of ten years: nothing is recorded, although meanwhile everything counts as over (known failure C4)
    world.wall_off_by = 315_360_000_000;
    assert!(world.tick().is_empty());
    assert!(!world.may("ana", "db.read", DB));
    // when the wall clock is put right, then no harm is left
    world.wall_off_by = 0;
    assert!(world.may("ana", "db.read", DB));
    assert_eq!(world.grant_phase(id), "ACTIVE");
    assert!(world.state.last_at() <= world.at);
}

#[test]
fn a_wall_clock_set_back_brings_nothing_back() {
    let mut world = World::new();
    let (_, _) = world.granted();
    world.pass("15m");
    for off in [0, -1_000, -3_600_000] {
        world.wall_off_by = off;
        assert!(!world.may("ana", "db.read", DB));
    }
}

#[test]
fn with_no_timer_at_all_everything_ends_when_it_should() {
    // given a grant, a request and a membership that all come to their end unrecorded
    let mut world = World::new();
    world
        .change_directory(|all| {
            let until = Some("2026-11-22T12:20:00Z".to_owned());
            all.accounts.get_mut("dan").unwrap().roles.insert("engineer".into(), until);
            all.accounts.get_mut("cleo").unwrap().roles.insert("commander".into(), Some("2026-11-22T12:20:00Z".into()));
        })
        .unwrap();
    let (_, grant) = world.granted();
    let pending = Ask::maintenance().by("ana", &mut world).unwrap();
    let late = Ask::repair().by("dan", &mut world).unwrap();
    world.pass("25m");
    assert!(!world.may("ana", "db.read", DB));
    assert_refused(world.revoke("ben", grant), Reason::NotLive);
    assert_refused(world.approve("ben", late), Reason::NotInRole);
    assert_refused(world.approve("cleo", pending), Reason::NotFound);
    assert_refused(Ask::repair().by("dan", &mut world), Reason::NotInRole);
    world.pass("5m");
    assert_refused(world.approve("ben", late), Reason::NotPending);
    assert!(!world.events.iter().any(|event| matches!(
        event.fact,
        Fact::Grant(GrantFact::Ended(_)) | Fact::Elevation(ElevationFact::Expired(_))
    )));
}

#[test]
fn a_restart_resumes_what_is_live_and_what_ended_while_it_was_down_is_over() {
    let mut world = World::new();
    let (id, _) = world.granted();
    let short = Ask::repair().on(&[DB]).lasting("1m").by("ana", &mut world).unwrap();
    world.approve("ben", short).unwrap();
    let pending = Ask::maintenance().by("ana", &mut world).unwrap();
    world.pass("2m");
    let before = world.state.clone();
    world.restart(None);
    assert_eq!(before.grants(), world.state.grants());
    assert!(world.may("ana", "db.read", "prod/eu/db/orders/2"));
    assert_eq!((world.grant_phase(id), world.phase(pending)), ("ACTIVE", "PENDING"));
    world.tick();
    assert_eq!(world.grant_phase(short), "ENDED");
}

#[test]
fn a_restart_that_revokes_leaves_nothing_live_or_scheduled_and_says_why() {
    for because in [Revocation::Restart, Revocation::Clock] {
        let mut world = World::new();
        let (live, _) = world.granted();
        let scheduled = Ask::maintenance().starting(at(NOON).plus(span("1h"))).by("ana", &mut world).unwrap();
        world.approve("ben", scheduled).unwrap();
        let pending = Ask::deploy().by("ana", &mut world).unwrap();
        world.restart(Some(&because));
        for id in [live, scheduled] {
            let phase = &world.grant_of(id).unwrap().phase;
            assert!(matches!(phase, GrantPhase::Revoked { because: told, .. } if *told == because));
        }
        assert_eq!(world.phase(pending), "PENDING");
    }
}

#[test]
fn a_tick_before_anything_is_due_finds_nothing() {
    let mut world = World::new();
    world.granted();
    let scheduled = Ask::maintenance().starting(at(NOON).plus(span("1h"))).by("ana", &mut world).unwrap();
    world.approve("ben", scheduled).unwrap();
    for _ in 0..20 {
        let due = next_due(&world.state, KEEP).unwrap();
        if due > world.at {
            world.at = countersign::domain::value::time::Timestamp::from_millis(due.millis() - 1).unwrap();
            assert!(world.tick().is_empty(), "nothing before {due}");
        }
        world.at = due.max(world.at);
        assert!(!world.tick().is_empty(), "something at {due}");
        if next_due(&world.state, KEEP).is_none() {
            break;
        }
    }
}
