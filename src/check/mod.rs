//! The check path: the index of live grants and the verdict, which the broker and its replicas share (design.md 9).
//!
//! A check is one look-up and a few comparisons: it allocates nothing, reads no clock and waits for the writer only
//! while that swaps a block. It compares ends with the `now` that it is given, so that no timer and no removal changes
//! an answer (known failure C9, invariant 1). Its result is a value, never a bool, and whatever is unknown, malformed
//! or empty is no allow (invariant 7). There is one path for all who ask (known failure F1), and a batch is that path
//! repeated (known failure F10).
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

mod block;
mod bytes;
mod caller;
mod change;
mod compiled;
mod entry;
mod entry_digest;
mod index;
mod locked;
mod patterns;
#[cfg(test)]
mod reference;
mod set_digest;
mod verdict;

pub use caller::CheckCaller;
pub use change::{AccountEntry, Change, GrantEntry};
pub use entry::{Unreadable, read_changes};
pub use index::{CheckIndex, Statistics};
pub use patterns::Patterns;
pub use set_digest::SetDigest;
pub use verdict::{Allowed, Denied, Query, Verdict};
