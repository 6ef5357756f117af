//! How methods of all services work: what is got by its id or an ending, lists, watches, changes, the past, dear work, and
//! files in pieces.

pub(super) mod change;
pub(super) mod get;
pub(super) mod list;
pub(super) mod past;
pub(super) mod pieces;
pub(super) mod watch;
pub(super) mod work;
