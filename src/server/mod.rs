//! The shell around the engine: listener, TLS, limits, metrics, configuration and the services.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)
)]

mod access;
mod accounts;
pub mod assembly;
mod audit;
mod caller;
pub mod config;
mod config_values;
mod connection;
mod elevations;
mod explain;
mod grants;
pub mod limits;
pub mod listener;
mod loads;
pub mod metrics;
mod paging;
mod past;
pub mod peer;
mod policies;
mod review_context;
mod runtimes;
pub mod status;
pub mod tls;
mod tls_files;
mod watch;

#[cfg(test)]
mod services_tests;
