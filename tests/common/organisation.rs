//! Organisations of tests and benches: who works there, as values that a test changes, and as the directory file that they
//! make. One of them is the example of the tests of the core.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test crate uses a part of it; a test may panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// When everything begins, in RFC 3339.
pub const NOON: &str = "2026-11-22T12:00:00Z";

/// A directory before it is written as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    pub tenants: BTreeSet<String>,
    pub people: BTreeMap<String, Person>,
    pub accounts: BTreeMap<String, Account>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    pub manager: Option<String>,
    pub login: BTreeSet<String>,
    /// From the requirement to the instant of its attestation.
    pub attestations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    pub person: Option<String>,
    /// Of a customer.
    pub tenant: Option<String>,
    pub owner: Option<String>,
    pub acts_for_people: bool,
    pub identities: BTreeSet<String>,
    /// From the role to the membership's end, if it has one.
    pub roles: BTreeMap<String, Option<String>>,
    pub until: Option<String>,
    pub disabled: Option<String>,
    /// What it may check.
    pub audience: Vec<String>,
}

/// The certificate identity of an account of this name: what a tenant has begins with its name and a dot.
pub fn identity(name: &str) -> String {
    let domain = name.split_once('.').map_or("northwind", |(tenant, _)| tenant);
    format!("spiffe://{domain}.example/{name}")
}

impl Organisation {
    /// Nobody, and these customers.
    pub fn of_tenants(tenants: &[&str]) -> Self {
        let tenants = tenants.iter().map(|tenant| (*tenant).to_owned()).collect();
        Self { tenants, people: BTreeMap::new(), accounts: BTreeMap::new() }
    }

    /// Two engineers, two commanders, two on security duty, their manager, two administrators and two who
    /// propose what tests change, an auditor, a revoker, a machine that asks for itself and one that asks for people.
    pub fn example() -> Self {
        let mut all = Self::of_tenants(&["acme", "zeta"]);
        for (name, manager, roles) in [
            ("ana", Some("ines"), vec!["engineer"]),
            ("dan", Some("ines"), vec!["engineer"]),
            ("ben", Some("ines"), vec!["commander"]),
            ("cleo", Some("ines"), vec!["commander"]),
            ("sam", Some("omar"), vec!["security"]),
            ("eve", Some("omar"), vec!["security"]),
            ("ines", Some("omar"), vec![]),
            ("odo", Some("omar"), vec![]),
            ("omar", None, vec!["admin"]),
            ("olga", None, vec!["admin"]),
            ("lea", None, vec!["admin"]),
            ("lou", None, vec!["admin"]),
            ("aud", Some("omar"), vec!["auditor"]),
            ("rex", Some("omar"), vec!["revoker"]),
        ] {
            all.person(name, manager);
            all.account(name, name).roles = roles.into_iter().map(|role| (role.to_owned(), None)).collect();
        }
        all.account("ana-lab", "ana");
        all.person("pia", Some("ines")).login.insert(identity("pia"));
        for (name, acts_for_people) in [("bot", false), ("pipe", true)] {
            all.machine(name, "odo", "robot").acts_for_people = acts_for_people;
        }
        all
    }

    /// Adds somebody with every attestation, made at the beginning.
    pub fn person(&mut self, name: &str, manager: Option<&str>) -> &mut Person {
        let attestations = ["screening", "training", "dba"].map(|name| (name.to_owned(), NOON.to_owned()));
        let person =
            Person { manager: manager.map(str::to_owned), login: BTreeSet::new(), attestations: attestations.into() };
        self.people.entry(name.to_owned()).insert_entry(person).into_mut()
    }

    /// Adds an account of a person.
    pub fn account(&mut self, name: &str, person: &str) -> &mut Account {
        let account =
            Account { person: Some(person.to_owned()), identities: [identity(name)].into(), ..Account::default() };
        self.accounts.entry(name.to_owned()).insert_entry(account).into_mut()
    }

    /// Adds somebody without attestations, with an account of the same name in one role.
    pub fn member(&mut self, name: &str, role: &str) -> &mut Account {
        self.people.insert(name.to_owned(), Person::default());
        let account = self.account(name, name);
        account.roles.insert(role.to_owned(), None);
        account
    }

    /// Adds a machine in one role.
    pub fn machine(&mut self, name: &str, owner: &str, role: &str) -> &mut Account {
        let machine = Account {
            owner: Some(owner.to_owned()),
            identities: [identity(name)].into(),
            roles: [(role.to_owned(), None)].into(),
            ..Account::default()
        };
        self.accounts.entry(name.to_owned()).insert_entry(machine).into_mut()
    }

    /// Two customers, each with two who approve, one who asks, and a feed of its own.
    pub fn with_customers(mut self) -> Self {
        for tenant in ["acme", "zeta"] {
            for (who, role) in
                [("lena", "mail-approver"), ("kim", "mail-approver"), ("moe", "mail-user"), ("feed", "tenant-feed")]
            {
                self.member(&format!("{tenant}.{who}"), role).tenant = Some(tenant.to_owned());
            }
        }
        self
    }

    /// Puts an account into a role for good.
    pub fn join(&mut self, account: &str, role: &str) {
        self.accounts.get_mut(account).unwrap().roles.insert(role.to_owned(), None);
    }

    /// Takes an account out of a role.
    pub fn leave(&mut self, account: &str, role: &str) {
        self.accounts.get_mut(account).unwrap().roles.remove(role).unwrap();
    }

    /// Takes a person and their accounts, but not their machines, out of the directory.
    pub fn remove_person(&mut self, name: &str) {
        self.people.remove(name).unwrap();
        self.accounts.retain(|_, account| account.person.as_deref() != Some(name));
        for person in self.people.values_mut().filter(|person| person.manager.as_deref() == Some(name)) {
            person.manager = None;
        }
    }

    /// The file.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for tenant in &self.tenants {
            writeln!(text, "[tenants.{tenant}]\ntrust_domain = \"{tenant}.example\"").unwrap();
        }
        for (name, person) in &self.people {
            writeln!(text, "[people.{name:?}]\nlogin = {:?}", person.login.iter().collect::<Vec<_>>()).unwrap();
            if let Some(manager) = &person.manager {
                writeln!(text, "manager = {manager:?}").unwrap();
            }
            let attested = person.attestations.iter().map(|(name, at)| format!("{name} = {at}"));
            writeln!(text, "attestations = {{ {} }}", attested.collect::<Vec<_>>().join(", ")).unwrap();
        }
        for (name, account) in &self.accounts {
            writeln!(text, "[accounts.{name:?}]").unwrap();
            let named = [("person", &account.person), ("owner", &account.owner), ("tenant", &account.tenant)];
            for (key, person) in named {
                if let Some(person) = person {
                    writeln!(text, "{key} = {person:?}").unwrap();
                }
            }
            if account.acts_for_people {
                writeln!(text, "acts_for = \"people\"").unwrap();
            }
            let roles = account.roles.iter().map(|(role, until)| match until {
                None => format!("{role:?}"),
                Some(until) => format!("{{ role = {role:?}, until = {until} }}"),
            });
            writeln!(text, "roles = [{}]", roles.collect::<Vec<_>>().join(", ")).unwrap();
            writeln!(text, "identities = {:?}", account.identities.iter().collect::<Vec<_>>()).unwrap();
            if !account.audience.is_empty() {
                writeln!(text, "audience = {:?}", account.audience).unwrap();
            }
            if let Some(until) = &account.until {
                writeln!(text, "until = {until}").unwrap();
            }
            if let Some(reason) = &account.disabled {
                writeln!(text, "disabled = {reason:?}").unwrap();
            }
        }
        text
    }
}

/// What the policy has for customers.
pub const CUSTOMERS: &str = r#"
[roles.mail-approver]
for = "customers"
approves_for_tenant = true
[roles.mail-user]
for = "customers"
[roles.tenant-feed]
for = "customers"
capabilities = ["hr.feed"]

[entitlements.mailbox]
title = "Look into a customer's mailbox"
actions = ["mail.read"]
resources = ["tenants/*/mail/**"]
requestable_by = ["engineer", "mail-user"]
max_duration = "1h"
approval = [{ by = ["security"], count = 1 }, { by = ["@tenant"], count = 1 }]
"#;

/// The policy that goes with it.
pub const POLICY: &str = r#"
[baseline]
requires = ["screening"]
allows = [{ actions = ["metadata.read"], resources = ["status/**"] }]
[requirements.screening]
valid_for = "never"
[requirements.training]
valid_for = "365d"
[requirements.dba]
valid_for = "180d"
[limits]
pending_per_person = 3
live_grants_per_person = 3

[roles.engineer]
requires = ["dba"]
[roles.commander]
owner = "ines"
[roles.security]
requires = ["training"]
[roles.admin]
capabilities = ["policy.propose", "directory.propose"]
[roles.auditor]
capabilities = ["audit.read"]
[roles.revoker]
capabilities = ["grant.revoke"]
[roles.robot]
for = "machines"

[entitlements.repair]
title = "Repair the orders database"
actions = ["db.read", "db.write"]
resources = ["prod/*/db/orders/**"]
requestable_by = ["engineer"]
default_duration = "15m"
max_duration = "1h"
max_continuous = "2h"
review_within = "30m"
justification = { min_length = 5 }
ticket = "INC-[0-9]+"
approval = [{ by = ["commander"], count = 1 }]

[entitlements.critical]
title = "Whatever it takes"
actions = ["db.read", "db.write", "db.admin"]
resources = ["prod/**"]
requestable_by = ["engineer"]
max_duration = "30m"
approval = [{ by = ["commander", "security"], count = 2 }, { by = ["security"], count = 1 }]

[entitlements.maintenance]
title = "Planned work"
actions = ["db.read", "db.schema"]
resources = ["prod/*/db/**"]
requestable_by = ["engineer"]
max_duration = "2h"
review_within = "3d"
start_within = "7d"
approval = [{ by = ["commander"], count = 1 }]

[entitlements.managed]
title = "What a manager answers for"
actions = ["report.read"]
resources = ["reports/**"]
requestable_by = ["engineer", "robot"]
max_duration = "1h"
start_within = "7d"
approval = [{ by = ["@manager"], count = 1 }]

[entitlements.deploy]
title = "Deploy"
actions = ["deploy.run"]
resources = ["prod/*/apps/*"]
requestable_by = ["robot", "engineer"]
max_duration = "30m"
approval = [{ by = ["commander"], count = 1 }]

[entitlements.support]
title = "Look at a tenant's data"
actions = ["db.read"]
resources = ["tenants/acme/db/**", "tenants/zeta/db/**"]
requestable_by = ["engineer"]
max_duration = "1h"
tenant_approval = "none"
approval = [{ by = ["security"], count = 1 }]
"#;
