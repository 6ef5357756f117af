//! The life of accounts: enrolments, attestations, HR, memberships and their recertification.

pub mod account;
pub mod attest;
pub mod enrol;
pub mod hr;
pub mod recertify;
pub mod wait;
