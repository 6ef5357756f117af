//! The view: a second copy of the state that holds durable events alone, for everything that reads.

use std::sync::{PoisonError, RwLock};

use crate::domain::apply::apply;
use crate::domain::event::Event;
use crate::domain::state::State;

pub(super) struct View(RwLock<State>);

impl View {
    pub(super) fn new(state: State) -> Self {
        Self(RwLock::new(state))
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One short write lock a batch.
    pub(super) fn record<'a>(&self, events: impl IntoIterator<Item = &'a Event>) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        events.into_iter().for_each(|event| apply(&mut state, event));
    }
}
