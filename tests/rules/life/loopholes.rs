//! Ways around the rules of the life of an account that a reader might try (known failures A3, B1, B2, B4 and B5): each is shut.

use countersign::domain::directory::AccountState;
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::record::hr::HrChange;
use countersign::domain::rule::visibility::{Thing, may_see, viewer};
use countersign::domain::value::refusal::Reason;

use crate::support::feed::{decide, hold};
use crate::support::life::{
    account, attest_now, event, granted_for, hr, joins, leaves, leaves_at_once, membership, moves, noon, organisation,
    person, policy, world,
};
use crate::support::records::{change_account, touch};
use crate::world::enrolments::{a_role, keep, restore, take_over};
use crate::world::{Ask, World, assert_refused, identity, kinds, span};

fn suspect_leaves(person: &str) -> countersign::domain::record::hr::HrEvent {
    let at = countersign::domain::value::time::Timestamp::MAX;
    event(person, HrChange::Left { at, urgent: true, also_approved: true })
}

#[test]
fn what_somebody_approved_is_revoked_though_they_left_before_it_was_asked() {
    // given a grant of ana's that ben approved, and ben, who left as others do
    for tick in [true, false] {
        let mut world = world();
        let id = granted_for(&mut world, "1h");
        hr(&mut world, vec![leaves("ben", noon().plus(span("10m")))]).unwrap();
        world.pass("20m");
        if tick {
            world.tick();
        }
        assert_eq!(world.grant_phase(id), "ACTIVE");
        // when HR says afterwards that they are a suspect, with their leaving recorded or only a comparison
        hr(&mut world, vec![suspect_leaves("ben")]).unwrap();
        let because = Revocation::ApproverLeft { person: "ben".parse().unwrap() };
        assert_eq!(world.grant_of(id).unwrap().phase, GrantPhase::Revoked { at: world.at, because });
    }
}

#[test]
fn a_file_that_renews_what_lapsed_restores_nothing_with_no_timer_running() {
    // given ana, whose training lapsed, which no timer has recorded
    let lapsing = |all: &mut crate::world::Organisation, met_at: String| {
        all.people.get_mut("ana").unwrap().attestations.insert("training".into(), met_at);
    };
    let mut all = organisation();
    lapsing(&mut all, noon().minus(span("364d")).to_string());
    let mut world = World::of(&policy(), all).unwrap();
    world.pass("2d");
    // when a file has a later attestation, then the lapse is recorded all the same
    let met_at = world.at.to_string();
    world.change_directory(|all| lapsing(all, met_at)).unwrap();
    assert!(matches!(account(&world, "ana").state, AccountState::Disabled { .. }));
    assert_refused(Ask::repair().by("ana", &mut world), Reason::AccountDisabled);
    // and the manager restores
    world.enrolled("ana", restore(), &["ines"]);
    Ask::repair().by("ana", &mut world).unwrap();
}

#[test]
fn a_policy_that_lets_requirements_last_longer_restores_nothing_with_no_timer_running() {
    let mut all = organisation();
    all.people.get_mut("ana").unwrap().attestations.insert("dba".into(), noon().minus(span("179d")).to_string());
    let mut world = World::of(&policy(), all).unwrap();
    world.pass("2d");
    assert_refused(Ask::repair().by("ana", &mut world), Reason::RequirementLapsed);
    let events = world.propose_policy("valid_for = \"180d\"", "valid_for = \"400d\"").unwrap();
    assert_eq!(kinds(&events), ["policy-loaded", "account-recorded"]);
    assert!(membership(&world, "ana", "engineer").suspended.is_some());
    assert_refused(Ask::repair().by("ana", &mut world), Reason::NotEligible);
    // and when it lapses by that one is due in its time
    world.enrolled("ana", restore(), &["ines"]);
    assert!(Ask::repair().by("ana", &mut world).is_ok());
    assert!(kinds(&world.pass_and_tick("220d")).contains(&"requirement-lapsed"));
}

#[test]
fn whoever_owned_a_machine_in_between_does_not_approve_what_it_asked_for_before() {
    // given what a machine asked for under odo, whom omar manages
    let mut world = world();
    let id = Ask::managed().by("bot", &mut world).unwrap();
    // when omar takes it over, and ana takes it over from omar
    world.enrolled("omar", take_over("bot"), &["noa"]);
    assert_refused(world.approve("omar", id), Reason::SelfApproval);
    world.enrolled("ana", take_over("bot"), &["ines"]);
    // then none of the three decides
    for who in ["omar", "odo", "ana"] {
        assert_refused(world.approve(who, id), Reason::SelfApproval);
    }
}

#[test]
fn what_a_machine_asked_for_under_an_owner_who_left_goes_though_the_machine_stays() {
    // given a grant of odo's machine, a scheduled one and a request, and ana, who takes it over
    let mut world = world();
    let live = Ask::deploy().by("bot", &mut world).unwrap();
    world.approve("ben", live).unwrap();
    let scheduled = Ask::managed().starting(noon().plus(span("2h"))).by("bot", &mut world).unwrap();
    world.approve("omar", scheduled).unwrap();
    let pending = Ask::managed().by("bot", &mut world).unwrap();
    world.enrolled("ana", take_over("bot"), &["ines"]);
    assert_eq!((world.grant_phase(live), world.phase(pending)), ("ACTIVE", "PENDING"));
    // when odo is to leave, then it ends by that, with no timer running, and it goes when odo does
    let mut announced = world.clone();
    hr(&mut announced, vec![leaves("odo", noon().plus(span("1m")))]).unwrap();
    announced.pass("1m");
    assert!(!announced.may("bot", "deploy.run", "prod/eu/apps/orders"));
    hr(&mut world, vec![leaves_at_once("odo")]).unwrap();
    assert_eq!((world.grant_phase(live), world.grant_phase(scheduled)), ("REVOKED", "REVOKED"));
    assert_eq!(world.phase(pending), "CANCELLED");
    // and the machine asks on, as hers
    assert_eq!(account(&world, "bot").state, AccountState::Active);
    Ask::managed().by("bot", &mut world).unwrap();
}

#[test]
fn another_name_is_that_of_the_account_in_use_and_no_old_one_stays() {
    // given ana, with an account that a file shut, before her own by its name, and a login beside it
    let mut world = world();
    change_account(&mut world, "ana", |ana| {
        ana.state = AccountState::Disabled { reason: "gone".into(), because: Default::default() };
        ana.identities.clear();
    });
    touch(&mut world, "ana", |ana| ana.login = [identity("ana-old").parse().unwrap()].into());
    // when she is known by something else
    let login = [identity("ana-new").parse().unwrap()].into();
    hr(&mut world, vec![event("ana", HrChange::Renamed { login })]).unwrap();
    // then her account in use is, and nothing of before names her
    assert_eq!(account(&world, "ana-lab").identities, [identity("ana-new").parse().unwrap()].into());
    assert!(account(&world, "ana").identities.is_empty());
    for old in ["ana-old", "ana-lab"] {
        assert!(viewer(world.state.organisation(), &identity(old).parse().unwrap()).is_err(), "{old}");
    }
}

#[test]
fn scheduled_grants_of_a_machine_go_with_its_owner() {
    let mut world = world();
    let ask = Ask::managed().starting(noon().plus(span("2h")));
    let id = ask.by("bot", &mut world).unwrap();
    world.approve("omar", id).unwrap();
    assert_eq!(world.grant_phase(id), "SCHEDULED");
    // by a leaving that is announced it ends before it would start, whatever is recorded
    let mut announced = world.clone();
    hr(&mut announced, vec![leaves("odo", noon().plus(span("1h")))]).unwrap();
    for passed in ["1h", "1h"] {
        announced.pass_and_tick(passed);
        assert!(!announced.may("bot", "report.read", "reports/2026"));
    }
    assert_eq!(announced.grant_phase(id), "ENDED");
    hr(&mut world, vec![leaves_at_once("odo")]).unwrap();
    assert_eq!(world.grant_phase(id), "REVOKED");
}

#[test]
fn who_was_the_manager_or_worked_here_sees_no_more_with_no_timer_running() {
    let mut world = world();
    let at = noon().plus(span("1d"));
    hr(&mut world, vec![moves("ana", Some("odo"), at), leaves("ben", at)]).unwrap();
    let sees = |world: &World, who: &str, thing: Thing<'_>| {
        let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
        may_see(&world.state, &viewer, thing, world.now())
    };
    let (ana, ben) = ("ana".parse().unwrap(), "ben".parse().unwrap());
    let all = |world: &World| {
        let of_ana =
            |who| sees(world, who, Thing::Person(&ana)) && sees(world, who, Thing::Account(&"ana".parse().unwrap()));
        (of_ana("ines"), of_ana("odo"), sees(world, "ben", Thing::Person(&ben)))
    };
    assert_eq!(all(&world), (true, false, true));
    world.pass("1d");
    assert_eq!(all(&world), (false, true, false));
}

#[test]
fn who_waits_for_a_manager_who_waits_is_let_through_after_that_one() {
    // given mia, whom the brake holds with three others, and nia, who is to report to her
    let mut world = world();
    let many = ["mia", "m1", "m2", "m3"].map(|name| joins(name, Some("ines")));
    hr(&mut world, many.to_vec()).unwrap();
    let first = hold(&world);
    hr(&mut world, vec![joins("nia", Some("mia"))]).unwrap();
    hr(&mut world, vec![moves("ana", Some("mia"), noon())]).unwrap();
    let held: Vec<_> = world.state.holds().values().filter(|it| it.id != first.id).cloned().collect();
    assert_eq!(held.len(), 2);
    // when the later ones would be let through first, then they have to wait, lest they came to nothing
    for later in &held {
        let refusal = assert_refused(decide(&mut world, "noa", later, true), Reason::Held);
        assert_eq!(refusal.facts["hold"], first.id.to_string());
    }
    for it in [&first].into_iter().chain(&held) {
        decide(&mut world, "noa", it, true).unwrap();
    }
    for who in ["nia", "ana"] {
        assert_eq!(person(&world, who).manager.as_ref().unwrap().as_str(), "mia");
    }
}

#[test]
fn who_comes_back_under_whom_they_managed_is_let_through() {
    // given ines, who managed rex and left, and comes back under rex, with three others, so that the brake holds it
    let mut world = world();
    let now = world.at;
    hr(&mut world, vec![moves("rex", Some("ines"), now), leaves_at_once("ines")]).unwrap();
    world.pass("25h");
    let many = ["ines", "m1", "m2", "m3"].map(|name| joins(name, Some("rex")));
    hr(&mut world, many.to_vec()).unwrap();
    let held = hold(&world);
    decide(&mut world, "noa", &held, true).unwrap();
    assert_eq!(person(&world, "ines").manager.as_ref().unwrap().as_str(), "rex");
    assert_eq!(person(&world, "rex").manager, None);
}

#[test]
fn two_transfers_to_come_take_effect_each_at_its_time() {
    // given ana, who moves to odo in five days and to rex in ten
    let day = |days: u32| if days == 0 { noon() } else { noon().plus(span(&format!("{days}d"))) };
    for tick in [true, false] {
        let mut world = world();
        hr(&mut world, vec![moves("ana", Some("rex"), day(10)), moves("ana", Some("odo"), day(5))]).unwrap();
        let manager = |world: &World| {
            let found = world.state.organisation().manager_of(&"ana".parse().unwrap(), world.now().latest);
            found.unwrap().to_string()
        };
        for (days, who) in [(0, "ines"), (5, "odo"), (10, "rex")] {
            world.at = day(days);
            if tick {
                world.tick();
            }
            assert_eq!(manager(&world), who, "{days}");
        }
        // and what is held ends with the first grace
        assert_eq!(membership(&world, "ana", "engineer").until, Some(day(19)));
    }
}

#[test]
fn keeping_rests_on_the_manager_of_the_last_approval() {
    // given ana, whose role odo would keep, and who moves on before odo says so
    let mut world = world();
    hr(&mut world, vec![moves("ana", Some("odo"), noon())]).unwrap();
    let id = world.enrol("ana", keep("engineer")).unwrap();
    hr(&mut world, vec![moves("ana", Some("rex"), noon().plus(span("1h")))]).unwrap();
    assert!(world.approve_enrolment("odo", id).is_err());
    world.pass("1h");
    for who in ["odo", "rex", "ines"] {
        assert!(world.approve_enrolment(who, id).is_err(), "{who}");
    }
    assert_eq!(membership(&world, "ana", "engineer").until, Some(noon().plus(span("14d"))));
    // nor does a lapse in between change what is cut
    let later = world.enrol("ana", keep("engineer")).unwrap();
    crate::support::life::correct(&mut world, "trainer", ("ana", "dba"), None).unwrap();
    assert!(world.approve_enrolment("rex", later).is_err());
    attest_now(&mut world, "trainer", ("ana", "dba")).unwrap();
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NotEligible);
    world.enrolled("ana", restore(), &["rex"]);
    assert_eq!(membership(&world, "ana", "engineer").until, Some(noon().plus(span("14d"))));
}

#[test]
fn a_pending_request_for_a_role_is_no_way_around_a_restoration() {
    // given ana, who asked for a later end of her role before her training lapsed
    let mut world = world();
    let id = world.enrol("ana", a_role("reader")).unwrap();
    crate::support::life::correct(&mut world, "trainer", ("ana", "training"), None).unwrap();
    attest_now(&mut world, "trainer", ("ana", "training")).unwrap();
    assert_eq!(world.enrolment_phase(id), "CANCELLED");
    assert_refused(world.enrol("ana", a_role("reader")), Reason::AccountDisabled);
    // nor is another account of hers, or a machine
    assert_refused(world.enrol("ana-lab", a_role("reader")), Reason::AccountDisabled);
    assert_refused(world.enrol("ana", take_over("bot")), Reason::AccountDisabled);
}

#[test]
fn the_first_and_the_last_instant_there_are_move_no_end() {
    use countersign::domain::value::time::Timestamp;
    let mut world = world();
    let whole = membership(&world, "ana", "engineer").until;
    hr(&mut world, vec![moves("ana", Some("odo"), Timestamp::MAX), leaves("ana", Timestamp::MAX)]).unwrap();
    assert_eq!(membership(&world, "ana", "engineer").until, whole);
    let id = granted_for(&mut world, "1h");
    world.pass_and_tick("2h");
    assert_eq!((world.grant_phase(id), person(&world, "ana").employment), ("ENDED", Default::default()));
    // one from long ago has had its grace
    let first = Timestamp::from_millis(1).unwrap();
    hr(&mut world, vec![moves("dan", Some("odo"), first), leaves("ben", first)]).unwrap();
    assert_refused(Ask::repair().by("dan", &mut world), Reason::NotInRole);
    assert_refused(Ask::repair().by("ben", &mut world), Reason::AccountDisabled);
    assert_refused(world.enrol("dan", keep("engineer")), Reason::NothingToKeep);
}
