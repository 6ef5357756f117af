//! Whoever is behind something decides by no lock when it begins: they lift none that holds it back, and nothing begins by the
//! end that they gave to a lock of their own (known failures A19 and A20).

use countersign::domain::record::command::{Command, CreateLock, DeleteLock};
use countersign::domain::record::elevation::Cancellation;
use countersign::domain::record::event::{ElevationFact, Event, Fact};
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::record::proposal::ProposedFile;
use countersign::domain::record::review::Phase;
use countersign::domain::value::ids::{Digest, ElevationId, GrantId};
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::time::Timestamp;

use crate::world::enrolments::{a_machine, a_role};
use crate::world::{Ask, Organisation, POLICY, World, assert_refused, kinds, span};

/// A world in which `repair` asks for two commanders of three, a machine may have a role with another owner, and these may
/// lock.
fn world() -> World {
    let policy = POLICY
        .replacen(
            "approval = [{ by = [\"commander\"], count = 1 }]",
            "approval = [{ by = [\"commander\"], count = 2 }]",
            1,
        )
        .replacen("[roles.engineer]", "[roles.locker]\ncapabilities = [\"lock.manage\"]\n[roles.engineer]", 1)
        .replacen(
            "[roles.robot]",
            "[roles.gauge]\nfor = \"machines\"\nowner = \"olga\"\n[roles.robot]\nowner = \"ines\"",
            1,
        );
    let mut organisation = Organisation::example();
    organisation.person("kim", Some("ines"));
    organisation.account("kim", "kim").roles.insert("commander".to_owned(), None);
    for locks in ["rex", "aud", "ana", "odo", "lea"] {
        organisation.join(locks, "locker");
    }
    World::of(&policy, organisation).unwrap()
}

fn person(id: &str) -> Locked {
    Locked::Person(id.parse().unwrap())
}

fn role(name: &str) -> Locked {
    Locked::Role(name.parse().unwrap())
}

fn suspend(world: &mut World, who: &str, on: &Locked, until: Option<Timestamp>) {
    let (on, mode) = (on.clone(), LockMode::Suspend);
    world.send(who, Command::from(CreateLock { on, mode, reason: "a lost laptop".into(), until })).unwrap();
}

fn lift(world: &mut World, who: &str, on: &Locked) -> Result<Vec<Event>, Refusal> {
    let locks = world.state.organisation().locks();
    let lock = locks.all().values().find(|lock| lock.on == *on).unwrap().id;
    world.send(who, Command::from(DeleteLock { lock, reason: "it was found".into() }))
}

#[test]
fn nobody_lifts_a_lock_that_leaves_out_an_approval_that_they_wait_for() {
    for on in [person("ben"), Locked::Account("ben".parse().unwrap()), role("commander")] {
        // given a request of ana's, who may lock, and a lock on one who has approved it
        let mut world = world();
        let asked = Ask::repair().by("ana", &mut world).unwrap();
        world.approve("ben", asked).unwrap();
        suspend(&mut world, "rex", &on, None);
        // then ana does not lift it, and hears of which request
        let refusal = assert_refused(lift(&mut world, "ana", &on), Reason::OwnLock);
        assert_eq!(refusal.facts["elevation"], asked.to_string(), "{on}");
        // and somebody else does, or ana once it is withdrawn
        lift(&mut world.clone(), "aud", &on).unwrap();
        world.withdraw("ana", asked).unwrap();
        lift(&mut world, "ana", &on).unwrap();
    }
    // given a scheduled grant that waits for its approver
    let mut world = world();
    let start = world.now().latest.plus(span("1h"));
    let planned = Ask::maintenance().lasting("2h").starting(start).by("ana", &mut world).unwrap();
    world.approve("cleo", planned).unwrap();
    suspend(&mut world, "rex", &person("cleo"), None);
    assert!(world.pass_and_tick("90m").is_empty());
    let refusal = assert_refused(lift(&mut world, "ana", &person("cleo")), Reason::OwnLock);
    assert_eq!(refusal.facts["grant"], world.grant_of(planned).unwrap().id.to_string());
    lift(&mut world, "aud", &person("cleo")).unwrap();
    assert_eq!(kinds(&world.tick()), ["grant-started"]);
    // and once it has started, its approver is nothing to it
    suspend(&mut world, "rex", &person("cleo"), None);
    lift(&mut world, "ana", &person("cleo")).unwrap();
}

#[test]
fn nor_one_that_leaves_nobody_to_approve_what_they_asked_for() {
    // given a request that needs two of three
    let mut world = world();
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    // when one of them is locked, then that holds nothing back
    suspend(&mut world, "rex", &person("ben"), None);
    lift(&mut world.clone(), "ana", &person("ben")).unwrap();
    // when two are, then ana lifts neither
    suspend(&mut world, "rex", &person("cleo"), None);
    for on in [person("ben"), person("cleo")] {
        let refusal = assert_refused(lift(&mut world, "ana", &on), Reason::OwnLock);
        assert_eq!(refusal.facts["elevation"], asked.to_string());
    }
    // nor one on the manager, who alone lets a role be had
    let asked = world.enrol("rex", a_role("engineer")).unwrap();
    suspend(&mut world, "aud", &person("omar"), None);
    let refusal = assert_refused(lift(&mut world, "rex", &person("omar")), Reason::OwnLock);
    assert_eq!(refusal.facts["enrolment"], asked.to_string());
    lift(&mut world, "aud", &person("omar")).unwrap();
}

#[test]
fn nor_one_that_leaves_out_an_approval_of_their_enrolment() {
    let mut world = world();
    let asked = world.enrol("odo", a_machine("probe", &["robot", "gauge"])).unwrap();
    world.approve_enrolment("omar", asked).unwrap();
    suspend(&mut world, "rex", &person("omar"), None);
    let refusal = assert_refused(lift(&mut world, "odo", &person("omar")), Reason::OwnLock);
    assert_eq!(refusal.facts["enrolment"], asked.to_string());
    lift(&mut world, "aud", &person("omar")).unwrap();
}

#[test]
fn nor_one_that_stops_a_proposal_of_theirs() {
    let proposed = || {
        let mut world = world();
        let text = world.policy.replace("pending_per_person = 3", "pending_per_person = 2");
        let replaces = Digest::of(world.policy.as_bytes());
        let made = world.propose("lea", ProposedFile::Policy, replaces, text).unwrap();
        (world, made)
    };
    // given a proposal of lea's, who may lock, and a lock that stops it
    for on in [role("admin"), Locked::Everything] {
        let (mut world, made) = proposed();
        suspend(&mut world, "rex", &on, None);
        let refusal = assert_refused(lift(&mut world, "lea", &on), Reason::OwnLock);
        assert_eq!(refusal.facts["proposal"], made.to_string(), "{on}");
        lift(&mut world, "aud", &on).unwrap();
    }
    // or locks on all who could approve it, and lea lifts none of them once nobody is left
    let (mut world, made) = proposed();
    let approving = [person("omar"), person("olga"), person("lou")];
    for (index, on) in approving.iter().enumerate() {
        suspend(&mut world, "rex", on, None);
        let lifted = lift(&mut world.clone(), "lea", on);
        assert_eq!(lifted.is_ok(), index < 2, "{on}");
    }
    for on in &approving {
        let refusal = assert_refused(lift(&mut world, "lea", on), Reason::OwnLock);
        assert_eq!(refusal.facts["proposal"], made.to_string());
    }
    // while one that stops none of it lea lifts
    let repair = Locked::Entitlement("repair".parse().unwrap());
    suspend(&mut world, "rex", &repair, None);
    lift(&mut world, "lea", &repair).unwrap();
}

/// A repair of ana's that ben approved, and cleo while ben was suspended by `who`, until `minutes` from now.
fn waiting(world: &mut World, who: &str, minutes: &str) -> ElevationId {
    let asked = Ask::repair().by("ana", world).unwrap();
    world.approve("ben", asked).unwrap();
    let until = world.now().latest.plus(span(minutes));
    suspend(world, who, &person("ben"), Some(until));
    world.approve("cleo", asked).unwrap();
    asked
}

#[test]
fn what_waited_for_a_lock_of_the_requesters_own_is_over_when_that_ends() {
    // given that ana locks one who has approved, which a stolen laptop may call for, and others complete the rest
    let mut world = world();
    let asked = waiting(&mut world, "ana", "10m");
    // when the lock ends by itself, then nothing begins at the time that ana chose
    assert_eq!(kinds(&world.pass_and_tick("10m")), ["lock-ended", "elevation-cancelled"]);
    let because = Cancellation::RequesterNotEligible { reason: Reason::OwnLock };
    assert_eq!(world.elevation(asked).phase, Phase::Cancelled { at: world.at, because });
    assert!(world.tick().is_empty());
    // while it goes on where somebody else made the lock, or lifts it
    let mut world = self::world();
    let asked = waiting(&mut world, "rex", "10m");
    assert_eq!(kinds(&world.pass_and_tick("10m")), ["lock-ended", "elevation-approved", "grant-issued"]);
    assert_eq!(world.phase(asked), "APPROVED");
    let mut world = self::world();
    let asked = waiting(&mut world, "ana", "10m");
    lift(&mut world, "aud", &person("ben")).unwrap();
    world.tick();
    assert_eq!(world.phase(asked), "APPROVED");
    // and where not all had approved it, because somebody is asked yet
    let mut world = self::world();
    let asked = Ask::repair().by("ana", &mut world).unwrap();
    world.approve("ben", asked).unwrap();
    let until = world.now().latest.plus(span("10m"));
    suspend(&mut world, "ana", &person("ben"), Some(until));
    assert_eq!(kinds(&world.pass_and_tick("10m")), ["lock-ended"]);
    world.approve("cleo", asked).unwrap();
    assert_eq!(world.phase(asked), "APPROVED");
}

#[test]
fn whatever_that_lock_is_on_and_it_may_be_on_everything() {
    for on in [
        role("commander"),
        role("engineer"),
        Locked::Entitlement("repair".parse().unwrap()),
        Locked::Resources("prod/eu/**".parse().unwrap()),
        Locked::Everything,
    ] {
        // given a request that is complete, and waits for a lock of rex's
        let mut world = world();
        let asked = waiting(&mut world, "rex", "20m");
        // when ana stops it as well, for longer
        let until = world.now().latest.plus(span("25m"));
        suspend(&mut world, "ana", &on, Some(until));
        assert_eq!(kinds(&world.pass_and_tick("20m")), ["lock-ended"], "{on}");
        assert_eq!(kinds(&world.pass_and_tick("5m")), ["lock-ended", "elevation-cancelled"], "{on}");
        assert_eq!(world.phase(asked), "CANCELLED");
    }
}

#[test]
fn a_scheduled_grant_that_waited_for_a_lock_of_its_holders_own_is_revoked() {
    for (who, minutes, then) in [("ana", "90m", "REVOKED"), ("ana", "60m", "ACTIVE"), ("rex", "90m", "ACTIVE")] {
        // given a grant from an hour from now on, whose approver is suspended until before or after that
        let mut world = world();
        let start = world.now().latest.plus(span("1h"));
        let planned = Ask::maintenance().lasting("2h").starting(start).by("ana", &mut world).unwrap();
        world.approve("cleo", planned).unwrap();
        let until = world.now().latest.plus(span(minutes));
        suspend(&mut world, who, &person("cleo"), Some(until));
        world.pass_and_tick("60m");
        world.pass_and_tick("30m");
        assert_eq!(world.grant_phase(planned), then, "{who}, {minutes}");
        if then == "REVOKED" {
            let because = Revocation::NotEligible { reason: Reason::OwnLock };
            assert_eq!(world.grant_of(planned).unwrap().phase, GrantPhase::Revoked { at: world.at, because });
        }
    }
}

#[test]
fn an_enrolment_that_waited_for_a_lock_of_the_requesters_own_is_cancelled() {
    let mut world = world();
    let asked = world.enrol("odo", a_machine("probe", &["robot", "gauge"])).unwrap();
    world.approve_enrolment("omar", asked).unwrap();
    world.approve_enrolment("ines", asked).unwrap();
    let until = world.now().latest.plus(span("10m"));
    suspend(&mut world, "odo", &person("ines"), Some(until));
    world.approve_enrolment("olga", asked).unwrap();
    assert_eq!(world.enrolment_phase(asked), "PENDING");
    assert_eq!(kinds(&world.pass_and_tick("10m")), ["lock-ended", "enrolment-cancelled"]);
}

/// A live `maintenance` of ana's.
fn maintained(world: &mut World) -> GrantId {
    let asked = Ask::maintenance().lasting("1h").by("ana", world).unwrap();
    world.approve("cleo", asked).unwrap();
    world.grant_of(asked).unwrap().id
}

#[test]
fn an_extension_has_no_start_of_its_own() {
    let mut world = world();
    let held = maintained(&mut world);
    let start = world.now().latest.plus(span("1h"));
    let refusal = assert_refused(
        Ask::maintenance().extending(held).starting(start).by("ana", &mut world),
        Reason::StartNotAllowed,
    );
    assert!(refusal.detail.contains("an extension starts when it is approved"), "{}", refusal.detail);
    Ask::maintenance().extending(held).by("ana", &mut world).unwrap();
}

#[test]
fn a_scheduled_extension_goes_with_what_it_extends_unless_that_comes_to_its_end() {
    // given a scheduled extension, as a journal from before may have one
    let scheduled = || {
        let mut world = world();
        let held = maintained(&mut world);
        let start = world.now().latest.plus(span("1h"));
        let mut other = world.clone();
        let before = other.events.len();
        let asked = Ask::maintenance().lasting("1h").extending(held).by("ana", &mut other).unwrap();
        let mut events = other.events.split_off(before);
        for event in &mut events {
            let Fact::Elevation(ElevationFact::Requested(elevation)) = &mut event.fact else { continue };
            elevation.start = Some(start);
        }
        world.commit(events);
        world.approve("cleo", asked).unwrap();
        assert_eq!(world.grant_phase(asked), "SCHEDULED");
        (world, held, asked)
    };
    let (mut world, held, asked) = scheduled();
    assert_eq!(kinds(&world.revoke("ben", held).unwrap()), ["grant-revoked", "grant-revoked"]);
    let because = Revocation::NotEligible { reason: Reason::ExtensionInvalid };
    assert_eq!(world.grant_of(asked).unwrap().phase, GrantPhase::Revoked { at: world.at, because });
    let (mut world, held, asked) = scheduled();
    assert_eq!(kinds(&world.relinquish("ana", held).unwrap()), ["grant-relinquished", "grant-revoked"]);
    assert_eq!(world.grant_phase(asked), "REVOKED");
    // and once where both are ended by the same
    let (mut world, _, asked) = scheduled();
    assert_eq!(kinds(&world.restart(Some(&Revocation::Restart)))[1..], ["grant-revoked", "grant-revoked"]);
    assert_eq!(world.grant_phase(asked), "REVOKED");
    let (mut world, _, asked) = scheduled();
    world.pass_and_tick("1h");
    assert_eq!(world.grant_phase(asked), "ACTIVE");
}
