//! The invariants of design.md 14 that the core itself can keep, each over random histories (tests/common/history.rs).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "common/history.rs"]
mod history;
#[path = "invariants/journal.rs"]
mod journal;
#[path = "invariants/locks.rs"]
mod locks;
#[cfg(feature = "server")]
#[path = "invariants/tampering.rs"]
mod tampering;
#[path = "common/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::record::event::{Actor, BrokerFact, ElevationFact, Event, Fact, GrantFact};
use countersign::domain::record::grant::Grant;
use countersign::domain::state::State;
use countersign::domain::value::ids::{ElevationId, GrantId, PersonId};
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::scope::Scope;
use countersign::domain::value::time::Timestamp;
use history::{Past, Step, WHO, history, step};
use proptest::prelude::*;
use world::{World, may_in};

const PROBES: [(&str, &str); 4] = [
    ("db.read", "prod/eu/db/orders/1"),
    ("db.schema", "prod/us/db/orders/1"),
    ("report.read", "reports/0"),
    ("deploy.run", "prod/eu/apps/orders"),
];

/// Runs histories with a look after every step.
fn over_histories(cases: u32, steps: usize, look: impl FnMut(&mut Past, &Step, &State)) {
    over_each(cases, history(steps), look);
}

fn over_each(cases: u32, histories: impl Strategy<Value = Vec<Step>>, mut look: impl FnMut(&mut Past, &Step, &State)) {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let look = std::cell::RefCell::new(&mut look);
    let run = |steps: Vec<Step>| {
        let mut past = Past::with_emergencies();
        for step in &steps {
            let before = past.world.state.clone();
            drop(past.step(step));
            (look.borrow_mut())(&mut past, step, &before);
        }
        Ok(())
    };
    runner.run(&histories, run).unwrap();
}

fn allowed(state: &State, latest: Timestamp) -> BTreeSet<(&'static str, usize)> {
    let mut allowed = BTreeSet::new();
    for who in WHO {
        for (index, (action, resource)) in PROBES.iter().enumerate() {
            if may_in(state, latest, who, action, resource) {
                allowed.insert((who, index));
            }
        }
    }
    allowed
}

fn issued(events: &[Event]) -> impl Iterator<Item = (usize, &Grant)> {
    events.iter().enumerate().filter_map(|(index, event)| match &event.fact {
        Fact::Grant(GrantFact::Issued(grant)) => Some((index, &**grant)),
        _ => None,
    })
}

/// The end of every grant as the journal tells it: what was issued, shortened, closed.
fn intervals(events: &[Event]) -> BTreeMap<GrantId, (Option<Timestamp>, Timestamp)> {
    let mut all = BTreeMap::new();
    for event in events {
        match &event.fact {
            Fact::Grant(GrantFact::Issued(grant)) => {
                let started = (grant.phase.name() == "ACTIVE").then_some(grant.start);
                all.insert(grant.id, (started, grant.end));
            }
            Fact::Grant(GrantFact::Started(fact)) => all.get_mut(&fact.grant).unwrap().0 = Some(event.at),
            Fact::Grant(GrantFact::Shortened(fact)) => all.get_mut(&fact.grant).unwrap().1 = fact.end,
            Fact::Grant(GrantFact::Relinquished(fact)) => all.get_mut(&fact.grant).unwrap().1 = event.at,
            Fact::Grant(GrantFact::Revoked(fact)) => all.get_mut(&fact.grant).unwrap().1 = event.at,
            _ => {}
        }
    }
    all
}

#[test]
fn invariant_1_no_grant_is_active_before_its_start_or_from_its_end_on() {
    over_histories(48, 60, |past, _, _| {
        let world = &past.world;
        let now = world.now();
        let journal = intervals(&world.events);
        for grant in world.state.grants().values().filter(|grant| grant.is_live(now.latest)) {
            let (started, end) = journal[&grant.id];
            // every clock that there is, and the journal's last word, lie before the end
            let wall = Timestamp::from_millis(world.at.millis() + world.wall_off_by).unwrap();
            assert!([wall, world.at, world.state.last_at()].iter().all(|clock| *clock < end), "{grant:?}");
            assert!(started.is_some_and(|started| started <= now.stamp), "{grant:?}");
            assert!(grant.start <= now.stamp);
        }
    });
}

#[test]
fn invariant_1_holds_with_all_timers_off() {
    over_histories(24, 60, |past, step, before| {
        if let Step::Pass { .. } = step {
            // what a tick recorded changes no verdict but that of grants that it started
            let latest = past.world.now().latest;
            let (ticked, without) = (allowed(&past.world.state, latest), allowed(before, latest));
            let starts = past.world.state.grants().values().filter(|grant| {
                grant.is_open() && before.grants().get(&grant.id).is_some_and(|old| old.phase != grant.phase)
            });
            let started: BTreeSet<String> = starts.map(|grant| grant.holder.to_string()).collect();
            for (who, probe) in ticked.symmetric_difference(&without) {
                assert!(started.contains(*who), "{who} {probe}: {step:?}");
            }
        }
    });
}

#[test]
fn invariant_2_every_grant_has_before_it_the_decisions_its_terms_asked_for() {
    let mut grants = 0;
    over_histories(64, 60, |past, _, before| {
        let first = usize::try_from(before.sequence()).unwrap();
        let events = &past.world.events;
        for (index, grant) in issued(events).filter(|(index, _)| *index >= first) {
            grants += 1;
            let mut counted: BTreeMap<PersonId, u32> = BTreeMap::new();
            let mut stages = Vec::new();
            let mut behind = BTreeSet::new();
            for event in &events[..index] {
                match &event.fact {
                    Fact::Elevation(ElevationFact::Requested(elevation)) if elevation.id == grant.elevation => {
                        stages.clone_from(&elevation.review.stages);
                        behind.clone_from(&elevation.behind);
                    }
                    Fact::Elevation(ElevationFact::ApprovalRecorded(fact)) if fact.elevation == grant.elevation => {
                        let Actor::Caller(_) = event.actor else { panic!("approved by nobody") };
                        let twice = counted.insert(fact.decision.person.clone(), fact.decision.stage);
                        assert_eq!(twice, None, "a person counts once");
                    }
                    Fact::Elevation(ElevationFact::ApprovalStruck(fact)) if fact.elevation == grant.elevation => {
                        counted.remove(&fact.person).unwrap();
                    }
                    _ => {}
                }
            }
            let owner_now = past.world.organisation.accounts[grant.holder.as_str()].owner.clone();
            for (stage, wanted) in (0_u32..).zip(&stages) {
                let by: Vec<&PersonId> = counted.iter().filter(|(_, at)| **at == stage).map(|(who, _)| who).collect();
                assert_eq!(by.len(), usize::try_from(wanted.count).unwrap(), "stage {stage} of {grant:?}");
                for person in by {
                    assert!(!behind.contains(person) && owner_now.as_deref() != Some(person.as_str()));
                    assert!(in_capacity(&past.world, person, &wanted.by, grant), "{person} in {:?}", wanted.by);
                }
            }
        }
    });
    assert!(grants > 30, "only {grants} grants in all histories");
}

/// Part of invariant 2 for emergencies: who stood behind one whose follow-up was overdue got no other.
#[test]
fn invariant_2_no_emergency_leads_to_a_grant_while_a_follow_up_is_overdue() {
    let (mut grants, mut completed, mut refused) = (0, 0, 0);
    let ask = (prop::sample::select(vec![0_usize, 1, 9]), 0_usize..2, 0_usize..3)
        .prop_map(|(who, scope, duration)| Step::Ask { who, what: 0, scope, duration, start: 0, on_behalf: 0 });
    let pass = (60_000_i64..7_200_000, any::<bool>()).prop_map(|(millis, tick)| Step::Pass { millis, tick });
    let step = prop_oneof![
        6 => ask,
        5 => Just(Step::ApproveAptly { which: 0 }),
        3 => (2_usize..6, 0_usize..4).prop_map(|(who, which)| Step::Approve { who, which }),
        4 => pass,
        2 => step(),
    ];
    over_each(96, prop::collection::vec(step, 20..60), |past, _, before| {
        let first = usize::try_from(before.sequence()).unwrap();
        for (index, event) in past.world.events.iter().enumerate().skip(first) {
            match &event.fact {
                Fact::Grant(GrantFact::Issued(grant)) if grant.emergency => {
                    grants += 1;
                    let owed = before.elevations().values().filter_map(|it| Some((it, it.open_follow_up()?)));
                    for (other, follow_up) in owed {
                        let shares = !other.behind.is_disjoint(&grant.behind);
                        assert!(!shares || !follow_up.due.is_over(event.at), "{grant:?} beside {other:?}");
                    }
                    let next = &past.world.events[index + 1].fact;
                    assert!(
                        matches!(next, Fact::Elevation(ElevationFact::FollowUpOpened(owed)) if owed.grant == grant.id),
                        "{next:?}"
                    );
                }
                Fact::Elevation(ElevationFact::FollowUpCompleted(fact)) => {
                    completed += 1;
                    let elevation = &before.elevations().get(&fact.elevation).unwrap();
                    let person = &fact.completion.person;
                    assert!(!elevation.behind.contains(person) && !elevation.review.has_decided(person));
                }
                Fact::Broker(BrokerFact::CommandRefused(told)) if told.reason == Reason::FollowUpOverdue => {
                    refused += 1;
                }
                _ => {}
            }
        }
    });
    assert!(grants > 20 && completed > 5 && refused > 5, "{grants} grants, {completed} completed, {refused} refused");
}

/// Whether a person is in one of these roles now by the directory file, with all that this needs, or the manager.
fn in_capacity(
    world: &World,
    person: &PersonId,
    by: &BTreeSet<countersign::domain::policy::Approver>,
    grant: &Grant,
) -> bool {
    let people = &world.organisation.people;
    let Some(record) = people.get(person.as_str()) else { return false };
    let latest = world.now().latest;
    let later = |until: &Option<String>| until.as_ref().is_none_or(|until| world::at(until) > latest);
    let mut accounts = world.organisation.accounts.values();
    accounts.any(|account| {
        account.person.as_deref() == Some(person.as_str())
            && account.disabled.is_none()
            && later(&account.until)
            && by.iter().any(|approver| match approver.to_string().as_str() {
                "@manager" => people[grant.person.as_str()].manager.as_deref() == Some(person.as_str()),
                role => {
                    let trained = record.attestations.get("training");
                    let lapses = trained.map(|at| world::at(at).plus(world::span("365d")));
                    account.roles.get(role).is_some_and(&later)
                        && (role != "security" || lapses.is_some_and(|lapses| lapses > latest))
                }
            })
    })
}

#[test]
fn invariant_3_at_most_one_grant_for_an_elevation() {
    over_histories(32, 60, |past, _, _| {
        let mut seen: BTreeSet<ElevationId> = BTreeSet::new();
        assert!(issued(&past.world.events).all(|(_, grant)| seen.insert(grant.elevation)));
    });
}

#[test]
fn invariant_4_a_scope_is_within_request_and_policy_and_no_end_ever_grows() {
    over_histories(48, 60, |past, _, before| {
        let world = &past.world;
        for (id, grant) in world.state.grants() {
            match before.grants().get(id) {
                Some(old) => {
                    assert!(grant.end <= old.end, "an end never grows");
                    assert_eq!((&grant.scope, &grant.holder, grant.start), (&old.scope, &old.holder, old.start));
                }
                None => {
                    let elevation = world.state.elevations().get(&grant.elevation).unwrap();
                    let terms = &world.state.organisation().policy().entitlements[&grant.entitlement].terms;
                    let scope: &Scope = &grant.scope;
                    assert!(elevation.scope.contains(scope) && terms.scope.contains(scope));
                    assert!(grant.end.since(grant.start) <= terms.max_duration.min(elevation.duration));
                }
            }
        }
    });
}

#[test]
fn invariant_5_nothing_is_left_to_whoever_was_removed() {
    over_histories(48, 60, |past, step, _| {
        if !matches!(step, Step::Change { .. }) {
            return;
        }
        let world = &past.world;
        let gone = |person: &PersonId| !world.organisation.people.contains_key(person.as_str());
        for grant in world.state.grants().values().filter(|grant| grant.is_live(world.now().latest)) {
            let on_behalf_gone = grant.on_behalf_of.as_ref().is_some_and(gone);
            assert!(
                !on_behalf_gone
                    && (world.organisation.accounts[grant.holder.as_str()].owner.is_some() || !gone(&grant.person))
            );
        }
        for id in world.state.pending() {
            let elevation = world.state.elevations().get(id).unwrap();
            let over = elevation.review.deadline.is_over(world.now().latest);
            assert!(over || elevation.review.approvals().all(|decision| !gone(&decision.person)));
        }
    });
}

#[test]
fn invariant_6_what_takes_away_never_turns_a_deny_into_an_allow() {
    over_histories(48, 60, |past, step, before| {
        // roles, attestations, employment, dates; and every command that ends something
        let takes = !matches!(
            step,
            Step::Approve { .. } | Step::ApproveAptly { .. } | Step::Pass { .. } | Step::Clock(_) | Step::Repeat { .. }
        );
        if takes {
            let latest = past.world.now().latest;
            let (after, earlier) = (allowed(&past.world.state, latest), allowed(before, latest));
            let more: Vec<_> = after.difference(&earlier).copied().collect();
            assert!(more.is_empty(), "{step:?} allows {more:?}");
        }
    });
}

#[test]
fn invariant_7_whatever_is_refused_or_empty_allows_nothing() {
    over_histories(32, 60, |past, step, before| {
        let refused = past.sent.last().is_some_and(|(_, took_effect)| !took_effect);
        let is_command = !matches!(
            step,
            Step::Change { .. }
                | Step::Policy(_)
                | Step::Pass { .. }
                | Step::Clock(_)
                | Step::Restart(_)
                | Step::Repeat { .. }
        );
        if refused && is_command {
            assert_eq!(before.grants(), past.world.state.grants());
            assert_eq!(before.elevations(), past.world.state.elevations());
        }
        for grant in past.world.state.grants().values() {
            assert!(!grant.scope.actions().is_empty() && !grant.scope.resources().is_empty());
        }
    });
}

#[test]
fn invariant_13_a_request_id_takes_effect_once_in_a_day() {
    // every `Repeat` of a history asserts it; here also that no id was bound twice within a day
    over_histories(48, 80, |past, _, _| {
        let mut bound: BTreeMap<_, Timestamp> = BTreeMap::new();
        for event in &past.world.events {
            if let (Some(mark), Actor::Caller(principal)) = (&event.request, &event.actor)
                && let Some(earlier) = bound.insert((principal.clone(), mark.id), event.at)
            {
                assert!(event.at.since(earlier) > countersign::domain::value::time::Span::DAY);
            }
        }
    });
}
