//! The channels of all enforcement points, and what the writer publishes to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use super::audience::Audience;
use super::channel::Channel;
use super::delta::{Delta, Difference};
use super::roster::Roster;
use super::snapshot::{Base, ROOM_KIB};
use crate::check::{AccountEntry, Change, GrantEntry};
use crate::clock::BootMillis;
use crate::domain::state::State;
use crate::domain::value::ids::{AccountId, GrantId};
use crate::domain::value::index::Map;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::scope::{Pattern, Scope};
use crate::domain::value::time::Span;

/// Snapshots that are made at one time: each takes a processor.
const SNAPSHOTS_AT_ONCE: usize = 2;
/// How long a channel that nobody follows is kept, so that whoever lost the connection resumes.
const KEPT_UNFOLLOWED: Span = Span::seconds(60);

/// All channels, and what was published to them. The writer alone publishes, and opens.
pub(in crate::engine) struct Hub {
    pub(super) journal_id: String,
    ring_bytes: usize,
    published: Mutex<Published>,
    pub(super) making: Arc<Semaphore>,
    pub(super) room: Arc<Semaphore>,
    pub(super) roster: Roster,
    /// Changes when a replica said that it has applied something, or went.
    pub(super) changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Published {
    accounts: Map<AccountId, AccountEntry>,
    baseline: Vec<Scope>,
    locked: BTreeSet<Pattern>,
    channels: BTreeMap<AccountId, Arc<Channel>>,
    sequence: u64,
}

impl Hub {
    /// With everything that was published up to now.
    pub(in crate::engine) fn new(journal_id: String, sequence: u64, all: &[Change], ring_bytes: usize) -> Self {
        let mut published = Published { sequence, ..Published::default() };
        for change in all {
            match change {
                Change::Account(entry) => drop(published.accounts.insert(entry.id.clone(), entry.clone())),
                Change::Baseline(scopes) => published.baseline.clone_from(scopes),
                Change::Locked(patterns) => published.locked.clone_from(patterns),
                Change::AccountGone(_) | Change::Grant(_) | Change::GrantGone { .. } => {}
            }
        }
        Self {
            journal_id,
            ring_bytes,
            published: Mutex::new(published),
            making: Arc::new(Semaphore::new(SNAPSHOTS_AT_ONCE)),
            room: Arc::new(Semaphore::new(ROOM_KIB)),
            roster: Roster::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// Whether any channel is open, for which the grants before a batch are needed. None opens between this and
    /// [`Hub::publish`], for both are the writer's.
    pub(in crate::engine) fn is_followed(&self) -> bool {
        !self.published().channels.is_empty()
    }

    /// One batch: what changed, and the grants of it as they were.
    pub(in crate::engine) fn publish(
        &self,
        sequence: u64,
        changes: &[Change],
        before: &BTreeMap<GrantId, GrantEntry>,
        boot: BootMillis,
    ) {
        let mut published = self.published();
        let published = &mut *published;
        published.sequence = sequence;
        published.channels.retain(|_, channel| !channel.is_forgotten(boot, KEPT_UNFOLLOWED));
        let mut differences = Vec::new();
        for change in changes {
            match change {
                Change::Account(entry) => {
                    let old = published.accounts.insert(entry.id.clone(), entry.clone());
                    differences.push(Difference::Account { old, new: entry });
                }
                Change::Baseline(scopes) => {
                    let old = std::mem::replace(&mut published.baseline, scopes.clone());
                    differences.push(Difference::Baseline { old, new: scopes });
                }
                Change::Locked(patterns) => {
                    let old = std::mem::replace(&mut published.locked, patterns.clone());
                    differences.push(Difference::Locked { old, new: patterns });
                }
                Change::Grant(entry) => {
                    differences.push(Difference::Grant { old: before.get(&entry.id), new: Some(entry) });
                }
                Change::GrantGone { id, .. } => {
                    differences.push(Difference::Grant { old: before.get(id), new: None });
                }
                // Accounts are closed, never taken out.
                Change::AccountGone(_) => {}
            }
        }
        if published.channels.is_empty() {
            return;
        }
        let for_all = Delta::for_all(&differences);
        published.channels.retain(|_, channel| channel.publish(sequence, &differences, &for_all));
    }

    /// The account's channel: the one that there is, or a new one. The writer alone calls this.
    pub(in crate::engine) fn open(
        &self,
        account: &AccountId,
        state: &State,
        boot: BootMillis,
    ) -> Result<Arc<Channel>, Refusal> {
        let mut published = self.published();
        if let Some(channel) = published.channels.get(account).filter(|channel| !channel.is_closed()) {
            return Ok(Arc::clone(channel));
        }
        let Some(entry) = published.accounts.get(account) else {
            return Err(Refusal::new(Reason::NoAccount, format!("there is no account `{account}`")));
        };
        let channel = Arc::new(Channel::new(Audience::of(entry), state.sequence(), self.ring_bytes, boot));
        published.channels.insert(account.clone(), Arc::clone(&channel));
        Ok(channel)
    }

    pub(in crate::engine) fn known(&self, account: &AccountId) -> Option<Arc<Channel>> {
        self.published().channels.get(account).filter(|channel| !channel.is_closed()).cloned()
    }

    /// All that a snapshot of now is made of. The writer alone calls this: state and accounts are of one sequence.
    pub(super) fn base(&self, state: &State) -> Base {
        let published = self.published();
        Base {
            state: state.clone(),
            accounts: published.accounts.clone(),
            baseline: published.baseline.clone(),
            locked: published.locked.clone(),
        }
    }

    /// How many replicas are connected.
    pub(in crate::engine) fn connected(&self) -> usize {
        self.published().channels.values().map(|channel| channel.followed_by()).sum()
    }

    /// The last change of each feed that is open.
    pub(super) fn marks(&self) -> BTreeMap<String, u64> {
        self.published().channels.values().map(|channel| channel.mark()).collect()
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
