//! Enrolments: accounts, roles and machines, and what a lapse took.

pub(crate) mod account;
pub(crate) mod hidden;
pub(crate) mod machine;
pub(crate) mod restoration;
pub(crate) mod review;
pub(crate) mod role;
