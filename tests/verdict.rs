//! Invariant 11: broker, stream, replica, token, ext_authz and AuthZEN give the same verdict at the same sequence, and the same reason
//! where they hold the same information; a token alone never allows what the broker would not have allowed when it was
//! signed (known failures F1 and F10). In memory over a million comparisons with a model of its own; then thousands through each
//! path of a real broker, each path one implementation of `paths::Path`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, unreachable_pub, dead_code, reason = "tests")]

#[path = "verdict/chance.rs"]
mod chance;
mod common;
#[path = "scim/harness.rs"]
mod harness;
#[path = "verdict/memory.rs"]
mod memory;
#[path = "verdict/model.rs"]
mod model;
#[path = "verdict/network.rs"]
mod network;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "verdict/paths.rs"]
mod paths;
#[path = "end_to_end/person.rs"]
mod person;
#[path = "verdict/tally.rs"]
mod tally;
