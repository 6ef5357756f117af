use super::*;
use crate::domain::value::scope::Resource;
use proptest::prelude::*;

fn covers(patterns: &[u8], text: &str) -> bool {
    Asked::read(text.as_bytes()).is_some_and(|resource| patterns_cover(patterns, resource))
}

fn compiled(pattern: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_pattern(&mut bytes, &pattern.parse().unwrap());
    bytes
}

/// A resource, or nearly one, made of few words so that patterns often match it.
fn any_text() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec![
        "prod", "prod", "eu", "db", "a", "a.b", "tenants", "acme", "*", "**", "", ".", "..", "é", "a b", "A%",
    ]);
    prop_oneof![
        6 => prop::collection::vec(segment, 0..6).prop_map(|segments| segments.join("/")),
        1 => prop::collection::vec(Just("a"), 13..19).prop_map(|segments| segments.join("/")),
        1 => (0_usize..3).prop_map(|more| format!("prod/{}", "x".repeat(127 + more))),
        1 => ".{0,40}",
    ]
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let segment = prop::sample::select(vec!["prod", "eu", "db", "a", "a.b", "tenants", "acme", "*", "*"]);
    let body = prop_oneof![
        8 => prop::collection::vec(segment, 0..5),
        1 => prop::collection::vec(Just("a"), 12..17),
        1 => prop::collection::vec(Just("*"), 12..17),
    ];
    (body, any::<bool>()).prop_filter_map("no pattern", |(mut segments, subtree)| {
        if subtree {
            segments.push("**");
        }
        segments.join("/").parse().ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// The compiled form agrees with the domain's on every text, valid or not.
    #[test]
    fn a_compiled_pattern_covers_what_the_pattern_covers(patterns in prop::collection::vec(any_pattern(), 1..4), text in any_text()) {
        let mut bytes = Vec::new();
        patterns.iter().for_each(|pattern| put_pattern(&mut bytes, pattern));
        let expected = text.parse::<Resource>().is_ok_and(|resource| patterns.iter().any(|p| p.covers(&resource)));
        prop_assert_eq!(covers(&bytes, &text), expected);
    }

    /// Bytes that nobody wrote never make it panic. What they cover does not matter: only the index writes them.
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in any_text()) {
        let _ = covers(&bytes, &text);
        let _ = has_action(&bytes, b"db.read");
        let _ = super::super::block::Block::read(&bytes).zip(Asked::read(text.as_bytes())).map(|(block, resource)| {
            block.answer(b"db.read", resource, crate::domain::value::time::Timestamp::MIN)
        });
    }
}

#[test]
fn no_wildcard_reaches_a_tenant() {
    for pattern in ["**", "*/**", "*/acme/x", "*/*/*"] {
        assert!(!covers(&compiled(pattern), "tenants/acme/x"), "{pattern}");
        assert!(covers(&compiled(pattern), "prod/acme/x"), "{pattern}");
    }
    for pattern in ["*", "**"] {
        assert!(!covers(&compiled(pattern), "tenants"), "{pattern}");
    }
    assert!(covers(&compiled("tenants/acme/**"), "tenants/acme/x"));
    assert!(!covers(&compiled("tenants/acme/**"), "tenants/acmed/x"));
    assert!(covers(&compiled("prod/*"), "prod/tenants"));
}
