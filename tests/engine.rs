//! The engine as a whole, over the memory store and SQLite: given / when / then, with clocks that a test sets.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]

#[path = "engine/as_of.rs"]
mod as_of;
#[path = "engine/attacks.rs"]
mod attacks;
#[path = "common/calls.rs"]
mod calls;
#[path = "engine/clocks.rs"]
mod clocks;
#[path = "engine/common.rs"]
mod common;
#[path = "engine/crash.rs"]
mod crash;
#[path = "engine/faults.rs"]
mod faults;
#[path = "engine/feeds.rs"]
mod feeds;
#[path = "engine/full_disks.rs"]
mod full_disks;
#[path = "engine/gone.rs"]
mod gone;
#[path = "engine/histories.rs"]
mod histories;
#[path = "engine/model.rs"]
mod model;
#[path = "engine/queues.rs"]
mod queues;
#[path = "engine/replication.rs"]
mod replication;
#[path = "engine/restarts.rs"]
mod restarts;
#[path = "engine/thread.rs"]
mod thread;
#[path = "engine/unfit.rs"]
mod unfit;
