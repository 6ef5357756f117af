//! The replica of the SDK: against a broker that does what a test tells it to, and against the real binary, over real
//! mutual TLS. None of the tests waits for a time that it does not look at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(
    clippy::print_stderr,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

#[path = "replica/allocations.rs"]
mod allocations;
#[path = "replica/broker.rs"]
mod broker;
mod common;
#[path = "replica/feeds.rs"]
mod feeds;
#[path = "../examples/guarded_service.rs"]
mod guarded_service;
#[path = "end_to_end/harness.rs"]
mod harness;
#[path = "replica/lost.rs"]
mod lost;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/person.rs"]
mod person;
#[path = "replica/renewals.rs"]
mod renewals;
#[path = "replica/scripted.rs"]
mod scripted;
#[path = "replica/services.rs"]
mod services;
