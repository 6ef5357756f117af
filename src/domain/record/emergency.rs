//! Emergency access, asked for by name: what makes an elevation one, and the follow-up that it owes to those who would
//! have reviewed it by the ordinary way.

use serde::{Deserialize, Serialize};

use super::called_from::Call;
use crate::domain::policy::{Approver, Stage};
use crate::domain::value::ids::{AccountId, PersonId};
use crate::domain::value::time::{Span, Timestamp};

/// The least length of the reason of an emergency, in characters, if policy asks for no more.
pub const SHORTEST_REASON: u32 = 10;

/// The ordinary stages that an emergency skips, and the follow-up that it owes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emergency {
    /// The stages of the ordinary way, as the terms had them when it was asked for.
    pub ordinary: Vec<Stage>,
    /// How long after the grant was issued they have for the follow-up.
    pub follow_up_within: Span,
    /// The follow-up, once there is a grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<FollowUp>,
}

/// What the ordinary approvers owe an emergency: to look at what was done, and to say what they found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    /// The first instant at which it is overdue. A comparison, so that no timer has to find it.
    pub due: Timestamp,
    /// When it was recorded as overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<Timestamp>,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<Completion>,
}

/// What one of the ordinary approvers found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub person: PersonId,
    /// From which account.
    pub account: AccountId,
    /// By which call.
    pub call: Call,
    /// In which capacity.
    pub through: Approver,
    /// What.
    pub finding: Finding,
    /// In their words; never empty.
    pub comment: String,
}

/// Whether an emergency was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It was.
    Justified,
    /// It was not.
    NotJustified,
}
