//! Proposals by two persons: one proposes, another approves on the digest, and nobody changes the rules for themselves (design.md 7;
//! known failure J2).

use countersign::domain::record::command::{ApproveProposal, Command, CreateLock, DenyProposal, WithdrawProposal};
use countersign::domain::record::event::{Event, Fact, ProposalFact};
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::record::proposal::{PROPOSED_IN_A_DAY, ProposedFile};
use countersign::domain::value::ids::{Digest, ProposalId};
use countersign::domain::value::refusal::{Reason, Refusal};

use crate::world::{Ask, Organisation, POLICY, World, assert_refused, kinds};

const LONGER: (&str, &str) = ("max_duration = \"1h\"\nmax_continuous", "max_duration = \"2h\"\nmax_continuous");
const PLANNED: (&str, &str) = ("Planned work", "Planned");
/// To change the policy is asked for, and `security` lets.
const BEHIND_AN_ENTITLEMENT: &str = r#"
[entitlements.policy-change]
title = "Propose a policy, or approve one"
actions = ["countersign.policy.propose"]
resources = ["countersign/broker"]
requestable_by = ["admin"]
max_duration = "1h"
approval = [{ by = ["security"], count = 1 }]
"#;

fn policy(world: &World, (from, to): (&str, &str)) -> String {
    assert!(world.policy.contains(from), "{from}");
    world.policy.replacen(from, to, 1)
}

pub(crate) fn propose(world: &mut World, who: &str, change: (&str, &str)) -> Result<ProposalId, Refusal> {
    let (replaces, text) = (Digest::of(world.policy.as_bytes()), policy(world, change));
    world.propose(who, ProposedFile::Policy, replaces, text)
}

pub(crate) fn propose_directory(
    world: &mut World,
    who: &str,
    change: impl FnOnce(&mut Organisation),
) -> Result<ProposalId, Refusal> {
    let mut organisation = world.organisation.clone();
    change(&mut organisation);
    let replaces = world.state.organisation().directory_digest().unwrap();
    world.propose(who, ProposedFile::Directory, replaces, organisation.to_toml())
}

fn waits(events: &[Event]) -> Vec<(String, String)> {
    let facts = events.iter().filter_map(|event| match &event.fact {
        Fact::Proposal(ProposalFact::AuthorsWait(fact)) => Some(fact),
        _ => None,
    });
    let pairs = facts.flat_map(|fact| {
        fact.persons
            .iter()
            .flat_map(|person| fact.entitlements.iter().map(move |it| (person.to_string(), it.to_string())))
    });
    pairs.collect()
}

fn two_administrators_behind_an_entitlement() -> World {
    let policy = format!("{POLICY}{BEHIND_AN_ENTITLEMENT}").replacen(
        "[\"policy.propose\", \"directory.propose\"]",
        "[\"directory.propose\"]",
        1,
    );
    lockable(&policy)
}

/// With `rex`, who may lock.
fn lockable(policy: &str) -> World {
    let policy = policy.replacen("[\"grant.revoke\"]", "[\"grant.revoke\", \"lock.manage\"]", 1);
    World::of(&policy, Organisation::example()).unwrap()
}

fn lock(world: &mut World, on: Locked, mode: LockMode) {
    world.send("rex", Command::from(CreateLock { on, mode, reason: "who was that".into(), until: None })).unwrap();
}

fn let_change_the_policy(world: &mut World, who: &str) {
    let ask = Ask::of("policy-change", &["countersign.policy.propose"], &["countersign/broker"]);
    let elevation = ask.by(who, world).unwrap();
    world.approve("sam", elevation).unwrap();
}

#[test]
fn what_one_proposes_another_approves() {
    let mut world = World::new();
    let proposal = propose(&mut world, "omar", PLANNED).unwrap();
    // nothing is in force until somebody else has read it
    assert_eq!(&**world.state.organisation().policy_text(), POLICY);
    assert_refused(world.approve_proposal("omar", proposal), Reason::SelfApproval);
    let wrong =
        Command::from(ApproveProposal { proposal, digest: Digest::of(b"another text"), comment: String::new() });
    assert_refused(world.send("olga", wrong), Reason::DigestMismatch);
    // to whoever may not propose there is no such thing
    for who in ["ana", "ben", "bot", "ines"] {
        assert_refused(world.approve_proposal(who, proposal), Reason::NotFound);
    }
    let events = world.approve_proposal("olga", proposal).unwrap();
    assert_eq!(kinds(&events), ["proposal-approved", "policy-loaded"]);
    assert_eq!(**world.state.organisation().policy_text(), *policy(&world, PLANNED));
    assert_refused(world.approve_proposal("olga", proposal), Reason::NotPending);
}

#[test]
fn what_is_approved_is_what_the_text_says_by_now() {
    // given a policy that lets auditors revoke, of whom there is one
    let revokes = ("[\"audit.read\"]", "[\"audit.read\", \"grant.revoke\"]");
    let mut world = World::new();
    let proposal = propose(&mut world, "omar", revokes).unwrap();
    let text = |world: &World, proposal| world.state.proposals().get(&proposal).unwrap().review.text.clone();
    assert!(text(&world, proposal).contains("gains: \"aud: use `grant.revoke`\"\n"), "{}", text(&world, proposal));
    // when another directory makes one more
    let joins = propose_directory(&mut world, "omar", |all| all.join("eve", "auditor")).unwrap();
    world.approve_proposal("olga", joins).unwrap();
    // then nobody approves what does not say so
    assert_refused(world.approve_proposal("olga", proposal), Reason::ProposalStale);
    world.send("omar", Command::from(WithdrawProposal { proposal, reason: String::new() })).unwrap();
    let proposal = propose(&mut world, "omar", revokes).unwrap();
    assert!(text(&world, proposal).contains("gains: \"aud: use `grant.revoke`; eve: use `grant.revoke`\"\n"));
    world.approve_proposal("olga", proposal).unwrap();
    // nor does anybody approve what is said of them and would not be so if they did
    let mut organisation = Organisation::example();
    organisation.people.get_mut("olga").unwrap().manager = Some("ines".into());
    let mut world = World::of(POLICY, organisation).unwrap();
    let without = |all: &mut Organisation| all.people.get_mut("olga").unwrap().manager = None;
    let proposal = propose_directory(&mut world, "omar", without).unwrap();
    assert!(text(&world, proposal).contains("changes: \"people.olga.manager: \\\"ines\\\" -> none\"\n"));
    assert_refused(world.approve_proposal("olga", proposal), Reason::OwnStanding);
    world.approve_proposal("lou", proposal).unwrap();
}

#[test]
fn the_text_says_each_value_that_changes() {
    // what is no right of anybody's yet stands in it all the same
    let mut world = World::new();
    for (change, says) in [
        (("[limits]\n", "[limits]\nauthor_waits = \"1s\"\n"), "limits.author_waits: none -> \\\"1s\\\""),
        (("[roles.robot]\n", "[roles.robot]\ncapabilities = [\"hr.feed\"]\n"), "roles.robot.capabilities: none -> "),
        (("owner = \"ines\"\n", ""), "roles.commander.owner: \\\"ines\\\" -> none"),
    ] {
        let proposal = propose(&mut world, "omar", change).unwrap();
        let text = &world.state.proposals().get(&proposal).unwrap().review.text;
        assert!(text.contains(&format!("changes: \"{says}")), "{text}");
        world.send("omar", Command::from(WithdrawProposal { proposal, reason: String::new() })).unwrap();
    }
    // a membership's later end gives no right, and is said
    let later = |all: &mut Organisation| {
        all.accounts.get_mut("aud").unwrap().roles.insert("auditor".into(), Some("2026-12-01T00:00:00Z".into()));
    };
    let proposal = propose_directory(&mut world, "omar", later).unwrap();
    let text = &world.state.proposals().get(&proposal).unwrap().review.text;
    assert!(text.contains("accounts.aud.roles.auditor.until: none -> 2026-12-01T00:00:00.000Z"), "{text}");
    // whoever joins a role joins it whenever that is approved
    world.send("omar", Command::from(WithdrawProposal { proposal, reason: String::new() })).unwrap();
    let proposal = propose_directory(&mut world, "omar", |all| all.join("eve", "auditor")).unwrap();
    world.pass("1h");
    world.approve_proposal("olga", proposal).unwrap();
}

#[test]
fn the_text_says_what_is_gained_by_ends_states_and_audiences_and_when_in_words_of_the_calendar() {
    let mut organisation = Organisation::example();
    let aud = organisation.accounts.get_mut("aud").unwrap();
    (aud.until, aud.disabled) = (Some("2026-12-01T00:00:00Z".into()), Some("on leave".into()));
    organisation.accounts.get_mut("rex").unwrap().roles.insert("revoker".into(), Some("2026-12-01T00:00:00Z".into()));
    let mut world = World::of(POLICY, organisation).unwrap();
    let more = |all: &mut Organisation| {
        let aud = all.accounts.get_mut("aud").unwrap();
        (aud.until, aud.disabled) = (Some("2028-07-01T00:00:00Z".into()), None);
        all.accounts.get_mut("bot").unwrap().audience = vec!["prod/**".into()];
        all.accounts.get_mut("rex").unwrap().roles.insert("revoker".into(), None);
        all.people.get_mut("rex").unwrap().attestations.insert("dba".into(), "2026-11-22T12:30:00Z".into());
        all.machine("new", "odo", "robot").audience = vec!["stage/**".into()];
    };
    let proposal = propose_directory(&mut world, "omar", more).unwrap();
    let text = &world.state.proposals().get(&proposal).unwrap().review.text;
    let gains = text.lines().find(|line| line.starts_with("gains: ")).unwrap();
    for gain in [
        "be used until 2028-07-01T00:00:00.000Z, be in use again",
        "bot: check `prod/**` once a role lets it check",
        "check `stage/**` once a role lets it check",
        "rex: be in `revoker` without an end",
    ] {
        assert!(gains.contains(gain), "{gain}: {gains}");
    }
    let changes = text.lines().find(|line| line.starts_with("changes: ")).unwrap();
    for change in [
        "accounts.aud.until: 2026-12-01T00:00:00.000Z -> 2028-07-01T00:00:00.000Z",
        "accounts.rex.roles.revoker.until: 2026-12-01T00:00:00.000Z -> none",
        "people.rex.attestations.dba: 2026-11-22T12:00:00.000Z -> 2026-11-22T12:30:00.000Z",
    ] {
        assert!(changes.contains(change), "{change}: {changes}");
    }
    let millis = |word: &str| word.len() >= 12 && word.bytes().all(|it| it.is_ascii_digit());
    let told = format!("{gains} {changes}");
    assert!(!told.split(|it: char| !it.is_ascii_alphanumeric()).any(millis), "{told}");
}

#[test]
fn an_end_that_the_broker_gave_is_no_change_of_a_file_that_names_none() {
    // given members of a role with a longest membership, who got their ends when the first directory came into force
    let longest = POLICY.replacen("[roles.admin]\n", "[roles.admin]\nlongest_membership = \"180d\"\n", 1);
    let mut world = World::of(&longest, Organisation::example()).unwrap();
    world.pass("1d");
    // when a file that names no ends changes something else
    let joins = |all: &mut Organisation| all.join("eve", "auditor");
    let proposal = propose_directory(&mut world, "omar", joins).unwrap();
    let text = &world.state.proposals().get(&proposal).unwrap().review.text;
    assert!(text.contains("changes: \"accounts.eve.roles.auditor: none -> {}\"\n"), "{text}");
    // then a member approves it later
    world.pass("1d");
    world.approve_proposal("olga", proposal).unwrap();
    assert!(world.state.organisation().accounts().get("olga").unwrap().roles["admin"].until.is_some());
}

#[test]
fn a_machine_proposes_and_never_approves() {
    // given a machine of odo's with the capability, and odo as an administrator
    let roles = "[roles.pipeline]\nfor = \"machines\"\ncapabilities = [\"policy.propose\"]\n[roles.auditor]";
    let mut organisation = Organisation::example();
    organisation.join("bot", "pipeline");
    organisation.join("odo", "admin");
    let mut world = World::of(&POLICY.replacen("[roles.auditor]", roles, 1), organisation).unwrap();
    let proposal = propose(&mut world, "bot", PLANNED).unwrap();
    // then neither it nor its owner approves, and it approves nothing of others
    assert_refused(world.approve_proposal("bot", proposal), Reason::NotAnApprover);
    assert_refused(world.approve_proposal("odo", proposal), Reason::SelfApproval);
    world.approve_proposal("olga", proposal).unwrap();
    world.policy = policy(&world, PLANNED);
    let proposal = propose(&mut world, "omar", ("Planned\"", "Planned work\"")).unwrap();
    assert_refused(world.approve_proposal("bot", proposal), Reason::NotAnApprover);
}

#[test]
fn one_proposal_of_a_file_at_a_time_and_the_first_to_be_approved_makes_the_others_void() {
    let mut world = World::new();
    let first = propose(&mut world, "omar", PLANNED).unwrap();
    let refusal = assert_refused(propose(&mut world, "omar", LONGER), Reason::AlreadyPending);
    assert_eq!(refusal.facts["proposal"], first.to_string());
    let second = propose(&mut world, "olga", LONGER).unwrap();
    let directory = propose_directory(&mut world, "omar", |_| ()).unwrap();
    world.approve_proposal("olga", first).unwrap();
    let refusal = assert_refused(world.approve_proposal("omar", second), Reason::NotPending);
    assert_eq!(refusal.facts["state"], "CANCELLED");
    // the other file stands, and is compared with what is in force by then
    world.approve_proposal("olga", directory).unwrap();
}

#[test]
fn a_proposal_is_denied_withdrawn_or_expires() {
    let mut world = World::new();
    let proposal = propose(&mut world, "omar", PLANNED).unwrap();
    let deny = |proposal| Command::from(DenyProposal { proposal, reason: "not now".into() });
    assert_refused(world.send("omar", deny(proposal)), Reason::SelfApproval);
    world.send("olga", deny(proposal)).unwrap();
    let proposal = propose(&mut world, "omar", PLANNED).unwrap();
    let withdraw = |proposal| Command::from(WithdrawProposal { proposal, reason: String::new() });
    assert_refused(world.send("olga", withdraw(proposal)), Reason::NotHolder);
    world.send("omar", withdraw(proposal)).unwrap();
    let proposal = propose(&mut world, "omar", PLANNED).unwrap();
    world.pass("3d");
    // by comparison, whatever the timer has recorded
    assert_refused(world.approve_proposal("olga", proposal), Reason::NotPending);
    assert!(kinds(&world.tick()).contains(&"proposal-expired"));
}

#[test]
fn a_proposal_goes_with_whoever_made_it() {
    let mut world = lockable(POLICY);
    let proposal = propose(&mut world, "omar", PLANNED).unwrap();
    lock(&mut world, Locked::Person("omar".parse().unwrap()), LockMode::Suspend);
    assert_refused(world.approve_proposal("olga", proposal), Reason::Locked);
    lock(&mut world, Locked::Account("omar".parse().unwrap()), LockMode::Revoke);
    assert_refused(world.approve_proposal("olga", proposal), Reason::NotPending);
    // nor does it outlast that person's account
    let mut world = World::new();
    let proposal = propose(&mut world, "omar", PLANNED).unwrap();
    let gone = propose_directory(&mut world, "olga", |all| all.remove_person("omar")).unwrap();
    let events = world.approve_proposal("lou", gone).unwrap();
    assert!(kinds(&events).contains(&"proposal-cancelled"));
    assert_refused(world.approve_proposal("olga", proposal), Reason::NotPending);
}

#[test]
fn a_proposal_goes_with_the_capability_of_whoever_made_it() {
    // given a proposal of an administrator's, who is then locked out of the role
    let mut world = lockable(POLICY);
    let proposal = propose(&mut world, "omar", PLANNED).unwrap();
    let mut suspended = world.clone();
    let admin = || Locked::Role("admin".parse().unwrap());
    lock(&mut suspended, admin(), LockMode::Suspend);
    assert_refused(suspended.approve_proposal("olga", proposal), Reason::NotFound);
    lock(&mut world, admin(), LockMode::Revoke);
    assert_eq!(world.state.proposals().get(&proposal).unwrap().phase.name(), "CANCELLED");
    // one who is an administrator no more
    let mut world = World::new();
    propose(&mut world, "omar", PLANNED).unwrap();
    let leaves = propose_directory(&mut world, "olga", |all| all.leave("omar", "admin")).unwrap();
    assert!(kinds(&world.approve_proposal("lou", leaves).unwrap()).contains(&"proposal-cancelled"));
    // and one whose membership ended, before any timer has said so
    let mut organisation = Organisation::example();
    organisation.accounts.get_mut("omar").unwrap().roles.insert("admin".into(), Some("2026-11-23T12:00:00Z".into()));
    let mut world = World::of(POLICY, organisation).unwrap();
    let proposal = propose(&mut world, "omar", PLANNED).unwrap();
    world.pass("24h");
    let refusal = assert_refused(world.approve_proposal("olga", proposal), Reason::CapabilityMissing);
    assert_eq!(refusal.facts["capability"], "policy.propose");
}

#[test]
fn so_many_proposals_of_one_account_in_a_day() {
    let mut world = World::new();
    for _ in 0..PROPOSED_IN_A_DAY {
        let proposal = propose(&mut world, "omar", PLANNED).unwrap();
        world.send("omar", Command::from(WithdrawProposal { proposal, reason: String::new() })).unwrap();
    }
    assert_refused(propose(&mut world, "omar", PLANNED), Reason::TooManyProposals);
    assert_refused(propose_directory(&mut world, "omar", |_| ()), Reason::TooManyProposals);
    propose(&mut world, "olga", PLANNED).unwrap();
    world.pass("24h");
    propose(&mut world, "omar", PLANNED).unwrap();
}

#[test]
fn author_waits_before_asking_for_or_reviewing_what_an_own_proposal_widened() {
    // given an administrator who is an engineer, one who commands, and a third
    let mut organisation = Organisation::example();
    organisation.join("dan", "admin");
    organisation.join("ben", "admin");
    let mut world = World::of(POLICY, organisation).unwrap();
    // when the one proposes longer repairs and the other approves them
    let proposal = propose(&mut world, "dan", LONGER).unwrap();
    let events = world.approve_proposal("ben", proposal).unwrap();
    assert_eq!(waits(&events), [("ben", "repair"), ("dan", "repair")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    // then neither of them asks for it or reviews it; everybody else does, and they do all else
    let refusal = assert_refused(Ask::repair().by("dan", &mut world), Reason::AuthorWaits);
    assert_eq!(refusal.facts["entitlement"], "repair");
    let elevation = Ask::repair().by("ana", &mut world).unwrap();
    assert_refused(world.approve("ben", elevation), Reason::AuthorWaits);
    assert_refused(world.deny("ben", elevation), Reason::AuthorWaits);
    world.approve("cleo", elevation).unwrap();
    Ask::deploy().by("dan", &mut world).unwrap();
    // until the time is over
    world.pass("24h");
    world.tick();
    let elevation = Ask::repair().by("dan", &mut world).unwrap();
    world.approve("ben", elevation).unwrap();
}

#[test]
fn author_waits_as_long_as_the_longer_of_both_policies_says() {
    let mut organisation = Organisation::example();
    organisation.join("dan", "admin");
    let mut world = World::of(POLICY, organisation).unwrap();
    // when the same proposal makes the wait short
    let both =
        world.policy.replacen("[limits]\n", "[limits]\nauthor_waits = \"1s\"\n", 1).replacen(LONGER.0, LONGER.1, 1);
    let replaces = Digest::of(world.policy.as_bytes());
    let proposal = world.propose("dan", ProposedFile::Policy, replaces, both).unwrap();
    world.approve_proposal("olga", proposal).unwrap();
    world.pass("23h");
    assert_refused(Ask::repair().by("dan", &mut world), Reason::AuthorWaits);
}

#[test]
fn author_waits_as_long_as_before_a_proposal_that_made_it_shorter() {
    let mut organisation = Organisation::example();
    organisation.join("dan", "admin");
    let mut world = World::of(POLICY, organisation).unwrap();
    // given a wait that one proposal makes short
    let shorter = ("[limits]\n", "[limits]\nauthor_waits = \"1s\"\n");
    let proposal = propose(&mut world, "dan", shorter).unwrap();
    world.approve_proposal("olga", proposal).unwrap();
    world.policy = policy(&world, shorter);
    // when another widens something, before the time is over that it took
    let mut soon = world.clone();
    soon.pass("23h");
    let proposal = propose(&mut soon, "dan", LONGER).unwrap();
    soon.approve_proposal("olga", proposal).unwrap();
    // then it is as long as it was
    soon.pass("23h");
    assert_refused(Ask::repair().by("dan", &mut soon), Reason::AuthorWaits);
    soon.pass("1h");
    Ask::repair().by("dan", &mut soon).unwrap();
    // and later it is short
    world.pass("24h");
    let proposal = propose(&mut world, "dan", LONGER).unwrap();
    world.approve_proposal("olga", proposal).unwrap();
    world.pass("1s");
    Ask::repair().by("dan", &mut world).unwrap();
}

#[test]
fn no_proposal_widens_what_those_behind_it_may_do() {
    // by the policy: a capability of an own role, an own role that answers for another, a requirement less
    let own = [
        ("[\"policy.propose\", \"directory.propose\"]", "[\"policy.propose\", \"directory.propose\", \"audit.read\"]"),
        ("[roles.security]\n", "[roles.security]\nowner = \"omar\"\n"),
        ("[baseline]\n", "[baseline]\nmanager_missing = [\"admin\"]\n"),
    ];
    for change in own {
        let mut world = World::new();
        assert_refused(propose(&mut world, "omar", change), Reason::OwnStanding);
    }
    // a requirement less, though the requirement itself is no more
    let oath = "[requirements.oath]\nvalid_for = \"never\"\n[roles.revoker]\nrequires = [\"oath\"]\n";
    let mut organisation = Organisation::example();
    organisation.join("omar", "revoker");
    let mut world = World::of(&POLICY.replacen("[roles.revoker]\n", oath, 1), organisation).unwrap();
    assert_refused(propose(&mut world, "omar", (oath, "[roles.revoker]\n")), Reason::OwnStanding);
    // and whoever is given something by it does not approve it either
    let mut world = World::new();
    let proposal = propose(&mut world, "olga", ("[roles.security]\n", "[roles.security]\nowner = \"omar\"\n")).unwrap();
    assert_refused(world.approve_proposal("omar", proposal), Reason::OwnStanding);
    // by the directory: into an approving role, and somebody's manager
    let mut world = World::new();
    let joins = propose_directory(&mut world, "omar", |all| all.join("omar", "commander"));
    assert_refused(joins, Reason::OwnStanding);
    let manages = propose_directory(&mut world, "omar", |all| {
        all.people.get_mut("ana").unwrap().manager = Some("omar".into());
    });
    assert_refused(manages, Reason::OwnStanding);
    // what everybody is given counts where one lacks it
    let strict = POLICY.replacen("requires = [\"screening\"]", "requires = [\"screening\", \"training\"]", 1);
    let dropped = ("requires = [\"screening\", \"training\"]", "requires = [\"screening\"]");
    let mut organisation = Organisation::example();
    organisation.people.get_mut("olga").unwrap().attestations.insert("training".into(), "2025-11-23T12:00:01Z".into());
    let mut world = World::of(&strict, organisation).unwrap();
    let proposal = propose(&mut world, "omar", dropped).unwrap();
    world.approve_proposal("olga", proposal).unwrap();
}

#[test]
fn a_proposal_that_leaves_fewer_than_two_who_could_propose_is_refused() {
    let mut world = World::new();
    let refusal = assert_refused(
        propose_directory(&mut world, "omar", |all| {
            ["olga", "lea", "lou"].into_iter().for_each(|who| all.leave(who, "admin"));
        }),
        Reason::NoQuorum,
    );
    assert_eq!(refusal.facts["capability"], "policy.propose");
    let none = propose(&mut world, "omar", ("[\"policy.propose\", \"directory.propose\"]", "[\"directory.propose\"]"));
    assert_refused(none, Reason::NoQuorum);
    // nor does a journal begin so
    let mut alone = Organisation::example();
    ["olga", "lea", "lou"].into_iter().for_each(|who| alone.leave(who, "admin"));
    assert!(World::of(POLICY, alone).is_err());
}

#[test]
fn two_who_could_propose_are_neither_locked_nor_about_to_leave() {
    let only_two = |world: &mut World| {
        propose_directory(world, "omar", |all| ["lea", "lou"].into_iter().for_each(|who| all.leave(who, "admin")))
    };
    only_two(&mut World::new()).unwrap();
    // one of the two is locked
    let mut world = lockable(POLICY);
    lock(&mut world, Locked::Person("olga".parse().unwrap()), LockMode::Suspend);
    assert_refused(only_two(&mut world), Reason::NoQuorum);
    // or in the role for two days more, which is less than a proposal may wait
    let mut organisation = Organisation::example();
    organisation.accounts.get_mut("olga").unwrap().roles.insert("admin".into(), Some("2026-11-24T12:00:00Z".into()));
    let mut world = World::of(POLICY, organisation.clone()).unwrap();
    let refusal = assert_refused(only_two(&mut world), Reason::NoQuorum);
    assert!(refusal.detail.ends_with("at 2026-11-25T12:00:00.000Z"), "{}", refusal.detail);
    // where it was so before, the proposal is not what does it
    ["lea", "lou"].into_iter().for_each(|who| organisation.leave(who, "admin"));
    let mut world = World::of(POLICY, organisation).unwrap();
    propose(&mut world, "omar", PLANNED).unwrap();
}

#[test]
fn policy_propose_behind_an_entitlement() {
    let mut world = two_administrators_behind_an_entitlement();
    assert_refused(propose(&mut world, "omar", PLANNED), Reason::CapabilityMissing);
    // when the one may, then they propose, and nobody approves who may not as well
    let_change_the_policy(&mut world, "omar");
    let proposal = propose(&mut world, "omar", PLANNED).unwrap();
    assert_refused(world.approve_proposal("olga", proposal), Reason::NotFound);
    let_change_the_policy(&mut world, "olga");
    // a lock on the entitlement stops it like any other grant
    let mut locked = world.clone();
    lock(&mut locked, Locked::Entitlement("policy-change".parse().unwrap()), LockMode::Suspend);
    assert_refused(locked.approve_proposal("olga", proposal), Reason::NotFound);
    // and at its end it is over, by comparison
    let mut late = world.clone();
    late.pass("1h");
    assert_refused(late.approve_proposal("olga", proposal), Reason::NotFound);
    world.approve_proposal("olga", proposal).unwrap();
}
