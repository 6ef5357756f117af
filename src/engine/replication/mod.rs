//! The feeds of replicas (design.md 9): one channel for each enforcement point that has any, however many follow it.
//!
//! What a feed carries is a function of the state and of the accounts as they were published: a snapshot, then the
//! difference that each batch made, numbered without gaps, with a count and a set digest of everything that is in the feed
//! by then (invariant 12). A follower holds a place in a ring of recent differences, never a queue of its own, so that a
//! slow one costs nothing and learns that it was too slow (known failures F4 and F5).

mod audience;
mod awaited;
mod channel;
mod delta;
mod frame;
pub(super) mod hub;
mod roster;
mod snapshot;
mod subscription;

pub use self::awaited::{Awaited, Reached};
pub use self::frame::{Frame, Place, Sent, Standing, Start};
pub use self::roster::Replica;
pub use self::subscription::Subscription;
