//! Getting a role: its own requirements, one side of every entitlement over all accounts of the person, the manager's
//! approval and its owner's, an end that the role allows.

use countersign::domain::directory::{Cut, Move};
use countersign::domain::policy::Approver;
use countersign::domain::record::enrolment::EnrolmentCancellation;
use countersign::domain::record::review::Phase;
use countersign::domain::value::refusal::Reason;

use crate::enrolment::account::{changed_world, world};
use crate::support::records::{account, membership, touch};
use crate::world::enrolments::{a_role, a_role_of, a_role_until, an_account, keep};
use crate::world::{Ask, NOON, assert_refused, at, kinds, span};

#[test]
fn a_role_is_given_by_the_manager_and_then_by_its_owner() {
    let mut world = world();
    // given a baseline account
    world.enrolled("pia", an_account(), &["ines"]);
    let id = world.enrol("pia", a_role("writer")).unwrap();
    let by: Vec<_> = world.enrolment(id).review.stages.iter().map(|it| (it.by.clone(), it.count)).collect();
    assert_eq!(by, [([Approver::Manager].into(), 1), ([Approver::RoleOwner].into(), 1)]);
    // when the owner comes before the manager, then the stage is not open
    assert_refused(world.approve_enrolment("odo", id), Reason::StageNotOpen);
    assert_eq!(kinds(&world.approve_enrolment("ines", id).unwrap()), ["enrolment-approval-recorded"]);
    assert!(account(&world, "pia").roles.is_empty(), "nothing before the last approval");
    world.pass("1h");
    world.approve_enrolment("odo", id).unwrap();
    // then she holds it, since now, until the role's longest membership, by their approval
    let held = membership(&world, "pia", "writer");
    let now = at(NOON).plus(span("1h"));
    assert_eq!((held.since, held.until), (Some(now), Some(now.plus(span("30d")))));
    let approved = held.approved.clone().unwrap();
    assert_eq!(approved.enrolment, id);
    assert_eq!(approved.persons.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["ines", "odo"]);
    assert_eq!((held.suspended, held.cut, held.confirm), (None, None, None));
}

#[test]
fn where_the_manager_owns_the_role_or_nobody_does_one_approval_is_enough() {
    let mut world = world();
    // commander is owned by ines, who manages pia
    world.enrolled("pia", an_account(), &["ines"]);
    world.enrolled("pia", a_role("commander"), &["ines"]);
    world.enrolled("pia", a_role("reader"), &["ines"]);
    // what a person without that manager needs is both
    let id = world.enrol("rex", a_role("commander")).unwrap();
    world.approve_enrolment("omar", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "PENDING");
    world.approve_enrolment("ines", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "APPROVED");
}

#[test]
fn the_owner_of_a_role_gets_it_by_the_managers_approval_and_never_by_an_own_one() {
    let mut world = world();
    let id = world.enrol("odo", a_role("writer")).unwrap();
    assert_refused(world.approve_enrolment("odo", id), Reason::SelfApproval);
    world.approve_enrolment("omar", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "APPROVED");
}

#[test]
fn a_role_lets_its_member_ask_and_not_before() {
    let mut world = world();
    world.enrolled("pia", an_account(), &["ines"]);
    assert_refused(Ask::repair().by("pia", &mut world), Reason::NotInRole);
    world.enrolled("pia", a_role("engineer"), &["ines"]);
    let elevation = Ask::repair().by("pia", &mut world).unwrap();
    world.approve("ben", elevation).unwrap();
    assert!(world.may("pia", "db.read", "prod/eu/db/orders/1"));
}

#[test]
fn a_role_needs_its_own_requirements() {
    let mut world = changed_world(|all| {
        all.people.get_mut("ana").unwrap().attestations.remove("dba");
        let attested = &mut all.people.get_mut("dan").unwrap().attestations;
        attested.insert("dba".into(), "2026-05-26T12:10:00Z".into()); // 180 days before 12:10
    });
    assert_eq!(assert_refused(world.enrol("ana", a_role("keeper")), Reason::NotEligible).facts["requirement"], "dba");
    let id = world.enrol("dan", a_role("keeper")).unwrap();
    world.pass("10m");
    assert_refused(world.approve_enrolment("ines", id), Reason::RequirementLapsed);
    assert_refused(world.enrol("dan", a_role("keeper")), Reason::RequirementLapsed);
    assert!(!account(&world, "dan").roles.contains_key("keeper"));
}

#[test]
fn a_membership_ends_no_later_than_the_role_allows() {
    let mut world = world();
    let longest = at(NOON).plus(span("90d"));
    for wrong in [longest.plus(span("1s")), at(NOON), at("2020-01-01T00:00:00Z")] {
        assert_refused(world.enrol("ana", a_role_until("keeper", wrong)), Reason::MembershipTooLong);
    }
    world.enrolled("ana", a_role_until("keeper", longest), &["ines"]);
    assert_eq!(membership(&world, "ana", "keeper").until, Some(longest));
    // an end that passes while it waits is none any more
    let soon = at(NOON).plus(span("1h"));
    let id = world.enrol("dan", a_role_until("keeper", soon)).unwrap();
    world.pass("1h");
    assert_refused(world.approve_enrolment("ines", id), Reason::MembershipTooLong);
    // and where the role names no longest membership there is none
    world.enrolled("ana", a_role("reader"), &["ines"]);
    assert_eq!(membership(&world, "ana", "reader").until, None);
}

#[test]
fn who_is_in_a_role_asks_for_a_later_end_alone_and_stays_a_member_since_before() {
    let mut world = world();
    let (soon, later) = (at(NOON).plus(span("1h")), at(NOON).plus(span("2h")));
    world.enrolled("ana", a_role_until("keeper", later), &["ines"]);
    assert_refused(world.enrol("ana", a_role_until("keeper", soon)), Reason::AlreadyThere);
    assert_refused(world.enrol("ana", a_role_until("keeper", later)), Reason::AlreadyThere);
    world.pass("30m");
    world.enrolled("ana", a_role("keeper"), &["ines"]);
    let held = membership(&world, "ana", "keeper");
    assert_eq!((held.since, held.until), (Some(at(NOON)), Some(world.at.plus(span("90d")))));
    // after its end it begins anew
    world.pass("91d");
    world.enrolled("ana", a_role("keeper"), &["ines"]);
    assert_eq!(membership(&world, "ana", "keeper").since, Some(world.at));
}

#[test]
fn no_role_is_given_that_puts_a_person_on_both_sides_over_all_accounts_and_machines() {
    let mut world = world();
    // ana asks for repairs; another account of hers must not approve them
    for ask in [a_role("commander"), a_role_of("ana-lab", "commander")] {
        let refusal = assert_refused(world.enrol("ana", ask), Reason::RoleConflict);
        assert_eq!(refusal.facts["person"], "ana");
        assert!(refusal.detail.contains("`commander`") && refusal.detail.contains("`engineer`"), "{refusal}");
    }
    assert_refused(world.enrol("ana-lab", a_role("commander")), Reason::RoleConflict);
    // odo's machine asks for deployments, which commanders approve
    let refusal = assert_refused(world.enrol("odo", a_role("commander")), Reason::RoleConflict);
    assert_eq!(refusal.facts["entitlement"], "deploy");
}

#[test]
fn a_membership_that_is_over_conflicts_with_nothing() {
    let mut world = changed_world(|all| {
        let end = Some("2026-11-22T13:00:00Z".to_owned());
        all.accounts.get_mut("ana").unwrap().roles.insert("engineer".into(), end);
    });
    assert_refused(world.enrol("ana-lab", a_role("commander")), Reason::RoleConflict);
    world.pass("1h");
    world.enrolled("ana-lab", a_role("commander"), &["ines"]);
}

#[test]
fn of_two_requests_that_exclude_each_other_the_first_given_cancels_the_other() {
    let mut world = world();
    world.enrolled("pia", an_account(), &["ines"]);
    let asks = world.enrol("pia", a_role("engineer")).unwrap();
    let approves = world.enrol("pia", a_role("commander")).unwrap();
    world.approve_enrolment("ines", asks).unwrap();
    let because = EnrolmentCancellation::NoLongerPossible { reason: Reason::RoleConflict };
    assert!(matches!(&world.enrolment(approves).phase, Phase::Cancelled { because: told, .. } if *told == because));
    assert_refused(world.approve_enrolment("ines", approves), Reason::NotPending);
}

#[test]
fn a_role_is_asked_for_ones_own_usable_account_of_its_kind() {
    let mut world = changed_world(|all| {
        all.accounts.get_mut("ana-lab").unwrap().disabled = Some("lost laptop".into());
    });
    // an unknown role, and one for machines
    assert_refused(world.enrol("ana", a_role("nothing")), Reason::NotFound);
    assert_refused(world.enrol("ana", a_role("sensor")), Reason::NotInRole);
    // somebody else's account is as none, and the journal knows better
    let refusal = assert_refused(world.enrol("ana", a_role_of("dan", "reader")), Reason::NotFound);
    assert_eq!(refusal.true_reason, Some(Reason::NotOwner));
    let none = assert_refused(world.enrol("ana", a_role_of("nobody", "reader")), Reason::NotFound);
    assert_eq!(refusal.detail.replace("dan", "nobody"), none.detail);
    // an account that is disabled gets nothing, and asks for nothing
    assert_refused(world.enrol("ana", a_role_of("ana-lab", "reader")), Reason::AccountDisabled);
    assert_refused(world.enrol("ana-lab", a_role("reader")), Reason::AccountDisabled);
}

#[test]
fn a_role_whose_owner_works_here_no_longer_is_given_by_nobody() {
    let mut world = world();
    touch(&mut world, "odo", |odo| odo.employed_until = Some(at("2026-11-22T13:00:00Z")));
    world.pass("1h");
    assert_refused(world.enrol("ana", a_role("writer")), Reason::NoApprover);
}

#[test]
fn what_a_manager_gives_before_an_announced_transfer_ends_with_its_grace() {
    // given ana's transfer in ten days
    let mut world = world();
    let moves = at(NOON).plus(span("10d"));
    touch(&mut world, "ana", |ana| {
        ana.moves = vec![Move { at: moves, manager: Some("omar".parse().unwrap()) }];
    });
    world.enrolled("ana", a_role("keeper"), &["ines"]);
    // then the membership ends with the grace, by comparison, and what it would have had can be kept later
    let held = membership(&world, "ana", "keeper");
    assert_eq!(held.until, Some(moves.plus(span("14d"))));
    assert_eq!(held.cut, Some(Cut { until: Some(at(NOON).plus(span("90d"))) }));
    // not by the manager before
    assert_refused(world.enrol("ana", keep("keeper")), Reason::NothingToKeep);
    // but by the one after
    world.pass_and_tick("10d");
    let id = world.enrol("ana", keep("keeper")).unwrap();
    assert_refused(world.approve_enrolment("ines", id), Reason::NotFound);
    world.approve_enrolment("omar", id).unwrap();
    let held = membership(&world, "ana", "keeper");
    assert_eq!((held.until, held.cut), (Some(at(NOON).plus(span("90d"))), None));
    assert_eq!(held.since, Some(at(NOON)));
}

#[test]
fn a_transfer_cuts_what_is_held_and_only_the_new_manager_keeps_it() {
    // given ana, an engineer without an end, whose transfer to omar comes about
    let mut world = world();
    let moves = at(NOON).plus(span("1h"));
    touch(&mut world, "ana", |ana| {
        ana.moves = vec![Move { at: moves, manager: Some("omar".parse().unwrap()) }];
    });
    world.pass_and_tick("1h");
    let grace = moves.plus(span("14d"));
    assert_eq!(membership(&world, "ana", "engineer").until, Some(grace));
    // when she asks to keep it, then neither the manager before nor who stands in for one decides
    let id = world.enrol("ana", keep("engineer")).unwrap();
    for who in ["ines", "sam"] {
        assert_refused(world.approve_enrolment(who, id), Reason::NotFound);
    }
    world.approve_enrolment("omar", id).unwrap();
    assert_eq!((membership(&world, "ana", "engineer").until, membership(&world, "ana", "engineer").cut), (None, None));
    // and once is enough
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NothingToKeep);
}

#[test]
fn what_was_not_kept_within_the_grace_or_was_never_cut_cannot_be_kept() {
    let mut world = world();
    assert_refused(world.enrol("dan", keep("engineer")), Reason::NothingToKeep);
    assert_refused(world.enrol("dan", keep("reader")), Reason::NothingToKeep);
    touch(&mut world, "ana", |ana| {
        ana.moves = vec![Move { at: at(NOON).plus(span("1h")), manager: Some("omar".parse().unwrap()) }];
    });
    world.pass_and_tick("1h");
    world.pass("8d");
    let id = world.enrol("ana", keep("engineer")).unwrap();
    world.pass("6d");
    assert_refused(world.approve_enrolment("omar", id), Reason::NothingToKeep);
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NothingToKeep);
}

#[test]
fn after_a_transfer_to_nobody_known_nothing_can_be_kept_or_given() {
    let mut world = world();
    touch(&mut world, "ana", |ana| ana.moves = vec![Move { at: at(NOON).plus(span("1h")), manager: None }]);
    // also with no timer
    world.pass("1h");
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NoApprover);
    assert_refused(world.enrol("ana", a_role("reader")), Reason::NoApprover);
    world.tick();
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NoApprover);
    assert_refused(world.enrol("ana", a_role("reader")), Reason::NoApprover);
}
