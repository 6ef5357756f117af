//! Commands about an account.

use serde::Serialize;

use crate::domain::value::ids::{AccountId, RoleName};

commands! {
    /// An account and its memberships.
    AccountCommand in Account {
        /// End a membership before its time.
        EndMembership(EndMembership) "end-membership";
        /// Close a service account, for ever.
        Close(CloseAccount) "close-account";
    }
}

impl AccountCommand {
    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::EndMembership(_) | Self::Close(_) => true,
        }
    }

    /// What it is about, for the record of a refusal.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        let account = match self {
            Self::EndMembership(command) => &command.account,
            Self::Close(command) => &command.account,
        };
        Some(format!("account:{account}"))
    }

    /// How many bytes of free text it adds to the journal; none if it adds sets of any size as well.
    #[must_use]
    pub fn words_bytes(&self) -> Option<usize> {
        match self {
            Self::EndMembership(command) => Some(command.reason.len()),
            Self::Close(command) => Some(command.reason.len()),
        }
    }
}

/// End a membership before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndMembership {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub role: RoleName,
    /// For the record.
    pub reason: String,
}

/// Close a service account, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloseAccount {
    /// Which.
    pub account: AccountId,
    /// For the record.
    pub reason: String,
}
