//! What a reviewer does: find what waits, read it, decide.

pub mod approve;
pub mod close;
pub mod confirm;
pub mod follow_up;
pub mod inbox;
pub mod lookup;
pub mod show;
