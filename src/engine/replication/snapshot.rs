//! A feed's whole content at one number: made once, off the writer's thread, and shared by all who read it meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::audience::Audience;
use super::delta::Delta;
use super::frame::Standing;
use crate::check::{AccountEntry, Change, SetDigest};
use crate::domain::record::grant::Grant;
use crate::domain::state::State;
use crate::domain::value::ids::AccountId;
use crate::domain::value::index::Map;
use crate::domain::value::scope::{Pattern, Scope};
use crate::engine::changes::grant_entry;

/// What a snapshot is made of, all at one sequence: copies that share what does not change.
pub(super) struct Base {
    pub(super) state: State,
    pub(super) accounts: Map<AccountId, AccountEntry>,
    pub(super) baseline: Vec<Scope>,
    pub(super) locked: BTreeSet<Pattern>,
}

pub(super) struct Snapshot {
    pub(super) number: u64,
    pub(super) sequence: u64,
    pub(super) pieces: Vec<Bytes>,
    pub(super) count: u64,
    pub(super) digest: SetDigest,
    /// Its share of the room for all snapshots, held until it is dropped.
    _room: OwnedSemaphorePermit,
}

/// Room for all snapshots that somebody has, in KiB: 256 MiB. One that is larger takes all of it.
pub(super) const ROOM_KIB: usize = 256 * 1024;

impl Snapshot {
    /// Each account with its grants behind it, so that a replica writes each holder once.
    pub(super) fn pieces(audience: &Audience, base: &Base) -> Delta {
        // The grants are walked in their own order, and those that the audience sees are then sorted by holder: looking
        // each holder's grants up would take longer.
        let is_seen = |grant: &&Grant| grant.is_open() && audience.concerns(&grant.holder, &grant.scope);
        let mut grants: Vec<&Grant> = base.state.grants().values().filter(is_seen).collect();
        grants.sort_by(|one, other| one.holder.cmp(&other.holder));
        let mut grants = grants.into_iter().peekable();
        let mut delta = Delta::default();
        delta.add(&Change::Baseline(base.baseline.clone()));
        delta.add(&Change::Locked(base.locked.clone()));
        for (id, entry) in &base.accounts {
            delta.add(&audience.account(entry));
            while let Some(grant) = grants.next_if(|grant| grant.holder <= *id) {
                let entry = grant_entry(&base.state, grant).and_then(|entry| audience.grant(&entry));
                entry.iter().for_each(|entry| delta.add(entry));
            }
        }
        delta.finished()
    }

    /// Waits until there is room for it.
    pub(super) async fn kept(at: &Standing, delta: Delta, room: &Arc<Semaphore>) -> Result<Self, AcquireError> {
        let Delta { pieces, added, sum, .. } = delta;
        let kib = pieces.iter().map(Bytes::len).sum::<usize>().div_ceil(1024).min(ROOM_KIB);
        let room = Arc::clone(room).acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX)).await?;
        Ok(Self { number: at.number, sequence: at.sequence, pieces, count: added, digest: sum, _room: room })
    }
}
