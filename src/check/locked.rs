//! The resources that locks are on, as a tree of their segments: however many there are, a check walks down one way of it
//! and stops at the first segment that no lock names.

use std::collections::{BTreeSet, HashMap};

use super::compiled::Asked;
use crate::domain::scope::{Pattern, PatternSegment, TENANTS};

/// Patterns, by their segments.
#[derive(Default)]
pub(super) struct Locked {
    root: Node,
}

#[derive(Default)]
struct Node {
    /// By the next segment.
    literal: HashMap<Box<[u8]>, Self, foldhash::fast::RandomState>,
    /// Whatever the next segment is.
    any: Option<Box<Self>>,
    /// A pattern ends here.
    here: bool,
    /// A pattern covers all that is below.
    below: bool,
}

impl Locked {
    pub(super) fn of(patterns: &BTreeSet<Pattern>) -> Self {
        let mut locked = Self::default();
        for pattern in patterns {
            let last = pattern.segments().iter().fold(&mut locked.root, |node, segment| match segment {
                PatternSegment::Literal(text) => node.literal.entry(text.as_bytes().into()).or_default(),
                PatternSegment::Any => node.any.get_or_insert_default(),
            });
            if pattern.is_subtree() {
                last.below = true;
            } else {
                last.here = true;
            }
        }
        locked
    }

    /// Whether one of the patterns covers the resource.
    pub(super) fn covers(&self, resource: Asked<'_>) -> bool {
        // As a first segment no wildcard takes in what belongs to tenants.
        let text = resource.text();
        let (first, _) = split(text);
        if first == TENANTS.as_bytes() {
            return self.root.literal.get(first).is_some_and(|node| covers(node, split(text).1));
        }
        covers(&self.root, Some(text))
    }
}

/// None: nothing is left of the resource.
fn covers(node: &Node, rest: Option<&[u8]>) -> bool {
    let Some(rest) = rest else { return node.here };
    if node.below {
        return true;
    }
    let (segment, rest) = split(rest);
    node.literal.get(segment).is_some_and(|node| covers(node, rest))
        || node.any.as_ref().is_some_and(|node| covers(node, rest))
}

fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'/').and_then(|at| text.split_at_checked(at)) {
        Some((segment, rest)) => (segment, rest.get(1..)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::scope::Resource;

    fn pattern() -> impl Strategy<Value = Pattern> {
        let segment = prop::sample::select(vec!["prod", "eu", "db", "tenants", "acme", "*"]);
        let pattern = (prop::collection::vec(segment, 1..5), any::<bool>());
        pattern.prop_filter_map("no pattern", |(segments, subtree)| {
            let text = segments.join("/") + if subtree { "/**" } else { "" };
            text.parse().ok()
        })
    }

    proptest! {
        #[test]
        fn a_lock_covers_what_its_pattern_covers(
            patterns in prop::collection::btree_set(prop_oneof![pattern(), Just("**".parse().unwrap())], 0..6),
            segments in prop::collection::vec(prop::sample::select(vec!["prod", "eu", "db", "tenants", "acme"]), 1..5),
        ) {
            let Ok(resource) = segments.join("/").parse::<Resource>() else { return Ok(()) };
            let asked = Asked::read(resource.as_str().as_bytes()).unwrap();
            let wanted = patterns.iter().any(|pattern| pattern.covers(&resource));
            prop_assert_eq!(Locked::of(&patterns).covers(asked), wanted, "{:?} {}", patterns, resource);
        }
    }
}
