//! A lock that suspends lies over approvals and changes none: what it keeps from being counted counts again when it is gone
//! (design.md 4).

use countersign::domain::decide::tick::next_due;
use countersign::domain::record::command::{Command, CreateLock, DeleteLock};
use countersign::domain::record::elevation::Cancellation;
use countersign::domain::record::event::Event;
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::record::review::Phase;
use countersign::domain::rule::reviewers::{could_approve, counted};
use countersign::domain::value::ids::ElevationId;
use countersign::domain::value::refusal::Reason;
use countersign::domain::value::time::Timestamp;

use crate::support::records::account;
use crate::world::enrolments::a_machine;
use crate::world::{Ask, KEEP, NOON, Organisation, POLICY, World, assert_refused, at, kinds, span};

const ISSUED: [&str; 2] = ["elevation-approved", "grant-issued"];

/// A world in which `repair` asks for two commanders of three, and rex and aud may lock.
fn world() -> World {
    world_with(|_| {})
}

fn world_with(change: impl FnOnce(&mut Organisation)) -> World {
    let emergency = "emergency = { max_duration = \"20m\", approval = [{ by = [\"security\"], count = 2 }] }";
    let policy = POLICY
        .replacen(
            "approval = [{ by = [\"commander\"], count = 1 }]",
            &format!("approval = [{{ by = [\"commander\"], count = 2 }}]\n{emergency}"),
            1,
        )
        .replacen("[roles.engineer]", "[roles.locker]\ncapabilities = [\"lock.manage\"]\n[roles.engineer]", 1);
    let mut organisation = Organisation::example();
    organisation.person("kim", Some("ines"));
    organisation.account("kim", "kim").roles.insert("commander".to_owned(), None);
    organisation.join("rex", "locker");
    organisation.join("aud", "locker");
    change(&mut organisation);
    World::of(&policy, organisation).unwrap()
}

fn person(id: &str) -> Locked {
    Locked::Person(id.parse().unwrap())
}

fn suspend(world: &mut World, on: Locked, until: Option<Timestamp>) {
    let mode = LockMode::Suspend;
    world.send("rex", Command::from(CreateLock { on, mode, reason: "a lost laptop".into(), until })).unwrap();
}

fn lift(world: &mut World, on: &Locked) -> Vec<Event> {
    let locks = world.state.organisation().locks();
    let lock = locks.all().values().find(|lock| lock.on == *on).unwrap().id;
    world.send("aud", Command::from(DeleteLock { lock, reason: "it was found".into() })).unwrap()
}

/// `repair` asked by ana, approved by ben, who is suspended then, and by cleo.
fn waiting(world: &mut World, on: &Locked, until: Option<Timestamp>) -> ElevationId {
    let asked = Ask::repair().by("ana", world).unwrap();
    world.approve("ben", asked).unwrap();
    suspend(world, on.clone(), until);
    assert_eq!(kinds(&world.approve("cleo", asked).unwrap()), ["approval-recorded"]);
    asked
}

/// A change of a person that changes nothing of their standing, and has it looked at.
fn attest_again(all: &mut Organisation, name: &str) {
    let attestations = &mut all.people.get_mut(name).unwrap().attestations;
    attestations.insert("training".to_owned(), "2026-11-22T11:00:00Z".to_owned());
}

fn missing(world: &World, id: ElevationId) -> u32 {
    let elevation = world.elevation(id);
    let counted = counted(world.state.organisation(), elevation);
    elevation.review.numbered_stages().map(|(index, stage)| counted.missing_in(index, stage)).sum()
}

#[test]
fn an_approval_counts_again_when_the_lock_is_lifted_and_the_grant_begins_then() {
    for on in [person("ben"), Locked::Account("ben".parse().unwrap())] {
        // given that one of two who approved is suspended
        let mut world = world();
        let asked = waiting(&mut world, &on, None);
        assert_eq!((world.phase(asked), missing(&world, asked)), ("PENDING", 1));
        assert!(world.pass_and_tick("7m").is_empty(), "nothing comes of it by itself");
        // when the lock is lifted, then nobody has to approve again
        assert_eq!(kinds(&lift(&mut world, &on)), ["lock-deleted"]);
        assert!(next_due(&world.state, KEEP).unwrap() <= world.now().latest, "the timer is wanted at once");
        assert_eq!(kinds(&world.tick()), ISSUED);
        // and the grant has its whole time, from now
        let grant = world.grant_of(asked).unwrap();
        assert_eq!((grant.start, grant.end), (world.now().stamp, world.now().stamp.plus(span("15m"))));
        assert!(world.may("ana", "db.write", "prod/eu/db/orders/1"));
        assert!(world.tick().is_empty(), "and there is one grant");
    }
}

#[test]
fn a_role_that_is_suspended_holds_back_all_who_approved_in_it() {
    let mut world = world();
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    world.approve("ben", asked).unwrap();
    let role = Locked::Role("commander".parse().unwrap());
    suspend(&mut world, role.clone(), None);
    assert_eq!(missing(&world, asked), 2);
    assert_refused(world.approve("cleo", asked), Reason::Locked);
    lift(&mut world, &role);
    assert_eq!(missing(&world, asked), 1);
    assert_eq!(kinds(&world.approve("cleo", asked).unwrap())[1..], ISSUED);
}

#[test]
fn a_lock_that_ends_by_itself_issues_what_waited_also_after_a_restart() {
    for restarts in [false, true] {
        let mut world = world();
        let until = world.now().latest.plus(span("10m"));
        let asked = waiting(&mut world, &person("ben"), Some(until));
        assert!(world.pass_and_tick("599999ms").is_empty(), "not a millisecond before");
        if restarts {
            world.restart(None);
            assert!(world.tick().is_empty());
        }
        assert_eq!(next_due(&world.state, KEEP), Some(until), "the timer sleeps until then");
        world.pass("1ms");
        // at its instant it is in force until its end is recorded
        assert_eq!((world.phase(asked), missing(&world, asked)), ("PENDING", 1));
        assert_eq!(kinds(&world.tick()), ["lock-ended", ISSUED[0], ISSUED[1]]);
        assert_eq!(world.grant_of(asked).unwrap().start, until);
    }
}

#[test]
fn while_one_is_suspended_the_stage_is_open_to_others_and_nobody_counts_twice() {
    // given that kim approves in ben's place
    let mut world = world();
    let asked = waiting(&mut world, &person("ben"), None);
    let elevation = world.elevation(asked);
    let (_, stage) = counted(world.state.organisation(), elevation).open_stage().unwrap();
    let could = could_approve(world.state.organisation(), elevation, stage, world.now().latest);
    assert_eq!(could.map(|(id, _)| id.to_string()).collect::<Vec<_>>(), ["kim"]);
    assert_refused(world.approve("cleo", asked), Reason::AlreadyReviewed);
    assert_refused(world.approve("ben", asked), Reason::Locked);
    assert_eq!(kinds(&world.approve("kim", asked).unwrap())[1..], ISSUED);
    // when ben is free again, then what is issued stays as it is, with three approvals of two
    lift(&mut world, &person("ben"));
    assert!(world.tick().is_empty());
    assert_eq!(world.elevation(asked).review.approvals().count(), 3);
    // and one who approved before a lock does so once
    let other = Ask::repair().on(&["prod/us/db/orders/**"]).by("ana", &mut world).unwrap();
    world.approve("ben", other).unwrap();
    suspend(&mut world, person("ben"), None);
    lift(&mut world, &person("ben"));
    assert_refused(world.approve("ben", other), Reason::AlreadyReviewed);
    assert_eq!(missing(&world, other), 1);
}

#[test]
fn a_later_stage_waits_for_an_earlier_one_that_a_lock_reopens() {
    // given a first stage that was complete, by ben and cleo
    let mut world = world();
    let asked = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("ben", asked).unwrap();
    world.approve("cleo", asked).unwrap();
    suspend(&mut world, person("ben"), None);
    // then the next one who approves does so in the first, which another fills
    world.approve("sam", asked).unwrap();
    assert_eq!(world.elevation(asked).review.decisions.last().unwrap().stage, 0);
    // and the second stage goes on, also when the first has more than it needs
    lift(&mut world, &person("ben"));
    let events = world.approve("eve", asked).unwrap();
    assert_eq!(kinds(&events)[1..], ISSUED);
    assert_eq!(world.elevation(asked).review.decisions.last().unwrap().stage, 1);
}

#[test]
fn the_deadline_expires_what_waits_for_too_long() {
    let mut world = world();
    let asked = waiting(&mut world, &person("ben"), None);
    // given that the lock goes in the very instant of the deadline, which no timer has recorded
    world.pass("30m");
    lift(&mut world, &person("ben"));
    assert_eq!(kinds(&world.tick()), ["elevation-expired"]);
    assert_eq!((world.phase(asked), world.grant_of(asked)), ("EXPIRED", None));
}

#[test]
fn a_standing_that_ends_with_the_lock_gives_nothing() {
    // given that ben is a commander until the instant at which the lock ends
    let until = at(NOON).plus(span("10m"));
    let mut world = world_with(|all| {
        let roles = &mut all.accounts.get_mut("ben").unwrap().roles;
        roles.insert("commander".to_owned(), Some(until.to_string()));
    });
    let asked = waiting(&mut world, &person("ben"), Some(until));
    world.pass("10m");
    // when one tick sees both, then the approval is struck out, and the lock that ends brings nothing
    let events = world.tick();
    assert_eq!(kinds(&events), ["membership-ended", "approval-struck", "lock-ended"]);
    assert_eq!((world.phase(asked), missing(&world, asked)), ("PENDING", 1));
    assert_eq!(kinds(&world.approve("kim", asked).unwrap())[1..], ISSUED);
}

#[test]
fn who_is_suspended_and_loses_the_role_is_struck_out() {
    let mut world = world();
    let asked = waiting(&mut world, &person("ben"), None);
    let events = world.change_directory(|all| all.leave("ben", "commander")).unwrap();
    assert!(kinds(&events).contains(&"approval-struck"));
    lift(&mut world, &person("ben"));
    assert!(world.tick().is_empty());
    assert_eq!((world.phase(asked), missing(&world, asked)), ("PENDING", 1));
}

#[test]
fn what_is_under_a_lock_itself_waits_for_that_as_well() {
    for on in [
        person("ana"),
        Locked::Role("engineer".parse().unwrap()),
        Locked::Entitlement("repair".parse().unwrap()),
        Locked::Resources("prod/eu/db/**".parse().unwrap()),
        Locked::Everything,
    ] {
        let mut world = world();
        let asked = waiting(&mut world, &person("ben"), None);
        suspend(&mut world, on.clone(), None);
        lift(&mut world, &person("ben"));
        assert!(world.tick().is_empty(), "{on}");
        lift(&mut world, &on);
        assert_eq!(kinds(&world.tick()), ISSUED, "{on}");
        assert_eq!(world.phase(asked), "APPROVED");
    }
}

#[test]
fn a_scheduled_grant_waits_for_its_approver_and_never_starts_past_its_end() {
    for lifted_after in ["90m", "121m"] {
        // given a grant from 1 p.m. to 3 p.m., whose approver is suspended
        let mut world = world();
        let start = at(NOON).plus(span("1h"));
        let planned = Ask::maintenance().lasting("2h").starting(start).by("dan", &mut world).unwrap();
        world.approve("cleo", planned).unwrap();
        suspend(&mut world, person("cleo"), None);
        world.change_directory(|all| attest_again(all, "cleo")).unwrap();
        assert_eq!(world.grant_phase(planned), "SCHEDULED", "another change revokes nothing");
        // when its start comes
        assert!(world.pass_and_tick("1h").is_empty());
        assert!(!world.may("dan", "db.schema", "prod/eu/db/orders"));
        // then it starts once the lock is lifted, if it is not over by then
        let events = world.pass_and_tick(lifted_after);
        lift(&mut world, &person("cleo"));
        if lifted_after == "90m" {
            assert!(events.is_empty());
            assert_eq!(kinds(&world.tick()), ["grant-started"]);
            assert_eq!(world.grant_of(planned).unwrap().end, start.plus(span("2h")));
        } else {
            assert_eq!(kinds(&events), ["grant-ended"]);
            assert!(world.tick().is_empty());
        }
    }
}

#[test]
fn a_scheduled_grant_with_more_approvals_than_it_needs_waits_for_nobody() {
    // given a planned repair that cleo and kim approved, and ben, whom a lock stopped for a while
    let mut world = world();
    world.propose_policy("ticket = \"INC-[0-9]+\"", "ticket = \"INC-[0-9]+\"\nstart_within = \"7d\"").unwrap();
    let start = world.now().latest.plus(span("20m"));
    let planned = Ask::repair().starting(start).by("ana", &mut world).unwrap();
    world.approve("ben", planned).unwrap();
    suspend(&mut world, person("ben"), None);
    world.approve("cleo", planned).unwrap();
    world.approve("kim", planned).unwrap();
    assert_eq!(world.grant_phase(planned), "SCHEDULED");
    assert_eq!(kinds(&world.pass_and_tick("20m")), ["grant-started"]);
}

#[test]
fn what_cannot_be_given_any_more_is_cancelled_and_says_why() {
    // given two requests of ana's that wait, and room for one more grant
    let mut world = world();
    let mut asked = vec![waiting(&mut world, &person("ben"), None)];
    lift(&mut world, &person("ben"));
    let other = Ask::repair().on(&["prod/us/db/orders/**"]).by("ana", &mut world).unwrap();
    world.approve("ben", other).unwrap();
    suspend(&mut world, person("ben"), None);
    world.approve("cleo", other).unwrap();
    asked.push(other);
    for place in ["prod/eu/db/orders/1", "prod/eu/db/orders/2"] {
        let more = Ask::maintenance().on(&[place]).by("ana", &mut world).unwrap();
        world.approve("kim", more).unwrap();
    }
    // when both are free at once
    lift(&mut world, &person("ben"));
    let events = world.tick();
    assert_eq!(kinds(&events), [ISSUED[0], ISSUED[1], "elevation-cancelled"]);
    let Phase::Cancelled { because, .. } = &world.elevation(asked[1]).phase else { panic!("it is not cancelled") };
    assert_eq!(*because, Cancellation::RequesterNotEligible { reason: Reason::TooManyGrants });
}

#[test]
fn an_emergency_that_waited_owes_its_follow_up_once() {
    let mut world = world();
    let asked = Ask::repair().in_an_emergency().by("ana", &mut world).unwrap();
    world.approve("sam", asked).unwrap();
    suspend(&mut world, person("sam"), None);
    world.approve("eve", asked).unwrap();
    lift(&mut world, &person("sam"));
    assert_eq!(kinds(&world.tick()), [ISSUED[0], ISSUED[1], "follow-up-opened"]);
    assert!(world.tick().is_empty());
    // and what was found of it stays found, whoever found it
    world.send("ben", follow_up(&world, asked)).unwrap();
    suspend(&mut world, person("ben"), None);
    assert!(world.elevation(asked).open_follow_up().is_none());
}

fn follow_up(world: &World, elevation: ElevationId) -> Command {
    use countersign::domain::record::command::CompleteFollowUp;
    use countersign::domain::record::emergency::Finding;
    let digest = world.elevation(elevation).review.digest();
    Command::from(CompleteFollowUp { elevation, digest, finding: Finding::Justified, comment: String::new() })
}

#[test]
fn an_enrolment_that_waited_gives_what_was_asked_for() {
    // given a machine that odo asks for, for a role of ines, who owns it and is not odo's manager
    let mut world = world();
    world.propose_policy("[roles.robot]", "[roles.robot]\nowner = \"ines\"").unwrap();
    let asked = world.enrol("odo", a_machine("probe", &["robot"])).unwrap();
    world.approve_enrolment("omar", asked).unwrap();
    suspend(&mut world, person("omar"), None);
    // then her stage waits for that of omar
    assert_refused(world.approve_enrolment("ines", asked), Reason::StageNotOpen);
    world.change_directory(|all| attest_again(all, "omar")).unwrap();
    assert_eq!(world.enrolment_phase(asked), "PENDING");
    lift(&mut world, &person("omar"));
    world.approve_enrolment("ines", asked).unwrap();
    assert!(account(&world, "probe").roles.contains_key("robot"));
}

#[test]
fn an_enrolment_with_two_owners_is_given_when_the_lock_is_gone() {
    // given a machine for two roles, whose owners have both approved, one of them while the other was suspended
    let mut world = world();
    world
        .propose_policy(
            "[roles.robot]",
            "[roles.gauge]\nfor = \"machines\"\nowner = \"olga\"\n[roles.robot]\nowner = \"ines\"",
        )
        .unwrap();
    let asked = world.enrol("odo", a_machine("probe", &["robot", "gauge"])).unwrap();
    world.approve_enrolment("omar", asked).unwrap();
    world.approve_enrolment("ines", asked).unwrap();
    suspend(&mut world, person("ines"), None);
    world.approve_enrolment("olga", asked).unwrap();
    assert_eq!(world.enrolment_phase(asked), "PENDING");
    assert!(world.pass_and_tick("1h").is_empty());
    lift(&mut world, &person("ines"));
    let events = world.tick();
    assert!(kinds(&events).contains(&"enrolment-approved"), "{:?}", kinds(&events));
    assert!(account(&world, "probe").roles.contains_key("gauge"));
    assert!(world.tick().is_empty());
}

#[test]
fn a_proposal_outlasts_a_lock_on_whoever_made_it_whatever_else_happens() {
    // given a proposal of lea's, whose role is suspended
    for on in [person("lea"), Locked::Role("admin".parse().unwrap())] {
        let ends = at(NOON).plus(span("10m")).to_string();
        let mut world = world_with(|all| {
            all.accounts.get_mut("dan").unwrap().roles.insert("engineer".to_owned(), Some(ends));
        });
        let text = world.policy.replace("pending_per_person = 3", "pending_per_person = 2");
        let replaces = countersign::domain::value::ids::Digest::of(world.policy.as_bytes());
        let file = countersign::domain::record::proposal::ProposedFile::Policy;
        let made = world.propose("lea", file, replaces, text).unwrap();
        suspend(&mut world, on.clone(), None);
        // when something changes of somebody else
        assert_eq!(kinds(&world.pass_and_tick("10m")), ["membership-ended"]);
        // then it waits, and is approved when the lock is lifted
        assert!(world.state.proposals().get(&made).unwrap().phase.is_pending());
        lift(&mut world, &on);
        world.approve_proposal("lou", made).unwrap();
    }
}
