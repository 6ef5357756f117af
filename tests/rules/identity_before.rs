//! An identity that somebody behind a request lost before they asked approves nothing in it either (known failure B10).

use countersign::domain::directory::AccountKind;
use countersign::domain::rule::identities::separation_rule_3_identity;
use countersign::domain::rule::standing::void_approvals;
use countersign::domain::value::refusal::Reason;

use crate::support::feed::{decide, hold, id, named, tell, world};
use crate::support::records::change_account;
use crate::world::{Ask, World, assert_refused, identity};

/// HR takes a second name from ana and gives it to ben, which rela, who is neither, lets through.
fn handed_on() -> World {
    let mut world = world(50);
    tell(&mut world, vec![named("ana", &["ana", "ana2"])]).unwrap();
    tell(&mut world, vec![named("ana", &["ana"])]).unwrap();
    tell(&mut world, vec![named("ben", &["ben", "ana2"])]).unwrap();
    let only = hold(&world);
    decide(&mut world, "rela", &only, true).unwrap();
    let ana2 = identity("ana2").parse().unwrap();
    assert_eq!(world.state.organisation().person_of(&ana2), Some(&id("ben")));
    world
}

#[test]
fn one_that_was_lost_before_the_request_approves_nothing_in_it() {
    // given what ana asks for after all that, and the other certificate, which ana may still have
    let mut world = handed_on();
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    // then by that it is not approved, whoever it means
    let refusal = assert_refused(world.approve("ana2", asked), Reason::SelfApproval);
    assert!(refusal.detail.contains(&identity("ana2")), "{refusal}");
    // and ben approves by their own, and what others ask for by either
    let others = Ask::repair().by("dan", &mut world).unwrap();
    world.approve("ana2", others).unwrap();
    world.approve("ben", asked).unwrap();
    assert_eq!(world.grant_phase(asked), "ACTIVE");
}

#[test]
fn an_approval_by_it_is_void_once_whoever_had_it_is_behind_the_request() {
    // given what a machine of odo's asked for, and ben approved by the name that was ana's
    let mut world = handed_on();
    let asked = Ask::deploy().by("bot", &mut world).unwrap();
    world.approve("ana2", asked).unwrap();
    let void = |world: &World| void_approvals(world.state.organisation(), world.elevation(asked), world.now().latest);
    assert!(void(&world).is_empty());
    // when the machine is ana's
    change_account(&mut world, "bot", |it| match &mut it.kind {
        AccountKind::Service { owner, .. } => *owner = id("ana"),
        other => panic!("{other:?}"),
    });
    let void = void(&world);
    assert_eq!(
        void.iter().map(|(who, why)| (who.as_str(), why.reason)).collect::<Vec<_>>(),
        [("ben", Reason::SelfApproval)]
    );
}

#[test]
fn after_180_days_it_is_forgotten() {
    let mut world = handed_on();
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    let elevation = world.elevation(asked).clone();
    let ana2 = identity("ana2").parse().unwrap();
    let of = |world: &World| separation_rule_3_identity(world.state.organisation(), &elevation, &ana2);
    world.pass("179d");
    world.tick();
    assert_refused(of(&world), Reason::SelfApproval);
    world.pass("2d");
    world.tick();
    of(&world).unwrap();
}
