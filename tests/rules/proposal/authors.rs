//! No directory file gives anything to whoever proposes or approves it, by any path; nor, by their own record, to whom a command
//! or HR has touched (design.md 7; known failure J6). Directories, files and authors at random: all that each could do before
//! and after, today and later, is compared.

use std::cell::RefCell;
use std::collections::BTreeSet;

use countersign::domain::record::proposal::ProposedFile;
use countersign::domain::state::State;
use countersign::domain::value::ids::{PersonId, Principal};
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::time::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::powers::{own, powers};
use crate::support::records::touch;
use crate::world::{Organisation, POLICY, World, at, identity};

/// `omar`, `olga` and, by the machine `clerk`, `odo` propose and approve; `lea` and `lou` do it where nobody gains by it.
const AUTHORS: [&str; 3] = ["omar", "olga", "odo"];
const PEOPLE: [&str; 8] = ["omar", "olga", "odo", "ana", "ines", "ben", "pia", "aud"];
const PEOPLES: [&str; 10] =
    ["omar", "omar-two", "omar-lab", "olga", "olga-two", "olga-lab", "odo", "ana", "ben", "aud"];
const MACHINES: [&str; 6] = ["omars-bot", "omars-pipe", "olgas-bot", "clerk", "bot", "pipe"];
const ROLES: [&str; 7] = ["engineer", "commander", "security", "admin", "auditor", "checker", "people-office"];
const MACHINE_ROLES: [&str; 3] = ["robot", "point", "pipeline"];
const PATTERNS: [&str; 3] = ["prod/**", "prod/eu/db/**", "stage/**"];
const INSTANTS: [&str; 4] =
    ["2026-11-24T00:00:00Z", "2026-12-20T00:00:00Z", "2027-02-01T00:00:00Z", "2028-06-01T00:00:00Z"];
/// More of them find no more in the time that there is.
const CASES: u32 = 48;

/// A change of a directory, before it is a file.
#[derive(Debug, Clone)]
enum Change {
    Until(&'static str, Option<&'static str>),
    Disabled(&'static str, bool),
    Audience(&'static str, Vec<&'static str>),
    Join(&'static str, &'static str, Option<&'static str>),
    Leave(&'static str),
    Identity(&'static str, &'static str),
    Moved(&'static str, &'static str),
    Login(&'static str, &'static str),
    Manager(&'static str, Option<&'static str>),
    Attested(&'static str, &'static str, Option<&'static str>),
    Owner(&'static str, &'static str),
    ActsFor(&'static str, bool),
    Gone(&'static str),
    Made(&'static str, bool),
}

fn change() -> impl Strategy<Value = Change> {
    let one = |of: &'static [&'static str]| prop::sample::select(of);
    let person = || one(&PEOPLE);
    let peoples = || one(&PEOPLES);
    let machine = || one(&MACHINES);
    let any_account = || prop_oneof![peoples(), machine()];
    let instant = || prop::option::weighted(0.7, one(&INSTANTS));
    let requirement = one(&["screening", "training", "dba"]);
    let role = || prop_oneof![(peoples(), one(&ROLES)), (machine(), one(&MACHINE_ROLES))];
    prop_oneof![
        5 => (any_account(), instant()).prop_map(|(it, at)| Change::Until(it, at)),
        5 => (any_account(), any::<bool>()).prop_map(|(it, yes)| Change::Disabled(it, yes)),
        5 => (any_account(), prop::collection::vec(one(&PATTERNS), 0..3)).prop_map(|(it, to)| Change::Audience(it, to)),
        4 => (role(), instant()).prop_map(|((it, role), at)| Change::Join(it, role, at)),
        1 => any_account().prop_map(Change::Leave),
        2 => (any_account(), one(&["other", "another"])).prop_map(|(it, name)| Change::Identity(it, name)),
        2 => (any_account(), any_account()).prop_map(|(from, to)| Change::Moved(from, to)),
        1 => (person(), one(&["other", "another"])).prop_map(|(it, name)| Change::Login(it, name)),
        4 => (person(), prop::option::of(person())).prop_map(|(it, to)| Change::Manager(it, to)),
        3 => (person(), requirement, instant()).prop_map(|(it, of, at)| Change::Attested(it, of, at)),
        2 => (machine(), person()).prop_map(|(it, to)| Change::Owner(it, to)),
        1 => (machine(), any::<bool>()).prop_map(|(it, yes)| Change::ActsFor(it, yes)),
        1 => any_account().prop_map(Change::Gone),
        2 => (person(), any::<bool>()).prop_map(|(it, is_machine)| Change::Made(it, is_machine)),
    ]
}

/// A change of what an author has beside, and may have no use of yet: what a file was seen to give.
fn change_of_spare() -> impl Strategy<Value = Change> {
    let one = |of: &'static [&'static str]| prop::sample::select(of);
    let until = prop::option::weighted(0.7, one(&INSTANTS));
    prop_oneof![
        (one(&["omar-two", "olga-two"]), until).prop_map(|(it, at)| Change::Until(it, at)),
        one(&["omar-lab", "olga-lab"]).prop_map(|it| Change::Disabled(it, false)),
        (one(&["omars-bot", "olgas-bot"]), one(&PATTERNS)).prop_map(|(it, to)| Change::Audience(it, vec![to])),
    ]
}

impl Change {
    fn make(&self, all: &mut Organisation) {
        let text = |it: &Option<&str>| it.map(str::to_owned);
        let mut account = |id: &str, change: &dyn Fn(&mut crate::world::organisation::Account)| {
            all.accounts.get_mut(id).into_iter().for_each(change);
        };
        match self {
            Self::Until(id, until) => account(id, &|it| it.until = text(until)),
            Self::Disabled(id, yes) => account(id, &|it| it.disabled = yes.then(|| "lost".to_owned())),
            Self::Audience(id, to) => account(id, &|it| it.audience = to.iter().map(|it| (*it).to_owned()).collect()),
            Self::Join(id, role, until) => account(id, &|it| {
                it.roles.insert((*role).to_owned(), text(until));
            }),
            Self::Leave(id) => account(id, &|it| it.roles.clear()),
            Self::Identity(id, name) => account(id, &|it| {
                it.identities.insert(identity(name));
            }),
            Self::Moved(from, to) => {
                account(from, &|it| {
                    it.identities.remove(&identity(from));
                    it.identities.insert(identity(&format!("{from}-new")));
                });
                account(to, &|it| {
                    it.identities.insert(identity(from));
                });
            }
            Self::Owner(id, owner) => account(id, &|it| it.owner = Some((*owner).to_owned())),
            Self::ActsFor(id, yes) => account(id, &|it| it.acts_for_people = *yes),
            Self::Gone(id) => {
                all.accounts.remove(*id);
            }
            Self::Login(id, name) => {
                all.people.get_mut(*id).unwrap().login.insert(identity(name));
            }
            Self::Manager(id, manager) => all.people.get_mut(*id).unwrap().manager = text(manager),
            Self::Attested(id, requirement, attested) => {
                let attestations = &mut all.people.get_mut(*id).unwrap().attestations;
                match attested {
                    Some(at) => attestations.insert((*requirement).to_owned(), (*at).to_owned()),
                    None => attestations.remove(*requirement),
                };
            }
            Self::Made(person, true) => {
                all.machine("made", person, "robot").audience = vec!["prod/**".to_owned()];
            }
            Self::Made(person, false) => {
                all.account("made", person);
            }
        }
    }
}

/// A directory, what has happened since, and a file with those who make and approve it.
#[derive(Debug, Clone)]
struct Case {
    directory: Vec<Change>,
    touched: Vec<&'static str>,
    passed: &'static str,
    file: Vec<Change>,
    proposer: usize,
    approver: usize,
}

fn case() -> impl Strategy<Value = Case> {
    let touched = prop::collection::vec(prop::sample::select(&PEOPLE[..]), 0..3);
    let passed = prop::sample::select(vec!["1h", "1h", "10d", "40d"]);
    let changes = |size: std::ops::Range<usize>| prop::collection::vec(change(), size);
    let file = prop_oneof![
        2 => changes(1..2),
        1 => changes(2..4),
        3 => change_of_spare().prop_map(|change| vec![change]),
    ];
    let case = (changes(0..5), touched, passed, file, 0_usize..3, 0_usize..2);
    case.prop_map(|(directory, touched, passed, file, proposer, approver)| Case {
        directory,
        touched,
        passed,
        file,
        proposer,
        approver,
    })
}

fn policy() -> String {
    let roles = "[roles.robot]\nfor = \"machines\"\n[roles.point]\nfor = \"machines\"\nowner = \"olga\"\n\
                 capabilities = [\"access.check\"]\n[roles.checker]\ncapabilities = [\"access.check\"]\n[roles.people-office]\n\
                 [roles.pipeline]\nfor = \"machines\"\ncapabilities = [\"directory.propose\"]\n";
    let missing = "[baseline]\nmanager_missing = [\"people-office\"]\n";
    let policy = POLICY.replacen("[roles.robot]\nfor = \"machines\"\n", roles, 1);
    policy.replacen("[baseline]\n", missing, 1)
}

fn organisation() -> Organisation {
    let mut all = Organisation::example();
    for who in ["omar", "olga"] {
        let two = all.account(&format!("{who}-two"), who);
        two.roles.insert("auditor".into(), Some(INSTANTS[2].into()));
        two.until = Some(INSTANTS[1].into());
        let lab = all.account(&format!("{who}-lab"), who);
        lab.roles.insert("revoker".into(), None);
        lab.disabled = Some("lost".into());
        all.machine(&format!("{who}s-bot"), who, "robot").audience = vec!["prod/eu/db/**".into()];
    }
    all.machine("omars-pipe", "omar", "robot").acts_for_people = true;
    all.machine("clerk", "odo", "pipeline");
    all
}

/// A world with the directory of a case, if that is one.
fn world_of(case: &Case, policy: &str) -> Option<World> {
    let mut all = organisation();
    case.directory.iter().for_each(|change| change.make(&mut all));
    let mut world = World::of(policy, all).ok()?;
    for who in &case.touched {
        touch(&mut world, who, |_| ());
    }
    world.pass_and_tick(case.passed);
    Some(world)
}

fn put_in_force(world: &mut World, file: &str, proposer: &str, approver: &str) -> Result<(), Refusal> {
    let replaces = world.state.organisation().directory_digest().unwrap();
    let proposal = world.propose(proposer, ProposedFile::Directory, replaces, file.to_owned())?;
    world.approve_proposal(approver, proposal).map(drop)
}

fn instants(world: &World) -> Vec<Timestamp> {
    let later = [at("2027-01-15T00:00:00Z"), at("2028-03-01T00:00:00Z")];
    [world.at].into_iter().chain(later).collect()
}

/// What a person has more of, and what anybody has whom their certificates mean by then.
fn more(before: &State, after: &State, person: &str, instants: &[Timestamp]) -> BTreeSet<String> {
    let person: PersonId = person.parse().unwrap();
    let accounts = before.organisation().accounts_of(&person).flat_map(|(_, account)| &account.identities);
    let certificates = accounts.chain(&before.organisation().people().get(&person).unwrap().login);
    let meant = certificates.filter_map(|certificate| match after.organisation().principal(certificate)? {
        Principal::Person(person) => Some(person.clone()),
        Principal::Account(id) => Some(after.organisation().accounts().get(id)?.person().clone()),
    });
    let mut meant: BTreeSet<PersonId> = meant.collect();
    meant.insert(person.clone());
    let had = powers(before, &person, instants);
    let has = meant.iter().flat_map(|person| powers(after, person, instants));
    has.filter(|power| !had.contains(power)).collect()
}

/// What whoever was touched has by their own record; the certificates of their machines are the file's.
fn more_of_touched(before: &State, after: &State, person: &str, instants: &[Timestamp]) -> Vec<String> {
    let person: PersonId = person.parse().unwrap();
    let of = |state: &State| -> BTreeSet<String> {
        let each = instants.iter().map(|at| own(state.organisation(), &person, *at));
        let machines = state.organisation().accounts_of(&person).filter(|(_, account)| account.is_machine());
        let machines: BTreeSet<String> =
            machines.flat_map(|(_, it)| it.identities.iter().map(|it| format!("is {it}"))).collect();
        // What a machine asks for people rests on those people.
        each.flatten().filter(|power| !machines.contains(power) && !power.starts_with("asks")).collect()
    };
    of(after).difference(&of(before)).cloned().collect()
}

/// Each kind of what files gave to those who made or approved them, or to whom a command had touched.
fn given_once() -> impl Iterator<Item = Case> {
    let files = [
        Change::Until("omar-two", Some(INSTANTS[3])),
        Change::Disabled("omar-lab", false),
        Change::Audience("omars-bot", vec!["prod/**"]),
    ];
    let touched = [vec![], vec!["omar"]];
    let ways = files.into_iter().flat_map(move |file| touched.clone().map(|touched| (file.clone(), touched)));
    ways.flat_map(|(file, touched)| {
        ["1h", "40d"].into_iter().flat_map(move |passed| {
            let case = Case {
                directory: vec![],
                touched: touched.clone(),
                passed,
                file: vec![file.clone()],
                proposer: 0,
                approver: 0,
            };
            [case.clone(), Case { proposer: 1, ..case }]
        })
    })
}

#[derive(Debug, Default)]
struct Tally {
    /// Files that came into force by their own authors.
    accepted: usize,
    /// Files that were refused to their authors for what they give.
    refused: usize,
    /// Files that came into force by others, while somebody whom they could give something was touched.
    with_touched: usize,
}

fn look(case: &Case, policy: &str, tally: &mut Tally) {
    let Some(world) = world_of(case, policy) else { return };
    let mut file = world.organisation.clone();
    case.file.iter().for_each(|change| change.make(&mut file));
    let (file, instants) = (file.to_toml(), instants(&world));
    let proposer = ["omar", "olga", "clerk"][case.proposer];
    let author = AUTHORS[case.proposer];
    let others: Vec<&str> = ["omar", "olga"].into_iter().filter(|it| *it != author).collect();
    let approver = others[case.approver % others.len()];
    let mut by_authors = world.clone();
    match put_in_force(&mut by_authors, &file, proposer, approver) {
        Ok(()) => {
            tally.accepted += 1;
            for who in [author, approver] {
                let more = more(&world.state, &by_authors.state, who, &instants);
                assert!(more.is_empty(), "{who} has {more:#?}\nby {case:?}");
            }
        }
        Err(refusal) => tally.refused += usize::from(refusal.reason == Reason::OwnStanding),
    }
    if case.touched.is_empty() {
        return;
    }
    let mut by_others = world.clone();
    if put_in_force(&mut by_others, &file, "lea", "lou").is_ok() {
        tally.with_touched += 1;
        for who in &case.touched {
            let more = more_of_touched(&world.state, &by_others.state, who, &instants);
            assert!(more.is_empty(), "{who}, who was touched, has {more:#?}\nby {case:?}");
        }
    }
}

#[test]
fn own_standing_no_directory_gives_its_authors_anything_by_any_path() {
    let (policy, tally) = (policy(), RefCell::new(Tally::default()));
    // What was given once is looked at whatever chance brings: to an author, and to somebody who was touched.
    for case in given_once() {
        look(&case, &policy, &mut tally.borrow_mut());
    }
    tally.take();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: CASES,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let run = |case| {
        look(&case, &policy, &mut tally.borrow_mut());
        Ok(())
    };
    runner.run(&case(), run).unwrap();
    let tally = tally.into_inner();
    assert!(tally.accepted > 3 && tally.refused > 3 && tally.with_touched > 0, "{tally:?}");
}

/// What the property above looks for is there to be found: each of these gives `omar` something where two others put it in
/// force, and is in force by no proposal or approval of theirs.
#[test]
fn own_standing_each_way_of_giving_is_seen_and_refused() {
    let ways = [
        Change::Until("omar-two", Some(INSTANTS[3])),
        Change::Until("omar-two", None),
        Change::Audience("omars-bot", vec!["prod/**"]),
        Change::Join("omar-two", "auditor", Some(INSTANTS[3])),
        Change::Join("omars-bot", "point", None),
        Change::Identity("omars-bot", "other"),
        Change::Moved("omar", "ana"),
        Change::Manager("ana", Some("omar")),
        Change::Owner("bot", "omar"),
    ];
    let policy = policy();
    for passed in ["1h", "40d"] {
        for way in &ways {
            let case =
                Case { directory: vec![], touched: vec![], passed, file: vec![way.clone()], proposer: 0, approver: 0 };
            given_to("omar", &case, &policy);
        }
    }
    let disabled = Case {
        directory: vec![],
        touched: vec![],
        passed: "1h",
        file: vec![Change::Disabled("olga-lab", false)],
        proposer: 1,
        approver: 0,
    };
    given_to("olga", &disabled, &policy);
}

#[track_caller]
fn given_to(who: &str, case: &Case, policy: &str) {
    let world = world_of(case, policy).unwrap();
    let mut file = world.organisation.clone();
    case.file.iter().for_each(|change| change.make(&mut file));
    let file = file.to_toml();
    let mut by_others = world.clone();
    put_in_force(&mut by_others, &file, "lea", "lou").unwrap();
    let found = more(&world.state, &by_others.state, who, &instants(&world));
    assert!(!found.is_empty(), "nothing is seen of {case:?}");
    for (proposer, approver) in [(who, "lou"), ("lea", who)] {
        let refusal = put_in_force(&mut world.clone(), &file, proposer, approver);
        assert!(refusal.is_err_and(|it| it.reason == Reason::OwnStanding), "{case:?} by {proposer} and {approver}");
    }
}
