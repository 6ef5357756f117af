//! The block: all that a check needs to know of one holder, in one allocation.
//!
//! ```text
//! head      flags 1, names 2, grants 4, where the audience begins 4, ends of the baseline and of checking 8 each
//! grants    of each: end and flags 8, where its body and its actions begin 4 each; the one that ends last first, then
//!           the lowest id
//! names     the account's id, then its identities: length 2, text
//! bodies    of each: id 16, length of its patterns 4, patterns
//! actions   length 2, actions; grants of the same actions share them
//! audience  patterns to the end
//! ```
//! In this order the first live grant that covers is the answer, and the first that is over ends the search. Every part
//! is found from the head alone, so that the cache misses of a cold block overlap. Actions that are shared are compared
//! once for all the grants of a role, and make a block a cache line shorter.

pub(super) mod draft;

use uuid::Uuid;

use super::bytes::Cursor;
use super::compiled::{Asked, has_action, patterns_cover};
use crate::domain::value::ids::GrantId;
use crate::domain::value::time::Timestamp;

const HEAD_BYTES: usize = 27;
const GRANT_BYTES: usize = 16;
/// The account is there and may be used.
const ACTIVE: u8 = 1;
/// The account is there. Without this flag the block only keeps grants whose account is not in the index yet, or no
/// longer.
const KNOWN: u8 = 1 << 1;
/// A lock stops the account.
const LOCKED: u8 = 1 << 2;
/// Below a grant's end: its start is recorded; a lock stops it.
const GRANT_STARTED: i64 = 1;
const GRANT_LOCKED: i64 = 1 << 1;
const GRANT_FLAGS: u32 = 2;

/// A block, read in place.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    bytes: &'a [u8],
    flags: u8,
    names: u16,
    grants: &'a [[u8; GRANT_BYTES]],
    audience_at: u32,
    baseline_until: i64,
    checks_until: i64,
}

/// The answer to a query from the block alone, without the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Granted {
        grant: GrantId,
        end: Timestamp,
    },
    /// Grants cover it and are not over, but locks stop them.
    Locked {
        baseline_until: Option<Timestamp>,
    },
    /// A grant covers it, is not over and has not started.
    NotStarted {
        baseline_until: Option<Timestamp>,
    },
    /// No grant covers it, or the account cannot be used.
    Nothing {
        baseline_until: Option<Timestamp>,
    },
}

impl<'a> Block<'a> {
    /// None if the bytes are no block; nothing that this module wrote is that.
    #[inline]
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [flags, n0, n1, g0, g1, g2, g3, a0, a1, a2, a3, instants @ ..] = *head;
        let [b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3, c4, c5, c6, c7] = instants;
        let grants = usize::try_from(u32::from_le_bytes([g0, g1, g2, g3])).ok()?;
        Some(Self {
            bytes,
            flags,
            names: u16::from_le_bytes([n0, n1]),
            grants: rest.as_chunks::<GRANT_BYTES>().0.get(..grants)?,
            audience_at: u32::from_le_bytes([a0, a1, a2, a3]),
            baseline_until: i64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
            checks_until: i64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
        })
    }

    pub(super) fn is_active(&self) -> bool {
        self.flags & ACTIVE != 0
    }

    #[inline]
    pub(super) fn is_locked(&self) -> bool {
        self.flags & LOCKED != 0
    }

    pub(super) fn may_check(&self, now: Timestamp) -> bool {
        self.is_active() && !self.checks_until().is_over(now)
    }

    fn checks_until(&self) -> Timestamp {
        Timestamp::from_millis(self.checks_until).unwrap_or(Timestamp::MIN)
    }

    fn baseline_until(&self) -> Timestamp {
        Timestamp::from_millis(self.baseline_until).unwrap_or(Timestamp::MIN)
    }

    pub(super) fn grants(&self) -> usize {
        self.grants.len()
    }

    pub(super) fn length_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The account's id, then its identities.
    #[inline]
    pub(super) fn names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let begin = self.grants.len().saturating_mul(GRANT_BYTES).saturating_add(HEAD_BYTES);
        let mut cursor = Cursor(self.bytes.get(begin..).unwrap_or_default());
        (0..self.names).map_while(move |_| cursor.counted_u16())
    }

    /// The account's id.
    pub(super) fn holder(&self) -> &'a [u8] {
        self.names().next().unwrap_or_default()
    }

    /// Whether the text, whole, is the account's id or one of its identities.
    #[inline]
    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        self.names().any(|own| own == name)
    }

    /// The compiled patterns of the audience.
    pub(super) fn audience(&self) -> &'a [u8] {
        let begin = usize::try_from(self.audience_at).unwrap_or(usize::MAX);
        self.bytes.get(begin..).unwrap_or_default()
    }

    /// The answer by the grants. Whether the baseline covers the query is for the caller to check; this only says until
    /// when it holds.
    #[inline]
    pub(super) fn answer(&self, action: &[u8], resource: Asked<'_>, now: Timestamp) -> Answer {
        if !self.is_active() {
            return Answer::Nothing { baseline_until: None };
        }
        let (mut waiting, mut locked) = (false, false);
        // The place of the actions that were compared last, and whether the query's action was among them.
        let mut looked_at = (0, false);
        for word in self.grants {
            let Some(grant) = GrantWord::read(word) else { continue };
            if grant.end.is_over(now) {
                break;
            }
            if (grant.locked && locked) || (!grant.started && !grant.locked && waiting) {
                continue;
            }
            if looked_at.0 != grant.actions_at {
                looked_at = (grant.actions_at, has_action(self.actions(grant.actions_at).unwrap_or_default(), action));
            }
            if !looked_at.1 {
                continue;
            }
            let Some((id, patterns)) = self.body(grant.body_at) else { continue };
            if patterns_cover(patterns, resource) {
                if grant.locked {
                    locked = true;
                    continue;
                }
                if grant.started {
                    return Answer::Granted { grant: GrantId::from(Uuid::from_bytes(id)), end: grant.end };
                }
                waiting = true;
            }
        }
        let baseline_until = Some(self.baseline_until()).filter(|until| !until.is_over(now));
        match (locked, waiting) {
            (true, _) => Answer::Locked { baseline_until },
            (false, true) => Answer::NotStarted { baseline_until },
            (false, false) => Answer::Nothing { baseline_until },
        }
    }

    /// A grant's id and its patterns.
    #[inline]
    fn body(&self, at: u32) -> Option<([u8; 16], &'a [u8])> {
        let mut cursor = self.cursor(at)?;
        let id = cursor.array()?;
        let patterns = cursor.array().map(u32::from_le_bytes)?;
        Some((id, cursor.bytes(usize::try_from(patterns).ok()?)?))
    }

    #[inline]
    fn actions(&self, at: u32) -> Option<&'a [u8]> {
        self.cursor(at)?.counted_u16()
    }

    #[inline]
    fn cursor(&self, at: u32) -> Option<Cursor<'a>> {
        self.bytes.get(usize::try_from(at).ok()?..).map(Cursor)
    }
}

/// The fixed-size part of a grant, which lies before all bodies.
struct GrantWord {
    end: Timestamp,
    started: bool,
    locked: bool,
    body_at: u32,
    actions_at: u32,
}

impl GrantWord {
    #[inline]
    fn read(word: &[u8; GRANT_BYTES]) -> Option<Self> {
        let [e0, e1, e2, e3, e4, e5, e6, e7, b0, b1, b2, b3, a0, a1, a2, a3] = *word;
        let end_and_flags = i64::from_le_bytes([e0, e1, e2, e3, e4, e5, e6, e7]);
        Some(Self {
            end: Timestamp::from_millis(end_and_flags >> GRANT_FLAGS).ok()?,
            started: end_and_flags & GRANT_STARTED != 0,
            locked: end_and_flags & GRANT_LOCKED != 0,
            body_at: u32::from_le_bytes([b0, b1, b2, b3]),
            actions_at: u32::from_le_bytes([a0, a1, a2, a3]),
        })
    }
}
