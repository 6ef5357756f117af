//! Separation of duties, in its four places (design.md 4; known failures A2, A3, A4, A10, A11 and C11). tests/rule_removal.rs takes
//! away one rule at a time and sees the tests of that rule, named after it, fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "common/world.rs"]
mod world;

use countersign::domain::record::command::{Command, CompleteFollowUp};
use countersign::domain::record::emergency::Finding;
use countersign::domain::record::grant::{GrantPhase, Revocation};
use countersign::domain::value::refusal::Reason;
use world::enrolments::{a_machine, a_role, a_role_of, an_account, take_over};
use world::{Ask, NOON, Organisation, POLICY, World, assert_refused, at, identity, span};

#[test]
fn separation_rule_1_a_policy_whose_approvers_may_also_ask_is_refused() {
    // given a policy in which those who ask for a repair approve it, alone or among others
    for by in [r#"["engineer"]"#, r#"["commander", "engineer"]"#] {
        let mut world = World::new();
        let from = r#"approval = [{ by = ["commander"], count = 1 }]"#;
        let to = format!("approval = [{{ by = {by}, count = 1 }}]");
        // when it is proposed, then it is refused, and when a journal is filled with it as well
        assert_refused(world.propose_policy(from, &to), Reason::PolicyInvalid);
        let filled = World::of(&POLICY.replace(from, &to), Organisation::example());
        assert!(matches!(filled.err().map(|refusal| refusal.reason), Some(Reason::PolicyInvalid)));
    }
}

#[test]
fn separation_rule_1_counts_those_who_approve_in_an_emergency() {
    // given an entitlement whose requesters are its emergency approvers
    let mut world = World::new();
    let emergency = "max_duration = \"1h\"\nmax_continuous = \"2h\"\nemergency = { max_duration = \"20m\", approval = [{ by = [\"engineer\"], count = 1 }] }";
    // when it is proposed, then it is refused
    let proposed = world.propose_policy("max_duration = \"1h\"\nmax_continuous = \"2h\"", emergency);
    assert_refused(proposed, Reason::PolicyInvalid);
}

#[test]
fn separation_rule_2_one_account_never_holds_both_sides() {
    let mut world = World::new();
    // when ana is to be an engineer, who asks, and a commander, who approves, then the file is refused
    let proposed = world.change_directory(|organisation| organisation.join("ana", "commander"));
    let refusal = assert_refused(proposed, Reason::RoleConflict);
    assert_eq!(refusal.facts["person"], "ana");
}

#[test]
fn separation_rule_2_compares_persons_over_all_accounts_and_machines() {
    let mut world = World::new();
    // a second account of the same person
    assert_refused(
        world.change_directory(|organisation| organisation.join("ana-lab", "commander")),
        Reason::RoleConflict,
    );
    // a machine that asks and belongs to somebody who approves
    let proposed =
        world.change_directory(|organisation| organisation.accounts.get_mut("bot").unwrap().owner = Some("ben".into()));
    assert_refused(proposed, Reason::RoleConflict);
    // a disabled account can return
    let proposed = world.change_directory(|organisation| {
        let account = organisation.accounts.get_mut("ana-lab").unwrap();
        account.disabled = Some("lost laptop".into());
        organisation.join("ana-lab", "commander");
    });
    assert_refused(proposed, Reason::RoleConflict);
}

#[test]
fn separation_rule_2_is_checked_over_all_members_when_policy_proposals() {
    // given somebody in two roles that have nothing to do with each other
    let mut world = World::new();
    world.change_directory(|organisation| organisation.join("ben", "auditor")).unwrap();
    // when a policy lets one of them ask for what the other approves, then it is refused
    let proposed = world.propose_policy(
        "requestable_by = [\"engineer\"]\ndefault_duration",
        "requestable_by = [\"engineer\", \"auditor\"]\ndefault_duration",
    );
    assert_refused(proposed, Reason::RoleConflict);
}

#[test]
fn separation_rule_2_no_enrolment_gives_a_person_both_sides() {
    let mut world = World::new();
    // a role for the same account, for another of the person's, and from another
    assert_refused(world.enrol("ana", a_role("commander")), Reason::RoleConflict);
    assert_refused(world.enrol("ana", a_role_of("ana-lab", "commander")), Reason::RoleConflict);
    assert_refused(world.enrol("ana-lab", a_role("commander")), Reason::RoleConflict);
    // a machine that would ask for what its owner approves, made or taken over
    assert_refused(world.enrol("ben", a_machine("probe", &["robot"])), Reason::RoleConflict);
    assert_refused(world.enrol("ben", take_over("bot")), Reason::RoleConflict);
}

#[test]
fn separation_rule_2_is_checked_again_when_an_enrolment_is_approved() {
    // given two requests of one person that exclude each other
    let mut world = World::new();
    let asks = world.enrol("rex", a_role("engineer")).unwrap();
    let approves = world.enrol("rex", a_role("security")).unwrap();
    // when both are approved, then only the first is given
    world.approve_enrolment("omar", asks).unwrap();
    assert_refused(world.approve_enrolment("omar", approves), Reason::NotPending);
    let held: Vec<&str> =
        world.state.organisation().accounts().get("rex").unwrap().roles.keys().map(AsRef::as_ref).collect();
    assert_eq!(held, ["engineer", "revoker"]);
}

#[test]
fn separation_rule_3_nobody_approves_an_enrolment_of_their_own_from_whatever_account() {
    // given a role that ines owns, asked for by her, who has a second account
    let mut world = World::new();
    world
        .change_directory(|organisation| {
            organisation.account("ines-lab", "ines");
        })
        .unwrap();
    let id = world.enrol("ines", a_role("commander")).unwrap();
    for account in ["ines", "ines-lab"] {
        assert_refused(world.approve_enrolment(account, id), Reason::SelfApproval);
        assert_refused(world.deny_enrolment(account, id), Reason::SelfApproval);
    }
    world.approve_enrolment("omar", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "APPROVED");
}

#[test]
fn separation_rule_3_whoever_stands_in_for_a_manager_does_not_do_so_for_themselves() {
    // given sam without a manager, on the security duty that policy names for such people
    let mut world = World::new();
    world.change_directory(|organisation| organisation.people.get_mut("sam").unwrap().manager = None).unwrap();
    let from = "requires = [\"screening\"]";
    world.propose_policy(from, &format!("{from}\nmanager_missing = [\"security\"]")).unwrap();
    let id = world.enrol("sam", a_role("auditor")).unwrap();
    assert_refused(world.approve_enrolment("sam", id), Reason::SelfApproval);
    world.approve_enrolment("eve", id).unwrap();
    assert_eq!(world.enrolment_phase(id), "APPROVED");
}

#[test]
fn separation_rule_3_a_certificate_behind_a_request_decides_nothing_whomever_it_means() {
    // given an emergency of ana's, and that her certificate became ben's by the word of others
    let way = "emergency = { max_duration = \"20m\", approval = [{ by = [\"security\"], count = 1 }], follow_up_within = \"72h\" }";
    let policy = POLICY.replacen("[entitlements.repair]", &format!("[entitlements.repair]\n{way}"), 1);
    let mut world = World::of(&policy, Organisation::example()).unwrap();
    let asked = Ask::repair().in_an_emergency().by("ana", &mut world).unwrap();
    world.approve("sam", asked).unwrap();
    world
        .change_directory(|all| {
            all.accounts.get_mut("ana").unwrap().identities = [identity("parked")].into();
            all.accounts.get_mut("ben").unwrap().identities.insert(identity("ana"));
        })
        .unwrap();
    // then by that one ben does not say that all was well, and by their own they do
    let digest = world.elevation(asked).review.digest();
    let complete = || {
        let (finding, comment) = (Finding::Justified, "the database was down".to_owned());
        Command::from(CompleteFollowUp { elevation: asked, digest, finding, comment })
    };
    assert_refused(world.send("ana", complete()), Reason::SelfApproval);
    world.send("ben", complete()).unwrap();
}

#[test]
fn separation_rule_3_neither_owner_decides_that_a_machine_changes_hands() {
    // given a machine of odo's, that somebody whom odo manages would take over, and the other way round
    let mut world = World::new();
    world
        .change_directory(|organisation| {
            organisation.people.get_mut("rex").unwrap().manager = Some("odo".into());
            organisation.account("odo-lab", "odo");
        })
        .unwrap();
    // then the only one who could decide is behind it
    assert_refused(world.enrol("rex", take_over("bot")), Reason::NoApprover);
    // the new owner does not decide either
    let id = world.enrol("ana", take_over("bot")).unwrap();
    for account in ["ana", "ana-lab", "odo", "odo-lab"] {
        assert_refused(world.approve_enrolment(account, id), Reason::SelfApproval);
    }
    world.approve_enrolment("ines", id).unwrap();
    assert_eq!(world.state.organisation().accounts().get("bot").unwrap().person().as_str(), "ana");
}

#[test]
fn separation_rule_3_neither_owner_approves_what_a_machine_asked_before_it_changed_hands() {
    // given a request of odo's machine that goes to odo's manager
    let mut world = World::new();
    world
        .change_directory(|organisation| organisation.people.get_mut("odo").unwrap().manager = Some("ines".into()))
        .unwrap();
    let id = Ask::managed().by("bot", &mut world).unwrap();
    // when the manager who would approve takes the machine over
    let over = world.enrol("ines", take_over("bot")).unwrap();
    world.approve_enrolment("omar", over).unwrap();
    // then neither she nor the owner before approves
    for account in ["ines", "odo"] {
        assert_refused(world.approve(account, id), Reason::SelfApproval);
    }
    assert!(world.grant_of(id).is_none());
}

#[test]
fn separation_rule_3_the_owner_of_a_machine_does_not_approve_its_request() {
    // given a machine that asks for dan, owned by dan's manager, who approves
    let mut world = World::new();
    world
        .change_directory(|organisation| organisation.accounts.get_mut("pipe").unwrap().owner = Some("ines".into()))
        .unwrap();
    let ask = Ask::managed().on_behalf_of("dan").by("pipe", &mut world);
    // then there is nobody who could approve
    assert_refused(ask, Reason::NoApprover);
}

#[test]
fn separation_rule_3_whoever_owned_the_machine_at_the_request_stays_behind_it() {
    // given a request of a machine, whose owner then gives it away and becomes the one who approves
    let mut world = World::new();
    let id = Ask::deploy().by("bot", &mut world).unwrap();
    world
        .change_directory(|organisation| {
            organisation.accounts.get_mut("bot").unwrap().owner = Some("ines".into());
            organisation.accounts.get_mut("pipe").unwrap().owner = Some("ines".into());
            organisation.join("odo", "commander");
        })
        .unwrap();
    // when that person approves, then that is self-approval, and so is a denial
    assert_refused(world.approve("odo", id), Reason::SelfApproval);
    assert_refused(world.deny("odo", id), Reason::SelfApproval);
    assert_eq!(world.phase(id), "PENDING");
    // and another commander may
    world.approve("ben", id).unwrap();
    assert!(world.may("bot", "deploy.run", "prod/eu/apps/orders"));
}

#[test]
fn separation_rule_3_whoever_owns_the_machine_now_is_behind_its_request() {
    // given a request of a machine for ana, that goes to ana's manager
    let mut world = World::new();
    let id = Ask::managed().on_behalf_of("ana").by("pipe", &mut world).unwrap();
    // when the manager becomes the machine's owner, then she cannot approve any more
    world
        .change_directory(|organisation| organisation.accounts.get_mut("pipe").unwrap().owner = Some("ines".into()))
        .unwrap();
    assert_refused(world.approve("ines", id), Reason::SelfApproval);
    assert!(world.grant_of(id).is_none());
}

#[test]
fn separation_rule_3_the_person_asked_for_does_not_approve_from_any_account() {
    // given two machines; ines asks through one as a person, and manages the machine's owner
    let mut world = World::new();
    world
        .change_directory(|organisation| {
            organisation.join("ines", "engineer");
            organisation.people.get_mut("odo").unwrap().manager = Some("ines".into());
            organisation.account("ines-lab", "ines");
        })
        .unwrap();
    let id = Ask::managed().on_behalf_of("ines").by("pipe", &mut world).unwrap();
    for account in ["ines", "ines-lab"] {
        assert_refused(world.approve(account, id), Reason::SelfApproval);
    }
    // then her own manager approves
    world.approve("omar", id).unwrap();
    assert_eq!(world.grant_phase(id), "ACTIVE");
}

#[test]
fn separation_rule_4_the_requester_is_checked_again_when_the_grant_is_issued() {
    // given a request made while ana's training held, and decided after it lapsed; no timer ran
    let mut world = World::new();
    world
        .change_directory(|organisation| {
            let attested = "2026-05-26T12:10:00Z"; // 180 days before 12:10
            organisation.people.get_mut("ana").unwrap().attestations.insert("dba".into(), attested.into());
        })
        .unwrap();
    let id = Ask::repair().by("ana", &mut world).unwrap();
    world.pass("10m");
    // when it is approved, then nothing is issued
    assert_refused(world.approve("ben", id), Reason::RequirementLapsed);
    assert!(world.grant_of(id).is_none() && !world.may("ana", "db.read", "prod/eu/db/orders/1"));
}

#[test]
fn separation_rule_4_an_approver_who_could_not_approve_now_is_struck_out_before_the_grant_is_issued() {
    // given a first stage approved by two, one of whom lapses before the second stage; no timer ran
    let mut world = World::new();
    world
        .change_directory(|organisation| {
            let attested = "2025-11-22T12:10:00Z"; // 365 days before 12:10
            organisation.people.get_mut("sam").unwrap().attestations.insert("training".into(), attested.into());
        })
        .unwrap();
    let id = Ask::critical().by("ana", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    world.approve("sam", id).unwrap();
    world.pass("10m");
    // when the second stage's approver approves, it counts for the first, which is open again
    world.approve("eve", id).unwrap();
    assert_eq!(world.phase(id), "PENDING");
    let struck: Vec<&str> =
        world.elevation(id).review.decisions.iter().filter(|d| d.struck.is_some()).map(|d| d.person.as_str()).collect();
    assert_eq!(struck, ["sam"]);
    assert!(world.grant_of(id).is_none());
}

#[test]
fn separation_rule_4_approvers_are_checked_again_when_a_scheduled_grant_starts() {
    // given a scheduled grant whose approver lapses before its start, and a timer that runs only then
    let mut world = World::new();
    let policy = world.propose_policy("[roles.commander]", "[roles.commander]\nrequires = [\"training\"]").unwrap();
    assert!(!policy.is_empty());
    world
        .change_directory(|organisation| {
            let attested = "2025-11-22T12:10:00Z";
            organisation.people.get_mut("ben").unwrap().attestations.insert("training".into(), attested.into());
        })
        .unwrap();
    let start = at(NOON).plus(span("20m"));
    let id = Ask::maintenance().starting(start).lasting("1h").by("ana", &mut world).unwrap();
    world.approve("ben", id).unwrap();
    assert_eq!(world.grant_phase(id), "SCHEDULED");
    // when its start comes, then it is revoked in its place
    world.pass_and_tick("20m");
    let phase = world.grant_of(id).unwrap().phase.clone();
    assert!(matches!(phase, GrantPhase::Revoked { because: Revocation::ApprovalVoid { .. }, .. }), "{phase:?}");
    assert!(!world.may("ana", "db.schema", "prod/eu/db/orders"));
}

#[test]
fn separation_rule_4_an_enrolment_is_checked_again_at_its_last_approval() {
    // given an account that needs training, asked for while pia's held, and decided after it lapsed; no timer ran
    let mut world = World::new();
    world
        .change_directory(|organisation| {
            let attested = "2025-11-22T12:10:00Z"; // 365 days before 12:10
            organisation.people.get_mut("pia").unwrap().attestations.insert("training".into(), attested.into());
        })
        .unwrap();
    let from = "requires = [\"screening\"]";
    world.propose_policy(from, "requires = [\"screening\", \"training\"]").unwrap();
    let id = world.enrol("pia", an_account()).unwrap();
    world.pass("10m");
    assert_refused(world.approve_enrolment("ines", id), Reason::RequirementLapsed);
    assert!(!world.state.organisation().accounts().contains_key("pia"));
}

#[test]
fn separation_rule_4_an_approval_of_an_enrolment_is_struck_out_before_anything_is_given() {
    // given a role with an owner, approved by the manager's stand-in, who lapses before the owner decides; no timer ran
    let mut world = World::new();
    world
        .change_directory(|organisation| {
            let attested = "2025-11-22T12:10:00Z";
            organisation.people.get_mut("sam").unwrap().attestations.insert("training".into(), attested.into());
        })
        .unwrap();
    let from = "requires = [\"screening\"]";
    world.propose_policy(from, &format!("{from}\nmanager_missing = [\"security\"]")).unwrap();
    let id = world.enrol("olga", a_role("commander")).unwrap();
    world.approve_enrolment("sam", id).unwrap();
    world.pass("10m");
    // when the owner decides, then the first stage is open again, and nothing is given
    assert_refused(world.approve_enrolment("ines", id), Reason::StageNotOpen);
    world.approve_enrolment("eve", id).unwrap();
    world.approve_enrolment("ines", id).unwrap();
    let approved =
        world.state.organisation().accounts().get("olga").unwrap().roles["commander"].approved.clone().unwrap();
    assert_eq!(approved.persons.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["eve", "ines"]);
}
