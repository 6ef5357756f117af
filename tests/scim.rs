//! SCIM 2.0 Users over real mTLS on a real listener, on the real store: what HR and identity systems send, in HTTP/1.1 and
//! HTTP/2, what follows from it, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, unreachable_pub, dead_code, reason = "tests")]

#[path = "scim/binary.rs"]
mod binary;
mod common;
#[path = "scim/dialects.rs"]
mod dialects;
#[path = "scim/effects.rs"]
mod effects;
#[path = "scim/harness.rs"]
mod harness;
#[path = "scim/identity_systems.rs"]
mod identity_systems;
#[path = "scim/logins.rs"]
mod logins;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/person.rs"]
mod person;
#[path = "scim/refusals.rs"]
mod refusals;
#[path = "scim/transport.rs"]
mod transport;
#[path = "scim/users.rs"]
mod users;
