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

pub mod answers;
pub mod apply;
pub mod capability;
pub mod cascade;
pub mod changed;
pub mod command;
pub mod decide;
pub mod directory;
pub mod directory_file;
pub mod elevation;
pub mod enforcement;
pub mod enrolling;
pub mod enrolment;
pub mod event;
pub mod follow_up;
pub mod grant;
pub mod hr;
pub mod ids;
pub mod index;
pub mod issue;
pub mod life;
pub mod load;
mod loaders;
pub mod lock;
pub mod obstacles;
pub mod organisation;
mod overlay;
pub mod own_standing;
pub mod policy;
pub mod recertification;
pub mod record;
pub mod refusal;
pub mod refused;
pub mod review;
pub mod reviewers;
pub mod rights;
pub mod scope;
pub mod state;
pub mod tick;
pub mod time;
pub mod token;
pub mod visibility;
