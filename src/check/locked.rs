//! The resources that locks are on, as a tree of their segments: however many locks there are, a check follows only the
//! branches that the resource matches. Segments that all patterns below a node share are compared at once.

use std::collections::{BTreeSet, HashMap};

use super::compiled::Asked;
use crate::domain::value::scope::{Pattern, PatternSegment};

/// Patterns, by their segments.
#[derive(Default)]
pub(super) struct Locked {
    /// Those that begin with `tenants`: no other takes in what belongs to tenants.
    of_tenants: Node,
    others: Node,
}

#[derive(Default)]
struct Node {
    /// The segments that come next in every pattern from here on, with their slashes.
    shared: Box<[u8]>,
    /// By the segment after those.
    literal: HashMap<Box<[u8]>, Self, foldhash::fast::RandomState>,
    /// Whatever that segment is.
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
            let tree = if pattern.reaches_tenants() { &mut locked.of_tenants } else { &mut locked.others };
            let last = pattern.segments().iter().fold(tree, |node, segment| match segment {
                PatternSegment::Literal(text) => node.literal.entry(text.as_bytes().into()).or_default(),
                PatternSegment::Any => node.any.get_or_insert_default(),
            });
            if pattern.is_subtree() {
                last.below = true;
            } else {
                last.here = true;
            }
        }
        Self { of_tenants: locked.of_tenants.drawn_together(), others: locked.others.drawn_together() }
    }

    /// Whether one of the patterns covers the resource.
    #[inline]
    pub(super) fn covers(&self, resource: Asked<'_>) -> bool {
        let tree = if resource.is_of_tenants() { &self.of_tenants } else { &self.others };
        covers(tree, Some(resource.text()))
    }
}

impl Node {
    /// The same tree, in which a node with a single next segment has it in `shared`.
    fn drawn_together(mut self) -> Self {
        let mut shared = Vec::new();
        while !self.here && !self.below && self.any.is_none() && self.literal.len() == 1 {
            let Some((segment, only)) = self.literal.drain().next() else { break };
            if !shared.is_empty() {
                shared.push(b'/');
            }
            shared.extend_from_slice(&segment);
            self = only;
        }
        let literal = self.literal.into_iter().map(|(segment, node)| (segment, node.drawn_together())).collect();
        let any = self.any.map(|node| Box::new(node.drawn_together()));
        Self { shared: shared.into(), literal, any, ..self }
    }
}

/// Whether a pattern from this node on covers `rest`; none: nothing is left of the resource.
fn covers(node: &Node, mut rest: Option<&[u8]>) -> bool {
    if !node.shared.is_empty() {
        rest = match rest.and_then(|rest| rest.strip_prefix(&*node.shared)) {
            Some([b'/', rest @ ..]) => Some(rest),
            Some([]) => None,
            _ => return false,
        };
    }
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
    use crate::domain::value::scope::Resource;

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
