//! A scheduled grant with more approvals than it needs stands as long as those that count are enough (design.md 4, rule 4).

use countersign::domain::decide::tick::next_due;
use countersign::domain::directory::AccountKind;
use countersign::domain::record::command::{Command, CreateLock, DeleteLock};
use countersign::domain::record::event::{ElevationFact, Event, Fact};
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::value::ids::ElevationId;
use countersign::domain::value::refusal::Reason;
use countersign::wire::events::elevation_event;
use countersign::wire::v1::ElevationState;

use crate::support::records::change_account;
use crate::world::{Ask, KEEP, Organisation, POLICY, World, identity, kinds, span};

/// A world in which planned work asks for two commanders of three, and then for security; rex and aud may lock.
fn world() -> World {
    let policy = POLICY
        .replacen(
            "start_within = \"7d\"\napproval = [{ by = [\"commander\"], count = 1 }]",
            "start_within = \"7d\"\napproval = [{ by = [\"commander\"], count = 2 }, { by = [\"security\"], count = 1 }]",
            1,
        )
        .replacen("[roles.engineer]", "[roles.locker]\ncapabilities = [\"lock.manage\"]\n[roles.engineer]", 1);
    let mut organisation = Organisation::example();
    organisation.person("kim", Some("ines"));
    organisation.account("kim", "kim").roles.insert("commander".to_owned(), None);
    organisation.join("rex", "locker");
    organisation.join("aud", "locker");
    World::of(&policy, organisation).unwrap()
}

fn person(id: &str) -> Locked {
    Locked::Person(id.parse().unwrap())
}

fn lock(world: &mut World, on: &str, mode: LockMode) -> Vec<Event> {
    let create = CreateLock { on: person(on), mode, reason: "a lost laptop".into(), until: None };
    world.send("rex", Command::from(create)).unwrap()
}

fn lift(world: &mut World, on: &str) {
    let lock = world.state.organisation().locks().on(&person(on)).unwrap().id;
    world.send("aud", Command::from(DeleteLock { lock, reason: "it was found".into() })).unwrap();
}

/// Work in 20 minutes, approved by ben, cleo, kim (while ben was suspended) and sam, of whom one commander is one too many.
fn planned(world: &mut World) -> ElevationId {
    let start = world.now().latest.plus(span("20m"));
    let planned = Ask::maintenance().lasting("1h").starting(start).by("ana", world).unwrap();
    world.approve("ben", planned).unwrap();
    lock(world, "ben", LockMode::Suspend);
    for approver in ["cleo", "kim", "sam"] {
        world.approve(approver, planned).unwrap();
    }
    lift(world, "ben");
    assert_eq!(world.grant_phase(planned), "SCHEDULED");
    planned
}

fn loses_the_role(world: &mut World, name: &str) {
    change_account(world, name, |it| it.roles.clear());
}

/// Whose approvals these events strike out, and why.
fn struck(events: &[Event]) -> Vec<(String, Reason)> {
    let struck = events.iter().filter_map(|event| match &event.fact {
        Fact::Elevation(ElevationFact::ApprovalStruck(it)) => Some((it.person.to_string(), it.because.reason)),
        _ => None,
    });
    struck.collect()
}

fn void(world: &World, id: ElevationId) -> (String, Reason) {
    match &world.grant_of(id).unwrap().phase {
        GrantPhase::Revoked { because: Revocation::ApprovalVoid { person, reason }, .. } => {
            (person.to_string(), *reason)
        }
        other => panic!("not revoked for an approval but {}", other.name()),
    }
}

#[test]
fn a_revoking_lock_on_one_too_many_strikes_that_approval_out_and_revokes_nothing() {
    let mut world = world();
    let planned = planned(&mut world);
    // when ben, without whom there are two, is locked out
    let events = lock(&mut world, "ben", LockMode::Revoke);
    assert_eq!(struck(&events), [("ben".to_owned(), Reason::Locked)]);
    assert_eq!(world.grant_phase(planned), "SCHEDULED");
    // and whoever watches is not told that it is pending again
    let told = events.iter().find_map(elevation_event).unwrap();
    assert_eq!((told.kind.as_str(), told.state()), ("approval-struck", ElevationState::Approved));
    assert_eq!(told.grant_id, world.grant_of(planned).unwrap().id.to_string());
    // then that approval is void for good: it does not stand in for cleo's while she is suspended
    lift(&mut world, "ben");
    lock(&mut world, "cleo", LockMode::Suspend);
    assert!(world.pass_and_tick("20m").is_empty());
    lift(&mut world, "cleo");
    assert_eq!(kinds(&world.tick()), ["grant-started"]);
}

#[test]
fn a_lock_on_one_who_is_needed_revokes_whoever_else_approved_in_another_stage() {
    for (on, needed) in [("sam", true), ("cleo", false), ("kim", false)] {
        let mut world = world();
        let planned = planned(&mut world);
        lock(&mut world, on, LockMode::Revoke);
        assert_eq!(world.grant_phase(planned), if needed { "REVOKED" } else { "SCHEDULED" }, "{on}");
        if needed {
            assert_eq!(void(&world, planned), (on.to_owned(), Reason::Locked));
            continue;
        }
        // and with one more too few are left
        lock(&mut world, "ben", LockMode::Revoke);
        assert_eq!(void(&world, planned), ("ben".to_owned(), Reason::Locked), "{on}");
    }
}

#[test]
fn who_leaves_and_was_one_too_many_revokes_nothing_and_the_next_one_does() {
    let mut world = world();
    let planned = planned(&mut world);
    let events = world.change_directory(|all| all.remove_person("ben")).unwrap();
    assert_eq!(struck(&events).len(), 1, "{events:?}");
    assert_eq!(world.grant_phase(planned), "SCHEDULED");
    // and what was struck out is not looked at again, and does not count again
    assert!(world.tick().is_empty());
    world.change_directory(|all| all.leave("kim", "commander")).unwrap();
    assert_eq!(void(&world, planned).0, "kim");
}

#[test]
fn one_too_many_who_comes_to_answer_for_the_holder_revokes_all_the_same() {
    // given work of a machine's, which is ben's by the time of the start, by a change that has revoked nothing
    let world = world();
    let policy =
        world.policy.replacen("requestable_by = [\"engineer\"]", "requestable_by = [\"engineer\", \"robot\"]", 3);
    let mut world = World::of(&policy, world.organisation.clone()).unwrap();
    let start = world.now().latest.plus(span("20m"));
    let planned = Ask::maintenance().lasting("1h").starting(start).by("bot", &mut world).unwrap();
    world.approve("ben", planned).unwrap();
    lock(&mut world, "ben", LockMode::Suspend);
    for approver in ["cleo", "kim", "sam"] {
        world.approve(approver, planned).unwrap();
    }
    lift(&mut world, "ben");
    change_account(&mut world, "bot", |it| match &mut it.kind {
        AccountKind::Service { owner, .. } => *owner = "ben".parse().unwrap(),
        other => panic!("{other:?}"),
    });
    world.pass_and_tick("20m");
    assert_eq!(void(&world, planned), ("ben".to_owned(), Reason::SelfApproval));
}

#[test]
fn one_too_many_by_a_certificate_that_somebody_behind_it_had_revokes_all_the_same() {
    // given that ana had the certificate of ben, and answers for the machine by the time of the start
    let mut world = world();
    let policy =
        world.policy.replacen("requestable_by = [\"engineer\"]", "requestable_by = [\"engineer\", \"robot\"]", 3);
    world = World::of(&policy, world.organisation.clone()).unwrap();
    change_account(&mut world, "ana", |it| {
        it.identities.insert(identity("old").parse().unwrap());
    });
    change_account(&mut world, "ana", |it| {
        it.identities.remove(&identity("old").parse::<countersign::domain::value::ids::Identity>().unwrap());
    });
    change_account(&mut world, "ben", |it| it.identities = [identity("old").parse().unwrap()].into());
    let start = world.now().latest.plus(span("20m"));
    let planned = Ask::maintenance().lasting("1h").starting(start).by("bot", &mut world).unwrap();
    world.approve("old", planned).unwrap();
    lock(&mut world, "ben", LockMode::Suspend);
    for approver in ["cleo", "kim", "sam"] {
        world.approve(approver, planned).unwrap();
    }
    lift(&mut world, "ben");
    change_account(&mut world, "bot", |it| match &mut it.kind {
        AccountKind::Service { owner, .. } => *owner = "ana".parse().unwrap(),
        other => panic!("{other:?}"),
    });
    world.pass_and_tick("20m");
    assert_eq!(void(&world, planned), ("ben".to_owned(), Reason::SelfApproval));
}

#[test]
fn at_the_start_what_no_longer_counts_is_struck_out_before_anything_is_given() {
    for suspended in [false, true] {
        // given that ben lost the role by a change that was not looked at
        let mut world = world();
        let planned = planned(&mut world);
        loses_the_role(&mut world, "ben");
        if suspended {
            // and that cleo is suspended, so that by the record alone there seem to be enough
            lock(&mut world, "cleo", LockMode::Suspend);
        }
        let events = world.pass_and_tick("20m");
        assert_eq!(struck(&events).len(), 1, "{:?}", kinds(&events));
        let started = kinds(&events).contains(&"grant-started");
        assert_eq!(started, !suspended, "{:?}", kinds(&events));
        if suspended {
            assert!(next_due(&world.state, KEEP).is_none_or(|due| due > world.now().latest), "the timer sleeps");
            lift(&mut world, "cleo");
            assert_eq!(kinds(&world.tick()), ["grant-started"]);
        }
        // and whoever is missed then revokes it
        let mut other = self::world();
        let planned_there = self::planned(&mut other);
        loses_the_role(&mut other, "sam");
        other.pass_and_tick("20m");
        assert_eq!(void(&other, planned_there).0, "sam");
        assert_eq!(world.grant_phase(planned), "ACTIVE");
    }
}
