//! What happened, from the journal itself, found through a side file that can be built again at will.

use std::path::Path;
use std::sync::Arc;

use super::milestones::Milestones;
use super::replay::Replay;
use crate::domain::record::event::{Event, Subject};
use crate::domain::record::row::{Unreadable, decode};
use crate::domain::state::State;
use crate::domain::state::apply::apply;
use crate::domain::value::ids::{Digest, JournalId};
use crate::domain::value::time::{Span, Timestamp};
use crate::journal::index::{Filter, Index, IndexError, Listed, Page};
use crate::journal::{JournalReader, ReadError};

/// Rows that are read at a time on the way to a past state.
const REPLAYED_AT_ONCE: usize = 1_024;

/// Lists, single events and past states, beyond what is in memory. Blocks while it reads.
pub struct History {
    journal: JournalId,
    index: Index,
    reader: Arc<dyn JournalReader>,
    milestones: Milestones,
}

/// Why the past could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The side file.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The journal.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A row that this version cannot read.
    #[error("row {sequence}: {source}; run `countersign audit verify` on the journal")]
    Row {
        /// Which.
        sequence: u64,
        /// Why.
        source: Unreadable,
    },
    /// The thread that read it.
    #[error("reading broke off")]
    BrokeOff,
}

/// A row of the journal.
#[derive(Debug)]
pub struct PastRow {
    /// What it says.
    pub event: Event,
    /// As it is stored.
    pub body: String,
    /// The chain's hash at it.
    pub hash: Option<Digest>,
}

/// A page of the past.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// The events that were asked for.
    pub events: Vec<Event>,
    /// The bodies of their rows, as stored.
    pub bodies: Vec<String>,
    /// How far the index had come.
    pub reached: u64,
}

impl History {
    pub(super) fn open(
        path: &Path,
        journal: JournalId,
        reader: Arc<dyn JournalReader>,
        milestones: Milestones,
    ) -> Result<Self, HistoryError> {
        Ok(Self { index: Index::open(path, reader.as_ref())?, journal, reader, milestones })
    }

    pub(super) fn in_memory(
        journal: JournalId,
        reader: Arc<dyn JournalReader>,
        milestones: Milestones,
    ) -> Result<Self, HistoryError> {
        Ok(Self { index: Index::in_memory(reader.as_ref())?, journal, reader, milestones })
    }

    /// The states that are kept for questions about the past.
    pub(super) fn milestones(&self) -> &Milestones {
        &self.milestones
    }

    /// The state as it was after the last event that was stamped at or before an instant; none if that was before the
    /// first.
    ///
    /// # Errors
    /// If the journal or its side file cannot be read.
    pub fn as_of(&self, at: Timestamp) -> Result<Option<State>, HistoryError> {
        let until = at.plus(Span::from_millis(1).unwrap_or_default());
        let filter = Filter { until: Some(until), ..Filter::default() };
        let page = Page { after: Some(u64::MAX), limit: 1, newest_first: true };
        let listed = self.index.list(self.reader.as_ref(), &filter, page)?;
        let Some(last) = listed.sequences.first().copied() else { return Ok(None) };
        self.state_at(last).map(Some)
    }

    /// The state as it was after an event.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn state_at(&self, last: u64) -> Result<State, HistoryError> {
        let mut replay = Replay::from(self.milestones.before(last), last);
        let mut after = replay.sequence();
        while !replay.is_complete() {
            let rows = self.reader.read_after(after, REPLAYED_AT_ONCE)?;
            let Some(end) = rows.last() else { break };
            after = end.sequence;
            for row in &rows {
                let sequence = row.sequence;
                replay.accept(row).map_err(|source| HistoryError::Row { sequence, source })?;
            }
        }
        let state = replay.finish().0;
        self.milestones.asked(state.clone());
        Ok(state)
    }

    /// The id by which the journal is known: another one since a loss was accepted.
    #[must_use]
    pub fn journal_id(&self) -> String {
        self.journal.to_string()
    }

    /// How many events of a kind there are up to a sequence.
    ///
    /// # Errors
    /// If the side file cannot be read.
    pub fn count(&self, kind: &str, until: u64) -> Result<u64, HistoryError> {
        Ok(self.index.count(self.reader.as_ref(), kind, until)?)
    }

    /// Brings the side file up to date with the journal.
    ///
    /// # Errors
    /// If the journal or its side file cannot be read.
    pub fn catch_up(&self) -> Result<(), HistoryError> {
        self.index.catch_up(self.reader.as_ref())?;
        Ok(())
    }

    /// A page of events, up to date with the journal.
    ///
    /// # Errors
    /// If the journal or its side file cannot be read.
    pub fn list(&self, filter: &Filter, page: Page) -> Result<Past, HistoryError> {
        let Listed { sequences, reached } = self.index.list(self.reader.as_ref(), filter, page)?;
        let mut past = Past { reached, ..Past::default() };
        for sequence in sequences {
            let row = self.reader.read(sequence)?;
            let row = row.ok_or_else(|| IndexError::Differs { what: format!("the journal has no row {sequence}") })?;
            let event = decode(&row.body).map_err(|source| HistoryError::Row { sequence, source })?.0;
            past.events.push(event);
            past.bodies.push(row.body);
        }
        Ok(past)
    }

    /// One row, from the journal itself.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn row(&self, sequence: u64) -> Result<Option<PastRow>, HistoryError> {
        let Some(row) = self.reader.read(sequence)? else { return Ok(None) };
        let event = decode(&row.body).map_err(|source| HistoryError::Row { sequence, source })?.0;
        Ok(Some(PastRow { event, body: row.body, hash: self.reader.hash(sequence)? }))
    }

    /// The chain's hash at an event: for whoever verifies what is listed.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn hash(&self, sequence: u64) -> Result<Option<Digest>, HistoryError> {
        Ok(self.reader.hash(sequence)?)
    }

    /// What one command led to, from its first event on.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn led_to(&self, first: u64) -> Result<Vec<Event>, HistoryError> {
        let mut events: Vec<Event> = Vec::new();
        for sequence in first.. {
            let Some(row) = self.reader.read(sequence)? else { break };
            let event = decode(&row.body).map_err(|source| HistoryError::Row { sequence, source })?.0;
            if events.first().is_some_and(|first| !is_of_same_command(first, &event)) {
                break;
            }
            events.push(event);
        }
        Ok(events)
    }

    /// The subjects of events that are among these, or have one of these beginnings and end so: a few more than anybody reads, in
    /// order.
    ///
    /// # Errors
    /// If the journal or its side file cannot be read.
    pub fn subjects(
        &self,
        whole: &[String],
        ending: Option<&(Vec<&'static str>, String)>,
    ) -> Result<Vec<String>, HistoryError> {
        Ok(self.index.subjects(self.reader.as_ref(), whole, ending)?)
    }

    /// A state that holds one thing alone, replayed from the events about it: for what has left memory.
    ///
    /// # Errors
    /// If the journal or its side file cannot be read.
    pub fn only(&self, subject: &Subject) -> Result<State, HistoryError> {
        let filter = Filter { about: Some(subject.to_string()), ..Filter::default() };
        let mut state = State::default();
        let mut after = None;
        loop {
            let past = self.list(&filter, Page { after, limit: 500, newest_first: false })?;
            let Some(last) = past.events.last() else { return Ok(state) };
            after = Some(last.sequence);
            // Only events whose first subject it is are applied. With half of its events another thing would be wrong:
            // an elevation's grant without its end would be live.
            let own = past.events.iter().filter(|event| event.fact.about().first() == Some(subject));
            own.for_each(|event| apply(&mut state, event));
        }
    }
}

/// Whether an event belongs to the command that a first event began: only that one carries the `request_id`.
#[must_use]
pub fn is_of_same_command(first: &Event, event: &Event) -> bool {
    event.request.is_none() && event.actor == first.actor && event.at == first.at
}
