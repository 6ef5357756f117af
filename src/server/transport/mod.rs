//! Connections: listeners, TLS with client certificates, who is at the other end, and how much one client may take. What is
//! served is handed in (`served`): nothing here knows a service, a rule or the engine.

mod calls;
mod connection;
pub(super) mod descriptors;
pub mod door;
mod handshake;
pub mod limits;
pub mod listener;
pub(super) mod listeners;
pub mod peer;
pub mod pulse;
mod runtimes;
pub mod served;
mod shared;
pub mod standing;
pub mod tls;
mod unread;

pub(super) use calls::REQUEST_ID;
