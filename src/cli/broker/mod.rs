//! The broker itself: making its journal, and running it.

pub mod init;
pub mod serve;
