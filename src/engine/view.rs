//! The view: a second copy of the state that holds durable events alone, for everything that reads.

use std::sync::{PoisonError, RwLock};

use crate::domain::record::event::Event;
use crate::domain::state::State;
use crate::domain::state::apply::apply;

/// From so many events on, the view becomes a clone of the writer's state.
const SHARED_FROM_EVENTS: usize = 4_096;

pub(super) struct View(RwLock<State>);

impl View {
    pub(super) fn new(state: State) -> Self {
        Self(RwLock::new(state))
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One short write lock a batch: applies a few events to the view, or makes the writer's state, which has them all,
    /// the view. Sharing makes the next changes of both slower, so it is for longer batches. Returns the old state,
    /// because dropping it takes time.
    #[must_use]
    pub(super) fn record(&self, events: &[Event], writers: &State) -> Option<State> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if events.len() < SHARED_FROM_EVENTS {
            events.iter().for_each(|event| apply(&mut state, event));
            return None;
        }
        Some(std::mem::replace(&mut *state, writers.clone()))
    }
}
