//! The rules and refusals of the core (design.md 3 to 6), each with a test: given, when, then. The four rules of separation
//! of duties are in tests/separation.rs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/world.rs"]
mod world;

mod asking;
mod attesting;
mod braking;
mod cascades;
mod customers;
mod customers_apart;
mod emergencies;
mod ending;
mod ending_memberships;
mod enrolling;
mod enrolling_machines;
mod enrolling_review;
mod enrolling_roles;
mod feeding;
mod hr;
mod importing;
mod lapsing;
mod leaving;
mod living;
mod locking;
mod loopholes;
mod machines;
mod moving;
mod own_standing;
mod proposals_by_two;
mod proposing;
mod recertifying;
mod recording;
mod repeating;
mod restoring;
mod reviewing;
mod rights;
mod scheduling;
mod seeing;
mod time;
mod tokens;
mod touched;
