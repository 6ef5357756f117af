//! Identities of persons belong to persons alone, ids of tenants to tenants, and whoever asks for what cannot be had learns
//! nothing of who has it (known failures A14 and D8).

use countersign::domain::record::command::RequestEnrolment;
use countersign::domain::record::event::{Fact, OrganisationFact};
use countersign::domain::rule::enrolling::draft_enrolment;
use countersign::domain::rule::obstacles::{draft, standing_obstacles};
use countersign::domain::rule::visibility::viewer;
use countersign::domain::value::refusal::{Reason, Refusal};

use crate::world::enrolments::{a_machine, machine_with, take_over, the_account};
use crate::world::organisation::CUSTOMERS;
use crate::world::{Ask, Organisation, POLICY, World, assert_refused, identity};

const PERSONS: &str = "person_identities = [\"spiffe://northwind.example/person/*\"]\n";

fn person(name: &str) -> String {
    format!("spiffe://northwind.example/person/{name}")
}

/// The example with customers, in which persons have identities of their own kind.
fn world() -> World {
    World::of(&format!("{PERSONS}{POLICY}{CUSTOMERS}"), Organisation::example().with_customers()).unwrap()
}

fn known_by(identity: &str) -> countersign::domain::record::command::EnrolmentAsk {
    machine_with("probe", &[], |it| it.identities = [identity.parse().unwrap()].into())
}

/// What somebody is told of an enrolment: all obstacles of a dry run with the draft, and the refusal of a real call, without
/// what they named.
fn told(
    world: &mut World,
    who: &str,
    ask: countersign::domain::record::command::EnrolmentAsk,
    named: &str,
) -> (String, Refusal) {
    let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
    let request = RequestEnrolment { ask: ask.clone(), justification: "new".into() };
    let (drafted, obstacles) = draft_enrolment(&world.state, &viewer, &request, uuid::Uuid::nil().into(), world.now());
    let mut refusal = world.enrol(who, ask).unwrap_err();
    refusal.detail = refusal.detail.replace(named, "X");
    refusal.facts.values_mut().for_each(|value| *value = value.replace(named, "X"));
    let dry = format!("{:?} {obstacles:?}", drafted.map(|it| (it.behind, it.review.stages, it.manager)));
    (dry.replace(named, "X"), refusal)
}

#[test]
fn no_machine_is_known_by_a_persons_identity() {
    let mut world = world();
    // given identities of persons, one of nobody yet and one of somebody
    world
        .change_directory(|all| {
            all.people.get_mut("pia").unwrap().login.insert(person("pia"));
        })
        .unwrap();
    let (free, refusal) = told(&mut world, "ana", known_by(&person("next")), &person("next"));
    assert_eq!(refusal.reason, Reason::IdentityTaken);
    assert!(refusal.detail.contains("belong to persons alone"), "{}", refusal.detail);
    // then both are refused, in the same words
    assert_eq!((free, refusal), told(&mut world, "ana", known_by(&person("pia")), &person("pia")));
    // and others are free
    world.enrol("ana", known_by("spiffe://northwind.example/service/probe")).unwrap();
}

#[test]
fn a_machine_with_a_persons_identity_is_a_mistake_of_a_directory_and_when_policy_loads() {
    // given a directory with such a machine, then it does not load
    let mut world = world();
    let taken = world.change_directory(|all| all.machine("probe", "odo", "robot").identities = [person("next")].into());
    let refusal = assert_refused(taken, Reason::DirectoryInvalid);
    let told = refusal.facts.values().find(|it| it.contains("person_identities")).unwrap();
    assert!(told.contains("`accounts.probe`") && told.contains("of a machine"), "{told}");
    // given one that exists, and one that is asked for
    let mut organisation = Organisation::example();
    organisation.machine("probe", "odo", "robot").identities = [person("next")].into();
    let mut world = World::of(POLICY, organisation).unwrap();
    let asked = machine_with("other", &[], |it| it.identities = [person("other").parse().unwrap()].into());
    let waiting = world.enrol("ana", asked).unwrap();
    let policy = |world: &mut World| world.propose_policy("\n[baseline]", &format!("\n{PERSONS}[baseline]"));
    // then the policy does not load
    let refusal = assert_refused(policy(&mut world), Reason::PolicyInvalid);
    assert!(refusal.facts.values().any(|it| it.contains("`accounts.probe`")), "{refusal:?}");
    // and once the machine has another identity it does, and what was asked for is cancelled
    world
        .change_directory(|all| all.accounts.get_mut("probe").unwrap().identities = [identity("probe")].into())
        .unwrap();
    let events = policy(&mut world).unwrap();
    assert!(matches!(events[0].fact, Fact::Organisation(OrganisationFact::PolicyLoaded(_))));
    assert_eq!(world.enrolment_phase(waiting), "CANCELLED");
    // a person of the own organisation is known so all the same
    world
        .change_directory(|all| {
            all.people.get_mut("pia").unwrap().login.insert(person("pia"));
        })
        .unwrap();
}

#[test]
fn an_identity_of_a_customers_and_one_of_nobody_are_refused_alike() {
    let mut world = world();
    let identities =
        ["spiffe://acme.example/acme.lena", "spiffe://acme.example/nobody", "spiffe://zeta.example/zeta.feed"];
    let answers: Vec<_> = identities.map(|it| told(&mut world, "ana", known_by(it), it)).into();
    assert_eq!(answers[0].1.reason, Reason::IdentityTaken);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    // and so is one of a colleague, whose account is nothing to find out
    let (ben, refusal) = told(&mut world, "ana", known_by(&identity("ben")), &identity("ben"));
    assert_eq!((&ben, &refusal), (&answers[0].0, &answers[0].1));
}

#[test]
fn an_id_of_a_customers_and_one_of_nobody_are_refused_alike() {
    let mut world = world();
    // of a machine, whoever has it: a customer, nobody as yet, a colleague, the own manager
    let ids = ["acme.lena", "acme.nobody", "zeta.feed", "ben", "ines"];
    let answers: Vec<_> = ids.map(|id| told(&mut world, "ana", a_machine(id, &[]), id)).into();
    assert_eq!(answers[0].1.reason, Reason::IdTaken);
    let alike = |answer: &&(String, Refusal)| answer.1 == answers[0].1;
    assert_eq!(answers.iter().filter(alike).count(), ids.len(), "{answers:#?}");
    // all that a dry run tells besides is alike too, but for the identity, which is made of the id here
    // of an account of one's own
    let accounts: Vec<_> =
        ["acme.lena", "acme.nobody", "ben"].map(|id| told(&mut world, "pia", the_account(id), id)).into();
    assert!(accounts.iter().all(|answer| *answer == accounts[0]), "{accounts:#?}");
    assert_eq!(accounts[0].1.reason, Reason::IdTaken);
    // and what is one's own is there already
    assert_refused(world.enrol("ana", a_machine("ana-lab", &[])), Reason::AlreadyThere);
    // no customer's account is taken over, nor told of
    let taken: Vec<_> = ["acme.lena", "acme.nobody", "ben"].map(|id| told(&mut world, "ana", take_over(id), id)).into();
    assert!(taken.iter().all(|answer| *answer == taken[0]), "{taken:#?}");
}

#[test]
fn whom_a_machine_names_is_told_alike_whether_a_customer_or_nobody() {
    let mut world = world();
    let ask = |person: &str| Ask::deploy().on_behalf_of(person).0;
    let dry = |who: &str, person: &str, world: &World| {
        let (drafted, obstacles) =
            draft(&world.state, &who.parse().unwrap(), &ask(person), uuid::Uuid::nil().into(), world.now());
        format!("{} {obstacles:?}", drafted.is_some()).replace(person, "X")
    };
    // given a machine that asks for people: a customer who may not ask for this is as nobody
    for who in ["acme.moe", "acme.lena", "zeta.feed"] {
        assert_eq!(dry("pipe", who, &world), dry("pipe", "nobody", &world), "{who}");
        let refusal = assert_refused(Ask::deploy().on_behalf_of(who).by("pipe", &mut world), Reason::NotEligible);
        assert_eq!(refusal.detail.replace(who, "X"), "`X` has no account that may request this");
    }
    // in the catalogue as well
    let terms = world.state.organisation().policy().entitlements.get("deploy").unwrap().terms.clone();
    let offered = |person: &str| {
        let (account, name) = ("pipe".parse().unwrap(), "deploy".parse().unwrap());
        let named = person.parse().unwrap();
        let told = standing_obstacles(&world.state, &account, Some(&named), &name, &terms, world.now());
        format!("{told:?}").replace(person, "X")
    };
    assert_eq!(offered("acme.moe"), offered("nobody"));
    // given an account that asks for itself: whoever is named is not looked up, colleague, customer or nobody
    for who in ["acme.moe", "dan", "acme.nobody"] {
        assert_eq!(dry("ana", who, &world), dry("ana", "nobody", &world), "{who}");
    }
}

#[test]
fn what_begins_as_a_tenants_ids_do_is_no_id_of_the_own_organisations_by_file_or_enrolment() {
    let mut world = world();
    // by enrolment
    assert_refused(world.enrol("ana", a_machine("acme.probe", &[])), Reason::IdTaken);
    assert_refused(world.enrol("pia", the_account("acme.pia")), Reason::IdTaken);
    world.enrol("ana", a_machine("acmed.probe", &[])).unwrap();
    // by a file: a person, an account, a machine
    type Change = fn(&mut Organisation);
    let changes: [(Change, &str); 3] = [
        (
            |all| {
                all.person("acme.r", None);
            },
            "`people.\"acme.r\"`",
        ),
        (|all| all.account("acme.ana", "ana").identities = [identity("ana-two")].into(), "acme.ana"),
        (|all| all.machine("acme.probe", "odo", "robot").identities = [identity("probe")].into(), "acme.probe"),
    ];
    for (change, named) in changes {
        let refusal = assert_refused(world.change_directory(change), Reason::DirectoryInvalid);
        let told = refusal.facts.values().next().unwrap();
        assert!(told.contains("does not begin with `acme.`"), "{named}: {told}");
    }
    // and of a tenant that is new: what was called so before keeps its name, and the tenant gets another
    let named = machine_with("beta.probe", &[], |it| it.identities = [identity("probe").parse().unwrap()].into());
    world.enrolled("ana", named, &["ines"]);
    let new = world.change_directory(|all| {
        all.tenants.insert("beta".into());
    });
    let refusal = assert_refused(new, Reason::IdTaken);
    assert_eq!((refusal.facts["id"].as_str(), refusal.facts["tenant"].as_str()), ("beta.probe", "beta"));
    world
        .change_directory(|all| {
            all.tenants.insert("gamma".into());
        })
        .unwrap();
}
