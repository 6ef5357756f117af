//! Starts that were asked for: windows, intentions, late approvals.

use countersign::domain::record::grant::{EndBecause, GrantPhase, Revocation};
use countersign::domain::value::ids::ElevationId;
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::Timestamp;

use crate::world::{Ask, NOON, World, assert_refused, at, kinds, span};

const DB: &str = "prod/eu/db/orders";

fn after(text: &str) -> Timestamp {
    at(NOON).plus(span(text))
}

fn scheduled(world: &mut World) -> ElevationId {
    let id = Ask::maintenance().lasting("2h").starting(after("1h")).by("ana", world).unwrap();
    world.approve("ben", id).unwrap();
    assert_eq!(world.grant_phase(id), "SCHEDULED");
    id
}

#[test]
fn a_scheduled_grant_is_an_intention_until_its_start_is_recorded() {
    let mut world = World::new();
    let id = scheduled(&mut world);
    world.pass_and_tick("3599999ms");
    assert!(!world.may("ana", "db.schema", DB));
    world.pass("1ms");
    assert!(!world.may("ana", "db.schema", DB), "with no timer running it never starts");
    assert_eq!(kinds(&world.tick()), ["grant-started"]);
    assert!(world.may("ana", "db.schema", DB));
    assert_eq!(world.grant_of(id).unwrap().end, after("3h"));
    world.pass("2h");
    assert!(!world.may("ana", "db.schema", DB));
}

#[test]
fn a_scheduled_grant_whose_timer_came_too_late_never_starts() {
    let mut world = World::new();
    let id = scheduled(&mut world);
    world.pass_and_tick("3h");
    assert_eq!(world.grant_phase(id), "ENDED");
    assert!(!world.events.iter().any(|event| event.fact.kind() == "grant-started/1"));
}

#[test]
fn start_plus_duration_is_a_window_and_a_late_approval_gets_the_rest_of_it() {
    let mut world = World::new();
    let id = Ask::maintenance().lasting("2h").starting(after("1h")).by("ana", &mut world).unwrap();
    world.pass("150m");
    world.approve("ben", id).unwrap();
    let grant = world.grant_of(id).unwrap();
    assert_eq!((grant.start, grant.end, grant.phase.name()), (after("150m"), after("3h"), "ACTIVE"));
    assert_eq!(grant.end_because, EndBecause::Duration);
}

#[test]
fn after_its_window_the_elevation_expires_before_its_deadline() {
    let mut world = World::new();
    let id = Ask::maintenance().lasting("2h").starting(after("1h")).by("ana", &mut world).unwrap();
    world.pass("3h");
    // no timer ran: the comparison decides
    assert_refused(world.approve("ben", id), Reason::NotPending);
    world.tick();
    assert_eq!(world.phase(id), "EXPIRED");
}

#[test]
fn a_start_in_doubt_waits_for_every_clock() {
    // given a start that only one of the two clocks has reached when it is approved
    let mut world = World::new();
    let id = Ask::maintenance().starting(after("1h")).by("ana", &mut world).unwrap();
    world.pass("1h");
    world.wall_off_by = -1_500;
    world.approve("ben", id).unwrap();
    // then it is scheduled, and starts when both have
    assert_eq!(world.grant_phase(id), "SCHEDULED");
    world.tick();
    assert!(!world.may("ana", "db.schema", DB));
    world.pass_and_tick("1500ms");
    assert!(world.may("ana", "db.schema", DB));
}

#[test]
fn everything_is_checked_again_at_the_start() {
    // given a grant whose holder's training lapses before its start
    let mut world = World::new();
    world
        .change_directory(|all| {
            let attested = "2026-05-26T12:30:00Z".to_owned();
            all.people.get_mut("ana").unwrap().attestations.insert("dba".into(), attested);
        })
        .unwrap();
    let id = Ask::maintenance().starting(after("1h")).by("ana", &mut world).unwrap();
    // then the approval leads to nothing, because it would have ended before it began
    assert_refused(world.approve("ben", id), Reason::NotPending);
    assert!(world.grant_of(id).is_none());
}

#[test]
fn an_approver_who_loses_the_role_before_the_start_takes_the_grant_along() {
    let mut world = World::new();
    let id = scheduled(&mut world);
    let events = world.change_directory(|all| all.leave("ben", "commander")).unwrap();
    assert!(kinds(&events).contains(&"grant-revoked"), "in the same batch");
    let GrantPhase::Revoked { because: Revocation::ApprovalVoid { person, .. }, .. } =
        &world.grant_of(id).unwrap().phase
    else {
        panic!("not revoked for its approval");
    };
    assert_eq!(person.as_str(), "ben");
    // the elevation stays what it is: final
    assert_eq!(world.phase(id), "APPROVED");
}

#[test]
fn once_started_a_grant_outlives_its_approvers() {
    let mut world = World::new();
    let id = scheduled(&mut world);
    world.pass_and_tick("1h");
    world.change_directory(|all| all.remove_person("ben")).unwrap();
    assert_eq!(world.grant_phase(id), "ACTIVE");
    assert!(world.may("ana", "db.schema", DB));
}

#[test]
fn continuity_is_counted_again_at_the_start() {
    // given an entitlement with starts and a longest time of four hours, held from noon to two
    let mut world = World::new();
    world
        .propose_policy(
            "start_within = \"7d\"\napproval = [{ by = [\"commander\"]",
            "start_within = \"7d\"\nmax_continuous = \"3h\"\napproval = [{ by = [\"commander\"]",
        )
        .unwrap();
    let late = Ask::maintenance().lasting("2h").starting(after("2h")).by("ana", &mut world).unwrap();
    world.approve("ben", late).unwrap();
    let early = Ask::maintenance().lasting("2h").by("ana", &mut world).unwrap();
    world.approve("ben", early).unwrap();
    assert_eq!(world.grant_of(late).unwrap().end, after("4h"));
    // when the second starts right after the first, then both together end after three hours
    world.pass_and_tick("2h");
    let grant = world.grant_of(late).unwrap();
    assert_eq!((grant.phase.name(), grant.end), ("ACTIVE", after("3h")));
    assert_eq!((grant.continuous_since, &grant.end_because), (at(NOON), &EndBecause::LongestContinuous));
}
