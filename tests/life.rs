//! The life of an account, over random organisations and random streams of what happens in them, against a model written
//! another way (tests/life/model.rs): invariants 1, 2, 5, 6, 9 and 13 of design.md 14 as far as they are about people, role
//! conflict over persons, and one batch as its parts (known failure B1 to B9).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "life/batches.rs"]
mod batches;
#[path = "life/enrolling.rs"]
mod enrolling;
#[path = "life/gone.rs"]
mod gone;
#[path = "life/model.rs"]
mod model;
#[path = "life/past.rs"]
mod past;
#[path = "life/random.rs"]
mod random;
#[path = "common/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::directory::AccountState;
use countersign::domain::record::event::{ElevationFact, Event, Fact, GrantFact};
use countersign::domain::state::State;
use countersign::domain::value::time::Timestamp;
use model::days;
use past::Past;
use proptest::prelude::*;
use random::{Change, PEOPLE, Start, Step};
use world::{may_in, replay};

const ALL_ROLES: [&str; 3] = ["engineer", "commander", "robot"];
const ASKS: [&str; 2] = ["engineer", "robot"];

/// The same histories each time, so that what they must reach is no luck; with a seed, as `scripts/soak` gives one for each
/// round, those of the seed.
fn runner(cases: u32) -> proptest::test_runner::TestRunner {
    use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
    let config =
        ProptestConfig { cases, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_RNG_SEED").is_some() {
        TestRunner::new(config)
    } else {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    }
}

/// Runs histories with a look after every step. With `timers` off no tick ever runs.
fn over_histories(cases: u32, steps: usize, timers: bool, mut look: impl FnMut(&mut Past, &Step, &State)) {
    let look = std::cell::RefCell::new(&mut look);
    let histories = (random::start(), prop::collection::vec(random::step(), steps / 2..steps));
    let run = |(start, steps): (Vec<Start>, Vec<Step>)| {
        let mut past = Past::new(&start);
        for mut step in steps {
            if let Step::Pass { tick, .. } = &mut step {
                *tick &= timers;
            }
            let before = past.world.state.clone();
            past.step(&step);
            (look.borrow_mut())(&mut past, &step, &before);
        }
        Ok(())
    };
    runner(cases).run(&histories, run).unwrap();
}

fn accounts(state: &State) -> Vec<String> {
    state.organisation().accounts().keys().map(ToString::to_string).collect()
}

fn may_use(state: &State, account: &str, role: &str, t: Timestamp) -> bool {
    state.organisation().eligible_in(&account.parse().unwrap(), &role.parse().unwrap(), t).is_ok()
}

/// The core and the model say the same of everybody at an instant.
#[track_caller]
fn agree(past: &Past, t: Timestamp) {
    let (state, model) = (past.state(), &past.model);
    for account in accounts(state) {
        let usable = state.organisation().account_validity(&account.parse().unwrap(), t).is_ok();
        assert_eq!(usable, model.is_usable(&account, t), "{account} at {t}");
        let record = state.organisation().accounts().get(account.as_str()).unwrap();
        for role in ALL_ROLES {
            let core = may_use(state, &account, role, t);
            assert_eq!(core, model.may_use(&account, role, t), "{account} in {role} at {t}: {record:?}");
        }
    }
    for person in PEOPLE {
        let id = person.parse().unwrap();
        let employed = state.organisation().people().get(&id).is_some_and(|it| it.is_employed(t));
        assert_eq!(employed, model.is_employed(person, t), "{person} at {t}");
        let manager = state.organisation().manager_of(&id, t).map(ToString::to_string);
        assert!(!employed || manager == model.manager(person, t), "the manager of {person} at {t}: {manager:?}");
    }
}

#[test]
fn the_core_and_the_model_agree_on_who_may_do_what_in_which_role() {
    let approved = std::cell::Cell::new(0);
    over_histories(32, 50, true, |past, _, _| {
        agree(past, past.now());
        approved.set(approved.get() + std::mem::take(&mut past.enrolments_approved));
    });
    assert!(approved.get() > 8, "only {} enrolments were approved in all histories", approved.get());
}

#[test]
fn invariant_1_every_eligibility_that_is_over_is_over_without_any_tick() {
    over_histories(16, 40, false, |past, _, _| {
        let now = past.now();
        for ahead in [0, 1, 20, 91, 400] {
            agree(past, now.plus(days(ahead)));
        }
        for grant in past.state().grants().values().filter(|grant| grant.is_live(now)) {
            let (model, holder) = (&past.model, grant.holder.as_str());
            assert!(ASKS.iter().any(|role| model.may_use(holder, role, now)), "a live grant of {holder}: {grant:?}");
        }
    });
}

/// The grants that some events issued, each with its place among them.
fn issued(events: &[Event]) -> impl Iterator<Item = (usize, &countersign::domain::record::grant::Grant)> {
    events.iter().enumerate().filter_map(|(index, event)| match &event.fact {
        Fact::Grant(GrantFact::Issued(grant)) => Some((index, &**grant)),
        _ => None,
    })
}

#[test]
fn invariant_2_every_grant_rests_on_people_who_could_decide_by_their_history() {
    let grants = std::cell::Cell::new(0);
    over_histories(40, 60, true, |past, _, before| {
        let first = usize::try_from(before.sequence()).unwrap();
        let (events, model, now) = (&past.world.events, &past.model, past.now());
        for (index, grant) in issued(&events[first..]) {
            grants.set(grants.get() + 1);
            let mut counted = BTreeSet::new();
            for event in &events[..first + index] {
                match &event.fact {
                    Fact::Elevation(ElevationFact::ApprovalRecorded(fact)) if fact.elevation == grant.elevation => {
                        counted.insert(fact.decision.person.to_string());
                    }
                    Fact::Elevation(ElevationFact::ApprovalStruck(fact)) if fact.elevation == grant.elevation => {
                        counted.remove(fact.person.as_str());
                    }
                    _ => {}
                }
            }
            // one stage with one approver each: exactly one person, not behind it, who may decide by what happened
            assert_eq!(counted.len(), 1, "{grant:?}");
            let who = counted.first().unwrap();
            let person = model.person_of(grant.holder.as_str(), now).unwrap();
            assert!(*who != person && !grant.behind.iter().any(|it| it.as_str() == who), "{who} is behind {grant:?}");
            let own = model.accounts_of(who, now);
            let may_decide = if grant.entitlement.as_str() == "managed" {
                model.manager(&person, now).as_deref() == Some(who) && own.iter().any(|it| model.is_usable(it, now))
            } else {
                own.iter().any(|account| model.may_use(account, "commander", now))
            };
            assert!(may_decide, "{who} let {grant:?} be");
            assert!(ASKS.iter().any(|role| model.may_use(grant.holder.as_str(), role, now)), "{grant:?}");
        }
    });
    assert!(grants.get() > 15, "only {} grants in all histories", grants.get());
}

#[test]
fn invariant_5_nothing_is_left_to_whoever_left() {
    let gone = std::cell::Cell::new(0);
    over_histories(32, 50, true, |past, step, _| {
        let now = past.now();
        let left: Vec<&str> = PEOPLE
            .into_iter()
            .filter(|person| past.model.was_ever_here(person) && !past.model.is_employed(person, now))
            .collect();
        for person in left {
            gone.set(gone.get() + 1);
            gone::nothing_is_left(past, person);
        }
        if let Step::Hr { events, .. } = step
            && past.took_effect
        {
            for (whom, change) in events {
                if let Change::Leave { also_approved: true, .. } = change
                    && events.len() == 1
                    && !past.model.is_employed(PEOPLE[*whom], now)
                {
                    gone::nothing_rests_on_approvals_of(past, PEOPLE[*whom]);
                }
            }
        }
    });
    assert!(gone.get() > 100, "hardly anybody left: {}", gone.get());
}

/// Who may use which account in which role now, and who may do what by a grant.
fn rights(state: &State, t: Timestamp) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    for account in accounts(state) {
        let roles = ALL_ROLES.into_iter().filter(|role| may_use(state, &account, role, t));
        all.extend(roles.map(|role| (account.clone(), role.to_owned())));
        for grant in state.grants().values().filter(|grant| grant.holder.as_str() == account) {
            let resource = grant.scope.resources().iter().next().unwrap().to_string();
            let action = grant.scope.actions().iter().next().unwrap().to_string();
            if may_in(state, t, &account, &action, &resource) {
                all.insert((account.clone(), resource));
            }
        }
    }
    all
}

#[test]
fn invariant_6_what_takes_away_never_turns_a_deny_into_an_allow() {
    let taken = std::cell::Cell::new(0);
    over_histories(28, 50, true, |past, step, before| {
        let takes = match step {
            Step::Hr { apt: false, events, .. } => {
                let away = |change: &Change| matches!(change, Change::Move { .. } | Change::Leave { .. });
                events.iter().all(|(_, change)| away(change))
            }
            // what was said in place of a joining is no joining
            Step::Hr { events, .. } => events.iter().all(|(whom, change)| {
                let here =
                    before.organisation().people().get(PEOPLE[*whom]).is_some_and(|it| it.is_employed(past.now()));
                here && !matches!(change, Change::Rename { .. } | Change::Stay)
            }),
            // put right to an earlier date, or taken back: a later date is a renewal
            Step::Correct { whom, what, hours_ago } => {
                let (person, what) = (PEOPLE[*whom], random::REQUIREMENTS[*what]);
                let met_at = |state: &State| {
                    state.organisation().people().get(person).and_then(|it| it.attestations.get(what).copied())
                };
                hours_ago.is_none() || met_at(past.state()) <= met_at(before)
            }
            Step::Again { .. } | Step::EndMembership { .. } | Step::CloseAccount { .. } | Step::Campaign { .. } => true,
            Step::Enrol { apt, .. } => !apt,
            Step::Ask { .. } | Step::Confirm { .. } => true,
            Step::Pass { .. } => false,
            Step::Attest { .. } | Step::Train { .. } | Step::Approve { .. } | Step::ApproveEnrolment { .. } => false,
        };
        let now = past.now();
        if takes {
            for at in [now, now.plus(days(1)), now.plus(days(15)), now.plus(days(100))] {
                // a membership that was confirmed goes on to its own end, and not a day longer
                if matches!(step, Step::Confirm { .. }) && at != now {
                    continue;
                }
                let (after, earlier) = (rights(past.state(), at), rights(before, at));
                let more: Vec<_> = after.difference(&earlier).collect();
                assert!(more.is_empty(), "{step:?} allows {more:?} at {at}");
            }
            taken.set(taken.get() + usize::from(past.took_effect));
        } else if let Step::Pass { .. } = step {
            // what a tick recorded allows nothing that the state before would not have allowed at this time, but grants
            // that it started
            let started: BTreeSet<String> = past
                .state()
                .grants()
                .values()
                .filter(|grant| before.grants().get(&grant.id).is_none_or(|old| old.phase != grant.phase))
                .map(|grant| grant.holder.to_string())
                .collect();
            let (after, earlier) = (rights(past.state(), now), rights(before, now));
            let more: Vec<_> = after.difference(&earlier).filter(|(holder, _)| !started.contains(holder)).collect();
            assert!(more.is_empty(), "{step:?} allows {more:?}");
        }
    });
    assert!(taken.get() > 100, "hardly anything was taken away: {}", taken.get());
}

#[test]
fn no_person_ever_holds_both_sides_of_an_entitlement_over_all_accounts_and_machines() {
    let held = std::cell::Cell::new(0);
    over_histories(32, 60, true, |past, _, _| {
        let (now, model, state) = (past.now(), &past.model, past.state());
        for person in PEOPLE {
            let accounts = model.accounts_of(person, now);
            let holds = |role: &str| accounts.iter().any(|account| model.holds(account, role, now));
            let (asks, approves) = (ASKS.iter().any(|role| holds(role)), holds("commander"));
            held.set(held.get() + usize::from(approves));
            assert!(!(asks && approves), "{person} asks and approves, by {accounts:?}");
            // as the records have it, not only as the model does
            let mut records: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (id, account) in state.organisation().accounts_of(&person.parse().unwrap()) {
                let live = account.roles.iter().filter(|(_, it)| !it.ends_at().is_over(now));
                let open = account.state != AccountState::Closed;
                live.filter(|_| open).for_each(|(role, _)| records.entry(role.as_str()).or_default().push(id.as_str()));
            }
            let asks = ASKS.iter().any(|role| records.contains_key(role));
            assert!(!(asks && records.contains_key("commander")), "{person}: {records:?}");
        }
    });
    assert!(held.get() > 100, "hardly anybody approves: {}", held.get());
}

#[test]
fn no_one_is_ever_their_own_manager_over_however_many_others() {
    over_histories(32, 50, false, |past, _, _| {
        let organisation = past.state().organisation();
        for t in [0, 1, 4, 45].map(|ahead| past.now().plus(days(ahead))) {
            for person in PEOPLE {
                let start = person.parse().unwrap();
                let mut above = organisation.manager_of(&start, t);
                for _ in 0..PEOPLE.len() + 2 {
                    assert_ne!(above, Some(&start), "at {t}");
                    above = above.and_then(|manager| organisation.manager_of(manager, t));
                }
                assert_eq!(above, None, "a circle above {person} at {t}");
            }
        }
    });
}

#[test]
fn invariant_9_replay_is_deterministic_from_any_cut_and_every_fact_comes_back_from_its_row() {
    // the world decodes every row that it encodes, and compares; here also the kinds that this has been seen of
    let kinds = std::cell::RefCell::new(BTreeSet::new());
    let mut looks = 0_usize;
    over_histories(24, 60, true, |past, _, _| {
        looks += 1;
        kinds.borrow_mut().append(&mut past.kinds);
        if looks.is_multiple_of(24) {
            let rows = &past.world.rows;
            let cut = rows.len() * (looks % 7) / 7;
            let mut state = replay(&rows[..cut]);
            for row in &rows[cut..] {
                countersign::domain::state::apply::apply(
                    &mut state,
                    &countersign::domain::record::row::decode(row).unwrap().0,
                );
            }
            assert!(state == past.world.state);
        }
    });
    // given somebody who asks for a role and has another manager before anybody has decided
    let one = Start { kind: 2, manager: PEOPLE.len(), training: Some(1), dba: Some(1), until: None };
    let nobody = Start { kind: 0, ..one.clone() };
    let mut past = Past::new(&[vec![one], vec![nobody; PEOPLE.len() - 1]].concat());
    past.step(&Step::Enrol { who: 0, apt: true, kind: 1, role: 0, days: Some(9), machine: 0 });
    past.step(&Step::Hr { numbered: true, apt: false, events: vec![(0, Change::Move { manager: 99, hours: 0 })] });
    kinds.borrow_mut().append(&mut past.kinds);
    // and somebody whose membership is confirmed
    let one = Start { kind: 3, manager: PEOPLE.len(), training: Some(1), dba: Some(1), until: None };
    let nobody = Start { kind: 0, ..one.clone() };
    let mut past = Past::new(&[vec![one], vec![nobody; PEOPLE.len() - 1]].concat());
    past.step(&Step::Campaign { role: 0, days: 5 });
    past.step(&Step::Confirm { whom: 0 });
    past.step(&Step::Pass { hours: 24 * 6, tick: true });
    kinds.borrow_mut().append(&mut past.kinds);
    for kind in [
        "requirement-lapsed/1",
        "lapse-ahead/1",
        "membership-ended/1",
        "attestation-recorded/1",
        "attestation-corrected/1",
        "person-left/1",
        "person-moved/1",
        "membership-revoked/1",
        "account-closed/1",
        "hr-event-applied/1",
        "hr-feed-heard/1",
        "enrolment-requested/1",
        "enrolment-approval-recorded/1",
        "enrolment-approved/1",
        "enrolment-expired/1",
        "enrolment-cancelled/1",
        "campaign-started/1",
        "membership-confirmed/1",
        "campaign-closed/1",
    ] {
        assert!(kinds.borrow().contains(kind), "`{kind}` happened in no history: {:?}", kinds.borrow());
    }
}

#[test]
fn invariant_13_numbers_of_hr_that_were_heard_before_change_nothing() {
    // every `Again` of a history asserts it, under a request_id of its own; here also that the number never runs back
    let again = std::cell::Cell::new(0);
    over_histories(48, 50, true, |past, step, before| {
        let last = |state: &State| state.feeds().get("people").map_or(0, |feed| feed.last_number);
        assert!(last(past.state()) >= last(before));
        assert_eq!(last(past.state()), u64::try_from(past.sent.len()).unwrap());
        again.set(again.get() + usize::from(matches!(step, Step::Again { .. }) && past.took_effect));
    });
    assert!(again.get() > 8, "hardly any number came again: {}", again.get());
}
