//! Ending memberships and closing machines: by whom, what follows in the same batch, and what stays shut.

use countersign::domain::directory::AccountState;
use countersign::domain::record::command::{CloseAccount, Command, EndMembership};
use countersign::domain::record::event::Event;
use countersign::domain::value::refusal::{Reason, Refusal};

use crate::world::{Ask, POLICY, World, assert_refused, identity, kinds};

fn end(world: &mut World, who: &str, account: &str, role: &str) -> Result<Vec<Event>, Refusal> {
    let command = Command::from(EndMembership {
        account: account.parse().unwrap(),
        role: role.parse().unwrap(),
        reason: "no longer needed".into(),
    });
    world.send(who, command)
}

fn close(world: &mut World, who: &str, account: &str) -> Result<Vec<Event>, Refusal> {
    world.send(who, Command::from(CloseAccount { account: account.parse().unwrap(), reason: "switched off".into() }))
}

#[test]
fn a_membership_is_ended_by_its_holder_the_manager_the_role_s_owner_or_directory_propose() {
    for (who, account, role) in [
        ("ana", "ana", "engineer"),
        // from another account of the same person
        ("ana-lab", "ana", "engineer"),
        ("ines", "ana", "engineer"),
        ("ines", "ben", "commander"),
        ("sam", "ana", "engineer"),
        ("olga", "ana", "engineer"),
        // a machine's: by itself, its owner, the owner's manager
        ("bot", "bot", "robot"),
        ("odo", "bot", "robot"),
        ("omar", "bot", "robot"),
    ] {
        let policy = POLICY.replace("[roles.engineer]\n", "[roles.engineer]\nowner = \"sam\"\n");
        let mut world = World::of(&policy, crate::world::Organisation::example()).unwrap();
        let events = end(&mut world, who, account, role).unwrap();
        assert_eq!(kinds(&events), ["membership-revoked", "account-recorded", "person-recorded"], "{who}");
        let account = world.state.organisation().accounts().get(account).unwrap();
        assert!(account.roles.is_empty() && account.state == AccountState::Active);
        assert!(world.state.organisation().people().get(account.person()).unwrap().touched);
    }
}

#[test]
fn not_owner_or_nothing_at_all_for_everybody_else() {
    let mut world = World::new();
    // aud sees every account
    assert_refused(end(&mut world, "aud", "ana", "engineer"), Reason::NotOwner);
    for who in ["dan", "ben", "odo", "bot", "sam"] {
        let refusal = assert_refused(end(&mut world, who, "ana", "engineer"), Reason::NotFound);
        assert_eq!(refusal.true_reason, Some(Reason::NotOwner), "{who}");
    }
    assert_refused(end(&mut world, "ines", "nobody", "engineer"), Reason::NotFound);
    assert_refused(end(&mut world, "ines", "ana", "commander"), Reason::NotFound);
    assert_refused(end(&mut world, "ines", "ana", "nothing"), Reason::NotFound);
    // the owner of one role does not answer for another
    assert_refused(end(&mut world, "ines", "sam", "security"), Reason::NotFound);
    assert!(world.state.organisation().accounts().get("ana").unwrap().roles.contains_key("engineer"));
}

#[test]
fn what_the_membership_carried_goes_in_the_same_batch() {
    let mut world = World::new();
    let (granted, _) = world.granted();
    let pending = Ask::critical().by("ana", &mut world).unwrap();
    let scheduled = Ask::maintenance().starting(world.at.plus(crate::world::span("1d"))).by("dan", &mut world).unwrap();
    world.approve("ben", scheduled).unwrap();
    let events = end(&mut world, "ines", "ana", "engineer").unwrap();
    assert!(kinds(&events).contains(&"grant-revoked") && kinds(&events).contains(&"elevation-cancelled"));
    assert_eq!((world.grant_phase(granted), world.phase(pending)), ("REVOKED", "CANCELLED"));
    assert!(!world.may("ana", "db.read", "prod/eu/db/orders/1"));
    // an approver's membership: what the approval has not started goes with it
    end(&mut world, "ben", "ben", "commander").unwrap();
    assert_eq!(world.grant_phase(scheduled), "REVOKED");
}

#[test]
fn ending_goes_on_under_a_suspect_clock_and_without_eligibility() {
    let mut world = World::new();
    world.wall_off_by = 3_600_000;
    assert!(world.now().suspect);
    end(&mut world, "ines", "ana", "engineer").unwrap();
    close(&mut world, "odo", "bot").unwrap();
    let mut world = World::new();
    world.change_directory(|all| all.people.get_mut("ana").unwrap().attestations.clear()).unwrap();
    end(&mut world, "ana", "ana", "engineer").unwrap();
}

#[test]
fn a_closed_machine_is_shut_for_good_with_all_that_it_asked_for_and_held() {
    for who in ["odo", "omar", "olga"] {
        let mut world = World::new();
        let held = Ask::deploy().by("bot", &mut world).unwrap();
        world.approve("ben", held).unwrap();
        let pending = Ask::deploy().on(&["prod/eu/apps/other"]).by("bot", &mut world).unwrap();
        let untouched = Ask::deploy().on_behalf_of("ana").by("pipe", &mut world).unwrap();
        world.approve("ben", untouched).unwrap();
        let events = close(&mut world, who, "bot").unwrap();
        assert_eq!(kinds(&events)[..2], ["account-closed", "account-recorded"]);
        assert_eq!((world.grant_phase(held), world.phase(pending)), ("REVOKED", "CANCELLED"), "{who}");
        assert_eq!(world.grant_phase(untouched), "ACTIVE", "another machine of the same owner goes on");
        let bot = world.state.organisation().accounts().get("bot").unwrap();
        assert!(bot.state == AccountState::Closed && bot.identities.is_empty() && bot.roles.is_empty());
        assert!(world.state.organisation().principal(&identity("bot").parse().unwrap()).is_none());
        assert_refused(Ask::deploy().by("bot", &mut world), Reason::NoAccount);
        assert_refused(close(&mut world, who, "bot"), Reason::AlreadyThere);
        // and no file opens it again
        let refusal = assert_refused(world.change_directory(|_| ()), Reason::PersonTouched);
        assert_eq!((&*refusal.facts["person"], &*refusal.facts["gives"]), ("odo", "account `bot`"));
    }
}

#[test]
fn only_machines_are_closed_and_only_by_those_who_answer_for_them() {
    let mut world = World::new();
    for who in ["ana", "ines", "omar"] {
        assert_refused(close(&mut world, who, "ana"), Reason::NotFound);
    }
    assert_refused(close(&mut world, "aud", "bot"), Reason::NotOwner);
    // a machine sees itself, and closes nothing
    assert_refused(close(&mut world, "bot", "bot"), Reason::NotOwner);
    for who in ["ines", "ana", "pipe"] {
        assert_refused(close(&mut world, who, "bot"), Reason::NotFound);
    }
    assert_eq!(world.state.organisation().accounts().get("bot").unwrap().state, AccountState::Active);
}

#[test]
fn the_same_command_again_is_answered_as_it_was() {
    let mut world = World::new();
    let command = Command::from(EndMembership {
        account: "ana".parse().unwrap(),
        role: "engineer".parse().unwrap(),
        reason: "once".into(),
    });
    let envelope = world.envelope("ines", command);
    assert!(!world.execute(&envelope).unwrap().is_empty());
    assert!(world.execute(&envelope).unwrap().is_empty());
}
