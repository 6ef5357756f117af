//! The life of an account: moving, lapsing, leaving.

pub(crate) mod lapsing;
pub(crate) mod leaving;
pub(crate) mod loopholes;
pub(crate) mod moving;
