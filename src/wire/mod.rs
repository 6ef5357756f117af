//! The API as generated from `proto/`: messages, clients and, with the feature `server`, the services' traits.
//!
//! A message is what somebody sent, nothing more: it becomes a value of the domain by parsing, which refuses what is
//! UNSPECIFIED, unknown or empty (known failures A1 and D12).
#![deny(clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

#[cfg(feature = "server")]
pub mod answers;
#[cfg(feature = "core")]
pub mod calls;
pub mod certificate;
#[cfg(feature = "core")]
pub mod commands;
#[cfg(feature = "core")]
pub mod effects;
#[cfg(feature = "core")]
pub mod elevations;
#[cfg(feature = "core")]
pub mod enrolments;
#[cfg(feature = "core")]
pub mod event_filter;
#[cfg(feature = "core")]
pub mod events;
#[cfg(feature = "tokens")]
pub mod grant_token;
#[cfg(feature = "core")]
pub mod grants;
#[cfg(feature = "server")]
pub mod hr;
#[cfg(feature = "core")]
pub mod hr_event;
#[cfg(feature = "core")]
pub mod life;
#[cfg(feature = "core")]
pub mod locks;
#[cfg(feature = "core")]
pub mod message;
#[cfg(feature = "core")]
pub mod organisation;
#[cfg(feature = "server")]
pub mod people_file;
#[cfg(feature = "core")]
pub mod proposals;
#[cfg(feature = "core")]
pub mod queries;
#[cfg(feature = "core")]
pub mod recertification;
#[cfg(feature = "core")]
pub mod replication;
#[cfg(feature = "core")]
pub(crate) mod signed_note;
#[cfg(feature = "tokens")]
pub mod token_check;
#[cfg(feature = "core")]
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
#[cfg(feature = "core")]
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/countersign.v1.bin"));
