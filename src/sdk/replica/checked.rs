//! The answer of a replica, in a form that cannot be read as an allow by mistake.

use std::time::Duration;

use crate::check::{Allowed, Verdict};
use crate::domain::value::ids::GrantId;
use crate::domain::value::time::{Span, Timestamp};

/// What a replica answered to a check, and what it knew then. Everything but a plain ALLOW is a deny (invariant 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an answer that nobody reads guards nothing"]
pub struct Checked {
    pub(super) verdict: Verdict,
    pub(super) sequence: u64,
    pub(super) age: Span,
    /// The broker's time.
    pub(super) now: Timestamp,
}

impl Checked {
    /// Whether it may be done.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.verdict.is_allowed()
    }

    /// The verdict as a value.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Why, as the API calls it: `GRANTED`, `BASELINE`; `OUT_OF_AUDIENCE`, `LOCKED`, `NOT_STARTED`, `NO_GRANT`, `STALE`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.verdict.reason()
    }

    /// The grant that answers; none with a deny, and none where the baseline allows.
    #[must_use]
    pub fn grant(&self) -> Option<GrantId> {
        match self.verdict {
            Verdict::Allow { because: Allowed::Granted { grant }, .. } => Some(grant),
            _ => None,
        }
    }

    /// The sequence of the broker's journal that the answer stands at, or a later one.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How old, at most, the knowledge was on which it was decided.
    #[must_use]
    pub fn age(&self) -> Duration {
        duration(self.age)
    }

    /// Until when an ALLOW holds if nothing is revoked, in the broker's time: at this very instant it is over. None with a
    /// deny. To wait for it use [`Checked::valid_for`]: the clock of this machine may be wrong.
    #[must_use]
    pub fn valid_until(&self) -> Option<Timestamp> {
        match self.verdict {
            Verdict::Allow { valid_until, .. } => Some(valid_until),
            Verdict::Deny { .. } => None,
        }
    }

    /// How long an ALLOW holds from the moment of the check, if nothing is revoked. None with a deny.
    #[must_use]
    pub fn valid_for(&self) -> Option<Duration> {
        self.left().map(duration)
    }

    /// The text of a deny, for the other side.
    #[cfg(feature = "tower")]
    pub(super) fn denied_text(self) -> String {
        format!("access is denied ({}); ask for it first", self.reason())
    }

    pub(in crate::sdk) fn left(&self) -> Option<Span> {
        self.valid_until().map(|until| until.since(self.now))
    }
}

/// The answers to a batch of questions, in their order. Kept and used again, it saves the allocation.
#[derive(Debug, Clone, Default)]
#[must_use = "answers that nobody reads guard nothing"]
pub struct CheckedBatch {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) sequence: u64,
    pub(super) age: Span,
    pub(super) now: Timestamp,
}

impl CheckedBatch {
    /// One that has room for so many answers.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { verdicts: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// The answers: as many as there were questions.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Checked> + '_ {
        let (sequence, age, now) = (self.sequence, self.age, self.now);
        self.verdicts.iter().map(move |verdict| Checked { verdict: *verdict, sequence, age, now })
    }
}

pub(super) fn duration(span: Span) -> Duration {
    Duration::from_millis(u64::try_from(span.millis()).unwrap_or_default())
}
