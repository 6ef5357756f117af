//! The shell around the engine: listener, TLS, limits, metrics, configuration and the services.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)
)]

mod access;
mod access_calls;
mod access_stream;
mod accounts;
mod answers;
pub mod assembly;
mod audit;
mod authzen;
mod caller;
mod changes;
mod check_messages;
mod checker;
pub mod config;
mod config_values;
mod connection;
mod elevations;
mod enrolments;
mod explain;
pub mod ext_authz;
mod grants;
mod hr;
mod imports;
pub mod limits;
pub mod listener;
mod listeners;
mod locks;
pub mod metrics;
mod paging;
mod past;
pub mod peer;
mod policies;
mod proposal_reviews;
mod proposals;
mod recertifications;
mod replication;
mod review_context;
mod runtimes;
mod scim;
mod sealed;
pub(crate) mod signed_note;
pub mod status;
mod tenant_record;
mod tenant_view;
pub mod tls;
mod tls_files;
mod tokens;
mod watch;
mod whoami;

#[cfg(test)]
mod isolation_tests;
#[cfg(test)]
mod services_tests;
