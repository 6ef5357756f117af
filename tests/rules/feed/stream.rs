//! The HR feed: numbered events, replays, gaps, silence, and who may send what (design.md 4 and 7, known failure B4).

use std::collections::BTreeSet;

use countersign::domain::record::command::{ApplyHrEvents, Command, ImportPeople, RetireStream};
use countersign::domain::record::elevation::Cancellation;
use countersign::domain::record::event::{Fact, FeedFact};
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::record::hr::{HrChange, HrEvent};
use countersign::domain::rule::feed::{feed_status, feed_status_for};
use countersign::domain::rule::visibility::viewer;
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::Timestamp;

use crate::support::feed::{
    applied, employed, id, joined, left, login, manager, place, renamed, send, tell, transferred, urgent, world,
};
use crate::support::records::{account, person};
use crate::world::{Ask, World, assert_refused, identity, kinds, span};

#[test]
fn an_event_of_a_stream_takes_effect_and_its_number_is_kept() {
    // given a feed that begins
    let mut world = world(9);
    // when its first event comes
    let events = send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    // then the person is on record, and the stream is at 1
    assert_eq!(kinds(&events), ["hr-feed-heard", "hr-event-applied", "person-recorded"]);
    assert!(employed(&world, "nia"));
    let feed = world.state.feeds().get("hr").unwrap();
    assert_eq!((feed.sender.as_str(), feed.last_number, feed.heard_at), ("hr", 1, world.at));
}

#[test]
fn what_is_repeated_changes_nothing() {
    // given somebody who joined and left by the stream
    let mut world = world(9);
    let at = world.at;
    let both = vec![joined("nia", "ines"), urgent("nia", at)];
    send(&mut world, 1, both.clone()).unwrap();
    // when both come again, and when the joining alone comes again
    let again = send(&mut world, 1, both.clone()).unwrap();
    let first = send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    // then nobody is back
    assert_eq!((applied(&again).len(), applied(&first).len()), (0, 0));
    assert!(!employed(&world, "nia"));
    assert_eq!(world.state.feeds().get("hr").unwrap().last_number, 2);
}

#[test]
fn of_events_that_overlap_only_the_new_ones_happen() {
    let mut world = world(9);
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    // when a sender that knows no answer sends them all again, with one more
    let events = send(&mut world, 1, vec![joined("nia", "ines"), joined("noa", "ines")]).unwrap();
    // then the one more happens
    assert_eq!(applied(&events), ["JOINED noa"]);
    assert_eq!(world.state.feeds().get("hr").unwrap().last_number, 2);
}

#[test]
fn a_gap_is_refused_with_the_number_that_is_missing() {
    let mut world = world(9);
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    // when 3 comes before 2
    let refusal = assert_refused(send(&mut world, 3, vec![joined("noa", "ines")]), Reason::FeedGap);
    // then the broker asks for 2, and nothing happened
    assert_eq!(refusal.facts["next"], "2");
    assert!(!employed(&world, "noa"));
    // and in the right order both take effect
    send(&mut world, 2, vec![joined("nox", "ines")]).unwrap();
    send(&mut world, 3, vec![joined("noa", "ines")]).unwrap();
    assert!(employed(&world, "noa"));
}

#[test]
fn an_urgent_leaving_waits_for_no_missing_number_and_uses_none() {
    // given a stream at 0 whose event 2 comes first: ana leaves at once
    let mut world = world(9);
    let (_, grant) = world.granted();
    let at = world.at;
    send(&mut world, 2, vec![urgent("ana", at)]).unwrap();
    // then she has left, and the stream is still before 1
    assert!(!employed(&world, "ana") && !world.state.grants().get(&grant).unwrap().is_open());
    assert!(world.state.feeds().is_empty());
    // and when both come in order, the second changes nothing more
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    let again = send(&mut world, 2, vec![urgent("ana", at)]).unwrap();
    assert_eq!(kinds(&again), ["hr-feed-heard", "hr-event-applied"]);
}

#[test]
fn an_old_urgent_leaving_ends_nobody_who_came_back() {
    let mut world = world(9);
    let at = world.at;
    send(&mut world, 1, vec![urgent("ana", at)]).unwrap();
    send(&mut world, 2, vec![joined("ana", "ines")]).unwrap();
    // when the leaving is replayed
    send(&mut world, 1, vec![urgent("ana", at)]).unwrap();
    // then she still works here
    assert!(employed(&world, "ana"));
}

#[test]
fn without_a_place_one_wrong_event_refuses_all_of_them_and_is_named() {
    let mut world = world(9);
    let before = world.state.organisation().clone();
    // when the second of three is about somebody nobody knows
    let at = world.at;
    let events = vec![joined("nia", "ines"), left("nobody", at), joined("noa", "ines")];
    let refusal = assert_refused(tell(&mut world, events), Reason::PersonUnknown);
    // then none took effect: whoever sent it hears so at once, and nobody waits behind it
    assert_eq!((refusal.facts["person"].as_str(), refusal.facts["number"].as_str()), ("nobody", "2"));
    assert!(*world.state.organisation() == before && world.state.feeds().is_empty());
}

#[test]
fn a_batch_equals_its_parts() {
    // given the same events in one command and in as many as there are
    let (mut whole, mut parts) = (world(9), world(9));
    let at = whole.at;
    let events = vec![joined("nia", "ines"), transferred("dan", "nia", at), renamed("nia", "nia2"), left("ana", at)];
    send(&mut whole, 1, events.clone()).unwrap();
    for (number, event) in (1..).zip(events) {
        send(&mut parts, number, vec![event]).unwrap();
    }
    // then the organisation is the same
    assert!(crate::world::same_but_for_places(&whole.state, &parts.state));
    assert_eq!(manager(&whole, "dan"), Some("nia".to_owned()));
}

#[test]
fn only_the_account_that_began_a_stream_may_go_on_with_it() {
    let mut world = world(9);
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    // when another machine with the same capability goes on with it
    let events = vec![joined("noa", "ines")];
    let command = |stream: &str, number| {
        Command::from(ApplyHrEvents { place: Some(place(stream, number)), events: events.clone() })
    };
    assert_refused(world.send("hr-two", command("hr", 2)), Reason::FeedOfAnother);
    let people = crate::support::feed::file(&world);
    assert_refused(
        world.send("hr-two", Command::from(ImportPeople { place: place("hr", 2), people })),
        Reason::FeedOfAnother,
    );
    // then it may begin one of its own
    world.send("hr-two", command("hr-two", 1)).unwrap();
    assert_eq!(world.state.feeds().len(), 2);
}

#[test]
fn without_the_capability_nobody_sends() {
    let mut world = world(9);
    let events = vec![joined("nia", "ines")];
    for who in ["ana", "omar", "rela", "bot"] {
        let command = Command::from(ApplyHrEvents { place: None, events: events.clone() });
        assert_refused(world.send(who, command), Reason::CapabilityMissing);
        let command = Command::from(ImportPeople { place: place("hr", 1), people: crate::support::feed::file(&world) });
        assert_refused(world.send(who, command), Reason::CapabilityMissing);
    }
}

#[test]
fn nobody_sends_what_widens_the_own_standing_or_that_of_the_machines_owner() {
    // given hana, who owns the machine that sends
    let mut world = world(9);
    let at = world.at;
    for event in [
        renamed("hana", "other"),
        transferred("hana", "ines", at),
        HrEvent { person: id("hana"), change: HrChange::Stays },
        joined("hana", "ines"),
    ] {
        // when it sends something of hers, then it is refused
        assert_refused(tell(&mut world, vec![event.clone()]), Reason::OwnStanding);
        // and in a stream it waits for somebody else, while what follows goes on
        let mut world = world.clone();
        let standing = |world: &World| {
            let hana = person(world, "hana");
            (hana.manager.clone(), hana.employment, hana.employed_until)
        };
        let before = standing(&world);
        send(&mut world, 1, vec![event, joined("nia", "ines")]).unwrap();
        assert!(employed(&world, "nia") && standing(&world) == before);
        assert_eq!(world.state.organisation().principal(&identity("other").parse().unwrap()), None);
        assert_eq!(world.state.holds().len(), 1);
    }
    // but that she leaves it may say, which closes the machine as well
    tell(&mut world, vec![left("hana", at)]).unwrap();
    assert!(!employed(&world, "hana"));
    assert_refused(tell(&mut world, vec![joined("nia", "ines")]), Reason::NoAccount);
}

#[test]
fn what_would_make_the_author_answer_for_others_waits_and_the_stream_goes_on() {
    let mut world = world(9);
    let at = world.at;
    // when the machine of hana's puts people under her, now or later
    let later = at.plus(span("5d"));
    let events = vec![
        joined("nia", "hana"),
        transferred("ana", "hana", at),
        transferred("dan", "hana", later),
        joined("pim", "ines"),
    ];
    send(&mut world, 1, events).unwrap();
    // then that waits, and what comes after it of the same person, while all others go on
    send(&mut world, 5, vec![left("nia", later), transferred("ben", "omar", at)]).unwrap();
    let waiting: Vec<_> = world.state.holds().values().flat_map(crate::support::feed::held).collect();
    assert_eq!(waiting, ["JOINED nia", "TRANSFERRED ana", "TRANSFERRED dan", "LEFT nia"]);
    assert!(employed(&world, "pim") && !employed(&world, "nia") && person(&world, "dan").moves.is_empty());
    assert_eq!(manager(&world, "ana"), Some("ines".to_owned()));
    // an urgent leaving waits for nothing
    send(&mut world, 7, vec![urgent("ana", at)]).unwrap();
    assert!(!employed(&world, "ana"));
}

#[test]
fn a_manager_who_is_nobody_is_refused_at_joining_and_left_out_at_a_transfer() {
    let mut world = world(9);
    assert_refused(tell(&mut world, vec![joined("nia", "nobody")]), Reason::PersonUnknown);
    let at = world.at;
    tell(&mut world, vec![transferred("ana", "nobody", at)]).unwrap();
    assert_eq!(manager(&world, "ana"), None);
    assert!(person(&world, "ana").awaits_manager);
}

#[test]
fn a_circle_of_managers_and_a_taken_identity_are_refused() {
    let mut world = world(9);
    let at = world.at;
    // ana reports to ines, who reports to omar
    assert_refused(tell(&mut world, vec![transferred("omar", "ana", at)]), Reason::ManagerCycle);
    let taken = HrEvent { person: id("nia"), change: HrChange::Joined { login: login("dan"), manager: None } };
    let refusal = assert_refused(tell(&mut world, vec![taken]), Reason::IdentityTaken);
    assert_eq!(refusal.facts["identity"], identity("dan"));
    assert_refused(tell(&mut world, vec![renamed("ana", "bot")]), Reason::IdentityTaken);
}

#[test]
fn a_heartbeat_keeps_a_feed_alive_and_uses_no_number() {
    let mut world = world(9);
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    for _ in 0..3 {
        // when it has nothing to say for a day, and says so
        world.pass("25h");
        let events = send(&mut world, 2, vec![]).unwrap();
        assert_eq!(kinds(&events), ["hr-feed-heard"]);
        // then requests go on
        let asked = Ask::repair().by("dan", &mut world).unwrap();
        world.withdraw("dan", asked).unwrap();
    }
    assert_eq!(world.state.feeds().get("hr").unwrap().last_number, 1);
    send(&mut world, 2, vec![joined("noa", "ines")]).unwrap();
}

#[test]
fn a_heartbeat_of_a_source_that_lags_or_leads_is_refused() {
    let mut world = world(9);
    send(&mut world, 1, vec![joined("nia", "ines"), joined("noa", "ines")]).unwrap();
    assert_refused(send(&mut world, 2, vec![]), Reason::FeedOld);
    assert_refused(send(&mut world, 4, vec![]), Reason::FeedGap);
    assert_refused(send(&mut world, 0, vec![]), Reason::InvalidMessage);
    assert_refused(tell(&mut world, vec![]), Reason::InvalidMessage);
}

#[test]
fn an_old_copy_of_a_feed_does_not_keep_it_alive() {
    // given a feed at 2
    let mut world = world(9);
    send(&mut world, 1, vec![joined("nia", "ines"), joined("noa", "ines")]).unwrap();
    let heard = world.state.feeds().get("hr").unwrap().heard_at;
    // when a copy from before 2 sends what it has, again and again
    world.pass("20h");
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    // then the feed was not heard by that
    assert_eq!(world.state.feeds().get("hr").unwrap().heard_at, heard);
    world.pass("6h");
    assert_refused(Ask::repair().by("ana", &mut world), Reason::FeedSilent);
}

#[test]
fn without_a_feed_there_is_no_silence_and_it_counts_from_the_first_event() {
    let mut world = world(9);
    // given no feed: no silence, however long
    world.pass("48h");
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    world.withdraw("ana", asked).unwrap();
    // when a feed begins, and is silent for as long as policy allows
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    let silent_at = world.at.plus(span("26h"));
    world.at = silent_at.minus(span("1s"));
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    world.withdraw("ana", asked).unwrap();
    world.at = silent_at;
    // then nothing new is asked for, and the refusal names the stream
    let refusal = assert_refused(Ask::repair().by("ana", &mut world), Reason::FeedSilent);
    assert_eq!(refusal.facts["stream"], "hr");
    // and with an event it goes on
    send(&mut world, 2, vec![joined("noa", "ines")]).unwrap();
    Ask::repair().by("ana", &mut world).unwrap();
}

#[test]
fn a_silent_feed_issues_nothing_that_was_asked_before() {
    let mut world = world(9);
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    world.pass("93590s");
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    world.pass("10s");
    // when the last approval comes after it went silent, then no grant comes of it
    assert_refused(world.approve("ben", asked), Reason::FeedSilent);
    assert_eq!((world.phase(asked), world.grant_of(asked).is_none()), ("PENDING", true));
    // and once it is heard again the approval counts
    send(&mut world, 2, vec![]).unwrap();
    world.approve("ben", asked).unwrap();
    assert_eq!(world.grant_phase(asked), "ACTIVE");
}

#[test]
fn live_grants_run_on_under_silence_and_scheduled_ones_do_not_start() {
    let mut world = world(9);
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    let start = world.at.plus(span("27h"));
    let scheduled = Ask::maintenance().starting(start).by("ana", &mut world).unwrap();
    world.approve("ben", scheduled).unwrap();
    world.pass("1559m");
    let live = Ask::repair().by("dan", &mut world).unwrap();
    world.approve("ben", live).unwrap();
    // when the feed goes silent, then what is live is live
    world.pass_and_tick("2m");
    assert!(world.may("dan", "db.read", "prod/eu/db/orders/main"));
    // and what was to start is revoked, for that reason
    world.at = start;
    world.tick();
    let phase = world.grant_of(scheduled).unwrap().phase.clone();
    let because = Revocation::NotEligible { reason: Reason::FeedSilent };
    assert_eq!(phase, GrantPhase::Revoked { at: world.at, because });
}

#[test]
fn a_retired_stream_is_waited_for_no_more() {
    let mut world = world(9);
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    world.pass("27h");
    let command = || Command::from(RetireStream { stream: "hr".parse().unwrap(), reason: "another system now".into() });
    // given a silent feed, which neither its sender nor a machine may retire
    for (who, reason) in
        [("hr", Reason::CapabilityMissing), ("robby", Reason::NotAnApprover), ("ana", Reason::CapabilityMissing)]
    {
        assert_refused(world.send(who, command()), reason);
    }
    // when a person with the capability does
    world.send("rela", command()).unwrap();
    // then requests go on, and there is nothing left to retire
    Ask::repair().by("ana", &mut world).unwrap();
    assert_refused(world.send("rela", command()), Reason::NotFound);
}

#[test]
fn what_a_retired_stream_said_is_old_whoever_says_it_again() {
    // given a stream in which nia joined and left, retired by a person
    let mut world = world(9);
    let at = world.at;
    let events = || vec![joined("nia", "ines"), left("nia", at)];
    send(&mut world, 1, events()).unwrap();
    world.send("rela", Command::from(RetireStream { stream: "hr".parse().unwrap(), reason: "quiet".into() })).unwrap();
    // when its numbers come again, from its sender or another, then nobody is here by them
    for who in ["hr", "hr-two"] {
        let command = Command::from(ApplyHrEvents { place: Some(place("hr", 1)), events: vec![joined("nia", "ines")] });
        world.send(who, command).unwrap();
        assert!(!employed(&world, "nia") && world.state.feeds().is_empty(), "{who}");
    }
    let people = crate::support::feed::file(&world);
    assert_refused(crate::support::feed::import(&mut world, 2, &people), Reason::FeedOld);
    // and it goes on where it was, with whoever sends it from now on
    let command = Command::from(ApplyHrEvents { place: Some(place("hr", 3)), events: vec![joined("nia", "ines")] });
    world.send("hr-two", command).unwrap();
    assert!(employed(&world, "nia"));
    assert_refused(send(&mut world, 4, vec![left("nia", at)]), Reason::FeedOfAnother);
}

#[test]
fn a_leaving_by_the_feed_takes_everything_along_in_one_batch() {
    // given a grant of ana's, a request of hers, and one that ben approved once
    let mut world = world(9);
    let (_, grant) = world.granted();
    let asked = Ask::maintenance().by("ana", &mut world).unwrap();
    let critical = Ask::critical().by("dan", &mut world).unwrap();
    world.approve("ben", critical).unwrap();
    // when both leave
    let at = world.at;
    send(&mut world, 1, vec![left("ana", at), left("ben", at)]).unwrap();
    // then the grant is revoked, the request cancelled, the approval void, the accounts disabled
    assert!(!world.state.grants().get(&grant).unwrap().is_open());
    let reason = Reason::AccountDisabled;
    let cancelled = world.elevation(asked).phase.clone();
    assert!(
        format!("{cancelled:?}").contains(&format!("{:?}", Cancellation::RequesterNotEligible { reason })),
        "{cancelled:?}"
    );
    assert_eq!(world.elevation(critical).review.approvals().count(), 0);
    assert_ne!(account(&world, "ana").state, countersign::domain::directory::AccountState::Active);
}

#[test]
fn while_the_clock_is_suspect_leavings_go_on_and_nothing_else() {
    let mut world = world(9);
    world.wall_off_by = 60_000;
    assert_refused(send(&mut world, 1, vec![joined("nia", "ines")]), Reason::ClockSuspect);
    let at = world.at;
    send(&mut world, 1, vec![left("ana", at)]).unwrap();
    assert!(!employed(&world, "ana"));
    let people = crate::support::feed::file(&world);
    assert_refused(crate::support::feed::import(&mut world, 2, &people), Reason::ClockSuspect);
}

#[test]
fn a_repeated_request_id_is_one_command() {
    let mut world = world(9);
    let events = vec![joined("nia", "ines")];
    let envelope = world.envelope("hr", Command::from(ApplyHrEvents { place: Some(place("hr", 1)), events }));
    assert_eq!(world.execute(&envelope).unwrap().len(), 3);
    assert_eq!(world.execute(&envelope).unwrap(), []);
}

#[test]
fn the_status_tells_streams_and_their_silence_to_whom_it_concerns() {
    let mut world = world(9);
    send(&mut world, 1, vec![joined("nia", "ines")]).unwrap();
    let command = Command::from(ApplyHrEvents { place: Some(place("other", 1)), events: vec![joined("noa", "ines")] });
    world.send("hr-two", command).unwrap();
    let heard = world.at;
    world.pass("26h");
    send(&mut world, 2, vec![]).unwrap();
    // all of it
    let status = feed_status(&world.state, world.now());
    let streams: Vec<_> = status.streams.iter().map(|it| (it.stream.as_str(), it.is_silent, it.silent_at)).collect();
    assert_eq!(streams, [("hr", false, world.at.plus(span("26h"))), ("other", true, heard.plus(span("26h")))]);
    // and as each sees it
    let seen = |who: &str| {
        let viewer = viewer(world.state.organisation(), &identity(who).parse().unwrap()).unwrap();
        let status = feed_status_for(&world.state, &viewer, world.now());
        status.map(|it| it.streams.iter().map(|it| it.stream.to_string()).collect::<BTreeSet<_>>())
    };
    let both = BTreeSet::from(["hr".to_owned(), "other".to_owned()]);
    assert_eq!(seen("rela").unwrap(), both);
    assert_eq!(seen("aud").unwrap(), both);
    assert_eq!(seen("hr-two").unwrap(), BTreeSet::from(["other".to_owned()]));
    assert_refused(seen("ana"), Reason::CapabilityMissing);
}

#[test]
fn an_event_without_an_instant_is_of_now() {
    let mut world = world(9);
    // when ana moves, and dan leaves, and nobody says when
    send(&mut world, 1, vec![transferred("ana", "odo", Timestamp::MIN), left("dan", Timestamp::MIN)]).unwrap();
    // then that is now: what ana holds ends with the grace from here on, as in a transfer of this instant
    let mut other = crate::support::feed::world(9);
    let at = other.at;
    send(&mut other, 1, vec![transferred("ana", "odo", at), left("dan", at)]).unwrap();
    assert!(world.state.organisation() == other.state.organisation());
}

#[test]
fn the_journal_says_the_place_of_every_event() {
    let mut world = world(9);
    let events = send(&mut world, 1, vec![joined("nia", "ines"), joined("noa", "ines")]).unwrap();
    let places = events.iter().filter_map(|event| match &event.fact {
        Fact::Feed(FeedFact::EventApplied(fact)) => fact.place.as_ref().map(|place| place.number),
        _ => None,
    });
    assert_eq!(places.collect::<Vec<_>>(), [1, 2]);
}

/// known failure G38.
#[test]
fn empty_heartbeats_begin_sixteen_streams_and_events_begin_one_all_the_same() {
    let mut world = world(9);
    let begin = |world: &mut World, number: usize, events: Vec<HrEvent>| {
        let place = place(&format!("stream-{number}"), 1);
        world.send("hr", Command::from(ApplyHrEvents { place: Some(place), events }))
    };
    // given as many streams as heartbeats may begin
    (0..16).for_each(|number| drop(begin(&mut world, number, Vec::new()).unwrap()));
    // then one more says something, or is refused; and those that are there are heard as before
    assert_refused(begin(&mut world, 16, Vec::new()), Reason::TenantFull);
    let at = world.at;
    begin(&mut world, 16, vec![left("ana", at)]).unwrap();
    begin(&mut world, 3, Vec::new()).unwrap();
}
