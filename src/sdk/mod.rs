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
mod answer;
mod builder;
mod calls;
mod check_stream;
mod client;
mod error;
mod exchanged;
mod files;
mod line;
mod link;
mod own;
mod probe;
pub mod replica;
mod token;
mod watch;
mod watches;

pub use answer::CheckedAccess;
pub use builder::ClientBuilder;
pub use check_stream::CheckStream;
pub use client::Client;
pub use error::{ClientError, FieldMistake, RefusedCall};
#[cfg(feature = "prometheus")]
pub use replica::ReplicaCollector;
#[cfg(any(test, feature = "testing"))]
pub use replica::testing;
pub use replica::{
    Act, Break, CheckLayer, Checked, CheckedBatch, Cut, DeniedRequest, FeedState, NoPeer, NotReached, PassedCheck,
    Replica, ReplicaBuilder, ReplicaMetrics, ReplicaStatus, Trust, VerifiedPeer,
};
pub use token::{PresentedToken, TokenDenied, TokenKeys, TokenVerdict, TokenVerifier};
pub use watch::{Sequenced, Watch};
