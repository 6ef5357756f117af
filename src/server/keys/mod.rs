//! What the broker seals and signs with: texts that only it reads, signed notes, and the keys of grant tokens.

pub(crate) mod note;
pub(super) mod sealed;
pub(super) mod signing;
