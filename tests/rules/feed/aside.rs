//! What could not happen is set aside by its number, and the stream goes on: nobody stops it, and no leaving waits (known
//! failures B4 and B5).

use countersign::domain::record::command::{ApplyHrEvents, CloseAccount, Command};
use countersign::domain::record::event::Event;
use countersign::domain::record::hr::{HrChange, HrEvent, Part};
use countersign::domain::rule::feed::{feed_status_for, touched_lately};
use countersign::domain::rule::visibility::viewer;
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::wire::hr::in_force_and_held;

use crate::support::feed::{
    applied, decide, employed, file, held, hold, id, import, joined, left, login, manager, place, renamed, send,
    set_aside, tell, transferred, urgent, world,
};
use crate::support::records::person;
use crate::world::organisation::CUSTOMERS;
use crate::world::{Organisation, POLICY, World, assert_refused, identity, kinds, span};

/// Joins, known by what the machine `bot` is known by.
fn poisoned(name: &str) -> HrEvent {
    HrEvent { person: id(name), change: HrChange::Joined { login: login("bot"), manager: Some(id("ines")) } }
}

/// Frees what `bot` is known by.
fn close_bot(world: &mut World) {
    let command = CloseAccount { account: "bot".parse().unwrap(), reason: "retired".into() };
    world.send("odo", Command::from(command)).unwrap();
}

#[test]
fn what_cannot_happen_is_set_aside_by_its_number_and_what_follows_goes_on() {
    // given somebody who joins with an identity that a machine has
    let mut world = world(9);
    let at = world.at;
    // when that comes in the stream, before a leaving and another joining
    let events = send(&mut world, 1, vec![poisoned("nia"), left("ana", at), joined("noa", "ines")]).unwrap();
    // then it alone is set aside, by its number and with why, and the stream is past it
    assert_eq!(set_aside(&events), ["1 nia IDENTITY_TAKEN"]);
    assert_eq!(applied(&events), ["LEFT ana", "JOINED noa"]);
    assert!(!employed(&world, "nia") && !employed(&world, "ana") && employed(&world, "noa"));
    assert_eq!(world.state.feeds().get("hr").unwrap().last_number, 3);
    // and whoever may look at the feed sees it, the machine that sent it too
    for who in ["rela", "hr"] {
        let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
        let status = feed_status_for(&world.state, &viewer, world.now()).unwrap();
        let aside = status.holds[0].aside.as_ref().unwrap();
        assert_eq!((aside.number, aside.reason), (1, Reason::IdentityTaken));
        assert!(aside.detail.contains(&identity("bot")), "{}", aside.detail);
    }
    // and it counts for nothing at the brake
    assert!(!touched_lately(&world.state, Part::Enabling, world.now()).contains(&id("nia")));
    world.assert_replays();
}

#[test]
fn a_person_decides_about_it_once_it_can_happen() {
    let mut world = world(9);
    send(&mut world, 1, vec![poisoned("nia")]).unwrap();
    let aside = hold(&world);
    // given that the machine is still known so, then letting it through tells that, and it waits on
    assert_refused(decide(&mut world, "rela", &aside, true), Reason::IdentityTaken);
    assert_refused(decide(&mut world, "hr", &aside, true), Reason::CapabilityMissing);
    assert_eq!(world.state.holds().len(), 1);
    // when the machine is gone, then it happens
    close_bot(&mut world);
    let events = decide(&mut world, "rela", &aside, true).unwrap();
    assert_eq!(applied(&events), ["JOINED nia"]);
    assert!(employed(&world, "nia") && world.state.holds().is_empty());
    // and what is thrown away never does
    send(&mut world, 2, vec![renamed("nia", "dan")]).unwrap();
    let aside = hold(&world);
    decide(&mut world, "relo", &aside, false).unwrap();
    assert!(world.state.holds().is_empty());
}

#[test]
fn what_hangs_on_it_waits_and_a_leaving_never_does() {
    let mut world = world(9);
    let at = world.at;
    let later = at.plus(span("5d"));
    // given a joining that is set aside, a report of theirs, a transfer to them, and one whose renaming is set aside
    let events = vec![
        poisoned("nia"),
        joined("noa", "nia"),
        transferred("dan", "nia", at),
        renamed("cleo", "bot"),
        transferred("cleo", "omar", at),
        left("cleo", later),
        urgent("dan", at),
    ];
    let events = send(&mut world, 1, events).unwrap();
    // then what would come to nothing without it waits, in its order
    assert_eq!(set_aside(&events), ["1 nia IDENTITY_TAKEN", "4 cleo IDENTITY_TAKEN"]);
    let waiting: Vec<_> = world.state.holds().values().filter(|hold| hold.aside.is_none()).flat_map(held).collect();
    assert_eq!(waiting, ["JOINED noa", "TRANSFERRED cleo", "LEFT cleo"]);
    // and whoever sent it is told of the leaving that is in force and waits as well
    let in_force: Vec<_> = in_force_and_held(&events).iter().map(ToString::to_string).collect();
    assert_eq!(in_force, ["cleo"]);
    assert_eq!(manager(&world, "cleo"), Some("ines".to_owned()));
    // and whoever leaves has left, also while something of theirs is set aside, by a last day too
    assert!(!employed(&world, "dan") && person(&world, "cleo").employed_until == Some(later));
    let events = send(&mut world, 8, vec![urgent("cleo", at), urgent("nia", at)]).unwrap();
    assert_eq!(applied(&events), ["LEFT cleo", "LEFT nia"]);
    assert!(!employed(&world, "cleo"));
    // and of who leaves nothing comes later
    close_bot(&mut world);
    let waiting: Vec<_> = world.state.holds().values().flat_map(held).collect();
    assert_eq!(waiting, ["JOINED noa"]);
}

#[test]
fn a_batch_with_what_cannot_happen_equals_its_parts() {
    let (mut whole, mut parts) = (world(9), world(9));
    let at = whole.at;
    let events = vec![
        poisoned("nia"),
        joined("noa", "nia"),
        transferred("dan", "nia", at),
        renamed("cleo", "bot"),
        left("cleo", at),
        left("nobody", at),
        urgent("nia", at),
        joined("pim", "ines"),
    ];
    send(&mut whole, 1, events.clone()).unwrap();
    for (number, event) in (1..).zip(events) {
        send(&mut parts, number, vec![event]).unwrap();
    }
    // What was lost, and when, is of another place in each.
    let records = |world: &World| {
        let organisation = world.state.organisation();
        (organisation.people().clone(), organisation.accounts().clone())
    };
    assert!(records(&whole) == records(&parts));
    let all = |world: &World| {
        let mut all: Vec<String> = world.state.holds().values().flat_map(held).collect();
        all.sort();
        all
    };
    assert_eq!(all(&whole), all(&parts));
    whole.assert_replays();
}

#[test]
fn a_whole_file_sets_aside_whom_it_cannot_bring_and_its_leavings_happen() {
    let mut world = world(50);
    let mut people = file(&world);
    // given a file without ana, and with somebody whose identity a machine has
    people.remove(&id("ana"));
    crate::support::feed::add(&mut people, 2);
    people.get_mut("new0").unwrap().login = login("bot");
    people.get_mut("new1").unwrap().manager = Some(id("new0"));
    let events = import(&mut world, 1, &people).unwrap();
    // then ana has left, and that one is set aside, with who would report to them waiting
    assert_eq!(set_aside(&events), ["1 new0 IDENTITY_TAKEN"]);
    assert!(!employed(&world, "ana") && !employed(&world, "new0") && !employed(&world, "new1"));
    // and the next file takes the place of what the first could not bring
    close_bot(&mut world);
    let events = import(&mut world, 2, &people).unwrap();
    assert!(set_aside(&events).is_empty());
    // in which they wait for whoever lets go what the machine was known by a moment ago
    let waiting = hold(&world);
    assert!(waiting.aside.is_none() && held(&waiting) == ["JOINED new0", "JOINED new1"], "{:?}", held(&waiting));
    decide(&mut world, "rela", &waiting, true).unwrap();
    assert!(employed(&world, "new0") && employed(&world, "new1"));
}

/// The example with customers, in which the machine `bot` is the own organisation's feed, and `rex` may release.
fn with_customers() -> World {
    let roles = "[roles.hr]\nfor = \"machines\"\ncapabilities = [\"hr.feed\"]\n\
                 [roles.releaser]\ncapabilities = [\"feed.release\"]\n[roles.robot]";
    let mut organisation = Organisation::example().with_customers();
    organisation.join("bot", "hr");
    organisation.join("rex", "releaser");
    let brake = "[limits]\nhr_brake = { people = 9, percent = 100 }\n";
    let policy = format!("{POLICY}{CUSTOMERS}").replacen("[roles.robot]", roles, 1).replacen("[limits]\n", brake, 1);
    World::of(&policy, organisation).unwrap()
}

fn stream(world: &mut World, who: &str, from: (&str, u64), events: Vec<HrEvent>) -> Result<Vec<Event>, Refusal> {
    world.send(who, Command::from(ApplyHrEvents { place: Some(place(from.0, from.1)), events }))
}

fn known_by(name: &str, login: &str) -> HrEvent {
    HrEvent { person: id(name), change: HrChange::Joined { login: [login.parse().unwrap()].into(), manager: None } }
}

#[test]
fn what_begins_as_a_tenants_ids_do_is_taken_by_that_tenants_feed_alone() {
    let mut world = with_customers();
    let own = "spiffe://northwind.example/r";
    // given that the own organisation's feed names somebody as acme would, in no stream: then it is refused
    let command = ApplyHrEvents { place: None, events: vec![known_by("acme.r", own)] };
    let free = assert_refused(world.send("bot", Command::from(command)), Reason::OutsideTenant);
    // in the same words as somebody whom acme has
    let command = ApplyHrEvents { place: None, events: vec![known_by("acme.lena", own)] };
    let taken = assert_refused(world.send("bot", Command::from(command)), Reason::OutsideTenant);
    assert_eq!(free.detail.replace("acme.r", "X"), taken.detail.replace("acme.lena", "X"));
    // when it comes in a stream, then it is set aside, and nobody lets it through
    let both = vec![known_by("acme.r", own), known_by("acmed.r", own)];
    let events = stream(&mut world, "bot", ("hr", 1), both).unwrap();
    assert_eq!(
        (set_aside(&events), applied(&events)),
        (vec!["1 acme.r OUTSIDE_TENANT".into()], vec!["JOINED acmed.r".into()])
    );
    let aside = hold(&world);
    assert_refused(decide(&mut world, "rex", &aside, true), Reason::OutsideTenant);
    decide(&mut world, "rex", &aside, false).unwrap();
    // nor does it begin a stream that is acme's to begin
    assert_refused(stream(&mut world, "bot", ("acme.idp", 1), vec![]), Reason::OutsideTenant);
    // then acme's own is there for acme
    let acme = known_by("acme.r", "spiffe://acme.example/r");
    let events = stream(&mut world, "acme.feed", ("acme.idp", 1), vec![acme]).unwrap();
    assert!(set_aside(&events).is_empty() && employed(&world, "acme.r"));
}

#[test]
fn a_tenants_stream_goes_on_past_what_cannot_happen_as_well() {
    let mut world = with_customers();
    let at = world.at;
    // given somebody who joins acme with an identity that a colleague has
    let taken = "spiffe://acme.example/acme.moe";
    let roles = HrChange::Roles { roles: ["mail-user".parse().unwrap()].into() };
    let events = vec![
        known_by("acme.r", taken),
        HrEvent { person: id("acme.r"), change: roles.clone() },
        HrEvent { person: id("zeta.lena"), change: roles },
        urgent("acme.kim", at),
    ];
    let events = stream(&mut world, "acme.feed", ("acme.idp", 1), events).unwrap();
    // then that, what hangs on it, and what is another's are set aside, and the leaving happens
    assert_eq!(set_aside(&events), ["1 acme.r IDENTITY_TAKEN", "2 acme.r HELD", "3 zeta.lena OUTSIDE_TENANT"]);
    assert!(!employed(&world, "acme.kim"));
    assert!(kinds(&events).contains(&"hr-feed-heard"));
    // and acme's feed sees its own alone, and zeta's nothing of it
    let holds = |who: &str| {
        let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
        feed_status_for(&world.state, &viewer, world.now()).unwrap().holds.len()
    };
    assert_eq!((holds("acme.feed"), holds("zeta.feed")), (3, 0));
    // when the colleague has left, then a person lets them through, in their order
    stream(&mut world, "acme.feed", ("acme.idp", 5), vec![urgent("acme.moe", at)]).unwrap();
    let mut asides: Vec<_> = world.state.holds().values().cloned().collect();
    asides.sort_by_key(|hold| hold.after);
    assert_refused(decide(&mut world, "rex", &asides[1], true), Reason::Held);
    decide(&mut world, "rex", &asides[0], true).unwrap();
    decide(&mut world, "rex", &asides[1], true).unwrap();
    assert!(world.state.organisation().accounts().get("acme.r").unwrap().roles.contains_key("mail-user"));
    assert_refused(decide(&mut world, "rex", &asides[2], true), Reason::OutsideTenant);
    // whoever leaves while something of theirs is set aside leaves, and nothing of it comes later
    let again = vec![known_by("acme.z", "spiffe://acme.example/r"), urgent("acme.z", at)];
    stream(&mut world, "acme.feed", ("acme.idp", 6), again).unwrap();
    assert!(world.state.holds().values().all(|hold| hold.events[0].person == id("zeta.lena")));
}

#[test]
fn out_of_a_stream_whoever_sends_it_is_told_and_nothing_is_held() {
    let mut world = world(9);
    assert_refused(tell(&mut world, vec![poisoned("nia")]), Reason::IdentityTaken);
    assert!(world.state.holds().is_empty());
}

#[test]
fn what_waits_on_one_side_is_nothing_to_the_other() {
    let mut world = with_customers();
    let at = world.at;
    // given somebody of the own organisation whose joining is set aside, and waits
    let own_new = |name: &str| known_by(name, &identity(name));
    stream(&mut world, "bot", ("hr", 1), vec![known_by("nia", &identity("bot"))]).unwrap();
    let waiting = |world: &World| {
        let mut all: Vec<String> = world.state.holds().values().flat_map(held).collect();
        all.sort();
        all
    };
    assert_eq!(waiting(&world), ["JOINED nia"]);
    // when a customer's feed says that they left, in a stream or not, then nothing of it is dropped
    let command = Command::from(ApplyHrEvents { place: None, events: vec![urgent("nia", at)] });
    assert_refused(world.send("acme.feed", command), Reason::OutsideTenant);
    // and what it names of the own organisation holds up nobody there
    let named = vec![urgent("nia", at), own_new("noa"), renamed("ana", "x")];
    let events = stream(&mut world, "acme.feed", ("acme.idp", 1), named).unwrap();
    assert_eq!(set_aside(&events).len(), 3);
    assert!(waiting(&world).contains(&"JOINED nia".to_owned()));
    let events = stream(&mut world, "bot", ("hr", 2), vec![own_new("noa"), renamed("ana", "ana-new")]).unwrap();
    assert_eq!(applied(&events), ["JOINED noa", "RENAMED ana"]);
    // and the other way round
    stream(&mut world, "acme.feed", ("acme.idp", 4), vec![known_by("acme.z", "spiffe://acme.example/acme.moe")])
        .unwrap();
    let events = stream(&mut world, "bot", ("hr", 4), vec![urgent("acme.z", at), own_new("acme.y")]).unwrap();
    assert_eq!(set_aside(&events), ["4 acme.z OUTSIDE_TENANT", "5 acme.y OUTSIDE_TENANT"]);
    assert!(waiting(&world).contains(&"JOINED acme.z".to_owned()));
    let events = stream(&mut world, "acme.feed", ("acme.idp", 5), vec![known_by("acme.y", "spiffe://acme.example/y")]);
    assert_eq!(applied(&events.unwrap()), ["JOINED acme.y"]);
    world.assert_replays();
}
