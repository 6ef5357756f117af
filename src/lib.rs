//! Countersign: a just-in-time privileged access broker.
pub mod check;
#[cfg(feature = "command")]
pub mod cli;
pub mod clock;
pub mod domain;
#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod journal;
mod pem;
mod reading;
pub mod sdk;
#[cfg(feature = "server")]
pub mod server;
pub mod wire;
