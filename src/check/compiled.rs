//! Patterns and scopes, compiled to bytes that lie in the block itself: a literal prefix compared at once, then the tail.
//!
//! What is compared here is text that nobody has parsed. A resource is held against the domain's own rule for segments
//! once a query, whatever it is compared with then (THREATS D3 to D6, F1): that costs more than the comparisons.

use std::collections::BTreeSet;

use super::bytes::{Cursor, put_counted_u8};
use crate::domain::scope::{MAX_SEGMENTS, Pattern, PatternSegment, Scope, TENANTS, is_segment};

/// In the length word of a pattern: it ends in `**`.
const SUBTREE: u16 = 1 << 15;
/// In the length word of a pattern: it has a `*`, and the length of what precedes the first one follows.
const WILD: u16 = 1 << 14;
const LENGTH: u16 = WILD - 1;
/// Bytes of a resource that are looked at together.
const AT_ONCE: usize = 16;
/// No longer than a segment may be, so that no segment in it is too long.
const LONGEST_ORDINARY: usize = 128;

/// A resource's text, found valid: a wildcard need look for nothing in it but slashes.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a>(&'a [u8]);

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

impl<'a> Asked<'a> {
    /// None if the text is no resource: no pattern covers it.
    #[inline]
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        (is_ordinary(text) || is_resource(text)).then_some(Self(text))
    }

    fn is_of_tenants(self) -> bool {
        self.0.strip_prefix(TENANTS.as_bytes()).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
    }
}

/// The domain's rule.
fn is_resource(text: &[u8]) -> bool {
    let mut segments = text.split(|byte| *byte == b'/');
    let valid = segments.by_ref().take(MAX_SEGMENTS).all(is_segment);
    valid && segments.next().is_none() && text != TENANTS.as_bytes()
}

/// Most resources, found without a branch for each byte, so that the compiler looks at many at once: a third of what
/// the rule takes. What this says no to may be a resource still.
fn is_ordinary(text: &[u8]) -> bool {
    let (Some((first, nexts)), Some((last, bytes))) = (text.split_first(), text.split_last()) else { return false };
    // Those at the end are looked at twice. The slashes among them count twice too, which only sends some to the rule.
    let (Some(bytes_at_end), Some(nexts_at_end)) = (bytes.last_chunk(), nexts.last_chunk()) else { return false };
    let (mut odd, mut slashes) = ([false; AT_ONCE], [0_u8; AT_ONCE]);
    let pairs = bytes.as_chunks::<AT_ONCE>().0.iter().zip(nexts.as_chunks::<AT_ONCE>().0);
    for (bytes, nexts) in pairs.chain([(bytes_at_end, nexts_at_end)]) {
        for ((byte, next), (odd, slashes)) in bytes.iter().zip(nexts).zip(odd.iter_mut().zip(&mut slashes)) {
            let slash = *byte == b'/';
            *odd |= !is_allowed(*byte) | (slash & ((*next == b'/') | (*next == b'.')));
            *slashes = slashes.wrapping_add(u8::from(slash));
        }
    }
    let is_odd = odd.iter().fold(false, |any, odd| any | odd);
    let slashes = slashes.iter().fold(0_usize, |sum, some| sum.saturating_add(usize::from(*some)));
    let ends_well = !matches!(first, b'/' | b'.') && is_allowed(*last) && *last != b'/';
    !is_odd && ends_well && slashes < MAX_SEGMENTS && text.len() <= LONGEST_ORDINARY
}

/// In a segment, or a slash.
#[inline]
fn is_allowed(byte: u8) -> bool {
    let within = |first: u8, last: u8| (first <= byte) & (byte <= last);
    within(b'-', b':') | within(b'@', b'Z') | within(b'a', b'z') | (byte == b'_') | (byte == b'=') | (byte == b'+')
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
            text.extend_from_slice(if pattern.segments == 0 { b"**" } else { b"/**" });
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
        let segments = cursor.u8()?;
        let literal_length = if word & WILD == 0 { word & LENGTH } else { cursor.u16()? };
        let text = cursor.bytes(usize::from(word & LENGTH))?;
        let (literal, wild) = text.split_at_checked(usize::from(literal_length))?;
        Some(Self { literal, wild, segments, subtree: word & SUBTREE != 0 })
    }

    #[inline]
    fn covers(&self, resource: Asked<'_>) -> bool {
        let Some(rest) = resource.0.strip_prefix(self.literal) else { return false };
        // No wildcard takes in what belongs to tenants.
        if self.literal.is_empty() && resource.is_of_tenants() {
            return false;
        }
        match after_wildcards(self.wild, rest) {
            Some(rest) if self.subtree => self.segments == 0 || rest.first() == Some(&b'/'),
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
