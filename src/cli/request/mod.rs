//! What a person does for access: look at what is offered, ask, wait, use, give back, check.

pub mod ask;
pub mod check;
pub mod entitlements;
pub mod grants;
pub mod token;
pub mod wait;
pub mod whoami;
