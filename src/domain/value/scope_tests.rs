use super::*;
use proptest::prelude::*;

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

fn resource(text: &str) -> Resource {
    text.parse().unwrap()
}

/// Few words, so that random patterns and resources often meet.
fn a_segment() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("tenants"), Just("prod")]
}

fn a_resource() -> impl Strategy<Value = Resource> {
    prop::collection::vec(a_segment(), 1..5).prop_filter_map("tenants alone", |s| s.join("/").parse().ok())
}

fn a_pattern() -> impl Strategy<Value = Pattern> {
    let segment = prop_oneof![3 => a_segment(), 2 => Just("*")];
    (prop::collection::vec(segment, 0..4), any::<bool>()).prop_filter_map("invalid", |(mut segments, subtree)| {
        if subtree {
            segments.push("**");
        }
        segments.join("/").parse().ok()
    })
}

/// The same question answered another way: by recursion over the texts.
fn reference_covers(pattern: &[&str], resource: &[&str], first: bool) -> bool {
    match (pattern, resource) {
        ([], []) => true,
        (["**"], [head, ..]) => !(first && *head == "tenants"),
        (["*", rest @ ..], [head, tail @ ..]) => !(first && *head == "tenants") && reference_covers(rest, tail, false),
        ([literal, rest @ ..], [head, tail @ ..]) => literal == head && reference_covers(rest, tail, false),
        _ => false,
    }
}

proptest! {
    #[test]
    fn covers_agrees_with_the_reference(p in a_pattern(), r in a_resource()) {
        let (pt, rt) = (p.to_string(), r.to_string());
        let expected = reference_covers(&pt.split('/').collect::<Vec<_>>(), &rt.split('/').collect::<Vec<_>>(), true);
        prop_assert_eq!(p.covers(&r), expected, "{} {}", pt, rt);
        prop_assert_eq!(p.contains(&Pattern::from(&r)), expected);
    }

    #[test]
    fn meet_covers_exactly_what_both_cover(a in a_pattern(), b in a_pattern(), r in a_resource()) {
        let meet = a.meet(&b);
        prop_assert_eq!(meet.as_ref().is_some_and(|m| m.covers(&r)), a.covers(&r) && b.covers(&r));
        prop_assert_eq!(&meet, &b.meet(&a));
        if let Some(meet) = meet {
            prop_assert!(a.contains(&meet) && b.contains(&meet));
        }
    }

    /// What a service hears of a grant is the grant, on what is the service's, and nothing else.
    #[test]
    fn a_scope_within_an_audience_covers_what_both_do(
        ours in prop::collection::btree_set(a_pattern(), 1..4),
        theirs in prop::collection::btree_set(a_pattern(), 0..4),
        resource in a_resource(),
    ) {
        let action: Action = "db.read".parse().unwrap();
        let scope = Scope::new([action.clone()].into(), ours).unwrap();
        let within = scope.within(&theirs);
        let both = scope.covers(&action, &resource) && theirs.iter().any(|pattern| pattern.covers(&resource));
        prop_assert_eq!(within.as_ref().is_some_and(|within| within.covers(&action, &resource)), both);
        if let Some(within) = within {
            prop_assert_eq!(within.actions(), scope.actions());
            prop_assert!(scope.contains(&within));
        }
    }

    #[test]
    fn contains_implies_covers(a in a_pattern(), b in a_pattern(), r in a_resource()) {
        if a.contains(&b) && b.covers(&r) {
            prop_assert!(a.covers(&r));
        }
    }

    /// Invariant 14 for actions, resources and patterns.
    #[test]
    fn invariant_14_scopes_render_as_parsed(text in "[a-zA-Z0-9./*@:+=_ %;\\\\-]{0,40}") {
        if let Ok(value) = text.parse::<Resource>() { prop_assert_eq!(value.to_string(), text.clone()); }
        if let Ok(value) = text.parse::<Action>() { prop_assert_eq!(value.to_string(), text.clone()); }
        if let Ok(value) = text.parse::<Pattern>() { prop_assert_eq!(value.to_string(), text.clone()); }
        if let Ok(value) = Pattern::parse_requested(&text) { prop_assert_eq!(value.to_string(), text); }
    }
}

#[test]
fn unusual_resources_are_refused_never_repaired() {
    let seventeen = vec!["a"; 17].join("/");
    let long = "a".repeat(129);
    for text in [
        "", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a/./b", "a%2fb", "a\\b", "a;b", "a b", "a\0b", "ä",
        "tenants", "a/*", "**", "a/**", "a?b", "a#b", &seventeen, &long,
    ] {
        assert!(text.parse::<Resource>().is_err(), "{text:?}");
    }
    assert!(vec!["a"; 16].join("/").parse::<Resource>().is_ok());
}

#[test]
fn requests_name_concrete_resources_or_subtrees() {
    for text in ["prod/eu/db", "prod/**", "tenants/acme/**", "tenants/acme"] {
        assert!(Pattern::parse_requested(text).is_ok(), "{text}");
    }
    for text in [
        "*",
        "prod/*",
        "prod/*/**",
        "**",
        "tenants/**",
        "tenants/*/mail",
        "tenants",
        "prod/a**",
        "prod/**/x",
        "prod/***",
    ] {
        assert!(Pattern::parse_requested(text).is_err(), "{text}");
    }
}

#[test]
fn a_subtree_is_not_its_root_and_a_prefix_is_whole_segments() {
    assert!(!pattern("prod/db/**").covers(&resource("prod/db")));
    assert!(pattern("prod/db/**").covers(&resource("prod/db/x/y")));
    assert!(!pattern("prod/db/**").covers(&resource("prod/db-old/x")));
}

#[test]
fn no_wildcard_reaches_a_tenant() {
    for text in ["**", "*/**", "*/acme/mail", "*/*/*"] {
        assert!(!pattern(text).covers(&resource("tenants/acme/mail")), "{text}");
        assert!(!pattern(text).overlaps(&pattern("tenants/acme/**")), "{text}");
    }
    assert!(pattern("tenants/*/mail").covers(&resource("tenants/acme/mail")));
}

#[test]
fn a_subtree_mark_stands_at_most_fifteenth() {
    assert!(format!("{}/**", vec!["a"; 14].join("/")).parse::<Pattern>().is_ok());
    assert!(format!("{}/**", vec!["a"; 15].join("/")).parse::<Pattern>().is_err());
}

#[test]
fn actions_are_one_to_four_words() {
    for text in ["db.read", "a", "a.b.c.d", "db-1.read"] {
        assert!(text.parse::<Action>().is_ok(), "{text}");
    }
    for text in ["", "a.b.c.d.e", "A", "a.", ".a", "a..b", "a_b", "*", "db.*"] {
        assert!(text.parse::<Action>().is_err(), "{text}");
    }
}

/// Looking at many bytes at once says what the plain rule says, whatever byte is where.
#[test]
fn an_ordinary_text_is_a_list_of_segments() {
    let long = format!("prod/{}", "x".repeat(123));
    let deep = "segment/".repeat(15);
    let texts =
        ["prod/eu/db/orders-000001/primary", "prod/eu/db/a.b_c@d:e", "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", &long, &deep];
    let mut ordinary = 0;
    for text in texts {
        for (position, byte) in (0..text.len()).flat_map(|position| (0..=u8::MAX).map(move |byte| (position, byte))) {
            let mut changed = text.as_bytes().to_vec();
            changed[position] = byte;
            for end in [changed.len(), position + 1] {
                let text = &changed[..end];
                ordinary += usize::from(is_ordinary(text));
                assert!(!is_ordinary(text) || is_list_of_segments(text), "{}", String::from_utf8_lossy(text));
            }
        }
    }
    assert!(ordinary > 10_000, "{ordinary}");
}
