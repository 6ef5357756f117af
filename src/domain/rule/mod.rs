//! Rules: questions to the state, answered by yes, no and why not. They change nothing.

pub mod answers;
pub mod campaign;
pub mod capability;
pub mod eligibility;
pub mod emergency;
pub mod enforcement;
pub mod enrolling;
pub mod feed;
pub(in crate::domain) mod held_back;
pub mod identities;
pub mod issue;
pub mod locking;
pub mod obstacles;
pub mod proposal;
pub mod reviewers;
pub mod spender;
mod stand_in;
pub mod standing;
pub mod tenant_limits;
pub mod visibility;
