//! The rules and refusals of the core (DESIGN 3 to 6), each with a test: given, when, then. The four rules of separation
//! of duties are in tests/separation.rs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../common/world.rs"]
mod world;

mod asking;
mod cascades;
mod ending;
mod loading;
mod machines;
mod repeating;
mod reviewing;
mod scheduling;
mod seeing;
mod time;
