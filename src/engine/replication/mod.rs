//! The feeds of replicas (design.md 9): one channel for each enforcement point that has any, however many follow it.
//!
//! What a feed carries is a function of the state and of the accounts as they were published: a snapshot, then the
//! difference that each batch made, numbered without gaps, with a count and a set digest of everything that is in the feed
//! by then (invariant 12). A follower holds a place in a ring of recent differences, never a queue of its own, so that a
//! slow one costs nothing and learns that it was too slow (known failures F4 and F5).

mod audience;
mod awaited;
mod channel;
mod delta;
mod roster;
mod snapshot;
mod subscription;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use self::audience::Audience;
pub use self::awaited::{Awaited, Reached};
use self::channel::Channel;
use self::delta::{Delta, Difference};
pub use self::roster::Replica;
use self::roster::Roster;
use self::snapshot::{Base, ROOM_KIB};
pub use self::subscription::{Frame, Place, Sent, Standing, Start, Subscription};
use super::Engine;
use crate::check::{AccountEntry, Change, GrantEntry};
use crate::clock::BootMillis;
use crate::domain::directory::AccountKind;
use crate::domain::policy::CapabilityName;
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
pub(super) struct Hub {
    journal_id: String,
    ring_bytes: usize,
    published: Mutex<Published>,
    making: Arc<Semaphore>,
    room: Arc<Semaphore>,
    roster: Roster,
    /// Changes when a replica said that it has applied something, or went.
    changed: watch::Sender<u64>,
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
    pub(super) fn new(journal_id: String, sequence: u64, all: &[Change], ring_bytes: usize) -> Self {
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
    pub(super) fn is_followed(&self) -> bool {
        !self.published().channels.is_empty()
    }

    /// One batch: what changed, and the grants of it as they were.
    pub(super) fn publish(
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
        let told_to_all = Delta::told_to_all(&differences);
        published.channels.retain(|_, channel| channel.publish(sequence, &differences, &told_to_all));
    }

    /// The account's channel: the one that there is, or a new one. The writer alone calls this.
    fn open(&self, account: &AccountId, state: &State, boot: BootMillis) -> Result<Arc<Channel>, Refusal> {
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

    fn known(&self, account: &AccountId) -> Option<Arc<Channel>> {
        self.published().channels.get(account).filter(|channel| !channel.is_closed()).cloned()
    }

    /// All that a snapshot of now is made of. The writer alone calls this: state and accounts are of one sequence.
    fn base(&self, state: &State) -> Base {
        let published = self.published();
        Base {
            state: state.clone(),
            accounts: published.accounts.clone(),
            baseline: published.baseline.clone(),
            locked: published.locked.clone(),
        }
    }

    /// How many replicas are connected.
    pub(super) fn connected(&self) -> usize {
        self.published().channels.values().map(|channel| channel.followed_by()).sum()
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replicas.
impl Engine {
    /// Follows an account's feed: from where a replica left off, if that is still known, else from a snapshot, of
    /// `at_least` this sequence if there can be such a one.
    ///
    /// # Errors
    /// `OVERLOADED` or `HALTED`. Whether it may is asked before, by [`Engine::may_follow`].
    pub async fn replicate(
        &self,
        account: &AccountId,
        who: Replica,
        at_least: u64,
        place: Option<Place>,
    ) -> Result<Subscription, Refusal> {
        let hub = Arc::clone(&self.shared.hub);
        let channel = match hub.known(account) {
            Some(channel) => channel,
            None => {
                let (of, its) = (account.clone(), Arc::clone(&hub));
                let boot = self.shared.keeper.boot();
                self.ask(move |state, _| its.open(&of, state, boot)).await??
            }
        };
        let mut subscription = Subscription::new(hub, channel, Arc::clone(&self.shared.keeper), who)?;
        subscription.begin(self, at_least, place).await?;
        Ok(subscription)
    }

    /// Whether the account may have a feed now; asked at each beat too.
    ///
    /// # Errors
    /// `CAPABILITY_MISSING`.
    pub fn may_follow(&self, account: &AccountId) -> Result<(), Refusal> {
        let now = self.latest();
        let checks = self.checks().caller(account.as_str()).is_some_and(|caller| caller.may_check(now));
        // What a customer may know of others is not told apart yet.
        let is_customer = self.read(|state| {
            let account = state.organisation().accounts().get(account);
            account.is_some_and(|account| matches!(account.kind, AccountKind::Customer { .. }))
        });
        if checks && !is_customer {
            return Ok(());
        }
        let capability = CapabilityName::AccessCheck.as_str();
        Err(Refusal::new(Reason::CapabilityMissing, format!("`{capability}`")).with("capability", capability))
    }

    /// How many replicas follow a feed.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.shared.hub.connected()
    }

    /// The replicas that are known now, and what is published by now.
    #[must_use]
    pub fn await_replicas(&self) -> Awaited {
        Awaited::new(&self.shared.hub, &self.shared.keeper)
    }
}
