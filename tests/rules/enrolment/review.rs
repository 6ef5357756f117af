//! Deciding on enrolments: the same review as of elevations. What becomes of one while it waits: its manager, its terms and
//! all that it rests on are compared again after every change and at every approval.

use countersign::domain::record::command::{ApproveEnrolment, Command, EnrolmentCommand};
use countersign::domain::record::enrolment::{EnrolmentCancellation, SwitchedOn};
use countersign::domain::record::event::{EnrolmentFact, Fact};
use countersign::domain::record::review::Phase;
use countersign::domain::value::ids::{Digest, EnrolmentId};
use countersign::domain::value::refusal::Reason;

use crate::enrolment::account::{changed_world, sees, world};
use crate::support::records::{account, person, touch};
use crate::world::enrolments::{a_machine, a_role, an_account, enrol, take_over, the_account};
use crate::world::{World, assert_refused, at, kinds, span};

fn cancelled(world: &World, id: EnrolmentId) -> EnrolmentCancellation {
    match &world.enrolment(id).phase {
        Phase::Cancelled { because, .. } => because.clone(),
        other => panic!("it is {other:?}"),
    }
}

#[test]
fn what_is_approved_is_exactly_the_text_that_was_shown() {
    let mut world = world();
    let id = world.enrol("pia", an_account()).unwrap();
    let digest = Digest::of(b"an account for somebody else");
    let approve = Command::from(ApproveEnrolment { enrolment: id, digest, comment: String::new() });
    assert_refused(world.send("ines", approve), Reason::DigestMismatch);
    assert_eq!(world.enrolment_phase(id), "PENDING");
    let asked = world.enrolment(id);
    assert_eq!(asked.review.text, asked.approval_text(&SwitchedOn::default()));
}

#[test]
fn the_text_names_all_of_a_machine_and_escapes_the_requesters_words() {
    let mut world = world();
    let id = world.enrol("odo", a_machine("probe", &["sensor"])).unwrap();
    let text = &world.enrolment(id).review.text;
    for line in ["roles: \"sensor until ", "identities: \"spiffe://northwind.example/probe\"", "acts_for: \"itself\""] {
        assert!(text.contains(line), "{text}");
    }
    let mut request = enrol(an_account());
    if let Command::Enrolment(EnrolmentCommand::Request(request)) = &mut request {
        request.justification = "fine\nperson: \"ines\"\u{202e}".into();
    }
    world.send("pia", request).unwrap();
    let id = *world.state.pending_enrolments().iter().next_back().unwrap();
    let text = &world.enrolment(id).review.text;
    assert_eq!(text.matches("\nperson: ").count(), 1, "{text}");
    assert!(!text.contains('\u{202e}'), "{text}");
}

#[test]
fn one_denial_ends_it_and_nothing_is_given() {
    let mut world = world();
    let id = world.enrol("pia", an_account()).unwrap();
    assert_refused(world.deny_enrolment("ana", id), Reason::NotFound);
    assert_eq!(kinds(&world.deny_enrolment("ines", id).unwrap()), ["enrolment-denied"]);
    assert_eq!(world.enrolment_phase(id), "DENIED");
    for again in [world.approve_enrolment("ines", id), world.withdraw_enrolment("pia", id)] {
        let refusal = assert_refused(again, Reason::NotPending);
        assert_eq!(refusal.facts["state"], "DENIED");
    }
    assert!(!world.state.organisation().accounts().contains_key("pia"));
}

#[test]
fn a_later_stage_may_deny_before_it_is_open_and_so_may_who_has_approved() {
    let mut world = world();
    let id = world.enrol("ana", a_role("writer")).unwrap();
    world.deny_enrolment("odo", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "DENIED");
    let id = world.enrol("ana", a_role("writer")).unwrap();
    world.approve_enrolment("ines", id).unwrap();
    assert_refused(world.approve_enrolment("ines", id), Reason::AlreadyReviewed);
    world.deny_enrolment("ines", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "DENIED");
}

#[test]
fn who_asked_takes_it_back_without_an_account_and_nobody_else_does() {
    let mut world = world();
    let id = world.enrol("pia", an_account()).unwrap();
    assert_refused(world.withdraw_enrolment("ines", id), Reason::NotHolder);
    let hidden = assert_refused(world.withdraw_enrolment("kim", id), Reason::NotFound);
    assert_eq!(hidden.true_reason, Some(Reason::NotHolder));
    world.withdraw_enrolment("pia", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "WITHDRAWN");
    // from another account of the same person as well
    let id = world.enrol("ana", a_role("reader")).unwrap();
    world.withdraw_enrolment("ana-lab", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "WITHDRAWN");
}

#[test]
fn an_enrolment_expires_after_seven_days_by_comparison() {
    let mut world = changed_world(|_| ());
    let id = world.enrol("pia", an_account()).unwrap();
    world.pass("7d");
    let refusal = assert_refused(world.approve_enrolment("ines", id), Reason::NotPending);
    assert_eq!(refusal.facts["state"], "EXPIRED");
    world.tick();
    assert_eq!(world.enrolment_phase(id), "EXPIRED");
    // and a new one is no second
    world.enrol("pia", an_account()).unwrap();
}

#[test]
fn a_second_one_for_the_same_is_refused_naming_the_first() {
    let mut world = world();
    let first = world.enrol("pia", an_account()).unwrap();
    let refusal = assert_refused(world.enrol("pia", the_account("other")), Reason::AlreadyPending);
    assert_eq!(refusal.facts["enrolment"], first.to_string());
    // a role is another thing than another role, and the same role for another account as well
    let first = world.enrol("ana", a_role("reader")).unwrap();
    assert_eq!(assert_refused(world.enrol("ana", a_role("reader")), Reason::AlreadyPending).facts["enrolment"], {
        first.to_string()
    });
    world.enrol("ana", a_role("writer")).unwrap();
    world.enrol("ana-lab", a_role("reader")).unwrap();
    // three are as many as one person may have
    assert_refused(world.enrol("ana-lab", a_role("writer")), Reason::TooManyPending);
    // a machine is one place, whatever roles it is asked with; a machine that changes hands too
    world.enrol("odo", a_machine("probe", &["sensor"])).unwrap();
    assert_refused(world.enrol("odo", a_machine("probe", &[])), Reason::AlreadyPending);
    world.enrol("sam", take_over("bot")).unwrap();
    assert_refused(world.enrol("sam", take_over("bot")), Reason::AlreadyPending);
}

#[test]
fn the_same_call_again_asks_once() {
    let mut world = world();
    let envelope = world.envelope("pia", enrol(an_account()));
    world.execute(&envelope).unwrap();
    assert_eq!(world.execute(&envelope).unwrap(), []);
    assert_eq!(world.state.pending_enrolments().len(), 1);
    let mut other = envelope;
    other.command = enrol(the_account("another"));
    assert_refused(world.execute(&other), Reason::RequestIdReused);
}

#[test]
fn another_manager_cancels_it_and_the_new_one_is_asked_anew() {
    let mut world = world();
    let id = world.enrol("pia", an_account()).unwrap();
    world.change_directory(|all| all.people.get_mut("pia").unwrap().manager = Some("omar".into())).unwrap();
    assert_eq!(cancelled(&world, id), EnrolmentCancellation::ManagerChanged);
    for who in ["omar", "ines"] {
        let refused = world.approve_enrolment(who, id).unwrap_err();
        assert!(matches!(refused.reason, Reason::NotPending | Reason::NotFound), "{refused}");
    }
    world.enrolled("pia", an_account(), &["omar"]);
}

#[test]
fn a_manager_who_leaves_cancels_it_although_a_stand_in_could_decide() {
    let mut world = world();
    let id = world.enrol("pia", an_account()).unwrap();
    // then her place is not taken within one review: it began with her (known failure B6)
    touch(&mut world, "ines", |ines| ines.employed_until = Some(at("2026-11-22T13:00:00Z")));
    world.pass("1h");
    assert_refused(world.approve_enrolment("sam", id), Reason::NotPending);
    world.tick();
    assert_eq!(cancelled(&world, id), EnrolmentCancellation::ManagerChanged);
}

#[test]
fn a_transfer_whose_time_has_come_takes_the_decision_from_the_manager_before_though_no_timer_ran() {
    // given pia's transfer to omar in an hour, and a request before it
    let mut world = world();
    touch(&mut world, "pia", |pia| {
        let (at, manager) = (at("2026-11-22T13:00:00Z"), Some("omar".parse().unwrap()));
        pia.moves = vec![countersign::domain::directory::Move { at, manager }];
    });
    let id = world.enrol("pia", an_account()).unwrap();
    world.pass("1h");
    for who in ["ines", "omar"] {
        let refused = world.approve_enrolment(who, id).unwrap_err();
        assert!(matches!(refused.reason, Reason::NotPending | Reason::NotFound), "{who}: {refused}");
    }
    assert!(!world.state.organisation().accounts().contains_key("pia"));
    world.tick();
    assert_eq!(cancelled(&world, id), EnrolmentCancellation::ManagerChanged);
    assert_eq!(person(&world, "pia").manager.as_ref().unwrap().as_str(), "omar");
}

#[test]
fn what_lapses_meanwhile_is_not_given_and_cancels_it() {
    // given training that lapses ten minutes after the request
    let mut world = changed_world(|all| {
        let attested = &mut all.people.get_mut("pia").unwrap().attestations;
        attested.insert("training".into(), "2025-11-22T12:10:00Z".into());
    });
    let id = world.enrol("pia", an_account()).unwrap();
    world.pass("10m");
    // when no timer ran, then the approval is refused all the same
    assert_refused(world.approve_enrolment("ines", id), Reason::RequirementLapsed);
    // and the timer cancels it
    world.tick();
    let because = EnrolmentCancellation::NoLongerPossible { reason: Reason::RequirementLapsed };
    assert_eq!(cancelled(&world, id), because);
}

#[test]
fn whoever_leaves_the_directory_gets_nothing_that_was_asked_for() {
    let mut world = world();
    let id = world.enrol("pia", an_account()).unwrap();
    world.change_directory(|all| all.remove_person("pia")).unwrap();
    assert!(!world.enrolment(id).phase.is_pending());
    assert_refused(world.approve_enrolment("ines", id), Reason::NotPending);
}

#[test]
fn other_terms_cancel_it() {
    let mut world = world();
    let account = world.enrol("pia", an_account()).unwrap();
    let role = world.enrol("ana", a_role("keeper")).unwrap();
    let untouched = world.enrol("ben", a_role("reader")).unwrap();
    world.propose_policy("longest_membership = \"90d\"", "longest_membership = \"80d\"").unwrap();
    assert_eq!(cancelled(&world, role), EnrolmentCancellation::TermsChanged);
    assert_eq!((world.enrolment_phase(account), world.enrolment_phase(untouched)), ("PENDING", "PENDING"));
    // another owner of the role decides about another request
    let role = world.enrol("ana", a_role("writer")).unwrap();
    world.propose_policy("owner = \"odo\"", "owner = \"olga\"").unwrap();
    assert_eq!(cancelled(&world, role), EnrolmentCancellation::TermsChanged);
    // what an account needs is asked of all
    world.propose_policy("requires = [\"screening\", \"training\"]", "requires = [\"screening\"]").unwrap();
    assert_eq!(cancelled(&world, account), EnrolmentCancellation::TermsChanged);
}

#[test]
fn an_approval_of_somebody_who_lost_the_standing_is_struck_out() {
    // given a role that the owner has still to decide about, approved by one who stands in for kim's manager
    let mut world = changed_world(|all| {
        all.account("kim", "kim").identities = [crate::world::identity("kim")].into();
    });
    let id = world.enrol("kim", a_role("writer")).unwrap();
    world.approve_enrolment("sam", id).unwrap();
    // when that one is no longer on security duty
    let events = world.change_directory(|all| all.leave("sam", "security")).unwrap();
    assert!(kinds(&events).contains(&"enrolment-approval-struck"), "{:?}", kinds(&events));
    // then the stage is open again, and sam counts no second time
    assert_refused(world.approve_enrolment("odo", id), Reason::StageNotOpen);
    world.approve_enrolment("eve", id).unwrap();
    world.approve_enrolment("odo", id).unwrap();
    let approved = account(&world, "kim").roles["writer"].approved.clone().unwrap();
    assert_eq!(approved.persons.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["eve", "odo"]);
}

#[test]
fn while_the_clock_is_suspect_nothing_is_given_and_a_no_goes_on() {
    let mut world = world();
    let id = world.enrol("pia", an_account()).unwrap();
    let other = world.enrol("ana", a_role("reader")).unwrap();
    world.wall_off_by = span("1h").millis();
    assert_refused(world.enrol("kim", an_account()), Reason::ClockSuspect);
    assert_refused(world.approve_enrolment("ines", id), Reason::ClockSuspect);
    world.deny_enrolment("ines", id).unwrap();
    world.withdraw_enrolment("ana", other).unwrap();
}

#[test]
fn an_enrolment_is_seen_by_those_behind_it_who_may_or_did_review_it_the_manager_and_audit() {
    let mut world = world();
    let id = world.enrol("ana", a_role("writer")).unwrap();
    let everybody: Vec<String> =
        world.organisation.accounts.keys().cloned().chain(["pia".into(), "kim".into()]).collect();
    let seen: Vec<&str> = everybody.iter().map(String::as_str).filter(|who| sees(&world, who, id)).collect();
    assert_eq!(seen, ["ana", "ana-lab", "aud", "ines", "odo"]);
    // of a machine that changes hands, both owners
    let id = world.enrol("sam", take_over("bot")).unwrap();
    let seen: Vec<&str> = everybody.iter().map(String::as_str).filter(|who| sees(&world, who, id)).collect();
    assert_eq!(seen, ["aud", "odo", "omar", "sam"]);
    // the owner before does not withdraw it
    assert_refused(world.withdraw_enrolment("odo", id), Reason::NotHolder);
    // and all that happened is told as about those behind it
    let told = world.events.iter().filter(|event| matches!(event.fact, Fact::Enrolment(EnrolmentFact::Requested(_))));
    assert_eq!(told.count(), 2);
}
