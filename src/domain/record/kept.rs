//! How much memory a record takes while it is kept, about: a budget bounds what is kept of each sender (known failure G35).

use super::elevation::Elevation;
use super::enrolment::Enrolment;
use super::grant::Grant;
use super::proposal::Proposal;
use super::review::Review;

/// What an entry takes besides its texts: itself, and its places in the indexes. Rounded up from what a process was seen to take.
const ENTRY_BYTES: u64 = 2_048;
/// A decision, besides its comment.
const DECISION_BYTES: u64 = 512;

impl Elevation {
    /// About how many bytes it takes.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        of_review(&self.review).saturating_add(length(&self.justification)).saturating_add(self.scope.heap_bytes())
    }
}

impl Grant {
    /// About how many bytes it takes.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        ENTRY_BYTES.saturating_add(self.scope.heap_bytes())
    }
}

impl Enrolment {
    /// About how many bytes it takes. What it asks for, its roles and identities, stands in the text that is approved.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        of_review(&self.review).saturating_add(length(&self.justification))
    }
}

impl Proposal {
    /// About how many bytes it takes: the file too, while it waits.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        let file = if self.phase.is_pending() { self.bytes } else { 0 };
        of_review(&self.review).saturating_add(length(&self.justification)).saturating_add(file)
    }
}

/// An entry that is reviewed.
fn of_review(review: &Review) -> u64 {
    let decisions = review.decisions.iter().map(|decision| DECISION_BYTES.saturating_add(length(&decision.comment)));
    decisions.fold(ENTRY_BYTES.saturating_add(length(&review.text)), u64::saturating_add)
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}
