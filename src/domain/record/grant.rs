//! The grant: the held right.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::directory::HeldBy;
use crate::domain::value::ids::{
    AccountId, Digest, ElevationId, EntitlementName, GrantId, PersonId, Principal, RequirementName, RoleName,
};
use crate::domain::value::refusal::Reason;
use crate::domain::value::scope::Scope;
use crate::domain::value::time::Timestamp;

/// The held right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The elevation that led to it; at most one grant each (invariant 3).
    pub elevation: ElevationId,
    /// Who holds it.
    pub holder: AccountId,
    /// The person whom caps and continuity count.
    pub person: PersonId,
    /// Every person behind it.
    pub behind: BTreeSet<PersonId>,
    /// For whom a machine asked.
    pub on_behalf_of: Option<PersonId>,
    /// What was asked for.
    pub entitlement: EntitlementName,
    /// The holder's role that it was asked for in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<RoleName>,
    /// Under which terms it was issued.
    pub terms: Digest,
    /// What it allows.
    pub scope: Scope,
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it. Never moves later.
    pub end: Timestamp,
    /// Why it ends then.
    pub end_because: EndBecause,
    /// Since when its person has held the entitlement without a break.
    pub continuous_since: Timestamp,
    /// It was asked for as an emergency.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emergency: bool,
    /// Where it is in its life.
    pub phase: GrantPhase,
}

/// Where a grant is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GrantPhase {
    /// An intention: until its start is recorded a check denies.
    Scheduled,
    /// Live until its end, which is a comparison.
    Active,
    /// Its time came.
    Ended {
        /// When that was recorded; it was over at its end.
        at: Timestamp,
    },
    /// The holder gave it up.
    Relinquished {
        /// When.
        at: Timestamp,
        /// Who: the holder, or somebody behind it.
        by: Principal,
        /// In their words.
        reason: String,
    },
    /// An act or event ended it before its time.
    Revoked {
        /// When.
        at: Timestamp,
        /// Why.
        because: Revocation,
    },
}

/// What an end is the end of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EndBecause {
    /// The duration asked for.
    Duration,
    /// The entitlement's longest duration.
    LongestDuration,
    /// The entitlement's longest time without a break.
    LongestContinuous,
    /// An attestation's validity.
    RequirementLapses {
        /// Whose.
        person: PersonId,
        /// Of what.
        requirement: RequirementName,
    },
    /// A membership.
    MembershipEnds {
        /// Whose.
        account: AccountId,
        /// Of what.
        role: RoleName,
    },
    /// An account's own end.
    AccountEnds {
        /// Which.
        account: AccountId,
    },
    /// A person's last day.
    EmploymentEnds {
        /// Whose.
        person: PersonId,
    },
}

/// Why a grant was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Revocation {
    /// Somebody revoked it.
    By {
        /// Who.
        by: Principal,
        /// In their words.
        reason: String,
    },
    /// An approval that it rests on became void: before it started, or by whoever answers for its holder by now.
    ApprovalVoid {
        /// Whose approval.
        person: PersonId,
        /// Why that person could not approve now.
        reason: Reason,
    },
    /// Somebody behind it may no longer hold it.
    NotEligible {
        /// The first obstacle.
        reason: Reason,
    },
    /// A load changed what the entitlement offers.
    TermsChanged,
    /// The broker restarted, and is configured to end what was live.
    Restart,
    /// The clock stood before the last event, so no end could be trusted.
    Clock,
    /// Before it started, its person had held the entitlement as long as is allowed.
    ContinuousTooLong,
    /// It was started, and a person who approved it left under suspicion (`also_approved`).
    ApproverLeft {
        /// Who.
        person: PersonId,
    },
}

impl Grant {
    /// Who holds it.
    #[must_use]
    pub fn held_by(&self) -> HeldBy<'_> {
        HeldBy {
            account: &self.holder,
            person: &self.person,
            on_behalf_of: self.on_behalf_of.as_ref(),
            behind: &self.behind,
        }
    }

    /// Whether it is scheduled or live as far as was recorded. Its end is a comparison of its own.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, GrantPhase::Scheduled | GrantPhase::Active)
    }

    /// Whether it allows anything at `latest`: started, on record as live, and not at or past its end.
    #[must_use]
    pub fn is_live(&self, latest: Timestamp) -> bool {
        self.phase == GrantPhase::Active && !self.end.is_over(latest)
    }

    /// When it closed; none while it is open.
    #[must_use]
    pub fn closed_at(&self) -> Option<Timestamp> {
        match &self.phase {
            GrantPhase::Scheduled | GrantPhase::Active => None,
            GrantPhase::Ended { at } | GrantPhase::Relinquished { at, .. } | GrantPhase::Revoked { at, .. } => {
                Some(*at)
            }
        }
    }
}

impl GrantPhase {
    /// In one word, as lists show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Active => "ACTIVE",
            Self::Ended { .. } => "ENDED",
            Self::Relinquished { .. } => "RELINQUISHED",
            Self::Revoked { .. } => "REVOKED",
        }
    }
}
