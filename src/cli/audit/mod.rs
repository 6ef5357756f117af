//! What happened: events, reports, and a customer's own record.

pub mod events;
pub mod record;
pub mod report;
#[cfg(feature = "cli")]
pub mod verify;
