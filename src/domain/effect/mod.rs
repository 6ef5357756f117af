//! Effects: what one change brings for everything that hangs on it.

pub mod cascade;
pub mod life;
pub(in crate::domain) mod overlay;
