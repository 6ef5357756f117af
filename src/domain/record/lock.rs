//! Locks: an immediate stop. A lock changes no record: it is compared where something is asked for, approved, started
//! or checked, and what it stopped goes on when it is lifted.

use serde::{Deserialize, Serialize};

use crate::domain::value::ids::{AccountId, EntitlementName, LockId, PersonId, Principal, RoleName, TenantName};
use crate::domain::value::index::{Index, Map, Set};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::scope::{Pattern, PatternSegment, Scope, TENANTS};
use crate::domain::value::time::Timestamp;

/// An immediate stop, in force until it is lifted or its end is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Its id.
    pub id: LockId,
    /// What it is on.
    pub on: Locked,
    /// What becomes of what it touches.
    pub mode: LockMode,
    /// In the words of whoever made it; told to those whom it touches.
    pub reason: String,
    /// Who made it; none: the operator, by accepting that rows of the journal are lost.
    pub by: Option<Principal>,
    /// Since when.
    pub at: Timestamp,
    /// It is lifted at this instant, or later, never earlier; none: by a person alone.
    pub until: Option<Timestamp>,
}

/// What a lock is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Locked {
    /// One account.
    Account(AccountId),
    /// All accounts of a person, the machines that the person owns, and every grant that the person is behind.
    Person(PersonId),
    /// What is done by a role: asking, approving, its capabilities, grants asked for in it.
    Role(RoleName),
    /// An entitlement and its grants.
    Entitlement(EntitlementName),
    /// Resources, whoever would reach them.
    Resources(Pattern),
    /// A tenant's accounts and all its resources.
    Tenant(TenantName),
    /// Everything but taking away, and lifting this.
    Everything,
}

/// What becomes of what a lock touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// It is stopped while the lock lasts; grants keep their ends.
    Suspend,
    /// It is over: grants are revoked, pending requests cancelled, approvals void.
    Revoke,
}

/// The locks in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Locks {
    all: Map<LockId, Lock>,
    on: Index<Locked, LockId>,
    ends: Set<(Timestamp, LockId)>,
}

impl Locked {
    /// The resources that nobody reaches while it is in force.
    #[must_use]
    pub fn resources(&self) -> Vec<Pattern> {
        match self {
            Self::Resources(pattern) => vec![pattern.clone()],
            Self::Tenant(tenant) => Pattern::of_tenant(tenant),
            Self::Everything => Pattern::everything(),
            Self::Account(_) | Self::Person(_) | Self::Role(_) | Self::Entitlement(_) => Vec::new(),
        }
    }

    /// In words, as refusals and lists have it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Person(_) => "person",
            Self::Role(_) => "role",
            Self::Entitlement(_) => "entitlement",
            Self::Resources(_) => "resources",
            Self::Tenant(_) => "tenant",
            Self::Everything => "everything",
        }
    }
}

impl std::fmt::Display for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.kind();
        match self {
            Self::Account(id) => write!(f, "{kind} `{id}`"),
            Self::Person(id) => write!(f, "{kind} `{id}`"),
            Self::Role(name) => write!(f, "{kind} `{name}`"),
            Self::Entitlement(name) => write!(f, "{kind} `{name}`"),
            Self::Resources(pattern) => write!(f, "{kind} `{pattern}`"),
            Self::Tenant(name) => write!(f, "{kind} `{name}`"),
            Self::Everything => f.write_str(kind),
        }
    }
}

impl Lock {
    /// The refusal that it leads to, with its reason and end: whoever it touches may know both.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let until = self.until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {until}"));
        let detail = format!("{} is locked {until}, because: {}", self.on, excerpt(&self.reason));
        let refusal = Refusal::new(Reason::Locked, detail).with("lock", self.id).with("on", self.on.kind());
        match self.until {
            Some(until) => refusal.with("until", until),
            None => refusal,
        }
    }
}

fn excerpt(reason: &str) -> String {
    crate::domain::value::ids::excerpt(reason)
}

impl Locks {
    /// All of them, the oldest first.
    #[must_use]
    pub fn all(&self) -> &Map<LockId, Lock> {
        &self.all
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: LockId) -> Option<&Lock> {
        self.all.get(&id)
    }

    /// One on exactly this.
    #[must_use]
    pub fn on(&self, locked: &Locked) -> Option<&Lock> {
        self.on.of(locked).next().and_then(|id| self.all.get(id))
    }

    /// The first end, for the timer.
    #[must_use]
    pub fn first_end(&self) -> Option<Timestamp> {
        self.ends.get_min().map(|(at, _)| *at)
    }

    /// Those whose end has come by `earliest`: late, never early.
    pub fn over(&self, earliest: Timestamp) -> impl Iterator<Item = LockId> + '_ {
        self.ends.iter().take_while(move |(at, _)| at.is_over(earliest)).map(|(_, id)| *id)
    }

    /// Everything that no check allows anything on.
    #[must_use]
    pub fn resources(&self) -> std::collections::BTreeSet<Pattern> {
        self.all.values().flat_map(|lock| lock.on.resources()).collect()
    }

    /// One on resources that a pattern reaches.
    #[must_use]
    pub fn on_any_of(&self, scope: &Scope) -> Option<&Lock> {
        let reaches = |locked: &Pattern| scope.resources().iter().any(|pattern| pattern.overlaps(locked));
        self.all.values().find(|lock| lock.on.resources().iter().any(reaches))
    }

    pub(in crate::domain) fn put(&mut self, lock: Lock) {
        self.remove(lock.id);
        self.on.insert(lock.on.clone(), lock.id);
        if let Some(until) = lock.until {
            self.ends.insert((until, lock.id));
        }
        self.all.insert(lock.id, lock);
    }

    pub(in crate::domain) fn remove(&mut self, id: LockId) {
        let Some(old) = self.all.remove(&id) else { return };
        self.on.remove(&old.on, &id);
        if let Some(until) = old.until {
            self.ends.remove(&(until, id));
        }
    }
}

impl Pattern {
    /// All that belongs to a tenant.
    fn of_tenant(tenant: &TenantName) -> Vec<Self> {
        all_of([format!("{TENANTS}/{tenant}"), format!("{TENANTS}/{tenant}/**")])
    }

    /// All there is: no wildcard takes in what belongs to tenants.
    fn everything() -> Vec<Self> {
        all_of(["**".to_owned(), format!("{TENANTS}/**")])
    }

    /// Whether a lock may be on it: it begins with a name. For wider patterns there is the lock on everything.
    #[must_use]
    pub fn may_be_locked(&self) -> bool {
        matches!(self.segments().first(), Some(PatternSegment::Literal(_)))
    }
}

fn all_of(texts: [String; 2]) -> Vec<Pattern> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::value::scope::Resource;

    #[test]
    fn a_tenants_lock_covers_all_that_is_the_tenants_and_the_lock_on_everything_all_there_is() {
        let covers = |on: &Locked, resource: &str| {
            let resource: Resource = resource.parse().unwrap();
            on.resources().iter().any(|pattern| pattern.covers(&resource))
        };
        let acme = Locked::Tenant("acme".parse().unwrap());
        for (resource, is_acmes) in
            [("tenants/acme", true), ("tenants/acme/db/x", true), ("tenants/acme-2/db", false), ("prod", false)]
        {
            assert_eq!(covers(&acme, resource), is_acmes, "{resource}");
            assert!(covers(&Locked::Everything, resource), "{resource}");
        }
    }
}
