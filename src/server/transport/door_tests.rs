use std::time::Duration;

use super::*;

fn door(connections: usize, per_address: usize, half_open: usize) -> Arc<Door> {
    Door::new(&Limits { connections, per_address, half_open, kept: 0, ..Limits::default() })
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn now() -> BootMillis {
    SystemClock.boot()
}

fn later() -> BootMillis {
    now().plus(Span::seconds(11))
}

fn unknown() -> Guest {
    Guest { spender: Spender::Unknown, takes_away: false }
}

fn person(name: &str) -> Guest {
    Guest { spender: Spender::Person(name.parse().unwrap()), takes_away: false }
}

fn machine(name: &str) -> Guest {
    Guest { spender: Spender::Machine(name.parse().unwrap()), takes_away: false }
}

/// Comes in as somebody, from an address of their own.
fn come(door: &Arc<Door>, guest: Guest) -> Result<Place, Full> {
    let place = door.admit(ip("192.0.2.1"))?;
    place.settle(guest, now()).map(|()| place)
}

async fn is_evicted(place: &Place) -> bool {
    tokio::time::timeout(Duration::from_millis(20), place.evicted()).await.is_ok()
}

#[test]
fn a_place_is_given_back_when_its_connection_is_over() {
    let door = door(1, 1, 1);
    let place = come(&door, person("ana")).unwrap();
    assert_eq!(door.admit(ip("192.0.2.2")).err(), Some(Full::Connections));
    drop(place);
    assert_eq!(door.open(), 0);
    assert!(door.admit(ip("192.0.2.2")).is_ok());
}

#[test]
fn one_address_or_one_ipv6_network_cannot_take_all_with_connections_of_strangers() {
    let door = door(10, 2, 10);
    let places: Vec<_> = ["2001:db8::1", "2001:db8::2"].iter().map(|text| door.admit(ip(text)).unwrap()).collect();
    places.iter().for_each(|place| place.settle(unknown(), now()).unwrap());
    assert_eq!(door.admit(ip("2001:db8::3")).err(), Some(Full::PerAddress));
    assert!(door.admit(ip("2001:db8:0:1::1")).is_ok());
    // whoever is known is counted by who they are: a fleet may come from one address
    drop(places);
    let fleet: Vec<_> = (0..9).map(|_| come(&door, machine("orders-api")).unwrap()).collect();
    assert_eq!(fleet.len(), 9);
}

#[tokio::test]
async fn the_oldest_handshake_makes_room_and_a_settled_connection_does_not() {
    let door = door(10, 10, 2);
    let settled = come(&door, unknown()).unwrap();
    let oldest = door.admit(ip("192.0.2.1")).unwrap();
    let younger = door.admit(ip("192.0.2.1")).unwrap();
    let _newest = door.admit(ip("192.0.2.9")).unwrap();
    oldest.evicted().await;
    assert!(!is_evicted(&younger).await && !is_evicted(&settled).await);
}

#[tokio::test]
async fn when_all_are_taken_who_is_unknown_goes_first_then_who_is_idle_and_nobody_who_works() {
    // given a house that is full: of somebody unknown, and of two who are known, one of them idle
    let door = Door::new(&Limits { connections: 3, kept: 0, ..Limits::default() });
    let (idle, works) = (come(&door, person("ana")).unwrap(), come(&door, person("ben")).unwrap());
    let stranger = come(&door, unknown()).unwrap();
    idle.used(BootMillis::new(now().millis() - 11_000));
    // when others come, one after another
    let _first = come(&door, person("dan")).unwrap();
    assert!(is_evicted(&stranger).await && !is_evicted(&idle).await);
    drop(stranger);
    let second = door.admit(ip("192.0.2.1")).unwrap();
    assert!(is_evicted(&idle).await);
    drop(idle);
    second.settle(person("eve"), now()).unwrap();
    // then who works is not sent away
    assert_eq!(door.admit(ip("192.0.2.1")).err(), Some(Full::Connections));
    assert!(!is_evicted(&works).await);
}

#[tokio::test]
async fn one_has_so_many_and_their_own_idle_ones_make_room() {
    let limits = Limits { of_person: 2, of_machine: 3, of_unknown: 1, ..Limits::default() };
    let door = Door::new(&limits);
    // given a person, a machine and strangers who have as many as they may
    let own = [come(&door, person("ana")).unwrap(), come(&door, person("ana")).unwrap()];
    let fleet: Vec<_> = (0..3).map(|_| come(&door, machine("orders-api")).unwrap()).collect();
    let stranger = come(&door, unknown()).unwrap();
    // then one more of each is refused, and others are not
    for guest in [person("ana"), machine("orders-api"), unknown()] {
        assert_eq!(come(&door, guest).err(), Some(Full::PerHolder));
    }
    assert!(come(&door, person("ben")).is_ok() && come(&door, machine("payments-api")).is_ok());
    // when one of theirs has been idle, then it makes room
    let place = door.admit(ip("192.0.2.1")).unwrap();
    own[1].used(later());
    place.settle(person("ana"), later()).unwrap();
    assert!(is_evicted(&own[0]).await && !is_evicted(&own[1]).await);
    assert!(!is_evicted(&stranger).await && !is_evicted(&fleet[0]).await);
}

#[tokio::test]
async fn some_places_are_kept_for_who_may_take_access_away() {
    // given a house of which one place is kept, and the rest is taken
    let door = Door::new(&Limits { connections: 3, kept: 1, ..Limits::default() });
    let taken = [come(&door, person("ana")).unwrap(), come(&door, machine("orders-api")).unwrap()];
    // then nobody has it but who may take access away
    let refused = door.admit(ip("192.0.2.1")).unwrap();
    assert_eq!(refused.settle(person("ben"), now()).err(), Some(Full::Connections));
    // and whoever was refused is the first to make room, though they stay to hear why
    let duty = Guest { takes_away: true, ..person("sam") };
    let _duty = come(&door, duty.clone()).unwrap();
    assert!(is_evicted(&refused).await);
    assert!(!is_evicted(&taken[0]).await && !is_evicted(&taken[1]).await);
    // and they are not sent away for being idle
    drop(refused);
    assert_eq!(door.admit(ip("192.0.2.1")).err(), Some(Full::Connections));
}

#[test]
fn a_place_is_counted_once_however_it_ends() {
    let door = door(100, 2, 10);
    // given two strangers and somebody known, one of whom is sent away
    let (one, other) = (come(&door, unknown()).unwrap(), come(&door, unknown()).unwrap());
    let known = come(&door, person("ana"));
    assert_eq!(known.err(), Some(Full::PerAddress));
    door.make_room();
    drop((one, other));
    // then their address has as many places as before
    let again: Vec<_> = (0..2).map(|_| come(&door, unknown()).unwrap()).collect();
    assert_eq!((again.len(), door.open()), (2, 2));
}
