//! The feed: the newest events, numbered as in the journal. A follower gets each one in order, or has to begin anew;
//! none is ever skipped (known failures F4 and F5).

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::domain::record::event::Event;
use crate::domain::value::refusal::{Reason, Refusal};

pub(super) struct Feed {
    events: RwLock<VecDeque<Arc<Event>>>,
    most: usize,
    newest: watch::Sender<u64>,
    halted: watch::Receiver<bool>,
}

/// One reader of the feed. It holds a place, not events: a slow one costs nothing, and learns that it was too slow.
pub struct Follower {
    feed: Arc<Feed>,
    after: u64,
    newest: watch::Receiver<u64>,
    halted: watch::Receiver<bool>,
}

impl Feed {
    pub(super) fn new(recent: VecDeque<Arc<Event>>, newest: u64, most: usize, halted: watch::Receiver<bool>) -> Self {
        Self { events: RwLock::new(recent), most, newest: watch::Sender::new(newest), halted }
    }

    pub(super) fn publish(&self, batch: &[Arc<Event>]) {
        let Some(last) = batch.last() else { return };
        let mut events = self.events.write().unwrap_or_else(PoisonError::into_inner);
        events.extend(batch.iter().cloned());
        let too_many = events.len().saturating_sub(self.most);
        events.drain(..too_many);
        // Before the events can be read: whoever has one resumes after it, and it must not count as one of the future.
        self.newest.send_replace(last.sequence);
        drop(events);
    }

    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    pub(super) async fn reached(&self, sequence: u64) -> Result<(), Refusal> {
        let mut newest = self.newest.subscribe();
        let reached = newest.wait_for(|newest| *newest >= sequence).await;
        reached.map(|_| ()).map_err(|_| Refusal::new(Reason::Halted, ""))
    }

    pub(super) fn follow(feed: &Arc<Self>, after: u64) -> Result<Follower, Refusal> {
        let follower =
            Follower { feed: Arc::clone(feed), after, newest: feed.newest.subscribe(), halted: feed.halted.clone() };
        // A place beyond the newest event is one of another journal.
        if after > feed.newest() { Err(resync(after)) } else { feed.next_after(after).map(|_| follower) }
    }

    /// The event that follows a sequence; none if there is none yet.
    fn next_after(&self, after: u64) -> Result<Option<Arc<Event>>, Refusal> {
        let events = self.events.read().unwrap_or_else(PoisonError::into_inner);
        let first = events.front().map(|event| event.sequence);
        let is_held = match first {
            // Rows that were struck out have no event, so the first event may follow a gap only at the very beginning.
            Some(first) => after.saturating_add(1) >= first,
            None => after >= self.newest(),
        };
        if !is_held {
            return Err(resync(after));
        }
        let index = events.partition_point(|event| event.sequence <= after);
        Ok(events.get(index).cloned())
    }
}

impl Follower {
    /// The sequence of the last event that was given, or the one that this began after.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.after
    }

    /// The next event, when there is one. Safe to drop before it is done.
    ///
    /// # Errors
    /// `RESYNC` if it has left memory meanwhile; `HALTED` if there will be none.
    pub async fn next(&mut self) -> Result<Arc<Event>, Refusal> {
        loop {
            self.newest.borrow_and_update();
            if let Some(event) = self.feed.next_after(self.after)? {
                self.after = event.sequence;
                return Ok(event);
            }
            let halted = || Refusal::new(Reason::Halted, "");
            tokio::select! {
                // What was published before the end is given before the end is reported.
                biased;
                changed = self.newest.changed() => changed.map_err(|_| halted())?,
                _ = self.halted.wait_for(|halted| *halted) => return Err(halted()),
            }
        }
    }
}

fn resync(after: u64) -> Refusal {
    Refusal::new(Reason::Resync, format!("`{after}`"))
}
