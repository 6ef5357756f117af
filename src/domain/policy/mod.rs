//! What policy says, parsed: requirements, roles, entitlements and their terms, limits (design.md 7).
//!
//! A [`Policy`] in hand is consistent: the first separation rule holds in it, every name it uses exists, and every stage
//! asks for somebody. [`parse_policy`] makes it, or reports every mistake.

pub(crate) mod document;
mod entitlement_file;
mod file;
mod limits;
mod mistake;
mod persons;
pub(crate) mod reader;
mod role_file;
mod separation;
mod stage_file;
mod together;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::directory::{Account, AccountKind};
use super::value::identity_pattern::IdentityPattern;
use super::value::ids::{Digest, EntitlementName, PersonId, RequirementName, RoleName};
use super::value::scope::{Action, Pattern, Resource, Scope};
use super::value::time::{Span, Timestamp};

pub use file::{LONGEST_POLICY_BYTES, ParsedPolicy, parse_policy};
pub use limits::{Limits, TenantLimits};
#[cfg(feature = "server")]
pub(crate) use mistake::nearest;
pub use mistake::{Mistake, Places, SourceFile, Warning};
pub use separation::{Conflict, fits, may_approve, separation_rule_1, separation_rule_2};
pub use together::check_together;

/// The resource that a capability is a right on, where policy has put it behind an entitlement.
pub const BROKER: &str = "countersign/broker";
/// What the action of a capability begins with.
pub const ACTION_PREFIX: &str = "countersign.";

/// A whole policy file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// SHA-256 of the file's bytes: what a later proposal must name as the file that it replaces.
    pub digest: Option<Digest>,
    /// Identities that belong to persons alone: no machine is known by one.
    pub person_identities: BTreeSet<IdentityPattern>,
    /// What every account of the service team needs, and may do.
    pub baseline: Baseline,
    /// What a person can be asked to have proved.
    pub requirements: BTreeMap<RequirementName, Requirement>,
    /// Caps.
    pub limits: Limits,
    /// `[tenant_limits]`.
    pub tenant_limits: TenantLimits,
    /// Job functions.
    pub roles: BTreeMap<RoleName, Role>,
    /// What is offered.
    pub entitlements: BTreeMap<EntitlementName, Entitlement>,
}

/// `[baseline]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baseline {
    /// Every person with an account needs these, whatever the role.
    pub requires: BTreeSet<RequirementName>,
    /// What an account may do without a grant: metadata only.
    pub allows: Vec<Scope>,
    /// Who approves that a person gets an account.
    pub approval: Vec<Stage>,
    /// Who approves in place of a manager, where there is none; empty: refused.
    pub manager_missing: BTreeSet<RoleName>,
    /// How long memberships outlast a transfer.
    pub transfer_grace: Span,
}

/// `[requirements.<name>]`: how long an attestation of it is valid; `None`: it never lapses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// From the attestation to its lapse.
    pub valid_for: Option<Span>,
}

impl Requirement {
    /// When an attestation made at `attested` lapses: never, if there is no limit.
    #[must_use]
    pub fn lapses_at(&self, attested: Timestamp) -> Timestamp {
        self.valid_for.map_or(Timestamp::MAX, |valid_for| attested.plus(valid_for))
    }
}

/// Whom a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberKind {
    /// Accounts of the service team.
    People,
    /// Service accounts.
    Machines,
    /// Accounts of a tenant's people.
    Customers,
}

impl MemberKind {
    /// The kind of roles that an account may be a member of.
    #[must_use]
    pub fn of(account: &Account) -> Self {
        match account.kind {
            AccountKind::ServiceTeam { .. } => Self::People,
            AccountKind::Service { .. } => Self::Machines,
            AccountKind::Customer { .. } => Self::Customers,
        }
    }

    /// The text that policy uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Machines => "machines",
            Self::Customers => "customers",
        }
    }
}

/// `[roles.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// What its members need beyond the baseline.
    pub requires: BTreeSet<RequirementName>,
    /// Who answers for it.
    pub owner: Option<PersonId>,
    /// How long a membership may last.
    pub longest_membership: Option<Span>,
    /// Whom it is for.
    pub member_kind: MemberKind,
    /// `@tenant` means its members, each for their own tenant.
    pub approves_for_tenant: bool,
    /// Standing power over the broker itself.
    pub capabilities: Vec<Capability>,
}

/// What a capability lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CapabilityName {
    /// Check grants within one's audience.
    #[serde(rename = "access.check")]
    AccessCheck,
    /// Record attestations.
    #[serde(rename = "attestation.record")]
    AttestationRecord,
    /// Read every event.
    #[serde(rename = "audit.read")]
    AuditRead,
    /// Propose directories, and approve those of others.
    #[serde(rename = "directory.propose")]
    DirectoryPropose,
    /// Release the brake of the HR feed.
    #[serde(rename = "feed.release")]
    FeedRelease,
    /// Revoke any grant.
    #[serde(rename = "grant.revoke")]
    GrantRevoke,
    /// Send HR events.
    #[serde(rename = "hr.feed")]
    HrFeed,
    /// Lock and unlock.
    #[serde(rename = "lock.manage")]
    LockManage,
    /// Propose policies, and approve those of others.
    #[serde(rename = "policy.propose")]
    PolicyPropose,
}

impl CapabilityName {
    /// All of them, with the text that policy uses.
    pub const ALL: [(&'static str, Self); 9] = [
        ("access.check", Self::AccessCheck),
        ("attestation.record", Self::AttestationRecord),
        ("audit.read", Self::AuditRead),
        ("directory.propose", Self::DirectoryPropose),
        ("feed.release", Self::FeedRelease),
        ("grant.revoke", Self::GrantRevoke),
        ("hr.feed", Self::HrFeed),
        ("lock.manage", Self::LockManage),
        ("policy.propose", Self::PolicyPropose),
    ];

    /// The text that policy uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, name)| *name == self).map_or("", |(text, _)| text)
    }
}

/// A capability as a role carries it; narrowed where the sets are not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// Which.
    pub name: CapabilityName,
    /// Narrowed to these requirements.
    pub requirements: BTreeSet<RequirementName>,
    /// Narrowed to these resources.
    pub resources: BTreeSet<Pattern>,
}

/// Who may approve in a stage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Approver {
    /// The members of a role.
    Role(RoleName),
    /// `@manager`: the requester's manager of record.
    Manager,
    /// `@role-owner`: the owner of the role that is asked for (enrolments alone).
    RoleOwner,
    /// `@tenant`: the approvers of the tenant that is touched.
    Tenant,
    /// `@policy.propose`, `@directory.propose`: whoever may use the capability (proposals alone).
    Capability(CapabilityName),
}

/// One step of a review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Who may approve: never empty.
    pub by: BTreeSet<Approver>,
    /// How many distinct persons must: at least 1.
    pub count: u32,
}

/// `[entitlements.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// One line for people; not part of the terms.
    pub title: String,
    /// More for people; not part of the terms.
    pub description: String,
    /// All that has a legal effect.
    pub terms: Terms,
    /// SHA-256 of the terms under which an approval is given.
    pub terms_digest: Digest,
}

/// The terms of an entitlement: all of it but title and description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// What may be asked for.
    pub scope: Scope,
    /// Who may ask: never empty.
    pub requestable_by: BTreeSet<RoleName>,
    /// Where a request says none.
    pub default_duration: Span,
    /// The longest that may be asked for: 1 s to 24 h.
    pub max_duration: Span,
    /// How long one person may hold it without a break.
    pub max_continuous: Option<Span>,
    /// The shortest break that ends that; there where it is capped.
    pub min_break: Option<Span>,
    /// How long a request waits for its decisions.
    pub review_within: Span,
    /// How far ahead a start may be asked for; none: no start may.
    pub start_within: Option<Span>,
    /// The least length of a justification in characters; none: no justification is needed.
    pub justification_min_length: Option<u32>,
    /// What a ticket must match, whole; none: no ticket is needed.
    pub ticket: Option<TicketPattern>,
    /// Who must approve: never empty.
    pub approval: Vec<Stage>,
    /// The emergency way, if there is one.
    pub emergency: Option<Emergency>,
    /// Whether what it reaches in a tenant's space needs that tenant's approval.
    pub tenant_approval: bool,
}

/// `emergency = {…}`: its own shorter duration and its own approvers, who count as approvers in rules 1 and 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Emergency {
    /// The longest that may be asked for.
    pub max_duration: Span,
    /// Who must approve.
    pub approval: Vec<Stage>,
    /// When the ordinary approvers must have looked at it.
    pub follow_up_within: Span,
}

/// One way to an entitlement.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// Who must approve.
    pub approval: &'a [Stage],
    /// The longest that may be asked for.
    pub max_duration: Span,
}

impl Terms {
    /// The first instant at which one person has held it for too long without a break; never, where there is no cap.
    #[must_use]
    pub fn continuous_end(&self, continuous_since: Timestamp) -> Timestamp {
        self.max_continuous.map_or(Timestamp::MAX, |longest| continuous_since.plus(longest))
    }

    /// The ordinary way, or that of emergencies, if there is one.
    #[must_use]
    pub fn way(&self, emergency: bool) -> Option<Way<'_>> {
        if !emergency {
            return Some(Way { approval: &self.approval, max_duration: self.max_duration });
        }
        self.emergency.as_ref().map(|way| Way { approval: &way.approval, max_duration: way.max_duration })
    }

    /// SHA-256 over the JSON of the terms; fields in declared order, sets in their own.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Whether a stage asks the tenant that is touched.
    #[must_use]
    pub fn asks_tenant(&self) -> bool {
        let emergency = self.emergency.iter().flat_map(|emergency| &emergency.approval);
        self.approval.iter().chain(emergency).any(|stage| stage.by.contains(&Approver::Tenant))
    }

    /// Everybody whom a stage names, the emergency way included.
    pub(super) fn approvers(&self) -> impl Iterator<Item = &Approver> {
        let emergency = self.emergency.iter().flat_map(|emergency| &emergency.approval);
        self.approval.iter().chain(emergency).flat_map(|stage| &stage.by)
    }

    /// Every role that a stage names (rules 1 and 2 count both ways alike).
    pub(super) fn approving_roles(&self) -> impl Iterator<Item = &RoleName> {
        self.approvers().filter_map(|approver| match approver {
            Approver::Role(role) => Some(role),
            Approver::Manager | Approver::RoleOwner | Approver::Tenant | Approver::Capability(_) => None,
        })
    }
}

/// An anchored, bounded regular expression for ticket ids; compared by its text.
#[derive(Debug, Clone)]
pub struct TicketPattern {
    text: String,
    regex: regex::Regex,
}

impl TicketPattern {
    /// # Errors
    /// What is wrong with the expression, or that it is too large (256 bytes of text, 64 KiB compiled).
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > 256 {
            return Err("a ticket pattern has at most 256 bytes".into());
        }
        // Checked by itself first, so that an unbalanced group cannot escape the anchors put around it.
        let build = |text: &str| {
            regex::RegexBuilder::new(text).unicode(false).size_limit(65_536).dfa_size_limit(65_536).build()
        };
        build(text).map_err(|error| error.to_string())?;
        let regex = build(&format!("^(?:{text})$")).map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// The expression as policy wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole ticket matches.
    #[must_use]
    pub fn matches(&self, ticket: &str) -> bool {
        ticket.len() <= 128 && !ticket.contains(['\n', '\r']) && self.regex.is_match(ticket)
    }
}

impl PartialEq for TicketPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for TicketPattern {}
impl Serialize for TicketPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl Serialize for Approver {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Approver {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
impl std::fmt::Display for Approver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Role(role) => f.write_str(role.as_str()),
            Self::Manager => f.write_str("@manager"),
            Self::RoleOwner => f.write_str("@role-owner"),
            Self::Tenant => f.write_str("@tenant"),
            Self::Capability(name) => write!(f, "@{}", name.as_str()),
        }
    }
}
impl std::str::FromStr for Approver {
    type Err = super::value::ids::InvalidId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "@manager" => Ok(Self::Manager),
            "@role-owner" => Ok(Self::RoleOwner),
            "@tenant" => Ok(Self::Tenant),
            "@policy.propose" => Ok(Self::Capability(CapabilityName::PolicyPropose)),
            "@directory.propose" => Ok(Self::Capability(CapabilityName::DirectoryPropose)),
            role => role
                .parse()
                .map(Self::Role)
                .map_err(|_| super::value::ids::InvalidId::new(text, "a role, `@manager`, `@role-owner` or `@tenant`")),
        }
    }
}

impl Policy {
    /// Every role that may approve under terms: those that a stage names, and if a stage says `@tenant`, the roles that
    /// it means.
    pub fn approving_roles<'a>(&'a self, terms: &'a Terms) -> impl Iterator<Item = &'a RoleName> {
        let asks_tenant = terms.asks_tenant();
        let of_tenants = self.tenant_approvers().filter(move |_| asks_tenant);
        terms.approving_roles().chain(of_tenants)
    }

    /// The roles that `@tenant` means.
    pub fn tenant_approvers(&self) -> impl Iterator<Item = &RoleName> {
        self.roles.iter().filter(|(_, role)| role.approves_for_tenant).map(|(name, _)| name)
    }

    /// The entitlements that offer `action` on `resource`: for `check --explain`.
    #[must_use]
    pub fn offers(&self, action: &Action, resource: &Resource) -> Vec<&EntitlementName> {
        let covering =
            self.entitlements.iter().filter(|(_, entitlement)| entitlement.terms.scope.covers(action, resource));
        covering.map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_counts_from_when_an_entitlement_is_held_without_a_break() {
        // given terms with a cap, and the same without
        let policy = parse_policy(include_str!("../../../examples/policy.toml")).unwrap().policy;
        let capped = policy.entitlements.values().find(|it| it.terms.max_continuous.is_some()).unwrap().terms.clone();
        let uncapped = Terms { max_continuous: None, ..capped.clone() };
        // then the end follows from the beginning and the cap alone
        let since = Timestamp::from_millis(5_000).unwrap();
        assert_eq!(capped.continuous_end(since), since.plus(capped.max_continuous.unwrap()));
        assert_eq!(uncapped.continuous_end(since), Timestamp::MAX);
    }
}
