//! One batch as its parts: events together and one by one; a whole file and the events that it stands for. And the brake.
#![allow(unreachable_pub, reason = "modules of one test crate")]

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::directory::Employment;
use countersign::domain::policy::CapabilityName;
use countersign::domain::record::command::{ApplyHrEvents, Command, ImportPeople};
use countersign::domain::record::hr::{HrChange, HrEvent, ImportedPerson, StreamPlace};
use countersign::domain::record::lock::Locked;
use countersign::domain::state::State;
use countersign::domain::value::ids::{Identity, PersonId};
use countersign::domain::value::refusal::Refusal;
use countersign::domain::value::time::Timestamp;
use proptest::prelude::*;

use crate::past::{Past, event};
use crate::random::{self, PEOPLE, Start, Step};
use crate::world::{World, identity};

/// Everything but sequence numbers, and what is bound to them.
#[track_caller]
fn assert_same(one: &State, other: &State) {
    assert_same_but_feeds(one, other);
    assert!(one.feeds() == other.feeds(), "{:?}\n{:?}", one.feeds(), other.feeds());
}

#[track_caller]
fn assert_same_but_feeds(one: &State, other: &State) {
    assert_same_people(one, other);
    assert!(one.elevations() == other.elevations(), "elevations");
    assert!(one.grants() == other.grants(), "grants: {:?}\n{:?}", one.grants(), other.grants());
    assert!(one.enrolments() == other.enrolments(), "enrolments");
    assert!(one.campaigns() == other.campaigns() && one.holds() == other.holds(), "campaigns, holds");
}

#[track_caller]
fn assert_same_people(one: &State, other: &State) {
    for (id, person) in one.organisation().people() {
        assert_eq!(Some(person), other.organisation().people().get(id), "{id}");
    }
    for (id, account) in one.organisation().accounts() {
        assert_eq!(Some(account), other.organisation().accounts().get(id), "{id}");
    }
    assert!(crate::world::same_but_for_places(one, other), "who works here");
    assert!(one.pending() == other.pending() && one.pending_enrolments() == other.pending_enrolments());
}

/// The same is open, held and closed: of several causes at once, the one that comes first in order is told.
#[track_caller]
fn assert_same_but_causes(one: &State, other: &State) {
    assert_same_people(one, other);
    let phases = |state: &State| {
        let grants = state.grants().values().map(|it| (it.id.to_string(), it.phase.name(), Some(it.end)));
        let elevations = state.elevations().values().map(|it| (it.id.to_string(), it.phase.name(), None));
        let enrolments = state.enrolments().values().map(|it| (it.id.to_string(), it.phase.name(), None));
        grants.chain(elevations).chain(enrolments).collect::<Vec<_>>()
    };
    assert_eq!(phases(one), phases(other));
    assert!(one.campaigns() == other.campaigns() && one.holds() == other.holds(), "campaigns, holds");
}

fn apply(world: &mut World, place: Option<StreamPlace>, events: Vec<HrEvent>) -> Result<(), Refusal> {
    world.send("feed", Command::from(ApplyHrEvents { place, events })).map(|_| ())
}

fn place(number: usize) -> StreamPlace {
    StreamPlace { stream: "people".parse().unwrap(), number: u64::try_from(number).unwrap() }
}

/// A random past, in which people ask, approve, move and leave, and then something random of HR.
fn past_and<T: std::fmt::Debug + 'static>(
    cases: u32,
    more: impl Strategy<Value = T> + 'static,
    mut look: impl FnMut(Past, T),
) {
    let look = std::cell::RefCell::new(&mut look);
    let all = (random::start(), prop::collection::vec(random::step(), 10..40), more);
    let run = |(start, steps, more): (Vec<Start>, Vec<Step>, T)| {
        let mut past = Past::new(&start);
        steps.iter().for_each(|step| past.step(step));
        past.world.pass("1s");
        (look.borrow_mut())(past, more);
        Ok(())
    };
    crate::runner(cases).run(&all, run).unwrap();
}

#[test]
fn one_batch_equals_its_parts() {
    let (taken, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    past_and(64, (random::events(8), prop::bool::weighted(0.7)), |past, (changes, apt)| {
        let now = past.world.at;
        let mut events: Vec<HrEvent> = changes.iter().map(|(whom, change)| event(*whom, change, now)).collect();
        if apt {
            // Mostly those alone that fit, each after those before it.
            let mut alone = past.world.clone();
            events.retain(|event| apply(&mut alone, None, vec![event.clone()]).is_ok());
        }
        if events.is_empty() {
            return;
        }
        // given the same world twice: when one takes all events together, and one takes them one by one; in no stream, where
        // what cannot happen is set aside
        let (mut together, mut apart) = (past.world.clone(), past.world.clone());
        let whole = apply(&mut together, None, events.clone());
        let mut parts = Ok(());
        for event in events {
            parts = apply(&mut apart, None, vec![event]);
            if parts.is_err() {
                break;
            }
        }
        // then they end as one, and if a part is refused the whole is, for the same reason, and has changed nothing
        match (whole, parts) {
            (Ok(()), Ok(())) => {
                taken.set(taken.get() + 1);
                assert_same(&together.state, &apart.state);
            }
            (Err(whole), Err(part)) => {
                refused.set(refused.get() + 1);
                assert_eq!(whole.reason, part.reason, "{whole}; {part}");
                assert_same(&together.state, &past.world.state);
            }
            (whole, parts) => panic!("together {whole:?}, apart {parts:?}"),
        }
    });
    assert!(taken.get() > 15 && refused.get() > 5, "{taken:?} taken, {refused:?} refused");
}

/// One of [`PEOPLE`] as a file has them: not at all, as they are, with another manager, other names, or leaving.
#[derive(Debug, Clone)]
struct Line {
    kind: usize,
    manager: usize,
    hours: i64,
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let kind = prop_oneof![1 => Just(0_usize), 4 => Just(1), 2 => Just(2), 1 => Just(3), 1 => Just(4)];
    let line = (kind, 0..PEOPLE.len() + 2, 1_i64..400);
    prop::collection::vec(line.prop_map(|(kind, manager, hours)| Line { kind, manager, hours }), PEOPLE.len())
}

/// The file, without circles: a manager is somebody further up in it.
fn file(state: &State, lines: &[Line], now: Timestamp) -> BTreeMap<PersonId, ImportedPerson> {
    let mut all: BTreeMap<PersonId, ImportedPerson> = BTreeMap::new();
    let others = (0..random::OTHERS).map(random::other);
    for name in ["hal", "omar", "lea", "lou", "hera"].map(str::to_owned).into_iter().chain(others) {
        all.insert(name.parse().unwrap(), as_it_is(state, &name.parse().unwrap()));
    }
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.kind > 0) {
        let id: PersonId = PEOPLE[index].parse().unwrap();
        let mut person = as_it_is(state, &id);
        if person.login.is_empty() {
            person.login.insert(identity(PEOPLE[index]).parse().unwrap());
        }
        if line.kind == 3 {
            person.login = [identity(&format!("new-{index}")).parse().unwrap()].into();
        }
        if line.kind == 4 {
            person.leaves_at = Some(random::hours(now, line.hours));
        }
        let above = |it: &usize| *it < index && lines[*it].kind > 0;
        let manager = Some(line.manager).filter(above).map(|it| PEOPLE[it]);
        person.manager = manager.or((line.manager == PEOPLE.len()).then_some("hal")).map(|it| it.parse().unwrap());
        all.insert(id, person);
    }
    all
}

fn names_of(state: &State, id: &PersonId) -> BTreeSet<Identity> {
    let login = state.organisation().people().get(id).into_iter().flat_map(|person| person.login.iter());
    let own = state.organisation().accounts_of(id).filter(|(_, account)| !account.is_machine());
    login.chain(own.flat_map(|(_, account)| account.identities.iter())).cloned().collect()
}

fn as_it_is(state: &State, id: &PersonId) -> ImportedPerson {
    let person = state.organisation().people().get(id).filter(|person| person.employment == Employment::Employed);
    let leaves_at = person.and_then(|person| person.employed_until);
    let login = if person.is_some() { names_of(state, id) } else { BTreeSet::new() };
    ImportedPerson { manager: person.and_then(|person| person.manager.clone()), login, leaves_at }
}

/// The events that a file stands for, put together from the state by itself: those who come, managers first; then of
/// each who is here what is different; and whoever is not in the file leaves.
fn stands_for(state: &State, file: &BTreeMap<PersonId, ImportedPerson>, now: Timestamp) -> Vec<HrEvent> {
    let is_here = |id: &PersonId| state.organisation().people().get(id).is_some_and(|person| person.is_employed(now));
    let mut events = Vec::new();
    let order =
        ["hal", "omar", "lea", "lou", "hera"].into_iter().chain(PEOPLE).map(|name| name.parse::<PersonId>().unwrap());
    for id in order {
        let mut say = |change| events.push(HrEvent { person: id.clone(), change });
        match (is_here(&id), file.get(&id)) {
            (false, None) => {}
            (true, None) => say(HrChange::Left { at: now, urgent: false, also_approved: false }),
            (here, Some(person)) => {
                let present = as_it_is(state, &id);
                if here {
                    if person.manager.as_ref() != state.organisation().manager_of(&id, now) {
                        say(HrChange::Transferred { manager: person.manager.clone(), at: now });
                    }
                    if person.login != present.login {
                        say(HrChange::Renamed { login: person.login.clone() });
                    }
                    match (present.leaves_at, person.leaves_at) {
                        (known, told) if known == told => {}
                        (_, Some(at)) => {
                            say(HrChange::Stays);
                            say(HrChange::Left { at, urgent: false, also_approved: false });
                        }
                        (_, None) => say(HrChange::Stays),
                    }
                } else {
                    say(HrChange::Joined { login: person.login.clone(), manager: person.manager.clone() });
                    if let Some(at) = person.leaves_at {
                        say(HrChange::Left { at, urgent: false, also_approved: false });
                    }
                }
            }
        }
    }
    events
}

#[test]
fn an_import_equals_the_events_that_it_stands_for() {
    let taken = std::cell::Cell::new(0);
    past_and(64, lines(), |mut past, lines| {
        // given nobody whose time has come without a timer having said so
        past.world.tick();
        let now = past.world.at;
        let file = file(past.state(), &lines, now);
        let events = stands_for(past.state(), &file, now);
        let (mut imported, mut told) = (past.world.clone(), past.world.clone());
        let number = place(past.sent.len() + 1);
        // when one world takes the file, and one takes the events
        let whole = imported.send("feed", Command::from(ImportPeople { place: number, people: file.clone() }));
        let parts = apply(&mut told, None, events.clone());
        if let (Ok(_), Ok(())) = (&whole, &parts) {
            taken.set(taken.get() + 1);
            // then they end as one, and as the file says
            assert_same_but_causes(&imported.state, &told.state);
            for (id, person) in &file {
                let record = imported.state.organisation().people().get(id).unwrap();
                assert!(record.is_employed(now) && names_of(&imported.state, id) == person.login, "{id}: {record:?}");
                assert_eq!(record.employed_until, person.leaves_at, "{id}");
            }
            for (id, record) in imported.state.organisation().people() {
                assert!(file.contains_key(id) || !record.is_employed(now), "{id} is not in the file");
            }
            // and the same file once more says nothing new
            let people = imported.state.organisation().clone();
            let number = place(past.sent.len() + 2);
            imported.send("feed", Command::from(ImportPeople { place: number, people: file.clone() })).unwrap();
            assert!(people == *imported.state.organisation(), "the same file twice");
        } else {
            assert!(whole.is_err() && parts.is_err(), "{whole:?}; {parts:?}: {events:?}");
            assert_same(&imported.state, &past.world.state);
        }
    });
    assert!(taken.get() > 15, "only {} files were taken", taken.get());
}

#[test]
fn the_brake_holds_what_would_enable_or_disable_many_and_who_leaves_at_once_is_gone_or_stopped() {
    // given a brake of two people in a day
    let run = |(start, events): (Vec<Start>, Vec<(usize, random::Change)>)| {
        let mut past = Past::with_brake(&start, "{ people = 2, percent = 100 }");
        let noon = past.world.at;
        let before = past.state().organisation().clone();
        // when HR says all kinds of things, one at a time
        for (whom, change) in &events {
            past.world.pass("1m");
            let event = event(*whom, change, past.world.at);
            let is_urgent = matches!(event.change, HrChange::Left { urgent: true, .. });
            if apply(&mut past.world, None, vec![event.clone()]).is_ok() && is_urgent {
                // then whoever leaves at once is gone, or stopped by a lock, whatever the brake says
                let organisation = past.state().organisation();
                let here = organisation.people().get(&event.person).unwrap().is_employed(past.world.at);
                let stopped = organisation.locks().on(&Locked::Person(event.person.clone())).is_some();
                let kept = [CapabilityName::FeedRelease, CapabilityName::LockManage].into_iter().any(|name| {
                    organisation
                        .accounts_of(&event.person)
                        .any(|(id, _)| organisation.capability(id, name, past.world.at).is_some())
                });
                assert!(!here || stopped || kept, "{event:?}");
            }
        }
        // and no more than two people were given something, and no more than two lost something
        assert!(past.world.at.since(noon) < countersign::domain::value::time::Span::DAY);
        let after = past.state().organisation();
        let came = after.people().iter().filter(|(id, person)| {
            let known = before.people().get(*id);
            person.employment == Employment::Employed && known.is_none()
        });
        assert!(came.count() <= 2, "{events:?}");
        let left = before.people().iter().filter(|(id, person)| {
            let now = after.people().get(*id).unwrap();
            person.is_employed(noon) && now.employment == Employment::Left
        });
        assert!(left.count() <= 2, "{events:?}");
        Ok(())
    };
    crate::runner(48).run(&(random::start(), random::events(12)), run).unwrap();
}
