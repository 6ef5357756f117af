//! How much memory what is kept of each sender takes, about: what is open, and what closed within the last day. A budget bounds
//! it (known failure G35). It follows from the journal like all the rest, so that a restart forgets nothing of it.

use super::State;
use crate::domain::value::ids::Principal;

/// A `request_id` that took effect, by name, by age and by identity.
pub(super) const REQUEST_BYTES: u64 = 1_024;

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
