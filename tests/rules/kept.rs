//! How much memory is kept of a sender: what a budget bounds (known failure G35).

use std::collections::BTreeSet;

use allocation_counter::measure;
use countersign::domain::record::event::Event;
use countersign::domain::rule::spender::Spender;
use countersign::domain::state::State;
use countersign::domain::state::apply::apply;

use crate::world::{Ask, World};

fn ana() -> Spender {
    Spender::Person("ana".parse().unwrap())
}

fn kept(state: &State) -> u64 {
    ana().kept_in(state)
}

/// Requests that are withdrawn at once, so many.
fn asked_and_withdrawn(world: &mut World, ask: impl Fn() -> Ask, times: usize) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..times {
        let id = ask().by("ana", world).unwrap();
        let asked = world.elevation(id).clone();
        let fact = countersign::domain::record::event::ElevationFact::Requested(Box::new(asked));
        let last = world.withdraw("ana", id).unwrap();
        let first = Event { fact: fact.into(), request: None, ..last[0].clone() };
        events.push(Event { sequence: first.sequence - 1, ..first });
        events.extend(last);
    }
    events
}

#[test]
fn what_is_kept_of_a_sender_is_counted_until_it_is_forgotten_and_with_nobody_else() {
    // given a person who has closed what they asked for
    let mut world = World::new();
    let before = kept(&world.state);
    asked_and_withdrawn(&mut world, Ask::repair, 3);
    let closed = kept(&world.state);
    assert!(closed >= before + 3 * 2_048, "{closed}");
    // then it is theirs alone
    assert_eq!(Spender::Person("dan".parse().unwrap()).kept_in(&world.state), 0);
    // and a restart forgets nothing of it
    world.assert_replays();
    // and when it is forgotten it counts no more
    world.pass_and_tick("86400000ms");
    world.pass_and_tick("2m");
    assert_eq!(kept(&world.state), before);
}

#[test]
fn what_is_counted_is_about_what_it_takes() {
    let large = || {
        let mut ask = Ask::repair();
        ask.0.justification = "x".repeat(2_048);
        let deep = |n: usize| format!("prod/eu/db/orders/{n}/a/b/c/d/e/f/g/h/i/j/k").parse().unwrap();
        ask.0.resources = (0..32).map(deep).collect::<BTreeSet<_>>();
        ask
    };
    let shapes: [&dyn Fn() -> Ask; 2] = [&Ask::repair, &large];
    for (shape, ask) in shapes.into_iter().enumerate() {
        // given a state, and what a sender adds to it
        let mut world = World::new();
        let mut state = world.state.unshared();
        let events = asked_and_withdrawn(&mut world, ask, 200);
        let before = kept(&state);
        // when it is applied
        let taken = measure(|| events.iter().for_each(|event| apply(&mut state, event))).bytes_current;
        // then what is counted is neither far less nor far more than what it took
        let counted = i64::try_from(kept(&state) - before).unwrap();
        assert!(taken > 100_000 && (taken / 2..taken * 4).contains(&counted), "shape {shape}: {counted} of {taken}");
    }
}
