//! Proposals: another policy or directory, proposed by one holder of the capability and approved by another on its digest
//! (design.md 7; known failure J2).

pub mod difference;
pub mod own_standing;
pub(in crate::domain) mod quorum;
pub(in crate::domain) mod records;
mod reviewed;
pub mod right;
pub mod rights;
pub mod text;
pub mod waiting;
