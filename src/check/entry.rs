//! One text for each entry of the check index, to the byte: what a feed carries, and what its set digest is taken over.
//! Everything is behind its length, so that no two entries have one text (known failure F2). The form is described at
//! `ReplicaChange` in the API.

use std::collections::BTreeSet;
use std::str::FromStr;

use uuid::Uuid;

use super::bytes::{Cursor, put_counted_u16};
use super::{AccountEntry, Change, GrantEntry};
use crate::domain::value::ids::{Digest, GrantId};
use crate::domain::value::scope::Scope;
use crate::domain::value::time::Timestamp;

pub(super) const ACCOUNT: u8 = 1;
pub(super) const GRANT: u8 = 2;
const BASELINE: u8 = 3;
const LOCKED: u8 = 4;
const ACCOUNT_GONE: u8 = 129;
const GRANT_GONE: u8 = 130;

/// Bytes that are no entries, or not in the one form that they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry of the feed cannot be read: it is cut short, out of order or of a kind that is not known here")]
pub struct Unreadable;

impl Change {
    /// Appends the entry's body behind its length.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_body(out, &self.body());
    }

    /// The same, with the body's digest.
    pub fn put_hashed(&self, out: &mut Vec<u8>) -> Digest {
        let body = self.body();
        put_body(out, &body);
        Digest::of(&body)
    }

    /// SHA-256 of the body: what a [`SetDigest`](super::SetDigest) sums. Of a removal it means nothing.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.body())
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(128);
        match self {
            Self::Account(account) => put_account(&mut body, account),
            Self::Grant(grant) => {
                body.push(GRANT);
                put_text(&mut body, grant.holder.as_str());
                body.extend_from_slice(grant.id.uuid().as_bytes());
                body.push(grant_flags(grant.started, grant.locked));
                put_instant(&mut body, grant.end);
                put_scope(&mut body, &grant.scope);
            }
            Self::Baseline(scopes) => {
                body.push(BASELINE);
                put_list(&mut body, scopes, put_scope);
            }
            Self::Locked(patterns) => {
                body.push(LOCKED);
                put_list(&mut body, sorted(patterns), put_text);
            }
            Self::AccountGone(id) => {
                body.push(ACCOUNT_GONE);
                put_text(&mut body, id.as_str());
            }
            Self::GrantGone { holder, id } => {
                body.push(GRANT_GONE);
                put_text(&mut body, holder.as_str());
                body.extend_from_slice(id.uuid().as_bytes());
            }
        }
        body
    }
}

/// The entries one after another; after the first that cannot be read there is none.
pub fn read_changes(bytes: &[u8]) -> impl Iterator<Item = Result<Change, Unreadable>> + '_ {
    let mut cursor = Some(Cursor(bytes));
    std::iter::from_fn(move || {
        let rest = cursor.as_mut().filter(|rest| !rest.is_empty())?;
        let change = read_change(rest).ok_or(Unreadable);
        if change.is_err() {
            cursor = None;
        }
        Some(change)
    })
}

fn read_change(cursor: &mut Cursor<'_>) -> Option<Change> {
    let length = cursor.array().map(u32::from_le_bytes)?;
    let mut body = Cursor(cursor.bytes(usize::try_from(length).ok()?)?);
    let body = &mut body;
    let change = match body.u8()? {
        ACCOUNT => {
            let (id, [active, locked]) = (read_text(body)?, read_flags(body)?);
            Change::Account(AccountEntry {
                id,
                active,
                locked,
                baseline_until: read_instant(body)?,
                checks_until: read_instant(body)?,
                identities: read_texts(body)?,
                audience: read_texts(body)?,
            })
        }
        GRANT => {
            let (holder, id, [started, locked]) = (read_text(body)?, read_id(body)?, read_flags(body)?);
            let (end, scope) = (read_instant(body)?, read_scope(body)?);
            Change::Grant(GrantEntry { id, holder, scope, end, started, locked })
        }
        BASELINE => {
            let count = body.u16()?;
            Change::Baseline((0..count).map(|_| read_scope(body)).collect::<Option<_>>()?)
        }
        LOCKED => Change::Locked(read_texts(body)?),
        ACCOUNT_GONE => Change::AccountGone(read_text(body)?),
        GRANT_GONE => Change::GrantGone { holder: read_text(body)?, id: read_id(body)? },
        _ => return None,
    };
    body.is_empty().then_some(change)
}

/// The length fits: a body is no longer than the journal rows that it comes from.
fn put_body(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(body);
}

fn put_account(out: &mut Vec<u8>, account: &AccountEntry) {
    out.push(ACCOUNT);
    put_text(out, account.id.as_str());
    out.push(account_flags(account.active, account.locked));
    put_instant(out, account.baseline_until);
    put_instant(out, account.checks_until);
    put_list(out, &account.identities, |out, identity| put_text(out, identity.as_str()));
    put_list(out, sorted(&account.audience), put_text);
}

fn put_scope(out: &mut Vec<u8>, scope: &Scope) {
    put_list(out, scope.actions(), |out, action| put_text(out, action.as_str()));
    put_list(out, sorted(scope.resources()), put_text);
}

/// A set's own order need not be that of its texts.
fn sorted<T: ToString>(set: &BTreeSet<T>) -> BTreeSet<String> {
    set.iter().map(ToString::to_string).collect()
}

fn put_text(out: &mut Vec<u8>, text: impl AsRef<str>) {
    put_counted_u16(out, text.as_ref().as_bytes());
}

fn put_instant(out: &mut Vec<u8>, at: Timestamp) {
    out.extend_from_slice(&at.millis().to_le_bytes());
}

/// A list of more than 65,535 items could not be read back; none is expected to come near that.
fn put_list<T>(
    out: &mut Vec<u8>,
    list: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    put: impl Fn(&mut Vec<u8>, T),
) {
    let list = list.into_iter();
    out.extend_from_slice(&u16::try_from(list.len()).unwrap_or(u16::MAX).to_le_bytes());
    list.for_each(|item| put(out, item));
}

fn read_text<T: FromStr>(cursor: &mut Cursor<'_>) -> Option<T> {
    std::str::from_utf8(cursor.counted_u16()?).ok()?.parse().ok()
}

/// Two flags, each in its own bit.
fn flags(first: bool, second: bool) -> u8 {
    u8::from(first) | u8::from(second).wrapping_shl(1)
}

pub(super) fn account_flags(active: bool, locked: bool) -> u8 {
    flags(active, locked)
}

pub(super) fn grant_flags(started: bool, locked: bool) -> u8 {
    flags(started, locked)
}

fn read_flags(cursor: &mut Cursor<'_>) -> Option<[bool; 2]> {
    let byte = cursor.u8()?;
    (byte < 4).then_some([byte & 1 != 0, byte & 2 != 0])
}

fn read_instant(cursor: &mut Cursor<'_>) -> Option<Timestamp> {
    Timestamp::from_millis(cursor.array().map(i64::from_le_bytes)?).ok()
}

fn read_id(cursor: &mut Cursor<'_>) -> Option<GrantId> {
    cursor.array().map(|bytes| GrantId::from(Uuid::from_bytes(bytes)))
}

/// Sorted and without repetition, or it would not be the one form of its set.
fn read_texts<T: FromStr + Ord>(cursor: &mut Cursor<'_>) -> Option<BTreeSet<T>> {
    let count = cursor.u16()?;
    let mut before: &[u8] = &[];
    let mut texts = BTreeSet::new();
    for _ in 0..count {
        let text = cursor.counted_u16()?;
        if text <= before {
            return None;
        }
        before = text;
        texts.insert(std::str::from_utf8(text).ok()?.parse().ok()?);
    }
    Some(texts)
}

fn read_scope(cursor: &mut Cursor<'_>) -> Option<Scope> {
    Scope::new(read_texts(cursor)?, read_texts(cursor)?)
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
