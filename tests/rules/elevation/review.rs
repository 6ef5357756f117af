//! Stages, persons, denials, withdrawals: one review.

use countersign::domain::record::command::{ApproveElevation, Command};
use countersign::domain::rule::reviewers::{can_be_completed, counted};
use countersign::domain::value::ids::{Digest, ElevationId};
use countersign::domain::value::refusal::Reason;

use crate::world::{Ask, World, assert_refused, kinds};

fn open_stage(world: &World, id: ElevationId) -> u32 {
    counted(world.state.organisation(), world.elevation(id)).open_stage().unwrap().0
}

#[test]
fn the_last_approval_issues_the_grant_in_the_same_batch() {
    let mut world = World::new();
    let id = Ask::repair().by("ana", &mut world).unwrap();
    let events = world.approve("ben", id).unwrap();
    assert_eq!(kinds(&events), ["approval-recorded", "elevation-approved", "grant-issued"]);
    assert_eq!(world.phase(id), "APPROVED");
    assert!(world.may("ana", "db.write", "prod/eu/db/orders/1"));
    // and nothing else, and nobody else
    assert!(
        !world.may("ana", "db.write", "prod/us/db/orders/1")
            && !world.may("ana-lab", "db.write", "prod/eu/db/orders/1")
    );
}

#[test]
fn stages_open_in_order_and_each_takes_its_number_of_persons() {
    // given two stages: two commanders or security officers, then one security officer
    let mut world = World::new();
    let id = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    world.approve("cleo", id).unwrap();
    // then a security officer completes the second
    world.approve("sam", id).unwrap();
    let stages: Vec<u32> = world.elevation(id).review.decisions.iter().map(|decision| decision.stage).collect();
    assert_eq!((stages, world.phase(id)), (vec![0, 0, 1], "APPROVED"));
}

#[test]
fn stage_not_open_for_whoever_reviews_another_stage() {
    let mut world = World::new();
    let id = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    world.approve("eve", id).unwrap();
    // the second stage is not for commanders
    assert_refused(world.approve("cleo", id), Reason::StageNotOpen);
}

#[test]
fn not_an_approver_for_whoever_is_in_no_stage() {
    let mut world = World::new();
    let id = Ask::repair().by("ana", &mut world).unwrap();
    // the manager sees it, and may not decide on it
    assert_refused(world.approve("ines", id), Reason::NotAnApprover);
    assert_refused(world.deny("ines", id), Reason::NotAnApprover);
    // who may not even see it is told nothing
    assert_refused(world.approve("sam", id), Reason::NotFound);
    assert_refused(world.approve("dan", id), Reason::NotFound);
}

#[test]
fn self_approval_for_the_requester_from_every_account() {
    let mut world = World::new();
    let id = Ask::repair().by("ana", &mut world).unwrap();
    assert_refused(world.approve("ana", id), Reason::SelfApproval);
    assert_refused(world.approve("ana-lab", id), Reason::SelfApproval);
}

#[test]
fn not_an_approver_for_a_machine() {
    let mut world = World::new();
    let id = Ask::deploy().by("bot", &mut world).unwrap();
    assert_refused(world.approve("bot", id), Reason::NotAnApprover);
    assert_refused(world.deny("bot", id), Reason::NotAnApprover);
}

#[test]
fn already_reviewed_a_person_counts_once_over_all_accounts() {
    let mut world = World::new();
    world
        .change_directory(|all| {
            all.account("ben-lab", "ben");
            all.join("ben-lab", "commander");
        })
        .unwrap();
    let id = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    assert_refused(world.approve("ben", id), Reason::AlreadyReviewed);
    assert_refused(world.approve("ben-lab", id), Reason::AlreadyReviewed);
    assert_eq!(world.elevation(id).review.approvals().count(), 1);
}

#[test]
fn an_approver_who_lapsed_sees_the_request_and_is_told_what_lapsed() {
    let mut world = World::new();
    let policy = world.propose_policy("[roles.commander]", "[roles.commander]\nrequires = [\"training\"]").unwrap();
    assert_eq!(kinds(&policy), ["policy-loaded"]);
    world
        .change_directory(|all| {
            let attestations = &mut all.people.get_mut("ben").unwrap().attestations;
            attestations.insert("training".into(), "2025-11-22T12:00:00Z".into());
        })
        .unwrap();
    let id = Ask::repair().by("ana", &mut world).unwrap();
    assert_refused(world.approve("ben", id), Reason::RequirementLapsed);
    world.approve("cleo", id).unwrap();
}

#[test]
fn digest_mismatch_for_another_text_than_the_one_on_record() {
    let mut world = World::new();
    let id = Ask::repair().by("ana", &mut world).unwrap();
    let text = world.elevation(id).review.text.clone();
    // any byte of the text matters (known failure A9)
    for place in (0..text.len()).step_by(7) {
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        let approval =
            Command::from(ApproveElevation { elevation: id, digest: Digest::of(&bytes), comment: String::new() });
        assert_refused(world.send("ben", approval), Reason::DigestMismatch);
    }
    assert_eq!(world.elevation(id).review.decisions.len(), 0);
    // an approval for one request does nothing for another (known failure A13)
    let other = Ask::maintenance().by("ana", &mut world).unwrap();
    let digest = world.elevation(id).review.digest();
    let approval = Command::from(ApproveElevation { elevation: other, digest, comment: String::new() });
    assert_refused(world.send("ben", approval), Reason::DigestMismatch);
}

#[test]
fn one_denial_ends_it_also_by_whoever_had_approved_and_by_a_later_stage() {
    for denier in ["ben", "sam", "cleo"] {
        let mut world = World::new();
        let id = Ask::critical().by("ana", &mut world).unwrap();
        world.approve("ben", id).unwrap();
        world.deny(denier, id).unwrap();
        assert_eq!(world.phase(id), "DENIED");
        assert_refused(world.approve("eve", id), Reason::NotPending);
        assert!(world.state.grants().is_empty());
    }
}

#[test]
fn a_later_stage_sees_what_waits_before_its_turn() {
    let mut world = World::new();
    let id = Ask::critical().by("ana", &mut world).unwrap();
    let who = |world: &mut World| crate::visibility::sees_elevation(world, "eve", id);
    assert!(who(&mut world));
    assert_eq!(open_stage(&world, id), 0);
}

#[test]
fn withdrawn_by_whoever_is_behind_it_and_nobody_else() {
    let mut world = World::new();
    let id = Ask::repair().by("ana", &mut world).unwrap();
    assert_refused(world.withdraw("ben", id), Reason::NotHolder);
    assert_refused(world.withdraw("dan", id), Reason::NotFound);
    world.withdraw("ana-lab", id).unwrap();
    assert_eq!(world.phase(id), "WITHDRAWN");
    assert_refused(world.approve("ben", id), Reason::NotPending);
}

#[test]
fn not_pending_whatever_was_decided_before() {
    // given an elevation in each of its final states (known failure A8)
    let mut world = World::new();
    let mut ask = |name: &str| Ask::repair().on(&[&format!("prod/eu/db/orders/{name}")]).by("ana", &mut world).unwrap();
    let (approved, denied, withdrawn) = (ask("1"), ask("2"), ask("3"));
    world.approve("ben", approved).unwrap();
    world.deny("ben", denied).unwrap();
    world.withdraw("ana", withdrawn).unwrap();
    let expired = Ask::repair().by("ana", &mut world).unwrap();
    let cancelled = Ask::managed().by("dan", &mut world).unwrap();
    world.change_directory(|all| all.leave("dan", "engineer")).unwrap();
    world.pass_and_tick("30m");
    let all = [(approved, "APPROVED"), (denied, "DENIED"), (withdrawn, "WITHDRAWN"), (expired, "EXPIRED")];
    for (id, phase) in all {
        // when anything is decided on it, then nothing changes
        let refusals = [world.approve("cleo", id), world.deny("cleo", id), world.withdraw("ana", id)];
        for refusal in refusals {
            assert_eq!(assert_refused(refusal, Reason::NotPending).facts["state"], phase);
        }
        assert_eq!(world.phase(id), phase);
    }
    assert_eq!(world.phase(cancelled), "CANCELLED");
    assert_refused(world.approve("ines", cancelled), Reason::NotPending);
}

#[test]
fn a_review_that_can_no_longer_be_completed_stays_pending_to_its_deadline() {
    let mut world = World::new();
    let id = Ask::repair().by("ana", &mut world).unwrap();
    world
        .change_directory(|all| {
            all.leave("ben", "commander");
            all.leave("cleo", "commander");
        })
        .unwrap();
    assert_eq!(world.phase(id), "PENDING");
    assert!(!can_be_completed(world.state.organisation(), world.elevation(id), world.now().latest));
    world.pass_and_tick("30m");
    assert_eq!(world.phase(id), "EXPIRED");
}

#[test]
fn a_manager_approves_unless_the_manager_may_ask_for_the_same() {
    let mut world = World::new();
    let id = Ask::managed().by("ana", &mut world).unwrap();
    world.approve("ines", id).unwrap();
    // given a manager who is an engineer as well: a peer (known failure A4)
    world.change_directory(|all| all.join("ines", "engineer")).unwrap();
    assert_refused(Ask::managed().by("dan", &mut world), Reason::NoApprover);
}

#[test]
fn an_approver_who_loses_the_role_is_struck_out_and_the_stage_opens_again() {
    let mut world = World::new();
    let id = Ask::critical().by("ana", &mut world).unwrap();
    for approver in ["ben", "cleo"] {
        world.approve(approver, id).unwrap();
    }
    // when ben stops being a commander, in the same batch
    let events = world.change_directory(|all| all.leave("ben", "commander")).unwrap();
    assert!(kinds(&events).contains(&"approval-struck"));
    assert_eq!(open_stage(&world, id), 0);
    // then somebody else is needed, and ben counts once, even after returning
    world.change_directory(|all| all.join("ben", "commander")).unwrap();
    assert_refused(world.approve("ben", id), Reason::ApprovalStruck);
    world.approve("sam", id).unwrap();
    assert_eq!(world.phase(id), "PENDING");
    world.approve("eve", id).unwrap();
    assert_eq!(world.phase(id), "APPROVED");
}

#[test]
fn an_approval_does_not_pass_to_whoever_gets_the_account() {
    // given an approval by ben
    let mut world = World::new();
    let id = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    // when ben leaves and another commander is given the account (known failure B5)
    world
        .change_directory(|all| {
            all.remove_person("ben");
            all.person("bob", None);
            all.account("ben", "bob");
            all.join("ben", "commander");
        })
        .unwrap();
    // then ben's approval counts no more
    assert_eq!(world.elevation(id).review.approvals().count(), 0);
}
