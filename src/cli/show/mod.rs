//! How one thing of the API is shown: cards, rows, and lines that several commands share.

pub mod approval;
pub mod calls;
pub mod effects;
pub mod elevation_card;
pub mod enrolment_card;
pub mod entitlement_card;
pub mod grant_card;
pub mod membership;
pub mod mistakes;
pub mod proposal_card;
pub mod review_card;
#[cfg(test)]
pub(crate) mod sample;
