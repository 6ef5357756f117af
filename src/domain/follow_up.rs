//! Emergency access, asked for by name: what makes an elevation one, and the follow-up that it owes to those who would
//! have reviewed it by the ordinary way.

use serde::{Deserialize, Serialize};

use super::elevation::Elevation;
use super::ids::{AccountId, PersonId};
use super::organisation::Organisation;
use super::policy::{Approver, Stage};
use super::refusal::{Reason, Refusal};
use super::state::State;
use super::time::{Span, Timestamp};

/// The least length of the reason of an emergency, in characters, if policy asks for no more.
pub const SHORTEST_REASON: u32 = 10;

/// What an emergency goes around, and owes.
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

impl Elevation {
    /// Its follow-up, if there is one and nobody has completed it.
    #[must_use]
    pub fn open_follow_up(&self) -> Option<&FollowUp> {
        self.emergency.as_ref()?.follow_up.as_ref().filter(|follow_up| follow_up.completed.is_none())
    }

    /// The stages that an emergency went around: as they were, and as they are, so that a load which renames a role leaves
    /// nobody without anyone who could follow up. None if it is no emergency.
    pub fn ordinary_stages<'a>(&'a self, organisation: &'a Organisation) -> impl Iterator<Item = &'a Stage> {
        let now = organisation.policy().entitlements.get(&self.entitlement).map(|it| &it.terms.approval);
        let emergency = self.emergency.as_ref();
        emergency.into_iter().flat_map(move |emergency| emergency.ordinary.iter().chain(now.into_iter().flatten()))
    }
}

/// Nobody gets further emergency access while a follow-up of his is overdue: nor from another account, nor by a machine.
///
/// # Errors
/// `FOLLOW_UP_OVERDUE`.
pub(super) fn none_overdue(state: &State, elevation: &Elevation, latest: Timestamp) -> Result<(), Refusal> {
    let open = elevation.behind.iter().flat_map(|person| state.follow_ups_of.of(person));
    let owed = open.filter_map(|id| state.elevations.get(id)).filter_map(|it| Some((it, it.open_follow_up()?)));
    match owed.into_iter().find(|(_, follow_up)| follow_up.due.is_over(latest)) {
        Some((it, follow_up)) => {
            let detail = format!("of `{}`, since {}", it.id, follow_up.due);
            Err(Refusal::new(Reason::FollowUpOverdue, detail).with("elevation", it.id).with("due", follow_up.due))
        }
        None => Ok(()),
    }
}
