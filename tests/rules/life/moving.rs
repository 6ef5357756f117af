//! Moving to another manager (issue 3, part 4; known failure B2).

use countersign::domain::value::refusal::Reason;

use crate::support::life::{
    account, granted_for, hr, joins, leaves, leaves_at_once, membership, moves, noon, person, world,
};
use crate::world::enrolments::{a_role, keep};
use crate::world::{Ask, World, assert_refused, kinds, span};

#[test]
fn a_transfer_ends_memberships_with_the_grace_or_sooner_if_they_would_have() {
    let mut world = world();
    world.enrolled("ana", a_role("reader"), &["ines"]);
    hr(&mut world, vec![moves("ana", Some("odo"), noon())]).unwrap();
    assert_eq!(person(&world, "ana").manager.as_ref().unwrap().as_str(), "odo");
    let grace = Some(noon().plus(span("14d")));
    assert_eq!(
        (membership(&world, "ana", "reader").until, membership(&world, "ana", "engineer").until),
        (grace, grace)
    );
    // by comparison: no timer runs
    world.pass("14d");
    assert!(Ask::repair().by("ana", &mut world).is_err());
}

#[test]
fn a_transfer_cuts_grants_that_would_outlast_the_grace() {
    let mut world = world();
    world.propose_policy("transfer_grace = \"14d\"", "transfer_grace = \"10m\"").unwrap();
    let id = granted_for(&mut world, "1h");
    let events = hr(&mut world, vec![moves("ana", Some("odo"), noon())]).unwrap();
    assert!(kinds(&events).contains(&"grant-shortened"));
    assert_eq!(world.grant_of(id).unwrap().end, noon().plus(span("10m")));
}

#[test]
fn keeping_a_role_is_the_new_managers_to_approve() {
    let mut world = world();
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NothingToKeep);
    hr(&mut world, vec![moves("ana", Some("odo"), noon())]).unwrap();
    let id = world.enrol("ana", keep("engineer")).unwrap();
    assert_refused(world.approve_enrolment("ines", id), Reason::NotFound);
    world.approve_enrolment("odo", id).unwrap();
    // then it has the end that it had before, and no later one
    assert_eq!(membership(&world, "ana", "engineer").until, Some(noon().plus(span("180d"))));
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NothingToKeep);
}

#[test]
fn a_transfer_to_come_takes_effect_at_its_time_with_no_timer_running() {
    let mut world = world();
    let at = noon().plus(span("10d"));
    hr(&mut world, vec![moves("ana", Some("odo"), at)]).unwrap();
    assert_eq!(person(&world, "ana").manager_at(world.now().latest).unwrap().as_str(), "ines");
    // the end of what is held comes forward already
    assert_eq!(membership(&world, "ana", "engineer").until, Some(at.plus(span("14d"))));
    let id = world.enrol("ana", a_role("reader")).unwrap();
    world.pass("10d");
    assert_eq!(person(&world, "ana").manager_at(world.now().latest).unwrap().as_str(), "odo");
    // the old manager decides no more, whatever has been recorded
    assert!(world.approve_enrolment("ines", id).is_err());
    world.tick();
    assert_eq!(person(&world, "ana").manager.as_ref().unwrap().as_str(), "odo");
    assert!(person(&world, "ana").moves.is_empty());
}

#[test]
fn a_transfer_to_somebody_unknown_takes_effect_without_a_manager_and_nothing_can_be_kept() {
    let mut world = world();
    hr(&mut world, vec![moves("ana", Some("whoever"), noon())]).unwrap();
    assert_eq!((person(&world, "ana").manager.clone(), person(&world, "ana").awaits_manager), (None, true));
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NoApprover);
    // nor by the side door: the people office stands in for nobody who awaits a manager
    let later = countersign::domain::record::command::EnrolmentAsk::Role {
        account: None,
        role: "engineer".parse().unwrap(),
        until: Some(noon().plus(span("90d"))),
    };
    assert_refused(world.enrol("ana", later), Reason::NoApprover);
    // until one is known
    hr(&mut world, vec![moves("ana", Some("odo"), noon())]).unwrap();
    assert!(!person(&world, "ana").awaits_manager);
    world.enrolled("ana", keep("engineer"), &["odo"]);
}

#[test]
fn what_waited_for_the_old_manager_is_cancelled() {
    let mut world = world();
    let place = world.enrol("ana", a_role("reader")).unwrap();
    let managed = Ask::managed().by("ana", &mut world).unwrap();
    hr(&mut world, vec![moves("ana", Some("rex"), noon())]).unwrap();
    assert_eq!(world.enrolment(place).phase.name(), "CANCELLED");
    // an elevation goes on, and the old manager's approval no longer counts
    assert_eq!(world.phase(managed), "PENDING");
    assert_refused(world.approve("ines", managed), Reason::NotFound);
    world.approve("rex", managed).unwrap();
}

#[test]
fn nobody_becomes_their_own_manager() {
    let mut world = world();
    assert_refused(hr(&mut world, vec![moves("ana", Some("ana"), noon())]), Reason::ManagerCycle);
    assert_refused(hr(&mut world, vec![moves("omar", Some("ana"), noon())]), Reason::ManagerCycle);
    // nor by two transfers, one of which is to come
    hr(&mut world, vec![moves("odo", Some("ana"), noon().plus(span("5d")))]).unwrap();
    assert_refused(hr(&mut world, vec![moves("ines", Some("odo"), noon())]), Reason::ManagerCycle);
    assert_refused(hr(&mut world, vec![moves("nobody", Some("ana"), noon())]), Reason::PersonUnknown);
}

#[test]
fn one_batch_of_events_is_all_or_nothing() {
    let mut world = world();
    let before = world.state.organisation().clone();
    let events = vec![moves("ana", Some("odo"), noon()), leaves_at_once("nobody")];
    let refusal = assert_refused(hr(&mut world, events), Reason::PersonUnknown);
    assert_eq!(refusal.facts["person"], "nobody");
    assert!(*world.state.organisation() == before);
}

#[test]
fn a_circle_that_an_announced_transfer_would_open_later_is_a_circle_until_then() {
    // given odo, who reports to ana until a transfer in five days
    let mut world = world();
    let (day_four, day_five) = (noon().plus(span("4d")), noon().plus(span("5d")));
    hr(&mut world, vec![moves("odo", Some("ana"), noon()), moves("odo", Some("omar"), day_five)]).unwrap();
    // then ana cannot report to odo before
    assert_refused(hr(&mut world, vec![moves("ana", Some("odo"), noon())]), Reason::ManagerCycle);
    assert_refused(hr(&mut world, vec![moves("ana", Some("odo"), day_four)]), Reason::ManagerCycle);
    // and can from that day on
    hr(&mut world, vec![moves("ana", Some("odo"), day_five)]).unwrap();
    world.pass_and_tick("5d");
    assert_eq!(person(&world, "ana").manager.as_ref().unwrap().as_str(), "odo");
    assert_eq!(person(&world, "odo").manager.as_ref().unwrap().as_str(), "omar");
}

#[test]
fn a_circle_that_a_later_transfer_would_close_is_refused_when_the_earlier_is_announced() {
    let mut world = world();
    let at = |days: u32| noon().plus(span(&format!("{days}d")));
    // given odo, who moves to ana in nine days
    hr(&mut world, vec![moves("odo", Some("ana"), at(9))]).unwrap();
    // when ana's manager is to report to odo, sooner
    assert_refused(hr(&mut world, vec![moves("ines", Some("odo"), at(3))]), Reason::ManagerCycle);
    // then not that one; and once ana is elsewhere by then, it is no circle
    hr(&mut world, vec![moves("ana", Some("omar"), at(9)), moves("ines", Some("odo"), at(3))]).unwrap();
    world.pass_and_tick("10d");
    let manager = |id: &str| person(&world, id).manager.as_ref().unwrap().as_str();
    assert_eq!([manager("ines"), manager("odo"), manager("ana")], ["odo", "ana", "omar"]);
}

#[test]
fn who_joins_closes_no_circle_with_a_transfer_that_was_announced() {
    let mut world = world();
    let at = noon().plus(span("9d"));
    hr(&mut world, vec![moves("odo", Some("zoe"), at), moves("rex", Some("ana"), at)]).unwrap();
    assert_refused(hr(&mut world, vec![joins("zoe", Some("odo"))]), Reason::ManagerCycle);
    hr(&mut world, vec![joins("zoe", Some("omar"))]).unwrap();
    // of who left and comes back nobody is to report any more
    hr(&mut world, vec![leaves_at_once("ana")]).unwrap();
    hr(&mut world, vec![joins("ana", Some("rex"))]).unwrap();
    world.pass("9d");
    assert_eq!(manager_of(&world, "rex"), None);
}

#[test]
fn an_announced_transfer_to_somebody_gone_by_then_leaves_nobody_in_place() {
    let mut world = world();
    hr(&mut world, vec![moves("ana", Some("odo"), noon().plus(span("5d"))), leaves("odo", noon().plus(span("4d")))])
        .unwrap();
    world.pass("5d");
    // by comparison, before any timer: neither manager decides, and nobody stands in
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NoApprover);
    world.tick();
    assert_eq!((person(&world, "ana").manager.clone(), person(&world, "ana").awaits_manager), (None, true));
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NoApprover);
}

#[test]
fn a_second_transfer_cuts_further_and_what_can_be_kept_stays_what_it_was() {
    let mut world = world();
    let whole = membership(&world, "ana", "engineer").until;
    hr(&mut world, vec![moves("ana", Some("odo"), noon())]).unwrap();
    world.pass_and_tick("2d");
    let now = world.now().stamp;
    hr(&mut world, vec![moves("ana", Some("rex"), now)]).unwrap();
    // then the first grace goes on, and no move lengthens it
    assert_eq!(membership(&world, "ana", "engineer").until, Some(noon().plus(span("14d"))));
    assert_eq!(membership(&world, "ana", "engineer").cut.unwrap().until, whole);
    world.enrolled("ana", keep("engineer"), &["rex"]);
    assert_eq!(membership(&world, "ana", "engineer").until, whole);
}

#[test]
fn machines_stay_with_their_owner() {
    // given odo, the owner of two machines, with a grant of one of them
    let mut world = world();
    let before = account(&world, "bot").clone();
    let id = Ask::deploy().by("bot", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    // when they move
    hr(&mut world, vec![moves("odo", Some("ines"), noon())]).unwrap();
    // then nothing of theirs changes
    assert_eq!(*account(&world, "bot"), before);
    assert_eq!(world.grant_phase(id), "ACTIVE");
    world.pass("15d");
    assert!(Ask::deploy().by("bot", &mut world).is_ok());
}

#[test]
fn the_grace_ends_to_the_millisecond_with_no_timer_running() {
    let mut world = world();
    hr(&mut world, vec![moves("ana", Some("odo"), noon())]).unwrap();
    world.at = noon().plus(span("14d")).minus(countersign::domain::value::time::Span::from_millis(1).unwrap());
    // just before it she may ask, and gets no more than is left of it
    let id = Ask::repair().lasting("1h").by("ana", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    assert_eq!(world.grant_of(id).unwrap().end, noon().plus(span("14d")));
    assert!(world.may("ana", "db.write", "prod/eu/db/orders/primary"));
    world.at = noon().plus(span("14d"));
    assert!(!world.may("ana", "db.write", "prod/eu/db/orders/primary"));
    assert!(Ask::repair().by("ana", &mut world).is_err());
}

/// The manager of record by comparison, whatever a timer has recorded.
fn manager_of(world: &World, id: &str) -> Option<String> {
    world.state.organisation().manager_of(&id.parse().unwrap(), world.now().latest).map(ToString::to_string)
}

#[test]
fn who_joins_after_the_instant_of_a_transfer_does_not_become_the_manager_with_no_timer_running() {
    // given ana, who moves to somebody whom nobody knows, and odo's leaving before dan moves to odo
    let mut world = world();
    let at = noon().plus(span("5d"));
    hr(&mut world, vec![moves("ana", Some("zoe"), at), moves("dan", Some("odo"), at)]).unwrap();
    hr(&mut world, vec![leaves("odo", noon().plus(span("4d")))]).unwrap();
    world.pass("6d");
    assert_eq!((manager_of(&world, "ana"), manager_of(&world, "dan")), (None, None));
    // when both of them work here by now, and no timer has run
    hr(&mut world, vec![joins("zoe", Some("omar")), joins("odo", Some("omar"))]).unwrap();
    // then nobody is the manager, and nothing can be kept, until HR names one
    for who in ["ana", "dan"] {
        assert_eq!(manager_of(&world, who), None, "{who}");
        assert!(person(&world, who).awaits_manager);
        assert_refused(world.enrol(who, keep("engineer")), Reason::NoApprover);
    }
    let now = world.now().stamp;
    hr(&mut world, vec![moves("ana", Some("zoe"), now)]).unwrap();
    assert_eq!(manager_of(&world, "ana").as_deref(), Some("zoe"));
}

#[test]
fn who_joins_before_the_instant_of_a_transfer_is_the_manager_from_then_on() {
    let mut world = world();
    hr(&mut world, vec![moves("ana", Some("zoe"), noon().plus(span("5d")))]).unwrap();
    world.pass("4d");
    hr(&mut world, vec![joins("zoe", Some("omar"))]).unwrap();
    assert_eq!(manager_of(&world, "ana").as_deref(), Some("ines"));
    world.pass("1d");
    assert_eq!(manager_of(&world, "ana").as_deref(), Some("zoe"));
    world.tick();
    assert_eq!((manager_of(&world, "ana").as_deref(), person(&world, "ana").awaits_manager), (Some("zoe"), false));
}

#[test]
fn who_left_and_comes_back_is_not_the_manager_whom_an_earlier_transfer_names() {
    // given ana, who is to move to odo; who leaves, and comes back before that
    let mut world = world();
    hr(&mut world, vec![moves("ana", Some("odo"), noon().plus(span("5d"))), leaves_at_once("odo")]).unwrap();
    world.pass("1d");
    hr(&mut world, vec![joins("odo", Some("omar"))]).unwrap();
    assert_eq!(manager_of(&world, "ana").as_deref(), Some("ines"));
    // then at its time there is nobody, before and after any timer
    world.pass("4d");
    assert_eq!(manager_of(&world, "ana"), None);
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NoApprover);
    world.tick();
    assert_eq!((manager_of(&world, "ana"), person(&world, "ana").awaits_manager), (None, true));
}

#[test]
fn a_directory_file_that_brings_somebody_back_makes_nobody_the_manager_by_an_earlier_transfer() {
    // given rex, whom a file left out after ana was to move to him, and to whom dan moves later
    let mut world = world();
    let day = |days: u32| noon().plus(span(&format!("{days}d")));
    hr(&mut world, vec![moves("ana", Some("rex"), day(5)), moves("dan", Some("rex"), day(9))]).unwrap();
    let before = world.organisation.clone();
    world
        .change_directory(|all| {
            all.remove_person("rex");
            all.people.get_mut("ana").unwrap().manager = None;
        })
        .unwrap();
    world.pass("6d");
    // when the next one names rex again, with no timer running
    world
        .change_directory(|all| {
            *all = before.clone();
            all.people.get_mut("ana").unwrap().manager = None;
        })
        .unwrap();
    // then neither the transfer that is past nor the one to come names rex
    assert_eq!((manager_of(&world, "ana"), person(&world, "ana").awaits_manager), (None, true));
    world.pass("3d");
    assert_eq!(manager_of(&world, "dan"), None);
}

#[test]
fn a_transfer_to_the_manager_of_that_instant_changes_nothing() {
    let mut world = world();
    let day = |days: u32| noon().plus(span(&format!("{days}d")));
    let before = account(&world, "ana").clone();
    // given one to the present manager, now and later
    for at in [noon(), day(10)] {
        hr(&mut world, vec![moves("ana", Some("ines"), at)]).unwrap();
        assert_eq!((account(&world, "ana"), &person(&world, "ana").moves), (&before, &Vec::new()));
    }
    // and one to whom an earlier one brings her by then
    hr(&mut world, vec![moves("ana", Some("odo"), day(5))]).unwrap();
    let (announced, cut) = (person(&world, "ana").clone(), account(&world, "ana").clone());
    hr(&mut world, vec![moves("ana", Some("odo"), day(10)), moves("ana", Some("ines"), day(4))]).unwrap();
    assert_eq!((person(&world, "ana"), account(&world, "ana")), (&announced, &cut));
    // but one to the present manager at that instant takes it back
    hr(&mut world, vec![moves("ana", Some("ines"), day(5))]).unwrap();
    world.pass_and_tick("6d");
    assert_eq!(manager_of(&world, "ana").as_deref(), Some("ines"));
}

#[test]
fn a_transfer_to_the_present_manager_who_has_left_by_then_leaves_nobody_in_place() {
    let mut world = world();
    let day = |days: u32| noon().plus(span(&format!("{days}d")));
    hr(&mut world, vec![leaves("ines", day(3)), moves("ana", Some("ines"), day(5))]).unwrap();
    assert_eq!(membership(&world, "ana", "engineer").until, Some(day(19)));
    world.pass("5d");
    assert_refused(world.enrol("ana", keep("engineer")), Reason::NoApprover);
    // nor does anybody stand in where she waits for a manager
    assert_refused(world.enrol("ana", a_role("reader")), Reason::NoApprover);
}

#[test]
fn too_many_moves_at_the_ninth_that_is_announced_and_nothing_of_it_counts() {
    let mut world = world();
    let at = |day: u32| noon().plus(span(&format!("{day}d")));
    let manager = |day: u32| Some(if day.is_multiple_of(2) { "ines" } else { "odo" });
    for day in 1..=8 {
        hr(&mut world, vec![moves("ana", manager(day), at(day))]).unwrap();
    }
    let before = person(&world, "ana").clone();
    // given eight, the ninth is refused, at whatever place; another word about an announced instant is not
    assert_refused(hr(&mut world, vec![moves("ana", Some("odo"), at(9))]), Reason::TooManyMoves);
    let between = at(2).plus(span("1h"));
    assert_refused(hr(&mut world, vec![moves("ana", None, between)]), Reason::TooManyMoves);
    assert_eq!(person(&world, "ana"), &before);
    hr(&mut world, vec![moves("ana", Some("odo"), at(8))]).unwrap();
    assert_eq!(person(&world, "ana").moves.len(), 8);
    // when the first has taken effect, then there is room for one
    world.pass_and_tick("1d");
    assert_eq!(person(&world, "ana").moves.len(), 7);
    hr(&mut world, vec![moves("ana", Some("odo"), at(10))]).unwrap();
}

#[test]
fn what_gives_writes_a_bounded_multiple_of_what_it_says_and_a_leaving_as_much_as_it_takes() {
    use countersign::domain::decide::amount;
    use countersign::domain::record::command::{ApplyHrEvents, Command};
    let world = world();
    let told = |events| Command::from(ApplyHrEvents { place: None, events });
    let leaving = told(vec![leaves_at_once("ana")]);
    assert_eq!(amount::allowance(&world.state, &leaving), None);
    let moving = told(vec![moves("ana", Some("odo"), noon())]);
    let said = serde_json::to_vec(&moving).unwrap().len();
    assert_eq!(amount::allowance(&world.state, &moving), Some(64 * 1024 + 32 * said));
    // and in one that moves some and lets others go, what the leavings bring is not counted
    let mut world = world;
    let events = hr(&mut world, vec![moves("ana", Some("odo"), noon()), leaves_at_once("ben")]).unwrap();
    let counted: Vec<(&str, bool)> = kinds(&events).into_iter().zip(amount::counted(&events)).collect();
    let left = counted.iter().rposition(|(kind, _)| *kind == "hr-event-applied").unwrap();
    assert!(counted[..left].iter().any(|(kind, counted)| *kind == "person-recorded" && *counted), "{counted:?}");
    assert!(counted[left..].len() > 2 && counted[left..].iter().all(|(_, counted)| !counted), "{counted:?}");
}
