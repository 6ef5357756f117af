//! Locks: what they stop, what goes on under them, who makes and who lifts them (design.md 4).

use countersign::domain::record::command::{Command, CreateLock, DeleteLock};
use countersign::domain::record::event::Event;
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::value::ids::LockId;
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::time::Timestamp;

use crate::world::{Ask, Organisation, POLICY, World, assert_refused, at, kinds};

const LOCKERS: &str = "[roles.locker]\ncapabilities = [\"lock.manage\"]\n\
                       [roles.orders-locker]\n\
                       capabilities = [{ name = \"lock.manage\", resources = [\"prod/*/db/orders/**\"] }]\n\
                       [roles.engineer]";

/// Of a world in which rex and aud may lock anything, and eve what belongs to orders.
fn world() -> World {
    let policy = POLICY.replacen("[roles.engineer]", LOCKERS, 1);
    let mut organisation = Organisation::example();
    for (name, role) in [("rex", "locker"), ("aud", "locker"), ("eve", "orders-locker")] {
        organisation.join(name, role);
    }
    World::of(&policy, organisation).unwrap()
}

fn person(id: &str) -> Locked {
    Locked::Person(id.parse().unwrap())
}

fn resources(pattern: &str) -> Locked {
    Locked::Resources(pattern.parse().unwrap())
}

fn lock_until(
    world: &mut World,
    who: &str,
    (on, mode): (Locked, LockMode),
    until: Option<Timestamp>,
) -> Result<Vec<Event>, Refusal> {
    world.send(who, Command::from(CreateLock { on, mode, reason: "a laptop was stolen".into(), until }))
}

fn suspend(world: &mut World, who: &str, on: Locked) -> Result<Vec<Event>, Refusal> {
    lock_until(world, who, (on, LockMode::Suspend), None)
}

fn lift(world: &mut World, who: &str) -> Result<Vec<Event>, Refusal> {
    let lock: LockId = *world.state.organisation().locks().all().keys().next().unwrap();
    world.send(who, Command::from(DeleteLock { lock, reason: "it was found".into() }))
}

#[test]
fn under_a_lock_nothing_is_asked_approved_or_signed_and_taking_away_goes_on() {
    for on in [
        person("ana"),
        Locked::Account("ana".parse().unwrap()),
        Locked::Role("engineer".parse().unwrap()),
        Locked::Entitlement("repair".parse().unwrap()),
        resources("prod/eu/db/**"),
        Locked::Everything,
    ] {
        // given a request of ana's that waits, and a grant
        let mut world = world();
        let (_, grant) = world.granted();
        let waiting = Ask::repair().on(&["prod/eu/db/orders/7"]).by("ana", &mut world).unwrap();
        let other = Ask::repair().on(&["prod/eu/db/orders/8"]).by("ana", &mut world).unwrap();
        // when a lock is put on something of it
        suspend(&mut world, "rex", on.clone()).unwrap();
        // then nothing more is asked for, approved or signed
        assert_refused(Ask::repair().on(&["prod/eu/db/orders/9"]).by("ana", &mut world), Reason::Locked);
        assert_refused(world.approve("ben", waiting), Reason::Locked);
        let held = world.state.organisation().lock_on_grant(world.state.grants().get(&grant).unwrap());
        let reached = held.or_else(|| {
            let scope = &world.state.grants().get(&grant).unwrap().scope;
            world.state.organisation().locks().on_any_of(scope)
        });
        assert_eq!(reached.map(|lock| &lock.on), Some(&on));
        // and what takes away goes on, and nothing was ended
        assert_eq!((world.phase(waiting), world.grant_of(waiting)), ("PENDING", None));
        world.deny("ben", other).unwrap();
        world.withdraw("ana", waiting).unwrap();
        world.relinquish("ana", grant).unwrap();
        // and when it is lifted, all is as before
        lift(&mut world, "aud").unwrap();
        Ask::repair().on(&["prod/eu/db/orders/9"]).by("ana", &mut world).unwrap();
        world.assert_replays();
    }
}

#[test]
fn whoever_approves_is_stopped_by_a_lock_on_the_person_or_the_role() {
    for on in [person("ben"), Locked::Role("commander".parse().unwrap())] {
        let mut world = world();
        let asked = Ask::repair().by("ana", &mut world).unwrap();
        suspend(&mut world, "rex", on).unwrap();
        assert_refused(world.approve("ben", asked), Reason::Locked);
        // and a denial takes away
        world.deny("ben", asked).unwrap();
    }
    // and where nobody else could approve, nothing can be asked for
    let mut world = world();
    suspend(&mut world, "rex", Locked::Role("commander".parse().unwrap())).unwrap();
    assert_refused(Ask::repair().by("ana", &mut world), Reason::NoApprover);
}

#[test]
fn an_approval_of_somebody_who_is_locked_by_now_does_not_count() {
    // given an elevation that ben has approved and that needs another
    let mut world = world();
    let asked = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("ben", asked).unwrap();
    suspend(&mut world, "rex", person("ben")).unwrap();
    // when the next one approves, then ben's is not counted, and stays on record
    let events = world.approve("sam", asked).unwrap();
    assert_eq!(kinds(&events), ["approval-recorded"]);
    world.approve("cleo", asked).unwrap();
    assert_eq!(world.elevation(asked).review.decisions.last().unwrap().stage, 0);
}

#[test]
fn a_revoking_lock_ends_what_it_touches_in_its_own_batch() {
    // given a grant, a request that waits, a scheduled grant, and an approval of ana's machine owner
    let mut world = world();
    let (_, grant) = world.granted();
    let waiting = Ask::repair().on(&["prod/eu/db/orders/7"]).by("ana", &mut world).unwrap();
    let planned = Ask::maintenance().starting(at("2026-11-24T09:00:00Z")).by("dan", &mut world).unwrap();
    world.approve("ben", planned).unwrap();
    let planned_grant = world.grant_of(planned).unwrap().id;
    // when ana is locked
    let events = lock_until(&mut world, "rex", (person("ana"), LockMode::Revoke), None).unwrap();
    // then what is hers is over, and nothing else
    assert_eq!(kinds(&events), ["lock-created", "elevation-cancelled", "grant-revoked"]);
    assert_eq!((world.phase(waiting), world.grant_phase(planned)), ("CANCELLED", "SCHEDULED"));
    assert!(!world.state.grants().get(&grant).unwrap().is_open());
    // and when the approver is locked, what has not started goes with the approval
    let events = lock_until(&mut world, "rex", (person("ben"), LockMode::Revoke), None).unwrap();
    assert_eq!(kinds(&events), ["lock-created", "grant-revoked"]);
    assert!(!world.state.grants().get(&planned_grant).unwrap().is_open());
    world.assert_replays();
}

#[test]
fn a_scheduled_grant_starts_late_if_a_lock_is_lifted_before_its_end_and_never_under_it() {
    let mut world = world();
    let planned = Ask::maintenance().starting(at("2026-11-23T12:00:00Z")).by("dan", &mut world).unwrap();
    world.approve("ben", planned).unwrap();
    let start = world.grant_of(planned).unwrap().start;
    suspend(&mut world, "rex", person("dan")).unwrap();
    // given that its start has come
    let wait = start.since(world.now().latest).to_string();
    for passing in [wait.as_str(), "60s"] {
        let events = world.pass_and_tick(passing);
        assert!(kinds(&events).iter().all(|kind| !kind.starts_with("grant-")), "{events:?}");
    }
    // when the lock is lifted, then it starts
    lift(&mut world, "rex").unwrap();
    assert_eq!(kinds(&world.tick()), ["grant-started"]);
}

#[test]
fn a_lock_ends_by_itself_late_and_never_early() {
    let mut world = world();
    let until = world.now().latest.plus(crate::world::span("10m"));
    lock_until(&mut world, "rex", (person("ana"), LockMode::Suspend), Some(until)).unwrap();
    assert!(world.pass_and_tick("599s").is_empty());
    assert_refused(Ask::repair().by("ana", &mut world), Reason::Locked);
    // at its instant it is in force until its end is recorded
    world.pass("1s");
    assert_refused(Ask::repair().by("ana", &mut world), Reason::Locked);
    assert_eq!(kinds(&world.tick()), ["lock-ended"]);
    Ask::repair().by("ana", &mut world).unwrap();
    // and one that would be over is none
    let past = lock_until(&mut world, "rex", (person("ana"), LockMode::Suspend), Some(until));
    assert_refused(past, Reason::LockInvalid);
}

#[test]
fn nobody_lifts_a_lock_on_themselves_and_nobody_is_left_without_one_who_could_lift() {
    let mut world = world();
    // given that rex locked themselves, which anybody who may lock may do
    suspend(&mut world, "rex", person("rex")).unwrap();
    assert_refused(lift(&mut world, "rex"), Reason::Locked);
    // then a lock that would stop the last one who could lift both is refused
    assert_refused(suspend(&mut world, "aud", person("aud")), Reason::NobodyCouldUnlock);
    assert_refused(suspend(&mut world, "aud", Locked::Role("locker".parse().unwrap())), Reason::NobodyCouldUnlock);
    lift(&mut world, "aud").unwrap();
    // and a lock on one's account, of which one is not oneself stopped, is not lifted either
    suspend(&mut world, "rex", Locked::Account("rex".parse().unwrap())).unwrap();
    assert_refused(lift(&mut world, "rex"), Reason::Locked);
    lift(&mut world, "aud").unwrap();
}

#[test]
fn a_lock_on_everything_stops_all_but_taking_away_and_its_lifting() {
    let mut world = world();
    let (_, grant) = world.granted();
    suspend(&mut world, "rex", Locked::Everything).unwrap();
    for who in ["ana", "omar", "dan"] {
        assert_refused(Ask::repair().by(who, &mut world), Reason::Locked);
    }
    let proposed = world.propose_policy("pending_per_person = 3", "pending_per_person = 2");
    assert_refused(proposed, Reason::Locked);
    world.revoke("ben", grant).unwrap();
    // only who may lock lifts
    assert_refused(lift(&mut world, "omar"), Reason::CapabilityMissing);
    lift(&mut world, "aud").unwrap();
    Ask::repair().by("ana", &mut world).unwrap();
}

#[test]
fn locking_needs_the_capability_and_what_it_is_narrowed_to() {
    let mut world = world();
    assert_refused(suspend(&mut world, "ana", person("dan")), Reason::CapabilityMissing);
    assert_refused(suspend(&mut world, "eve", person("dan")), Reason::CapabilityMissing);
    assert_refused(suspend(&mut world, "eve", resources("prod/**")), Reason::CapabilityMissing);
    suspend(&mut world, "eve", resources("prod/eu/db/orders/**")).unwrap();
    // and what is not there, or no pattern that begins with a name, is told
    assert_refused(suspend(&mut world, "rex", person("nobody")), Reason::NotFound);
    assert_refused(suspend(&mut world, "rex", resources("*/eu")), Reason::LockInvalid);
    assert_refused(suspend(&mut world, "rex", resources("**")), Reason::LockInvalid);
    // and whoever may not see a lock is told of none
    let narrowed = lift(&mut world, "dan");
    assert_refused(narrowed, Reason::NotFound);
}
