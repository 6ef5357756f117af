//! Proposals of policy and directory: by whom, instead of what, and what makes one impossible.

use countersign::domain::record::command::{Command, ProposeFile};
use countersign::domain::value::ids::{Digest, Principal};
use countersign::domain::value::refusal::Reason;

use crate::world::{Ask, Organisation, POLICY, World, assert_refused, identity, kinds};
use countersign::domain::record::proposal::ProposedFile;

fn proposal(file: ProposedFile, replaces: Digest, text: &str) -> Command {
    Command::from(ProposeFile { file, replaces, text: text.to_owned(), justification: String::new() })
}

#[test]
fn capability_missing_for_everybody_else() {
    let mut world = World::new();
    let replaces = Digest::of(POLICY.as_bytes());
    let text = world.organisation.to_toml();
    let directory = world.state.organisation().directory_digest().unwrap();
    for who in ["ana", "ben", "aud", "bot"] {
        let policy = proposal(ProposedFile::Policy, replaces, POLICY);
        assert_refused(world.send(who, policy), Reason::CapabilityMissing);
        let proposal = proposal(ProposedFile::Directory, directory, &text);
        let refusal = assert_refused(world.send(who, proposal), Reason::CapabilityMissing);
        assert_eq!(refusal.facts["capability"], "directory.propose");
    }
}

#[test]
fn proposal_stale_unless_it_names_what_it_replaces() {
    let mut world = World::new();
    let stale = Digest::of(b"another");
    let policy = proposal(ProposedFile::Policy, stale, POLICY);
    let refusal = assert_refused(world.send("omar", policy), Reason::ProposalStale);
    assert_eq!(refusal.facts["present"], Digest::of(POLICY.as_bytes()).to_string());
    let text = world.organisation.to_toml();
    let directory = proposal(ProposedFile::Directory, stale, &text);
    assert_refused(world.send("omar", directory), Reason::ProposalStale);
    // two administrators from the same file: the second is refused
    let replaces = Digest::of(POLICY.as_bytes());
    world.propose_policy("Planned work", "Planned").unwrap();
    let second = proposal(ProposedFile::Policy, replaces, POLICY);
    assert_refused(world.send("olga", second), Reason::ProposalStale);
}

#[test]
fn policy_invalid_and_directory_invalid_name_every_mistake_with_its_line_and_change_nothing() {
    let mut world = World::new();
    let before = world.state.organisation().clone();
    let proposal = world.propose_policy("max_duration = \"2h\"", "max_duration = \"25h\"\nmax_durashun = 1");
    let refusal = assert_refused(proposal, Reason::PolicyInvalid);
    let mistakes: Vec<&String> =
        refusal.facts.iter().filter(|(key, _)| key.starts_with("mistake.")).map(|(_, text)| text).collect();
    assert!(mistakes.len() == 2 && mistakes.iter().all(|mistake| mistake.starts_with("line ")), "{mistakes:?}");
    let proposal = world.change_directory(|all| {
        all.people.get_mut("ana").unwrap().manager = Some("nobody".into());
        all.join("ben", "comander");
    });
    assert_refused(proposal, Reason::DirectoryInvalid);
    // a role that policy does not know is found although the file is well-formed
    let refusal = assert_refused(world.change_directory(|all| all.join("ben", "comander")), Reason::DirectoryInvalid);
    assert!(refusal.facts["mistake.0001"].starts_with("line "), "{refusal:?}");
    assert!(*world.state.organisation() == before);
}

#[test]
fn policy_invalid_if_it_contradicts_the_directory_in_force() {
    let mut world = World::new();
    let proposal = world.propose_policy("[roles.auditor]\ncapabilities = [\"audit.read\"]\n", "");
    let refusal = assert_refused(proposal, Reason::PolicyInvalid);
    assert!(refusal.facts["mistake.0001"].contains("auditor"));
}

#[test]
fn nobody_could_propose_after_a_proposal_that_takes_the_last_capability_away() {
    let mut world = World::new();
    let proposal = world.change_directory(|all| {
        ["omar", "olga", "lea", "lou"].into_iter().for_each(|who| all.leave(who, "admin"));
    });
    assert_refused(proposal, Reason::NoQuorum);
    let proposal = world.propose_policy("[\"policy.propose\", \"directory.propose\"]", "[\"policy.propose\"]");
    let refusal = assert_refused(proposal, Reason::NoQuorum);
    assert_eq!(refusal.facts["capability"], "directory.propose");
    // an ineligible member is as none
    let proposal = world.change_directory(|all| {
        ["omar", "olga"].into_iter().for_each(|who| all.leave(who, "admin"));
        all.people.get_mut("lea").unwrap().attestations.clear();
    });
    assert_refused(proposal, Reason::NoQuorum);
    // and a journal is not even filled so
    let mut empty = Organisation::example();
    for who in ["omar", "olga", "lea", "lou"] {
        empty.leave(who, "admin");
    }
    assert!(matches!(World::of(POLICY, empty).err().map(|refusal| refusal.reason), Some(Reason::NoQuorum)));
}

#[test]
fn a_proposal_is_one_batch_whose_first_event_carries_the_request_id() {
    let mut world = World::new();
    world.granted();
    let mut without = world.organisation.clone();
    without.remove_person("ana");
    let replaces = world.state.organisation().directory_digest().unwrap();
    let proposal = world.propose("omar", ProposedFile::Directory, replaces, without.to_toml()).unwrap();
    let events = world.approve_proposal("olga", proposal).unwrap();
    assert!(events[0].request.is_some() && events[1..].iter().all(|event| event.request.is_none()));
    let wanted = [
        "proposal-approved",
        "directory-loaded",
        "account-recorded",
        "account-recorded",
        "person-recorded",
        "grant-revoked",
    ];
    assert_eq!(kinds(&events), wanted);
}

#[test]
fn a_proposal_of_what_is_in_force_records_itself_alone() {
    let mut world = World::new();
    assert_eq!(kinds(&world.change_directory(|_| ()).unwrap()), ["directory-loaded"]);
    assert_eq!(kinds(&world.propose_policy("Planned work", "Planned work").unwrap()), ["policy-loaded"]);
}

#[test]
fn what_the_directory_no_longer_names_is_disabled_and_its_identity_free() {
    let mut world = World::new();
    world.change_directory(|all| all.remove_person("dan")).unwrap();
    let identity = identity("dan").parse().unwrap();
    assert!(world.state.organisation().principal(&identity).is_none());
    // it can be another's
    world
        .change_directory(|all| {
            all.accounts.get_mut("ana").unwrap().identities.insert(identity.to_string());
        })
        .unwrap();
    let wanted = Principal::Account("ana".parse().unwrap());
    assert_eq!(world.state.organisation().principal(&identity), Some(&wanted));
}

#[test]
fn who_left_keeps_no_requirement_in_policy_for_ever() {
    let mut world = World::new();
    let unused = "[requirements.dba]\nvalid_for = \"180d\"\n[requirements.first-aid]\nvalid_for = \"never\"";
    world.propose_policy("[requirements.dba]\nvalid_for = \"180d\"", unused).unwrap();
    world
        .change_directory(|all| {
            let attestations = &mut all.people.get_mut("dan").unwrap().attestations;
            attestations.insert("first-aid".into(), "2026-11-22T12:00:00Z".into());
        })
        .unwrap();
    let drop = |world: &mut World| world.propose_policy("[requirements.first-aid]\nvalid_for = \"never\"", "");
    assert_refused(drop(&mut world), Reason::PolicyInvalid);
    world.change_directory(|all| all.remove_person("dan")).unwrap();
    drop(&mut world).unwrap();
}

#[test]
fn identities_move_between_logins_and_accounts_in_any_order() {
    // given a login of pia's that becomes that of a person before or after her in order
    for other in ["abe", "zoe"] {
        let mut world = World::new();
        let login = identity("pia");
        world
            .change_directory(|all| {
                all.people.get_mut("pia").unwrap().login.clear();
                all.person(other, None).login.insert(login.clone());
            })
            .unwrap();
        let principal = |world: &World| world.state.organisation().principal(&login.parse().unwrap()).cloned();
        assert_eq!(principal(&world), Some(Principal::Person(other.parse().unwrap())));
        // when it becomes an account's, and another's, and a login again
        for account in ["ana", "bot", "ana"] {
            world
                .change_directory(|all| {
                    all.people.get_mut(other).unwrap().login.clear();
                    for (name, it) in &mut all.accounts {
                        it.identities.remove(&login);
                        if name == account {
                            it.identities.insert(login.clone());
                        }
                    }
                })
                .unwrap();
            assert_eq!(principal(&world), Some(Principal::Account(account.parse().unwrap())));
        }
        world
            .change_directory(|all| {
                all.accounts.get_mut("ana").unwrap().identities.remove(&login);
                all.people.get_mut("pia").unwrap().login.insert(login.clone());
            })
            .unwrap();
        assert_eq!(principal(&world), Some(Principal::Person("pia".parse().unwrap())));
    }
}

#[test]
fn a_proposal_makes_eligible_at_once_and_whoever_returns_begins_anew() {
    let mut world = World::new();
    let (id, _) = world.granted();
    world.change_directory(|all| all.leave("ana", "engineer")).unwrap();
    world.change_directory(|all| all.join("ana", "engineer")).unwrap();
    assert_eq!(world.grant_phase(id), "REVOKED");
    assert!(!world.may("ana", "db.read", "prod/eu/db/orders/1"));
    assert!(Ask::repair().by("ana", &mut world).is_ok());
}
