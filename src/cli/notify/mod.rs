//! Telling people: a process that reads the journal and runs a command, and one that sends signed webhooks.

mod hook;
mod message;
pub mod notifier;
mod reader;
mod store;
pub mod webhook;
