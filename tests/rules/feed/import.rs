//! A whole file from HR is compared with the directory, and what differs happens in one batch, or nothing does (known failure B4,
//! B5, B8).

use std::collections::BTreeSet;

use countersign::domain::directory::AccountState;
use countersign::domain::record::command::{ApplyHrEvents, Command, ImportPeople, RetireStream};
use countersign::domain::record::event::{Fact, FeedFact};
use countersign::domain::record::hr::ImportedPerson;
use countersign::domain::value::refusal::Reason;

use crate::support::feed::{
    add, applied, decide, employed, file, held, hold, id, import, login, manager, place, send, set_aside, tell, urgent,
    world,
};
use crate::support::records::{account, person};
use crate::world::{World, assert_refused, identity, kinds, span};

fn mistakes(refusal: &countersign::domain::value::refusal::Refusal) -> Vec<&str> {
    refusal.facts.iter().filter(|(key, _)| key.starts_with("mistake.")).map(|(_, text)| text.as_str()).collect()
}

#[test]
fn a_file_that_says_what_is_so_changes_nothing() {
    let mut world = world(9);
    let before = world.state.organisation().clone();
    // when what stands on record is imported, with machines, second accounts and logins without an account
    let people = file(&world);
    let events = import(&mut world, 1, &people).unwrap();
    // then the import alone is recorded
    assert_eq!(kinds(&events), ["hr-imported"]);
    assert!(*world.state.organisation() == before);
    let Fact::Feed(FeedFact::Imported(fact)) = &events[0].fact else { panic!() };
    assert_eq!((fact.people, fact.changes, fact.held), (u32::try_from(people.len()).unwrap(), 0, 0));
}

#[test]
fn what_differs_happens_in_an_order_in_which_it_can() {
    let mut world = world(50);
    let mut people = file(&world);
    // given a file in which a chain of managers joins, whose ids come after those of their reports
    for (name, manager) in [("a-first", "b-second"), ("b-second", "c-third"), ("c-third", "ines")] {
        let new = ImportedPerson { manager: Some(id(manager)), login: login(name), leaves_at: None };
        people.insert(id(name), new);
    }
    // ana moves below the one at the bottom, dan leaves and somebody new has dan's certificate, and pia has another
    people.get_mut("ana").unwrap().manager = Some(id("a-first"));
    people.remove("dan");
    people.insert(id("dan2"), ImportedPerson { manager: Some(id("ines")), login: login("dan"), leaves_at: None });
    people.get_mut("pia").unwrap().login = login("pia-pia");
    let leaves_at = world.at.plus(span("5d"));
    people.get_mut("sam").unwrap().leaves_at = Some(leaves_at);
    // when it is imported
    let events = import(&mut world, 1, &people).unwrap();
    // then all of it is so, and a second import finds nothing to do
    assert_eq!(applied(&events)[..2], ["LEFT dan", "RENAMED pia"]);
    assert_eq!(applied(&events).last().unwrap(), "LEFT sam");
    assert_eq!(manager(&world, "a-first"), Some("b-second".to_owned()));
    assert_eq!(manager(&world, "ana"), Some("a-first".to_owned()));
    assert!(!employed(&world, "dan") && employed(&world, "sam"));
    // what was dan's goes on once somebody has let it go
    assert!(!employed(&world, "dan2"));
    let waiting = hold(&world);
    decide(&mut world, "rela", &waiting, true).unwrap();
    assert!(employed(&world, "dan2"));
    assert_eq!(person(&world, "sam").employed_until, Some(leaves_at));
    assert_eq!(person(&world, "pia").login, login("pia-pia"));
    assert_eq!(kinds(&import(&mut world, 2, &people).unwrap()), ["hr-imported"]);
}

#[test]
fn one_import_is_one_batch() {
    let mut world = world(50);
    let (_, grant) = world.granted();
    let mut people = file(&world);
    people.remove("ana");
    add(&mut people, 3);
    let rows = world.rows.len();
    import(&mut world, 1, &people).unwrap();
    // then of all its rows the last alone ends the batch: a crash before it leaves nothing of the import
    let ends = world.rows[rows..].iter().map(|row| row.contains("\"last\":true")).collect::<Vec<_>>();
    assert_eq!(ends.iter().filter(|last| **last).count(), 1);
    assert_eq!(ends.last(), Some(&true));
    assert!(ends.len() > 8 && !world.state.grants().get(&grant).unwrap().is_open());
}

#[test]
fn an_old_file_and_one_too_far_on_are_refused() {
    let mut world = world(9);
    let old = file(&world);
    let at = world.at;
    send(&mut world, 1, vec![urgent("ana", at)]).unwrap();
    // when the file from before ana left comes late, then she stays away
    let refusal = assert_refused(import(&mut world, 1, &old), Reason::FeedOld);
    assert_eq!(refusal.facts["next"], "2");
    assert_refused(import(&mut world, 3, &old), Reason::FeedGap);
    assert!(!employed(&world, "ana"));
}

#[test]
fn a_file_from_before_with_the_next_number_does_not_bring_many_back() {
    let mut world = world(2);
    let old = file(&world);
    for name in ["ana", "dan", "ben"] {
        let at = world.at;
        tell(&mut world, vec![urgent(name, at)]).unwrap();
        world.pass_and_tick("12h");
    }
    // when an old file comes as a new one
    import(&mut world, 1, &old).unwrap();
    // then the brake holds all whom it would bring back
    assert!(!employed(&world, "ana") && !employed(&world, "dan") && !employed(&world, "ben"));
    assert_eq!(held(&hold(&world)), ["JOINED ana", "JOINED ben", "JOINED dan"]);
}

#[test]
fn an_empty_file_is_refused() {
    let mut world = world(1_000);
    assert_refused(import(&mut world, 1, &crate::support::feed::File::new()), Reason::ImportInvalid);
    assert!(employed(&world, "ana") && world.state.feeds().is_empty());
}

#[test]
fn a_truncated_file_disables_nobody() {
    let mut world = world(3);
    let mut people = file(&world);
    // given a file whose end is missing: managers come first in it
    people.retain(|id, _| ["omar", "ines", "hana", "olga"].contains(&id.as_str()));
    import(&mut world, 1, &people).unwrap();
    // then everybody whom it does not name is still here, and the brake says so
    assert!(employed(&world, "ana") && employed(&world, "rex"));
    assert!(held(&hold(&world)).iter().all(|event| event.starts_with("LEFT ")));
}

#[test]
fn no_file_disables_everybody_whatever_the_brake_allows() {
    let mut world = world(1_000_000);
    let mut people = crate::support::feed::File::new();
    people.insert(id("nia"), ImportedPerson { manager: None, login: login("nia"), leaves_at: None });
    import(&mut world, 1, &people).unwrap();
    assert!(employed(&world, "ana") && employed(&world, "nia"));
    assert_eq!(hold(&world).events.len(), file(&world).len() - 1);
}

#[test]
fn managers_in_a_circle_refuse_the_whole_file_and_are_named() {
    let mut world = world(50);
    let before = world.state.organisation().clone();
    let mut people = file(&world);
    add(&mut people, 2);
    // given omar below ana, who is below ines, who is below omar; and one who is their own manager
    people.get_mut("omar").unwrap().manager = Some(id("ana"));
    people.get_mut("new1").unwrap().manager = Some(id("new1"));
    let refusal = assert_refused(import(&mut world, 1, &people), Reason::ImportInvalid);
    assert_eq!(
        mistakes(&refusal),
        ["`ana` would be their own manager, over `ines`, `omar`", "`new1` would be their own manager"]
    );
    assert!(*world.state.organisation() == before && world.state.feeds().is_empty());
}

#[test]
fn a_manager_who_is_in_no_line_or_has_left_refuses_the_whole_file() {
    let mut world = world(50);
    let mut people = file(&world);
    people.get_mut("ana").unwrap().manager = Some(id("nobody"));
    let refusal = assert_refused(import(&mut world, 1, &people), Reason::ImportInvalid);
    assert_eq!(mistakes(&refusal), ["`ana`: the manager `nobody` is not in the file"]);
    // and one who leaves with the same file
    people.get_mut("ana").unwrap().manager = Some(id("odo"));
    people.get_mut("odo").unwrap().leaves_at = Some(world.at);
    let refusal = assert_refused(import(&mut world, 1, &people), Reason::ImportInvalid);
    assert_eq!(mistakes(&refusal), ["`ana`: the manager `odo` has left"]);
    assert!(employed(&world, "odo"));
}

#[test]
fn a_manager_of_record_who_has_left_and_is_in_no_file_moves_nobody() {
    // given ana, whose manager left, and a file in which she has none
    let mut world = world(50);
    let at = world.at;
    tell(&mut world, vec![urgent("ines", at)]).unwrap();
    let mut people = file(&world);
    people.values_mut().filter(|it| it.manager == Some(id("ines"))).for_each(|it| it.manager = None);
    // then that is no transfer: nothing of hers is cut, until somebody is named
    assert_eq!(kinds(&import(&mut world, 1, &people).unwrap()), ["hr-imported"]);
    people.get_mut("ana").unwrap().manager = Some(id("omar"));
    assert_eq!(applied(&import(&mut world, 2, &people).unwrap()), ["TRANSFERRED ana"]);
    assert_eq!(manager(&world, "ana"), Some("omar".to_owned()));
}

#[test]
fn two_who_claim_one_identity_refuse_the_whole_file() {
    let mut world = world(50);
    let mut people = file(&world);
    add(&mut people, 2);
    people.get_mut("new1").unwrap().login = login("new0");
    let refusal = assert_refused(import(&mut world, 1, &people), Reason::ImportInvalid);
    let text = format!("`new1` and `new0`: both have the identity `{}`", identity("new0"));
    assert_eq!(mistakes(&refusal), [text]);
    // one that belongs to somebody else of the directory, or to a machine
    people.get_mut("new1").unwrap().login = login("bot");
    // is set aside with why, and the rest of the file happens
    let events = import(&mut world, 1, &people).unwrap();
    assert_eq!(set_aside(&events), ["1 new1 IDENTITY_TAKEN"]);
    assert!(employed(&world, "new0") && !employed(&world, "new1"));
}

#[test]
fn all_conflicts_are_told_up_to_five_hundred() {
    let mut world = world(1_000);
    let mut people = file(&world);
    add(&mut people, 600);
    for n in 0..600 {
        people.get_mut(format!("new{n}").as_str()).unwrap().manager = Some(id("nobody"));
    }
    people.get_mut("ana").unwrap().login = login("dan");
    let refusal = assert_refused(import(&mut world, 1, &people), Reason::ImportInvalid);
    assert_eq!(mistakes(&refusal).len(), 500);
    assert!(refusal.detail.ends_with("; 601 to mend"), "{}", refusal.detail);
}

#[test]
fn identities_pass_along_a_row_of_people_but_are_not_exchanged() {
    let mut world = world(50);
    let mut people = file(&world);
    // given ana with what is dan's by now, and dan with what is ben's, and ben with something new
    people.get_mut("ana").unwrap().login = login("dan");
    people.get_mut("dan").unwrap().login = login("ben");
    people.get_mut("ben").unwrap().login = login("ben-ben");
    // when one of them would get what the one after gives up
    let events = import(&mut world, 1, &people).unwrap();
    // then the last in the row comes first, and the others give up what they had and wait for somebody to let
    // them have what was another's
    assert_eq!(applied(&events), ["RENAMED ben", "RENAMED dan", "RENAMED ana"]);
    assert!(account(&world, "ana").identities.is_empty() && account(&world, "dan").identities.is_empty());
    let waiting = hold(&world);
    let events = decide(&mut world, "rela", &waiting, true).unwrap();
    assert_eq!(applied(&events), ["RENAMED dan", "RENAMED ana"]);
    assert_eq!(account(&world, "ana").identities, login("dan"));
    assert_eq!(account(&world, "dan").identities, login("ben"));
    // but of two who would exchange theirs the first is set aside, and the other waits for that
    let exchanged = people.get("ana").unwrap().login.clone();
    people.get_mut("ana").unwrap().login = people.get("dan").unwrap().login.clone();
    people.get_mut("dan").unwrap().login = exchanged;
    let events = import(&mut world, 2, &people).unwrap();
    assert_eq!(set_aside(&events), ["2 ana IDENTITY_TAKEN"]);
    assert_eq!(world.state.holds().values().flat_map(held).collect::<Vec<_>>(), ["RENAMED ana", "RENAMED dan"]);
}

#[test]
fn a_last_day_is_announced_put_off_and_taken_back() {
    let mut world = world(50);
    let mut people = file(&world);
    let until = |world: &World| person(world, "ana").employed_until;
    let (soon, late) = (world.at.plus(span("3d")), world.at.plus(span("9d")));
    for (number, leaves_at) in (1..).zip([Some(late), Some(soon), Some(late), None]) {
        people.get_mut("ana").unwrap().leaves_at = leaves_at;
        import(&mut world, number, &people).unwrap();
        assert_eq!(until(&world), leaves_at);
    }
    // and one that is over is a leaving now
    people.get_mut("ana").unwrap().leaves_at = Some(world.at);
    import(&mut world, 5, &people).unwrap();
    assert!(!employed(&world, "ana"));
    // who is named with it for long is not brought back
    assert_eq!(kinds(&import(&mut world, 6, &people).unwrap()), ["hr-imported"]);
}

#[test]
fn who_comes_back_by_a_file_starts_with_nothing() {
    let mut world = world(50);
    let all = file(&world);
    let mut without = all.clone();
    without.remove("ana");
    import(&mut world, 1, &without).unwrap();
    import(&mut world, 2, &all).unwrap();
    // then she works here, by her certificate, without account, attestation or role
    assert!(employed(&world, "ana"));
    assert_eq!(person(&world, "ana").attestations.len(), 0);
    assert_eq!(account(&world, "ana").state, AccountState::Closed);
    let login = BTreeSet::from([identity("ana").parse().unwrap(), identity("ana-lab").parse().unwrap()]);
    assert_eq!(person(&world, "ana").login, login);
}

#[test]
fn what_a_file_says_of_its_author_waits_for_somebody_else() {
    // given a file that moves hana, who owns the machine that sends it, and dan
    let mut world = world(50);
    let mut people = file(&world);
    people.get_mut("hana").unwrap().manager = Some(id("ines"));
    people.get_mut("dan").unwrap().manager = Some(id("omar"));
    let events = import(&mut world, 1, &people).unwrap();
    // then dan moves, and what is hana's waits
    let Fact::Feed(FeedFact::Imported(fact)) = &events[0].fact else { panic!() };
    assert_eq!((fact.changes, fact.held), (1, 1));
    assert_eq!(manager(&world, "dan"), Some("omar".to_owned()));
    assert_eq!(manager(&world, "hana"), Some("omar".to_owned()));
    // until somebody with the capability, who is not she, lets it through
    let waiting = hold(&world);
    decide(&mut world, "rela", &waiting, true).unwrap();
    assert_eq!(manager(&world, "hana"), Some("ines".to_owned()));
}

#[test]
fn what_a_file_puts_under_its_author_waits_for_somebody_else() {
    // given hana, who owns the machine that sends the file and may release, and under whom it puts three
    let mut world = world(4);
    world.change_directory(|all| all.join("hana", "releaser")).unwrap();
    let mut people = file(&world);
    add(&mut people, 3);
    for name in ["new0", "dan", "ben"] {
        people.get_mut(name).unwrap().manager = Some(id("hana"));
    }
    people.get_mut("new2").unwrap().manager = Some(id("new0"));
    import(&mut world, 1, &people).unwrap();
    // then they wait, and who is to report to one of them; nothing else does, and it does not count for the brake
    let waiting = hold(&world);
    assert_eq!(held(&waiting), ["TRANSFERRED ben", "TRANSFERRED dan", "JOINED new0", "JOINED new2"]);
    assert!(employed(&world, "new1") && manager(&world, "dan") == Some("ines".to_owned()));
    // when the same comes again, then it waits in the place of what waited
    import(&mut world, 2, &people).unwrap();
    let waiting = hold(&world);
    // and she does not let it through, but somebody else does
    assert_refused(decide(&mut world, "hana", &waiting, true), Reason::OwnStanding);
    decide(&mut world, "rela", &waiting, true).unwrap();
    assert_eq!(manager(&world, "dan"), Some("hana".to_owned()));
    assert!(employed(&world, "new2"));
    // from then on she is the manager, and a file says nothing new by saying so
    assert_eq!(kinds(&import(&mut world, 3, &people).unwrap()), ["hr-imported"]);
}

#[test]
fn who_changes_places_with_somebody_who_waits_waits_too() {
    // given ana, who reports to dan, and a file in which dan reports to ana, and ana to hana, whose machine sends it
    let mut world = world(9);
    let at = world.at;
    tell(&mut world, vec![crate::support::feed::transferred("ana", "dan", at)]).unwrap();
    let mut people = file(&world);
    people.get_mut("ana").unwrap().manager = Some(id("hana"));
    people.get_mut("dan").unwrap().manager = Some(id("ana"));
    import(&mut world, 1, &people).unwrap();
    let waiting = hold(&world);
    assert_eq!(held(&waiting), ["TRANSFERRED ana", "TRANSFERRED dan"]);
    decide(&mut world, "rela", &waiting, true).unwrap();
    assert_eq!((manager(&world, "ana"), manager(&world, "dan")), (Some("hana".to_owned()), Some("ana".to_owned())));
}

#[test]
fn whole_files_come_in_one_stream_so_that_no_other_systems_file_makes_its_people_leave() {
    // given a system that sends whole files, and another one, by another account or the same, that knows other people
    let mut world = world(1_000_000);
    let mut people = file(&world);
    import(&mut world, 1, &people).unwrap();
    let file_of = |world: &mut World, who: &str, stream: &str, number: u64, people: &crate::support::feed::File| {
        world.send(who, Command::from(ImportPeople { place: place(stream, number), people: people.clone() }))
    };
    let mut others = people.clone();
    others.remove("ana");
    add(&mut others, 2);
    for who in ["hr", "hr-two"] {
        let refusal = assert_refused(file_of(&mut world, who, "lab", 1, &others), Reason::FeedOfAnother);
        assert_eq!(refusal.facts["stream"], "hr");
    }
    // then nobody of the first has left; and the other one says what happens event by event
    assert!(employed(&world, "ana") && !world.state.feeds().contains_key("lab"));
    let events = vec![crate::support::feed::joined("nia", "ines")];
    world.send("hr-two", Command::from(ApplyHrEvents { place: Some(place("lab", 1)), events })).unwrap();
    people.insert(id("nia"), ImportedPerson { manager: Some(id("ines")), login: login("nia"), leaves_at: None });
    assert_eq!(kinds(&import(&mut world, 2, &people).unwrap()), ["hr-imported"]);
    assert_refused(file_of(&mut world, "hr-two", "lab", 2, &others), Reason::FeedOfAnother);
    // once a person has retired the first, the other may
    let retire = Command::from(RetireStream { stream: "hr".parse().unwrap(), reason: "another system".into() });
    world.send("rela", retire).unwrap();
    file_of(&mut world, "hr-two", "lab", 2, &others).unwrap();
    assert!(!employed(&world, "ana") && employed(&world, "new1"));
    assert_refused(import(&mut world, 3, &people), Reason::FeedOfAnother);
}

#[test]
fn a_later_import_takes_the_place_of_what_an_earlier_one_had_held() {
    let mut world = world(2);
    let mut people = file(&world);
    add(&mut people, 4);
    import(&mut world, 1, &people).unwrap();
    let first = hold(&world);
    assert_eq!(first.events.len(), 4);
    // when the next file has one less, and one who leaves
    people.remove("new3");
    people.remove("dan");
    import(&mut world, 2, &people).unwrap();
    // then what is held is of that file alone, and the other is gone
    let second = hold(&world);
    assert_eq!(held(&second), ["JOINED new0", "JOINED new1", "JOINED new2"]);
    assert!(!employed(&world, "dan"));
    assert_refused(decide(&mut world, "rela", &first, true), Reason::NotFound);
    // and an import without them drops them all
    people.retain(|id, _| !id.as_str().starts_with("new"));
    import(&mut world, 3, &people).unwrap();
    assert_eq!(world.state.holds().len(), 0);
}

#[test]
fn an_import_keeps_the_feed_alive() {
    let mut world = world(9);
    let people = file(&world);
    import(&mut world, 1, &people).unwrap();
    world.pass("20h");
    import(&mut world, 2, &people).unwrap();
    assert_eq!(world.state.feeds().get("hr").unwrap().heard_at, world.at);
    // and events go on after it
    send(&mut world, 3, vec![]).unwrap();
    world.send("hr", Command::from(ImportPeople { place: place("hr", 3), people })).unwrap();
}
