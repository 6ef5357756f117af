//! Patterns and scopes, compiled to bytes that lie in the block itself: a literal prefix compared at once, then the tail.
//!
//! What is compared here is text that nobody has parsed. It needs no parsing: what equals a literal is as valid as the
//! literal, and what a wildcard takes in is held against the domain's own rule for a segment (THREATS D3 to D6, F1).

use super::bytes::{Cursor, put_counted_u8, put_counted_u16};
use crate::domain::scope::{MAX_SEGMENTS, Pattern, PatternSegment, Scope, TENANTS, is_segment};

/// In the length word of a pattern: it ends in `**`.
const SUBTREE: u16 = 1 << 15;
/// In the length word of a pattern: it has a `*`, and the length of what precedes the first one follows.
const WILD: u16 = 1 << 14;
const LENGTH: u16 = WILD - 1;

/// One pattern, read in place.
struct Compiled<'a> {
    /// Up to the first `*`, or everything.
    literal: &'a [u8],
    /// From the first `*` on.
    wild: &'a [u8],
    /// How many segments come before a final `**`.
    segments: u8,
    subtree: bool,
}

/// Appends a pattern.
pub(super) fn put_pattern(out: &mut Vec<u8>, pattern: &Pattern) {
    let whole = pattern.to_string();
    let text = whole.strip_suffix("**").unwrap_or(&whole);
    let text = text.strip_suffix('/').unwrap_or(text);
    // A parsed pattern has at most 16 segments of 128 bytes. One that did not fit would be left out: it covers nothing.
    let Some(length) = u16::try_from(text.len()).ok().filter(|length| *length <= LENGTH) else { return };
    let Ok(segments) = u8::try_from(pattern.segments().len()) else { return };
    let first_wildcard = text.find('*').and_then(|at| u16::try_from(at).ok());
    let subtree = if pattern.is_subtree() { SUBTREE } else { 0 };
    let wild = if pattern.segments().contains(&PatternSegment::Any) { WILD } else { 0 };
    out.extend_from_slice(&(length | subtree | wild).to_le_bytes());
    out.push(segments);
    if let Some(at) = first_wildcard {
        out.extend_from_slice(&at.to_le_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

/// Whether one of the patterns covers the resource, and the resource is a valid one.
pub(super) fn patterns_cover(patterns: &[u8], resource: &[u8]) -> bool {
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
            text.extend_from_slice(if pattern.segments == 0 { b"**" } else { b"/**" });
        }
        texts.push(text);
    }
    texts
}

/// Appends a scope: its actions behind their length, then its patterns behind theirs.
pub(super) fn put_scope(out: &mut Vec<u8>, scope: &Scope) {
    let mut actions = Vec::new();
    for action in scope.actions() {
        put_counted_u8(&mut actions, action.as_str().as_bytes());
    }
    let mut patterns = Vec::new();
    for pattern in scope.resources() {
        put_pattern(&mut patterns, pattern);
    }
    put_counted_u16(out, &actions);
    out.extend_from_slice(&u32::try_from(patterns.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&patterns);
}

/// Reads a scope off the cursor as a slice, without looking into it.
pub(super) fn scope_bytes<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let all = cursor.0;
    cursor.counted_u16()?;
    let patterns = cursor.array().map(u32::from_le_bytes)?;
    cursor.bytes(usize::try_from(patterns).ok()?)?;
    all.get(..all.len().checked_sub(cursor.0.len())?)
}

/// Whether the scope covers the action on the resource, and both are valid.
pub(super) fn scope_covers(mut scope: Cursor<'_>, action: &[u8], resource: &[u8]) -> bool {
    let Some(mut actions) = scope.counted_u16().map(Cursor) else { return false };
    loop {
        match actions.counted_u8() {
            Some(offered) if offered == action => break,
            Some(_) => {}
            None => return false,
        }
    }
    let Some(length) = scope.array().map(u32::from_le_bytes) else { return false };
    let patterns = usize::try_from(length).ok().and_then(|length| scope.bytes(length));
    patterns.is_some_and(|patterns| patterns_cover(patterns, resource))
}

impl<'a> Compiled<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Option<Self> {
        if cursor.is_empty() {
            return None;
        }
        let word = cursor.u16()?;
        let segments = cursor.u8()?;
        let literal_length = if word & WILD == 0 { word & LENGTH } else { cursor.u16()? };
        let text = cursor.bytes(usize::from(word & LENGTH))?;
        let (literal, wild) = text.split_at_checked(usize::from(literal_length))?;
        Some(Self { literal, wild, segments, subtree: word & SUBTREE != 0 })
    }

    fn covers(&self, resource: &[u8]) -> bool {
        let Some(rest) = resource.strip_prefix(self.literal) else { return false };
        let Some(rest) = after_wildcards(self.wild, rest, self.literal.is_empty()) else { return false };
        if !self.subtree {
            return rest.is_empty();
        }
        let tail = if self.segments == 0 { Some(rest) } else { rest.strip_prefix(b"/") };
        let longest = MAX_SEGMENTS.saturating_sub(usize::from(self.segments));
        tail.is_some_and(|tail| is_tail(tail, longest, self.segments == 0))
    }
}

/// What is left of the resource once everything from the first `*` on has been matched.
fn after_wildcards<'r>(mut wild: &[u8], mut rest: &'r [u8], mut first_segment: bool) -> Option<&'r [u8]> {
    while let Some((wanted, more)) = wild.split_first() {
        if *wanted == b'*' {
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let (segment, after) = rest.split_at_checked(end)?;
            if !is_segment(segment) || (first_segment && segment == TENANTS.as_bytes()) {
                return None;
            }
            first_segment = false;
            rest = after;
        } else {
            let (given, after) = rest.split_first()?;
            if given != wanted {
                return None;
            }
            rest = after;
        }
        wild = more;
    }
    Some(rest)
}

/// Whether `**` may stand for it: one or more valid segments, no more than `longest`, the first of all not `tenants`.
fn is_tail(tail: &[u8], longest: usize, first_segment: bool) -> bool {
    let mut left = longest;
    for (index, segment) in tail.split(|byte| *byte == b'/').enumerate() {
        let Some(fewer) = left.checked_sub(1) else { return false };
        left = fewer;
        if !is_segment(segment) || (first_segment && index == 0 && segment == TENANTS.as_bytes()) {
            return false;
        }
    }
    true
}

#[cfg(test)]
#[path = "compiled_tests.rs"]
mod tests;
