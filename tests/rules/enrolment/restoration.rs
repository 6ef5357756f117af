//! Restoring: what a lapse disabled and suspended returns by a renewed attestation and the manager's approval, within
//! 90 days, and by neither alone.

use countersign::domain::directory::AccountState;
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::Timestamp;

use crate::enrolment::account::{changed_world, sees, world};
use crate::support::records::{account, membership, touch};
use crate::world::enrolments::{a_role, an_account, restore};
use crate::world::{Ask, NOON, World, assert_refused, at, span};

/// Ana's training, of the baseline, and dan's, of the role alone, lapse at 12:10.
fn lapsing() -> World {
    changed_world(|all| {
        let ana = &mut all.people.get_mut("ana").unwrap().attestations;
        ana.insert("training".into(), "2025-11-22T12:10:00Z".into());
        let dan = &mut all.people.get_mut("dan").unwrap().attestations;
        dan.insert("dba".into(), "2026-05-26T12:10:00Z".into());
    })
}

fn renew(world: &mut World, person: &str, requirement: &str) {
    let now: Timestamp = world.at;
    touch(world, person, |it| {
        it.attestations.insert(requirement.parse().unwrap(), now);
    });
}

#[test]
fn a_renewed_attestation_and_the_managers_approval_restore_account_and_memberships() {
    // given ana, disabled by a lapse
    let mut world = lapsing();
    world.pass_and_tick("10m");
    assert!(matches!(account(&world, "ana").state, AccountState::Disabled { .. }));
    assert_refused(Ask::repair().by("ana", &mut world), Reason::AccountDisabled);
    // when she asks before the attestation is renewed, then no
    assert_refused(world.enrol("ana", restore()), Reason::RequirementLapsed);
    renew(&mut world, "ana", "training");
    // a renewed attestation alone restores nothing
    assert_refused(Ask::repair().by("ana", &mut world), Reason::AccountDisabled);
    assert_refused(world.enrol("ana", a_role("reader")), Reason::AccountDisabled);
    // the disabled account asks, sees it and may take it back
    let id = world.enrol("ana", restore()).unwrap();
    assert!(sees(&world, "ana", id));
    assert_eq!(world.enrolment(id).ask.roles().len(), 1);
    world.withdraw_enrolment("ana", id).unwrap();
    let id = world.enrol("ana", restore()).unwrap();
    assert_refused(world.approve_enrolment("ben", id), Reason::NotFound);
    world.approve_enrolment("ines", id).unwrap();
    // then everything is as before
    assert_eq!(account(&world, "ana").state, AccountState::Active);
    assert_eq!(membership(&world, "ana", "engineer").suspended, None);
    Ask::repair().by("ana", &mut world).unwrap();
    assert_refused(world.enrol("ana", restore()), Reason::NothingToRestore);
}

#[test]
fn a_lapse_that_no_timer_recorded_is_restored_the_same_way() {
    let mut world = lapsing();
    world.pass("10m");
    assert_refused(world.enrol("ana", restore()), Reason::RequirementLapsed);
    world.tick();
    renew(&mut world, "ana", "training");
    world.enrolled("ana", restore(), &["ines"]);
    assert_eq!(account(&world, "ana").state, AccountState::Active);
}

#[test]
fn a_lapse_of_a_roles_own_requirement_suspends_that_membership_and_it_returns() {
    let mut world = lapsing();
    world.pass_and_tick("10m");
    assert_eq!(account(&world, "dan").state, AccountState::Active);
    assert_eq!(membership(&world, "dan", "engineer").suspended, Some(at(NOON).plus(span("10m"))));
    // nothing can return yet
    assert_refused(world.enrol("dan", restore()), Reason::NothingToRestore);
    renew(&mut world, "dan", "dba");
    assert_refused(Ask::repair().by("dan", &mut world), Reason::NotEligible);
    world.enrolled("dan", restore(), &["ines"]);
    Ask::repair().by("dan", &mut world).unwrap();
}

#[test]
fn after_ninety_days_the_account_returns_without_its_memberships() {
    let mut world = lapsing();
    world.pass_and_tick("10m");
    world.pass_and_tick("90d");
    renew(&mut world, "ana", "training");
    renew(&mut world, "dan", "dba");
    assert_refused(world.enrol("dan", restore()), Reason::NothingToRestore);
    let id = world.enrolled("ana", restore(), &["ines"]);
    assert!(world.enrolment(id).ask.roles().is_empty());
    assert_eq!(account(&world, "ana").state, AccountState::Active);
    assert_refused(Ask::repair().by("ana", &mut world), Reason::NotInRole);
}

#[test]
fn ninety_days_count_to_the_approval() {
    let mut world = lapsing();
    world.pass_and_tick("10m");
    world.pass_and_tick("89d");
    renew(&mut world, "dan", "dba");
    let id = world.enrol("dan", restore()).unwrap();
    world.pass("1d");
    assert_refused(world.approve_enrolment("ines", id), Reason::NothingToRestore);
}

#[test]
fn only_what_a_lapse_disabled_is_restored() {
    let mut world = changed_world(|all| {
        all.accounts.get_mut("rex").unwrap().disabled = Some("suspended".into());
    });
    // what the directory disabled asks for nothing; what is active has nothing to restore
    assert_refused(world.enrol("rex", restore()), Reason::AccountDisabled);
    assert_refused(world.enrol("ana", restore()), Reason::NothingToRestore);
}

#[test]
fn the_own_person_does_not_restore_from_another_account() {
    // given a manager who lapsed: she does not stand in for herself, and her manager decides
    let mut world = changed_world(|all| {
        let ines = &mut all.people.get_mut("ines").unwrap().attestations;
        ines.insert("training".into(), "2025-11-22T12:10:00Z".into());
        all.account("ines-lab", "ines");
    });
    world.pass_and_tick("10m");
    renew(&mut world, "ines", "training");
    let id = world.enrol("ines", restore()).unwrap();
    assert_refused(world.approve_enrolment("ines-lab", id), Reason::AccountDisabled);
    world.approve_enrolment("omar", id).unwrap();
    assert_eq!(account(&world, "ines").state, AccountState::Active);
}

#[test]
fn while_the_manager_has_lapsed_nobody_takes_the_place() {
    let mut world = changed_world(|all| {
        let ines = &mut all.people.get_mut("ines").unwrap().attestations;
        ines.insert("training".into(), "2025-11-22T12:10:00Z".into());
    });
    world.pass("10m");
    assert_refused(world.enrol("pia", an_account()), Reason::NoApprover);
    assert_refused(self::world().enrol("rex", restore()), Reason::NothingToRestore);
}
