//! What can be asked of the core. A message parses into one of these or into nothing; none parses into a tick.
//!
//! A command belongs to whoever decides it: each family has a file here, and a function `decide` in `domain/decide/`. A new
//! command is added to one of those files, and does not compile until it is decided.

/// The commands of one family, each with the name that the journal calls it by.
macro_rules! commands {
    (
        $(#[$group_doc:meta])*
        $group:ident in $family:ident { $($(#[$doc:meta])* $variant:ident($body:ident) $name:literal;)* }
    ) => {
        $(#[$group_doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $group {
            $($(#[$doc])* $variant($body),)*
        }

        impl $group {
            /// What the journal calls it.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }
        }

        $(impl From<$body> for super::Command {
            fn from(command: $body) -> Self {
                Self::$family($group::$variant(command))
            }
        })*
    };
}

mod account;
mod attestation;
mod campaign;
mod elevation;
mod enrolment;
mod feed;
mod grant;
mod lock;
mod proposal;

use serde::Serialize;

use super::called_from::{Call, CalledFrom};
use crate::domain::value::ids::{Digest, RequestId};
use crate::domain::value::time::Now;

pub use account::{AccountCommand, CloseAccount, EndMembership};
pub use attestation::{AttestationCommand, CorrectAttestation, RecordAttestation};
pub use campaign::{CampaignCommand, ConfirmMembership, StartCampaign};
pub use elevation::{
    ApproveElevation, CompleteFollowUp, DenyElevation, ElevationCommand, RequestElevation, WithdrawElevation,
};
pub use enrolment::{
    ApproveEnrolment, DenyEnrolment, EnrolmentAsk, EnrolmentCommand, RequestEnrolment, WithdrawEnrolment,
};
pub use feed::{ApplyHrEvents, DecideHold, FeedCommand, ImportPeople, RetireStream};
pub use grant::{GrantCommand, IssueGrantToken, RelinquishGrant, RevokeGrant};
pub use lock::{CreateLock, DeleteLock, LockCommand};
pub use proposal::{ApproveProposal, DenyProposal, ProposalCommand, ProposeFile, WithdrawProposal};

/// A command with everything that a decision may look at besides the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The verified identity of the client certificate, and where it came from.
    pub caller: CalledFrom,
    /// The caller's own id of this call.
    pub request_id: RequestId,
    /// What the clocks say.
    pub now: Now,
    /// Entropy for the ids that this command makes.
    pub nonce: [u8; 16],
    /// What is asked.
    pub command: Command,
}

impl Envelope {
    /// The call that this is, right after an event of the journal.
    #[must_use]
    pub fn call(&self, after: u64) -> Call {
        Call { from: Some(self.caller.clone()), after }
    }
}

/// What somebody asks the broker to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// About an elevation.
    Elevation(ElevationCommand),
    /// About a grant.
    Grant(GrantCommand),
    /// About an enrolment.
    Enrolment(EnrolmentCommand),
    /// About what people have proved.
    Attestation(AttestationCommand),
    /// About an account.
    Account(AccountCommand),
    /// About the HR feed.
    Feed(FeedCommand),
    /// About a campaign of recertification.
    Campaign(CampaignCommand),
    /// About a lock.
    Lock(LockCommand),
    /// About another policy or directory.
    Proposal(ProposalCommand),
}

impl Command {
    /// What the journal calls it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Elevation(command) => command.name(),
            Self::Grant(command) => command.name(),
            Self::Enrolment(command) => command.name(),
            Self::Attestation(command) => command.name(),
            Self::Account(command) => command.name(),
            Self::Feed(command) => command.name(),
            Self::Campaign(command) => command.name(),
            Self::Lock(command) => command.name(),
            Self::Proposal(command) => command.name(),
        }
    }

    /// Whether it only takes access away: it goes first, and goes on while the clock is suspect.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        match self {
            Self::Elevation(command) => command.takes_away(),
            Self::Grant(command) => command.takes_away(),
            Self::Enrolment(command) => command.takes_away(),
            Self::Attestation(command) => command.takes_away(),
            Self::Account(command) => command.takes_away(),
            Self::Feed(command) => command.takes_away(),
            Self::Campaign(command) => command.takes_away(),
            Self::Lock(command) => command.takes_away(),
            Self::Proposal(command) => command.takes_away(),
        }
    }

    /// What it is about, for the record of a refusal.
    #[must_use]
    pub fn about(&self) -> Option<String> {
        match self {
            Self::Elevation(command) => command.about(),
            Self::Grant(command) => command.about(),
            Self::Enrolment(command) => command.about(),
            Self::Attestation(command) => command.about(),
            Self::Account(command) => command.about(),
            Self::Feed(command) => command.about(),
            Self::Campaign(command) => command.about(),
            Self::Lock(command) => command.about(),
            Self::Proposal(command) => command.about(),
        }
    }

    /// How many bytes of free text it adds to the journal; none if it adds sets of any size as well.
    #[must_use]
    pub fn words_bytes(&self) -> Option<usize> {
        match self {
            Self::Elevation(command) => command.words_bytes(),
            Self::Grant(command) => command.words_bytes(),
            Self::Enrolment(command) => command.words_bytes(),
            Self::Attestation(command) => command.words_bytes(),
            Self::Account(command) => command.words_bytes(),
            Self::Feed(command) => command.words_bytes(),
            Self::Campaign(command) => command.words_bytes(),
            Self::Lock(command) => command.words_bytes(),
            Self::Proposal(command) => command.words_bytes(),
        }
    }

    /// Whether only accounts may ask it. Anybody known may request an enrolment and withdraw it, with an account or
    /// without.
    #[must_use]
    pub fn needs_account(&self) -> bool {
        match self {
            Self::Enrolment(EnrolmentCommand::Request(_) | EnrolmentCommand::Withdraw(_)) => false,
            Self::Enrolment(EnrolmentCommand::Approve(_) | EnrolmentCommand::Deny(_))
            | Self::Elevation(_)
            | Self::Grant(_)
            | Self::Attestation(_)
            | Self::Account(_)
            | Self::Feed(_)
            | Self::Campaign(_)
            | Self::Lock(_)
            | Self::Proposal(_) => true,
        }
    }

    /// SHA-256 of the parsed command: two calls under one `request_id` are the same if this is.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}
