//! What HR sends: numbered events, whole files, and the brake over both.

pub(crate) mod aside;
pub(crate) mod brake;
pub(crate) mod import;
pub(crate) mod logins;
pub(crate) mod stream;
pub(crate) mod suspending;
