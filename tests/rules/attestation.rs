//! Attestations: recorded and corrected by capability, and what follows in the same batch (issue 3, part 3; known failure B3).

use countersign::domain::directory::{AccountState, Disabling};
use countersign::domain::record::command::{Command, RecordAttestation};
use countersign::domain::record::event::{Fact, LifeFact};
use countersign::domain::value::refusal::Reason;

use crate::support::life::{account, attest, attest_now, correct, granted_for, membership, noon, person, world};
use crate::world::{Ask, World, assert_refused, kinds, span};

/// The world in which `rex` may attest whatever policy asks for.
fn with_rex() -> World {
    let mut world = world();
    world
        .propose_policy(
            "[roles.revoker]\ncapabilities = [\"grant.revoke\"]",
            "[roles.revoker]\ncapabilities = [\"grant.revoke\", \"attestation.record\"]",
        )
        .unwrap();
    world
}

#[test]
fn what_is_recorded_says_who_when_and_by_what() {
    let mut world = world();
    world.pass("1h");
    let now = world.now().stamp;
    let events = attest(&mut world, "trainer", ("ana", "training"), now).unwrap();
    // the cause comes first, then the whole record
    assert_eq!(kinds(&events), ["attestation-recorded", "person-recorded"]);
    let Fact::Life(LifeFact::AttestationRecorded(fact)) = &events[0].fact else { panic!("an attestation") };
    assert_eq!((fact.met_at, fact.evidence.as_str()), (now, "course 7"));
    assert_eq!(person(&world, "ana").attestations["training"], now);
    assert!(person(&world, "ana").touched);
}

#[test]
fn a_capability_without_a_limit_attests_all_that_policy_asks_for_and_nothing_else() {
    let mut world = with_rex();
    world.pass("1h");
    for requirement in ["screening", "training", "dba"] {
        attest_now(&mut world, "rex", ("ana", requirement)).unwrap();
    }
    assert_refused(attest_now(&mut world, "rex", ("ana", "juggling")), Reason::AttestationInvalid);
    assert_refused(correct(&mut world, "rex", ("ana", "juggling"), None), Reason::AttestationInvalid);
}

#[test]
fn nobody_attests_for_themselves_from_whatever_account() {
    let mut world = with_rex();
    world.pass("1h");
    let now = world.now().stamp;
    assert_refused(attest(&mut world, "rex", ("rex", "training"), now), Reason::OwnStanding);
    assert_refused(correct(&mut world, "rex", ("rex", "training"), Some(now)), Reason::OwnStanding);
    // what takes away from oneself is open to everybody
    correct(&mut world, "rex", ("rex", "dba"), None).unwrap();
    // and what was taken away is not one's own to put back
    assert_refused(attest(&mut world, "rex", ("rex", "dba"), now), Reason::OwnStanding);
}

#[test]
fn what_is_not_later_is_a_correction_and_what_is_not_there_cannot_be_corrected() {
    let mut world = world();
    let refusal = assert_refused(attest(&mut world, "trainer", ("ana", "dba"), noon()), Reason::AttestationInvalid);
    assert_eq!(refusal.facts["present"], noon().to_string());
    correct(&mut world, "trainer", ("ana", "dba"), None).unwrap();
    assert_refused(correct(&mut world, "trainer", ("ana", "dba"), Some(noon())), Reason::AttestationInvalid);
    attest(&mut world, "trainer", ("ana", "dba"), noon().minus(span("1d"))).unwrap();
}

#[test]
fn what_was_met_so_long_ago_that_it_has_lapsed_lapses_in_the_same_batch() {
    let mut world = world();
    let live = granted_for(&mut world, "1h");
    let pending = Ask::critical().by("ana", &mut world).unwrap();
    let events = correct(&mut world, "trainer", ("ana", "training"), Some(noon().minus(span("365d")))).unwrap();
    assert_eq!(kinds(&events)[..3], ["attestation-corrected", "person-recorded", "requirement-lapsed"]);
    assert!(matches!(account(&world, "ana").state, AccountState::Disabled { because: Disabling::Lapse, .. }));
    assert_eq!((world.grant_phase(live), world.phase(pending)), ("REVOKED", "CANCELLED"));
    assert_eq!(membership(&world, "ana", "engineer").suspended, Some(noon()));
    // a correction of the correction restores nothing by itself either
    correct(&mut world, "trainer", ("ana", "training"), Some(noon())).unwrap();
    assert!(matches!(account(&world, "ana").state, AccountState::Disabled { .. }));
    assert!(membership(&world, "ana", "engineer").suspended.is_some());
}

#[test]
fn a_correction_reaches_the_machines_of_the_person_and_what_they_ask_for_others() {
    // given a grant of a machine on behalf of ana, and one of odo's machine
    let mut world = with_rex();
    let for_ana = Ask::deploy().on_behalf_of("ana").by("pipe", &mut world).unwrap();
    world.approve("ben", for_ana).unwrap();
    let of_odo = Ask::deploy().by("bot", &mut world).unwrap();
    world.approve("ben", of_odo).unwrap();
    correct(&mut world, "rex", ("ana", "screening"), None).unwrap();
    assert_eq!([world.grant_phase(for_ana), world.grant_phase(of_odo)], ["REVOKED", "ACTIVE"]);
    correct(&mut world, "rex", ("odo", "screening"), None).unwrap();
    assert_eq!(world.grant_phase(of_odo), "REVOKED");
}

#[test]
fn an_approver_whose_attestation_is_taken_back_has_not_approved() {
    let mut world = with_rex();
    let pending = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("ben", pending).unwrap();
    let scheduled = Ask::maintenance().starting(noon().plus(span("1h"))).by("ana", &mut world).unwrap();
    world.approve("ben", scheduled).unwrap();
    correct(&mut world, "rex", ("ben", "training"), None).unwrap();
    assert!(world.elevation(pending).review.approvals().next().is_none());
    assert_eq!(world.grant_phase(scheduled), "REVOKED");
}

#[test]
fn while_the_clock_is_suspect_nothing_is_attested_and_taking_back_goes_on() {
    let mut world = world();
    let live = granted_for(&mut world, "1h");
    world.wall_off_by = 3_600_000 * 24 * 365;
    let now = world.now().stamp;
    assert_refused(attest(&mut world, "trainer", ("dan", "dba"), now), Reason::ClockSuspect);
    assert_refused(correct(&mut world, "trainer", ("dan", "dba"), Some(now)), Reason::ClockSuspect);
    correct(&mut world, "trainer", ("ana", "dba"), None).unwrap();
    assert_eq!(world.grant_phase(live), "REVOKED");
    // nothing else has lapsed by the leap
    assert_eq!(account(&world, "ana").state, AccountState::Active);
}

#[test]
fn of_who_left_nothing_is_attested_nor_of_whom_only_a_comparison_says_so() {
    let mut world = world();
    let end = noon().plus(span("1h"));
    crate::support::life::hr(&mut world, vec![crate::support::life::leaves("ana", end)]).unwrap();
    world.at = end;
    assert_refused(attest_now(&mut world, "trainer", ("ana", "dba")), Reason::PersonUnknown);
    world.tick();
    assert_refused(attest_now(&mut world, "trainer", ("ana", "dba")), Reason::PersonUnknown);
}

#[test]
fn the_same_call_again_attests_once() {
    let mut world = world();
    world.pass("1h");
    let met_at = world.now().stamp;
    let command = Command::from(RecordAttestation {
        person: "ana".parse().unwrap(),
        requirement: "dba".parse().unwrap(),
        met_at,
        evidence: "course 7".into(),
    });
    let envelope = world.envelope("trainer", command);
    assert!(!world.execute(&envelope).unwrap().is_empty());
    assert_eq!(world.execute(&envelope), Ok(Vec::new()));
}
