//! Commands about an enrolment.

use serde::{Deserialize, Serialize};

use crate::domain::record::enrolment::MachineAsk;
use crate::domain::value::ids::{AccountId, Digest, EnrolmentId, RoleName};
use crate::domain::value::time::Timestamp;

commands! {
    /// An enrolment: a request for an account, a role, or a machine.
    EnrolmentCommand in Enrolment {
        /// Ask for an account, for a role, to keep or restore one, or for a machine.
        Request(RequestEnrolment) "request-enrolment";
        /// Approve exactly this text.
        Approve(ApproveEnrolment) "approve-enrolment";
        /// End a pending enrolment with a no.
        Deny(DenyEnrolment) "deny-enrolment";
        /// Take one's own pending enrolment back.
        Withdraw(WithdrawEnrolment) "withdraw-enrolment";
    }
}

impl EnrolmentCommand {
    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::Deny(_) | Self::Withdraw(_) => true,
            Self::Request(_) | Self::Approve(_) => false,
        }
    }

    /// What it is about, for the record of a refusal.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        let enrolment = match self {
            Self::Request(_) => return None,
            Self::Approve(command) => command.enrolment,
            Self::Deny(command) => command.enrolment,
            Self::Withdraw(command) => command.enrolment,
        };
        Some(format!("enrolment:{enrolment}"))
    }

    /// How many bytes of free text it adds to the journal; none if it adds sets of any size as well.
    #[must_use]
    pub fn words_bytes(&self) -> Option<usize> {
        match self {
            // What a machine is to check is a set of any size.
            Self::Request(_) => None,
            Self::Approve(command) => Some(command.comment.len()),
            Self::Deny(command) => Some(command.reason.len()),
            Self::Withdraw(command) => Some(command.reason.len()),
        }
    }
}

/// `RequestEnrolment`. No field of it carries a state, an approver or an approval (known failures A1 and A5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestEnrolment {
    /// What is asked for.
    pub ask: EnrolmentAsk,
    /// Why, in the requester's own words.
    pub justification: String,
}

/// What an enrolment asks for, as the caller puts it: the broker fills in what is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnrolmentAsk {
    /// An account for oneself.
    Account {
        /// Its id; none: the person's id, or the first free one made of it.
        account: Option<AccountId>,
    },
    /// A membership.
    Role {
        /// Whose; none: the caller's own account.
        account: Option<AccountId>,
        /// Of what.
        role: RoleName,
        /// Its end; none: as late as the role allows.
        until: Option<Timestamp>,
    },
    /// A membership that a transfer cut.
    Keep {
        /// Whose; none: the caller's own account.
        account: Option<AccountId>,
        /// Of what.
        role: RoleName,
    },
    /// What a lapse disabled and suspended: all that can be restored by now.
    Restore {
        /// Whose; none: the caller's own account.
        account: Option<AccountId>,
    },
    /// A service account.
    Machine(Box<MachineAsk>),
    /// Somebody else's service account.
    TakeOver {
        /// Which.
        account: AccountId,
    },
}

/// Approve exactly this text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApproveEnrolment {
    /// Which.
    pub enrolment: EnrolmentId,
    /// SHA-256 of the text that was shown, computed by the client.
    pub digest: Digest,
    /// For the record.
    pub comment: String,
}

/// End a pending enrolment with a no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DenyEnrolment {
    /// Which.
    pub enrolment: EnrolmentId,
    /// Told to whoever asked.
    pub reason: String,
}

/// Take one's own pending enrolment back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WithdrawEnrolment {
    /// Which.
    pub enrolment: EnrolmentId,
    /// For the record.
    pub reason: String,
}
