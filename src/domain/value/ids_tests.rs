use super::*;
use proptest::prelude::*;

proptest! {
    /// Invariant 14 for names, identities and digests.
    #[test]
    fn invariant_14_ids_render_as_parsed(text in "[ -~]{0,70}|[a-z0-9._-]{1,66}|spiffe://[a-z.]{1,9}/[A-Za-z0-9./_-]{0,20}|[0-9a-f]{64}") {
        if let Ok(id) = text.parse::<PersonId>() { prop_assert_eq!(id.to_string(), text.clone()); }
        if let Ok(id) = text.parse::<Identity>() { prop_assert_eq!(id.to_string(), text.clone()); }
        if let Ok(id) = text.parse::<Digest>() { prop_assert_eq!(id.to_string(), text.clone()); }
        if let Ok(id) = text.parse::<GrantId>() { prop_assert_eq!(id.to_string(), text); }
    }
}

#[test]
fn look_alike_names_are_refused_never_folded() {
    for text in ["", "Ana", " ana", "ana ", "ana\n", "аna", "-ana", ".ana", "a/b", &"a".repeat(65)] {
        assert!(text.parse::<AccountId>().is_err(), "{text:?}");
    }
}

#[test]
fn an_identity_is_one_spiffe_id_with_a_path() {
    assert!("spiffe://northwind.example/person/ana".parse::<Identity>().is_ok());
    for text in [
        "spiffe://northwind.example",
        "spiffe:///x",
        "spiffe://a/../b",
        "spiffe://a//b",
        "https://a/b",
        "spiffe://A/b",
        "spiffe://a/b?x",
        "spiffe://a/b%20",
        "spiffe://a/b/",
    ] {
        assert!(text.parse::<Identity>().is_err(), "{text:?}");
    }
}

#[test]
fn a_uuid_has_one_spelling() {
    let text = "0197c9a2-7f3b-7cc1-8000-0123456789ab";
    assert_eq!(text.parse::<GrantId>().unwrap().to_string(), text);
    for other in [text.to_uppercase(), format!("{{{text}}}"), format!("urn:uuid:{text}"), text.replace('-', "")] {
        assert!(other.parse::<GrantId>().is_err(), "{other}");
    }
}
