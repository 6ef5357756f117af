//! Resources, actions, patterns, and the one algebra on them: [`Pattern::meet`].
//!
//! A resource is a list of segments, refused at the door if it is in any way unusual and never repaired, so that no two
//! parsers can disagree on it (known failure D3 to D6).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{InvalidId, text_type};

/// A resource has at most this many segments.
pub const MAX_SEGMENTS: usize = 16;
/// The first segment of everything that belongs to a tenant; matched by no wildcard.
pub const TENANTS: &str = "tenants";
/// Bytes of a resource that are looked at together.
const AT_ONCE: usize = 16;
/// No longer than a segment may be, so that no segment in it is too long.
const LONGEST_ORDINARY: usize = 128;

const RESOURCE: &str = "a resource: 1 to 16 segments of `A-Z a-z 0-9 . _ @ : + = -` (1 to 128 each) parted by `/`, none of them `.` or `..`";
const PATTERN: &str = "a resource pattern: segments as in a resource or `*`, and at the end, as the 15th at most, `**`";
const REQUESTED: &str = "a requested resource: a concrete one, or a subtree that ends in `/**`; `*` is not allowed, and \
     after `tenants/` the tenant is named";

/// One segment of a resource, as bytes.
pub(crate) fn is_segment(text: &[u8]) -> bool {
    (1..=128).contains(&text.len())
        && text != b"."
        && text != b".."
        && text.iter().all(|byte| SEGMENT_BYTES.get(usize::from(*byte)) == Some(&true))
}

/// A table, because the check path looks at each byte of each resource.
#[expect(clippy::as_conversions, reason = "a byte to an index; `From` cannot be called here")]
static SEGMENT_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:+=-";
    let mut rest: &[u8] = allowed;
    while let Some((byte, more)) = rest.split_first() {
        if let Some((_, from)) = table.split_at_mut_checked(*byte as usize)
            && let Some(entry) = from.first_mut()
        {
            *entry = true;
        }
        rest = more;
    }
    table
};

/// A resource, as bytes: the check index asks too, of bytes that were never parsed.
pub(crate) fn is_resource(text: &[u8]) -> bool {
    is_ordinary(text) || is_list_of_segments(text)
}

fn is_list_of_segments(text: &[u8]) -> bool {
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

fn is_resource_text(text: &str) -> bool {
    is_resource(text.as_bytes())
}

fn is_action(text: &str) -> bool {
    let word_ok =
        |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    text.len() <= 128 && text.split('.').count() <= 4 && text.split('.').all(word_ok)
}

text_type! {
    /// One concrete resource: `prod/eu/db/orders/primary`.
    Resource, is_resource_text,
    "a resource: 1 to 16 segments of `A-Z a-z 0-9 . _ @ : + = -` (1 to 128 each) parted by `/`, none of them `.` or `..`"
}
text_type! {
    /// What is done to a resource: `db.read`. One to four words of `a-z 0-9 -`, at most 128 bytes in all.
    Action, is_action, "an action: 1 to 4 words of `a-z 0-9 -` parted by `.`"
}

/// A set of resources, as policy, audiences and requests write it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    segments: Vec<PatternSegment>,
    /// Ends in `**`: one or more segments follow.
    subtree: bool,
}

/// One segment of a [`Pattern`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PatternSegment {
    /// Exactly this text.
    Literal(Arc<str>),
    /// `*`: any one segment; as the first one, any but `tenants`.
    Any,
}

impl PatternSegment {
    fn is_apart_from(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Literal(a), Self::Literal(b)) if a != b)
    }

    fn meet(&self, other: &Self, first: bool) -> Option<Self> {
        match (self, other) {
            (Self::Any, Self::Any) => Some(Self::Any),
            (Self::Literal(a), Self::Literal(b)) => (a == b).then(|| self.clone()),
            (Self::Any, literal @ Self::Literal(text)) | (literal @ Self::Literal(text), Self::Any) => {
                (!(first && &**text == TENANTS)).then(|| literal.clone())
            }
        }
    }
}

impl Pattern {
    /// The segments before a final `**`.
    #[must_use]
    pub fn segments(&self) -> &[PatternSegment] {
        &self.segments
    }

    /// Whether it ends in `**`.
    #[must_use]
    pub fn is_subtree(&self) -> bool {
        self.subtree
    }

    /// Whether it has no wildcard at all.
    #[must_use]
    pub fn is_concrete(&self) -> bool {
        !self.subtree && !self.segments.contains(&PatternSegment::Any)
    }

    /// The pattern of what both cover, or none. Exact: a resource is covered by it if and only if both cover it.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        let (short, long) = if self.segments.len() <= other.segments.len() { (self, other) } else { (other, self) };
        let reaches = match (short.subtree, long.subtree) {
            (false, false) => short.segments.len() == long.segments.len(),
            // `**` stands for at least one segment.
            (true, false) => short.segments.len() < long.segments.len(),
            (false, true) => false,
            (true, true) => true,
        };
        if !reaches {
            return None;
        }
        // Most that are compared differ in a name, and then nothing is to be built.
        if short.segments.iter().zip(&long.segments).any(|(left, right)| left.is_apart_from(right)) {
            return None;
        }
        let mut segments = Vec::with_capacity(long.segments.len());
        for (index, right) in long.segments.iter().enumerate() {
            let left = short.segments.get(index).unwrap_or(&PatternSegment::Any);
            segments.push(left.meet(right, index == 0)?);
        }
        Some(Self { segments, subtree: long.subtree })
    }

    /// Whether everything that `other` covers is covered by this.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.meet(other).as_ref() == Some(other)
    }

    /// Whether some resource is covered by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.meet(other).is_some()
    }

    /// Whether the concrete resource is covered: the same as `contains` of it, without building anything.
    #[must_use]
    pub fn covers(&self, resource: &Resource) -> bool {
        let mut given = resource.as_str().split('/');
        for (index, segment) in self.segments.iter().enumerate() {
            let matched = match (segment, given.next()) {
                (_, None) => false,
                (PatternSegment::Literal(text), Some(actual)) => **text == *actual,
                (PatternSegment::Any, Some(actual)) => index != 0 || actual != TENANTS,
            };
            if !matched {
                return false;
            }
        }
        match given.next() {
            None => !self.subtree,
            Some(actual) => self.subtree && !(self.segments.is_empty() && actual == TENANTS),
        }
    }

    /// Whether it reaches into a tenant's space.
    #[must_use]
    pub fn reaches_tenants(&self) -> bool {
        matches!(self.segments.first(), Some(PatternSegment::Literal(text)) if &**text == TENANTS)
    }

    /// The tenant named by the second segment, if this is within one tenant's space.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        match (self.reaches_tenants(), self.segments.get(1)) {
            (true, Some(PatternSegment::Literal(text))) => Some(text),
            _ => None,
        }
    }

    /// Parses what a *request* may name: a concrete resource or a subtree. No `*`; a tenant is named.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn parse_requested(text: &str) -> Result<Self, InvalidId> {
        let pattern: Self = text.parse().map_err(|_| InvalidId::new(text, REQUESTED))?;
        if pattern.may_be_requested() { Ok(pattern) } else { Err(InvalidId::new(text, REQUESTED)) }
    }

    /// Whether a request may name it: a concrete resource or a subtree of one. No `*`; a tenant is named.
    #[must_use]
    pub fn may_be_requested(&self) -> bool {
        let all_literal = !self.segments.contains(&PatternSegment::Any) && !self.segments.is_empty();
        all_literal && (!self.reaches_tenants() || self.tenant().is_some())
    }
}

impl From<&Resource> for Pattern {
    fn from(resource: &Resource) -> Self {
        let segments = resource.as_str().split('/').map(|s| PatternSegment::Literal(s.into())).collect();
        Self { segments, subtree: false }
    }
}

impl FromStr for Pattern {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (prefix, subtree) = match text.strip_suffix("**") {
            Some("") => return Ok(Self { segments: Vec::new(), subtree: true }),
            Some(prefix) => (prefix.strip_suffix('/').ok_or_else(|| InvalidId::new(text, PATTERN))?, true),
            None => (text, false),
        };
        let mut segments = Vec::new();
        for segment in prefix.split('/') {
            segments.push(match segment {
                "*" => PatternSegment::Any,
                literal if is_segment(literal.as_bytes()) => PatternSegment::Literal(literal.into()),
                _ => return Err(InvalidId::new(text, if text.contains('*') { PATTERN } else { RESOURCE })),
            });
        }
        // `**` as the 16th would mean what `*` means there: one set would have two spellings, and `contains` would err.
        let longest = if subtree { MAX_SEGMENTS.saturating_sub(2) } else { MAX_SEGMENTS };
        let bare_tenants = text == TENANTS;
        if segments.len() > longest || bare_tenants {
            return Err(InvalidId::new(text, PATTERN));
        }
        Ok(Self { segments, subtree })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            match segment {
                PatternSegment::Literal(text) => f.write_str(text)?,
                PatternSegment::Any => f.write_str("*")?,
            }
        }
        match (self.subtree, self.segments.is_empty()) {
            (true, true) => f.write_str("**"),
            (true, false) => f.write_str("/**"),
            (false, _) => Ok(()),
        }
    }
}
impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Actions on resource patterns: what an entitlement offers, a request names and a grant holds. Never empty: an empty
/// scope is refused where it is made, because "nothing named" must not come to mean "everything" (known failure D12).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Scope {
    actions: BTreeSet<Action>,
    resources: BTreeSet<Pattern>,
}

impl Scope {
    /// None if there is no action or no resource.
    #[must_use]
    pub fn new(actions: BTreeSet<Action>, resources: BTreeSet<Pattern>) -> Option<Self> {
        (!actions.is_empty() && !resources.is_empty()).then_some(Self { actions, resources })
    }

    /// At least one.
    #[must_use]
    pub fn actions(&self) -> &BTreeSet<Action> {
        &self.actions
    }

    /// At least one.
    #[must_use]
    pub fn resources(&self) -> &BTreeSet<Pattern> {
        &self.resources
    }

    /// How much memory it takes besides itself, about.
    #[must_use]
    pub fn heap_bytes(&self) -> u64 {
        // An entry of a set, and a text with its length and count of owners.
        const ENTRY: usize = 64;
        const TEXT: usize = 48;
        let of_segment = |segment: &PatternSegment| match segment {
            PatternSegment::Literal(text) => TEXT.saturating_add(text.len()),
            PatternSegment::Any => TEXT,
        };
        let actions = self.actions.iter().map(|action| ENTRY.saturating_add(action.as_str().len()));
        let resources =
            self.resources.iter().map(|it| it.segments.iter().map(of_segment).fold(ENTRY, usize::saturating_add));
        u64::try_from(actions.chain(resources).fold(0, usize::saturating_add)).unwrap_or(u64::MAX)
    }

    /// The one tenant within whose space it lies, if it is a request's or a grant's, which never mix.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.resources.iter().find_map(Pattern::tenant)
    }

    /// What of it lies in a tenant's space.
    #[must_use]
    pub fn of_tenant(&self, tenant: &str) -> Option<Self> {
        let own = |pattern: &Pattern| {
            let text: Arc<str> = tenant.into();
            let segments = vec![PatternSegment::Literal(TENANTS.into()), PatternSegment::Literal(text)];
            let whole = Pattern { segments, subtree: true };
            pattern.meet(&whole)
        };
        Self::new(self.actions.clone(), self.resources.iter().filter_map(own).collect())
    }

    /// Whether every action and every resource of `other` lies within this; each resource within one pattern of this.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.actions.is_subset(&self.actions)
            && other.resources.iter().all(|theirs| self.resources.iter().any(|ours| ours.contains(theirs)))
    }

    /// Whether there is anything that both cover.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let meets = |ours: &Pattern| other.resources.iter().any(|theirs| ours.overlaps(theirs));
        !self.actions.is_disjoint(&other.actions) && self.resources.iter().any(meets)
    }

    /// What of it overlaps an audience: all its actions, on what it and one of the patterns both cover. None if that is
    /// nothing.
    #[must_use]
    pub fn within(&self, audience: &BTreeSet<Pattern>) -> Option<Self> {
        let met = self.resources.iter().flat_map(|ours| audience.iter().filter_map(|theirs| ours.meet(theirs)));
        Self::new(self.actions.clone(), met.collect())
    }

    /// Whether the action on the concrete resource is within this.
    #[must_use]
    pub fn covers(&self, action: &Action, resource: &Resource) -> bool {
        self.actions.contains(action) && self.resources.iter().any(|pattern| pattern.covers(resource))
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            actions: BTreeSet<Action>,
            resources: BTreeSet<Pattern>,
        }
        let raw = Raw::deserialize(deserializer)?;
        Self::new(raw.actions, raw.resources).ok_or_else(|| serde::de::Error::custom("an empty scope"))
    }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
