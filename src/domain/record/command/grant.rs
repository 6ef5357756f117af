//! Commands about a grant.

use serde::Serialize;

use crate::domain::value::ids::{AccountId, Digest, GrantId};
use crate::domain::value::time::Span;

commands! {
    /// A grant.
    GrantCommand in Grant {
        /// Give up a grant that one holds.
        Relinquish(RelinquishGrant) "relinquish-grant";
        /// End somebody's grant before its time.
        Revoke(RevokeGrant) "revoke-grant";
        /// Have a token of one's own live grant signed, for one enforcement point.
        IssueToken(IssueGrantToken) "issue-grant-token";
    }
}

impl GrantCommand {
    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::Relinquish(_) | Self::Revoke(_) => true,
            Self::IssueToken(_) => false,
        }
    }

    /// What it is about, for the record of a refusal.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        let grant = match self {
            Self::Relinquish(command) => command.grant,
            Self::Revoke(command) => command.grant,
            Self::IssueToken(command) => command.grant,
        };
        Some(format!("grant:{grant}"))
    }

    /// How many bytes of free text it adds to the journal; none if it adds sets of any size as well.
    #[must_use]
    pub fn words_bytes(&self) -> Option<usize> {
        match self {
            Self::Relinquish(command) => Some(command.reason.len()),
            Self::Revoke(command) => Some(command.reason.len()),
            Self::IssueToken(_) => Some(0),
        }
    }
}

/// Give up a grant that one holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelinquishGrant {
    /// Which.
    pub grant: GrantId,
    /// For the record.
    pub reason: String,
}

/// End somebody's grant before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RevokeGrant {
    /// Which.
    pub grant: GrantId,
    /// Told to the holder.
    pub reason: String,
}

/// Have a token of one's own live grant signed, for one enforcement point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssueGrantToken {
    /// Which.
    pub grant: GrantId,
    /// The enforcement point's account.
    pub audience: AccountId,
    /// None: as long as tokens live.
    pub lifetime: Option<Span>,
    /// SHA-256 of the certificate that the caller presented: the token is good with it alone.
    pub certificate: Digest,
}
