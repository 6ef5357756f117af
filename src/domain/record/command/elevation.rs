//! Commands about an elevation.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::record::emergency::Finding;
use crate::domain::value::ids::{Digest, ElevationId, EntitlementName, GrantId, PersonId};
use crate::domain::value::scope::{Action, Pattern};
use crate::domain::value::time::{Span, Timestamp};

commands! {
    /// An elevation: a request for an entitlement.
    ElevationCommand in Elevation {
        /// Ask for an entitlement on named resources for a duration.
        Request(RequestElevation) "request-elevation";
        /// Approve exactly this text.
        Approve(ApproveElevation) "approve-elevation";
        /// End a pending elevation with a no.
        Deny(DenyElevation) "deny-elevation";
        /// Take one's own pending elevation back.
        Withdraw(WithdrawElevation) "withdraw-elevation";
        /// Say what was found of an emergency.
        CompleteFollowUp(CompleteFollowUp) "complete-follow-up";
    }
}

impl ElevationCommand {
    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::Deny(_) | Self::Withdraw(_) => true,
            Self::Request(_) | Self::Approve(_) | Self::CompleteFollowUp(_) => false,
        }
    }

    /// What it is about, for the record of a refusal.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        let elevation = match self {
            Self::Request(command) => return Some(format!("entitlement:{}", command.entitlement)),
            Self::Approve(command) => command.elevation,
            Self::Deny(command) => command.elevation,
            Self::Withdraw(command) => command.elevation,
            Self::CompleteFollowUp(command) => command.elevation,
        };
        Some(format!("elevation:{elevation}"))
    }

    /// How many bytes of free text it adds to the journal; none if it adds sets of any size as well.
    #[must_use]
    pub fn words_bytes(&self) -> Option<usize> {
        match self {
            Self::Request(command) => {
                let ticket = command.ticket.as_ref().map_or(0, String::len);
                Some(command.justification.len().saturating_add(ticket))
            }
            Self::Approve(command) => Some(command.comment.len()),
            Self::Deny(command) => Some(command.reason.len()),
            Self::Withdraw(command) => Some(command.reason.len()),
            Self::CompleteFollowUp(command) => Some(command.comment.len()),
        }
    }
}

/// `RequestElevation`. No field of it carries a state, an approver or an approval (known failures A1 and A5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestElevation {
    /// What is asked for.
    pub entitlement: EntitlementName,
    /// At least one.
    pub actions: BTreeSet<Action>,
    /// At least one: concrete resources or subtrees.
    pub resources: BTreeSet<Pattern>,
    /// None: the entitlement's default.
    pub duration: Option<Span>,
    /// None: at the last approval.
    pub start: Option<Timestamp>,
    /// Why, in the requester's own words.
    pub justification: String,
    /// The ticket that the work belongs to.
    pub ticket: Option<String>,
    /// The person for whom a machine asks.
    pub on_behalf_of: Option<PersonId>,
    /// The grant that this is to follow without a break.
    pub extends: Option<GrantId>,
    /// By the emergency way: only if the request says so, never as a fallback.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emergency: bool,
}

/// Approve exactly this text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApproveElevation {
    /// Which.
    pub elevation: ElevationId,
    /// SHA-256 of the text that was shown, computed by the client.
    pub digest: Digest,
    /// For the record.
    pub comment: String,
}

/// End a pending elevation with a no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DenyElevation {
    /// Which.
    pub elevation: ElevationId,
    /// Told to the requester.
    pub reason: String,
}

/// Take one's own pending elevation back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WithdrawElevation {
    /// Which.
    pub elevation: ElevationId,
    /// For the record.
    pub reason: String,
}

/// Say what was found of an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompleteFollowUp {
    /// Which.
    pub elevation: ElevationId,
    /// SHA-256 of the text that was shown, computed by the client.
    pub digest: Digest,
    /// What was found.
    pub finding: Finding,
    /// In their words.
    pub comment: String,
}
