use super::*;
use crate::wire::event_filter::EventFilter;

fn list() -> pb::ListElevationsRequest {
    pb::ListElevationsRequest { relation: 1, ..Default::default() }
}

fn paths(error: InvalidMessage) -> Vec<String> {
    error.fields.into_iter().map(|field| field.path).collect()
}

#[test]
fn a_page_has_50_things_and_at_most_500() {
    assert_eq!(Elevations::try_from(&list()).unwrap().paging.size, 50);
    for (size, right) in [(1, true), (500, true), (501, false), (-1, false), (i32::MAX, false), (i32::MIN, false)] {
        let parsed = Elevations::try_from(&pb::ListElevationsRequest { page_size: size, ..list() });
        assert_eq!(parsed.is_ok(), right, "{size}");
    }
}

#[test]
fn unspecified_and_unknown_values_of_enums_are_refused() {
    for relation in [0, 99, -1] {
        let message = pb::ListElevationsRequest { relation, ..list() };
        assert_eq!(paths(Elevations::try_from(&message).unwrap_err()), ["relation"]);
        let message = pb::ListGrantsRequest { relation, ..Default::default() };
        assert_eq!(paths(Grants::try_from(&message).unwrap_err()), ["relation"]);
    }
    let message = pb::ListElevationsRequest { states: vec![1, 0, 7], ..list() };
    assert_eq!(paths(Elevations::try_from(&message).unwrap_err()), ["states[1]", "states[2]"]);
    let message = pb::ListAccountsRequest { kind: 9, ..Default::default() };
    assert_eq!(paths(Accounts::try_from(&message).unwrap_err()), ["kind"]);
}

#[test]
fn all_mistakes_of_a_list_come_at_once() {
    let message = pb::ListElevationsRequest {
        page_size: 501,
        page_token: "x".repeat(513),
        min_sequence: "soon".to_owned(),
        relation: 0,
        states: vec![42],
        entitlement: "No".to_owned(),
        requester_account: "N O".to_owned(),
    };
    let expected =
        ["page_size", "min_sequence", "page_token", "relation", "states[0]", "entitlement", "requester_account"];
    assert_eq!(paths(Elevations::try_from(&message).unwrap_err()), expected);
}

#[test]
fn filters_of_events_take_what_the_journal_knows() {
    let parse = |actor: &str, kind: &str, about: &str| {
        let (actor, kind, about) = (actor.to_owned(), kind.to_owned(), about.to_owned());
        <(Paging, EventFilter)>::try_from(&pb::ListEventsRequest { actor, kind, about, ..Default::default() })
    };
    assert!(parse("account:ana", "grant-revoked", "elevation:0197c9a2-7f3b-7cc1-8000-0123456789ab").is_ok());
    assert!(parse("broker", "", "policy").is_ok());
    assert_eq!(paths(parse("ana", "grant-revoked/1", "elevation:1").unwrap_err()), ["actor", "kind", "about"]);
    assert_eq!(paths(parse("group:x", "made-up", "account:Ana").unwrap_err()), ["actor", "kind", "about"]);
}

#[test]
fn a_question_is_malformed_in_its_own_fields() {
    assert_eq!(check_query("", "ana", "db.read", "prod/x"), Ok(()));
    assert_eq!(check_query("", "spiffe://northwind.example/person/ana", "db.read", "prod/x"), Ok(()));
    let error = check_query("queries[7].", "Ana", "*", "prod/**").unwrap_err();
    assert_eq!(paths(error), ["queries[7].subject", "queries[7].action", "queries[7].resource"]);
    assert_eq!(paths(check_query("", "", "", "").unwrap_err()), ["subject", "action", "resource"]);
}

#[test]
fn an_explanation_needs_an_entitlement_and_takes_no_wildcards() {
    let message = pb::ExplainElevationRequest { resources: vec!["*".to_owned()], ..Default::default() };
    assert_eq!(paths(Explained::try_from(&message).unwrap_err()), ["entitlement", "resources[0]"]);
}
