//! The real binary and a real Envoy between a client and a backend. Run by `scripts/test-peers`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, unreachable_pub, dead_code, reason = "tests")]

mod common;
#[path = "peers/envoy.rs"]
mod envoy;
#[path = "peers/envoy_proxy.rs"]
mod envoy_proxy;
#[path = "end_to_end/harness.rs"]
mod harness;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/person.rs"]
mod person;
#[path = "peers/tool.rs"]
mod tool;
