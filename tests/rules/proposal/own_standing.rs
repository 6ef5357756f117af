//! Nobody changes the rules for themselves, by whatever way a file has (design.md 7; known failure J2).

use countersign::domain::record::command::WithdrawProposal;
use countersign::domain::record::proposal::ProposedFile;
use countersign::domain::value::ids::{Digest, ProposalId};
use countersign::domain::value::refusal::{Reason, Refusal};

use crate::proposal::review::{propose, propose_directory};
use crate::world::{Organisation, POLICY, World, assert_refused};

/// Several changes of the policy at once.
fn propose_all(world: &mut World, who: &str, changes: &[(&str, &str)]) -> Result<ProposalId, Refusal> {
    let text = changes.iter().fold(world.policy.clone(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    let replaces = Digest::of(world.policy.as_bytes());
    world.propose(who, ProposedFile::Policy, replaces, text)
}

#[track_caller]
fn gives(refusal: &Refusal, person: &str, what: &str) {
    assert_eq!((refusal.facts["person"].as_str(), refusal.facts["gives"].as_str()), (person, what));
}

#[test]
fn own_standing_two_roles_that_trade_what_they_ask_for() {
    // given an administrator who revokes by one role and answers for security by another, for which she is trained
    let mut organisation = Organisation::example();
    organisation.join("olga", "security");
    let mut world = World::of(POLICY, organisation.clone()).unwrap();
    // when what the one asks is moved to the other
    let trade = [
        ("[roles.security]\nrequires = [\"training\"]", "[roles.security]"),
        ("[roles.admin]\n", "[roles.admin]\nrequires = [\"training\"]\n"),
    ];
    let refusal = assert_refused(propose_all(&mut world, "olga", &trade), Reason::OwnStanding);
    gives(&refusal, "olga", "do without `training`");
    // but where everybody is asked for it from now on, nobody does without it
    let to_all = [
        ("[roles.security]\nrequires = [\"training\"]", "[roles.security]"),
        ("requires = [\"screening\"]", "requires = [\"screening\", \"training\"]"),
    ];
    propose_all(&mut world, "olga", &to_all).unwrap();
}

#[test]
fn own_standing_a_manager_who_is_no_peer_any_more() {
    // given a manager who is in the requesting role herself, and so approves nothing for her reports
    let mut organisation = Organisation::example();
    organisation.person("mia", None);
    organisation.account("mia", "mia").roles = [("admin".into(), None), ("engineer".into(), None)].into();
    organisation.people.get_mut("ana").unwrap().manager = Some("mia".into());
    let mut world = World::of(POLICY, organisation).unwrap();
    // when she takes herself out of it
    let refusal = propose_directory(&mut world, "mia", |all| all.leave("mia", "engineer"));
    gives(&assert_refused(refusal, Reason::OwnStanding), "mia", "approve `managed`");
    // then another does it
    propose_directory(&mut world, "olga", |all| all.leave("mia", "engineer")).unwrap();
}

#[test]
fn own_standing_a_certificate_that_means_somebody_else() {
    // given an administrator with two certificates, who owns a machine
    let mut organisation = Organisation::example();
    organisation.accounts.get_mut("bot").unwrap().owner = Some("omar".into());
    let spare = |who: &str| format!("spiffe://northwind.example/{who}/spare");
    for who in ["omar", "bot"] {
        organisation.accounts.get_mut(who).unwrap().identities.insert(spare(who));
    }
    let world = World::of(POLICY, organisation).unwrap();
    for from in ["omar", "bot"] {
        let identity = spare(from);
        let moves = |all: &mut Organisation| {
            all.accounts.get_mut(from).unwrap().identities.remove(&identity);
            all.accounts.get_mut("ana").unwrap().identities.insert(identity.clone());
        };
        // when one of them is to be an engineer's
        let mut world = world.clone();
        let refusal = assert_refused(propose_directory(&mut world, "omar", moves), Reason::OwnStanding);
        gives(&refusal, "omar", &format!("what is `ana`'s, by `{identity}`"));
        // then another may do it; nor do they approve it
        let proposal = propose_directory(&mut world, "olga", moves).unwrap();
        assert_refused(world.approve_proposal("omar", proposal), Reason::OwnStanding);
    }
}

#[test]
fn own_standing_a_baseline_that_gives_everybody_what_an_entitlement_offers() {
    let mut world = World::new();
    let baseline = "allows = [{ actions = [\"metadata.read\"], resources = [\"status/**\"] }]";
    let with = |scope: &str| baseline.replace("}]", &format!("}}, {scope}]"));
    let past = with("{ actions = [\"db.read\"], resources = [\"prod/eu/db/**\"] }");
    let refusal = assert_refused(propose(&mut world, "omar", (baseline, &past)), Reason::OwnStanding);
    gives(&refusal, "omar", "without a grant: db.read on prod/eu/db/**");
    // nor in one step with taking the entitlements away
    let both = [(baseline, past.as_str()), ("resources = [\"prod/**\"]", "resources = [\"elsewhere/**\"]")];
    assert_refused(propose_all(&mut world, "omar", &both), Reason::OwnStanding);
    // what no entitlement offers, everybody may be given; and what they had
    let other = with("{ actions = [\"metadata.read\"], resources = [\"wiki/**\"] }");
    propose(&mut world, "omar", (baseline, &other)).unwrap();
    let mut world = World::of(&POLICY.replacen(baseline, &past, 1), Organisation::example()).unwrap();
    propose(&mut world, "omar", ("Planned work", "Planned")).unwrap();
}

#[test]
fn own_standing_a_requirement_that_would_lapse_while_the_author_waits() {
    // given an administrator whose training lapses within the day, and another who has a month
    let strict = POLICY.replacen("requires = [\"screening\"]", "requires = [\"screening\", \"training\"]", 1);
    let mut organisation = Organisation::example();
    let mut trained = |who: &str, at: &str| {
        organisation.people.get_mut(who).unwrap().attestations.insert("training".into(), at.into());
    };
    trained("omar", "2025-11-23T11:59:59Z");
    trained("olga", "2025-12-22T12:00:00Z");
    let mut world = World::of(&strict, organisation).unwrap();
    for change in [
        ("requires = [\"screening\", \"training\"]", "requires = [\"screening\"]"),
        ("valid_for = \"365d\"", "valid_for = \"730d\""),
    ] {
        assert_refused(propose(&mut world, "omar", change), Reason::OwnStanding);
        let proposal = propose(&mut world, "olga", change).unwrap();
        assert_refused(world.approve_proposal("omar", proposal), Reason::OwnStanding);
        world.clone().approve_proposal("lou", proposal).unwrap();
        world
            .send(
                "olga",
                countersign::domain::record::command::Command::from(WithdrawProposal {
                    proposal,
                    reason: String::new(),
                }),
            )
            .unwrap();
    }
}

#[test]
fn own_standing_fewer_who_decide_on_who_is_admitted() {
    let admitting = "[baseline]\napproval = [{ by = [\"security\"], count = 1 }, { by = [\"@manager\"], count = 1 }]\n";
    let policy = POLICY.replacen("[baseline]\n", admitting, 1);
    let only = |who: &str| format!("[baseline]\napproval = [{{ by = [\"{who}\"], count = 1 }}]\n");
    let mut organisation = Organisation::example();
    organisation.join("olga", "security");
    let mut world = World::of(&policy, organisation).unwrap();
    // the one who is left to decide does not make it so
    let refusal = assert_refused(propose(&mut world, "omar", (admitting, &only("@manager"))), Reason::OwnStanding);
    gives(&refusal, "omar", "decide who gets an account");
    assert_refused(propose(&mut world, "olga", (admitting, &only("security"))), Reason::OwnStanding);
    // another does, and one more who decides is nobody's gain
    propose(&mut world, "lea", (admitting, &only("security"))).unwrap();
    let more = admitting.replacen("}]\n", "}, { by = [\"commander\"], count = 1 }]\n", 1);
    propose(&mut world, "omar", (admitting, &more)).unwrap();
}
