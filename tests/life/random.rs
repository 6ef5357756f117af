//! Random organisations, and random steps of what happens in them.
#![allow(unreachable_pub, reason = "modules of one test crate")]

use std::fmt::Write;

use countersign::domain::value::time::Timestamp;
use proptest::prelude::*;

use crate::world::{NOON, Organisation, at, identity};

/// Those to whom things happen. `zed` is never known.
pub const PEOPLE: [&str; 8] = ["ana", "ben", "cid", "dot", "eli", "fay", "gus", "hop"];
pub const ROLES: [&str; 2] = ["engineer", "commander"];
pub const REQUIREMENTS: [&str; 3] = ["screening", "training", "dba"];
pub const MACHINES: [&str; 2] = ["bot", "pump"];

/// How many others there are.
pub const OTHERS: usize = 12;

pub fn other(index: usize) -> String {
    format!("other-{index}")
}

/// The policy: who asks never approves, and the HR brake is out of the way.
pub fn policy(brake: &str) -> String {
    let mut text = format!(
        r#"
[baseline]
requires = ["screening", "training"]
allows = [{{ actions = ["metadata.read"], resources = ["status/**"] }}]
manager_missing = ["people-office"]
transfer_grace = "14d"
[requirements.screening]
valid_for = "never"
[requirements.training]
valid_for = "365d"
[requirements.dba]
valid_for = "180d"
[limits]
pending_per_person = 20
live_grants_per_person = 20
hr_silence = "30d"
hr_brake = {brake}
"#
    );
    for (role, rest) in [
        ("engineer", "requires = [\"dba\"]"),
        ("commander", "longest_membership = \"180d\"\nowner = \"hal\""),
        ("robot", "for = \"machines\""),
        ("people-office", ""),
        ("admin", "capabilities = [\"policy.propose\", \"directory.propose\", \"feed.release\"]"),
        ("hr", "for = \"machines\"\ncapabilities = [\"hr.feed\"]"),
        ("trainer", "for = \"machines\"\ncapabilities = [\"attestation.record\"]"),
    ] {
        writeln!(text, "[roles.{role}]\n{rest}").unwrap();
    }
    for (name, action, by, approval) in [
        ("repair", "db.write", r#"["engineer"]"#, "commander"),
        ("managed", "report.read", r#"["engineer"]"#, "@manager"),
        ("deploy", "deploy.run", r#"["robot", "engineer"]"#, "commander"),
    ] {
        write!(
            text,
            "[entitlements.{name}]\ntitle = \"{name}\"\nactions = [\"{action}\"]\nresources = [\"prod/**\"]\n\
             requestable_by = {by}\nmax_duration = \"24h\"\nreview_within = \"3d\"\nstart_within = \"7d\"\n\
             approval = [{{ by = [\"{approval}\"], count = 1 }}]\n"
        )
        .unwrap();
    }
    text
}

/// One of [`PEOPLE`] at the beginning.
#[derive(Debug, Clone)]
pub struct Start {
    /// 0 unknown, 1 without an account, 2 with an account, 3 an engineer, 4 a commander.
    pub kind: usize,
    pub manager: usize,
    /// How many days ago training and dba were met, if at all.
    pub training: Option<i64>,
    pub dba: Option<i64>,
    /// In how many days the membership ends, if it does.
    pub until: Option<i64>,
}

pub fn start() -> impl Strategy<Value = Vec<Start>> {
    let attested = |most: i64| prop_oneof![1 => Just(None), 9 => (0..most).prop_map(Some)];
    let one = (
        prop_oneof![1 => Just(0), 2 => Just(1), 3 => Just(2), 4 => Just(3), 4 => Just(4)],
        prop_oneof![4 => 0..PEOPLE.len(), 4 => Just(PEOPLE.len()), 1 => Just(PEOPLE.len() + 1)],
        attested(365),
        attested(180),
        prop_oneof![2 => Just(None), 1 => (1_i64..200).prop_map(Some)],
    );
    let one = one.prop_map(|(kind, manager, training, dba, until)| Start { kind, manager, training, dba, until });
    prop::collection::vec(one, PEOPLE.len())
}

pub fn in_days(from: Timestamp, days: i64) -> Timestamp {
    Timestamp::from_millis(from.millis() + days * 86_400_000).unwrap()
}

/// The organisation at noon: the people above, two of their machines; `hal`, an engineer's manager at most, who owns one
/// machine of training; `omar`, who administers and owns the other; and `hera`, who owns that of HR and manages nobody.
pub fn organisation(starts: &[Start]) -> Organisation {
    let noon = at(NOON);
    let mut all = Organisation::of_tenants(&["acme", "zeta"]);
    for (name, role) in [
        ("hal", Some("people-office")),
        ("omar", Some("admin")),
        ("lea", Some("admin")),
        ("lou", Some("admin")),
        ("hera", None),
    ] {
        let person = all.person(name, None);
        person.attestations.remove("dba");
        all.account(name, name).roles = role.into_iter().map(|role| (role.into(), None)).collect();
    }
    // Many others, who do nothing: the brake is a share of all.
    for index in 0..OTHERS {
        all.person(&other(index), None).attestations.clear();
    }
    for (name, role, owner) in [("feed", "hr", "hera"), ("school", "trainer", "hal"), ("academy", "trainer", "omar")] {
        let owner = Some(owner.to_owned());
        let machine = crate::world::organisation::Account { owner, ..Default::default() };
        let machine = all.accounts.entry(name.into()).insert_entry(machine).into_mut();
        machine.identities.insert(identity(name));
        machine.roles.insert(role.into(), None);
    }
    for (index, start) in starts.iter().enumerate().filter(|(_, start)| start.kind > 0) {
        let name = PEOPLE[index];
        let known = |it: &usize| *it < index && starts[*it].kind > 0;
        let manager = Some(start.manager).filter(known).map(|it| PEOPLE[it]);
        let manager = manager.or((start.manager == PEOPLE.len()).then_some("hal"));
        let person = all.person(name, manager);
        person.attestations.clear();
        person.attestations.insert("screening".into(), NOON.into());
        for (requirement, ago) in [("training", start.training), ("dba", start.dba)] {
            if let Some(ago) = ago {
                person.attestations.insert(requirement.into(), in_days(noon, -ago).to_string());
            }
        }
        if start.kind == 1 {
            person.login.insert(identity(name));
            continue;
        }
        let account = all.account(name, name);
        if start.kind > 2 {
            let until = start.until.or((start.kind == 4).then_some(180)).map(|days| days.min(180));
            let until = until.map(|days| in_days(noon, days).to_string());
            account.roles.insert(ROLES[start.kind - 3].into(), until);
        }
    }
    let owners: Vec<usize> = (0..PEOPLE.len()).filter(|it| matches!(starts[*it].kind, 2 | 3)).collect();
    for (machine, owner) in MACHINES.iter().zip(owners) {
        let owner = Some(PEOPLE[owner].to_owned());
        let account = crate::world::organisation::Account { owner, ..Default::default() };
        let account = all.accounts.entry((*machine).to_owned()).insert_entry(account).into_mut();
        account.identities.insert(identity(machine));
        account.roles.insert("robot".into(), None);
    }
    all
}

#[derive(Debug, Clone)]
pub enum Change {
    Join { manager: usize, login: usize },
    Rename { login: usize },
    Move { manager: usize, hours: i64 },
    Leave { hours: i64, urgent: bool, also_approved: bool },
    Stay,
}

#[derive(Debug, Clone)]
pub enum Step {
    /// What HR says; in a stream or not. `apt`: of people who can join that, and of others something else.
    Hr {
        numbered: bool,
        apt: bool,
        events: Vec<(usize, Change)>,
    },
    /// Numbers that HR sent before, again.
    Again {
        back: u64,
    },
    /// Whatever somebody lacks is met now.
    Train {
        whom: usize,
    },
    Attest {
        whom: usize,
        what: usize,
        hours_ago: i64,
    },
    Correct {
        whom: usize,
        what: usize,
        hours_ago: Option<i64>,
    },
    Ask {
        who: usize,
        what: usize,
        start: Option<i64>,
    },
    Approve {
        which: usize,
    },
    /// `apt`: for what there is to be had.
    Enrol {
        who: usize,
        apt: bool,
        kind: usize,
        role: usize,
        days: Option<i64>,
        machine: usize,
    },
    ApproveEnrolment {
        which: usize,
        who: Option<usize>,
    },
    EndMembership {
        whom: usize,
        by: usize,
    },
    CloseAccount {
        machine: usize,
    },
    Campaign {
        role: usize,
        days: i64,
    },
    Confirm {
        whom: usize,
    },
    Pass {
        hours: i64,
        tick: bool,
    },
}

/// Anybody, somebody nobody knows, or nobody.
fn manager() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..PEOPLE.len(), 3 => Just(PEOPLE.len()), 1 => PEOPLE.len() + 1..PEOPLE.len() + 3]
}

pub fn manager_named(which: usize) -> Option<&'static str> {
    let others = ["hal", "zed"];
    PEOPLE.iter().chain(&others).nth(which).copied()
}

pub fn change() -> impl Strategy<Value = Change> {
    let login = || prop_oneof![3 => Just(0_usize), 1 => 1..4_usize];
    let hours = || prop_oneof![2 => -48_i64..=0, 2 => 1_i64..72, 1 => 72_i64..1_000];
    prop_oneof![
        4 => (manager(), login()).prop_map(|(manager, login)| Change::Join { manager, login }),
        1 => login().prop_map(|login| Change::Rename { login }),
        4 => (manager(), hours()).prop_map(|(manager, hours)| Change::Move { manager, hours }),
        2 => (hours(), any::<bool>(), any::<bool>())
            .prop_map(|(hours, urgent, also_approved)| Change::Leave { hours, urgent, also_approved }),
        1 => Just(Change::Stay),
    ]
}

pub fn events(most: usize) -> impl Strategy<Value = Vec<(usize, Change)>> {
    prop::collection::vec((0..PEOPLE.len(), change()), 1..=most)
}

pub fn step() -> impl Strategy<Value = Step> {
    let who = || 0..PEOPLE.len();
    let ago = || prop_oneof![3 => 0_i64..48, 1 => 0_i64..10_000];
    let pass = prop_oneof![10 => 1_i64..30, 2 => 30_i64..1_000, 1 => 1_000_i64..5_000];
    prop_oneof![
        5 => (prop::bool::weighted(0.7), prop::bool::weighted(0.8), events(2))
            .prop_map(|(numbered, apt, events)| Step::Hr { numbered, apt, events }),
        4 => (0_u64..3).prop_map(|back| Step::Again { back }),
        8 => who().prop_map(|whom| Step::Train { whom }),
        3 => (who(), 0..3_usize, ago()).prop_map(|(whom, what, hours_ago)| Step::Attest { whom, what, hours_ago }),
        2 => (who(), 0..3_usize, prop::option::weighted(0.7, ago()))
            .prop_map(|(whom, what, hours_ago)| Step::Correct { whom, what, hours_ago }),
        14 => (0..PEOPLE.len() + 2, 0..3_usize, prop::option::weighted(0.3, 1_i64..100))
            .prop_map(|(who, what, start)| Step::Ask { who, what, start }),
        12 => (0..3_usize).prop_map(|which| Step::Approve { which }),
        12 => (who(), prop::bool::weighted(0.7), 0..8_usize, 0..2_usize, prop::option::of(1_i64..200), 0..3_usize)
            .prop_map(|(who, apt, kind, role, days, machine)| Step::Enrol { who, apt, kind, role, days, machine }),
        14 => (0..3_usize, prop::option::weighted(0.2, who()))
            .prop_map(|(which, who)| Step::ApproveEnrolment { which, who }),
        1 => (who(), 0..PEOPLE.len() + 2).prop_map(|(whom, by)| Step::EndMembership { whom, by }),
        1 => (0..2_usize).prop_map(|machine| Step::CloseAccount { machine }),
        2 => (0..2_usize, 1_i64..60).prop_map(|(role, days)| Step::Campaign { role, days }),
        3 => who().prop_map(|whom| Step::Confirm { whom }),
        8 => (pass, prop::bool::weighted(0.6)).prop_map(|(hours, tick)| Step::Pass { hours, tick }),
    ]
}

pub fn hours(from: Timestamp, hours: i64) -> Timestamp {
    Timestamp::from_millis(from.millis() + hours * 3_600_000).unwrap()
}
