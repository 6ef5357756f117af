//! A request_id takes effect once (invariant 13); refusals are journaled, up to a cap.

use countersign::domain::decide::refused::{TOLD_PER_MINUTE, counted, minute_of};
use countersign::domain::record::command::{Command, RelinquishGrant};
use countersign::domain::record::event::{BrokerFact, Fact, Subject};
use countersign::domain::value::ids::Principal;
use countersign::domain::value::refusal::Reason;

use crate::world::{Ask, World, assert_refused, identity};

#[test]
fn the_same_command_again_takes_no_effect_and_names_the_first() {
    let mut world = World::new();
    let envelope = world.envelope("ana", Ask::repair().command());
    let events = world.execute(&envelope).unwrap();
    let mut again = envelope.clone();
    again.nonce = [9; 16];
    again.now = world.now();
    assert!(world.execute(&again).unwrap().is_empty());
    let bound = world.state.bound(&Principal::Account("ana".parse().unwrap()), envelope.request_id).unwrap();
    assert_eq!(bound.sequence, events[0].sequence);
    assert!(matches!(bound.about, Some(Subject::Elevation(_))));
    assert_eq!(world.state.elevations().len(), 1);
}

#[test]
fn request_id_reused_for_another_command() {
    let mut world = World::new();
    let envelope = world.envelope("ana", Ask::repair().command());
    world.execute(&envelope).unwrap();
    let mut other = envelope.clone();
    other.command = Ask::repair().lasting("14m").command();
    assert_refused(world.execute(&other), Reason::RequestIdReused);
    // of another account it is another id
    let mut of_dan = envelope;
    of_dan.caller = crate::world::calls::calling(identity("dan").parse().unwrap());
    assert_eq!(world.execute(&of_dan).unwrap().len(), 1);
}

#[test]
fn a_refused_command_binds_nothing() {
    let mut world = World::new();
    let envelope = world.envelope("ana", Ask::repair().with(|it| it.ticket = None).command());
    assert_refused(world.execute(&envelope), Reason::TicketRequired);
    let mut corrected = envelope;
    corrected.command = Ask::repair().command();
    assert_eq!(world.execute(&corrected).unwrap().len(), 1);
}

#[test]
fn a_request_id_is_free_again_after_a_day_and_not_before() {
    let mut world = World::new();
    let envelope = world.envelope("ana", Ask::repair().command());
    world.execute(&envelope).unwrap();
    let mut again = envelope;
    world.pass_and_tick("86400000ms");
    again.now = world.now();
    assert!(world.execute(&again).unwrap().is_empty(), "within 24 h");
    world.pass_and_tick("2m");
    again.now = world.now();
    assert_eq!(world.execute(&again).unwrap().len(), 1);
}

#[test]
fn a_repetition_is_answered_after_the_same_authorization() {
    let mut world = World::new();
    let envelope = world.envelope("ana", Ask::repair().command());
    world.execute(&envelope).unwrap();
    world.change_directory(|all| all.accounts.get_mut("ana").unwrap().disabled = Some("away".into())).unwrap();
    let mut again = envelope;
    again.now = world.now();
    assert_refused(world.execute(&again), Reason::AccountDisabled);
}

#[test]
fn who_has_no_account_any_longer_is_told_what_their_own_command_came_to_and_nobody_else_is() {
    let mut world = World::new();
    let envelope = world.envelope("ana", Ask::repair().command());
    world.execute(&envelope).unwrap();
    world.change_directory(|all| drop(all.accounts.remove("ana"))).unwrap();
    let mut again = envelope.clone();
    again.now = world.now();
    assert!(world.execute(&again).unwrap().is_empty());
    // but not of another command, nor by another identity
    let mut other = again.clone();
    other.command = Ask::repair().lasting("14m").command();
    assert!(world.execute(&other).is_err());
    let mut of_dan = again.clone();
    of_dan.caller = crate::world::calls::calling(identity("dan").parse().unwrap());
    assert_eq!(world.clone().execute(&of_dan).unwrap().len(), 1);
    // and not after a day
    world.pass_and_tick("86400000ms");
    world.pass_and_tick("2m");
    again.now = world.now();
    assert!(world.execute(&again).is_err());
}

#[test]
fn refusals_are_journaled_with_their_true_reason_up_to_sixty_a_minute_and_caller() {
    let mut world = World::new();
    let told = |world: &World| {
        world.events.iter().filter(|event| matches!(event.fact, Fact::Broker(BrokerFact::CommandRefused(_)))).count()
    };
    let refuse = |world: &mut World, who: &str| {
        assert_refused(Ask::repair().with(|it| it.ticket = None).by(who, world), Reason::TicketRequired);
    };
    for _ in 0..TOLD_PER_MINUTE + 10 {
        refuse(&mut world, "ana");
    }
    assert_eq!(told(&world), 60);
    let Fact::Broker(BrokerFact::CommandRefused(fact)) = &world.events.last().unwrap().fact else {
        panic!("a refusal")
    };
    assert_eq!((fact.reason, fact.about.as_deref()), (Reason::TicketRequired, Some("entitlement:repair")));
    // another caller has a cap of its own, and the next minute another
    refuse(&mut world, "dan");
    world.pass("1m");
    refuse(&mut world, "ana");
    assert_eq!(told(&world), 62);
}

#[test]
fn the_count_of_one_minute_gives_no_room_in_the_next() {
    let mut world = World::new();
    let told = |world: &World| {
        world.events.iter().filter(|event| matches!(event.fact, Fact::Broker(BrokerFact::CommandRefused(_)))).count()
    };
    let first = minute_of(world.now().stamp);
    world.pass("1m");
    for round in 0..2 {
        for _ in 0..40 {
            assert!(Ask::repair().with(|it| it.ticket = None).by("ana", &mut world).is_err());
        }
        if round == 0 {
            // when what went untold a minute ago is counted only now
            let caller = Principal::Account("ana".parse().unwrap());
            let event = counted(&world.state, caller, first, 3, world.now().stamp);
            world.commit(vec![event]);
        }
    }
    assert_eq!(told(&world), 60);
}

#[test]
fn what_closed_is_kept_for_a_day_and_forgotten_with_all_that_rests_on_it() {
    let mut world = World::new();
    let (id, grant) = world.granted();
    let denied = Ask::maintenance().by("ana", &mut world).unwrap();
    world.deny("ben", denied).unwrap();
    world.pass_and_tick("15m");
    world.pass_and_tick("1439m");
    assert!(world.state.grants().contains_key(&grant) && world.state.elevations().contains_key(&id));
    assert!(!world.state.elevations().contains_key(&denied));
    world.pass_and_tick("2m");
    assert!(world.state.grants().is_empty() && world.state.elevations().is_empty());
    assert_refused(
        world.send("ana", Command::from(RelinquishGrant { grant, reason: String::new() })),
        Reason::NotFound,
    );
}
