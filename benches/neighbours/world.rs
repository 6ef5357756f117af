//! Who works in the measured world: the honest, those who attack with one account of their own each, a customer's feed; and
//! a journal with a past: many people with a live grant each, and attackers who asked for much and took it back.

use std::path::Path;

use countersign::clock::{Clock as _, SystemClock};
use countersign::domain::decide::Files;
use countersign::domain::record::command::{Command, WithdrawElevation};
use countersign::domain::record::event::{ElevationFact, Fact, GrantFact};
use countersign::domain::record::grant::Grant;
use countersign::domain::state::State;
use countersign::domain::value::ids::Identity;
use countersign::domain::value::scope::Scope;

use crate::ask::Ask;
use crate::certificates::write_all;
use crate::filled::{self, Likeness};
use crate::organisation::Organisation;

pub const ENGINEERS: usize = 64;
pub const COMMANDERS: usize = 48;
/// Accounts of each kind that attacks are made with.
pub const ATTACKERS: usize = 4;
pub const REVOKER: &str = "sam";
pub const CHECKER: &str = "orders-api";
pub const ENTITLEMENT: &str = "repair";
/// Offered to commanders alone.
pub const FORBIDDEN: &str = "command";
/// The numbers of the grants that attackers hold begin here.
pub const GRANT_OF_ATTACKER: u64 = 1 << 40;
/// Requests that each attacker once took back.
const PAST_OF_ATTACKER: usize = 500;

pub const POLICY: &str = r#"
[limits]
pending_per_person = 5
live_grants_per_person = 10
[roles.engineer]
owner = "omar"
[roles.night-shift]
owner = "omar"
[roles.commander]
owner = "omar"
[roles.security]
owner = "omar"
capabilities = ["grant.revoke"]
[roles.auditor]
owner = "omar"
capabilities = ["audit.read"]
[roles.admin]
owner = "omar"
capabilities = ["policy.propose", "directory.propose"]
[roles.enforcement-point]
for = "machines"
owner = "omar"
capabilities = ["access.check"]
[roles.tenant-feed]
for = "customers"
owner = "omar"
capabilities = ["hr.feed"]
[entitlements.repair]
title = "Repair a database"
actions = ["db.read", "db.write"]
resources = ["prod/*/db/orders/**"]
requestable_by = ["engineer"]
max_duration = "24h"
justification = { min_length = 10 }
approval = [{ by = ["commander"], count = 1 }]
[entitlements.command]
title = "Take command"
actions = ["incident.command"]
resources = ["prod/**"]
requestable_by = ["commander"]
max_duration = "1h"
approval = [{ by = ["security"], count = 1 }]
"#;

/// The certificate identity of an account; a customer's begins with its name and a dot.
pub fn identity_of(name: &str) -> Identity {
    let domain = name.split_once('.').map_or("northwind", |(tenant, _)| tenant);
    let kind = if [CHECKER, "countersign"].contains(&name) { "service" } else { "person" };
    format!("spiffe://{domain}.example/{kind}/{name}").parse().unwrap()
}

fn members() -> Vec<(String, &'static str)> {
    let many = |name: &'static str, role, count| (0..count).map(move |number| (format!("{name}-{number}"), role));
    [("omar", "admin"), ("ines", "admin"), ("ana", "engineer"), ("ben", "commander"), (REVOKER, "security")]
        .into_iter()
        .map(|(name, role)| (name.to_owned(), role))
        .chain(many("engineer", "engineer", ENGINEERS))
        .chain(many("commander", "commander", COMMANDERS))
        .chain(many("mallory", "engineer", ATTACKERS))
        .chain(many("auditor", "auditor", ATTACKERS))
        .chain(many("acme.feed", "tenant-feed", ATTACKERS))
        .collect()
}

fn directory() -> String {
    let mut all = Organisation::of_tenants(&["acme"]);
    for (name, role) in members() {
        let account = all.member(&name, role);
        account.identities = [identity_of(&name).to_string()].into();
        account.tenant = name.split_once('.').map(|(tenant, _)| tenant.to_owned());
    }
    for number in 0..ATTACKERS {
        all.people.get_mut(&attacker("mallory", number)).unwrap().manager = Some("omar".to_owned());
    }
    let checker = all.machine(CHECKER, "omar", "enforcement-point");
    checker.identities = [identity_of(CHECKER).to_string()].into();
    checker.audience = vec!["prod/*/db/orders/**".to_owned()];
    all.to_toml()
}

/// Writes an authority, the broker's certificate and one for each client.
pub fn write_certificates(folder: &Path) {
    let clients = members().into_iter().map(|(name, _)| name).chain([CHECKER.to_owned()]);
    write_all(folder, clients, |name| identity_of(name).to_string());
}

/// Makes a journal of so many people with a live grant each.
pub fn fill(path: &Path, people: u64) {
    let directory = directory();
    filled::fill(path, Files { policy: POLICY, directory: &directory }, |state| {
        let ana = Likeness::of(state, "ana");
        let like = granted(state.clone());
        let mut past = state.clone();
        let taken_back: Vec<Fact> = (0..ATTACKERS).flat_map(|number| past_of(&mut past, number)).collect();
        let own: Vec<Fact> =
            (0..ATTACKERS).map(|n| grant(&like, GRANT_OF_ATTACKER + n as u64, &attacker("mallory", n))).collect();
        let others = (0..people).flat_map(move |number| {
            let name = holder(number);
            let grant = grant(&like, number, &name);
            ana.recorded(&name, identity_of(&name), None).into_iter().chain([grant])
        });
        taken_back.into_iter().chain(own).chain(others)
    });
}

/// The account of this kind and number.
pub fn attacker(kind: &str, number: usize) -> String {
    format!("{kind}-{number}")
}

pub fn holder(number: u64) -> String {
    format!("user-{number:06}")
}

/// What the grant of this number covers.
pub fn resource(number: u64) -> String {
    format!("prod/eu/db/orders/shard-{number:06}")
}

fn asking(resource: &str) -> Command {
    let ask = Ask::of(ENTITLEMENT, &["db.read", "db.write"], &[resource]).lasting("12h").with(|request| {
        request.justification = "orders are stuck since noon".to_owned();
        request.ticket = None;
    });
    ask.command()
}

fn past_of(state: &mut State, number: usize) -> Vec<Fact> {
    let (now, who) = (SystemClock.read().wall, identity_of(&attacker("mallory", number)));
    let mut facts = Vec::new();
    for _ in 0..PAST_OF_ATTACKER {
        let asked = filled::run(state, now, who.clone(), asking("prod/eu/db/orders/mine"));
        let Fact::Elevation(ElevationFact::Requested(elevation)) = &asked[0].fact else { panic!("no request") };
        let elevation = elevation.id;
        let taken_back =
            filled::run(state, now, who.clone(), Command::from(WithdrawElevation { elevation, reason: String::new() }));
        facts.extend(asked.into_iter().chain(taken_back).map(|event| event.fact));
    }
    facts
}

/// A grant that ana asked for and ben approved, to be given to everybody.
fn granted(mut state: State) -> Grant {
    let now = SystemClock.read().wall;
    let elevation = filled::asked(&mut state, now, identity_of("ana"), asking("prod/eu/db/orders/like"));
    filled::approved(&mut state, now, identity_of("ben"), &elevation).1
}

/// The id of a grant, by its number.
pub fn grant_id(number: u64) -> uuid::Uuid {
    uuid::Uuid::from_u128(u128::from(number) + 1)
}

fn grant(like: &Grant, number: u64, holder: &str) -> Fact {
    let id = grant_id(number);
    Fact::Grant(GrantFact::Issued(Box::new(Grant {
        id: id.into(),
        elevation: id.into(),
        holder: holder.parse().unwrap(),
        person: holder.parse().unwrap(),
        behind: [holder.parse().unwrap()].into(),
        scope: Scope::new(like.scope.actions().clone(), [resource(number).parse().unwrap()].into()).unwrap(),
        ..like.clone()
    })))
}
