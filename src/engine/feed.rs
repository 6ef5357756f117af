//! The feed: the newest events, numbered as in the journal. A follower gets each one in order, or has to begin anew;
//! none is ever skipped (known failures F4 and F5).

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use super::recent::Recent;
use crate::domain::record::event::Event;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::journal::Row;

pub(super) struct Feed {
    events: RwLock<Recent>,
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
    pub(super) fn new(recent: Recent, newest: u64, halted: watch::Receiver<bool>) -> Self {
        Self { events: RwLock::new(recent), newest: watch::Sender::new(newest), halted }
    }

    /// `rows`: those of the events.
    pub(super) fn publish(&self, batch: Vec<Event>, rows: &[Row]) {
        let Some(last) = batch.last().map(|event| event.sequence) else { return };
        let mut events = self.events.write().unwrap_or_else(PoisonError::into_inner);
        batch.into_iter().zip(rows).for_each(|(event, row)| events.push(Arc::new(event), row.body.len()));
        // Before the events can be read: whoever has one resumes after it, and it must not count as one of the future.
        self.newest.send_replace(last);
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
        let is_held = match events.oldest() {
            // Rows that were struck out have no event, so the first event may follow a gap only at the very beginning.
            Some(first) => after.saturating_add(1) >= first,
            None => after >= self.newest(),
        };
        if !is_held {
            return Err(resync(after));
        }
        Ok(events.after(after))
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
