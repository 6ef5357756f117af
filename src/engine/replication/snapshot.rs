//! A feed's whole content at one number: made once, off the writer's thread, and shared by all who read it meanwhile.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::Standing;
use super::audience::Audience;
use super::delta::Delta;
use crate::check::{AccountEntry, Change, SetDigest};
use crate::domain::ids::AccountId;
use crate::domain::index::Map;
use crate::domain::scope::Scope;
use crate::domain::state::State;
use crate::engine::changes::grant_entry;

/// What it is made of, all of one sequence. Copies that share what does not change.
pub(super) struct Base {
    pub(super) state: State,
    pub(super) accounts: Map<AccountId, AccountEntry>,
    pub(super) baseline: Vec<Scope>,
}

pub(super) struct Snapshot {
    pub(super) number: u64,
    pub(super) sequence: u64,
    pub(super) pieces: Vec<Bytes>,
    pub(super) count: u64,
    pub(super) digest: SetDigest,
    /// As long as it is there, it counts among the snapshots that there may be at one time.
    _permit: OwnedSemaphorePermit,
}

impl Snapshot {
    /// Each account with its grants behind it, so that a replica writes each holder once.
    pub(super) fn make(audience: &Audience, at: &Standing, base: &Base, permit: OwnedSemaphorePermit) -> Self {
        let mut delta = Delta::default();
        delta.add(&Change::Baseline(base.baseline.clone()));
        for (id, entry) in &base.accounts {
            delta.add(&audience.account(entry));
            let grants = base.state.open_grants_by(id).filter_map(grant_entry);
            grants.filter_map(|grant| audience.grant(&grant)).for_each(|grant| delta.add(&grant));
        }
        let Delta { pieces, added, sum, .. } = delta.finished();
        Self { number: at.number, sequence: at.sequence, pieces, count: added, digest: sum, _permit: permit }
    }
}
