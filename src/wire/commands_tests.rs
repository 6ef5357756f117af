use prost_types::{Duration, Timestamp};

use super::*;

const ID: &str = "0197c9a2-7f3b-4cc1-8000-0123456789ab";

fn request() -> pb::RequestElevationRequest {
    pb::RequestElevationRequest {
        request_id: ID.to_owned(),
        entitlement: "orders-db-repair".to_owned(),
        actions: vec!["db.read".to_owned()],
        resources: vec!["prod/eu/db/orders/primary".to_owned()],
        duration: Some(Duration { seconds: 900, nanos: 0 }),
        justification: "INC-7".to_owned(),
        ..Default::default()
    }
}

fn mistakes(change: impl FnOnce(&mut pb::RequestElevationRequest)) -> Vec<(String, String)> {
    let mut message = request();
    change(&mut message);
    let error = Asked::try_from(message).unwrap_err();
    error.fields.into_iter().map(|field| (field.path, field.wanted)).collect()
}

#[test]
fn a_good_request_becomes_the_command_that_it_says() {
    let Asked::ForReal(id, asked) = Asked::try_from(request()).unwrap() else { panic!("for real") };
    assert_eq!(id.to_string(), ID);
    assert_eq!(asked.duration.unwrap().to_string(), "15m");
    assert_eq!((asked.ticket, asked.start, asked.extends, asked.on_behalf_of), (None, None, None, None));
}

#[test]
fn every_bad_field_is_told_with_its_path_and_what_would_be_right() {
    type Change = fn(&mut pb::RequestElevationRequest);
    let rows: &[(Change, &str, &str)] = &[
        (|m| m.request_id.clear(), "request_id", "missing"),
        (|m| m.request_id = "7".to_owned(), "request_id", "UUID"),
        (|m| m.entitlement.clear(), "entitlement", "missing"),
        (|m| m.entitlement = "Orders".to_owned(), "entitlement", "an entitlement's name"),
        (|m| m.entitlement = "x".repeat(65), "entitlement", "1 to 64"),
        (|m| m.actions.clear(), "actions", "empty never means all"),
        (|m| m.actions = vec!["*".to_owned()], "actions[0]", "an action"),
        (|m| m.actions = vec!["db.read".to_owned(), String::new()], "actions[1]", "missing"),
        (|m| m.resources.clear(), "resources", "empty never means all"),
        (|m| m.resources = vec!["prod/../x".to_owned()], "resources[0]", "a requested resource"),
        (|m| m.resources = vec!["prod/*/x".to_owned()], "resources[0]", "`*` is not allowed"),
        (|m| m.resources = vec!["**".to_owned()], "resources[0]", "a requested resource"),
        (|m| m.resources = vec!["tenants/**".to_owned()], "resources[0]", "the tenant is named"),
        (|m| m.resources = vec![["a"; 17].join("/")], "resources[0]", "a requested resource"),
        (|m| m.resources = vec!["prod/\u{430}".to_owned()], "resources[0]", "a requested resource"),
        (|m| m.resources = vec![String::new()], "resources[0]", "a requested resource"),
        (|m| m.actions = (0..17).map(|n| format!("db.a{n}")).collect(), "actions", "over 16"),
        (|m| m.resources = (0..33).map(|n| format!("prod/x{n}")).collect(), "resources", "over 32"),
        (|m| m.duration = Some(Duration { seconds: 0, nanos: 0 }), "duration", "zero"),
        (|m| m.duration = Some(Duration { seconds: -9, nanos: 0 }), "duration", "negative"),
        (|m| m.duration = Some(Duration { seconds: i64::MAX, nanos: 0 }), "duration", "out of range"),
        (|m| m.duration = Some(Duration { seconds: 1, nanos: 7 }), "duration", "millisecond"),
        (|m| m.start_time = Some(Timestamp { seconds: 1, nanos: 7 }), "start_time", "millisecond"),
        (|m| m.start_time = Some(Timestamp { seconds: -1, nanos: 0 }), "start_time", "1970 to 9999"),
        (|m| m.justification = "x".repeat(2_049), "justification", "at most 2048"),
        (|m| m.ticket = "x".repeat(129), "ticket", "at most 128"),
        (|m| m.on_behalf_of = "Ana".to_owned(), "on_behalf_of", "a person's id"),
        (|m| m.extends_grant_id = "89ab".to_owned(), "extends_grant_id", "UUID"),
    ];
    for (change, path, wanted) in rows {
        let found = mistakes(change);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, *path, "{found:?}");
        assert!(found[0].1.contains(wanted), "{found:?} should say {wanted}");
    }
}

#[test]
fn all_mistakes_of_a_message_come_at_once() {
    let found = mistakes(|message| *message = pb::RequestElevationRequest::default());
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["request_id", "entitlement", "actions", "resources"]);
    let text = Asked::try_from(pb::RequestElevationRequest::default()).unwrap_err().to_string();
    assert!(text.starts_with("the message is malformed: `request_id`: missing") && !text.ends_with('.'), "{text}");
}

#[test]
fn a_dry_run_needs_no_id_yet_takes_no_wrong_one() {
    let mut message = request();
    message.validate_only = true;
    message.request_id.clear();
    assert!(matches!(Asked::try_from(message.clone()), Ok(Asked::Dry(_))));
    message.request_id = "x".to_owned();
    assert_eq!(Asked::try_from(message).unwrap_err().fields[0].path, "request_id");
}

#[test]
fn decisions_name_a_whole_id_and_are_bounded() {
    let approve = |id: &str, digest: usize, comment: usize| {
        let message = pb::ApproveElevationRequest {
            request_id: ID.to_owned(),
            elevation_id: id.to_owned(),
            approval_digest: vec![1; digest],
            comment: "x".repeat(comment),
        };
        Mutation::try_from(message).map_err(|error| error.fields.iter().map(|f| f.path.clone()).collect::<Vec<_>>())
    };
    assert!(approve(ID, 32, 0).is_ok() && approve(ID, 32, 2_048).is_ok());
    assert_eq!(approve("89ab", 31, 2_049).unwrap_err(), ["elevation_id", "approval_digest", "comment"]);
    let deny = |reason: &str| {
        let (request_id, elevation_id) = (ID.to_owned(), ID.to_owned());
        Mutation::try_from(pb::DenyElevationRequest { request_id, elevation_id, reason: reason.to_owned() })
    };
    assert!(deny("no").is_ok());
    assert_eq!(deny("").unwrap_err().fields[0].path, "reason");
    let revoke = |reason: String| {
        Mutation::try_from(pb::RevokeGrantRequest { request_id: ID.to_owned(), grant_id: ID.to_owned(), reason })
    };
    assert!(revoke("x".repeat(2_048)).is_ok() && revoke("x".repeat(2_049)).is_err() && revoke(String::new()).is_err());
}

#[test]
fn messages_left_at_their_defaults_are_refused() {
    assert!(Mutation::try_from(pb::ApproveElevationRequest::default()).is_err());
    assert!(Mutation::try_from(pb::DenyElevationRequest::default()).is_err());
    assert!(Mutation::try_from(pb::WithdrawElevationRequest::default()).is_err());
    assert!(Mutation::try_from(pb::RelinquishGrantRequest::default()).is_err());
    assert!(Mutation::try_from(pb::RevokeGrantRequest::default()).is_err());
    assert!(Proposal::try_from(pb::ProposalHeader::default()).is_err());
}

#[test]
fn a_proposal_names_what_it_replaces_unless_it_is_dry() {
    let header = |replaces: Vec<u8>, validate_only| {
        Proposal::try_from(pb::ProposalHeader {
            request_id: ID.to_owned(),
            replaces_digest: replaces,
            validate_only,
            ..Default::default()
        })
    };
    assert!(matches!(header(vec![1; 32], false), Ok(Proposal::ForReal(..))));
    assert!(header(Vec::new(), false).is_err());
    assert_eq!(header(Vec::new(), true), Ok(Proposal::Dry(None)));
    assert!(header(vec![1; 5], true).is_err());
}
