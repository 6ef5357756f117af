//! What a directory file means once commands and HR events have changed people (design.md 7, last paragraph): it gives a
//! touched person nothing, still takes away, and leaves alone what it never knew.

use std::collections::{BTreeMap, BTreeSet};

use countersign::domain::directory::{
    AccountKind, AccountState, ActsFor, ApprovedBy, Confirm, Cut, Disabling, Employment, Membership, Move, Person,
};
use countersign::domain::record::enrolment::Ask as Asked;
use countersign::domain::record::proposal::ProposedFile;
use countersign::domain::value::ids::{CampaignId, EnrolmentId, Principal};
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::time::Timestamp;

use crate::support::records::{
    account, approved, change_account, enrolled, joined, membership, person, record, service_team, touch,
};
use crate::world::{Ask, NOON, World, assert_refused, at, identity, kinds, span};

#[track_caller]
fn assert_gives<T: std::fmt::Debug>(result: Result<T, Refusal>, person: &str, what: &str) {
    let refusal = assert_refused(result, Reason::PersonTouched);
    assert_eq!((&*refusal.facts["person"], &*refusal.facts["gives"]), (person, what), "{refusal}");
    assert!(refusal.detail.contains(person), "{refusal}");
}

#[test]
fn a_touched_person_gets_no_role_attestation_identity_account_or_other_manager_from_a_file() {
    let mut world = World::new();
    touch(&mut world, "ana", |_| ());
    let before = world.state.organisation().clone();
    let later = "2026-11-22T13:00:00Z";
    assert_gives(
        world.change_directory(|all| all.join("ana-lab", "engineer")),
        "ana",
        "the role `engineer` of `ana-lab`",
    );
    let attest = world.change_directory(|all| {
        all.people.get_mut("ana").unwrap().attestations.insert("dba".into(), "2026-11-22T12:00:01Z".into());
    });
    assert_gives(attest, "ana", "an attestation of `dba` at 2026-11-22T12:00:01.000Z");
    let moved = world.change_directory(|all| all.people.get_mut("ana").unwrap().manager = Some("omar".into()));
    assert_gives(moved, "ana", "the manager `omar`");
    let named = world.change_directory(|all| {
        all.accounts.get_mut("ana").unwrap().identities.insert(identity("other"));
    });
    assert_gives(named, "ana", "the identity `spiffe://northwind.example/other`");
    let login = world.change_directory(|all| {
        all.people.get_mut("ana").unwrap().login.insert(identity("other"));
    });
    assert_gives(login, "ana", "the identity `spiffe://northwind.example/other`");
    let another = world.change_directory(|all| {
        all.account("ana-new", "ana");
    });
    assert_gives(another, "ana", "account `ana-new`");
    let machine = world.change_directory(|all| {
        all.accounts.get_mut("bot").unwrap().owner = Some("ana".into());
    });
    assert_gives(machine, "ana", "account `bot`");
    assert!(*world.state.organisation() == before, "nothing was applied");
    // a later end is one too; everything at once is named, with how much more there is
    change_account(&mut world, "ana", |it| {
        it.roles.get_mut("engineer").unwrap().until = Some(at("2026-11-22T12:30:00Z"));
    });
    let proposal = world.change_directory(|all| {
        all.accounts.get_mut("ana").unwrap().roles.insert("engineer".into(), Some(later.into()));
        all.join("ana-lab", "engineer");
    });
    let refusal = assert_refused(proposal, Reason::PersonTouched);
    assert!(refusal.facts["given.0001"].contains("up to 2026-11-22T13:00:00.000Z") && refusal.facts.len() == 4);
    assert!(refusal.detail.ends_with("and 1 more"), "{refusal}");
    // who is not touched gets all of it
    world
        .change_directory(|all| {
            all.people.get_mut("dan").unwrap().manager = Some("omar".into());
            all.join("odo", "auditor");
        })
        .unwrap();
    assert!(account(&world, "odo").roles.contains_key("auditor"));
}

#[test]
fn taking_away_stays_possible() {
    let mut world = World::new();
    let (granted, _) = world.granted();
    touch(&mut world, "ana", |_| ());
    touch(&mut world, "dan", |_| ());
    touch(&mut world, "odo", |_| ());
    // an earlier end, an older attestation, a role, a machine, a whole person
    world
        .change_directory(|all| {
            all.accounts.get_mut("ana").unwrap().roles.insert("engineer".into(), Some("2026-11-22T12:10:00Z".into()));
            all.people.get_mut("ana").unwrap().attestations.insert("dba".into(), "2026-06-01T00:00:00Z".into());
        })
        .unwrap();
    assert_eq!(membership(&world, "ana", "engineer").until, Some(at("2026-11-22T12:10:00Z")));
    assert_eq!(world.grant_of(granted).unwrap().end, at("2026-11-22T12:10:00Z"));
    world.change_directory(|all| all.leave("ana", "engineer")).unwrap();
    assert_eq!(world.grant_phase(granted), "REVOKED");
    world.change_directory(|all| all.accounts.retain(|name, _| name != "bot")).unwrap();
    assert!(matches!(account(&world, "bot").state, AccountState::Disabled { because: Disabling::Directory, .. }));
    world.change_directory(|all| all.accounts.get_mut("ana").unwrap().disabled = Some("on leave".into())).unwrap();
    assert_refused(Ask::repair().by("ana", &mut world), Reason::AccountDisabled);
    world.change_directory(|all| all.remove_person("dan")).unwrap();
    assert_eq!(person(&world, "dan").employment, Employment::Left);
    // and none of it comes back by a file, which does not enable what it disabled
    assert_gives(world.change_directory(|all| all.join("ana", "engineer")), "ana", "the role `engineer` of `ana`");
    let back = world.change_directory(|all| {
        all.person("dan", Some("ines"));
    });
    assert_gives(back, "dan", "employment");
    let enabled = world.change_directory(|all| all.accounts.get_mut("ana").unwrap().disabled = None);
    assert_gives(enabled, "ana", "more by account `ana`: be in use again");
    // of whom nobody has touched it does
    world.change_directory(|all| all.accounts.get_mut("cleo").unwrap().disabled = Some("on leave".into())).unwrap();
    world.change_directory(|all| all.accounts.get_mut("cleo").unwrap().disabled = None).unwrap();
    assert_eq!(account(&world, "cleo").state, AccountState::Active);
}

#[test]
fn a_touched_person_gets_no_later_end_or_wider_audience_of_an_account_from_a_file() {
    let mut organisation = crate::world::Organisation::example();
    let end = |it: &mut crate::world::organisation::Account, at: &str| it.until = Some(at.into());
    end(organisation.accounts.get_mut("ana").unwrap(), "2026-12-01T00:00:00Z");
    organisation.accounts.get_mut("bot").unwrap().audience = vec!["prod/eu/**".into()];
    let mut world = World::of(crate::world::POLICY, organisation).unwrap();
    touch(&mut world, "ana", |_| ());
    touch(&mut world, "odo", |_| ());
    // given also an account that is over, when a file says that it lasts longer, then nothing of it is in force
    for passed in ["1h", "30d"] {
        world.pass(passed);
        let later = world.change_directory(|all| end(all.accounts.get_mut("ana").unwrap(), "2027-12-01T00:00:00Z"));
        assert_gives(later, "ana", "more by account `ana`: be used until 2027-12-01T00:00:00.000Z");
        let endless = world.change_directory(|all| all.accounts.get_mut("ana").unwrap().until = None);
        assert_gives(endless, "ana", "more by account `ana`: be used without an end");
    }
    let wider = world.change_directory(|all| {
        all.accounts.get_mut("bot").unwrap().audience = vec!["prod/**".into()];
    });
    assert_gives(wider, "odo", "more by account `bot`: check `prod/**` once a role lets it check");
    // less stays possible
    world
        .change_directory(|all| {
            end(all.accounts.get_mut("ana").unwrap(), "2026-11-30T00:00:00Z");
            all.accounts.get_mut("bot").unwrap().audience = vec!["prod/eu/db/**".into()];
        })
        .unwrap();
    assert_eq!(account(&world, "ana").until, Some(at("2026-11-30T00:00:00Z")));
}

#[test]
fn the_same_file_again_neither_gives_back_what_hr_took_nor_takes_what_enrolments_gave() {
    // given a transfer that cut ana's role, a lapse that disabled dan, a file that knows nothing of zed and zed's machine
    let mut world = World::new();
    let end = at(NOON).plus(span("14d"));
    touch(&mut world, "ana", |it| {
        it.manager = Some("odo".parse().unwrap());
        it.attestations.insert("dba".parse().unwrap(), at("2026-11-22T12:00:00Z"));
    });
    change_account(&mut world, "ana", |it| {
        *it.roles.get_mut("engineer").unwrap() =
            Membership { until: Some(end), cut: Some(Cut { until: None }), ..Membership::default() };
    });
    touch(&mut world, "dan", |_| ());
    change_account(&mut world, "dan", |it| {
        it.state = AccountState::Disabled { reason: "`screening` lapsed".into(), because: Disabling::Lapse };
        it.roles.get_mut("engineer").unwrap().suspended = Some(at(NOON));
    });
    joined(&mut world, "zed", "ines");
    let given = ApprovedBy { enrolment: EnrolmentId::from(uuid::Uuid::from_u128(1)), persons: BTreeSet::new() };
    let engineer = Membership { approved: Some(given), since: Some(at(NOON)), ..Membership::default() };
    enrolled(&mut world, "zed", service_team("zed"), [("engineer".to_owned(), engineer)].into());
    let kind = AccountKind::Service { owner: "zed".parse().unwrap(), acts_for: ActsFor::Itself };
    enrolled(&mut world, "zed-bot", kind, [("robot".to_owned(), Membership::default())].into());
    let before = world.state.organisation().clone();
    // when the file that names ana's old manager is proposed, it is refused
    assert_gives(world.change_directory(|_| ()), "ana", "the manager `ines`");
    // when it says nothing of the manager, then nothing changes at all
    let events = world.change_directory(|all| all.people.get_mut("ana").unwrap().manager = None).unwrap();
    assert_eq!(kinds(&events), ["directory-loaded"]);
    let after = world.state.organisation();
    assert!(after.people() == before.people() && after.accounts() == before.accounts());
    assert_eq!(person(&world, "ana").manager, Some("odo".parse().unwrap()));
}

#[test]
fn whom_the_file_names_after_all_keeps_what_was_given_but_what_an_account_leaves_out_goes() {
    let mut world = World::new();
    joined(&mut world, "zed", "ines");
    let given = ApprovedBy { enrolment: EnrolmentId::from(uuid::Uuid::from_u128(1)), persons: BTreeSet::new() };
    let role = |name: &str| (name.to_owned(), Membership { approved: Some(given.clone()), ..Membership::default() });
    enrolled(&mut world, "zed", service_team("zed"), [role("engineer")].into());
    touch(&mut world, "zed", |it| {
        it.login.clear();
        it.attestations.insert("screening".parse().unwrap(), at(NOON));
        it.attested_by.insert("screening".parse().unwrap(), Principal::Account("bot".parse().unwrap()));
    });
    // named as a person alone: nothing changes
    let add = |all: &mut crate::world::Organisation| {
        let zed = all.person("zed", Some("ines"));
        zed.attestations.clear();
        zed.login.insert(identity("zed"));
    };
    assert_eq!(kinds(&world.change_directory(add).unwrap()), ["directory-loaded"]);
    assert_eq!(
        world.state.organisation().principal(&identity("zed").parse().unwrap()),
        Some(&Principal::Account("zed".parse().unwrap()))
    );
    // named with the account, and the role left out of it: the role goes
    world
        .change_directory(|all| {
            all.account("zed", "zed");
        })
        .unwrap();
    assert!(account(&world, "zed").roles.is_empty() && account(&world, "zed").state == AccountState::Active);
    assert!(person(&world, "zed").attestations.contains_key("screening"));
}

#[test]
fn a_machine_that_was_taken_over_is_not_given_back_by_the_file_of_before() {
    let mut world = World::new();
    let kind = |owner: &str| AccountKind::Service { owner: owner.parse().unwrap(), acts_for: ActsFor::Itself };
    let requested = approved(&mut world, Asked::TakeOver { account: "bot".parse().unwrap() }, "dan");
    record(&mut world, requested);
    change_account(&mut world, "bot", |it| it.kind = kind("dan"));
    assert_gives(world.change_directory(|_| ()), "dan", "account `bot`");
    // a file that names the new owner, or leaves the machine out, changes nothing
    world.change_directory(|all| all.accounts.get_mut("bot").unwrap().owner = Some("dan".into())).unwrap();
    world.change_directory(|all| all.accounts.retain(|name, _| name != "bot")).unwrap();
    assert_eq!((&account(&world, "bot").kind, &account(&world, "bot").state), (&kind("dan"), &AccountState::Active));
    assert_eq!(account(&world, "bot").roles.len(), 1);
}

#[test]
fn what_a_source_recorded_stands_against_an_older_file() {
    let mut world = World::new();
    world.pass("10d");
    let renewed = world.at;
    touch(&mut world, "ana", |it| {
        it.attestations.insert("dba".parse().unwrap(), renewed);
        it.attested_by.insert("dba".parse().unwrap(), Principal::Account("bot".parse().unwrap()));
        // taken back by a correction
        it.attestations.remove("training");
    });
    assert_gives(world.change_directory(|_| ()), "ana", "an attestation of `training` at 2026-11-22T12:00:00.000Z");
    world
        .change_directory(|all| {
            all.people.get_mut("ana").unwrap().attestations.remove("training");
        })
        .unwrap();
    assert_eq!(person(&world, "ana").attestations["dba"], renewed);
    assert_eq!(person(&world, "ana").attested_by.len(), 1);
    assert!(!person(&world, "ana").attestations.contains_key("training"));
}

#[test]
fn a_file_that_names_who_left_by_hr_is_refused_and_one_that_does_not_changes_nothing_of_them() {
    let mut world = World::new();
    touch(&mut world, "dan", |it| it.employed_until = Some(at(NOON).plus(span("1h"))));
    world.change_directory(|_| ()).unwrap();
    assert_eq!(person(&world, "dan").employed_until, Some(at(NOON).plus(span("1h"))), "the last day stays");
    // over by comparison, though no timer has run
    world.pass("1h");
    assert_gives(world.change_directory(|_| ()), "dan", "employment");
    // and as recorded
    touch(&mut world, "dan", |it| {
        *it = Person { employment: Employment::Left, touched: true, ..Person::default() };
    });
    change_account(&mut world, "dan", |it| {
        it.state = AccountState::Disabled { reason: "left".into(), because: Disabling::Termination };
        it.roles.clear();
    });
    assert_gives(world.change_directory(|_| ()), "dan", "employment");
    let before = account(&world, "dan").clone();
    world.change_directory(|all| all.remove_person("dan")).unwrap();
    assert_eq!(*account(&world, "dan"), before, "the identity stays, so that whoami can say why");
    // the identity can be somebody else's, and is then no longer of the account that is shut
    world
        .change_directory(|all| {
            all.accounts.get_mut("ana").unwrap().identities.insert(identity("dan"));
        })
        .unwrap();
    assert!(account(&world, "dan").identities.is_empty());
    let wanted = Principal::Account("ana".parse().unwrap());
    assert_eq!(world.state.organisation().principal(&identity("dan").parse().unwrap()), Some(&wanted));
}

#[test]
fn an_owner_of_a_role_who_left_by_hr_holds_up_no_proposal() {
    let mut world = World::new();
    for report in ["ana", "dan", "ben", "cleo", "pia"] {
        touch(&mut world, report, |it| it.manager = Some("omar".parse().unwrap()));
    }
    touch(&mut world, "ines", |it| *it = Person { employment: Employment::Left, touched: true, ..Person::default() });
    change_account(&mut world, "ines", |it| it.roles.clear());
    world
        .change_directory(|all| {
            all.remove_person("ines");
            all.leave("dan", "engineer");
        })
        .unwrap();
    assert!(account(&world, "dan").roles.is_empty());
}

#[test]
fn identity_taken_if_the_file_names_one_of_what_it_never_knew() {
    let mut world = World::new();
    joined(&mut world, "zed", "ines");
    let login = world.change_directory(|all| {
        all.accounts.get_mut("ana").unwrap().identities.insert(identity("zed"));
    });
    let refusal = assert_refused(login, Reason::IdentityTaken);
    assert!(refusal.detail.contains("the person `zed`"), "{refusal}");
    touch(&mut world, "zed", |it| it.login.clear());
    enrolled(&mut world, "zed", service_team("zed"), BTreeMap::new());
    for as_login in [false, true] {
        let taken = world.change_directory(|all| {
            if as_login {
                all.people.get_mut("pia").unwrap().login.insert(identity("zed"));
            } else {
                all.accounts.get_mut("ana").unwrap().identities.insert(identity("zed"));
            }
        });
        let refusal = assert_refused(taken, Reason::IdentityTaken);
        assert!(refusal.detail.contains("the account `zed`"), "{refusal}");
    }
}

#[test]
fn role_conflict_counts_what_enrolments_gave_and_not_what_is_over() {
    let mut world = World::new();
    joined(&mut world, "zed", "ines");
    let over = Membership { until: Some(at(NOON).plus(span("1h"))), ..Membership::default() };
    let roles = [("engineer".to_owned(), over), ("commander".to_owned(), Membership::default())];
    enrolled(&mut world, "zed", service_team("zed"), roles.into());
    assert_refused(world.change_directory(|_| ()), Reason::RoleConflict);
    assert_refused(world.propose_policy("Planned work", "Planned"), Reason::RoleConflict);
    world.pass("1h");
    world.change_directory(|_| ()).unwrap();
    world.propose_policy("Planned work", "Planned").unwrap();
}

#[test]
fn manager_cycle_of_the_file_together_with_hr() {
    let mut world = World::new();
    touch(&mut world, "ines", |it| it.manager = Some("odo".parse().unwrap()));
    let circle = world.change_directory(|all| {
        all.people.get_mut("ines").unwrap().manager = None;
        all.people.get_mut("odo").unwrap().manager = Some("ana".into());
    });
    assert_refused(circle, Reason::ManagerCycle);
    // a transfer whose time has come counts, though no timer has run
    let mut world = World::new();
    touch(&mut world, "ines", |it| {
        it.moves = vec![Move { at: at(NOON).plus(span("1h")), manager: Some("odo".parse().unwrap()) }];
    });
    world.pass("1h");
    assert_gives(world.change_directory(|_| ()), "ines", "the manager `omar`");
    let circle = world.change_directory(|all| {
        all.people.get_mut("ines").unwrap().manager = None;
        all.people.get_mut("odo").unwrap().manager = Some("ana".into());
    });
    assert_refused(circle, Reason::ManagerCycle);
}

#[test]
fn what_the_broker_keeps_for_itself_stays_with_whom_nobody_touched_too() {
    let mut world = World::new();
    let confirm = Confirm { campaign: CampaignId::from(uuid::Uuid::from_u128(1)), by: at(NOON).plus(span("7d")) };
    change_account(&mut world, "ana", |it| {
        let engineer = it.roles.get_mut("engineer").unwrap();
        engineer.confirm = Some(confirm);
        engineer.suspended = Some(at(NOON));
    });
    world
        .change_directory(|all| {
            all.accounts.get_mut("ana").unwrap().roles.insert("engineer".into(), Some("2027-01-01T00:00:00Z".into()));
        })
        .unwrap();
    let engineer = membership(&world, "ana", "engineer");
    assert_eq!((engineer.confirm, engineer.suspended), (Some(confirm), Some(at(NOON))));
    assert_eq!((engineer.until, engineer.since), (Some(at("2027-01-01T00:00:00Z")), None));
    // a lapse that disabled an account is not undone by a file
    change_account(&mut world, "ben", |it| {
        it.state = AccountState::Disabled { reason: "`screening` lapsed".into(), because: Disabling::Lapse };
    });
    world.change_directory(|_| ()).unwrap();
    assert!(matches!(account(&world, "ben").state, AccountState::Disabled { because: Disabling::Lapse, .. }));
    // whoever is new holds it since the proposal, and another person's account begins anew
    world.pass("1h");
    world
        .change_directory(|all| {
            all.join("ana-lab", "engineer");
            all.leave("ana", "engineer");
            all.accounts.get_mut("dan").unwrap().person = Some("pia".into());
        })
        .unwrap();
    assert_eq!(membership(&world, "ana-lab", "engineer").since, Some(world.at));
    assert_eq!(membership(&world, "dan", "engineer").since, Some(world.at));
}

#[test]
fn own_standing_no_proposal_widens_what_its_author_may_do() {
    let mut world = World::new();
    let changes: [fn(&mut crate::world::Organisation); 5] = [
        |all| all.join("omar", "auditor"),
        |all| {
            all.account("omar-two", "omar");
        },
        |all| all.people.get_mut("omar").unwrap().manager = Some("olga".into()),
        |all| {
            all.people.get_mut("omar").unwrap().attestations.insert("dba".into(), "2026-11-22T12:00:01Z".into());
        },
        |all| all.accounts.get_mut("bot").unwrap().owner = Some("omar".into()),
    ];
    for change in changes {
        let mut organisation = world.organisation.clone();
        change(&mut organisation);
        let replaces = world.state.organisation().directory_digest().unwrap();
        let proposal = world.propose("omar", ProposedFile::Directory, replaces, organisation.to_toml());
        let refusal = assert_refused(proposal, Reason::OwnStanding);
        assert_eq!(refusal.facts["person"], "omar");
    }
    // somebody else may give it, and one may take from oneself
    let mut organisation = world.organisation.clone();
    organisation.join("omar", "auditor");
    let replaces = world.state.organisation().directory_digest().unwrap();
    let text = organisation.to_toml();
    let proposal = world.propose("olga", ProposedFile::Directory, replaces, text);
    assert_refused(world.approve_proposal("omar", proposal.clone().unwrap()), Reason::OwnStanding);
    // whom it concerns neither proposes nor approves it: a third who may does
    world.approve_proposal("lou", proposal.unwrap()).unwrap();
    world.organisation = organisation;
    world.change_directory(|all| all.leave("omar", "auditor")).unwrap();
}

#[test]
fn a_policy_proposal_changes_no_end_that_was_given() {
    let mut world = World::new();
    world.propose_policy("[roles.engineer]\n", "[roles.engineer]\nlongest_membership = \"30d\"\n").unwrap();
    assert_eq!(membership(&world, "ana", "engineer").until, None, "a new policy records no memberships");
    let end = at(NOON).plus(span("20d"));
    touch(&mut world, "ana", |_| ());
    change_account(&mut world, "ana", |it| {
        it.roles.get_mut("engineer").unwrap().until = Some(end);
    });
    let before = world.state.organisation().accounts().clone();
    world.propose_policy("\"30d\"", "\"1d\"").unwrap();
    world.propose_policy("[baseline]\n", "[baseline]\ntransfer_grace = \"1h\"\n").unwrap();
    assert!(*world.state.organisation().accounts() == before);
    // nor is an end that was given a mistake in a file that repeats or leaves it out
    world.change_directory(|_| ()).unwrap();
    assert_eq!(membership(&world, "ana", "engineer").until, Some(end));
    assert_eq!(
        membership(&world, "dan", "engineer").until,
        Some(at(NOON).plus(span("1d"))),
        "one without any gets one"
    );
    assert_eq!(membership(&world, "ana", "engineer").ends_at().min(Timestamp::MAX), end);
}
