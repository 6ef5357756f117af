//! The rules, as values and functions. No IO, no clock, no async, no protobuf, no hash maps.
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod directory;
pub mod directory_file;
pub mod ids;
pub mod policy;
pub mod scope;
pub mod time;
