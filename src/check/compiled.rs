//! Patterns and scopes, compiled to bytes that lie in the block itself: a literal prefix compared at once, then the tail.
//!
//! What is compared here is text that nobody has parsed. A resource is checked by the domain's own rule once for each
//! query, before it is compared with any pattern (known failure D3 to D6, F1): that costs more than the comparisons.

use std::collections::BTreeSet;

use super::bytes::{Cursor, put_counted_u8};
use crate::domain::value::scope::{Pattern, PatternSegment, Scope, TENANTS, is_resource};

/// In the length word of a pattern: it ends in `**`.
const SUBTREE: u16 = 1 << 15;
/// In the length word of a pattern: it has a `*`, and the length of what precedes the first one follows.
const WILD: u16 = 1 << 14;
const LENGTH: u16 = WILD - 1;

/// The text of a resource that was found valid, so that a wildcard has to look for slashes alone.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a>(&'a [u8]);

/// One pattern, read in place.
struct Compiled<'a> {
    /// Up to the first `*`, or everything.
    literal: &'a [u8],
    /// From the first `*` on.
    wild: &'a [u8],
    subtree: bool,
}

/// Appends a pattern.
pub(super) fn put_pattern(out: &mut Vec<u8>, pattern: &Pattern) {
    let whole = pattern.to_string();
    let text = whole.strip_suffix("**").unwrap_or(&whole);
    let text = text.strip_suffix('/').unwrap_or(text);
    // A parsed pattern has at most 16 segments of 128 bytes. One that did not fit would be left out: it covers nothing.
    let Some(length) = u16::try_from(text.len()).ok().filter(|length| *length <= LENGTH) else { return };
    let first_wildcard = text.find('*').and_then(|at| u16::try_from(at).ok());
    let subtree = if pattern.is_subtree() { SUBTREE } else { 0 };
    let wild = if pattern.segments().contains(&PatternSegment::Any) { WILD } else { 0 };
    out.extend_from_slice(&(length | subtree | wild).to_le_bytes());
    if let Some(at) = first_wildcard {
        out.extend_from_slice(&at.to_le_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

impl<'a> Asked<'a> {
    /// None if the text is no resource: no pattern covers it.
    #[inline]
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        is_resource(text).then_some(Self(text))
    }

    pub(super) fn text(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_of_tenants(self) -> bool {
        self.0.strip_prefix(TENANTS.as_bytes()).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
    }
}

/// Whether one of the patterns covers the resource.
#[inline]
pub(super) fn patterns_cover(patterns: &[u8], resource: Asked<'_>) -> bool {
    let mut cursor = Cursor(patterns);
    while let Some(pattern) = Compiled::read(&mut cursor) {
        if pattern.covers(resource) {
            return true;
        }
    }
    false
}

/// The patterns as texts again.
pub(super) fn pattern_texts(patterns: &[u8]) -> Vec<Vec<u8>> {
    let mut cursor = Cursor(patterns);
    let mut texts = Vec::new();
    while let Some(pattern) = Compiled::read(&mut cursor) {
        let mut text = [pattern.literal, pattern.wild].concat();
        if pattern.subtree {
            text.extend_from_slice(if pattern.is_everything() { b"**" } else { b"/**" });
        }
        texts.push(text);
    }
    texts
}

/// The actions of a scope, each behind its length.
pub(super) fn compile_actions(scope: &Scope) -> Vec<u8> {
    let mut bytes = Vec::new();
    scope.actions().iter().for_each(|action| put_counted_u8(&mut bytes, action.as_str().as_bytes()));
    bytes
}

/// Patterns, one after another.
pub(super) fn compile_patterns(patterns: &BTreeSet<Pattern>) -> Vec<u8> {
    let mut bytes = Vec::new();
    patterns.iter().for_each(|pattern| put_pattern(&mut bytes, pattern));
    bytes
}

/// Whether the action is one of these.
#[inline]
pub(super) fn has_action(actions: &[u8], action: &[u8]) -> bool {
    let mut cursor = Cursor(actions);
    while let Some(offered) = cursor.counted_u8() {
        if offered == action {
            return true;
        }
    }
    false
}

impl<'a> Compiled<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        if cursor.is_empty() {
            return None;
        }
        let word = cursor.u16()?;
        let literal_length = if word & WILD == 0 { word & LENGTH } else { cursor.u16()? };
        let text = cursor.bytes(usize::from(word & LENGTH))?;
        let (literal, wild) = text.split_at_checked(usize::from(literal_length))?;
        Some(Self { literal, wild, subtree: word & SUBTREE != 0 })
    }

    /// `**` alone, if it is a subtree.
    #[inline]
    fn is_everything(&self) -> bool {
        self.literal.is_empty() && self.wild.is_empty()
    }

    #[inline]
    fn covers(&self, resource: Asked<'_>) -> bool {
        let Some(rest) = resource.0.strip_prefix(self.literal) else { return false };
        // No wildcard takes in what belongs to tenants.
        if self.literal.is_empty() && resource.is_of_tenants() {
            return false;
        }
        match after_wildcards(self.wild, rest) {
            Some(rest) if self.subtree => self.is_everything() || rest.first() == Some(&b'/'),
            Some(rest) => rest.is_empty(),
            None => false,
        }
    }
}

/// What is left of the resource once everything from the first `*` on has been matched.
#[inline]
fn after_wildcards<'r>(mut wild: &[u8], mut rest: &'r [u8]) -> Option<&'r [u8]> {
    while let Some((wanted, more)) = wild.split_first() {
        rest = if *wanted == b'*' {
            rest.get(rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len())..)?
        } else {
            rest.strip_prefix(&[*wanted])?
        };
        wild = more;
    }
    Some(rest)
}

#[cfg(test)]
#[path = "compiled_tests.rs"]
mod tests;
