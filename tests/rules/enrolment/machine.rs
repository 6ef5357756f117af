//! Service accounts: made by an owner's enrolment, several a service, and taken over by another owner's (known failure B9).
//! Neither owner decides about what the machine asks.

use countersign::domain::directory::{AccountKind, AccountState, ActsFor};
use countersign::domain::policy::Approver;
use countersign::domain::record::command::EnrolmentAsk;
use countersign::domain::record::enrolment::EnrolmentCancellation;
use countersign::domain::record::review::Phase;
use countersign::domain::value::refusal::Reason;

use crate::enrolment::account::{changed_world, world};
use crate::support::records::{account, change_account, membership, person, touch};
use crate::world::enrolments::{a_machine, a_role, a_role_of, machine_with, take_over};
use crate::world::{Ask, NOON, assert_refused, at, identity, span};

#[test]
fn a_machine_is_made_by_its_owner_with_the_managers_and_the_role_owners_approval() {
    let mut world = world();
    let ask = machine_with("probe", &["pump", "sensor"], |machine| {
        machine.audience = ["prod/*/apps/orders".parse().unwrap()].into();
        machine.acts_for = ActsFor::People;
        machine.roles.insert("sensor".parse().unwrap(), Some(at(NOON).plus(span("1h"))));
    });
    let id = world.enrol("ana", ask).unwrap();
    let by: Vec<_> = world.enrolment(id).review.stages.iter().map(|it| (it.by.clone(), it.count)).collect();
    assert_eq!(by, [([Approver::Manager].into(), 1), ([Approver::RoleOwner].into(), 1)]);
    world.approve_enrolment("ines", id).unwrap();
    assert!(!world.state.organisation().accounts().contains_key("probe"));
    world.approve_enrolment("olga", id).unwrap();
    let made = account(&world, "probe");
    assert_eq!(made.kind, AccountKind::Service { owner: "ana".parse().unwrap(), acts_for: ActsFor::People });
    assert_eq!((made.state.clone(), made.audience.len()), (AccountState::Active, 1));
    assert_eq!(membership(&world, "probe", "sensor").until, Some(at(NOON).plus(span("1h"))));
    assert_eq!(membership(&world, "probe", "pump").approved.as_ref().unwrap().persons.len(), 2);
    assert!(person(&world, "ana").touched);
    // several of one owner, each by itself
    world.enrolled("ana", a_machine("probe-b", &[]), &["ines"]);
}

#[test]
fn a_machine_with_the_roles_of_several_owners_needs_each_of_them() {
    let mut world = world();
    world
        .propose_policy("[roles.sensor]\nfor = \"machines\"", "[roles.sensor]\nfor = \"machines\"\nowner = \"omar\"")
        .unwrap();
    let id = world.enrol("ana", a_machine("probe", &["pump", "sensor"])).unwrap();
    for who in ["ines", "olga"] {
        world.approve_enrolment(who, id).unwrap();
        assert_eq!(world.enrolment_phase(id), "PENDING");
    }
    world.approve_enrolment("omar", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "APPROVED");
}

#[test]
fn what_is_taken_or_wrong_of_a_machine_is_refused() {
    let mut world = world();
    assert_refused(world.enrol("ana", a_machine("bot", &[])), Reason::IdTaken);
    let ask = |identity: String| machine_with("probe", &[], |it| it.identities = [identity.parse().unwrap()].into());
    // an identity of an account, of a person without one, and of a tenant's trust domain
    for taken in [identity("dan"), identity("bot"), identity("pia"), "spiffe://acme.example/bot".to_owned()] {
        let refusal = assert_refused(world.enrol("ana", ask(taken.clone())), Reason::IdentityTaken);
        assert_eq!(refusal.facts["identity"], taken);
    }
    assert_refused(world.enrol("ana", machine_with("probe", &[], |it| it.identities.clear())), Reason::NotEligible);
    assert_refused(world.enrol("ana", a_machine("probe", &["reader"])), Reason::NotInRole);
    assert_refused(world.enrol("ana", a_machine("probe", &["nothing"])), Reason::NotFound);
    let tenants = machine_with("probe", &[], |it| it.audience = ["tenants/acme/db/**".parse().unwrap()].into());
    assert_refused(world.enrol("ana", tenants), Reason::OutOfScope);
    let long = machine_with("probe", &["sensor"], |it| {
        it.roles.insert("sensor".parse().unwrap(), Some(at(NOON)));
    });
    assert_refused(world.enrol("ana", long), Reason::MembershipTooLong);
}

#[test]
fn a_machine_needs_an_eligible_owner_and_the_owner_its_requirements() {
    let mut world = changed_world(|all| {
        all.people.get_mut("dan").unwrap().attestations.remove("screening");
        all.people.get_mut("ben").unwrap().attestations.remove("dba");
    });
    assert_refused(world.enrol("dan", a_machine("probe", &["sensor"])), Reason::NotEligible);
    let refusal = assert_refused(world.enrol("ben", a_machine("probe", &["pump"])), Reason::NotEligible);
    assert_eq!(refusal.facts["requirement"], "dba");
}

#[test]
fn no_machine_is_made_that_asks_for_what_its_owner_approves() {
    let mut world = world();
    let refusal = assert_refused(world.enrol("ben", a_machine("probe", &["robot"])), Reason::RoleConflict);
    assert_eq!(refusal.facts["entitlement"], "deploy");
}

#[test]
fn an_owner_asks_for_a_role_of_the_machine() {
    let mut world = world();
    // odo owns bot; nobody else asks for it
    assert_refused(world.enrol("ana", a_role_of("bot", "sensor")), Reason::NotFound);
    world.enrolled("odo", a_role_of("bot", "sensor"), &["omar"]);
    assert!(account(&world, "bot").roles.contains_key("sensor"));
    assert_refused(world.enrol("odo", a_role_of("bot", "reader")), Reason::NotInRole);
}

#[test]
fn a_machine_is_taken_over_with_the_new_managers_and_the_role_owners_approval() {
    let mut world = changed_world(|all| all.join("bot", "pump"));
    let id = world.enrol("ana", take_over("bot")).unwrap();
    let asked = world.enrolment(id);
    assert_eq!((asked.person.as_str(), asked.behind.len()), ("ana", 2));
    // neither of the two owners decides
    assert_refused(world.approve_enrolment("ana", id), Reason::SelfApproval);
    assert_refused(world.approve_enrolment("odo", id), Reason::SelfApproval);
    world.approve_enrolment("ines", id).unwrap();
    world.approve_enrolment("olga", id).unwrap();
    assert_eq!(account(&world, "bot").person().as_str(), "ana");
    assert!(account(&world, "bot").roles.contains_key("robot"), "it keeps what it had");
    assert_refused(world.enrol("ana", take_over("bot")), Reason::AlreadyThere);
}

#[test]
fn who_took_a_machine_over_does_not_close_with_the_owner_before() {
    let mut world = world();
    world.enrolled("ana", take_over("bot"), &["ines"]);
    touch(&mut world, "odo", |odo| odo.employed_until = Some(at("2026-11-22T13:00:00Z")));
    world.pass_and_tick("1h");
    assert_eq!(account(&world, "pipe").state, AccountState::Closed);
    assert_eq!(account(&world, "bot").state, AccountState::Active);
    assert!(Ask::managed().by("bot", &mut world).is_ok());
}

#[test]
fn what_cannot_be_taken_over() {
    let mut world = world();
    assert_refused(world.enrol("ana", take_over("dan")), Reason::NotFound);
    assert_refused(world.enrol("ana", take_over("nothing")), Reason::NotFound);
    assert_refused(world.enrol("odo", take_over("bot")), Reason::AlreadyThere);
    // the machine asks for deployments, which ben approves
    assert_refused(world.enrol("ben", take_over("bot")), Reason::RoleConflict);
    assert_refused(world.enrol("pia", take_over("bot")), Reason::NoAccount);
}

#[test]
fn a_new_owner_meets_what_the_machines_roles_require() {
    let mut world = changed_world(|all| {
        all.join("bot", "pump");
        all.people.get_mut("rex").unwrap().attestations.remove("dba");
    });
    let refusal = assert_refused(world.enrol("rex", take_over("bot")), Reason::NotEligible);
    assert_eq!(refusal.facts["requirement"], "dba");
}

#[test]
fn what_was_asked_for_a_machine_by_its_owner_before_is_cancelled_when_it_changes_hands() {
    let mut world = world();
    let role = world.enrol("odo", a_role_of("bot", "sensor")).unwrap();
    world.enrolled("ana", take_over("bot"), &["ines"]);
    let because = EnrolmentCancellation::NoLongerPossible { reason: Reason::NotOwner };
    assert!(matches!(&world.enrolment(role).phase, Phase::Cancelled { because: told, .. } if *told == because));
}

#[test]
fn a_machine_that_an_other_request_made_or_took_first_is_no_longer_possible() {
    let mut world = world();
    let of_ana = world.enrol("ana", a_machine("probe", &[])).unwrap();
    let of_dan = world.enrol("dan", a_machine("probe", &[])).unwrap();
    world.approve_enrolment("ines", of_ana).unwrap();
    let because = EnrolmentCancellation::NoLongerPossible { reason: Reason::IdTaken };
    assert!(matches!(&world.enrolment(of_dan).phase, Phase::Cancelled { because: told, .. } if *told == because));
    assert_eq!(account(&world, "probe").person().as_str(), "ana");
}

#[test]
fn a_machine_whose_owner_has_left_is_not_taken_over_though_no_timer_has_closed_it() {
    let mut world = world();
    let id = world.enrol("ana", take_over("bot")).unwrap();
    touch(&mut world, "odo", |odo| odo.employed_until = Some(at("2026-11-22T13:00:00Z")));
    world.pass("1h");
    assert_refused(world.approve_enrolment("ines", id), Reason::NotFound);
    assert_refused(world.enrol("dan", take_over("bot")), Reason::NotFound);
    world.tick();
    assert!(matches!(world.enrolment(id).phase, Phase::Cancelled { .. }));
    assert_eq!(account(&world, "bot").state, AccountState::Closed);
}

#[test]
fn what_a_lapse_of_the_owner_suspended_of_a_machine_the_owner_has_restored() {
    let mut world = changed_world(|all| {
        all.join("bot", "pump");
        let odo = &mut all.people.get_mut("odo").unwrap().attestations;
        odo.insert("dba".into(), "2026-05-26T12:10:00Z".into()); // 180 days before 12:10
    });
    world.pass_and_tick("10m");
    assert!(membership(&world, "bot", "pump").suspended.is_some());
    let now = world.at;
    touch(&mut world, "odo", |odo| {
        odo.attestations.insert("dba".parse().unwrap(), now);
    });
    let restore = || EnrolmentAsk::Restore { account: Some("bot".parse().unwrap()) };
    assert_refused(world.enrol("ana", restore()), Reason::NotFound);
    world.enrolled("odo", restore(), &["omar"]);
    assert_eq!(membership(&world, "bot", "pump").suspended, None);
}

#[test]
fn a_customer_owns_no_machine_and_gets_no_role_of_the_service_team() {
    let mut world = world();
    change_account(&mut world, "rex", |rex| {
        rex.kind = AccountKind::Customer { person: "rex".parse().unwrap(), tenant: "acme".parse().unwrap() };
        rex.roles.clear();
    });
    assert_refused(world.enrol("rex", a_machine("probe", &["sensor"])), Reason::NoAccount);
    assert_refused(world.enrol("rex", take_over("bot")), Reason::NoAccount);
    assert_refused(world.enrol("rex", a_role("reader")), Reason::NotInRole);
}

#[test]
fn the_text_names_the_audience_that_a_role_or_another_owner_would_switch_on() {
    // given a machine with an audience, of which a role would let it check a part
    let mut organisation = crate::world::Organisation::example();
    organisation.accounts.get_mut("bot").unwrap().audience = vec!["prod/*/db/**".into(), "stage/**".into()];
    let point = "[roles.robot]\nfor = \"machines\"\n[roles.point]\nfor = \"machines\"\n\
                 capabilities = [{ name = \"access.check\", resources = [\"prod/**\"] }]\n";
    let policy = crate::world::POLICY.replacen("[roles.robot]\nfor = \"machines\"\n", point, 1);
    let mut world = crate::world::World::of(&policy, organisation).unwrap();
    let audience = |world: &crate::world::World, id| {
        let text = &world.enrolment(id).review.text;
        text.lines().find(|line| line.starts_with("audience: ")).unwrap().to_owned()
    };
    // when it is asked for, then whoever approves it reads what it would check, and of another role that it is nothing
    let id = world.enrol("odo", a_role_of("bot", "point")).unwrap();
    assert_eq!(audience(&world, id), "audience: \"prod/*/db/**\"");
    let other = world.enrol("odo", a_role_of("pipe", "point")).unwrap();
    assert_eq!(audience(&world, other), "audience: \"\"");
    // another audience is another text: nobody approves what they have not read
    world.change_directory(|all| all.accounts.get_mut("bot").unwrap().audience = vec!["prod/**".into()]).unwrap();
    let Phase::Cancelled { because, .. } = &world.enrolment(id).phase else { panic!("it stands") };
    assert_eq!(*because, EnrolmentCancellation::TermsChanged);
    assert_eq!(world.enrolment_phase(other), "PENDING");
    let id = world.enrol("odo", a_role_of("bot", "point")).unwrap();
    assert_eq!(audience(&world, id), "audience: \"prod/**\"");
    world.approve_enrolment("omar", id).unwrap();
    // when somebody asks to own it, then whoever approves reads what comes with it
    let id = world.enrol("ana", take_over("bot")).unwrap();
    assert_eq!(audience(&world, id), "audience: \"prod/**\"");
    assert!(world.enrolment(id).review.text.contains("roles: \"point robot\"\n"));
}
