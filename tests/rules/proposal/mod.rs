//! Proposals of policy and directory.

pub(crate) mod authors;
pub(crate) mod files;
pub(crate) mod merge;
pub(crate) mod own_standing;
pub(crate) mod review;
pub(crate) mod rights;
