//! What happened, as facts in the past tense: the journal's rows. The state is derived from these and nothing else.
//!
//! A fact belongs to the subject that it is about, and each subject has a file here: its kinds, what each of them says, and
//! what it is about. A new kind of fact is added to one of those files, and to nothing else here; whoever must handle it
//! does not compile until it is handled.

/// The facts of one subject: an enum, and for each kind its name in the journal with the version of its form.
macro_rules! facts {
    (
        $(#[$group_doc:meta])*
        $group:ident { $($(#[$doc:meta])* $variant:ident($body:ty) $kind:literal;)* }
    ) => {
        $(#[$group_doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $group {
            $($(#[$doc])* $variant($body),)*
        }

        impl $group {
            /// Every kind there is of this subject, with the version of its form.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// Its kind with the version of its form.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)* }
            }

            pub(super) fn write(&self) -> Result<Box<serde_json::value::RawValue>, serde_json::Error> {
                match self { $(Self::$variant(body) => serde_json::value::to_raw_value(body),)* }
            }

            pub(super) fn read(kind: &str, body: &str) -> Result<Option<Self>, serde_json::Error> {
                match kind {
                    $($kind => serde_json::from_str::<$body>(body).map(|body| Some(Self::$variant(body))),)*
                    _ => Ok(None),
                }
            }
        }
    };
}

/// What facts say, as the journal stores it: unknown fields are refused.
macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_attribute])* pub $field: $type),* })*
    };
}

/// All subjects: what is asked of any fact is asked of its subject.
macro_rules! subjects {
    ($($(#[$doc:meta])* $variant:ident($group:ident);)*) => {
        /// What happened.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Fact {
            $($(#[$doc])* $variant($group),)*
        }

        impl Fact {
            /// Every kind there is, with the version of its form.
            pub fn kinds() -> impl Iterator<Item = &'static str> {
                [$($group::KINDS),*].into_iter().flatten().copied()
            }

            /// Its kind with the version of its form.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(fact) => fact.kind(),)* }
            }

            /// What it is about.
            #[must_use]
            pub fn about(&self) -> Vec<Subject> {
                match self { $(Self::$variant(fact) => fact.about(),)* }
            }

            pub(super) fn write(&self) -> Result<Box<serde_json::value::RawValue>, serde_json::Error> {
                match self { $(Self::$variant(fact) => fact.write(),)* }
            }

            pub(super) fn read(kind: &str, body: &str) -> Result<Option<Self>, serde_json::Error> {
                $(if let Some(fact) = $group::read(kind, body)? {
                    return Ok(Some(Self::$variant(fact)));
                })*
                Ok(None)
            }
        }

        $(impl From<$group> for Fact {
            fn from(fact: $group) -> Self {
                Self::$variant(fact)
            }
        })*
    };
}

mod broker;
mod campaign;
mod elevation;
mod enrolment;
mod feed;
mod grant;
mod life;
mod lock;
mod organisation;
mod proposal;
mod subject;

use serde::{Deserialize, Serialize};

use super::called_from::CalledFrom;
use crate::domain::value::ids::{Digest, Principal, RequestId};
use crate::domain::value::time::Timestamp;

pub use broker::{
    BrokerFact, BrokerStarted, ChainHead, CommandRefused, LossAccepted, MarkRead, Pruned, RefusalsCounted,
    RowsAbandoned,
};
pub use campaign::{CampaignFact, CampaignItemNamed, CampaignNamed};
pub use elevation::{
    ApprovalStruck, DecisionRecorded, ElevationApproved, ElevationCancelled, ElevationClosed, ElevationExpired,
    ElevationFact, FollowUpCompleted, FollowUpOpened, FollowUpOverdue,
};
pub use enrolment::{
    EnrolmentApprovalStruck, EnrolmentCancelled, EnrolmentDecision, EnrolmentFact, EnrolmentNamed, EnrolmentWithdrawn,
};
pub use feed::{FeedFact, HrEventApplied, HrEventLeftOut, HrFeedHeard, HrHoldDecided, HrImported, HrStreamRetired};
pub use grant::{GrantClosed, GrantFact, GrantNamed, GrantRevoked, GrantShortened, GrantStarted, GrantTokenIssued};
pub use life::{
    AccountClosed, AccountEnded, AttestationCorrected, AttestationRecorded, LapseAhead, LifeFact, MembershipEnded,
    MembershipRevoked, PersonNamed, RequirementLapsed,
};
pub use lock::{LockDeleted, LockFact, LockNamed};
pub use organisation::{AccountRecorded, FileDigest, FileLoaded, OrganisationFact, PersonRecorded, TenantRecorded};
pub use proposal::{
    AuthorsWait, ProposalCancelled, ProposalDecision, ProposalFact, ProposalNamed, ProposalTextAdded, ProposalWithdrawn,
};
pub use subject::Subject;

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the journal; the first is 1.
    pub sequence: u64,
    /// Its stamp; never earlier than the one before.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// On the first event of a command that carried a `request_id`.
    pub request: Option<RequestMark>,
    /// On the first event of a command, also of one that was refused: by which certificate it was called, and from where.
    pub from: Option<Box<CalledFrom>>,
    /// What happened.
    pub fact: Fact,
}

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// Somebody who called.
    Caller(Principal),
    /// The broker itself: time passed, or it started.
    Broker,
    /// Whoever runs the binary on the broker's own machine: `init`.
    Operator,
}

/// Binds a `request_id` to the command that took effect under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestMark {
    /// The caller's id of the call.
    pub id: RequestId,
    /// SHA-256 of the parsed command.
    pub command: Digest,
}

subjects! {
    /// The files in force, and the records of people and accounts.
    Organisation(OrganisationFact);
    /// What time and acts do to people, memberships and accounts.
    Life(LifeFact);
    /// Another policy or directory under review.
    Proposal(ProposalFact);
    /// The HR feed.
    Feed(FeedFact);
    /// An enrolment.
    Enrolment(EnrolmentFact);
    /// A campaign of recertification.
    Campaign(CampaignFact);
    /// An elevation, and the follow-up of an emergency.
    Elevation(ElevationFact);
    /// A grant.
    Grant(GrantFact);
    /// A lock.
    Lock(LockFact);
    /// The broker itself.
    Broker(BrokerFact);
}

/// Readings of both clocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockPair {
    /// The wall clock.
    pub wall: Timestamp,
    /// CLOCK_BOOTTIME in milliseconds.
    pub boot_millis: i64,
    /// Which boot that counts from; empty where the system does not tell.
    pub boot_id: String,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Caller(principal) => write!(f, "{principal}"),
            Self::Broker => f.write_str("broker"),
            Self::Operator => f.write_str("operator"),
        }
    }
}
