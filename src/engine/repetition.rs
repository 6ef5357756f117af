//! The answer to a command that took effect already. It needs no row, so that whatever keeps the journal from taking one says
//! nothing about it: who sends it again is never told that nothing has happened (known failure A18).

use super::outcome::Done;
use super::queue::Job;
use super::writer::{Failed, Writer};
use crate::domain::decide::decide_all;
use crate::domain::record::command::Envelope;
use crate::domain::state::Bound;
use crate::domain::value::ids::{Identity, RequestId};

impl Writer {
    /// What a command has led to that took effect before, as the state has it.
    pub(super) fn done(&self, envelope: &Envelope) -> Done {
        let bound = self.bound(&envelope.caller.identity, envelope.request_id);
        let sequence = bound.map_or_else(|| self.state.sequence(), |bound| bound.sequence);
        Done { sequence, about: bound.and_then(|bound| bound.about.clone()), repeated: true, journal_bytes: 0 }
    }

    fn bound(&self, identity: &Identity, id: RequestId) -> Option<&Bound> {
        let principal = self.state.organisation().principal(identity);
        let present = principal.and_then(|principal| self.state.bound(principal, id));
        present.or_else(|| self.state.bound_before(identity, id))
    }

    /// The answer, if this very command took effect before.
    pub(super) fn repetition(&self, job: &Job) -> Option<Done> {
        self.bound(&job.caller.identity, job.request_id)?;
        let envelope = self.envelope(job);
        let decided = decide_all(&self.state, &envelope).ok()?;
        decided.events.is_empty().then(|| self.done(&envelope))
    }

    /// Tells callers that nothing was recorded for them, but for those whose command took effect before. The state is what is
    /// durable.
    pub(super) fn refuse(&self, jobs: impl IntoIterator<Item = Job>, failed: &Failed) {
        for job in jobs {
            let repeated = match failed {
                Failed::NotAppended(_) => self.repetition(&job),
                Failed::Unknown => None,
            };
            // Who asked may have gone.
            let _ = job.reply.send(repeated.ok_or_else(|| failed.refusal()));
        }
    }
}
