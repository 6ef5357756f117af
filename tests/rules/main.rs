//! The rules and refusals of the core (design.md 3 to 6), each with a test: given, when, then. The four rules of separation
//! of duties are in tests/separation.rs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/world.rs"]
mod world;

mod account;
mod attestation;
mod campaign;
mod cascade;
mod customer;
mod elevation;
mod enrolment;
mod feed;
mod grant;
mod identity;
mod identity_before;
mod identity_histories;
mod kept;
mod life;
mod lock;
mod loss;
mod own_lock;
mod proposal;
mod repetition;
mod spender;
mod support;
mod surplus;
mod suspension;
mod tenant_limits;
mod themselves;
mod time;
mod token;
mod two_roles;
mod visibility;
