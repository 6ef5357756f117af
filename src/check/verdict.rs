//! A question and its answer.

use crate::domain::value::ids::GrantId;
use crate::domain::value::time::Timestamp;

/// One question. The texts are as they came: what is malformed is not covered by anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// An account's id or one of its identities, compared whole.
    pub subject: &'a str,
    /// What is about to be done.
    pub action: &'a str,
    /// To what.
    pub resource: &'a str,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a verdict that is not looked at protects nothing"]
pub enum Verdict {
    /// It may be done.
    Allow {
        /// By what right.
        because: Allowed,
        /// Before this instant alone: whoever goes on past it must ask again (known failure C12).
        valid_until: Timestamp,
    },
    /// It may not.
    Deny {
        /// The first reason that holds, in the order of [`Denied`].
        because: Denied,
    },
}

impl Verdict {
    /// Whether it may be done.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// Why, as the API calls it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Allow { because: Allowed::Granted { .. }, .. } => "GRANTED",
            Self::Allow { because: Allowed::Baseline, .. } => "BASELINE",
            Self::Deny { because: Denied::OutOfAudience } => "OUT_OF_AUDIENCE",
            Self::Deny { because: Denied::Locked } => "LOCKED",
            Self::Deny { because: Denied::NotStarted } => "NOT_STARTED",
            Self::Deny { because: Denied::NoGrant } => "NO_GRANT",
            Self::Deny { because: Denied::Stale } => "STALE",
        }
    }
}

/// By what right something is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Allowed {
    /// A live grant covers it: of several the one that ends last, then the lowest id.
    Granted {
        /// That grant.
        grant: GrantId,
    },
    /// No live grant covers it, but the baseline does.
    Baseline,
}

/// Why something is not allowed; the first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denied {
    /// The caller may not ask this: the resource is outside its audience, and the subject is not itself.
    OutOfAudience,
    /// A lock stops it: on the resource, on the subject, or on all the grants that would have allowed it.
    Locked,
    /// A grant covers it that has not started, and none that has.
    NotStarted,
    /// Everything else: an unknown subject, an account that cannot be used, a malformed text, a grant that is over.
    NoGrant,
    /// What a replica knows is too old, or cannot be trusted. The index itself never gives this.
    Stale,
}
