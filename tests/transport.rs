//! The listener, attacked: who gets in (known failures D9 and D10), what one client may take (group G), and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    unreachable_pub,
    reason = "tests"
)]

#[path = "transport/abuse.rs"]
mod abuse;
mod common;
#[path = "transport/harness.rs"]
mod harness;
#[path = "transport/identities.rs"]
mod identities;
#[path = "transport/life.rs"]
mod life;
