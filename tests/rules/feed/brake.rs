//! The brake: over one command and over any 24 hours what would enable or disable many waits for a person (known failure B4).

use countersign::domain::record::command::{Command, DecideHold};
use countersign::domain::record::event::{Event, Fact, FeedFact};
use countersign::domain::record::hr::{HrChange, HrEvent, ImportedPerson, Part};
use countersign::domain::rule::feed::feed_status;
use countersign::domain::value::ids::Digest;
use countersign::domain::value::refusal::Reason;

use crate::support::feed::{
    add, applied, decide, employed, file, held, hold, id, import, joined, left, login, manager, renamed, send, staff,
    tell, transferred, urgent, world,
};
use crate::support::records::person;
use crate::world::{Ask, assert_refused, kinds, span};

#[test]
fn so_many_pass_and_one_more_holds_all_of_that_part() {
    let mut world = world(2);
    let at = world.at;
    // when as many join as may, they do
    send(&mut world, 1, vec![joined("nia", "ines"), joined("noa", "ines")]).unwrap();
    // when more leave than may, and one is renamed
    let events = send(&mut world, 3, vec![left("ana", at), left("dan", at), left("ben", at)]).unwrap();
    // then all leavings wait, the stream goes on, and nobody has left
    assert_eq!(kinds(&events), ["hr-feed-heard", "hr-held"]);
    assert_eq!(world.state.feeds().get("hr").unwrap().last_number, 5);
    assert_eq!(held(&hold(&world)), ["LEFT ana", "LEFT dan", "LEFT ben"]);
    assert!(employed(&world, "ana") && employed(&world, "noa"));
}

#[test]
fn each_part_is_counted_by_itself() {
    let mut world = world(2);
    let at = world.at;
    let events = vec![joined("nia", "ines"), left("ana", at), left("dan", at), left("ben", at), renamed("sam", "sam2")];
    // when three leave and two are enabled
    let done = send(&mut world, 1, events).unwrap();
    // then the two are, and the three wait
    assert_eq!(applied(&done), ["JOINED nia", "RENAMED sam"]);
    assert_eq!(hold(&world).events.len(), 3);
}

#[test]
fn the_brake_counts_over_any_twenty_four_hours() {
    let mut world = world(2);
    // given two who joined, 12 h apart
    tell(&mut world, vec![joined("nia", "ines")]).unwrap();
    world.pass("12h");
    tell(&mut world, vec![joined("noa", "ines")]).unwrap();
    // when a third comes just before the first is 24 h ago, it is held
    world.pass("43199s");
    tell(&mut world, vec![joined("nox", "ines")]).unwrap();
    assert!(!employed(&world, "nox"));
    // and a second later one passes, but no other
    world.pass("1s");
    tell(&mut world, vec![joined("nut", "ines")]).unwrap();
    tell(&mut world, vec![joined("nat", "ines")]).unwrap();
    assert!(employed(&world, "nut") && !employed(&world, "nat"));
}

#[test]
fn it_counts_persons_and_not_events() {
    let mut world = world(2);
    let rename = |n: u32| renamed("sam", &format!("sam{n}"));
    send(&mut world, 1, (0..5).map(rename).collect()).unwrap();
    send(&mut world, 6, vec![renamed("eve", "eve2"), renamed("sam", "sam9")]).unwrap();
    assert_eq!(world.state.holds().len(), 0);
    send(&mut world, 8, vec![joined("nia", "ines")]).unwrap();
    assert_eq!(held(&hold(&world)), ["JOINED nia"]);
}

#[test]
fn the_share_of_all_people_counts_where_it_is_less_and_one_always_may() {
    // given 2 % of the people: less than one
    let mut world = world(50);
    world.propose_policy("percent = 100", "percent = 2").unwrap();
    let status = feed_status(&world.state, world.now());
    assert_eq!((status.brake_limit, status.enabling_left), (1, 1));
    // when one joins, and another
    tell(&mut world, vec![joined("nia", "ines")]).unwrap();
    tell(&mut world, vec![joined("noa", "ines")]).unwrap();
    // then the first has, and the other waits
    assert!(employed(&world, "nia") && !employed(&world, "noa"));
    let status = feed_status(&world.state, world.now());
    assert_eq!((status.enabling_left, status.disabling_left), (0, 1));
}

#[test]
fn an_urgent_leaving_drops_what_waits_of_the_person() {
    let mut world = world(1);
    let at = world.at;
    // given held: nia and noa would join, and ana would have another certificate
    tell(&mut world, vec![joined("nia", "ines"), joined("noa", "ines"), renamed("ana", "ana2")]).unwrap();
    let before = hold(&world);
    // when ana leaves at once, and nia as well, whom nobody knows yet
    tell(&mut world, vec![urgent("ana", at)]).unwrap();
    tell(&mut world, vec![urgent("nia", at)]).unwrap();
    // then nothing of theirs is left to let through, and the old digest does not do
    assert_eq!(held(&hold(&world)), ["JOINED noa"]);
    assert_refused(decide(&mut world, "rela", &before, true), Reason::DigestMismatch);
    let after = hold(&world);
    decide(&mut world, "rela", &after, true).unwrap();
    assert!(!employed(&world, "ana") && !employed(&world, "nia") && employed(&world, "noa"));
    // and a hold with nothing in it is gone
    tell(&mut world, vec![joined("nux", "ines"), joined("nax", "ines")]).unwrap();
    tell(&mut world, vec![urgent("nux", at)]).unwrap();
    tell(&mut world, vec![urgent("nax", at)]).unwrap();
    assert_eq!(world.state.holds().len(), 0);
}

#[test]
fn what_comes_after_something_held_of_the_person_waits_too() {
    let mut world = world(2);
    let at = world.at;
    tell(&mut world, vec![left("ana", at), left("dan", at), left("ben", at)]).unwrap();
    let first = hold(&world);
    // when ana, whose leaving waits, has another certificate; and somebody new has dan's, or reports to a new one
    tell(&mut world, vec![renamed("ana", "ana2")]).unwrap();
    let reuse = HrEvent { person: id("nia"), change: HrChange::Joined { login: login("dan"), manager: None } };
    tell(&mut world, vec![reuse]).unwrap();
    // then all that waits, in holds of their own
    assert!(employed(&world, "ana") && !employed(&world, "nia"));
    let holds = feed_status(&world.state, world.now()).holds;
    assert_eq!(holds.iter().map(held).collect::<Vec<_>>()[1..], [vec!["RENAMED ana"], vec!["JOINED nia"]]);
    // and what was caught first is decided first
    let refusal = assert_refused(decide(&mut world, "rela", &holds[1], true), Reason::Held);
    assert_eq!((refusal.facts["person"].as_str(), refusal.facts["hold"].clone()), ("ana", first.id.to_string()));
    decide(&mut world, "rela", &first, true).unwrap();
    decide(&mut world, "rela", &holds[2], true).unwrap();
    assert!(!employed(&world, "dan") && employed(&world, "nia"));
}

#[test]
fn a_new_manager_who_waits_makes_the_reports_wait() {
    let mut world = world(2);
    let mut people = file(&world);
    add(&mut people, 3);
    // given three who join, and dan who moves below one of them
    people.get_mut("dan").unwrap().manager = Some(id("new2"));
    import(&mut world, 1, &people).unwrap();
    // then dan stays in place until the manager is there
    assert_eq!(manager(&world, "dan"), Some("ines".to_owned()));
    let waiting = hold(&world);
    assert_eq!(waiting.events.len(), 4);
    decide(&mut world, "rela", &waiting, true).unwrap();
    assert_eq!(manager(&world, "dan"), Some("new2".to_owned()));
}

#[test]
fn a_person_with_the_capability_lets_through_in_order() {
    let mut world = world(2);
    let (_, grant) = world.granted();
    let mut people = file(&world);
    for name in ["ana", "dan", "cleo"] {
        people.remove(name);
    }
    import(&mut world, 1, &people).unwrap();
    let waiting = hold(&world);
    assert!(world.state.grants().get(&grant).unwrap().is_open());
    // given that neither the sender, nor a machine with the capability, nor who has none may decide
    for who in ["hr", "ana", "omar"] {
        assert_refused(decide(&mut world, who, &waiting, true), Reason::CapabilityMissing);
    }
    assert_refused(decide(&mut world, "robby", &waiting, true), Reason::NotAnApprover);
    let status = feed_status(&world.state, world.now());
    assert_eq!((status.holds[0].persons(Part::Enabling), status.holds[0].persons(Part::Disabling)), (0, 3));
    // when rela lets it through, then all have left, with their cascades
    let events = decide(&mut world, "rela", &waiting, true).unwrap();
    assert_eq!(events[0].fact.kind(), "hr-hold-decided/1");
    assert_eq!(applied(&events), ["LEFT ana", "LEFT cleo", "LEFT dan"]);
    assert!(!employed(&world, "ana") && !world.state.grants().get(&grant).unwrap().is_open());
    // and the journal says from where; what a person let through takes nothing of the brake's room
    let by_a_person = |event: &Event| matches!(&event.fact, Fact::Feed(FeedFact::EventApplied(fact)) if fact.released);
    assert_eq!(events.iter().filter(|event| by_a_person(event)).count(), 3);
    assert_eq!(feed_status(&world.state, world.now()).disabling_left, 2);
    assert_refused(decide(&mut world, "rela", &waiting, true), Reason::NotFound);
}

#[test]
fn what_is_thrown_away_never_happens() {
    let mut world = world(2);
    let at = world.at;
    tell(&mut world, vec![left("ana", at), left("dan", at), left("ben", at)]).unwrap();
    let waiting = hold(&world);
    let events = decide(&mut world, "rela", &waiting, false).unwrap();
    assert_eq!(kinds(&events), ["hr-hold-decided"]);
    assert!(employed(&world, "ana") && world.state.holds().is_empty());
    Ask::repair().by("ana", &mut world).unwrap();
}

#[test]
fn what_no_longer_fits_the_world_is_left_out() {
    let mut world = world(3);
    staff(&mut world, &["amy"]);
    let at = world.at;
    let events = vec![
        joined("nia", "ines"),
        joined("noa", "amy"),
        joined("nox", "ines"),
        renamed("dan", "nix"),
        HrEvent { person: id("sam"), change: HrChange::Stays },
        joined("nut", "ines"),
    ];
    tell(&mut world, events).unwrap();
    let waiting = hold(&world);
    // given that meanwhile dan left at once, and with that what waited of dan's; amy, who would be a manager, is gone; and
    // the directory brought nia
    tell(&mut world, vec![urgent("dan", at)]).unwrap();
    tell(&mut world, vec![urgent("amy", at)]).unwrap();
    let now = hold(&world);
    assert_eq!(now.events.len(), waiting.events.len() - 1);
    world.organisation.people.remove("amy");
    // when the rest is let through
    let events = decide(&mut world, "rela", &now, true).unwrap();
    // then what still can be is
    assert_eq!(applied(&events), ["JOINED nia", "JOINED nox", "JOINED nut"]);
    // and what no longer can is said to be left out
    let left_out = events.iter().filter_map(|event| match &event.fact {
        Fact::Feed(FeedFact::EventLeftOut(it)) => Some((it.hold, it.event.person.to_string())),
        _ => None,
    });
    assert_eq!(left_out.collect::<Vec<_>>(), [(now.id, "noa".to_owned()), (now.id, "sam".to_owned())]);
    assert!(!employed(&world, "noa"));
}

#[test]
fn nobody_lets_through_what_enables_themselves_nor_throws_away_what_would_disable_them() {
    let mut world = world(1);
    let at = world.at;
    let mut people = file(&world);
    people.get_mut("relo").unwrap().manager = Some(id("ines"));
    people.get_mut("dan").unwrap().manager = Some(id("omar"));
    import(&mut world, 1, &people).unwrap();
    let moves = hold(&world);
    assert_refused(decide(&mut world, "relo", &moves, true), Reason::OwnStanding);
    decide(&mut world, "rela", &moves, true).unwrap();
    assert_eq!(person(&world, "relo").manager, Some(id("ines")));
    // her own leaving rela may let through, but not throw away
    tell(&mut world, vec![left("rela", at), left("sam", at)]).unwrap();
    let leavings = hold(&world);
    assert_refused(decide(&mut world, "rela", &leavings, false), Reason::OwnStanding);
    decide(&mut world, "rela", &leavings, true).unwrap();
    assert!(!employed(&world, "rela"));
}

#[test]
fn a_decision_names_what_was_shown() {
    let mut world = world(1);
    tell(&mut world, vec![joined("nia", "ines"), joined("noa", "ines")]).unwrap();
    let waiting = hold(&world);
    let other = Digest::of(b"something else");
    let command = Command::from(DecideHold { hold: waiting.id, digest: other, release: true, reason: String::new() });
    assert_refused(world.send("rela", command), Reason::DigestMismatch);
    assert!(!employed(&world, "nia"));
    // the digest is what a client computes from the events
    let json = serde_json::to_vec(&waiting.events).unwrap();
    assert_eq!(waiting.digest(), Digest::of(&json));
}

#[test]
fn transfers_of_many_wait_as_leavings_do() {
    let mut world = world(2);
    let at = world.at;
    let moves = ["ana", "dan", "ben"].map(|name| transferred(name, "omar", at.plus(span("1d"))));
    tell(&mut world, moves.to_vec()).unwrap();
    assert_eq!(hold(&world).events.len(), 3);
    assert_eq!(person(&world, "ana").moves, []);
}

#[test]
fn a_hold_of_any_size_is_told_in_rows_that_the_journal_takes() {
    let mut world = world(2);
    let mut people = file(&world);
    add(&mut people, 6_000);
    let events = import(&mut world, 1, &people).unwrap();
    // then it is one hold in several rows, none of them large
    assert!(kinds(&events).iter().filter(|kind| **kind == "hr-held").count() > 1);
    assert!(world.rows.iter().all(|row| row.len() < 512 * 1024));
    let waiting = hold(&world);
    assert_eq!(waiting.events.len(), 6_000);
    // and is let through as one
    decide(&mut world, "rela", &waiting, true).unwrap();
    assert!(employed(&world, "new0") && employed(&world, "new5999"));
    let file: ImportedPerson = people[&id("new7")].clone();
    assert_eq!(person(&world, "new7").login, file.login);
}

#[test]
fn whose_machine_it_was_does_not_let_through_what_makes_them_the_manager() {
    // given noa, who owns the machine of HR and may release, and zoe, who joins under her
    let mut world = crate::support::life::world();
    let joins = || vec![crate::support::life::joins("zoe", Some("noa"))];
    crate::support::life::hr(&mut world, joins()).unwrap();
    let waiting = hold(&world);
    assert_eq!(held(&waiting), ["JOINED zoe"]);
    // when the machine is somebody else's by then, then it was still hers
    assert_refused(decide(&mut world, "noa", &waiting, true), Reason::OwnStanding);
    world.change_directory(|all| all.accounts.get_mut("hr-sync").unwrap().owner = Some("odo".into())).unwrap();
    assert_refused(decide(&mut world, "noa", &waiting, true), Reason::OwnStanding);
    // she may throw it away; and what the machine of somebody else says is not her word
    decide(&mut world, "noa", &waiting, false).unwrap();
    crate::support::life::hr(&mut world, joins()).unwrap();
    assert_eq!(manager(&world, "zoe"), Some("noa".to_owned()));
}

#[test]
fn a_leaving_of_who_works_here_waits_for_nothing_else_of_the_person() {
    // given ana and dan, of whom a change waits, because it would put them under hana
    let mut world = world(9);
    let at = world.at;
    send(&mut world, 1, ["ana", "dan"].map(|name| transferred(name, "hana", at)).to_vec()).unwrap();
    // when ana leaves today, and dan on a day to come, then both do
    let later = at.plus(span("3d"));
    send(&mut world, 3, vec![left("ana", at), left("dan", later)]).unwrap();
    assert!(!employed(&world, "ana") && person(&world, "dan").employed_until == Some(later));
    // what waited of her is dropped; of the other it comes before the last day, whoever lets it through
    let waiting: Vec<_> = world.state.holds().values().flat_map(held).collect();
    assert_eq!(waiting, ["TRANSFERRED dan", "LEFT dan"]);
    let holds: Vec<_> = world.state.holds().values().cloned().collect();
    for it in &holds {
        decide(&mut world, "rela", it, true).unwrap();
    }
    assert_eq!((manager(&world, "dan"), person(&world, "dan").employed_until), (Some("hana".to_owned()), Some(later)));
}

#[test]
fn leavings_of_those_of_whom_something_waits_count_as_any_others() {
    let mut world = world(2);
    let at = world.at;
    let names = ["ana", "dan", "ben"];
    tell(&mut world, names.map(|name| transferred(name, "hana", at)).to_vec()).unwrap();
    // when all three leave, then that is more than the brake lets pass
    tell(&mut world, names.map(|name| left(name, at)).to_vec()).unwrap();
    assert!(names.iter().all(|name| employed(&world, name)));
    // and two are not
    tell(&mut world, names[..2].iter().map(|name| left(name, at)).collect()).unwrap();
    assert!(!employed(&world, "ana") && !employed(&world, "dan") && employed(&world, "ben"));
}
