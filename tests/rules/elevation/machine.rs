//! Machines that ask, for themselves or for people. Who may not approve is in tests/separation.rs.

use countersign::domain::value::ids::PersonId;
use countersign::domain::value::refusal::Reason;

use crate::world::{Ask, World, assert_refused, names};

const APP: &str = "prod/eu/apps/orders";

#[test]
fn a_machine_that_asks_for_itself_holds_the_grant_and_its_owner_stands_behind_it() {
    let mut world = World::new();
    let id = Ask::deploy().by("bot", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    assert!(world.may("bot", "deploy.run", APP) && !world.may("odo", "deploy.run", APP));
    let grant = world.grant_of(id).unwrap();
    assert_eq!((names(&grant.behind), grant.person.as_str()), (names(["odo"]), "odo"));
}

#[test]
fn a_machine_that_asks_for_people_names_one_each_time_who_stands_behind_it_as_well() {
    let mut world = World::new();
    assert_refused(Ask::deploy().by("pipe", &mut world), Reason::OnBehalfRequired);
    let id = Ask::deploy().on_behalf_of("ana").by("pipe", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    assert!(world.may("pipe", "deploy.run", APP) && !world.may("ana", "deploy.run", APP));
    let grant = world.grant_of(id).unwrap();
    assert_eq!((names(&grant.behind), grant.person.as_str()), (names(["ana", "odo"]), "ana"));
}

#[test]
fn on_behalf_forbidden_for_people_and_for_machines_that_ask_for_themselves() {
    for who in ["ana", "bot"] {
        assert_refused(Ask::deploy().on_behalf_of("dan").by(who, &mut World::new()), Reason::OnBehalfForbidden);
    }
}

#[test]
fn the_person_named_is_in_a_requesting_role_and_eligible() {
    let mut world = World::new();
    assert_refused(Ask::deploy().on_behalf_of("ines").by("pipe", &mut world), Reason::NotInRole);
    let nobody = Ask::deploy().on_behalf_of("nobody").by("pipe", &mut world);
    assert_refused(nobody, Reason::NotEligible);
    world
        .change_directory(|all| {
            all.people.get_mut("ana").unwrap().attestations.remove("dba");
        })
        .unwrap();
    assert_refused(Ask::deploy().on_behalf_of("ana").by("pipe", &mut world), Reason::NotEligible);
}

#[test]
fn a_machine_is_as_eligible_as_its_owner() {
    let mut world = World::new();
    world.change_directory(|all| all.people.get_mut("odo").unwrap().attestations.clear()).unwrap();
    assert_refused(Ask::deploy().by("bot", &mut world), Reason::NotEligible);
    assert_refused(Ask::deploy().on_behalf_of("ana").by("pipe", &mut world), Reason::NotEligible);
}

#[test]
fn caps_of_a_machine_that_asks_for_people_are_those_of_the_person() {
    let mut world = World::new();
    for app in ["a", "b", "c"] {
        let ask = Ask::deploy().on(&[&format!("prod/eu/apps/{app}")]).on_behalf_of("ana");
        ask.by("pipe", &mut world).unwrap();
    }
    assert_refused(Ask::repair().by("ana", &mut world), Reason::TooManyPending);
    assert!(Ask::deploy().on_behalf_of("dan").by("pipe", &mut world).is_ok());
}

#[test]
fn a_machine_that_changes_for_whom_it_asks_keeps_nothing_that_it_asked_for_before() {
    let mut world = World::new();
    let (of_bot, of_pipe) = (
        Ask::deploy().by("bot", &mut world).unwrap(),
        Ask::deploy().on_behalf_of("ana").by("pipe", &mut world).unwrap(),
    );
    world.approve("ben", of_pipe).unwrap();
    world
        .change_directory(|all| {
            all.accounts.get_mut("bot").unwrap().acts_for_people = true;
            all.accounts.get_mut("pipe").unwrap().acts_for_people = false;
        })
        .unwrap();
    assert_eq!((world.phase(of_bot), world.grant_phase(of_pipe)), ("CANCELLED", "REVOKED"));
}

#[test]
fn the_holder_and_everybody_behind_it_may_give_a_machines_grant_up() {
    for who in ["pipe", "odo", "ana"] {
        let mut world = World::new();
        let id = Ask::deploy().on_behalf_of("ana").by("pipe", &mut world).unwrap();
        world.approve("ben", id).unwrap();
        let grant = world.grant_of(id).unwrap().id;
        world.relinquish(who, grant).unwrap();
        assert!(!world.may("pipe", "deploy.run", APP));
    }
}

#[test]
fn what_a_machine_loses_under_a_new_owner_ends_what_it_was_given_under_the_old_one() {
    // given a live grant and a request of a machine that changes hands
    let changes: [fn(&mut crate::world::Organisation); 4] = [
        |all| all.leave("bot", "robot"),
        |all| all.accounts.get_mut("bot").unwrap().disabled = Some("stolen key".into()),
        |all| all.people.get_mut("rex").unwrap().attestations.clear(),
        |all| {
            all.remove_person("rex");
            all.people.get_mut("omar").unwrap().manager = None;
            all.person("new", None).attestations.clear();
            all.accounts.get_mut("bot").unwrap().owner = Some("new".into());
        },
    ];
    for change in changes {
        let mut world = World::new();
        let id = Ask::deploy().by("bot", &mut world).unwrap();
        world.approve("ben", id).unwrap();
        let pending = Ask::managed().by("bot", &mut world).unwrap();
        world.change_directory(|all| all.accounts.get_mut("bot").unwrap().owner = Some("rex".into())).unwrap();
        assert_eq!((world.grant_phase(id), world.phase(pending)), ("ACTIVE", "PENDING"));
        // when it, or its new owner, loses what it needs
        world.change_directory(change).unwrap();
        // then nothing is left of either
        assert_eq!((world.grant_phase(id), world.phase(pending)), ("REVOKED", "CANCELLED"));
        assert!(!world.may("bot", "deploy.run", APP));
    }
}

#[test]
fn an_owner_who_leaves_takes_along_what_the_machine_held() {
    let mut world = World::new();
    let id = Ask::deploy().by("bot", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    // the machines go to somebody who stays, who is not eligible yet
    world
        .change_directory(|all| {
            all.remove_person("odo");
            all.person("new", None).attestations.clear();
            for machine in ["bot", "pipe"] {
                all.accounts.get_mut(machine).unwrap().owner = Some("new".into());
            }
        })
        .unwrap();
    assert_eq!(world.grant_phase(id), "REVOKED");
    let behind: Vec<&PersonId> = world.grant_of(id).unwrap().behind.iter().collect();
    assert_eq!(behind, ["odo"].map(|name| name.parse::<PersonId>().unwrap()).iter().collect::<Vec<_>>());
}
