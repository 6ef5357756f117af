//! How far a review has come: which of its approvals count, and which stage is open. A lock that suspends whoever approved
//! strikes nothing out; their approval is left out of this count, and is in it again when the lock is gone.

use std::collections::BTreeSet;

use super::review::{Decision, Review};
use crate::domain::policy::Stage;
use crate::domain::value::ids::PersonId;

/// A review, with the approvals that count.
#[derive(Debug, Clone)]
pub struct Counted<'a> {
    review: &'a Review,
    suspended: BTreeSet<&'a PersonId>,
}

impl<'a> Counted<'a> {
    /// As it is on record, whatever locks there are.
    #[must_use]
    pub fn as_recorded(review: &'a Review) -> Self {
        Self { review, suspended: BTreeSet::new() }
    }

    /// Without the approvals of those who are suspended.
    #[must_use]
    pub fn without(review: &'a Review, suspended: BTreeSet<&'a PersonId>) -> Self {
        Self { review, suspended }
    }

    /// The approvals that count.
    pub fn approvals(&self) -> impl Iterator<Item = &'a Decision> {
        self.review.approvals().filter(|decision| !self.suspended.contains(&decision.person))
    }

    /// How many approvals count towards a stage.
    #[must_use]
    pub fn approvals_in(&self, stage: u32) -> u32 {
        self.approvals().filter(|decision| decision.stage == stage).fold(0, |count, _| count.saturating_add(1))
    }

    /// How many approvals a stage still lacks. One that has more than it needs lacks none, and no other stage has them.
    #[must_use]
    pub fn missing_in(&self, index: u32, stage: &Stage) -> u32 {
        stage.count.saturating_sub(self.approvals_in(index))
    }

    /// The first stage that is not complete; none if all are.
    #[must_use]
    pub fn open_stage(&self) -> Option<(u32, &'a Stage)> {
        self.review.numbered_stages().find(|(index, stage)| self.missing_in(*index, stage) > 0)
    }

    /// Whether every stage is complete. A review without stages never is.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.review.stages.is_empty() && self.open_stage().is_none()
    }
}
