//! A journal with so many live grants, as the rows that led there; the enforcement points that check them, each within
//! its own audience and one within all; and their certificates.

use std::path::Path;

use countersign::clock::{Clock as _, SystemClock};
use countersign::domain::decide::Files;
use countersign::domain::record::event::{Fact, GrantFact};
use countersign::domain::record::grant::Grant;
use countersign::domain::state::State;
use countersign::domain::value::ids::Identity;
use countersign::domain::value::scope::Scope;
use countersign::domain::value::time::Timestamp;

use crate::ask::Ask;
use crate::certificates::write_all;
use crate::filled::{self, Likeness};
use crate::organisation::Organisation;

/// Who may revoke.
pub const REVOKER: &str = "sam";
/// Checks everything.
pub const WIDE: &str = "everything";

/// How large it all is.
#[derive(Clone, Copy)]
pub struct Size {
    pub grants: u64,
    pub services: u64,
    /// Of one holder.
    pub grants_each: u64,
}

const POLICY: &str = r#"
[limits]
pending_per_person = 5
live_grants_per_person = 1000
[roles.engineer]
owner = "omar"
[roles.commander]
owner = "omar"
[roles.security]
owner = "omar"
capabilities = ["grant.revoke"]
[roles.admin]
owner = "omar"
capabilities = ["policy.propose", "directory.propose"]
[roles.enforcement-point]
for = "machines"
owner = "omar"
capabilities = ["access.check"]
[entitlements.repair]
title = "Repair a database"
actions = ["db.read", "db.write"]
resources = ["prod/**"]
requestable_by = ["engineer"]
max_duration = "24h"
justification = { min_length = 10 }
approval = [{ by = ["commander"], count = 1 }]
"#;

pub fn person(number: u64) -> String {
    format!("p{number:06}")
}

pub fn service(number: u64) -> String {
    format!("s{number:04}")
}

pub fn identity_of(kind: &str, name: &str) -> Identity {
    format!("spiffe://northwind.example/{kind}/{name}").parse().unwrap()
}

/// The service whose resource a grant is about.
pub fn service_of(grant: u64, size: Size) -> String {
    service(grant % size.services)
}

/// A resource that the grant covers.
pub fn resource_of(grant: u64, size: Size) -> String {
    format!("prod/{}/orders-{grant:07}/primary", service_of(grant, size))
}

pub fn holder_of(grant: u64, size: Size) -> String {
    person(grant / size.grants_each)
}

/// Its id, as the API writes it.
pub fn id_of(grant: u64) -> String {
    uuid::Uuid::from_u128(u128::from(grant) + 1).to_string()
}

fn directory(size: Size) -> String {
    let mut all = Organisation::of_tenants(&[]);
    for (name, role) in
        [("omar", "admin"), ("ines", "admin"), ("ana", "engineer"), ("ben", "commander"), (REVOKER, "security")]
    {
        all.member(name, role).identities = [identity_of("person", name).to_string()].into();
    }
    let services = (0..size.services).map(|n| (service(n), format!("prod/{}/**", service(n))));
    for (name, audience) in services.chain([(WIDE.to_owned(), "prod/**".to_owned())]) {
        let account = all.machine(&name, "omar", "enforcement-point");
        account.identities = [identity_of("service", &name).to_string()].into();
        account.audience = vec![audience];
    }
    all.to_toml()
}

/// Writes an authority, the broker's certificate and one for each client.
pub fn write_certificates(folder: &Path, size: Size) {
    let clients = (0..size.services).map(service).chain([WIDE.to_owned(), REVOKER.to_owned()]);
    write_all(folder, clients, |name| {
        identity_of(if name == REVOKER { "person" } else { "service" }, name).to_string()
    });
}

/// Makes the journal; each grant ends when `end` says.
pub fn fill(path: &Path, size: Size, end: impl Fn(u64) -> Timestamp) {
    let directory = directory(size);
    filled::fill(path, Files { policy: POLICY, directory: &directory }, |state| {
        let ana = Likeness::of(state, "ana");
        let like = granted(state.clone());
        let people = (0..size.grants / size.grants_each).map(person);
        let people = people.flat_map(move |name| ana.recorded(&name, identity_of("person", &name), None));
        people.chain((0..size.grants).map(move |number| grant(&like, number, size, end(number))))
    });
}

/// A grant that ana asked for and ben approved, to be given to everybody.
fn granted(mut state: State) -> Grant {
    let now = SystemClock.read().wall;
    let asking = Ask::of("repair", &["db.read", "db.write"], &["prod/s0000/**"]).lasting("12h").with(|request| {
        request.justification = "orders are stuck since noon".to_owned();
        request.ticket = None;
    });
    let elevation = filled::asked(&mut state, now, identity_of("person", "ana"), asking.command());
    filled::approved(&mut state, now, identity_of("person", "ben"), &elevation).1
}

fn grant(like: &Grant, number: u64, size: Size, end: Timestamp) -> Fact {
    let holder = holder_of(number, size);
    let resource = resource_of(number, size).replace("primary", "**").parse().unwrap();
    let id = uuid::Uuid::from_u128(u128::from(number) + 1);
    Fact::Grant(GrantFact::Issued(Box::new(Grant {
        id: id.into(),
        elevation: id.into(),
        holder: holder.parse().unwrap(),
        person: holder.parse().unwrap(),
        behind: [holder.parse().unwrap()].into(),
        scope: Scope::new(like.scope.actions().clone(), [resource].into()).unwrap(),
        end,
        ..like.clone()
    })))
}
