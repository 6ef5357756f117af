//! The real binary, asked by Python with the gRPC that others write their services with. Run by `scripts/test-peers`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, unreachable_pub, dead_code, reason = "tests")]

mod common;
#[path = "end_to_end/harness.rs"]
mod harness;
#[path = "common/held.rs"]
mod held;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/person.rs"]
mod person;
#[path = "peers/python.rs"]
mod python;
#[path = "peers/tool.rs"]
mod tool;
