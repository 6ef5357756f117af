//! The enrolment: the request for an account, for a role, or to keep or restore one, and for a machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::called_from::Call;
use super::review::Phase;
use super::review::{Review, line};
use crate::domain::directory::ActsFor;
use crate::domain::value::ids::{AccountId, Digest, EnrolmentId, Identity, PersonId, Principal, RoleName};
use crate::domain::value::refusal::Reason;
use crate::domain::value::scope::Pattern;
use crate::domain::value::time::Timestamp;

/// A request that leads to a change of people and accounts, never to a privilege on resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Its id.
    pub id: EnrolmentId,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Who asked: an account, or a person who has none yet.
    pub requester: Principal,
    /// Whose place it is: the person of the account, or the owner of the machine, as it would be afterwards.
    pub person: PersonId,
    /// Every person behind the request, as they were when it was made: none of them may review it.
    pub behind: BTreeSet<PersonId>,
    /// The call by which it was asked for.
    pub call: Call,
    /// What is asked for.
    pub ask: Ask,
    /// SHA-256 of what policy asks of it: stages, requirements, longest memberships and owners. If that changes it is
    /// cancelled.
    pub terms: Digest,
    /// The manager of record when it was made. If that changes it is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<PersonId>,
    /// Why, in the requester's own words.
    pub justification: String,
    /// Who decides, and what they decided.
    pub review: Review,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Phase::is_pending")]
    pub phase: Phase<(), EnrolmentCancellation>,
}

/// What an enrolment asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// An account for the person who asks. The person's logins become its identities.
    Account {
        /// Its id.
        account: AccountId,
    },
    /// A membership, or a later end of one.
    Role {
        /// Whose: one's own account, or a machine that one owns.
        account: AccountId,
        /// Of what.
        role: RoleName,
        /// Its end; none: as late as the role allows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A membership that a transfer cut, with the end that it had before. The new manager alone decides.
    Keep {
        /// Whose.
        account: AccountId,
        /// Of what.
        role: RoleName,
    },
    /// An account that a lapse disabled, and memberships that a lapse suspended.
    Restore {
        /// Whose.
        account: AccountId,
        /// Which memberships; none where the account alone returns.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        roles: BTreeSet<RoleName>,
    },
    /// A service account, owned by the person who asks.
    Machine(Box<MachineAsk>),
    /// A service account that somebody else owns.
    TakeOver {
        /// Which.
        account: AccountId,
    },
}

/// A service account as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineAsk {
    /// Its id.
    pub account: AccountId,
    /// Certificates that mean it: at least one.
    pub identities: BTreeSet<Identity>,
    /// What it may check.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub audience: BTreeSet<Pattern>,
    /// For whom it asks.
    pub acts_for: ActsFor,
    /// Its roles, all for machines, with the end of each; none: as late as the role allows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<RoleName, Option<Timestamp>>,
}

/// What an account has on record, that an enrolment would make of use to whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SwitchedOn {
    /// The roles that it is about.
    pub roles: BTreeSet<RoleName>,
    /// What the account checks by these roles.
    pub audience: BTreeSet<Pattern>,
}

/// Why a pending enrolment was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EnrolmentCancellation {
    /// A load changed what policy asks of it.
    TermsChanged,
    /// The manager who would decide is another now.
    ManagerChanged,
    /// Something stands in its way now.
    NoLongerPossible {
        /// The first obstacle.
        reason: Reason,
    },
}

impl EnrolmentCancellation {
    /// In one word, as lists show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TermsChanged => "TERMS_CHANGED",
            Self::ManagerChanged => "MANAGER_CHANGED",
            Self::NoLongerPossible { reason } => reason.entry().name,
        }
    }
}

impl Ask {
    /// The account that it is about.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        match self {
            Self::Account { account }
            | Self::Role { account, .. }
            | Self::Keep { account, .. }
            | Self::Restore { account, .. }
            | Self::TakeOver { account } => account,
            Self::Machine(machine) => &machine.account,
        }
    }

    /// The roles that it is about.
    #[must_use]
    pub fn roles(&self) -> BTreeSet<&RoleName> {
        match self {
            Self::Account { .. } | Self::TakeOver { .. } => BTreeSet::new(),
            Self::Role { role, .. } | Self::Keep { role, .. } => BTreeSet::from([role]),
            Self::Restore { roles, .. } => roles.iter().collect(),
            Self::Machine(machine) => machine.roles.keys().collect(),
        }
    }

    /// In one word, as lists and the approval text show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Account { .. } => "ACCOUNT",
            Self::Role { .. } => "ROLE",
            Self::Keep { .. } => "KEEP",
            Self::Restore { .. } => "RESTORE",
            Self::Machine(_) => "MACHINE",
            Self::TakeOver { .. } => "TAKE_OVER",
        }
    }
}

impl Enrolment {
    /// What is approved, as a text: every value that matters, in fixed order, one line each. What it switches on of what the
    /// account has already stands in it like what is asked for.
    #[must_use]
    pub fn approval_text(&self, switched_on: &SwitchedOn) -> String {
        let mut text = String::new();
        line(&mut text, "id", &self.id.to_string());
        line(&mut text, "who", &self.requester.to_string());
        line(&mut text, "person", self.person.as_str());
        line(&mut text, "asks_for", self.ask.name());
        line(&mut text, "account", self.ask.account().as_str());
        let end = |until: Option<Timestamp>| {
            until.map_or_else(|| "as late as the role allows".to_owned(), |at| at.to_string())
        };
        let roles = match &self.ask {
            Ask::Role { role, until, .. } => format!("{role} until {}", end(*until)),
            Ask::Machine(machine) => {
                let roles = machine.roles.iter().map(|(role, until)| format!("{role} until {}", end(*until)));
                roles.collect::<Vec<_>>().join(", ")
            }
            Ask::Account { .. } | Ask::Keep { .. } | Ask::Restore { .. } | Ask::TakeOver { .. } => {
                switched_on.roles.iter().map(RoleName::as_str).collect::<Vec<_>>().join(" ")
            }
        };
        line(&mut text, "roles", &roles);
        let joined = |items: Vec<String>| items.join(" ");
        let machine = if let Ask::Machine(machine) = &self.ask { Some(machine) } else { None };
        let identities = machine.map(|it| it.identities.iter().map(ToString::to_string).collect());
        line(&mut text, "identities", &joined(identities.unwrap_or_default()));
        let audience = machine.map_or(&switched_on.audience, |it| &it.audience);
        line(&mut text, "audience", &joined(audience.iter().map(ToString::to_string).collect()));
        let acts_for = machine.map_or("", |it| match it.acts_for {
            ActsFor::Itself => "itself",
            ActsFor::People => "people",
        });
        line(&mut text, "acts_for", acts_for);
        line(&mut text, "terms", &self.terms.to_string());
        line(&mut text, "justification", &self.justification);
        text
    }
}
