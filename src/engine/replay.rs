//! Replay: from the journal's rows back to the state. A batch counts when its last row is there.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::apply::apply;
use crate::domain::event::{Event, Fact};
use crate::domain::record::{Unreadable, decode};
use crate::domain::state::State;
use crate::journal::Row;

/// A state on its way back.
#[derive(Debug, Default)]
pub struct Replay {
    state: State,
    batch: Vec<Event>,
    recent: VecDeque<Arc<Event>>,
    keep_recent: usize,
}

impl Replay {
    /// Nothing yet; the newest `keep_recent` events are kept for the feed.
    #[must_use]
    pub fn new(keep_recent: usize) -> Self {
        Self { keep_recent, ..Self::default() }
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// If this version cannot read it.
    pub fn accept(&mut self, row: &Row) -> Result<(), Unreadable> {
        let (event, last) = decode(&row.body)?;
        if let Fact::RowsAbandoned(rows) = &event.fact {
            self.batch.retain(|earlier| !(rows.first..=rows.last).contains(&earlier.sequence));
        }
        self.batch.push(event);
        if last {
            for event in std::mem::take(&mut self.batch) {
                apply(&mut self.state, &event);
                self.recent.push_back(Arc::new(event));
                if self.recent.len() > self.keep_recent {
                    self.recent.pop_front();
                }
            }
        }
        Ok(())
    }

    /// The state, and the newest events. Rows without an end of their batch had no effect.
    #[must_use]
    pub fn finish(self) -> (State, VecDeque<Arc<Event>>) {
        (self.state, self.recent)
    }
}
