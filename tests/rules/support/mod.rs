//! Worlds and calls that several subjects use.

pub(crate) mod feed;
pub(crate) mod life;
pub(crate) mod powers;
pub(crate) mod records;
