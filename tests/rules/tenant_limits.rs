//! What a tenant's feed may fill, and that its leavings are never over a limit (known failure G38).

use countersign::domain::record::command::{ApplyHrEvents, Command};
use countersign::domain::record::event::Event;
use countersign::domain::record::hr::{HrChange, HrEvent, StreamPlace};
use countersign::domain::rule::feed::silent_feed;
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::time::Timestamp;

use crate::world::organisation::CUSTOMERS;
use crate::world::{Organisation, POLICY, World, assert_refused};

fn world(limits: &str) -> World {
    let policy = format!("{POLICY}{CUSTOMERS}[tenant_limits]\n{limits}\n");
    World::of(&policy, Organisation::example().with_customers()).unwrap()
}

fn joined(person: &str) -> HrEvent {
    let login = [format!("spiffe://acme.example/person/{person}").parse().unwrap()].into();
    HrEvent { person: person.parse().unwrap(), change: HrChange::Joined { login, manager: None } }
}

fn left(person: &str) -> HrEvent {
    let change = HrChange::Left { at: Timestamp::MIN, urgent: true, also_approved: false };
    HrEvent { person: person.parse().unwrap(), change }
}

fn send(world: &mut World, who: &str, stream: &str, number: u64, events: Vec<HrEvent>) -> Result<Vec<Event>, Refusal> {
    let place = (number > 0).then(|| StreamPlace { stream: stream.parse().unwrap(), number });
    world.send(who, Command::from(ApplyHrEvents { place, events }))
}

/// Without a place in a stream.
fn tell(world: &mut World, events: Vec<HrEvent>) -> Result<Vec<Event>, Refusal> {
    send(world, "acme.feed", "", 0, events)
}

fn is_here(world: &World, person: &str) -> bool {
    world.state.organisation().works_here(&person.parse().unwrap(), world.now().latest)
}

#[test]
fn a_tenant_has_so_many_people_and_accounts_and_who_left_is_on_record_too() {
    let acme = "acme".parse().unwrap();
    let mut world = world("people = 1000");
    let present = world.state.organisation().of_tenant(&acme);
    assert!(present.people > 0 && present.accounts >= present.people);
    // given a policy with room for two more people, and for three more accounts
    let (people, accounts) = (present.people + 2, present.accounts + 3);
    world.propose_policy("people = 1000", &format!("people = {people}\naccounts = {accounts}")).unwrap();
    // when three join, then the third does not, and a leaving makes no room for a new one
    tell(&mut world, vec![joined("acme.a"), joined("acme.b")]).unwrap();
    let refusal = assert_refused(tell(&mut world, vec![joined("acme.c")]), Reason::TenantFull);
    assert_eq!((refusal.facts["tenant"].as_str(), &*refusal.facts["limit"]), ("acme", people.to_string().as_str()));
    tell(&mut world, vec![left("acme.b")]).unwrap();
    assert_refused(tell(&mut world, vec![joined("acme.c")]), Reason::TenantFull);
    // but for one who comes back, as long as there is room for another account
    tell(&mut world, vec![joined("acme.b")]).unwrap();
    tell(&mut world, vec![left("acme.b")]).unwrap();
    assert_refused(tell(&mut world, vec![joined("acme.b")]), Reason::TenantFull);
    assert!(is_here(&world, "acme.a") && !is_here(&world, "acme.b"));
    // and in a stream what is too much is set aside, and the leaving behind it is not kept waiting
    send(&mut world, "acme.feed", "acme.hr", 1, vec![joined("acme.d"), left("acme.a")]).unwrap();
    assert!(!is_here(&world, "acme.a") && !is_here(&world, "acme.d"));
    assert_eq!(world.state.holds().values().next().unwrap().aside.as_ref().unwrap().reason, Reason::TenantFull);
    world.assert_replays();
}

#[test]
fn a_day_has_so_many_events_that_give_and_as_many_leavings_as_there_are() {
    let mut world = world("events_a_day = 2");
    // given a tenant's feed that has sent what it may on a day
    tell(&mut world, vec![joined("acme.a"), joined("acme.b")]).unwrap();
    // then one more that gives something is refused, and what takes away is not
    assert_refused(tell(&mut world, vec![joined("acme.c")]), Reason::TenantFull);
    tell(&mut world, vec![left("acme.a")]).unwrap();
    tell(&mut world, vec![left("acme.b")]).unwrap();
    // and on the next day there is room again
    world.pass_and_tick("24h");
    tell(&mut world, vec![joined("acme.c")]).unwrap();
    // and a message that was heard before counts nothing
    let both = vec![joined("acme.d"), joined("acme.e")];
    world.pass_and_tick("24h");
    send(&mut world, "acme.feed", "acme.hr", 1, both.clone()).unwrap();
    send(&mut world, "acme.feed", "acme.hr", 1, both).unwrap();
}

#[test]
fn a_tenant_has_so_many_streams_and_an_empty_heartbeat_makes_no_more_than_sixteen_of_anybodys() {
    let mut world = world("streams = 2");
    let heartbeat = |world: &mut World, who: &str, stream: &str| send(world, who, stream, 1, Vec::new());
    for stream in ["acme.one", "acme.two"] {
        heartbeat(&mut world, "acme.feed", stream).unwrap();
    }
    // then a third is refused, with events or without, and those that are there go on
    assert_refused(heartbeat(&mut world, "acme.feed", "acme.three"), Reason::TenantFull);
    let events = vec![joined("acme.a")];
    assert_refused(send(&mut world, "acme.feed", "acme.three", 1, events.clone()), Reason::TenantFull);
    send(&mut world, "acme.feed", "acme.two", 1, events).unwrap();
    // and another tenant's are its own
    heartbeat(&mut world, "zeta.feed", "zeta.one").unwrap();
    // and a silent one stops what touches its own tenant, and nothing else
    world.pass("27h");
    assert!(silent_feed(&world.state, Some("acme"), world.now()).is_some());
    assert!(silent_feed(&world.state, None, world.now()).is_none());
    assert!(silent_feed(&world.state, Some("nobody"), world.now()).is_none());
}
