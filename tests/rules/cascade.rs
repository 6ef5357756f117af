//! What follows from a change, in the same batch as the change.

use countersign::domain::record::elevation::Cancellation;
use countersign::domain::record::event::{ElevationFact, Fact};
use countersign::domain::record::grant::{EndBecause, GrantPhase, Revocation};
use countersign::domain::value::refusal::Reason;

use crate::world::{Ask, NOON, World, assert_refused, at, kinds, span};

const DB: &str = "prod/eu/db/orders/1";

fn because(world: &World, id: countersign::domain::value::ids::ElevationId) -> Revocation {
    match &world.grant_of(id).unwrap().phase {
        GrantPhase::Revoked { because, .. } => because.clone(),
        other => panic!("not revoked but {}", other.name()),
    }
}

#[test]
fn a_person_who_is_removed_loses_everything_in_the_same_batch() {
    // given ana with a live grant, a scheduled one and a request
    let mut world = World::new();
    let (live, _) = world.granted();
    let scheduled = Ask::maintenance().starting(at(NOON).plus(span("1h"))).by("ana", &mut world).unwrap();
    world.approve("ben", scheduled).unwrap();
    let pending = Ask::deploy().by("ana", &mut world).unwrap();
    // when she leaves
    let events = world.change_directory(|all| all.remove_person("ana")).unwrap();
    assert_eq!(kinds(&events)[0], "directory-loaded");
    // then it is all over
    for id in [live, scheduled] {
        assert_eq!(because(&world, id), Revocation::NotEligible { reason: Reason::AccountDisabled });
    }
    assert_eq!(world.phase(pending), "CANCELLED");
    assert!(!world.may("ana", "db.read", DB));
    assert_refused(Ask::repair().by("ana", &mut world), Reason::NoAccount);
    assert_refused(world.approve("ben", pending), Reason::NotPending);
}

#[test]
fn a_machine_loses_what_the_person_it_asked_for_loses() {
    let mut world = World::new();
    let id = Ask::deploy().on_behalf_of("ana").by("pipe", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    let pending = Ask::managed().on_behalf_of("ana").by("pipe", &mut world).unwrap();
    world.change_directory(|all| all.remove_person("ana")).unwrap();
    assert!(matches!(because(&world, id), Revocation::NotEligible { .. }));
    assert_eq!(world.phase(pending), "CANCELLED");
    assert!(!world.may("pipe", "deploy.run", "prod/eu/apps/orders"));
}

#[test]
fn a_lost_role_a_withdrawn_attestation_and_a_disabled_account_end_what_rests_on_them() {
    let changes: [fn(&mut crate::world::Organisation); 3] = [
        |all| all.leave("ana", "engineer"),
        |all| {
            all.people.get_mut("ana").unwrap().attestations.remove("dba").unwrap();
        },
        |all| all.accounts.get_mut("ana").unwrap().disabled = Some("away".into()),
    ];
    let reasons = [Reason::NotInRole, Reason::NotEligible, Reason::AccountDisabled];
    for (change, reason) in changes.into_iter().zip(reasons) {
        let mut world = World::new();
        let (live, _) = world.granted();
        let pending = Ask::deploy().by("ana", &mut world).unwrap();
        world.change_directory(change).unwrap();
        assert_eq!(because(&world, live), Revocation::NotEligible { reason });
        let Fact::Elevation(ElevationFact::Cancelled(cancelled)) =
            &world.events.iter().rev().find(|event| event.fact.kind() == "elevation-cancelled/1").unwrap().fact
        else {
            panic!("a cancellation")
        };
        assert_eq!(
            (cancelled.elevation, &cancelled.because),
            (pending, &Cancellation::RequesterNotEligible { reason })
        );
    }
}

#[test]
fn a_grant_does_not_pass_to_whoever_gets_the_account() {
    // given a live grant and a request of ana
    let mut world = World::new();
    let (live, _) = world.granted();
    let pending = Ask::maintenance().by("ana", &mut world).unwrap();
    // when she leaves and the account is given to another engineer (known failure B5)
    world
        .change_directory(|all| {
            all.remove_person("ana");
            all.person("amy", Some("ines"));
            all.account("ana", "amy");
            all.join("ana", "engineer");
        })
        .unwrap();
    // then that one holds nothing
    assert!(!world.may("ana", "db.read", DB));
    assert!(matches!(because(&world, live), Revocation::NotEligible { .. }));
    assert_eq!(world.phase(pending), "CANCELLED");
}

#[test]
fn an_end_that_a_proposal_brings_forward_shortens_the_grant_in_the_same_batch() {
    let ten_past = "2026-11-22T12:10:00Z";
    let mut world = World::new();
    let (live, grant) = world.granted();
    // when the membership is given an end
    let shorten = |all: &mut crate::world::Organisation| {
        all.accounts.get_mut("ana").unwrap().roles.insert("engineer".into(), Some(ten_past.into()));
    };
    assert!(kinds(&world.change_directory(shorten).unwrap()).contains(&"grant-shortened"));
    // then the comparison alone ends it
    let shortened = world.grant_of(live).unwrap();
    assert_eq!(shortened.end, at(ten_past));
    assert!(matches!(shortened.end_because, EndBecause::MembershipEnds { .. }));
    // and when the end is taken back, what was shortened stays so
    world.change_directory(|all| all.join("ana", "engineer")).unwrap();
    assert_eq!(world.state.grants().get(&grant).unwrap().end, at(ten_past));
    world.pass("10m");
    assert!(!world.may("ana", "db.read", DB));
    world.tick();
    assert_eq!(world.grant_phase(live), "ENDED");
}

#[test]
fn an_attestation_that_is_corrected_to_an_earlier_day_shortens_the_grant() {
    let mut world = World::new();
    let (live, _) = world.granted();
    world
        .change_directory(|all| {
            let attested = "2026-05-26T12:05:00Z".to_owned();
            all.people.get_mut("ana").unwrap().attestations.insert("dba".into(), attested);
        })
        .unwrap();
    assert_eq!(world.grant_of(live).unwrap().end, at("2026-11-22T12:05:00Z"));
}

#[test]
fn a_validity_that_policy_shortens_ends_what_rests_on_it() {
    let mut world = World::new();
    world.pass("2h");
    let (live, _) = world.granted();
    let events = world.propose_policy("valid_for = \"180d\"", "valid_for = \"8m\"").unwrap();
    assert!(kinds(&events).contains(&"grant-revoked"));
    assert_eq!(because(&world, live), Revocation::NotEligible { reason: Reason::RequirementLapsed });
}

#[test]
fn a_lapse_cancels_what_is_pending_when_its_time_comes() {
    let mut world = World::new();
    world
        .change_directory(|all| {
            let attested = "2026-05-26T12:05:00Z".to_owned();
            all.people.get_mut("ana").unwrap().attestations.insert("dba".into(), attested);
            let until = Some("2026-11-22T12:07:00Z".to_owned());
            all.accounts.get_mut("dan").unwrap().roles.insert("engineer".into(), until);
            all.accounts.get_mut("ben").unwrap().until = Some("2026-11-22T12:09:00Z".into());
        })
        .unwrap();
    let of_ana = Ask::repair().by("ana", &mut world).unwrap();
    let of_dan = Ask::repair().by("dan", &mut world).unwrap();
    assert_eq!(kinds(&world.pass_and_tick("5m")), ["requirement-lapsed", "account-recorded", "elevation-cancelled"]);
    assert_eq!(world.phase(of_ana), "CANCELLED");
    assert_eq!(kinds(&world.pass_and_tick("2m")), ["membership-ended", "elevation-cancelled"]);
    assert_eq!(world.phase(of_dan), "CANCELLED");
    assert_eq!(kinds(&world.pass_and_tick("2m")), ["account-ended"]);
}

#[test]
fn a_lapse_of_an_approver_strikes_the_approval_out() {
    let mut world = World::new();
    world
        .change_directory(|all| {
            let attested = "2025-11-22T12:05:00Z".to_owned();
            all.people.get_mut("sam").unwrap().attestations.insert("training".into(), attested);
        })
        .unwrap();
    let id = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("sam", id).unwrap();
    assert_eq!(kinds(&world.pass_and_tick("5m")), ["requirement-lapsed", "account-recorded", "approval-struck"]);
    assert_eq!(world.elevation(id).review.approvals().count(), 0);
}

#[test]
fn a_new_manager_voids_the_approval_of_the_old_one() {
    let mut world = World::new();
    let id = Ask::managed().starting(at(NOON).plus(span("1h"))).lasting("30m").by("ana", &mut world).unwrap();
    world.approve("ines", id).unwrap();
    assert_eq!(world.grant_phase(id), "SCHEDULED");
    world.change_directory(|all| all.people.get_mut("ana").unwrap().manager = Some("omar".into())).unwrap();
    assert!(matches!(because(&world, id), Revocation::ApprovalVoid { .. }));
}

#[test]
fn changed_terms_cancel_what_is_pending_and_revoke_what_has_not_started() {
    let mut world = World::new();
    let scheduled = Ask::maintenance().starting(at(NOON).plus(span("1h"))).by("ana", &mut world).unwrap();
    world.approve("ben", scheduled).unwrap();
    let pending = Ask::maintenance().by("ana", &mut world).unwrap();
    let other = Ask::repair().by("ana", &mut world).unwrap();
    world.propose_policy("max_duration = \"2h\"", "max_duration = \"3h\"").unwrap();
    assert_eq!(because(&world, scheduled), Revocation::TermsChanged);
    assert_eq!((world.phase(pending), world.phase(other)), ("CANCELLED", "PENDING"));
}

#[test]
fn title_and_description_are_no_terms() {
    let mut world = World::new();
    let pending = Ask::repair().by("ana", &mut world).unwrap();
    world.propose_policy("Repair the orders database", "Mend the orders database").unwrap();
    assert_eq!(world.phase(pending), "PENDING");
    world.approve("ben", pending).unwrap();
}

#[test]
fn a_started_grant_outlives_changed_terms_that_still_cover_it_and_no_others() {
    let mut world = World::new();
    let (live, _) = world.granted();
    // still covered: longer, other approvers
    world.propose_policy("max_duration = \"1h\"\nmax_continuous", "max_duration = \"30m\"\nmax_continuous").unwrap();
    assert_eq!(world.grant_phase(live), "ACTIVE");
    assert!(world.may("ana", "db.read", DB));
    // no longer: its resources
    world.propose_policy("prod/*/db/orders/**", "prod/us/db/orders/**").unwrap();
    assert_eq!(because(&world, live), Revocation::TermsChanged);
    // no longer: an action
    let mut world = World::new();
    let (live, _) = world.granted();
    world.propose_policy("actions = [\"db.read\", \"db.write\"]", "actions = [\"db.read\"]").unwrap();
    assert_eq!(because(&world, live), Revocation::TermsChanged);
    // no longer: the holder's role
    let mut world = World::new();
    let (live, _) = world.granted();
    world
        .propose_policy(
            "requestable_by = [\"engineer\"]\ndefault_duration",
            "requestable_by = [\"auditor\"]\ndefault_duration",
        )
        .unwrap();
    assert_eq!(because(&world, live), Revocation::NotEligible { reason: Reason::NotInRole });
}

#[test]
fn what_is_over_is_not_revoked_but_ended() {
    let mut world = World::new();
    let (live, _) = world.granted();
    world.pass("15m");
    world.change_directory(|all| all.remove_person("ana")).unwrap();
    world.tick();
    assert_eq!(world.grant_phase(live), "ENDED");
}
