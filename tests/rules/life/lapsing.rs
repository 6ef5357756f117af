//! Keeping an account and a role: lapses, warnings, restoring, attestations (issue 3, part 3; known failure B3).

use countersign::domain::decide::tick::next_due;
use countersign::domain::directory::{AccountState, Disabling};
use countersign::domain::effect::life::{Lapsing, lapses_ahead};
use countersign::domain::record::event::{Fact, LifeFact};
use countersign::domain::record::grant::EndBecause;
use countersign::domain::value::refusal::Reason;

use crate::support::life::{
    account, attest, attest_now, correct, granted_for, hr, leaves, membership, moves, noon, person, world,
};
use crate::world::enrolments::{a_role, an_account, restore};
use crate::world::{Ask, KEEP, assert_refused, kinds, span};

#[test]
fn a_lapsed_baseline_requirement_disables_the_account_by_itself() {
    // given ana, whose training lapses after 365 days, and a role without an end of its own
    let mut world = world();
    world.enrolled("ana", a_role("reader"), &["ines"]);
    world.pass("364d");
    world.tick();
    assert_eq!(account(&world, "ana").state, AccountState::Active);
    // when its time comes, without anybody's call
    world.pass_and_tick("1d");
    // then the account is disabled, says why, and its memberships stay, unusable
    let AccountState::Disabled { reason, because } = &account(&world, "ana").state else { panic!("it is disabled") };
    assert_eq!((reason.contains("training"), *because), (true, Disabling::Lapse));
    assert!(membership(&world, "ana", "reader").suspended.is_some());
    assert_eq!(account(&world, "ana-lab").state.clone(), account(&world, "ana").state);
    assert_refused(Ask::repair().by("ana", &mut world), Reason::AccountDisabled);
}

#[test]
fn with_no_timer_running_what_lapsed_is_over_all_the_same() {
    let mut world = world();
    correct(&mut world, "trainer", ("ana", "dba"), Some(noon().minus(span("170d")))).unwrap();
    world.pass("10d");
    // her `dba` has lapsed, and nobody has recorded it
    let refusal = Ask::repair().by("ana", &mut world).unwrap_err();
    assert!([Reason::RequirementLapsed, Reason::NotInRole].contains(&refusal.reason), "{refusal}");
    // and renewing it restores nothing either: what was due is recorded first
    attest_now(&mut world, "trainer", ("ana", "dba")).unwrap();
    assert!(membership(&world, "ana", "engineer").suspended.is_some());
    assert!(Ask::repair().by("ana", &mut world).is_err());
}

#[test]
fn a_roles_own_requirement_makes_its_members_ineligible_in_that_role_alone() {
    let mut world = world();
    world.enrolled("ana", a_role("reader"), &["ines"]);
    correct(&mut world, "trainer", ("ana", "dba"), Some(noon().minus(span("179d")))).unwrap();
    world.pass_and_tick("1d");
    assert_eq!(account(&world, "ana").state, AccountState::Active);
    assert!(membership(&world, "ana", "engineer").suspended.is_some());
    assert!(membership(&world, "ana", "reader").suspended.is_none());
    assert!(Ask::repair().by("ana", &mut world).is_err());
}

#[test]
fn a_lapse_is_told_thirty_seven_and_one_days_ahead() {
    let mut world = world();
    let mut told = Vec::new();
    for _ in 0..179 {
        for event in world.pass_and_tick("1d") {
            if let Fact::Life(LifeFact::LapseAhead(fact)) = &event.fact
                && (fact.person.as_str(), fact.requirement.as_str()) == ("ana", "dba")
            {
                told.push(fact.days);
                assert_eq!(fact.lapses_at, noon().plus(span("180d")));
            }
        }
    }
    assert_eq!(told, [30, 7, 1]);
    // and whoever asks is told what comes, the next first
    let ahead = lapses_ahead(world.state.organisation(), &"ana".parse().unwrap(), world.now());
    assert!(ahead.iter().any(|it| it.what == Lapsing::Requirement("dba".parse().unwrap())), "{ahead:?}");
    assert!(ahead.is_sorted());
}

#[test]
fn a_renewed_attestation_and_an_approved_enrolment_restore_what_lapsed() {
    // given ana, whose training alone lapses
    let mut world = world();
    world.enrolled("ana", a_role("reader"), &["ines"]);
    correct(&mut world, "trainer", ("ana", "training"), Some(noon().minus(span("364d")))).unwrap();
    world.pass_and_tick("1d");
    assert!(matches!(account(&world, "ana").state, AccountState::Disabled { because: Disabling::Lapse, .. }));
    // when it is renewed and her manager approves the restoration, within 90 days
    world.pass_and_tick("30d");
    assert_refused(world.enrol("ana", restore()), Reason::RequirementLapsed);
    attest_now(&mut world, "trainer", ("ana", "training")).unwrap();
    assert!(matches!(account(&world, "ana").state, AccountState::Disabled { .. }), "that alone restores nothing");
    let id = world.enrol("ana", restore()).unwrap();
    assert_refused(world.approve_enrolment("odo", id), Reason::NotFound);
    world.approve_enrolment("ines", id).unwrap();
    // then all is as before
    assert_eq!(account(&world, "ana").state, AccountState::Active);
    assert!(membership(&world, "ana", "reader").suspended.is_none());
    assert!(Ask::repair().by("ana", &mut world).is_ok());
    assert_refused(world.enrol("ana", restore()), Reason::NothingToRestore);
}

#[test]
fn after_ninety_days_a_suspended_membership_is_over() {
    let mut world = world();
    world.enrolled("ana", a_role("reader"), &["ines"]);
    correct(&mut world, "trainer", ("ana", "training"), Some(noon().minus(span("364d")))).unwrap();
    world.pass_and_tick("1d");
    world.pass("90d");
    // by comparison, before any timer
    assert!(membership(&world, "ana", "reader").ends_at().is_over(world.now().latest));
    world.tick();
    attest_now(&mut world, "trainer", ("ana", "training")).unwrap();
    let id = world.enrol("ana", restore()).unwrap();
    world.approve_enrolment("ines", id).unwrap();
    // then the account alone returns
    assert_eq!(account(&world, "ana").state, AccountState::Active);
    assert!(
        world
            .state
            .organisation()
            .eligible_in(&"ana".parse().unwrap(), &"reader".parse().unwrap(), world.now().latest)
            .is_err()
    );
    assert!(Ask::repair().by("ana", &mut world).is_err());
}

#[test]
fn a_grant_never_outlasts_a_lapse_and_a_correction_cuts_it() {
    // given a grant of an hour
    let mut world = world();
    let id = granted_for(&mut world, "1h");
    // when it turns out that her `dba` was of 180 days ago, less ten minutes
    let met = noon().minus(span("180d")).plus(span("10m"));
    let events = correct(&mut world, "trainer", ("ana", "dba"), Some(met)).unwrap();
    // then the grant ends with it, in the same batch
    assert!(kinds(&events).contains(&"grant-shortened"), "{:?}", kinds(&events));
    let grant = world.grant_of(id).unwrap();
    assert_eq!(grant.end, noon().plus(span("10m")));
    assert!(matches!(grant.end_because, EndBecause::RequirementLapses { .. }));
    world.pass("10m");
    assert!(!world.may("ana", "db.write", "prod/eu/db/orders/primary"));
    // and one taken back ends it at once
    let mut other = crate::support::life::world();
    let id = granted_for(&mut other, "1h");
    correct(&mut other, "trainer", ("ana", "dba"), None).unwrap();
    assert_eq!(other.grant_phase(id), "REVOKED");
    assert!(membership(&other, "ana", "engineer").suspended.is_some());
}

#[test]
fn each_source_attests_its_own_requirements_up_to_now_and_not_for_itself() {
    let mut world = world();
    world.pass("1h");
    let now = world.now().stamp;
    assert_refused(attest(&mut world, "trainer", ("ana", "screening"), now), Reason::CapabilityMissing);
    assert_refused(attest(&mut world, "ana", ("dan", "dba"), now), Reason::CapabilityMissing);
    assert_refused(attest(&mut world, "trainer", ("ana", "dba"), now.plus(span("1s"))), Reason::AttestationInvalid);
    assert_refused(attest(&mut world, "trainer", ("ana", "dba"), noon()), Reason::AttestationInvalid);
    assert_refused(attest(&mut world, "trainer", ("nobody", "dba"), now), Reason::PersonUnknown);
    // noa owns the machine that attests
    assert_refused(attest(&mut world, "trainer", ("noa", "dba"), now), Reason::OwnStanding);
    assert_refused(correct(&mut world, "trainer", ("noa", "training"), Some(now)), Reason::OwnStanding);
    correct(&mut world, "trainer", ("noa", "training"), Some(noon().minus(span("1d")))).unwrap();
    assert_refused(
        correct(&mut world, "trainer", ("pia", "training"), Some(now.plus(span("1d")))),
        Reason::AttestationInvalid,
    );
    // who recorded it is on record
    attest(&mut world, "trainer", ("ana", "dba"), now).unwrap();
    assert_eq!(person(&world, "ana").attested_by["dba"].to_string(), "account:trainer");
}

#[test]
fn what_is_corrected_away_may_be_the_baseline_of_who_has_no_account() {
    let mut world = world();
    let id = world.enrol("pia", an_account()).unwrap();
    correct(&mut world, "trainer", ("pia", "training"), None).unwrap();
    assert_eq!(world.enrolment(id).phase.name(), "CANCELLED");
}

#[test]
fn a_policy_that_shortens_a_validity_disables_by_itself_whom_it_makes_lapse() {
    // given ana, whose training is of 300 days ago
    let mut world = world();
    correct(&mut world, "trainer", ("ana", "training"), Some(noon().minus(span("300d")))).unwrap();
    // when it is valid for 100 days only
    world.propose_policy("valid_for = \"365d\"", "valid_for = \"100d\"").unwrap();
    assert!(Ask::repair().by("ana", &mut world).is_err(), "by comparison at once");
    let told = world.tick();
    // then the broker records it without anybody's call, once
    let lapsed = |event: &&countersign::domain::record::event::Event| matches!(&event.fact, Fact::Life(LifeFact::RequirementLapsed(it)) if it.person.as_str() == "ana");
    assert_eq!(told.iter().filter(lapsed).count(), 1);
    assert!(matches!(account(&world, "ana").state, AccountState::Disabled { because: Disabling::Lapse, .. }));
    assert_eq!(account(&world, "dan").state, AccountState::Active);
    // and a renewed attestation alone restores nothing
    world.pass("1m");
    attest_now(&mut world, "trainer", ("ana", "training")).unwrap();
    assert!(matches!(account(&world, "ana").state, AccountState::Disabled { .. }));
}

#[test]
fn a_lapse_is_recorded_once_however_often_the_person_is_looked_at() {
    // given ana, with a membership that ended before her training lapsed
    let mut world = world();
    let short = countersign::domain::record::command::EnrolmentAsk::Role {
        account: None,
        role: "reader".parse().unwrap(),
        until: Some(noon().plus(span("1d"))),
    };
    world.enrolled("ana", short, &["ines"]);
    correct(&mut world, "trainer", ("ana", "training"), Some(noon().minus(span("363d")))).unwrap();
    world.pass_and_tick("3d");
    // when something else of hers is attested
    world.pass("1m");
    attest_now(&mut world, "trainer", ("ana", "dba")).unwrap();
    world.pass("1m");
    attest_now(&mut world, "trainer", ("ana", "dba")).unwrap();
    let lapsed = world.events.iter().filter(|event| {
        matches!(&event.fact, Fact::Life(LifeFact::RequirementLapsed(it)) if it.person.as_str() == "ana" && it.requirement.as_str() == "training")
    });
    assert_eq!(lapsed.count(), 1);
}

#[test]
fn after_every_tick_nothing_is_due_any_more() {
    // given much that falls due, and timers that were off for a long while
    let mut world = world();
    world.enrolled("ana", a_role("reader"), &["ines"]);
    world.enrolled("dan", a_role("reader"), &["ines"]);
    hr(&mut world, vec![moves("dan", Some("whoever"), noon().plus(span("100d")))]).unwrap();
    hr(&mut world, vec![leaves("cleo", noon().plus(span("150d")))]).unwrap();
    for _ in 0..6 {
        world.pass("97d");
        // the wall clock runs a little ahead of the stamp
        world.wall_off_by = 1_500;
        world.tick();
        let due = next_due(&world.state, KEEP);
        assert!(due.is_none_or(|at| !at.is_over(world.now().latest)), "{due:?} at {:?}", world.now());
    }
}

#[test]
fn what_is_disabled_otherwise_stays_so_and_only_accounts_of_the_service_team_hang_on_the_baseline() {
    let mut world = world();
    world.change_directory(|all| all.accounts.get_mut("ana-lab").unwrap().disabled = Some("away".into())).unwrap();
    let before = account(&world, "ana-lab").state.clone();
    correct(&mut world, "trainer", ("ana", "training"), Some(noon().minus(span("364d")))).unwrap();
    correct(&mut world, "trainer", ("odo", "training"), Some(noon().minus(span("364d")))).unwrap();
    world.pass_and_tick("1d");
    assert_eq!(account(&world, "ana-lab").state, before);
    // odo's machines are not disabled, and cannot be used while odo has lapsed
    assert_eq!(account(&world, "bot").state, AccountState::Active);
    assert_refused(Ask::deploy().by("bot", &mut world), Reason::RequirementLapsed);
    attest_now(&mut world, "trainer", ("odo", "training")).unwrap();
    Ask::deploy().by("bot", &mut world).unwrap();
}

#[test]
fn a_grant_issued_before_a_lapse_ends_with_it_with_no_timer_running() {
    let mut world = world();
    correct(&mut world, "trainer", ("ana", "dba"), Some(noon().minus(span("180d")).plus(span("20m")))).unwrap();
    let id = granted_for(&mut world, "1h");
    let end = noon().plus(span("20m"));
    assert_eq!(world.grant_of(id).unwrap().end, end);
    let lapses = EndBecause::RequirementLapses { person: "ana".parse().unwrap(), requirement: "dba".parse().unwrap() };
    assert_eq!(world.grant_of(id).unwrap().end_because, lapses);
    // a renewed attestation does not lengthen what is held: an end never moves later
    attest_now(&mut world, "trainer", ("ana", "dba")).unwrap();
    assert_eq!(world.grant_of(id).unwrap().end, end);
    world.at = end;
    assert!(!world.may("ana", "db.write", "prod/eu/db/orders/primary"));
}
