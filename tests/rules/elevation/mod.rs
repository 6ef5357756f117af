//! Elevations: what is asked for, reviewed, started; and emergencies.

pub(crate) mod continuous;
pub(crate) mod emergency;
pub(crate) mod machine;
pub(crate) mod request;
pub(crate) mod review;
pub(crate) mod start;
