//! The rules, as values and functions. No IO, no clock, no async, no protobuf, no hash maps.
//!
//! The house has floors. Each may use those below it and none above, and within a floor no two files use each other;
//! `tests/architecture.rs` holds both. One rule tells where a thing belongs: **a record never asks a rule.**
//!
//! | floor | what it holds | begin with |
//! |---|---|---|
//! | [`value`] | ids, time, scope, reasons of refusal, limits that no policy changes | `value/time.rs`, `value/scope.rs` |
//! | [`directory`] | people, accounts and tenants, as they are on record | `directory.rs` |
//! | [`policy`] | roles, requirements and entitlements; the policy file and its mistakes; separation rules 1 and 2 | `policy/mod.rs`, `policy/separation.rs` |
//! | [`directory_file`] | the directory file and its mistakes | `directory_file.rs` |
//! | [`record`] | what was asked, decided and given, what can be asked (`command`), what happened (`event`), and the journal's rows | `record/review.rs`, `record/event.rs` |
//! | [`state`] | the organisation and all that is open, and how an event changes it (`apply`) | `state/mod.rs`, `state/apply.rs` |
//! | [`rule`] | questions to the state: who is eligible, who may review, who sees what, what stands in the way | `rule/eligibility.rs`, `rule/reviewers.rs` |
//! | [`effect`] | what one change brings for everything that hangs on it: the cascade, and the lives of people and accounts | `effect/cascade.rs` |
//! | [`decide`] | from a state and a command to events, or to a refusal; and what the passing of time brings | `decide/mod.rs`, `decide/tick.rs` |
//!
//! In half an hour: `docs/reading.md`.
#![deny(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]
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

#[cfg(feature = "core")]
pub mod decide;
#[cfg(feature = "core")]
pub mod directory;
#[cfg(feature = "core")]
pub mod directory_file;
#[cfg(feature = "core")]
pub mod effect;
#[cfg(feature = "core")]
pub mod policy;
#[cfg(feature = "core")]
pub mod record;
#[cfg(feature = "core")]
pub mod rule;
#[cfg(feature = "core")]
pub mod state;
pub mod value;
