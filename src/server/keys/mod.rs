//! What the broker seals and signs with: texts that only it reads, and the keys of grant tokens.

pub(super) mod sealed;
pub(super) mod signing;
