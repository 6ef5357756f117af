//! The elevation: a request and what became of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::called_from::Call;
use super::counted::Counted;
use super::emergency::{Emergency, FollowUp};
use super::review::{Phase, Review, line};
use crate::domain::directory::HeldBy;
use crate::domain::policy::{Approver, Stage};
use crate::domain::value::ids::{AccountId, Digest, ElevationId, EntitlementName, GrantId, PersonId};
use crate::domain::value::refusal::Reason;
use crate::domain::value::scope::Scope;
use crate::domain::value::time::{Span, Timestamp};

/// The request for an entitlement on named resources for a duration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elevation {
    /// Its id.
    pub id: ElevationId,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// The account that asked, and that would hold the grant.
    pub requester: AccountId,
    /// The person whom caps and continuity count: the requester, or the one on whose behalf a machine asks, or its owner.
    pub person: PersonId,
    /// Every person behind the request, as they were when it was made, and whoever has owned the machine since: none of them
    /// may review it.
    pub behind: BTreeSet<PersonId>,
    /// The call by which it was asked for.
    pub call: Call,
    /// For whom a machine asks.
    pub on_behalf_of: Option<PersonId>,
    /// What is asked for.
    pub entitlement: EntitlementName,
    /// Under which terms.
    pub terms: Digest,
    /// On what.
    pub scope: Scope,
    /// For how long.
    pub duration: Span,
    /// From when; none: from the last approval.
    pub start: Option<Timestamp>,
    /// Why, in the requester's own words.
    pub justification: String,
    /// The ticket.
    pub ticket: Option<String>,
    /// The grant that it is to follow.
    pub extends: Option<GrantId>,
    /// Set if it is an emergency, which is approved another way and owes a follow-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<Emergency>,
    /// Who decides, and what they decided.
    pub review: Review,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Phase::is_pending")]
    pub phase: Phase<GrantId, Cancellation>,
}

/// Why a pending elevation was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Cancellation {
    /// A load changed the entitlement's terms, or took it away.
    TermsChanged,
    /// Somebody behind it may no longer ask.
    RequesterNotEligible {
        /// The first obstacle.
        reason: Reason,
    },
    /// It would have extended a grant that is over: revoked, given up, or at its end.
    ExtendedOver {
        /// Which.
        grant: GrantId,
    },
}

impl Elevation {
    /// The tenant that is touched: one, or none.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.scope.tenant()
    }

    /// Whether the tenant that it touches is told of it: every stage of the own organisation was complete, and the tenant's
    /// turn came.
    #[must_use]
    pub fn is_disclosed(&self) -> bool {
        let asks_tenant = |stage: &Stage| stage.by.contains(&Approver::Tenant);
        // Once one of the tenant's own has decided, it stays disclosed, whatever becomes of the earlier stages.
        if self.review.decisions.iter().any(|decision| decision.through == Approver::Tenant) {
            return true;
        }
        // What the tenant was told stays told while an approver is suspended.
        let counted = Counted::as_recorded(&self.review);
        let mut own = self.review.numbered_stages().filter(|(_, stage)| !asks_tenant(stage));
        match &self.phase {
            Phase::Approved { .. } => true,
            Phase::Pending => own.all(|(index, stage)| counted.missing_in(index, stage) == 0),
            // It also stays disclosed if it ended in the tenant's turn, whoever ended it.
            Phase::Denied { .. } | Phase::Withdrawn { .. } | Phase::Expired { .. } | Phase::Cancelled { .. } => {
                own.all(|(index, stage)| counted.missing_in(index, stage) == 0)
                    && self.review.stages.iter().any(asks_tenant)
            }
        }
    }

    /// Its follow-up, if there is one and nobody has completed it.
    #[must_use]
    pub fn open_follow_up(&self) -> Option<&FollowUp> {
        self.emergency.as_ref()?.follow_up.as_ref().filter(|follow_up| follow_up.completed.is_none())
    }

    /// Who would hold what it leads to.
    #[must_use]
    pub fn held_by(&self) -> HeldBy<'_> {
        HeldBy {
            account: &self.requester,
            person: &self.person,
            on_behalf_of: self.on_behalf_of.as_ref(),
            behind: &self.behind,
        }
    }

    /// What is approved, as a text: every value that matters, in fixed order, one line each.
    #[must_use]
    pub fn approval_text(&self) -> String {
        let joined = |items: Vec<String>| items.join(" ");
        let optional = |value: Option<String>| value.unwrap_or_default();
        let mut text = String::new();
        line(&mut text, "id", &self.id.to_string());
        line(&mut text, "who", self.requester.as_str());
        line(&mut text, "person", self.person.as_str());
        line(&mut text, "on_behalf_of", &optional(self.on_behalf_of.as_ref().map(ToString::to_string)));
        line(&mut text, "entitlement", self.entitlement.as_str());
        line(&mut text, "terms", &self.terms.to_string());
        line(&mut text, "actions", &joined(self.scope.actions().iter().map(ToString::to_string).collect()));
        line(&mut text, "resources", &joined(self.scope.resources().iter().map(ToString::to_string).collect()));
        line(&mut text, "duration", &self.duration.to_string());
        line(&mut text, "start", &self.start.map_or_else(|| "at approval".to_owned(), |at| at.to_string()));
        line(&mut text, "justification", &self.justification);
        line(&mut text, "ticket", &optional(self.ticket.clone()));
        line(&mut text, "extends", &optional(self.extends.map(|id| id.to_string())));
        line(&mut text, "emergency", if self.emergency.is_some() { "yes" } else { "no" });
        text
    }

    /// The first instant at which an approval can no longer lead to a grant.
    #[must_use]
    pub fn window_end(&self) -> Timestamp {
        self.start.map_or(Timestamp::MAX, |start| start.plus(self.duration))
    }
}
