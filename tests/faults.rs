//! A replica of the real broker behind somebody in the middle who holds valid certificates and alters the feed: drops,
//! repeats, reorders, delays and rewrites what passes. Whatever it does, nobody is let in who should not be for longer
//! than `max_staleness`, and the replica is right again once it stops (known failure F3 to F5, I10, I11). And a disk that
//! loses the end of the journal (known failures H17, H18).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, unreachable_pub, dead_code, reason = "tests")]

mod common;
#[path = "faults/feeds.rs"]
mod feeds;
#[path = "end_to_end/harness.rs"]
mod harness;
#[path = "faults/lost_tail.rs"]
mod lost_tail;
#[path = "faults/middle.rs"]
mod middle;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/person.rs"]
mod person;
