//! A block while it is being changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    ACTIVE, Block, GRANT_BYTES, GRANT_FLAGS, GRANT_LOCKED, GRANT_STARTED, GrantWord, HEAD_BYTES, KNOWN, LOCKED,
};
use crate::check::bytes::put_counted_u16;
use crate::check::change::{AccountEntry, GrantEntry};
use crate::check::compiled::{compile_actions, compile_patterns};
use crate::domain::value::ids::GrantId;
use crate::domain::value::time::Timestamp;

/// A block being changed: what stays is copied as the bytes it was, never parsed and compiled again.
pub(in crate::check) struct Draft<'a> {
    flags: u8,
    baseline_until: Timestamp,
    checks_until: Timestamp,
    names: Vec<&'a [u8]>,
    grants: BTreeMap<[u8; 16], GrantDraft<'a>>,
    audience: Cow<'a, [u8]>,
}

/// An account of a draft.
pub(in crate::check) struct AccountDraft<'a> {
    pub(in crate::check) active: bool,
    pub(in crate::check) locked: bool,
    pub(in crate::check) baseline_until: Timestamp,
    pub(in crate::check) checks_until: Timestamp,
    /// Compiled.
    pub(in crate::check) audience: &'a [u8],
}

/// A grant of a draft.
pub(in crate::check) struct GrantDraft<'a> {
    pub(in crate::check) end: Timestamp,
    pub(in crate::check) started: bool,
    pub(in crate::check) locked: bool,
    /// Each behind its length.
    pub(in crate::check) actions: Cow<'a, [u8]>,
    /// Compiled.
    pub(in crate::check) patterns: Cow<'a, [u8]>,
}

impl<'a> Draft<'a> {
    /// The draft of an existing block, or of a new one.
    pub(in crate::check) fn of(holder: &'a [u8], old: Option<Block<'a>>) -> Self {
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

    pub(in crate::check) fn set_account(&mut self, account: &'a AccountEntry) {
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        self.flags = KNOWN | flag(ACTIVE, account.active) | flag(LOCKED, account.locked);
        self.baseline_until = account.baseline_until;
        self.checks_until = account.checks_until;
        self.names.truncate(1);
        self.names.extend(account.identities.iter().map(|identity| identity.as_str().as_bytes()));
        self.names.truncate(usize::from(u16::MAX));
        self.audience = Cow::Owned(compile_patterns(&account.audience));
    }

    pub(in crate::check) fn clear_account(&mut self) {
        self.flags = 0;
        self.baseline_until = Timestamp::MIN;
        self.checks_until = Timestamp::MIN;
        self.names.truncate(1);
        self.audience = Cow::Borrowed(&[]);
    }

    pub(in crate::check) fn set_grant(&mut self, grant: &GrantEntry) {
        let actions = Cow::Owned(compile_actions(&grant.scope));
        let patterns = Cow::Owned(compile_patterns(grant.scope.resources()));
        let draft = GrantDraft { end: grant.end, started: grant.started, locked: grant.locked, actions, patterns };
        self.grants.insert(*grant.id.uuid().as_bytes(), draft);
    }

    pub(in crate::check) fn clear_grant(&mut self, id: GrantId) {
        self.grants.remove(id.uuid().as_bytes());
    }

    pub(in crate::check) fn names(&self) -> &[&'a [u8]] {
        &self.names
    }

    /// The account, if it is there.
    pub(in crate::check) fn account(&self) -> Option<AccountDraft<'_>> {
        (self.flags & KNOWN != 0).then(|| AccountDraft {
            active: self.flags & ACTIVE != 0,
            locked: self.flags & LOCKED != 0,
            baseline_until: self.baseline_until,
            checks_until: self.checks_until,
            audience: &self.audience,
        })
    }

    pub(in crate::check) fn grant(&self, id: &[u8; 16]) -> Option<&GrantDraft<'a>> {
        self.grants.get(id)
    }

    /// The new block; none if nothing is left to know of this holder.
    pub(in crate::check) fn encode(&self) -> Option<Arc<[u8]>> {
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
