//! Whose an identity is, said in two ways: exactly these, or some more and some no longer. What takes one away never waits
//! behind what is held (known failure B18).

use std::collections::BTreeSet;

use countersign::domain::directory::AccountState;
use countersign::domain::record::command::{Command, ImportPeople};
use countersign::domain::record::hr::{Hold, HrChange, HrEvent};
use countersign::domain::value::ids::Identity;
use countersign::domain::value::refusal::Reason;

use crate::support::feed::{
    applied, decide, employed, file, held, hold, id, joined, left, login, manager, place, send, set_aside, tell,
    transferred, world,
};
use crate::support::records::person;
use crate::world::{World, assert_refused, identity};

fn set(names: &[&str]) -> BTreeSet<Identity> {
    names.iter().map(|name| identity(name).parse().unwrap()).collect()
}

fn changed(person: &str, added: &[&str], removed: &[&str]) -> HrEvent {
    HrEvent { person: id(person), change: HrChange::LoginsChanged { added: set(added), removed: set(removed) } }
}

fn exactly(person: &str, names: &[&str]) -> HrEvent {
    HrEvent { person: id(person), change: HrChange::Renamed { login: set(names) } }
}

/// What a person is known by.
fn known_by(world: &World, name: &str) -> BTreeSet<Identity> {
    let organisation = world.state.organisation();
    let id = id(name);
    let own = organisation.accounts_of(&id).filter(|(_, it)| !it.is_machine() && it.state != AccountState::Closed);
    let login = person(world, name).login.clone();
    own.flat_map(|(_, account)| account.identities.clone()).chain(login).collect()
}

/// Something of ben that waits: they would report to the person behind the feed.
fn with_a_held_transfer(world: &mut World) {
    let at = world.at;
    tell(world, vec![transferred("ben", "hana", at)]).unwrap();
    assert_eq!(held(&hold(world)), ["TRANSFERRED ben"]);
}

fn in_order(world: &World) -> Vec<Hold> {
    let mut holds: Vec<Hold> = world.state.holds().values().cloned().collect();
    holds.sort_by_key(|hold| hold.after);
    holds
}

fn release_all(world: &mut World) {
    for hold in in_order(world) {
        decide(world, "rela", &hold, true).unwrap();
    }
    assert!(world.state.holds().is_empty());
}

#[test]
fn what_is_added_and_what_is_removed_say_nothing_of_the_rest() {
    let mut world = world(9);
    // given three who looked at the same person, and send what each of them saw missing or too much
    tell(&mut world, vec![changed("ben", &["a1"], &[])]).unwrap();
    tell(&mut world, vec![changed("ben", &["a2"], &[])]).unwrap();
    tell(&mut world, vec![changed("ben", &[], &["ben"])]).unwrap();
    // then all of it is so
    assert_eq!(known_by(&world, "ben"), set(&["a1", "a2"]));
    // and one who says exactly these means exactly these, once more or not
    for _ in 0..2 {
        tell(&mut world, vec![exactly("ben", &["a2", "a3"])]).unwrap();
        assert_eq!(known_by(&world, "ben"), set(&["a2", "a3"]));
    }
    // what somebody else has is not added, and then nothing is removed either
    assert_refused(tell(&mut world, vec![changed("ben", &["dan"], &["a3"])]), Reason::IdentityTaken);
    assert_eq!(known_by(&world, "ben"), set(&["a2", "a3"]));
    world.assert_replays();
}

#[test]
fn of_somebody_without_an_account_it_is_the_same() {
    let mut world = world(9);
    tell(&mut world, vec![joined("nia", "ines")]).unwrap();
    tell(&mut world, vec![changed("nia", &["nia2"], &["nia"])]).unwrap();
    assert_eq!(known_by(&world, "nia"), set(&["nia2"]));
    world.assert_replays();
}

#[test]
fn what_is_taken_away_passes_what_is_held_and_what_is_let_go_does_not_bring_it_back() {
    let mut world = world(9);
    tell(&mut world, vec![changed("ben", &["laptop"], &[])]).unwrap();
    with_a_held_transfer(&mut world);
    // when the stolen one is removed, and then another added
    let events = tell(&mut world, vec![changed("ben", &[], &["laptop"])]).unwrap();
    tell(&mut world, vec![changed("ben", &["phone"], &[])]).unwrap();
    // then it is gone at once, and what is added waits
    assert_eq!(applied(&events), ["RENAMED ben"]);
    assert_eq!(known_by(&world, "ben"), set(&["ben"]));
    assert_eq!(in_order(&world).iter().flat_map(held).collect::<Vec<_>>(), ["TRANSFERRED ben", "RENAMED ben"]);
    // and once all is let go, it is still gone
    release_all(&mut world);
    assert_eq!(known_by(&world, "ben"), set(&["ben", "phone"]));
    assert_eq!(manager(&world, "ben").as_deref(), Some("hana"));
    world.assert_replays();
}

#[test]
fn of_a_whole_set_what_is_not_in_it_goes_at_once_and_the_hold_has_the_difference() {
    let mut world = world(9);
    tell(&mut world, vec![changed("ben", &["laptop"], &[])]).unwrap();
    with_a_held_transfer(&mut world);
    let events = tell(&mut world, vec![exactly("ben", &["ben", "phone"])]).unwrap();
    assert_eq!(applied(&events), ["RENAMED ben"]);
    assert_eq!(known_by(&world, "ben"), set(&["ben"]));
    assert_eq!(in_order(&world)[1].events, [changed("ben", &["phone"], &[])]);
    // what is said between is not undone by letting it go
    tell(&mut world, vec![changed("ben", &[], &["ben"])]).unwrap();
    release_all(&mut world);
    assert_eq!(known_by(&world, "ben"), set(&["phone"]));
    world.assert_replays();
}

#[test]
fn what_waits_no_longer_gives_what_was_taken_since() {
    for gone in [changed("ben", &[], &["laptop"]), exactly("ben", &["ben", "phone"])] {
        let mut world = world(9);
        with_a_held_transfer(&mut world);
        // given a login that waits, which is stolen before anybody has let it go
        tell(&mut world, vec![changed("ben", &["laptop", "phone"], &[])]).unwrap();
        let before = in_order(&world)[1].clone();
        tell(&mut world, vec![gone.clone()]).unwrap();
        // then what waits is written anew, and who has looked at it before looks again
        assert_eq!(in_order(&world)[1].events, [changed("ben", &["phone"], &[])]);
        assert_refused(decide(&mut world, "rela", &before, true), Reason::DigestMismatch);
        release_all(&mut world);
        assert_eq!(known_by(&world, "ben"), set(&["ben", "phone"]), "{gone:?}");
        world.assert_replays();
    }
}

#[test]
fn within_one_command_the_later_word_counts_as_well() {
    let mut world = world(9);
    let at = world.at;
    let events = vec![
        transferred("ben", "hana", at),
        changed("ben", &["laptop"], &[]),
        exactly("ben", &["phone"]),
        changed("ben", &["tablet"], &["phone"]),
    ];
    tell(&mut world, events).unwrap();
    assert!(known_by(&world, "ben").is_empty());
    let expected = [transferred("ben", "hana", at), changed("ben", &["tablet"], &[])];
    assert_eq!(hold(&world).events, expected);
    release_all(&mut world);
    assert_eq!(known_by(&world, "ben"), set(&["tablet"]));
    world.assert_replays();
}

#[test]
fn a_full_brake_lets_one_be_taken_away_and_a_mass_of_them_waits() {
    let mut world = world(2);
    let at = world.at;
    // given a day on which as many have left as may
    send(&mut world, 1, vec![left("sam", at), left("pia", at)]).unwrap();
    // when one identity is taken away, then it is
    tell(&mut world, vec![changed("ben", &[], &["ben"])]).unwrap();
    assert!(known_by(&world, "ben").is_empty());
    // and when a whole file with wrong logins would take them from many, then nobody loses any until a person has looked
    let mut people = file(&world);
    for name in ["dan", "eve", "cleo"] {
        people.get_mut(&id(name)).unwrap().login = login(&format!("{name}-wrong"));
    }
    world.send("hr", Command::from(ImportPeople { place: place("files", 1), people })).unwrap();
    assert_eq!(held(&hold(&world)).len(), 3);
    assert_eq!(known_by(&world, "dan"), set(&["dan"]));
    release_all(&mut world);
    assert_eq!(known_by(&world, "dan"), set(&["dan-wrong"]));
    world.assert_replays();
}

#[test]
fn what_is_set_aside_gives_nothing_and_takes_away_all_the_same() {
    let mut world = world(9);
    // when somebody is to be known by what a machine has, and what comes later waits for that
    let events = vec![exactly("ben", &["bot", "phone"]), changed("ben", &["tablet"], &["phone"])];
    let events = send(&mut world, 1, events).unwrap();
    // then what they had is gone at once, and the rest is set aside or waits
    assert_eq!(set_aside(&events), ["1 ben IDENTITY_TAKEN"]);
    assert!(known_by(&world, "ben").is_empty());
    let waiting: Vec<HrEvent> = in_order(&world).into_iter().flat_map(|hold| hold.events).collect();
    assert_eq!(waiting, [changed("ben", &["bot"], &[]), changed("ben", &["tablet"], &[])]);
    world.assert_replays();
}

#[test]
fn whoever_owns_the_feed_may_have_an_identity_of_theirs_taken_away_and_none_given() {
    let mut world = world(9);
    assert_refused(tell(&mut world, vec![changed("hana", &["hana2"], &[])]), Reason::OwnStanding);
    assert_refused(tell(&mut world, vec![changed("hana", &["hana2"], &["hana"])]), Reason::OwnStanding);
    tell(&mut world, vec![changed("hana", &[], &["hana"])]).unwrap();
    assert!(known_by(&world, "hana").is_empty() && employed(&world, "hana"));
}

/// known failure G27: each record of a person names all identities, so that there are few.
#[test]
fn a_person_is_known_by_eight_identities_at_most_however_they_come() {
    let mut world = world(9);
    let many: Vec<String> = (0..9).map(|n| format!("a{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    // given as many as there may be
    tell(&mut world, vec![exactly("ben", &many[..8])]).unwrap();
    // then one more is refused, said in either way and of a joiner too, and one in place of another is not
    assert_refused(tell(&mut world, vec![changed("ben", &["a8"], &[])]), Reason::TooManyIdentities);
    assert_refused(tell(&mut world, vec![exactly("ben", &many)]), Reason::TooManyIdentities);
    let joiner = HrEvent { person: id("nia"), change: HrChange::Joined { login: set(&many), manager: None } };
    assert_refused(tell(&mut world, vec![joiner]), Reason::TooManyIdentities);
    assert_eq!(known_by(&world, "ben"), set(&many[..8]));
    tell(&mut world, vec![changed("ben", &["a8"], &["a0"])]).unwrap();
    assert_eq!(known_by(&world, "ben"), set(&many[1..]));
}
