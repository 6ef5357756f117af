//! A proposal: another policy or directory, proposed by one holder of the capability and approved by another on its
//! digest (design.md 7; known failure J2); and the time for which neither may use what it widened.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::called_from::Call;
use super::review::Phase;
use super::review::Review;
use crate::domain::policy::{Approver, CapabilityName, Stage};
use crate::domain::value::ids::{AccountId, Digest, PersonId, ProposalId};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::{Span, Timestamp};

/// How long a proposal waits for its approval.
pub const REVIEW_WITHIN: Span = Span::seconds(3 * 86_400);
/// The most files that one account may propose in a day, of policy and directory together.
pub const PROPOSED_IN_A_DAY: usize = 50;
/// The text of a proposal stands in the journal in pieces of so many bytes at most.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Another policy or directory, under review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Its id.
    pub id: ProposalId,
    /// When it was proposed.
    pub requested_at: Timestamp,
    /// The account that proposed it: of a person, or a machine.
    pub requester: AccountId,
    /// The person of that account, or the machine's owner: none of them may approve it.
    pub behind: BTreeSet<PersonId>,
    /// The call by which it was asked for.
    pub call: Call,
    /// Which of the two files it replaces.
    pub file: ProposedFile,
    /// SHA-256 of the file that it replaces, which must be in force both when it is proposed and when it is approved.
    pub replaces: Digest,
    /// SHA-256 of the new file.
    pub digest: Digest,
    /// The length of the new file.
    pub bytes: u64,
    /// Why, in the proposer's own words.
    pub justification: String,
    /// Who decides, and what they decided.
    pub review: Review,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Phase::is_pending")]
    pub phase: Phase<(), ProposalCancellation>,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposedFile {
    /// The policy.
    Policy,
    /// The directory.
    Directory,
}

/// Why a pending proposal was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ProposalCancellation {
    /// Another file came into force in the meantime.
    Stale,
    /// Whoever proposed it may no longer act.
    ProposerNotEligible {
        /// The first obstacle.
        reason: Reason,
    },
}

impl ProposedFile {
    /// What a proposal of it needs.
    #[must_use]
    pub fn capability(self) -> CapabilityName {
        match self {
            Self::Policy => CapabilityName::PolicyPropose,
            Self::Directory => CapabilityName::DirectoryPropose,
        }
    }

    /// In one word, as lists and the approval text show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "POLICY",
            Self::Directory => "DIRECTORY",
        }
    }

    /// Another holder of the capability.
    #[must_use]
    pub fn stages(self) -> Vec<Stage> {
        vec![Stage { by: BTreeSet::from([Approver::Capability(self.capability())]), count: 1 }]
    }
}

impl ProposalCancellation {
    /// In one word, as lists show it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stale => "STALE",
            Self::ProposerNotEligible { reason } => reason.entry().name,
        }
    }
}
