//! Values: what everything else is made of. They use nothing of the floors above.

pub mod deceptive;
#[cfg(feature = "core")]
pub mod identity_pattern;
pub mod ids;
#[cfg(feature = "core")]
pub mod index;
pub mod limits;
pub mod refusal;
pub mod scope;
pub mod time;
pub mod token;
