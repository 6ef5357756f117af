//! The world that is measured: certificates made at run time, a policy, a directory, and a million grants.

use std::path::Path;

use countersign::check::{AccountEntry, Change, CheckIndex, GrantEntry};
use countersign::domain::value::ids::GrantId;
use countersign::domain::value::scope::Scope;
use countersign::domain::value::time::Timestamp;
use countersign::wire::v1::CheckAccessRequest;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use uuid::Uuid;

use crate::certificates::{Authority, Leaf, client, now_millis, write};

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
capabilities = ["policy.load", "directory.load"]
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

/// Everybody who asks, approves, loads and checks.
pub fn directory() -> String {
    let mut people = vec![("omar".to_owned(), "admin"), ("ines".to_owned(), "admin")];
    people.extend((0..REQUESTERS).map(|n| (format!("engineer-{n}"), "engineer")));
    people.extend((0..APPROVERS).map(|n| (format!("commander-{n}"), "commander")));
    let mut text = String::new();
    for (name, _) in &people {
        text.push_str(&format!("[people.{name}]\n"));
    }
    for (name, role) in &people {
        let identity = identity_of("person", name);
        text.push_str(&format!(
            "[accounts.{name}]\nperson = \"{name}\"\nidentities = [\"{identity}\"]\nroles = [\"{role}\"]\n"
        ));
    }
    let identity = identity_of("service", CHECKER);
    text.push_str(&format!(
        "[accounts.{CHECKER}]\nowner = \"omar\"\nidentities = [\"{identity}\"]\naudience = [\"prod/*/db/orders/**\"]\nroles = [\"enforcement-point\"]\n"
    ));
    text
}

/// Writes an authority, the broker's certificate and one for each client.
pub fn write_certificates(folder: &Path) {
    let authority = Authority::new("northwind");
    write(folder, "authority.pem", &authority.pem());
    let keep = |name: &str, leaf: &Leaf| {
        write(folder, &format!("{name}.pem"), &leaf.chain_pem);
        write(folder, &format!("{name}.key"), &leaf.key_pem);
    };
    keep("broker", &authority.issue_server(&identity_of("service", "countersign")));
    keep(CHECKER, &authority.issue(&client(&identity_of("service", CHECKER))));
    let engineers = (0..REQUESTERS).map(|n| format!("engineer-{n}"));
    for name in engineers.chain((0..APPROVERS).map(|n| format!("commander-{n}"))) {
        keep(&name, &authority.issue(&client(&identity_of("person", &name))));
    }
}

/// A connection of its own, as this client.
pub async fn connect(folder: &Path, name: &str, address: &str) -> Channel {
    let read = |name: String| std::fs::read(folder.join(name)).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("authority.pem".to_owned())))
        .domain_name("localhost")
        .identity(Identity::from_pem(read(format!("{name}.pem")), read(format!("{name}.key"))));
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    endpoint.tcp_nodelay(true).connect().await.unwrap()
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
