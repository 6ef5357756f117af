//! What goes to a terminal, and what comes from its command line: tables, cards, JSON, pages, values, failures.

pub mod failure;
pub mod json;
pub mod output;
pub mod page;
pub mod secrets;
pub mod table;
pub mod text;
pub mod values;
