//! What is recorded together.

use std::ops::Range;

use super::outcome::Done;
use super::queue::Job;
use crate::domain::record::event::Event;
use crate::domain::value::refusal::Refusal;
use crate::journal::Row;

/// What was decided and is to be recorded together.
#[derive(Default)]
pub(super) struct Batch {
    /// What is due first, then what each command led to.
    pub(super) events: Vec<Event>,
    pub(super) parts: Vec<Part>,
}

/// One command of a batch; its answer waits until the batch is durable.
pub(super) struct Part {
    pub(super) job: Job,
    pub(super) answer: Result<Done, Refusal>,
    /// Where its events are among those of the batch.
    pub(super) events: Range<usize>,
}

impl Part {
    /// Notes what the command's events take of the journal.
    pub(super) fn count_bytes(&mut self, rows: &[Row]) {
        if let (Ok(done), Some(rows)) = (&mut self.answer, rows.get(self.events.clone())) {
            let bytes: usize = rows.iter().map(|row| row.body.len()).sum();
            done.journal_bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        }
    }
}

impl Batch {
    /// A command has its answer, and what it led to are the events since the one before.
    pub(super) fn answered(&mut self, job: Job, answer: Result<Done, Refusal>, from: usize) {
        let events = from..self.events.len();
        self.parts.push(Part { job, answer, events });
    }
}
