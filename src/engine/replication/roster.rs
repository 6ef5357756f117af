//! Who follows, and who did until a moment ago: whom `revoke --wait` waits for.
//!
//! A replica that has lost its stream goes on allowing what it knew until it is too old, so it still counts although it
//! cannot be heard: it is waited for until it is back, or until it denies by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::channel::Channel;
use crate::clock::BootMillis;
use crate::domain::value::ids::AccountId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Span;

/// The most replicas of one account, those that went a moment ago included.
const MOST_REPLICAS: usize = 4_096;
/// For how long a replica that does not say when it denies is taken to allow what it knew: the most that it can be set to.
const LONGEST_STALENESS: Span = Span::seconds(300);

/// A replica, as it names itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// The same over all its streams.
    pub id: Uuid,
    /// Older than this it denies; none: it did not say, or not everything.
    pub max_staleness: Option<Span>,
}

/// Account and replica.
pub(super) type Name = (AccountId, Uuid);

#[derive(Default)]
pub(super) struct Roster {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    streams: u64,
    replicas: BTreeMap<Name, Following>,
}

/// Where a replica is.
pub(super) struct Following {
    /// Its newest stream: an earlier one that ends later changes nothing.
    stream: u64,
    pub(super) channel: Arc<Channel>,
    /// The last change that is in force in it; none until it said so.
    pub(super) applied: Option<u64>,
    max_staleness: Span,
    /// Set once it has gone: from this time on it denies.
    pub(super) gone_until: Option<BootMillis>,
}

impl Roster {
    /// A stream of a replica begins.
    pub(super) fn join(
        &self,
        name: Name,
        who: Replica,
        channel: &Arc<Channel>,
        boot: BootMillis,
    ) -> Result<u64, Refusal> {
        let mut seen = self.seen();
        seen.prune(boot);
        let of_account = (name.0.clone(), Uuid::nil())..=(name.0.clone(), Uuid::max());
        if !seen.replicas.contains_key(&name) && seen.replicas.range(of_account).count() >= MOST_REPLICAS {
            let why = format!("`{}` has {MOST_REPLICAS} replicas already", name.0);
            return Err(Refusal::new(Reason::Overloaded, why));
        }
        seen.streams = seen.streams.wrapping_add(1);
        let stream = seen.streams;
        let max_staleness = who.max_staleness.unwrap_or(LONGEST_STALENESS).min(LONGEST_STALENESS);
        let channel = Arc::clone(channel);
        let following = Following { stream, channel, applied: None, max_staleness, gone_until: None };
        seen.replicas.insert(name, following);
        Ok(stream)
    }

    pub(super) fn leave(&self, name: &Name, stream: u64, boot: BootMillis) {
        if let Some(following) = self.seen().of(name, stream) {
            following.gone_until = Some(boot.plus(following.max_staleness));
        }
    }

    pub(super) fn applied(&self, name: &Name, stream: u64, number: u64) {
        if let Some(following) = self.seen().of(name, stream) {
            following.applied = Some(number);
        }
    }

    /// All that may allow something at this time.
    pub(super) fn known(&self, boot: BootMillis) -> Vec<Name> {
        let mut seen = self.seen();
        seen.prune(boot);
        seen.replicas.keys().cloned().collect()
    }

    /// Visits each of these with where it is; none: it denies by now.
    pub(super) fn look<'a>(
        &self,
        names: impl Iterator<Item = &'a Name>,
        mut visit: impl FnMut(&'a Name, Option<&Following>),
    ) {
        let seen = self.seen();
        names.for_each(|name| visit(name, seen.replicas.get(name)));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn of(&mut self, name: &Name, stream: u64) -> Option<&mut Following> {
        self.replicas.get_mut(name).filter(|following| following.stream == stream)
    }

    fn prune(&mut self, boot: BootMillis) {
        self.replicas.retain(|_, following| following.gone_until.is_none_or(|until| boot < until));
    }
}
