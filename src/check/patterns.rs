//! Patterns outside a block: the same comparison as an audience's, without parsing and without an allocation.

use super::compiled::{Asked, patterns_cover, put_pattern};
use crate::domain::value::scope::Pattern;

/// Compiled patterns. An empty set covers nothing.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<u8>);

impl Patterns {
    /// One more.
    pub fn add(&mut self, pattern: &Pattern) {
        put_pattern(&mut self.0, pattern);
    }

    /// Whether the text is a valid resource that one of them covers.
    #[must_use]
    pub fn cover(&self, resource: &str) -> bool {
        Asked::read(resource.as_bytes()).is_some_and(|resource| patterns_cover(&self.0, resource))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_cover_as_the_domain_says() {
        let mut patterns = Patterns::default();
        assert!(!patterns.cover("prod/eu/db"));
        for pattern in ["prod/*/db/**", "status/x"] {
            patterns.add(&pattern.parse().unwrap());
        }
        let covered = ["prod/eu/db/a", "status/x", "prod/eu/db", "status/x/y", "prod/eu/db/../a", ""];
        assert_eq!(covered.map(|resource| patterns.cover(resource)), [true, true, false, false, false, false]);
    }
}
