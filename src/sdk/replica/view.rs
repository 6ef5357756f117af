//! What a check reads: one value, exchanged whole, so that trust, time and entries always belong together.

use std::fmt;
use std::sync::Arc;

use super::age::Beat;
use crate::check::{CheckCaller, CheckIndex};
use crate::clock::BootMillis;
use crate::domain::value::time::{Span, Timestamp};

/// Whether what a replica holds may be believed. Its age is another matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Nothing has been received yet.
    Unsynced,
    /// All of it came in order and agreed with the broker.
    Live,
    /// It did not: everything is denied, also what may run on while stale, until all of it has been received anew.
    Broken(Break),
}

/// What destroys the trust in a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Break {
    /// A change is missing, came twice or out of order.
    Gap,
    /// Count or digest of what is held is not the broker's.
    Digest,
    /// The broker has another journal.
    Journal,
    /// The broker is behind what was already known.
    Sequence,
    /// An entry or a message cannot be read, or is of a kind that is unknown here.
    Unreadable,
    /// The answer to a ping that was not sent.
    Unasked,
    /// A message in a place where it has none.
    OutOfPlace,
    /// The feed is of another account than what is held.
    Account,
    /// The broker no longer lets this account check.
    Refused,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gap => "a change is missing, came twice or out of order",
            Self::Digest => "the entries are not those of the broker",
            Self::Journal => "the broker has another journal",
            Self::Sequence => "the broker is behind what was already known",
            Self::Unreadable => "an entry or a message cannot be read, or is of an unknown kind",
            Self::Unasked => "a ping was answered that was not sent",
            Self::OutOfPlace => "a message came where it has no place",
            Self::Account => "the feed is of another account",
            Self::Refused => "the broker does not let this account check",
        })
    }
}

/// What is known at one moment. The index goes on changing in place; a view that is a step behind says so by its sequence.
pub(super) struct View {
    pub(super) trust: Trust,
    pub(super) index: Arc<CheckIndex>,
    /// The own account, as whom every check asks. None: the account cannot be used.
    pub(super) caller: Option<CheckCaller>,
    pub(super) beat: Option<Beat>,
    pub(super) sequence: u64,
    /// Only its age can count against it. What may run on while stale does so for age alone, never over a gap.
    pub(super) is_unbroken: bool,
}

impl View {
    pub(super) fn unsynced() -> Self {
        let index = Arc::new(CheckIndex::new());
        Self { trust: Trust::Unsynced, index, caller: None, beat: None, sequence: 0, is_unbroken: false }
    }

    /// Sequence, age and the broker's time. Before the first answer: as old, and as late, as can be.
    pub(super) fn at(&self, boot: BootMillis) -> (u64, Span, Timestamp) {
        let beat = self.beat.map(|beat| (beat.age(boot), beat.now(boot)));
        let (age, now) = beat.unwrap_or((Span::MAX, Timestamp::MAX));
        (self.sequence, age, now)
    }

    /// Nothing of what was held is kept, so that nothing can come back.
    pub(super) fn broken(why: Break, before: &Self) -> Self {
        let index = Arc::new(CheckIndex::new());
        let (beat, sequence) = (before.beat, before.sequence);
        Self { trust: Trust::Broken(why), index, caller: None, beat, sequence, is_unbroken: false }
    }

    /// The broker said that changes are missing, and there is no telling which: good until it is too old, and no longer.
    pub(super) fn after_a_gap(before: &Self) -> Self {
        let (index, caller) = (Arc::clone(&before.index), before.caller.clone());
        Self { trust: before.trust, index, caller, beat: before.beat, sequence: before.sequence, is_unbroken: false }
    }
}
