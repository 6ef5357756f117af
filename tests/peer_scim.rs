//! SCIM, asked by scim2-tester, the conformance tests of python-scim. Run by `scripts/test-peers`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, unreachable_pub, dead_code, reason = "tests")]

mod common;
#[path = "scim/harness.rs"]
mod harness;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/person.rs"]
mod person;
#[path = "peers/scim.rs"]
mod scim;
#[path = "peers/tool.rs"]
mod tool;
