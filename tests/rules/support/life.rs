//! The organisation in which accounts come and go, and the calls that its tests make.

use countersign::domain::directory::{Account, Membership, Person};
use countersign::domain::record::command::{ApplyHrEvents, Command, CorrectAttestation, RecordAttestation};
use countersign::domain::record::event::Event;
use countersign::domain::record::hr::{HrChange, HrEvent};
use countersign::domain::value::refusal::Refusal;
use countersign::domain::value::time::Timestamp;

use crate::world::{Ask, NOON, Organisation, POLICY, World, at, identity};

/// The example, with HR's machine `hr-sync`, the training system `trainer`, and `noa` of the people office, who owns both.
/// Everybody needs screening and training; `reader` is a role that nobody owns, and `engineer` ends within 180 days.
pub(crate) fn world() -> World {
    World::of(&policy(), organisation()).unwrap()
}

pub(crate) fn policy() -> String {
    let baseline =
        "requires = [\"screening\", \"training\"]\nmanager_missing = [\"people-office\"]\ntransfer_grace = \"14d\"\n";
    let limits = "[limits]\nhr_silence = \"26h\"\nhr_brake = { people = 3, percent = 100 }\n";
    let roles = r#"
[roles.engineer]
owner = "odo"
longest_membership = "180d"
requires = ["dba"]
[roles.reader]
[roles.people-office]
capabilities = ["feed.release"]
[roles.hr-sync]
for = "machines"
capabilities = ["hr.feed"]
[roles.trainer]
for = "machines"
capabilities = [{ name = "attestation.record", requirements = ["training", "dba"] }]
"#;
    POLICY.replacen("requires = [\"screening\"]\n", baseline, 1).replacen("[limits]\n", limits, 1).replacen(
        "[roles.engineer]\nrequires = [\"dba\"]\n",
        roles,
        1,
    )
}

pub(crate) fn organisation() -> Organisation {
    let mut all = Organisation::example();
    all.person("noa", Some("omar"));
    all.account("noa", "noa");
    all.join("noa", "people-office");
    for name in ["hr-sync", "trainer"] {
        let machine = crate::world::organisation::Account {
            owner: Some("noa".to_owned()),
            identities: [identity(name)].into(),
            roles: [(name.to_owned(), None)].into(),
            ..Default::default()
        };
        all.accounts.insert(name.to_owned(), machine);
    }
    all
}

pub(crate) fn person<'a>(world: &'a World, id: &str) -> &'a Person {
    world.state.organisation().people().get(id).unwrap()
}

pub(crate) fn account<'a>(world: &'a World, id: &str) -> &'a Account {
    world.state.organisation().accounts().get(id).unwrap()
}

pub(crate) fn membership<'a>(world: &'a World, id: &str, role: &str) -> &'a Membership {
    &account(world, id).roles[role]
}

pub(crate) fn attest(
    world: &mut World,
    who: &str,
    met: (&str, &str),
    met_at: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    let (person, requirement) = (met.0.parse().unwrap(), met.1.parse().unwrap());
    world.send(who, Command::from(RecordAttestation { person, requirement, met_at, evidence: "course 7".into() }))
}

pub(crate) fn attest_now(world: &mut World, who: &str, met: (&str, &str)) -> Result<Vec<Event>, Refusal> {
    let now = world.now().stamp;
    attest(world, who, met, now)
}

pub(crate) fn correct(
    world: &mut World,
    who: &str,
    met: (&str, &str),
    met_at: Option<Timestamp>,
) -> Result<Vec<Event>, Refusal> {
    let (person, requirement) = (met.0.parse().unwrap(), met.1.parse().unwrap());
    world.send(who, Command::from(CorrectAttestation { person, requirement, met_at, reason: "a mistake".into() }))
}

pub(crate) fn event(person: &str, change: HrChange) -> HrEvent {
    HrEvent { person: person.parse().unwrap(), change }
}

pub(crate) fn joins(person: &str, manager: Option<&str>) -> HrEvent {
    let login = [identity(person).parse().unwrap()].into();
    event(person, HrChange::Joined { login, manager: manager.map(|it| it.parse().unwrap()) })
}

pub(crate) fn moves(person: &str, manager: Option<&str>, at: Timestamp) -> HrEvent {
    event(person, HrChange::Transferred { manager: manager.map(|it| it.parse().unwrap()), at })
}

pub(crate) fn leaves(person: &str, at: Timestamp) -> HrEvent {
    event(person, HrChange::Left { at, urgent: false, also_approved: false })
}

pub(crate) fn leaves_at_once(person: &str) -> HrEvent {
    event(person, HrChange::Left { at: Timestamp::MAX, urgent: true, also_approved: false })
}

/// What HR's machine says, in no stream.
pub(crate) fn hr(world: &mut World, events: Vec<HrEvent>) -> Result<Vec<Event>, Refusal> {
    world.send("hr-sync", Command::from(ApplyHrEvents { place: None, events }))
}

/// A grant of ana's for so long, approved by ben.
pub(crate) fn granted_for(world: &mut World, lasting: &str) -> countersign::domain::value::ids::ElevationId {
    let id = Ask::repair().lasting(lasting).by("ana", world).unwrap();
    world.approve("ben", id).unwrap();
    id
}

pub(crate) fn noon() -> Timestamp {
    at(NOON)
}
