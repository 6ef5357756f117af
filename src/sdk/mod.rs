//! What a program uses to talk to a broker: a [`Client`] with typed errors, retries and resuming watches.
//!
//! A service that guards something asks before it acts, and takes everything but a plain ALLOW as a deny, an error too
//! (known failures B5 and D12):
//!
//! ```no_run
//! # async fn guard() -> Result<(), countersign::sdk::ClientError> {
//! use countersign::sdk::Client;
//!
//! let broker = Client::builder("https://broker.northwind.example:7443")
//!     .authority_file("/etc/countersign/authority.pem")
//!     .identity_files("/etc/orders-api/tls.pem", "/etc/orders-api/tls.key")
//!     .connect()
//!     .await?;
//! let answer = broker.check("ana", "db.write", "prod/eu/db/orders/primary").await?;
//! if !answer.is_allowed() {
//!     // Refuse the work, and say why: `answer.reason()`.
//! }
//! # Ok(()) }
//! ```
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub(crate) mod address;
#[cfg(feature = "client")]
mod answer;
mod builder;
#[cfg(feature = "client")]
mod calls;
#[cfg(feature = "client")]
mod check_stream;
#[cfg(feature = "client")]
mod client;
mod error;
mod exchanged;
#[cfg(feature = "client")]
mod files;
#[cfg(feature = "client")]
mod line;
mod link;
mod own;
#[cfg(feature = "client")]
mod probe;
#[cfg(feature = "replica")]
pub mod replica;
#[cfg(feature = "tokens")]
mod token;
#[cfg(feature = "client")]
mod watch;
#[cfg(feature = "client")]
mod watches;

#[cfg(feature = "client")]
pub use answer::CheckedAccess;
pub use builder::ClientBuilder;
#[cfg(feature = "client")]
pub use check_stream::CheckStream;
#[cfg(feature = "client")]
pub use client::Client;
pub use error::{ClientError, FieldMistake, RefusedCall};
#[cfg(feature = "prometheus")]
pub use replica::ReplicaCollector;
#[cfg(any(test, feature = "testing"))]
pub use replica::testing;
#[cfg(feature = "tower")]
pub use replica::{Act, CheckLayer, DeniedRequest, NoPeer, PassedCheck, VerifiedPeer};
#[cfg(feature = "replica")]
pub use replica::{
    Break, Checked, CheckedBatch, Cut, FeedState, GuardedSteps, NotReached, Replica, ReplicaBuilder, ReplicaMetrics,
    ReplicaStatus, Trust,
};
#[cfg(feature = "tokens")]
pub use token::{PresentedToken, TokenDenied, TokenKeys, TokenVerdict, TokenVerifier};
#[cfg(feature = "client")]
pub use watch::{Sequenced, Watch};
