//! What becomes of a batch that cannot be recorded as it is (known failure H21): its commands are decided again one
//! by one, and only what is unfit for the journal is refused.

use super::batch::{Batch, Part};
use super::queue::Job;
use super::rows::{rows, within_allowance};
use super::writer::Writer;
use crate::domain::record::event::Event;
use crate::domain::state::State;
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Span;
use crate::journal::Row;

/// How long what is due waits before it is tried again, where it could not be recorded.
const DUE_AGAIN: Span = Span::SECOND;

impl Writer {
    /// The rows of a batch, if the reader would take each and no command writes more than it may.
    pub(super) fn rows_of(&self, batch: &Batch) -> Result<Vec<Row>, Refusal> {
        let rows = rows(&batch.events, self.settings.reads_row)?;
        for part in batch.parts.iter().filter(|part| part.answer.is_ok()) {
            let of_part = batch.events.get(part.events.clone()).zip(rows.get(part.events.clone()));
            if let Some((events, rows)) = of_part {
                // On the state before the batch, in which what is approved still waits.
                self.view.read(|before| within_allowance(before, &part.job.command, events, rows))?;
            }
        }
        Ok(rows)
    }

    /// Decides a batch again on the state that is durable: each part by itself, so that what is unfit is refused and nothing
    /// else is. All of it is still one commit.
    pub(super) fn one_by_one(&mut self, unfit: Batch) -> (Batch, Vec<Row>) {
        let mut batch = Batch::default();
        let kept = self.state.clone();
        self.due(&mut batch.events);
        if let Err(unfit) = rows(&batch.events, self.settings.reads_row) {
            // Nothing hangs on it: access ends by comparison. What commands do goes on meanwhile.
            tracing::error!(%unfit, "what is due cannot be recorded; it is tried again");
            self.drop_events(&mut batch.events, 0, kept);
            self.due_from = Some(self.keeper.boot().plus(DUE_AGAIN));
        }
        for Part { job, .. } in unfit.parts {
            let (kept, from) = (self.state.clone(), batch.events.len());
            let decided = self.decide(&job, &mut batch.events);
            let answer = match (self.fits(&job, &batch.events, from), decided) {
                (Ok(()), decided) => decided,
                (Err(refusal), _) => {
                    self.drop_events(&mut batch.events, from, kept);
                    self.refuse_unfit(&job, &refusal, &mut batch.events);
                    Err(refusal)
                }
            };
            batch.answered(job, answer, from);
        }
        // Only their last one is marked differently now.
        let rows = rows(&batch.events, self.settings.reads_row).unwrap_or_default();
        (batch, rows)
    }

    fn fits(&self, job: &Job, events: &[Event], from: usize) -> Result<(), Refusal> {
        let events = events.get(from..).unwrap_or_default();
        let rows = rows(events, self.settings.reads_row)?;
        self.view.read(|before| within_allowance(before, &job.command, events, &rows))
    }

    /// Refuses, and records it if at least that can be recorded.
    fn refuse_unfit(&mut self, job: &Job, refusal: &Refusal, batch: &mut Vec<Event>) {
        let (kept, from) = (self.state.clone(), batch.len());
        let envelope = self.envelope(job);
        self.note_refusal(&envelope, refusal, batch);
        if rows(batch.get(from..).unwrap_or_default(), self.settings.reads_row).is_err() {
            self.drop_events(batch, from, kept);
        }
    }

    fn drop_events(&mut self, batch: &mut Vec<Event>, from: usize, before: State) {
        let dropped = batch.split_off(from);
        self.take_back(&dropped);
        self.state = before;
    }
}
