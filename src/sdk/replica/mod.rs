//! A live copy, in the service's own process, of everything that it may check (design.md 9).
//!
//! A check of a replica is a look-up in memory: it waits for nothing, holds no lock, allocates nothing, and is the same
//! function as the broker's. A revocation arrives as a change, within milliseconds. When the broker cannot be heard,
//! knowledge ages; past `max_staleness` everything is denied (known failures F3 and F6). When what is heard does not
//! fit together, everything is denied at once, until all of it has been received anew (known failures F4 and I11).
//!
//! ```no_run
//! # async fn guard() -> Result<(), Box<dyn std::error::Error>> {
//! use countersign::sdk::Replica;
//!
//! let replica = Replica::builder(["https://broker.northwind.example:7443"])
//!     .authority_file("/etc/countersign/authority.pem")
//!     .identity_files("/etc/orders-api/tls.pem", "/etc/orders-api/tls.key")
//!     .connect()
//!     .await?;
//! let checked = replica.check("ana", "db.write", "prod/eu/db/orders/primary");
//! if !checked.is_allowed() {
//!     // Refuse the work, and say why: `checked.reason()`.
//! }
//! # Ok(()) }
//! ```
#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod age;
#[cfg(feature = "tower")]
mod body;
mod builder;
mod checked;
mod follower;
mod guard;
#[cfg(test)]
mod held_tests;
#[cfg(feature = "tower")]
mod layer;
mod metrics;
#[cfg(feature = "tower")]
mod peer;
mod renewal;
mod session;
mod shared;
mod status;
mod stream;
mod telling;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod view;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tower")]
pub use body::{BodyCut, CheckedBody};
pub use builder::ReplicaBuilder;
pub use checked::{Checked, CheckedBatch};
pub use guard::{Cut, GuardedSteps};
#[cfg(feature = "tower")]
pub use layer::{Act, CheckLayer, CheckService, DeniedRequest, PassedCheck, REASON_HEADER};
#[cfg(feature = "prometheus")]
pub use metrics::ReplicaCollector;
pub use metrics::ReplicaMetrics;
#[cfg(feature = "tower")]
pub use peer::{NoPeer, VerifiedPeer};
pub use status::{FeedState, ReplicaStatus};
pub use view::{Break, Trust};

use self::shared::Shared;
use crate::check::Query;
#[cfg(feature = "tokens")]
use crate::domain::value::ids::AccountId;

/// A replica. Cheap to clone; all clones are one. When the last is dropped, its connection ends.
#[derive(Clone)]
pub struct Replica {
    shared: Arc<Shared>,
    /// None: it follows nobody, in tests.
    session: Option<Arc<session::Task>>,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.shared.view.load();
        f.debug_struct("Replica").field("trust", &view.trust).field("sequence", &view.sequence).finish_non_exhaustive()
    }
}

impl Replica {
    /// Whether `subject` (an account, or one of its identities) may do `action` on `resource` now. Memory only: it waits for
    /// nothing, allocates nothing, and never fails; what cannot be decided is a deny.
    pub fn check(&self, subject: &str, action: &str, resource: &str) -> Checked {
        self.check_at_least(0, subject, action, resource)
    }

    /// The same, at a sequence of the broker's journal or a later one: a replica that has not reached it denies as `STALE`.
    /// With the sequence of a revocation's answer this is "not before you know of it"; [`Replica::reached`] waits for it.
    pub fn check_at_least(&self, sequence: u64, subject: &str, action: &str, resource: &str) -> Checked {
        let _span = tracing::trace_span!("check", subject, action, resource).entered();
        let checked = self.shared.look(sequence, Query { subject, action, resource });
        self.shared.checks.count(checked.verdict);
        tracing::trace!(reason = checked.reason(), sequence = checked.sequence(), "checked");
        checked
    }

    /// Answers each question as [`Replica::check`] does, only sooner, and all at one moment. What `answers` had before is
    /// gone; it allocates nothing if there is room in it.
    pub fn check_batch(&self, queries: &[Query<'_>], answers: &mut CheckedBatch) {
        self.shared.look_at_all(queries, answers);
        answers.verdicts.iter().for_each(|verdict| self.shared.checks.count(*verdict));
    }

    /// Waits until everything up to a sequence of the broker's journal is in force here.
    ///
    /// # Errors
    /// If it is not within that time.
    pub async fn reached(&self, sequence: u64, within: Duration) -> Result<(), NotReached> {
        let mut changed = self.shared.changed.subscribe();
        let reached = changed.wait_for(|_| {
            let view = self.shared.view.load();
            view.trust == Trust::Live && view.sequence >= sequence
        });
        match tokio::time::timeout(within, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(NotReached { sequence, at: self.shared.view.load().sequence }),
        }
    }

    /// Whom this identity names, by what is known here.
    #[cfg(feature = "tokens")]
    pub(super) fn account_of(&self, identity: &str) -> Option<AccountId> {
        self.shared.view.load().index.caller(identity)?.account().parse().ok()
    }

    /// How it is doing: for metrics and alarms.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        let mut status = self.shared.status();
        if self.session.as_ref().is_some_and(|session| session.0.is_finished()) {
            status.feed = FeedState::Ended;
        }
        status
    }
}

/// The replica has not come as far as was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the replica is at sequence {at} and not yet at {sequence}; ask again, and until then take it as a deny")]
pub struct NotReached {
    /// What was waited for.
    pub sequence: u64,
    /// Where it is.
    pub at: u64,
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
