//! What somebody may, in the words in which a proposal names it to whoever approves it.

use std::collections::BTreeSet;

use crate::domain::directory::{AccountKind, ActsFor};
use crate::domain::policy::CapabilityName;
use crate::domain::value::ids::{EntitlementName, PersonId, RequirementName, RoleName, TenantName};
use crate::domain::value::scope::Pattern;
use crate::domain::value::time::Timestamp;

/// Something that somebody may.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Ask for an entitlement.
    Ask(EntitlementName),
    /// Ask for more of it, for longer, or past fewer hurdles; taken away: less.
    Terms(EntitlementName),
    /// Approve it, in a role.
    Approve(EntitlementName),
    /// Use a capability, narrowed to these.
    Use(CapabilityName, BTreeSet<String>),
    /// Check what lies here.
    Check(Pattern),
    /// Answer for somebody, as the manager of record.
    Manage(PersonId),
    /// Do so without a requirement.
    Without(RequirementName),
    /// Be known by another certificate.
    Identity(String),
    /// What the baseline allows to everybody.
    Baseline(String),
    /// Have an attestation hold for longer.
    Valid(RequirementName),
    /// Answer for a role, as its owner.
    Answer(RoleName),
    /// Decide in the place of a manager who is missing.
    StandIn,
    /// Decide whether somebody gets an account.
    Admit,
    /// Decide on the enrolments of somebody who has no manager.
    StandInFor(PersonId),
    /// Be used until then, or without an end.
    Last(Option<Timestamp>),
    /// Be used, after it was shut or in a way that can be undone.
    InUse,
    /// Be whose and what it was not.
    Kind(AccountKind),
    /// Check what lies here, from the day on which a role lets it check.
    Audience(Pattern),
    /// Be in a role until then, or without an end.
    Hold(RoleName, Option<Timestamp>),
    /// Count as proved.
    Proof(RequirementName, Timestamp),
    /// Be answered for by somebody else, or by nobody.
    Manager(Option<PersonId>),
    /// Work here until then, or without an end.
    Employment(Option<Timestamp>),
    /// Belong to another organisation.
    Side(Option<TenantName>),
    /// Be given to by files again.
    Untouched,
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ask(name) => write!(f, "ask for `{name}`"),
            Self::Terms(name) => write!(f, "wider terms of `{name}`"),
            Self::Approve(name) => write!(f, "approve `{name}`"),
            Self::Use(capability, narrowed) if narrowed.is_empty() => write!(f, "use `{}`", capability.as_str()),
            Self::Use(capability, narrowed) => {
                let narrowed: Vec<&str> = narrowed.iter().map(String::as_str).collect();
                write!(f, "use `{}` of {}", capability.as_str(), narrowed.join(" "))
            }
            Self::Check(pattern) => write!(f, "check `{pattern}`"),
            Self::Manage(person) => write!(f, "answer for `{person}`"),
            Self::Without(requirement) => write!(f, "do without `{requirement}`"),
            Self::Identity(identity) => write!(f, "be `{identity}`"),
            Self::Baseline(scope) => write!(f, "without a grant: {scope}"),
            Self::Valid(requirement) => write!(f, "a longer `{requirement}`"),
            Self::Answer(role) => write!(f, "answer for the role `{role}`"),
            Self::StandIn => f.write_str("decide where a manager is missing"),
            Self::Admit => f.write_str("decide who gets an account"),
            Self::StandInFor(person) => write!(f, "decide for `{person}`, who has no manager"),
            Self::Last(until) => write!(f, "be used {}", end(*until)),
            Self::InUse => f.write_str("be in use again"),
            Self::Kind(kind) => write_kind(f, kind),
            Self::Audience(pattern) => write!(f, "check `{pattern}` once a role lets it check"),
            Self::Hold(role, until) => write!(f, "be in `{role}` {}", end(*until)),
            Self::Proof(requirement, at) => write!(f, "an attestation of `{requirement}` at {at}"),
            Self::Manager(Some(manager)) => write!(f, "the manager `{manager}`"),
            Self::Manager(None) => f.write_str("no manager"),
            Self::Employment(until) => write!(f, "employment {}", end(*until)),
            Self::Side(Some(tenant)) => write!(f, "be of tenant `{tenant}`"),
            Self::Side(None) => f.write_str("be of the own organisation"),
            Self::Untouched => f.write_str("take what files give again"),
        }
    }
}

fn end(until: Option<Timestamp>) -> String {
    until.map_or_else(|| "without an end".to_owned(), |until| format!("until {until}"))
}

fn write_kind(f: &mut std::fmt::Formatter<'_>, kind: &AccountKind) -> std::fmt::Result {
    match kind {
        AccountKind::ServiceTeam { person } => write!(f, "be an account of `{person}`"),
        AccountKind::Customer { person, tenant } => write!(f, "be an account of `{person}` of tenant `{tenant}`"),
        AccountKind::Service { owner, acts_for } => {
            let whom = match acts_for {
                ActsFor::Itself => "itself",
                ActsFor::People => "people",
            };
            write!(f, "be a machine of `{owner}` that asks for {whom}")
        }
    }
}
