//! Commands about another policy or directory.

use serde::Serialize;

use crate::domain::record::proposal::ProposedFile;
use crate::domain::value::ids::{Digest, ProposalId};

commands! {
    /// Another policy or directory.
    ProposalCommand in Proposal {
        /// Propose another policy or directory.
        Propose(ProposeFile) "propose-file";
        /// Put exactly this in force.
        Approve(ApproveProposal) "approve-proposal";
        /// End a pending proposal with a no.
        Deny(DenyProposal) "deny-proposal";
        /// Take one's own pending proposal back.
        Withdraw(WithdrawProposal) "withdraw-proposal";
    }
}

impl ProposalCommand {
    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::Deny(_) | Self::Withdraw(_) => true,
            Self::Propose(_) | Self::Approve(_) => false,
        }
    }

    /// What it is about, for the record of a refusal.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        let proposal = match self {
            Self::Propose(command) => return Some(command.file.name().to_lowercase()),
            Self::Approve(command) => command.proposal,
            Self::Deny(command) => command.proposal,
            Self::Withdraw(command) => command.proposal,
        };
        Some(format!("proposal:{proposal}"))
    }

    /// How many bytes of free text it adds to the journal; none if it adds sets of any size as well.
    #[must_use]
    pub fn words_bytes(&self) -> Option<usize> {
        match self {
            // A file has a limit of its own, and is journaled in pieces.
            Self::Propose(_) => Some(0),
            Self::Approve(command) => Some(command.comment.len()),
            Self::Deny(command) => Some(command.reason.len()),
            Self::Withdraw(command) => Some(command.reason.len()),
        }
    }
}

/// Propose another policy or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProposeFile {
    /// Which.
    pub file: ProposedFile,
    /// Digest of the file last loaded.
    pub replaces: Digest,
    /// The new file.
    pub text: String,
    /// Why, in the proposer's own words.
    pub justification: String,
}

/// Put exactly this in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApproveProposal {
    /// Which.
    pub proposal: ProposalId,
    /// SHA-256 of the text that was shown, computed by the client.
    pub digest: Digest,
    /// For the record.
    pub comment: String,
}

/// End a pending proposal with a no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DenyProposal {
    /// Which.
    pub proposal: ProposalId,
    /// Told to whoever proposed it.
    pub reason: String,
}

/// Take one's own pending proposal back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WithdrawProposal {
    /// Which.
    pub proposal: ProposalId,
    /// For the record.
    pub reason: String,
}
