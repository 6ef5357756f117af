//! HR and its feed, for tests: a sending machine, people who may let go what the brake holds, and files and events.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::directory::AccountState;
use countersign::domain::record::command::{ApplyHrEvents, Command, DecideHold, ImportPeople};
use countersign::domain::record::event::{Event, Fact, FeedFact};
use countersign::domain::record::hr::{Hold, HrChange, HrEvent, ImportedPerson, StreamPlace};
use countersign::domain::value::ids::{Identity, PersonId};
use countersign::domain::value::refusal::Refusal;
use countersign::domain::value::time::Timestamp;

use crate::support::records::person;
use crate::world::organisation::Account;
use crate::world::{Organisation, POLICY, World, identity};

pub(crate) type File = BTreeMap<PersonId, ImportedPerson>;

/// The example organisation with `hana`, who owns the machines `hr` and `hr-two`, `rela` and `relo`, who may release, and `loki`,
/// who may lock.
/// `brake` persons pass in 24 h; 100 %, so that this number decides.
pub(crate) fn world(brake: u32) -> World {
    let policy = POLICY.replace(
        "[limits]\n",
        &format!("[limits]\nhr_silence = \"26h\"\nhr_brake = {{ people = {brake}, percent = 100 }}\n"),
    ) + "[roles.hr-sender]\nfor = \"machines\"\ncapabilities = [\"hr.feed\"]\n\
         [roles.hr-robot]\nfor = \"machines\"\ncapabilities = [\"feed.release\"]\n\
         [roles.releaser]\ncapabilities = [\"feed.release\"]\n\
         [roles.locker]\ncapabilities = [\"lock.manage\"]\n";
    let mut all = Organisation::example();
    for (name, roles) in
        [("hana", vec![]), ("rela", vec!["releaser"]), ("relo", vec!["releaser"]), ("loki", vec!["locker"])]
    {
        all.person(name, Some("omar"));
        all.account(name, name).roles = roles.into_iter().map(|role| (role.to_owned(), None)).collect();
    }
    for (name, role) in [("hr", "hr-sender"), ("hr-two", "hr-sender"), ("robby", "hr-robot")] {
        let machine = Account {
            owner: Some("hana".to_owned()),
            identities: [identity(name)].into(),
            roles: [(role.to_owned(), None)].into(),
            ..Account::default()
        };
        all.accounts.insert(name.to_owned(), machine);
    }
    World::of(&policy, all).unwrap()
}

pub(crate) fn id(name: &str) -> PersonId {
    name.parse().unwrap()
}

pub(crate) fn login(name: &str) -> BTreeSet<Identity> {
    BTreeSet::from([identity(name).parse().unwrap()])
}

pub(crate) fn joined(name: &str, manager: &str) -> HrEvent {
    HrEvent { person: id(name), change: HrChange::Joined { login: login(name), manager: Some(id(manager)) } }
}

pub(crate) fn renamed(name: &str, to: &str) -> HrEvent {
    HrEvent { person: id(name), change: HrChange::Renamed { login: login(to) } }
}

/// The same person with these names.
pub(crate) fn named(person: &str, names: &[&str]) -> HrEvent {
    let login = names.iter().map(|name| identity(name).parse().unwrap()).collect();
    HrEvent { person: id(person), change: HrChange::Renamed { login } }
}

pub(crate) fn transferred(name: &str, manager: &str, at: Timestamp) -> HrEvent {
    HrEvent { person: id(name), change: HrChange::Transferred { manager: Some(id(manager)), at } }
}

pub(crate) fn left(name: &str, at: Timestamp) -> HrEvent {
    HrEvent { person: id(name), change: HrChange::Left { at, urgent: false, also_approved: false } }
}

pub(crate) fn urgent(name: &str, at: Timestamp) -> HrEvent {
    HrEvent { person: id(name), change: HrChange::Left { at, urgent: true, also_approved: false } }
}

pub(crate) fn place(stream: &str, number: u64) -> StreamPlace {
    StreamPlace { stream: stream.parse().unwrap(), number }
}

/// `hr` sends events of the stream `hr`, from this number on.
pub(crate) fn send(world: &mut World, number: u64, events: Vec<HrEvent>) -> Result<Vec<Event>, Refusal> {
    world.send("hr", Command::from(ApplyHrEvents { place: Some(place("hr", number)), events }))
}

/// `hr` sends events that are in no stream.
pub(crate) fn tell(world: &mut World, events: Vec<HrEvent>) -> Result<Vec<Event>, Refusal> {
    world.send("hr", Command::from(ApplyHrEvents { place: None, events }))
}

pub(crate) fn import(world: &mut World, number: u64, people: &File) -> Result<Vec<Event>, Refusal> {
    world.send("hr", Command::from(ImportPeople { place: place("hr", number), people: people.clone() }))
}

/// The file that says what is so.
pub(crate) fn file(world: &World) -> File {
    let (organisation, now) = (world.state.organisation(), world.now().latest);
    let employed = organisation.people().iter().filter(|(_, person)| person.is_employed(now));
    let people = employed.map(|(id, person)| {
        let own = organisation.accounts_of(id).filter(|(_, it)| !it.is_machine() && it.state != AccountState::Closed);
        let login = own.flat_map(|(_, account)| account.identities.clone()).chain(person.login.clone()).collect();
        let manager = person.manager_at(now).cloned();
        (id.clone(), ImportedPerson { manager, login, leaves_at: person.employed_until })
    });
    people.collect()
}

/// So many more people in a file, all under `ines`.
pub(crate) fn add(people: &mut File, count: usize) {
    for n in 0..count {
        let name = format!("new{n}");
        let new = ImportedPerson { manager: Some(id("ines")), login: login(&name), leaves_at: None };
        people.insert(id(&name), new);
    }
}

/// People whom events bring without the brake's minding, one a day; all under `ines`.
pub(crate) fn staff(world: &mut World, names: &[&str]) {
    for name in names {
        tell(world, vec![joined(name, "ines")]).unwrap();
        world.pass("25h");
    }
}

pub(crate) fn employed(world: &World, name: &str) -> bool {
    let person = world.state.organisation().people().get(name);
    person.is_some_and(|person| person.is_employed(world.now().latest))
}

pub(crate) fn manager(world: &World, name: &str) -> Option<String> {
    person(world, name).manager.as_ref().map(ToString::to_string)
}

/// The only hold that there is.
pub(crate) fn hold(world: &World) -> Hold {
    assert_eq!(world.state.holds().len(), 1, "{:?}", world.state.holds());
    world.state.holds().values().next().unwrap().clone()
}

/// Of whom a hold has an event, in order.
pub(crate) fn held(hold: &Hold) -> Vec<String> {
    hold.events.iter().map(|event| format!("{} {}", event.change.name(), event.person)).collect()
}

pub(crate) fn decide(world: &mut World, who: &str, hold: &Hold, release: bool) -> Result<Vec<Event>, Refusal> {
    let reason = "seen and agreed".to_owned();
    world.send(who, Command::from(DecideHold { hold: hold.id, digest: hold.digest(), release, reason }))
}

/// What HR events were applied, in order.
pub(crate) fn applied(events: &[Event]) -> Vec<String> {
    let applied = events.iter().filter_map(|event| match &event.fact {
        Fact::Feed(FeedFact::EventApplied(fact)) => Some(format!("{} {}", fact.event.change.name(), fact.event.person)),
        _ => None,
    });
    applied.collect()
}

/// What could not happen, in order: its number, of whom it is, and why.
pub(crate) fn set_aside(events: &[Event]) -> Vec<String> {
    let aside = events.iter().filter_map(|event| match &event.fact {
        Fact::Feed(FeedFact::SetAside(hold)) => {
            let aside = hold.aside.as_ref().unwrap();
            Some(format!("{} {} {}", aside.number, hold.events[0].person, aside.reason.entry().name))
        }
        _ => None,
    });
    aside.collect()
}
