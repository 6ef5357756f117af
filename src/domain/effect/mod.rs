//! Effects: what one change causes for everything that depends on it.

pub mod cascade;
pub mod life;
pub(in crate::domain) mod overlay;
