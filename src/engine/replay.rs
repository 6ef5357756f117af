//! Replay: from the journal's rows back to the state. A batch counts when its last row is there.

use std::sync::Arc;

use super::milestones::Milestones;
use super::recent::Recent;
use crate::domain::record::event::{BrokerFact, Event, Fact};
use crate::domain::record::row::{Unreadable, decode};
use crate::domain::state::State;
use crate::domain::state::apply::apply;
use crate::journal::Row;

/// A state that is being replayed.
#[derive(Debug, Default)]
pub struct Replay {
    state: State,
    /// With the bytes of their rows.
    batch: Vec<(Event, usize)>,
    recent: Recent,
    milestones: Milestones,
    until: Option<u64>,
}

impl Replay {
    /// Nothing yet; the newest events are kept for the feed.
    #[must_use]
    pub fn new(recent: Recent) -> Self {
        Self { recent, ..Self::default() }
    }

    /// From a state on, up to a sequence and no further.
    #[must_use]
    pub fn from(state: State, until: u64) -> Self {
        Self { state, until: Some(until), ..Self::default() }
    }

    /// How far it has come.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.state.sequence()
    }

    /// Whether it has reached the sequence that it goes up to.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.until.is_some_and(|until| self.state.sequence() >= until)
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// If this version cannot read it.
    pub fn accept(&mut self, row: &Row) -> Result<(), Unreadable> {
        let (event, last) = decode(&row.body)?;
        if let Fact::Broker(BrokerFact::RowsAbandoned(rows)) = &event.fact {
            self.batch.retain(|(earlier, _)| !(rows.first..=rows.last).contains(&earlier.sequence));
        }
        self.batch.push((event, row.body.len()));
        if last {
            let until = self.until.unwrap_or(u64::MAX);
            let batch = std::mem::take(&mut self.batch).into_iter();
            for (event, bytes) in batch.filter(|(event, _)| event.sequence <= until) {
                apply(&mut self.state, &event);
                self.recent.push(Arc::new(event), bytes);
            }
            if self.until.is_none() {
                self.milestones.note(&self.state);
            }
        }
        Ok(())
    }

    /// The state, and the newest events. Rows without an end of their batch had no effect.
    #[must_use]
    pub fn finish(self) -> (State, Recent) {
        (self.state, self.recent)
    }

    /// The same, with states on the way.
    #[must_use]
    pub fn into_parts(self) -> (State, Recent, Milestones) {
        (self.state, self.recent, self.milestones)
    }
}
