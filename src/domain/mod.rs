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

pub mod decide;
pub mod directory;
pub mod directory_file;
pub mod effect;
pub mod policy;
pub mod record;
pub mod rule;
pub mod state;
pub mod value;
