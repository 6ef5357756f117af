//! How long one person holds an entitlement without a break, and which breaks count.

use std::collections::BTreeMap;

use countersign::domain::record::grant::EndBecause;
use countersign::domain::value::ids::GrantId;
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::{Span, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::world::{Ask, NOON, Organisation, POLICY, World, assert_refused, at, span};

/// `repair` for ana, for so long.
fn held(world: &mut World, text: &str) -> GrantId {
    let asked = Ask::repair().lasting(text).by("ana", world).unwrap();
    world.approve("ben", asked).unwrap();
    world.grant_of(asked).unwrap().id
}

fn since(world: &World, grant: GrantId) -> Timestamp {
    world.state.grants().get(&grant).unwrap().continuous_since
}

fn world_with(max_continuous: &str) -> World {
    World::of(&POLICY.replacen("max_continuous = \"2h\"", max_continuous, 1), Organisation::example()).unwrap()
}

#[test]
fn a_break_shorter_than_a_tenth_of_the_cap_is_none() {
    // given `repair`, capped at two hours, held for one and given up
    for (pause, counts) in [("1ms", false), ("719999ms", false), ("12m", true), ("1h", true)] {
        let mut world = World::new();
        let first = held(&mut world, "1h");
        world.pass_and_tick("50m");
        world.relinquish("ana", first).unwrap();
        // when it is asked for again after a pause
        world.pass_and_tick(pause);
        let second = held(&mut world, "1h");
        // then the pause is a part of what is held, unless it was long enough
        let begins = if counts { world.now().stamp } else { at(NOON) };
        assert_eq!(since(&world, second), begins, "{pause}");
    }
}

#[test]
fn at_the_cap_it_says_from_when_it_can_be_held_again() {
    let mut world = World::new();
    let first = held(&mut world, "1h");
    world.pass_and_tick("1h");
    held(&mut world, "1h");
    world.pass_and_tick("1h");
    assert!(!world.state.grants().get(&first).unwrap().is_open());
    // given that both hours are used up, then a pause of a moment gives nothing
    world.pass("1ms");
    let refusal = Ask::repair().by("ana", &mut world).unwrap_err();
    assert_eq!(refusal.reason, Reason::ContinuousTooLong);
    let from = at(NOON).plus(span("2h")).plus(span("12m"));
    assert_eq!(refusal.facts.get("from"), Some(&from.to_string()));
    assert_eq!(refusal.facts.get("min_break").map(String::as_str), Some("12m"));
    assert!(refusal.detail.contains(&format!("it may start again at {from}")), "{refusal}");
    world.at = from.minus(Span::from_millis(1).unwrap());
    assert_refused(Ask::repair().by("ana", &mut world), Reason::ContinuousTooLong);
    world.at = from;
    held(&mut world, "1h");
    // and what is held of something else, or by somebody else, is another thing
    let dans = Ask::repair().by("dan", &mut world).unwrap();
    world.approve("ben", dans).unwrap();
    assert_eq!(world.grant_of(dans).unwrap().continuous_since, from);
}

#[test]
fn the_cap_ends_a_grant_that_goes_on_after_a_short_break() {
    let mut world = world_with("max_continuous = \"90m\"\nmin_break = \"5m\"");
    let first = held(&mut world, "1h");
    world.pass_and_tick("56m");
    world.relinquish("ana", first).unwrap();
    world.pass_and_tick("4m");
    let second = held(&mut world, "1h");
    let grant = world.state.grants().get(&second).unwrap();
    assert_eq!((grant.end, &grant.end_because), (at(NOON).plus(span("90m")), &EndBecause::LongestContinuous));
}

#[test]
fn a_break_that_is_longer_than_what_closed_is_kept_is_not_forgotten_with_it() {
    // given a break of three days, while what closed is kept for one
    for (pause, counts) in [("2d", false), ("71h", false), ("73h", true)] {
        let mut world = world_with("max_continuous = \"20d\"\nmin_break = \"3d\"");
        let first = held(&mut world, "1h");
        world.pass_and_tick("1h");
        world.pass_and_tick("25h");
        assert!(world.state.grants().get(&first).is_none(), "it is forgotten");
        world.restart(None);
        // when as much time has passed since its end
        world.at = at(NOON).plus(span("1h")).plus(span(pause));
        world.tick();
        let second = held(&mut world, "1h");
        assert_eq!(since(&world, second) == at(NOON), !counts, "{pause}");
    }
}

#[test]
fn a_scheduled_grant_that_never_started_was_not_held() {
    let mut world = world_with("start_within = \"7d\"\nmax_continuous = \"2h\"");
    let asked = Ask::repair().starting(at(NOON).plus(span("20m"))).by("ana", &mut world).unwrap();
    world.approve("ben", asked).unwrap();
    let planned = world.grant_of(asked).unwrap().id;
    world.pass("10m");
    world.relinquish("ana", planned).unwrap();
    world.pass("15m");
    let other = held(&mut world, "1h");
    assert_eq!(since(&world, other), world.now().stamp);
}

/// One thing that somebody does who wants to hold it for ever.
#[derive(Debug, Clone)]
enum Trick {
    Ask { minutes: u32 },
    GiveUp,
    Wait { millis: i64 },
}

/// However it is asked for, given up and asked for again: from the first instant held to the last there is no more than the
/// cap, until a break that counts.
#[test]
fn no_sequence_with_short_breaks_ever_gives_more_than_the_cap() {
    let trick = prop_oneof![
        4 => (1_u32..60).prop_map(|minutes| Trick::Ask { minutes }),
        2 => Just(Trick::GiveUp),
        5 => prop_oneof![3 => 0_i64..720_000, 2 => 1_000_000_i64..3_000_000, 1 => Just(719_999), 1 => Just(720_000)]
            .prop_map(|millis| Trick::Wait { millis }),
    ];
    let most = std::cell::Cell::new(Span::ZERO);
    let run = |tricks: Vec<Trick>| {
        let mut world = World::new();
        let mut spans: BTreeMap<GrantId, (Timestamp, Timestamp)> = BTreeMap::new();
        for trick in tricks {
            match trick {
                Trick::Ask { minutes } => {
                    let ask = Ask::repair().lasting(&format!("{minutes}m"));
                    if let Ok(asked) = ask.by("ana", &mut world) {
                        drop(world.approve("ben", asked));
                        drop(world.withdraw("ana", asked));
                    }
                }
                Trick::GiveUp => {
                    let open: Vec<GrantId> =
                        world.state.open_grants_of(&"ana".parse().unwrap()).map(|it| it.id).collect();
                    open.into_iter().for_each(|grant| drop(world.relinquish("ana", grant)));
                }
                Trick::Wait { millis } => {
                    world.at = world.at.plus(Span::from_millis(millis).unwrap());
                    world.tick();
                }
            }
            for grant in world.state.grants().values() {
                let until = grant.closed_at().map_or(grant.end, |at| at.min(grant.end));
                spans.insert(grant.id, (grant.start, until));
            }
        }
        let mut all: Vec<(Timestamp, Timestamp)> = spans.into_values().filter(|(from, to)| from < to).collect();
        all.sort();
        let mut run: Option<(Timestamp, Timestamp)> = None;
        for (from, to) in all {
            let (since, until) = run.filter(|(_, until)| from < until.plus(span("12m"))).unwrap_or((from, to));
            run = Some((since, until.max(to)));
            let length = until.max(to).since(since);
            prop_assert!(length <= span("2h"), "held for {length}, from {since}");
            most.set(most.get().max(length));
        }
        Ok(())
    };
    let config = ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config).run(&prop::collection::vec(trick, 10..40), run).unwrap();
    assert_eq!(most.get(), span("2h"), "and the cap itself is reached");
}
