//! The world that is measured: certificates made at run time, a policy, a directory, and a million grants.

use std::path::Path;

use countersign::check::{AccountEntry, Change, CheckIndex, GrantEntry};
use countersign::domain::value::ids::GrantId;
use countersign::domain::value::scope::Scope;
use countersign::domain::value::time::Timestamp;
use countersign::wire::v1::CheckAccessRequest;
use uuid::Uuid;

use crate::certificates::{now_millis, write_all};
use crate::organisation::Organisation;

pub const GRANTS_A_HOLDER: u64 = 4;
/// Who asks for elevations: many people, so that each holds few grants.
pub const REQUESTERS: usize = 256;
pub const APPROVERS: usize = 16;
/// The enforcement point.
pub const CHECKER: &str = "orders-api";

const POLICY: &str = r#"
[limits]
pending_per_person = 5
live_grants_per_person = 1000
[roles.engineer]
owner = "omar"
[roles.commander]
owner = "omar"
[roles.admin]
owner = "omar"
capabilities = ["policy.propose", "directory.propose"]
[roles.enforcement-point]
for = "machines"
owner = "omar"
capabilities = ["access.check"]
[entitlements.orders-db-repair]
title = "Repair the orders database"
actions = ["db.read", "db.write"]
resources = ["prod/*/db/orders/**"]
requestable_by = ["engineer"]
max_duration = "1h"
justification = { min_length = 10 }
ticket = "INC-[0-9]+"
approval = [{ by = ["commander"], count = 1 }]
"#;

pub fn identity_of(kind: &str, name: &str) -> String {
    format!("spiffe://northwind.example/{kind}/{name}")
}

pub fn policy() -> &'static str {
    POLICY
}

/// Everybody who asks, approves, proposes and checks.
pub fn directory() -> String {
    let mut all = Organisation::of_tenants(&[]);
    let mut member = |name: &str, role| {
        all.member(name, role).identities = [identity_of("person", name)].into();
    };
    ["omar", "ines"].iter().for_each(|name| member(name, "admin"));
    (0..REQUESTERS).for_each(|n| member(&format!("engineer-{n}"), "engineer"));
    (0..APPROVERS).for_each(|n| member(&format!("commander-{n}"), "commander"));
    let checker = all.machine(CHECKER, "omar", "enforcement-point");
    checker.identities = [identity_of("service", CHECKER)].into();
    checker.audience = vec!["prod/*/db/orders/**".to_owned()];
    all.to_toml()
}

/// Writes an authority, the broker's certificate and one for each client.
pub fn write_certificates(folder: &Path) {
    let engineers = (0..REQUESTERS).map(|n| format!("engineer-{n}"));
    let commanders = (0..APPROVERS).map(|n| format!("commander-{n}"));
    let clients = engineers.chain(commanders).chain([CHECKER.to_owned()]);
    write_all(folder, clients, |name| {
        let is_machine = name == CHECKER || name == "countersign";
        identity_of(if is_machine { "service" } else { "person" }, name)
    });
}

/// Puts live grants into the index that the real handler answers from, as the engine does with what it has recorded.
pub fn fill(index: &CheckIndex, grants: u64) {
    let end = Timestamp::from_millis(now_millis() + 3_600_000).unwrap();
    for holder in 0..grants / GRANTS_A_HOLDER {
        let name = format!("user-{holder:06}");
        let mut changes = vec![Change::Account(AccountEntry {
            id: name.parse().unwrap(),
            identities: [identity_of("person", &name).parse().unwrap()].into(),
            active: true,
            locked: false,
            baseline_until: Timestamp::MIN,
            audience: [].into(),
            checks_until: Timestamp::MIN,
        })];
        changes.extend((0..GRANTS_A_HOLDER).map(|number| {
            let actions = ["db.read".parse().unwrap(), "db.write".parse().unwrap()].into();
            let resource = format!("{}/**", shard(holder, number)).parse().unwrap();
            Change::Grant(GrantEntry {
                id: GrantId::from(Uuid::from_u128(u128::from(holder * GRANTS_A_HOLDER + number))),
                holder: name.parse().unwrap(),
                scope: Scope::new(actions, [resource].into()).unwrap(),
                end,
                started: true,
                locked: false,
            })
        }));
        index.apply(&changes);
    }
}

/// A question about any of those grants, allowed.
pub fn question(random: &mut Random, grants: u64) -> CheckAccessRequest {
    let holder = random.below(grants / GRANTS_A_HOLDER);
    CheckAccessRequest {
        subject: identity_of("person", &format!("user-{holder:06}")),
        action: "db.read".to_owned(),
        resource: format!("{}/primary", shard(holder, random.below(GRANTS_A_HOLDER))),
    }
}

fn shard(holder: u64, number: u64) -> String {
    format!("prod/eu/db/orders/shards-{holder:06}-{number}")
}

/// Repeatable, and good enough to spread over all holders.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
