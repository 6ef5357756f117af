//! Patterns of whole identities: which an authority may speak for, and which belong to persons alone (design.md 13).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{Identity, InvalidId, TrustDomain, is_identity_segment, is_trust_domain, text_type};

text_type! {
    /// A set of identities: `spiffe://northwind.example/person/*`. A segment may be `*`, which is any one segment; the last
    /// may be `**`, which is one or more. The trust domain is written out: what one says of identities reaches into no other.
    IdentityPattern, is_identity_pattern,
    "a pattern of identities: a SPIFFE ID, of which a segment may be `*` and the last one `**`, as in `spiffe://northwind.example/person/*`"
}

const SCHEME: &str = "spiffe://";

fn is_identity_pattern(text: &str) -> bool {
    let Some((domain, path)) = parts(text) else { return false };
    let mut segments = path.rsplit('/');
    let last = segments.next().is_some_and(|it| it == "**" || is_pattern_segment(it));
    text.len() <= 2048 && is_trust_domain(domain) && last && segments.all(is_pattern_segment)
}

fn is_pattern_segment(text: &str) -> bool {
    text == "*" || is_identity_segment(text)
}

fn parts(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix(SCHEME)?.split_once('/')
}

impl IdentityPattern {
    /// Whether an identity is one of those meant: compared byte for byte, and whole.
    #[must_use]
    pub fn fits(&self, identity: &Identity) -> bool {
        let (Some((domain, pattern)), Some((own, path))) = (parts(self.as_str()), parts(identity.as_str())) else {
            return false;
        };
        let mut segments = path.split('/');
        for wanted in pattern.split('/') {
            match (wanted, segments.next()) {
                ("**", Some(_)) => return domain == own,
                (wanted, Some(segment)) if wanted == "*" || wanted == segment => {}
                (_, Some(_) | None) => return false,
            }
        }
        domain == own && segments.next().is_none()
    }

    /// Whether its identities are of a trust domain.
    #[must_use]
    pub fn is_of(&self, domain: &TrustDomain) -> bool {
        parts(self.as_str()).is_some_and(|(own, _)| own == domain.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(pattern: &str, identity: &str) -> bool {
        pattern.parse::<IdentityPattern>().unwrap().fits(&identity.parse().unwrap())
    }

    #[test]
    fn a_pattern_means_whole_identities() {
        let person = "spiffe://n.example/person/*";
        assert!(fits(person, "spiffe://n.example/person/ana"));
        for other in [
            "spiffe://n.example/person",
            "spiffe://n.example/person/ana/laptop",
            "spiffe://n.example/persons/ana",
            "spiffe://n.example/service/person/ana",
            "spiffe://n.example/Person/ana",
            "spiffe://m.example/person/ana",
            "spiffe://n.example.evil/person/ana",
        ] {
            assert!(!fits(person, other), "{other}");
        }
        assert!(fits("spiffe://n.example/*/db", "spiffe://n.example/eu/db"));
        assert!(!fits("spiffe://n.example/*/db", "spiffe://n.example/eu/db/1"));
        assert!(fits("spiffe://n.example/person/ana", "spiffe://n.example/person/ana"));
        // and a subtree is one or more segments
        assert!(fits("spiffe://n.example/**", "spiffe://n.example/a/b/c"));
        assert!(fits("spiffe://n.example/a/**", "spiffe://n.example/a/b"));
        assert!(!fits("spiffe://n.example/a/**", "spiffe://n.example/a"));
        assert!(!fits("spiffe://n.example/**", "spiffe://m.example/a"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "*",
            "person/*",
            "spiffe://*/person/x",
            "spiffe://n.example",
            "spiffe://n.example/",
            "spiffe://n.example/per*",
            "spiffe://n.example/**/x",
            "spiffe://n.example/a//b",
            "spiffe://n.example/../b",
            "https://n.example/a",
        ] {
            assert!(text.parse::<IdentityPattern>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn invariant_14_what_parses_renders_as_it_was(text in "(spiffe://)?[a-z*.]{0,6}(/[a-z*.]{0,3}){0,4}") {
            if let Ok(pattern) = text.parse::<IdentityPattern>() { prop_assert_eq!(pattern.to_string(), text); }
        }

        #[test]
        fn an_identity_as_a_pattern_means_itself_alone(one in "spiffe://n/[ab]{1,2}(/[ab]{1,2}){0,2}", other in "spiffe://n/[ab]{1,2}(/[ab]{1,2}){0,2}") {
            prop_assert_eq!(fits(&one, &other), one == other);
        }
    }
}
