//! Records: what was asked, decided and given, and what follows from one record alone. A record never asks a rule.

pub mod called_from;
pub mod campaign;
pub mod command;
pub mod counted;
pub mod elevation;
pub mod emergency;
pub mod enrolment;
pub mod event;
pub mod grant;
pub mod hr;
mod kept;
pub mod lock;
pub mod proposal;
pub mod review;
pub mod row;

#[cfg(test)]
#[path = "extreme_tests.rs"]
pub(crate) mod extremes;
