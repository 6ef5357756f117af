//! The doors that checks come through: the check service, its stream, the feed of replicas, and Envoy's external
//! authorization. All lead to one function of the check index.

pub(super) mod access;
pub(super) mod calls;
pub(super) mod checker;
mod explain;
pub mod ext_authz;
pub(super) mod messages;
pub(super) mod replication;
mod stream;
