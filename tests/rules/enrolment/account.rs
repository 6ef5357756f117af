//! Getting an account: by whoever is known and has none, with the baseline met, by approval of an authorized manager, and
//! never of oneself (known failure B6). What it gives is baseline, and no more.

use std::collections::BTreeSet;

use countersign::domain::directory::{AccountKind, AccountState, Person};
use countersign::domain::record::command::{EnrolmentAsk, RequestEnrolment};
use countersign::domain::record::enrolment::Ask as Asked;
use countersign::domain::rule::enrolling::draft_enrolment;
use countersign::domain::rule::visibility::{Thing, may_see, viewer};
use countersign::domain::value::ids::{EnrolmentId, Principal};
use countersign::domain::value::refusal::Reason;

use crate::support::records::{account, person, touch};
use crate::world::enrolments::{a_machine, a_role, an_account, restore, the_account};
use crate::world::{Ask, Organisation, POLICY, World, assert_refused, identity, kinds};

/// The example with training in the baseline, roles with owners and a longest membership, people who have no account yet,
/// and security duty in place of a missing manager.
pub(crate) fn policy() -> String {
    let baseline =
        "requires = [\"screening\", \"training\"]\nmanager_missing = [\"security\"]\ntransfer_grace = \"14d\"";
    let more = "[roles.reader]\n[roles.keeper]\nrequires = [\"dba\"]\nlongest_membership = \"90d\"\n\
                [roles.writer]\nowner = \"odo\"\nlongest_membership = \"30d\"\n\
                [roles.sensor]\nfor = \"machines\"\n[roles.pump]\nfor = \"machines\"\nowner = \"olga\"\nrequires = [\"dba\"]\n\
                [roles.engineer]";
    let policy = POLICY.replacen("requires = [\"screening\"]", baseline, 1);
    policy.replacen("[roles.engineer]", more, 1)
}

pub(crate) fn world() -> World {
    changed_world(|_| ())
}

pub(crate) fn changed_world(change: impl FnOnce(&mut Organisation)) -> World {
    let mut all = Organisation::example();
    all.person("kim", None).login.insert(identity("kim"));
    change(&mut all);
    World::of(&policy(), all).unwrap()
}

pub(crate) fn sees(world: &World, who: &str, id: EnrolmentId) -> bool {
    let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
    may_see(&world.state, &viewer, Thing::Enrolment(world.enrolment(id)), world.now())
}

#[test]
fn whoever_is_known_and_has_no_account_gets_one_by_the_managers_approval() {
    // given pia, known by her certificate alone
    let mut world = world();
    assert_refused(Ask::repair().by("pia", &mut world), Reason::NoAccount);
    // when she asks for an account, then she sees that request, and her manager does
    let id = world.enrol("pia", an_account()).unwrap();
    let asked = world.enrolment(id);
    assert_eq!(asked.requester, Principal::Person("pia".parse().unwrap()));
    assert_eq!(asked.ask, Asked::Account { account: "pia".parse().unwrap() });
    assert!(sees(&world, "pia", id) && sees(&world, "ines", id) && !sees(&world, "ana", id));
    // and once the manager has approved, the account is there, in the same batch
    let events = world.approve_enrolment("ines", id).unwrap();
    assert_eq!(
        kinds(&events),
        ["enrolment-approval-recorded", "enrolment-approved", "person-recorded", "account-recorded"]
    );
    let given = account(&world, "pia");
    assert_eq!(given.kind, AccountKind::ServiceTeam { person: "pia".parse().unwrap() });
    assert_eq!((given.state.clone(), given.roles.len(), given.audience.len()), (AccountState::Active, 0, 0));
    assert_eq!(given.identities, BTreeSet::from([identity("pia").parse().unwrap()]));
    // her certificate means the account now, and no longer the person without one
    assert!(person(&world, "pia").login.is_empty());
    let principal = world.state.organisation().principal(&identity("pia").parse().unwrap()).cloned();
    assert_eq!(principal, Some(Principal::Account("pia".parse().unwrap())));
    assert!(sees(&world, "pia", id), "her own history");
}

#[test]
fn a_new_account_is_baseline_and_cannot_ask_for_privilege() {
    let mut world = world();
    world.enrolled("pia", an_account(), &["ines"]);
    // then it reads the catalogue
    let viewer = viewer(world.state.organisation(), &identity("pia").parse().unwrap()).unwrap();
    assert!(may_see(&world.state, &viewer, Thing::Entitlement(&"repair".parse().unwrap()), world.now()));
    assert!(!may_see(&world.state, &viewer, Thing::PolicyText, world.now()));
    // and every entitlement is refused
    for ask in [Ask::repair(), Ask::critical(), Ask::maintenance(), Ask::managed(), Ask::deploy()] {
        assert_refused(ask.by("pia", &mut world), Reason::NotInRole);
    }
    assert!(!world.may("pia", "db.read", "prod/eu/db/orders/1"));
}

#[test]
fn an_account_needs_every_requirement_of_the_baseline_unlapsed() {
    // given training that lapses at 12:10, and no screening
    let mut world = changed_world(|all| {
        let attested = &mut all.people.get_mut("pia").unwrap().attestations;
        attested.insert("training".into(), "2025-11-22T12:10:00Z".into());
        all.people.get_mut("kim").unwrap().attestations.remove("screening");
    });
    let refusal = assert_refused(world.enrol("kim", an_account()), Reason::NotEligible);
    assert_eq!(refusal.facts["requirement"], "screening");
    world.pass("10m");
    let refusal = assert_refused(world.enrol("pia", an_account()), Reason::RequirementLapsed);
    assert_eq!(refusal.facts["requirement"], "training");
}

#[test]
fn without_a_manager_only_whom_policy_names_may_approve() {
    // given kim, who has no manager, and policy that names security duty
    let mut world = world();
    let id = world.enrol("kim", an_account()).unwrap();
    // then nobody else may, an administrator neither
    assert_refused(world.approve_enrolment("omar", id), Reason::NotFound);
    assert_refused(world.approve_enrolment("ines", id), Reason::NotFound);
    world.approve_enrolment("sam", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "APPROVED");
}

#[test]
fn without_a_manager_and_where_policy_names_nobody_it_is_refused() {
    let mut world = World::of(&policy().replace("manager_missing = [\"security\"]\n", ""), {
        let mut all = Organisation::example();
        all.person("kim", None).login.insert(identity("kim"));
        all
    })
    .unwrap();
    let refusal = assert_refused(world.enrol("kim", an_account()), Reason::NoApprover);
    assert!(refusal.detail.contains("no manager of record"), "{refusal}");
}

#[test]
fn while_a_manager_is_awaited_nobody_stands_in() {
    let mut world = world();
    touch(&mut world, "kim", |kim| kim.awaits_manager = true);
    assert_refused(world.enrol("kim", an_account()), Reason::NoApprover);
}

#[test]
fn whoever_stands_in_for_a_missing_manager_is_not_asked_where_there_is_one() {
    let mut world = world();
    let id = world.enrol("pia", an_account()).unwrap();
    let refusal = assert_refused(world.approve_enrolment("sam", id), Reason::NotFound);
    assert_eq!(refusal.true_reason, Some(Reason::NotAnApprover));
    assert_eq!(world.enrolment_phase(id), "PENDING");
}

#[test]
fn a_manager_who_cannot_decide_is_no_approver_and_nobody_takes_the_place() {
    // given a manager without an account, and one whose account is disabled
    let mut world = changed_world(|all| {
        all.people.get_mut("kim").unwrap().manager = Some("pia".into());
        all.people.get_mut("pia").unwrap().manager = Some("rex".into());
        all.accounts.get_mut("rex").unwrap().disabled = Some("lost laptop".into());
    });
    assert_refused(world.enrol("kim", an_account()), Reason::NoApprover);
    assert_refused(world.enrol("pia", an_account()), Reason::NoApprover);
}

#[test]
fn one_person_has_one_account_by_enrolment() {
    let mut world = world();
    let refusal = assert_refused(world.enrol("ana", an_account()), Reason::AlreadyThere);
    assert_eq!(refusal.facts["account"], "ana");
    // a login of its own beside an account, also a disabled one, is no way to a second
    let mut world = changed_world(|all| {
        all.people.get_mut("rex").unwrap().login.insert(identity("rex-new"));
        all.accounts.get_mut("rex").unwrap().disabled = Some("suspended".into());
    });
    assert_refused(world.enrol("rex-new", an_account()), Reason::AlreadyThere);
}

#[test]
fn an_account_that_a_proposal_took_everything_from_is_not_in_the_way_and_keeps_its_id() {
    let mut world = world();
    world
        .change_directory(|all| {
            all.accounts.remove("rex");
            all.people.get_mut("rex").unwrap().login.insert(identity("rex"));
        })
        .unwrap();
    let id = world.enrol("rex", an_account()).unwrap();
    assert_eq!(world.enrolment(id).ask.account().as_str(), "rex-2");
}

#[test]
fn an_account_gets_the_persons_id_or_the_next_free_one_and_never_anothers() {
    let mut world = changed_world(|all| {
        all.account("pia", "ana").identities = [identity("ana-other")].into();
        all.account("pia-2", "ana").identities = [identity("ana-third")].into();
    });
    let refusal = assert_refused(world.enrol("pia", the_account("pia")), Reason::IdTaken);
    assert_eq!(refusal.facts["account"], "pia");
    let id = world.enrol("pia", an_account()).unwrap();
    assert_eq!(world.enrolment(id).ask.account().as_str(), "pia-3");
    world.withdraw_enrolment("pia", id).unwrap();
    world.enrolled("pia", the_account("pia.b"), &["ines"]);
    assert_eq!(account(&world, "pia.b").person().as_str(), "pia");
    assert_eq!(account(&world, "pia").person().as_str(), "ana");
}

#[test]
fn machines_and_unknown_certificates_ask_for_nothing() {
    let mut world = world();
    for ask in [an_account(), a_role("reader"), restore(), a_machine("m", &["sensor"])] {
        assert_refused(world.enrol("bot", ask.clone()), Reason::NotOwner);
        assert_refused(world.enrol("nobody", ask), Reason::NoAccount);
    }
    // and who has no account asks for an account first
    for ask in [a_role("reader"), restore(), a_machine("m", &["sensor"])] {
        assert_refused(world.enrol("pia", ask), Reason::NoAccount);
    }
}

#[test]
fn a_tenants_certificate_does_not_become_one_of_the_service_team() {
    let mut world = world();
    touch(&mut world, "pia", |pia: &mut Person| {
        pia.login.insert("spiffe://acme.example/pia".parse().unwrap());
    });
    let refusal = assert_refused(world.enrol("pia", an_account()), Reason::IdentityTaken);
    assert_eq!(refusal.facts["identity"], "spiffe://acme.example/pia");
}

#[test]
fn a_draft_tells_all_obstacles_at_once_and_changes_nothing() {
    // given kim, who lacks two requirements and whose id is taken
    let mut world = changed_world(|all| {
        all.people.get_mut("kim").unwrap().attestations.clear();
        all.account("kim-of-ana", "ana");
    });
    world.pass("1m");
    let viewer = viewer(world.state.organisation(), &identity("kim").parse().unwrap()).unwrap();
    let request = |ask: EnrolmentAsk| RequestEnrolment { ask, justification: String::new() };
    let id = EnrolmentId::from(uuid::Uuid::nil());
    let (draft, obstacles) =
        draft_enrolment(&world.state, &viewer, &request(the_account("kim-of-ana")), id, world.now());
    let reasons: Vec<Reason> = obstacles.iter().map(|refusal| refusal.reason).collect();
    assert_eq!(reasons, [Reason::NotEligible, Reason::NotEligible, Reason::IdTaken]);
    let draft = draft.unwrap();
    assert_eq!((draft.requested_at, draft.phase.name()), (world.at, "PENDING"));
    // the same text says what would be approved, and nothing is there
    for line in ["asks_for: \"ACCOUNT\"", "account: \"kim-of-ana\"", "person: \"kim\"", "who: \"person:kim\""] {
        assert!(draft.review.text.contains(line), "{}", draft.review.text);
    }
    assert!(world.state.enrolments().is_empty());
}
