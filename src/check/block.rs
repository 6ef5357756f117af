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
//! Sorted so, the first live grant that covers is the answer, and the first that is over ends the search. Everything
//! is found from the head alone, so that the misses of a cold block overlap. Shared, actions are compared once for all
//! the grants of a role, and a block is a line shorter.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::bytes::{Cursor, put_counted_u16};
use super::compiled::{Asked, compile_actions, compile_patterns, has_action, patterns_cover};
use super::{AccountEntry, GrantEntry};
use crate::domain::value::ids::GrantId;
use crate::domain::value::time::Timestamp;

const HEAD_BYTES: usize = 27;
const GRANT_BYTES: usize = 16;
/// The account is there and may be used.
const ACTIVE: u8 = 1;
/// The account is there. Without it the block only keeps grants whose account has not come, or has gone.
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

/// What the block alone says to a query.
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
    /// No grant covers it.
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

    /// What the grants say. The baseline is the caller's to ask, where this says until when it holds.
    #[inline]
    pub(super) fn answer(&self, action: &[u8], resource: Asked<'_>, now: Timestamp) -> Answer {
        if !self.is_active() {
            return Answer::Nothing { baseline_until: None };
        }
        let (mut waiting, mut locked) = (false, false);
        // Where the actions lie that were looked at last, and whether the query's was among them.
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

/// What is said of a grant in front of all bodies.
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

/// A block being changed: what stays is copied as the bytes it was, never parsed and compiled again.
pub(super) struct Draft<'a> {
    flags: u8,
    baseline_until: Timestamp,
    checks_until: Timestamp,
    names: Vec<&'a [u8]>,
    grants: BTreeMap<[u8; 16], GrantDraft<'a>>,
    audience: Cow<'a, [u8]>,
}

/// An account of a draft.
pub(super) struct AccountTold<'a> {
    pub(super) active: bool,
    pub(super) locked: bool,
    pub(super) baseline_until: Timestamp,
    pub(super) checks_until: Timestamp,
    /// Compiled.
    pub(super) audience: &'a [u8],
}

/// A grant of a draft.
pub(super) struct GrantTold<'a> {
    pub(super) end: Timestamp,
    pub(super) started: bool,
    pub(super) locked: bool,
    /// Each behind its length.
    pub(super) actions: &'a [u8],
    /// Compiled.
    pub(super) patterns: &'a [u8],
}

struct GrantDraft<'a> {
    end: Timestamp,
    started: bool,
    locked: bool,
    actions: Cow<'a, [u8]>,
    patterns: Cow<'a, [u8]>,
}

impl<'a> Draft<'a> {
    /// Of the block that there is, or of none yet.
    pub(super) fn of(holder: &'a [u8], old: Option<Block<'a>>) -> Self {
        let Some(old) = old else {
            return Self {
                flags: 0,
                baseline_until: Timestamp::MIN,
                checks_until: Timestamp::MIN,
                names: vec![holder],
                grants: BTreeMap::new(),
                audience: Cow::Borrowed(&[]),
            };
        };
        let grant = |word: &[u8; GRANT_BYTES]| {
            let GrantWord { end, started, locked, body_at, actions_at } = GrantWord::read(word)?;
            let (id, patterns) = old.body(body_at)?;
            let (actions, patterns) = (Cow::Borrowed(old.actions(actions_at)?), Cow::Borrowed(patterns));
            Some((id, GrantDraft { end, started, locked, actions, patterns }))
        };
        Self {
            flags: old.flags,
            baseline_until: old.baseline_until(),
            checks_until: old.checks_until(),
            names: old.names().collect(),
            grants: old.grants.iter().filter_map(grant).collect(),
            audience: Cow::Borrowed(old.audience()),
        }
    }

    pub(super) fn set_account(&mut self, account: &'a AccountEntry) {
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        self.flags = KNOWN | flag(ACTIVE, account.active) | flag(LOCKED, account.locked);
        self.baseline_until = account.baseline_until;
        self.checks_until = account.checks_until;
        self.names.truncate(1);
        self.names.extend(account.identities.iter().map(|identity| identity.as_str().as_bytes()));
        self.names.truncate(usize::from(u16::MAX));
        self.audience = Cow::Owned(compile_patterns(&account.audience));
    }

    pub(super) fn clear_account(&mut self) {
        self.flags = 0;
        self.baseline_until = Timestamp::MIN;
        self.checks_until = Timestamp::MIN;
        self.names.truncate(1);
        self.audience = Cow::Borrowed(&[]);
    }

    pub(super) fn set_grant(&mut self, grant: &GrantEntry) {
        let actions = Cow::Owned(compile_actions(&grant.scope));
        let patterns = Cow::Owned(compile_patterns(grant.scope.resources()));
        let draft = GrantDraft { end: grant.end, started: grant.started, locked: grant.locked, actions, patterns };
        self.grants.insert(*grant.id.uuid().as_bytes(), draft);
    }

    pub(super) fn clear_grant(&mut self, id: GrantId) {
        self.grants.remove(id.uuid().as_bytes());
    }

    pub(super) fn names(&self) -> &[&'a [u8]] {
        &self.names
    }

    /// The account, if it is there.
    pub(super) fn account(&self) -> Option<AccountTold<'_>> {
        (self.flags & KNOWN != 0).then(|| AccountTold {
            active: self.flags & ACTIVE != 0,
            locked: self.flags & LOCKED != 0,
            baseline_until: self.baseline_until,
            checks_until: self.checks_until,
            audience: &self.audience,
        })
    }

    pub(super) fn grant(&self, id: &[u8; 16]) -> Option<GrantTold<'_>> {
        let GrantDraft { end, started, locked, actions, patterns } = self.grants.get(id)?;
        Some(GrantTold { end: *end, started: *started, locked: *locked, actions, patterns })
    }

    /// The new block; none if nothing is left to know of this holder.
    pub(super) fn encode(&self) -> Option<Arc<[u8]>> {
        if self.flags & KNOWN == 0 && self.grants.is_empty() {
            return None;
        }
        let mut sorted: Vec<_> = self.grants.iter().collect();
        sorted.sort_by_key(|(_, grant)| std::cmp::Reverse(grant.end));
        // What does not fit in the counts is left out, and so allows nothing.
        let offset = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut names = Vec::new();
        self.names.iter().for_each(|name| put_counted_u16(&mut names, name));
        let bodies_at = sorted.len().saturating_mul(GRANT_BYTES).saturating_add(HEAD_BYTES).saturating_add(names.len());
        let mut bodies = Vec::new();
        let mut body_places = Vec::new();
        for (id, grant) in &sorted {
            body_places.push(offset(bodies_at.saturating_add(bodies.len())));
            bodies.extend_from_slice(id.as_slice());
            bodies.extend_from_slice(&offset(grant.patterns.len()).to_le_bytes());
            bodies.extend_from_slice(&grant.patterns);
        }
        let actions_at = bodies_at.saturating_add(bodies.len());
        let mut actions = Vec::new();
        let mut action_places = BTreeMap::new();
        let mut words = Vec::new();
        for ((_, grant), body_place) in sorted.iter().zip(body_places) {
            let action_place = *action_places.entry(&grant.actions).or_insert_with(|| {
                let place = offset(actions_at.saturating_add(actions.len()));
                put_counted_u16(&mut actions, &grant.actions);
                place
            });
            let flag = |flag, is_set| if is_set { flag } else { 0 };
            let flags = flag(GRANT_STARTED, grant.started) | flag(GRANT_LOCKED, grant.locked);
            words.extend_from_slice(&(grant.end.millis().wrapping_shl(GRANT_FLAGS) | flags).to_le_bytes());
            words.extend_from_slice(&body_place.to_le_bytes());
            words.extend_from_slice(&action_place.to_le_bytes());
        }
        let audience_at = actions_at.saturating_add(actions.len());
        let mut block = Vec::with_capacity(audience_at.saturating_add(self.audience.len()));
        block.push(self.flags);
        block.extend_from_slice(&u16::try_from(self.names.len()).unwrap_or(u16::MAX).to_le_bytes());
        block.extend_from_slice(&offset(sorted.len()).to_le_bytes());
        block.extend_from_slice(&offset(audience_at).to_le_bytes());
        block.extend_from_slice(&self.baseline_until.millis().to_le_bytes());
        block.extend_from_slice(&self.checks_until.millis().to_le_bytes());
        for part in [words.as_slice(), &names, &bodies, &actions, &self.audience] {
            block.extend_from_slice(part);
        }
        Some(block.into())
    }
}
