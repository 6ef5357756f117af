//! Loads in the state, and the texts of those that wait for their approval.

use super::{Closed, Due, State};
use crate::domain::ids::LoadId;
use crate::domain::index::Map;
use crate::domain::load::Load;

impl State {
    /// Loads that wait for their approval, and what closed lately.
    #[must_use]
    pub fn loads(&self) -> &Map<LoadId, Load> {
        &self.loads
    }

    /// The file that a pending load would put in force.
    #[must_use]
    pub fn load_text(&self, id: LoadId) -> Option<String> {
        let pieces = self.load_texts.get(&id)?;
        Some(pieces.iter().map(|piece| &**piece).collect())
    }

    /// Loads that wait for their approval: one for each account and file at most.
    pub fn pending_loads(&self) -> impl Iterator<Item = &Load> {
        self.load_texts.keys().filter_map(|id| self.loads.get(id))
    }

    pub(in crate::domain) fn put_load(&mut self, load: Load) {
        let texts = self.load_texts.get(&load.id).cloned().unwrap_or_default();
        self.remove_load(load.id);
        if load.phase.is_pending() {
            self.due.insert((load.review.deadline, Due::LoadDeadline(load.id)));
            self.load_texts.insert(load.id, texts);
        }
        if let Some(at) = load.phase.closed_at() {
            self.closed.insert((at, Closed::Load(load.id)));
        }
        self.loads.insert(load.id, load);
    }

    pub(in crate::domain) fn remove_load(&mut self, id: LoadId) {
        let Some(old) = self.loads.remove(&id) else { return };
        self.load_texts.remove(&id);
        self.due.remove(&(old.review.deadline, Due::LoadDeadline(id)));
        if let Some(at) = old.phase.closed_at() {
            self.closed.remove(&(at, Closed::Load(id)));
        }
    }
}
