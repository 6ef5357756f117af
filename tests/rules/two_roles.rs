//! Whoever is in two roles that are for the same thing, while a lock is on one of them: the other is enough, to ask and to
//! approve, and what is given is given through the other (design.md 4).

use countersign::domain::policy::Approver;
use countersign::domain::record::command::{Command, CompleteFollowUp, CreateLock};
use countersign::domain::record::emergency::Finding;
use countersign::domain::record::grant::EndBecause;
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::rule::reviewers::could_approve;
use countersign::domain::value::ids::ElevationId;
use countersign::domain::value::refusal::Reason;

use crate::world::{Ask, NOON, Organisation, POLICY, World, assert_refused, at, span};

/// A world in which ana is in `engineer` and in `mender`, which may both ask to repair, and ben in `commander` and `security`,
/// which both approve what is critical. A repair is approved by a commander and then by security; in an emergency by rex.
fn world(mender_until: Option<&str>) -> World {
    let policy = POLICY
        .replacen(
            "requestable_by = [\"engineer\"]\ndefault_duration",
            "requestable_by = [\"engineer\", \"mender\"]\ndefault_duration",
            1,
        )
        .replacen(
            "approval = [{ by = [\"commander\"], count = 1 }]",
            "approval = [{ by = [\"commander\"], count = 1 }, { by = [\"security\"], count = 1 }]\n\
             emergency = { max_duration = \"20m\", approval = [{ by = [\"revoker\"], count = 1 }], follow_up_within = \"72h\" }",
            1,
        )
        .replacen(
            "[roles.engineer]",
            "[roles.locker]\ncapabilities = [\"lock.manage\"]\n[roles.mender]\n[roles.engineer]",
            1,
        );
    let mut organisation = Organisation::example();
    organisation.accounts.get_mut("ana").unwrap().roles.insert("mender".to_owned(), mender_until.map(str::to_owned));
    organisation.join("ben", "security");
    organisation.join("olga", "locker");
    organisation.join("omar", "locker");
    World::of(&policy, organisation).unwrap()
}

fn suspend(world: &mut World, role: &str) {
    let on = Locked::Role(role.parse().unwrap());
    let lock = CreateLock { on, mode: LockMode::Suspend, reason: "it is looked into".into(), until: None };
    world.send("olga", Command::from(lock)).unwrap();
}

fn repaired(world: &mut World) -> ElevationId {
    let asked = Ask::repair().by("ana", world).unwrap();
    world.approve("cleo", asked).unwrap();
    world.approve("sam", asked).unwrap();
    asked
}

#[test]
fn a_grant_is_given_through_a_role_that_no_lock_is_on() {
    for (locked, through) in [("engineer", "mender"), ("mender", "engineer")] {
        let mut world = world(None);
        suspend(&mut world, locked);
        let asked = repaired(&mut world);
        let grant = world.grant_of(asked).unwrap();
        assert_eq!(grant.through.as_ref().unwrap().as_str(), through);
        // so that it can be used
        assert!(world.state.organisation().lock_on_grant(grant).is_none());
        // and it is stopped by a lock on that one
        suspend(&mut world, through);
        assert!(world.state.organisation().lock_on_grant(world.grant_of(asked).unwrap()).is_some());
        assert_refused(Ask::deploy().by("ana", &mut world), Reason::Locked);
    }
    // while no lock is there, it is given through the one that lasts longest
    let mut world = world(Some("2026-11-22T12:10:00Z"));
    let asked = repaired(&mut world);
    assert_eq!(world.grant_of(asked).unwrap().through.as_ref().unwrap().as_str(), "engineer");
}

#[test]
fn a_role_with_a_lock_on_it_carries_a_grant_no_further_than_the_one_it_is_given_through() {
    // given that ana is a mender for ten minutes, and an engineer, which is suspended, for longer
    let until = at(NOON).plus(span("10m"));
    let mut world = world(Some(&until.to_string()));
    suspend(&mut world, "engineer");
    let asked = repaired(&mut world);
    let grant = world.grant_of(asked).unwrap();
    assert_eq!(grant.end, until);
    assert!(matches!(&grant.end_because, EndBecause::MembershipEnds { role, .. } if role.as_str() == "mender"));
    // but a lock that comes later makes nothing that was given shorter
    let mut world = self::world(Some(&until.to_string()));
    let asked = repaired(&mut world);
    suspend(&mut world, "engineer");
    world.change_directory(|all| all.leave("dan", "engineer")).unwrap();
    assert_eq!(world.grant_of(asked).unwrap().end, at(NOON).plus(span("15m")));
}

#[test]
fn an_approver_in_two_roles_of_a_stage_is_stopped_only_when_both_are_locked() {
    for (locked, through) in [("commander", "security"), ("security", "commander")] {
        let mut world = world(None);
        let asked = Ask::critical().by("dan", &mut world).unwrap();
        suspend(&mut world, locked);
        let elevation = world.elevation(asked);
        let stage = &elevation.review.stages[0];
        let could = could_approve(world.state.organisation(), elevation, stage, world.now().latest);
        assert!(could.map(|(id, _)| id.to_string()).any(|id| id == "ben"), "{locked}");
        // (before the approval: both locked, nobody)
        let mut both = world.clone();
        suspend(&mut both, through);
        assert_refused(both.approve("ben", asked), Reason::Locked);
        world.approve("ben", asked).unwrap();
        assert_eq!(world.elevation(asked).review.decisions[0].through, Approver::Role(through.parse().unwrap()));
    }
}

#[test]
fn and_so_is_whoever_completes_a_follow_up_in_a_stage_of_either() {
    // given an emergency, and ben, who is in a role of each ordinary stage, the first of which is suspended
    let mut world = world(None);
    let asked = Ask::repair().in_an_emergency().by("ana", &mut world).unwrap();
    world.approve("rex", asked).unwrap();
    suspend(&mut world, "commander");
    let digest = world.elevation(asked).review.digest();
    let complete = CompleteFollowUp { elevation: asked, digest, finding: Finding::Justified, comment: "it was".into() };
    assert_refused(world.send("cleo", Command::from(complete.clone())), Reason::Locked);
    world.send("ben", Command::from(complete)).unwrap();
    let follow_up = world.elevation(asked).emergency.as_ref().unwrap().follow_up.as_ref().unwrap();
    assert_eq!(follow_up.completed.as_ref().unwrap().through, Approver::Role("security".parse().unwrap()));
}
