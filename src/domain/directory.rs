//! People and their accounts: the facts from which eligibility is decided.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::value::ids::{
    AccountId, CampaignId, EnrolmentId, Identity, PersonId, Principal, RequirementName, RoleName, TenantName,
    TrustDomain,
};
use super::value::index::Map;
use super::value::scope::Pattern;
use super::value::time::{Span, Timestamp};

/// How long after a lapse an approved enrolment restores the memberships that it suspended.
pub const RESTORABLE: Span = Span::seconds(90 * 86_400);

/// A human.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Identities that mean the person while there is no account; enrolment moves them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub login: BTreeSet<Identity>,
    /// The tenant whose person this is, for good; none: of the own organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
    /// The manager of record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<PersonId>,
    /// What the person proved, and when last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attestations: BTreeMap<RequirementName, Timestamp>,
    /// Who recorded an attestation; one that came from a file is absent here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attested_by: BTreeMap<RequirementName, Principal>,
    /// Whether the person works here.
    pub employment: Employment,
    /// The first instant at which the person no longer does, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub employed_until: Option<Timestamp>,
    /// The transfers that are announced, in the order of their instants: [`ANNOUNCED_MOVES`](super::value::limits::ANNOUNCED_MOVES) at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
    /// Transferred to an unknown manager: until HR names one, no membership can be kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaits_manager: bool,
    /// The feed that brought the person: whoever answers for it stands in for no manager of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought_by: Option<BroughtBy>,
    /// A command or HR event has changed this person: a directory file no longer gives them anything (design.md 7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub touched: bool,
}

/// A feed that brought a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroughtBy {
    /// The account that sent it.
    pub sender: AccountId,
    /// Whose account that was, or who owned the machine, when it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<PersonId>,
}

/// Whether a person works here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Employment {
    /// Works here.
    #[default]
    Employed,
    /// Left, or is no longer in the directory. Nothing of this person's is eligible.
    Left,
}

/// A transfer to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// Its instant: from then on the new manager decides.
    pub at: Timestamp,
    /// The new manager; none: nobody known.
    pub manager: Option<PersonId>,
}

impl Person {
    /// The first instant at which the person no longer works here: the latest instant there is, if none is known.
    #[must_use]
    pub fn employment_ends_at(&self) -> Timestamp {
        self.employed_until.unwrap_or(Timestamp::MAX)
    }

    /// Whether the person works here at an instant: by comparison, whatever the timer has recorded.
    #[must_use]
    pub fn is_employed(&self, at: Timestamp) -> bool {
        self.employment == Employment::Employed && !self.employment_ends_at().is_over(at)
    }

    /// The manager of record at an instant: a transfer whose time has come counts, whatever the timer has recorded.
    #[must_use]
    pub fn manager_at(&self, at: Timestamp) -> Option<&PersonId> {
        let come = self.moves.iter().take_while(|moves| moves.at.is_over(at)).last();
        come.map_or(self.manager.as_ref(), |moves| moves.manager.as_ref())
    }

    /// The transfers that are announced, by their instants.
    #[must_use]
    pub fn announced_by_time(&self) -> BTreeMap<Timestamp, Option<PersonId>> {
        self.moves.iter().map(|moves| (moves.at, moves.manager.clone())).collect()
    }
}

impl Move {
    /// Transfers, one after another.
    #[must_use]
    pub fn in_order(moves: BTreeMap<Timestamp, Option<PersonId>>) -> Vec<Self> {
        moves.into_iter().map(|(at, manager)| Self { at, manager }).collect()
    }
}

/// Whose or what an account is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
        /// What did it, and so what can undo it.
        #[serde(default, skip_serializing_if = "Disabling::is_by_directory")]
        because: Disabling,
    },
    /// It never can again.
    Closed,
}

/// What disabled an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Disabling {
    /// The directory file: another file enables it.
    #[default]
    Directory,
    /// A requirement of the baseline lapsed: a renewed attestation and an approved enrolment enable it.
    Lapse,
    /// Its person left: it stays so. Who comes back starts with nothing.
    Termination,
}

impl AccountState {
    /// Whether it is over for good: who comes back starts with another.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        matches!(self, Self::Closed | Self::Disabled { because: Disabling::Termination, .. })
    }
}

impl Disabling {
    fn is_by_directory(&self) -> bool {
        *self == Self::Directory
    }
}

/// A membership of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Its end; none: it has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Since when it is held; none: as far back as the first directory goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// By whose approval; none: nobody's, but the directory file's or a feed's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<ApprovedBy>,
    /// The account that sent the feed which gave it; none: no feed did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fed_by: Option<AccountId>,
    /// Since when it cannot be used, because something that it rests on lapsed. It is restored within [`RESTORABLE`], or
    /// ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Timestamp>,
    /// Set if a transfer cut it: what can be kept of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Set while a campaign asks for it: it ends at that date unless it is confirmed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Confirm>,
}

/// By whose approval a membership is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovedBy {
    /// The enrolment.
    pub enrolment: EnrolmentId,
    /// Everybody whose approval counted.
    pub persons: BTreeSet<PersonId>,
}

/// What a transfer cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The end that the membership had before; none: it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What a campaign of recertification asks of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// The campaign.
    pub campaign: CampaignId,
    /// The first instant at which it is over, if nobody has confirmed it.
    pub by: Timestamp,
}

impl Membership {
    /// The first instant at which it is over: its own end, the date by which it must be confirmed, or the last day on
    /// which it can be restored. A comparison, so that no timer has to end it.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        let own = self.until.unwrap_or(Timestamp::MAX);
        let unconfirmed = self.confirm.map_or(Timestamp::MAX, |confirm| confirm.by);
        let forfeit = self.suspended.map_or(Timestamp::MAX, |since| since.plus(RESTORABLE));
        own.min(unconfirmed).min(forfeit)
    }
}

/// An identity's place in the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Of whom or what.
    pub kind: AccountKind,
    /// Certificates that mean this account. No identity means two accounts (known failure D8).
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

    /// The tenant, of a customer's.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantName> {
        match &self.kind {
            AccountKind::Customer { tenant, .. } => Some(tenant),
            AccountKind::ServiceTeam { .. } | AccountKind::Service { .. } => None,
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

    /// Whether it is in use at an instant: neither disabled nor closed, nor at its own end.
    #[must_use]
    pub fn is_in_use(&self, at: Timestamp) -> bool {
        self.state == AccountState::Active && !self.ends_at().is_over(at)
    }
}

/// Who holds a grant or would hold it, as things were at the request.
#[derive(Debug, Clone, Copy)]
pub struct HeldBy<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The person whom caps and continuity count.
    pub person: &'a PersonId,
    /// For whom a machine asked.
    pub on_behalf_of: Option<&'a PersonId>,
    /// Everybody behind the request.
    pub behind: &'a BTreeSet<PersonId>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The one trust domain that its identities belong to.
    pub trust_domain: TrustDomain,
}

/// Whether an id is one of a tenant's by its name: what a tenant's own feed brings into being begins with the tenant's name
/// and a dot, and nothing else does. No tenant's name begins so.
#[must_use]
pub fn is_named_by(tenant: &TenantName, id: &str) -> bool {
    id.strip_prefix(tenant.as_str()).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| !rest.is_empty())
}

/// The tenant whose id this is by its name.
#[must_use]
pub fn tenant_named_by<'a>(tenants: &'a Map<TenantName, Tenant>, id: &str) -> Option<&'a TenantName> {
    let prefixes = id.match_indices('.').filter_map(|(dot, _)| id.get(..dot));
    let tenant = prefixes.filter_map(|prefix| tenants.get_key_value(prefix)).map(|(name, _)| name).next();
    tenant.filter(|tenant| is_named_by(tenant, id))
}

/// A whole directory file, parsed; consistent in itself (every person and manager named exists, no identity twice).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// `[tenants.<name>]`.
    pub tenants: Map<TenantName, Tenant>,
    /// `[people.<id>]`.
    pub people: Map<PersonId, Person>,
    /// `[accounts.<id>]`.
    pub accounts: Map<AccountId, Account>,
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
