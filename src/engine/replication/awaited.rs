//! How far replicas are with what was published before a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::hub::Hub;
use super::roster::Name;
use crate::clock::{BootMillis, Timekeeper};

/// Reports that many replicas send at once are counted together.
const COUNTED_TOGETHER: Duration = Duration::from_millis(2);

/// How many replicas have what was published before a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Replicas that were known then, and are connected or have it in force.
    pub connected: usize,
    /// Those of them in which it is in force.
    pub reached: usize,
    /// Replicas that were known then, have lost their stream, and may allow what they knew for a while.
    pub lost: usize,
}

/// How far the replicas of a moment are.
pub struct Awaited {
    hub: Arc<Hub>,
    keeper: Arc<Timekeeper>,
    /// The last change of each feed that there was. One that began later has everything.
    marks: BTreeMap<String, u64>,
    waited_for: BTreeSet<Name>,
    arrived: usize,
    changed: watch::Receiver<u64>,
    reported: Option<Reached>,
}

impl Awaited {
    pub(in crate::engine) fn new(hub: &Arc<Hub>, keeper: &Arc<Timekeeper>) -> Self {
        let changed = hub.changed.subscribe();
        let marks = hub.marks();
        // Who joins from here on begins with what is marked.
        let waited_for = hub.roster.known(keeper.boot()).into_iter().collect();
        let (hub, keeper) = (Arc::clone(hub), Arc::clone(keeper));
        Self { hub, keeper, marks, waited_for, arrived: 0, changed, reported: None }
    }

    /// How far it is, as soon as that differs from what was reported last; none once all of them are there.
    pub async fn next(&mut self) -> Option<Reached> {
        if self.reported.is_some_and(|last| last.connected == last.reached && last.lost == 0) {
            return None;
        }
        loop {
            self.changed.borrow_and_update();
            let (all, next) = self.count();
            if self.reported.replace(all) != Some(all) {
                return Some(all);
            }
            let denies = next.map(|until| until.since(self.keeper.boot()).millis());
            let denies = denies.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis);
            tokio::select! {
                // An error means that the hub is gone, and with it everybody.
                changed = self.changed.changed() => changed.ok()?,
                () = tokio::time::sleep(denies.unwrap_or_default()), if denies.is_some() => {}
            }
            tokio::time::sleep(COUNTED_TOGETHER).await;
        }
    }

    /// Counts, and says when the next of the lost replicas will deny by itself.
    fn count(&mut self) -> (Reached, Option<BootMillis>) {
        let now = self.keeper.boot();
        let (mut over, mut lost, mut next) = (Vec::new(), 0_usize, None::<BootMillis>);
        let (marks, arrived) = (&self.marks, &mut self.arrived);
        self.hub.roster.look(self.waited_for.iter(), |name, following| match following {
            None => over.push(name.clone()),
            Some(following) => {
                let mark = marks.get(&following.channel.feed_id).copied().unwrap_or(0);
                // A feed that is over may have ended by the very change that is waited for.
                let is_there = following.applied.is_some_and(|number| number >= mark);
                if is_there && !following.channel.is_closed() {
                    *arrived = arrived.saturating_add(1);
                    over.push(name.clone());
                } else if let Some(until) = following.gone_until {
                    if until <= now {
                        over.push(name.clone());
                    } else {
                        lost = lost.saturating_add(1);
                        next = Some(next.map_or(until, |next| next.min(until)));
                    }
                }
            }
        });
        for name in &over {
            self.waited_for.remove(name);
        }
        let waiting = self.waited_for.len().saturating_sub(lost);
        let all = Reached { connected: waiting.saturating_add(self.arrived), reached: self.arrived, lost };
        (all, next)
    }
}
