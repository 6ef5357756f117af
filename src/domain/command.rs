//! What can be asked of the core. A message parses into one of these or into nothing; none parses into a tick.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ids::{Digest, ElevationId, EntitlementName, GrantId, Identity, PersonId, RequestId};
use super::scope::{Action, Pattern};
use super::time::{Now, Span, Timestamp};

/// A command with everything that a decision may look at besides the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The verified identity of the client certificate.
    pub caller: Identity,
    /// The caller's own id of this call.
    pub request_id: RequestId,
    /// What the clocks say.
    pub now: Now,
    /// Entropy for the ids that this command makes.
    pub nonce: [u8; 16],
    /// What is asked.
    pub command: Command,
}

/// What an account asks the broker to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Ask for an entitlement on named resources for a duration.
    RequestElevation(RequestElevation),
    /// Approve exactly this text.
    ApproveElevation {
        /// Which.
        elevation: ElevationId,
        /// SHA-256 of the text that was shown, computed by the client.
        digest: Digest,
        /// For the record.
        comment: String,
    },
    /// End a pending elevation with a no.
    DenyElevation {
        /// Which.
        elevation: ElevationId,
        /// Told to the requester.
        reason: String,
    },
    /// Take one's own pending elevation back.
    WithdrawElevation {
        /// Which.
        elevation: ElevationId,
        /// For the record.
        reason: String,
    },
    /// Give up a grant that one holds.
    RelinquishGrant {
        /// Which.
        grant: GrantId,
        /// For the record.
        reason: String,
    },
    /// End somebody's grant before its time.
    RevokeGrant {
        /// Which.
        grant: GrantId,
        /// Told to the holder.
        reason: String,
    },
    /// Put another policy in force.
    LoadPolicy {
        /// Digest of the file in force.
        replaces: Digest,
        /// The new file.
        text: String,
    },
    /// Put another directory in force.
    LoadDirectory {
        /// Digest of the file last loaded.
        replaces: Digest,
        /// The new file.
        text: String,
    },
}

/// `RequestElevation`. No field of it carries a state, an approver or an approval (THREATS A1, A5).
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
}

impl Command {
    /// What the journal calls it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RequestElevation(_) => "request-elevation",
            Self::ApproveElevation { .. } => "approve-elevation",
            Self::DenyElevation { .. } => "deny-elevation",
            Self::WithdrawElevation { .. } => "withdraw-elevation",
            Self::RelinquishGrant { .. } => "relinquish-grant",
            Self::RevokeGrant { .. } => "revoke-grant",
            Self::LoadPolicy { .. } => "load-policy",
            Self::LoadDirectory { .. } => "load-directory",
        }
    }

    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::DenyElevation { .. }
            | Self::WithdrawElevation { .. }
            | Self::RelinquishGrant { .. }
            | Self::RevokeGrant { .. } => true,
            Self::RequestElevation(_)
            | Self::ApproveElevation { .. }
            | Self::LoadPolicy { .. }
            | Self::LoadDirectory { .. } => false,
        }
    }

    /// SHA-256 of the parsed command: two calls under one `request_id` are the same if this is.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}
