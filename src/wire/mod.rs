//! The API as generated from `proto/`: messages, clients and, with the feature `server`, the services' traits.
//!
//! A message is what somebody sent, nothing more: it becomes a value of the domain by parsing, which refuses what is
//! UNSPECIFIED, unknown or empty (known failures A1 and D12).
#![deny(clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

#[cfg(feature = "server")]
pub mod answers;
pub mod calls;
pub mod certificate;
pub mod commands;
pub mod effects;
pub mod elevations;
pub mod enrolments;
pub mod event_filter;
pub mod events;
pub mod grant_token;
pub mod grants;
#[cfg(feature = "server")]
pub mod hr;
pub mod hr_event;
pub mod life;
pub mod locks;
pub mod message;
pub mod organisation;
#[cfg(feature = "server")]
pub mod people_file;
pub mod proposals;
pub mod queries;
pub mod recertification;
pub mod replication;
#[cfg(any(feature = "server", feature = "client"))]
pub(crate) mod signed_note;
pub mod token_check;
pub mod tokens;
pub mod values;

/// The package `countersign.v1`.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_docs,
    unreachable_pub,
    rust_2018_idioms,
    rustdoc::all,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("countersign.v1");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the API and all that it imports, for reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/countersign.v1.bin"));
