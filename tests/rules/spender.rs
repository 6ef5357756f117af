//! With whose work a call is counted (known failure G26).

use countersign::domain::rule::spender::Spender;
use countersign::domain::value::ids::Identity;

use crate::world::{World, identity};

fn called(name: &str) -> Identity {
    identity(name).parse().unwrap()
}

fn spender(world: &World, name: &str) -> Spender {
    world.state.organisation().spender(&called(name))
}

#[test]
fn a_person_is_one_spender_by_all_their_accounts_and_a_machine_is_one_by_itself() {
    let world = World::new();
    // given a person with two accounts, one who owns a machine, and the machine
    assert_eq!(spender(&world, "ana"), Spender::Person("ana".parse().unwrap()));
    assert_eq!(spender(&world, "ana-lab"), spender(&world, "ana"));
    assert_eq!(spender(&world, "bot"), Spender::Machine("bot".parse().unwrap()));
    assert_ne!(spender(&world, "bot"), spender(&world, "odo"));
    // and everybody whom nobody knows is one, however many identities an authority signs
    assert_eq!(spender(&world, "nobody"), Spender::Unknown);
    assert_eq!(spender(&world, "nobody-else"), Spender::Unknown);
}

#[test]
fn who_may_take_from_others_is_known_by_their_duties_as_they_are_now() {
    let mut world = World::new();
    let takes =
        |world: &World, name: &str| world.state.organisation().takes_from_others(&called(name), world.now().latest);
    assert!(takes(&world, "rex"));
    assert!(!takes(&world, "ana") && !takes(&world, "nobody"));
    // when the duty is over, so is what comes with it
    world
        .change_directory(|organisation| {
            let roles: Vec<String> = organisation.accounts["rex"].roles.keys().cloned().collect();
            roles.iter().for_each(|role| organisation.leave("rex", role));
        })
        .unwrap();
    assert!(!takes(&world, "rex"));
}
