//! What needs no broker to be answered: reasons, and completion for shells.

pub mod completion;
pub mod errors;
