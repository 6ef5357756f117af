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
    // given a manager who is who is in the requesting role too, and so approves nothing for their reports
    let mut organisation = Organisation::example();
    organisation.person("mia", None);
    organisation.account("mia", "mia").roles = [("admin".into(), None), ("engineer".into(), None)].into();
    organisation.people.get_mut("ana").unwrap().manager = Some("mia".into());
    let mut world = World::of(POLICY, organisation).unwrap();
    // when they are out of it
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

/// What a directory file would give to `omar`, whether they propose it or approve what `lea` proposes.
#[track_caller]
fn never_to_omar(world: &World, change: impl Fn(&mut Organisation), what: &str) {
    let refusal = assert_refused(propose_directory(&mut world.clone(), "omar", &change), Reason::OwnStanding);
    gives(&refusal, "omar", what);
    let mut world = world.clone();
    let proposal = propose_directory(&mut world, "lea", &change).unwrap();
    assert_refused(world.approve_proposal("omar", proposal), Reason::OwnStanding);
    // for two others there is nothing in the way
    world.approve_proposal("lou", proposal).unwrap();
}

const SPARE: &str = "omar-spare";
const UNTIL: &str = "2026-12-01T00:00:00Z";

/// An administrator with a second account and a machine, neither of which is of much use.
fn with_spares(change: impl FnOnce(&mut Organisation)) -> World {
    let mut organisation = Organisation::example();
    organisation.account(SPARE, "omar");
    organisation.machine("omars-bot", "omar", "robot").audience = vec!["prod/eu/**".into()];
    change(&mut organisation);
    let checks =
        "[roles.robot]\nfor = \"machines\"\n[roles.point]\nfor = \"machines\"\ncapabilities = [\"access.check\"]\n";
    World::of(&POLICY.replacen("[roles.robot]\nfor = \"machines\"\n", checks, 1), organisation).unwrap()
}

#[test]
fn own_standing_a_later_end_of_an_account() {
    for disabled in [None, Some("lost".to_owned())] {
        let mut world = with_spares(|all| {
            let spare = all.accounts.get_mut(SPARE).unwrap();
            (spare.until, spare.disabled) = (Some(UNTIL.into()), disabled.clone());
        });
        // also once it is over
        for passed in ["1h", "30d"] {
            world.pass(passed);
            let until = |it: Option<&str>| {
                let it = it.map(str::to_owned);
                move |all: &mut Organisation| all.accounts.get_mut(SPARE).unwrap().until.clone_from(&it)
            };
            let what = "be used until 2027-12-01T00:00:00.000Z";
            let more = |what: &str| format!("more by account `{SPARE}`: {what}");
            never_to_omar(&world, until(Some("2027-12-01T00:00:00Z")), &more(what));
            never_to_omar(&world, until(None), &more("be used without an end"));
            let sooner = until(Some("2026-11-24T00:00:00Z"));
            propose_directory(&mut world.clone(), "omar", sooner).unwrap();
        }
    }
}

#[test]
fn own_standing_an_account_that_was_disabled() {
    let world = with_spares(|all| all.accounts.get_mut(SPARE).unwrap().disabled = Some("lost".into()));
    let enabled = |all: &mut Organisation| all.accounts.get_mut(SPARE).unwrap().disabled = None;
    never_to_omar(&world, enabled, &format!("more by account `{SPARE}`: be in use again"));
}

#[test]
fn own_standing_an_audience_of_what_does_not_check_yet() {
    for disabled in [None, Some("lost".to_owned())] {
        let world = with_spares(|all| all.accounts.get_mut("omars-bot").unwrap().disabled = disabled.clone());
        let audience = |pattern: &'static str| {
            move |all: &mut Organisation| all.accounts.get_mut("omars-bot").unwrap().audience = vec![pattern.into()]
        };
        let what = "more by account `omars-bot`: check `prod/**` once a role lets it check";
        never_to_omar(&world, audience("prod/**"), what);
        propose_directory(&mut world.clone(), "omar", audience("prod/eu/db/**")).unwrap();
        // nor another certificate
        let named = |all: &mut Organisation| {
            let identities = &mut all.accounts.get_mut("omars-bot").unwrap().identities;
            identities.insert("spiffe://northwind.example/other".into());
        };
        never_to_omar(&world, named, "more by account `omars-bot`: be `spiffe://northwind.example/other`");
    }
}

#[test]
fn own_standing_less_to_check_by_an_author_who_checks() {
    let mut world = with_spares(|all| {
        let bot = all.accounts.get_mut("omars-bot").unwrap();
        bot.roles.insert("point".into(), None);
    });
    let less = |all: &mut Organisation| all.accounts.get_mut("omars-bot").unwrap().audience = vec!["prod/eu/db".into()];
    propose_directory(&mut world, "omar", less).unwrap();
}

#[test]
fn own_standing_what_an_author_has_by_an_account_that_is_shut() {
    // given somebody who proposes by a machine, and whose own account is disabled
    let roles = "[roles.pipeline]\nfor = \"machines\"\ncapabilities = [\"directory.propose\"]\n[roles.robot]";
    let mut organisation = Organisation::example();
    organisation.accounts.get_mut("odo").unwrap().disabled = Some("lost".into());
    organisation.join("bot", "pipeline");
    let mut world = World::of(&POLICY.replacen("[roles.robot]", roles, 1), organisation).unwrap();
    // when the file makes them somebody's manager
    let managed = |all: &mut Organisation| all.people.get_mut("aud").unwrap().manager = Some("odo".into());
    let refusal = assert_refused(propose_directory(&mut world, "bot", managed), Reason::OwnStanding);
    gives(&refusal, "odo", "answer for `aud`");
    propose_directory(&mut world, "lea", managed).unwrap();
}

#[test]
fn own_standing_to_decide_for_whom_has_no_manager_any_more() {
    let policy = POLICY.replacen("[baseline]\n", "[baseline]\nmanager_missing = [\"people-office\"]\n", 1);
    let policy = policy.replacen("[roles.robot]", "[roles.people-office]\n[roles.robot]", 1);
    let mut organisation = Organisation::example();
    organisation.join("omar", "people-office");
    let mut world = World::of(&policy, organisation).unwrap();
    let without = |all: &mut Organisation| all.people.get_mut("pia").unwrap().manager = None;
    let refusal = assert_refused(propose_directory(&mut world, "omar", without), Reason::OwnStanding);
    gives(&refusal, "omar", "decide for `pia`, who has no manager");
    propose_directory(&mut world, "lea", without).unwrap();
}

#[test]
fn own_standing_somebody_to_ask_for_by_a_machine_that_asks_for_people() {
    // given a machine of omar's that asks for people, and nobody whom it could name
    let mut organisation = Organisation::example();
    for who in ["ana", "dan"] {
        organisation.leave(who, "engineer");
    }
    organisation.machine("omars-pipe", "omar", "robot").acts_for_people = true;
    let mut world = World::of(POLICY, organisation).unwrap();
    let joins = |all: &mut Organisation| all.join("ana", "engineer");
    let refusal = assert_refused(propose_directory(&mut world, "omar", joins), Reason::OwnStanding);
    gives(&refusal, "omar", "ask for `deploy`");
    propose_directory(&mut world, "lea", joins).unwrap();
}

#[test]
fn own_standing_an_earlier_attestation_where_the_recorded_one_is_ahead() {
    let mut organisation = Organisation::example();
    let attested = |all: &mut Organisation, at: &str| {
        all.people.get_mut("omar").unwrap().attestations.insert("dba".into(), at.into());
    };
    attested(&mut organisation, "2027-06-01T00:00:00Z");
    let world = World::of(POLICY, organisation).unwrap();
    let earlier = |all: &mut Organisation| attested(all, "2026-11-01T00:00:00Z");
    never_to_omar(&world, earlier, "an attestation of `dba` at 2026-11-01T00:00:00.000Z");
}
