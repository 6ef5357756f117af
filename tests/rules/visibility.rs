//! Who sees what: the rows of design.md 4's table that are built.

use countersign::domain::record::event::{ElevationFact, Event, Fact, GrantFact};
use countersign::domain::rule::visibility::{Thing, may_see, viewer};
use countersign::domain::value::ids::ElevationId;

use crate::world::{Ask, World, identity};

fn sees(world: &World, who: &str, thing: Thing<'_>) -> bool {
    let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
    may_see(&world.state, &viewer, thing, world.now())
}

pub(crate) fn sees_elevation(world: &World, who: &str, id: ElevationId) -> bool {
    sees(world, who, Thing::Elevation(world.elevation(id)))
}

fn those_who_see(world: &World, thing: Thing<'_>) -> Vec<String> {
    let everybody = world.organisation.accounts.keys().map(String::as_str).chain(["pia"]);
    everybody.filter(|who| sees(world, who, thing)).map(str::to_owned).collect()
}

#[test]
fn the_catalogue_is_for_the_own_organisation_and_a_tenants_part_for_those_in_its_roles() {
    let world = World::new();
    let all = those_who_see(&world, Thing::Entitlement(&"repair".parse().unwrap()));
    assert_eq!(all.len(), world.organisation.accounts.len(), "everybody with an account");
    let some = those_who_see(&world, Thing::Entitlement(&"support".parse().unwrap()));
    assert_eq!(some, ["ana", "dan", "eve", "sam"], "who asks, who approves");
}

#[test]
fn an_elevation_and_its_grant_are_for_those_behind_it_who_may_or_did_review_the_manager_and_audit() {
    let mut world = World::new();
    let (id, grant) = world.granted();
    let wanted = ["ana", "ana-lab", "aud", "ben", "cleo", "ines"];
    assert_eq!(those_who_see(&world, Thing::Elevation(world.elevation(id))), wanted);
    assert_eq!(those_who_see(&world, Thing::Grant(world.state.grants().get(&grant).unwrap())), wanted);
    // who did review it sees it still, without the role
    world
        .change_directory(|all| {
            all.leave("ben", "commander");
            all.leave("cleo", "commander");
        })
        .unwrap();
    assert!(sees_elevation(&world, "ben", id) && !sees_elevation(&world, "cleo", id));
}

#[test]
fn a_machines_elevation_is_for_the_machine_and_the_persons_behind_it() {
    let mut world = World::new();
    let id = Ask::managed().on_behalf_of("ana").by("pipe", &mut world).unwrap();
    assert_eq!(
        those_who_see(&world, Thing::Elevation(world.elevation(id))),
        ["ana", "ana-lab", "aud", "ines", "odo", "pipe"]
    );
}

#[test]
fn accounts_and_persons_are_for_themselves_manager_role_owner_and_audit() {
    let world = World::new();
    // ines manages ben and owns ben's role; omar manages sam
    assert_eq!(those_who_see(&world, Thing::Account(&"ben".parse().unwrap())), ["aud", "ben", "ines"]);
    assert_eq!(those_who_see(&world, Thing::Account(&"sam".parse().unwrap())), ["aud", "omar", "sam"]);
    assert_eq!(those_who_see(&world, Thing::Account(&"bot".parse().unwrap())), ["aud", "bot", "odo", "omar"]);
    assert_eq!(those_who_see(&world, Thing::Person(&"ana".parse().unwrap())), ["ana", "ana-lab", "aud", "ines"]);
}

#[test]
fn the_policy_text_is_for_those_who_propose_it_and_audit() {
    assert_eq!(those_who_see(&World::new(), Thing::PolicyText), ["aud", "lea", "lou", "olga", "omar"]);
}

#[test]
fn events_are_for_audit_and_for_those_they_are_about() {
    let mut world = World::new();
    let (id, _) = world.granted();
    let of = |world: &World, wanted: fn(&Fact) -> bool| -> Event {
        world.events.iter().rev().find(|event| wanted(&event.fact)).unwrap().clone()
    };
    let asked = of(&world, |fact| matches!(fact, Fact::Elevation(ElevationFact::Requested(_))));
    assert_eq!(those_who_see(&world, Thing::Event(&asked)), ["ana", "ana-lab", "aud"]);
    let approved = of(&world, |fact| matches!(fact, Fact::Elevation(ElevationFact::ApprovalRecorded(_))));
    assert_eq!(those_who_see(&world, Thing::Event(&approved)), ["ana", "ana-lab", "aud", "ben"]);
    // what became of one's own request is about oneself, whoever caused it
    world.pass_and_tick("15m");
    let ended = of(&world, |fact| matches!(fact, Fact::Grant(GrantFact::Ended(_))));
    assert_eq!(those_who_see(&world, Thing::Event(&ended)), ["ana", "ana-lab", "aud"]);
    let complete = of(&world, |fact| matches!(fact, Fact::Elevation(ElevationFact::Approved(_))));
    assert_eq!(those_who_see(&world, Thing::Event(&complete)), ["ana", "ana-lab", "aud", "ben"]);
    assert_eq!(world.phase(id), "APPROVED");
}

#[test]
fn a_disabled_account_sees_nothing() {
    let mut world = World::new();
    let (id, _) = world.granted();
    for who in ["ana", "aud", "ben"] {
        world.change_directory(|all| all.accounts.get_mut(who).unwrap().disabled = Some("away".into())).unwrap();
        assert!(!sees_elevation(&world, who, id), "{who}");
    }
}
