//! Which broker, as whom, and what every command that calls it shares.

pub mod change;
pub mod confirm;
pub mod context;
pub mod replicas;
pub mod session;
pub mod waiting;
