//! People and their accounts: the facts that eligibility rests on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ids::{AccountId, Identity, PersonId, RequirementName, RoleName, TenantName, TrustDomain};
use super::scope::Pattern;
use super::time::Timestamp;

/// A human.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Identities that mean the person while there is no account; enrolment moves them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub login: BTreeSet<Identity>,
    /// The manager of record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<PersonId>,
    /// What the person proved, and when last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attestations: BTreeMap<RequirementName, Timestamp>,
    /// Whether the person works here.
    pub employment: Employment,
}

/// Whether a person works here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Employment {
    /// Works here.
    Employed,
    /// No longer in the directory. Nothing of this person's is eligible.
    Left,
}

/// What an account is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AccountKind {
    /// Of a person of the service team.
    ServiceTeam {
        /// Whose.
        person: PersonId,
    },
    /// Of a machine.
    Service {
        /// The person who answers for it.
        owner: PersonId,
        /// For whom it asks.
        acts_for: ActsFor,
    },
    /// Of a person of one tenant.
    Customer {
        /// Whose.
        person: PersonId,
        /// The tenant.
        tenant: TenantName,
    },
}

/// For whom a machine asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActsFor {
    /// `"itself"`: no person is named in its requests.
    Itself,
    /// `"people"`: each request names one.
    People,
}

/// Whether an account can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AccountState {
    /// It can.
    Active,
    /// It cannot now, and says why.
    Disabled {
        /// For people to read.
        reason: String,
    },
    /// It never can again.
    Closed,
}

/// A membership of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Its end; none: it has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Membership {
    /// Its end: the latest instant there is, if it has none of its own.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.until.unwrap_or(Timestamp::MAX)
    }
}

/// An identity's place in the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Of whom or what.
    pub kind: AccountKind,
    /// Certificates that mean this account. No identity means two accounts (THREATS D8).
    pub identities: BTreeSet<Identity>,
    /// What it may check, as an enforcement point.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub audience: BTreeSet<Pattern>,
    /// Its roles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<RoleName, Membership>,
    /// Its own end, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Whether it can be used.
    pub state: AccountState,
}

impl Account {
    /// The person behind it: whose account it is, or who owns the machine.
    #[must_use]
    pub fn person(&self) -> &PersonId {
        match &self.kind {
            AccountKind::ServiceTeam { person } | AccountKind::Customer { person, .. } => person,
            AccountKind::Service { owner, .. } => owner,
        }
    }

    /// Whether it is a machine's.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        matches!(self.kind, AccountKind::Service { .. })
    }

    /// Its end: the latest instant there is, if it has none of its own.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.until.unwrap_or(Timestamp::MAX)
    }
}

/// Who holds a grant, or would: as it was when it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct HeldBy<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The person whom caps and continuity count.
    pub person: &'a PersonId,
    /// For whom a machine asked.
    pub on_behalf_of: Option<&'a PersonId>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The one trust domain that its identities belong to.
    pub trust_domain: TrustDomain,
}

/// A whole directory file, parsed; consistent in itself (every person and manager named exists, no identity twice).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// `[tenants.<name>]`.
    pub tenants: BTreeMap<TenantName, Tenant>,
    /// `[people.<id>]`.
    pub people: BTreeMap<PersonId, Person>,
    /// `[accounts.<id>]`.
    pub accounts: BTreeMap<AccountId, Account>,
}
