//! How much memory what is kept of each sender takes, about: what is open, and what closed within the last day. A budget bounds
//! it (known failure G35). It follows from the journal like all the rest, so that a restart forgets nothing of it.

use super::State;
use crate::domain::record::elevation::Elevation;
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::grant::Grant;
use crate::domain::record::proposal::Proposal;
use crate::domain::record::review::Review;
use crate::domain::value::ids::Principal;

/// What an entry takes besides its texts: itself, and its places in the indexes. Rounded up from what a process was seen to take.
const ENTRY_BYTES: u64 = 2_048;
/// A `request_id` that took effect, by name, by age and by identity.
pub(super) const REQUEST_BYTES: u64 = 1_024;
/// A decision, besides its comment.
const DECISION_BYTES: u64 = 512;

impl State {
    /// How many bytes what is kept of a sender takes, about.
    #[must_use]
    pub fn kept_by(&self, principal: &Principal) -> u64 {
        self.kept.get(principal).copied().unwrap_or_default()
    }

    pub(super) fn keeps(&mut self, of: Principal, bytes: u64) {
        let kept = self.kept.or_default(of);
        *kept = kept.saturating_add(bytes);
    }

    pub(super) fn keeps_no_more(&mut self, of: &Principal, bytes: u64) {
        let left = self.kept_by(of).saturating_sub(bytes);
        if left == 0 {
            self.kept.remove(of);
        } else if let Some(kept) = self.kept.get_mut(of) {
            *kept = left;
        }
    }
}

pub(super) fn of_elevation(elevation: &Elevation) -> u64 {
    let words = length(&elevation.justification);
    ENTRY_BYTES
        .saturating_add(words)
        .saturating_add(elevation.scope.heap_bytes())
        .saturating_add(of_review(&elevation.review))
}

pub(super) fn of_grant(grant: &Grant) -> u64 {
    ENTRY_BYTES.saturating_add(grant.scope.heap_bytes())
}

/// What an enrolment asks for, its roles and identities, stands in the text that is approved.
pub(super) fn of_enrolment(enrolment: &Enrolment) -> u64 {
    ENTRY_BYTES.saturating_add(length(&enrolment.justification)).saturating_add(of_review(&enrolment.review))
}

/// The file is kept while the proposal waits.
pub(super) fn of_proposal(proposal: &Proposal) -> u64 {
    let file = if proposal.phase.is_pending() { proposal.bytes } else { 0 };
    let words = length(&proposal.justification);
    ENTRY_BYTES.saturating_add(words).saturating_add(file).saturating_add(of_review(&proposal.review))
}

fn of_review(review: &Review) -> u64 {
    let decisions = review.decisions.iter().map(|decision| DECISION_BYTES.saturating_add(length(&decision.comment)));
    decisions.fold(length(&review.text), u64::saturating_add)
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}
