//! The shell around the engine, in rooms. `transport` accepts and reads connections and knows no service; `check` has
//! the doors that checks come through; `service` has a file a gRPC service; `https` has SCIM and AuthZEN; `config`
//! reads the settings of `serve`; `budget` bounds what one caller may take; `keys` has what the broker seals and signs with. What all rooms share stands here.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)
)]

pub mod assembly;
pub mod budget;
mod caller;
pub mod check;
pub mod config;
pub mod figures;
mod https;
pub(crate) mod keys;
pub mod log;
pub mod metrics;
mod reflection;
mod service;
pub mod serving;
pub mod signals;
pub mod status;
mod supervisor;
mod tenant_view;
pub mod transport;

#[cfg(test)]
mod isolation_tests;
#[cfg(test)]
mod services_tests;
