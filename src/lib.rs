//! Countersign: a just-in-time privileged access broker.
pub mod check;
pub mod clock;
pub mod domain;
#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod journal;
#[cfg(feature = "server")]
pub mod server;
pub mod wire;
