//! Fields that are empty, oversized, out of range or made up: refused at the door, each named, with what would be right,
//! and nothing recorded (known failures A1, C6, D3, D5 and D12).

use countersign::wire::v1 as pb;
use prost_types::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::Broker;
use crate::person::{Person, at_millis, call_id, reason, refused, repair, seconds};

/// What is wrong, the field that the answer names, and a word of what it says about it.
type Row = (fn(&mut pb::RequestElevationRequest), &'static str, &'static str);

const MALFORMED: &[Row] = &[
    (|r| r.request_id.clear(), "request_id", "missing"),
    (|r| r.request_id = "1".into(), "request_id", "`1`"),
    (|r| r.request_id = "{}".repeat(4_000), "request_id", "…"),
    (|r| r.entitlement.clear(), "entitlement", "missing"),
    (|r| r.entitlement = "Orders-DB-Repair".into(), "entitlement", "`Orders-DB-Repair`"),
    (|r| r.entitlement = "orders-db-repair ".into(), "entitlement", "`orders-db-repair `"),
    (|r| r.actions.clear(), "actions", "empty"),
    (|r| r.actions = vec![String::new()], "actions[0]", ""),
    (|r| r.actions = vec!["db.*".into()], "actions[0]", "`db.*`"),
    (|r| r.actions.push("DB.READ".into()), "actions[1]", "`DB.READ`"),
    (|r| r.actions = vec!["a.b.c.d.e".into()], "actions[0]", "`a.b.c.d.e`"),
    (|r| r.resources.clear(), "resources", "empty"),
    (|r| r.resources = vec![String::new()], "resources[0]", ""),
    (|r| r.resources = vec!["/".into()], "resources[0]", "`/`"),
    (|r| r.resources = vec!["prod/eu/db/orders/../payments".into()], "resources[0]", "`prod/eu/db/orders/../payments`"),
    (|r| r.resources = vec!["prod/./db".into()], "resources[0]", "`prod/./db`"),
    (|r| r.resources = vec!["prod//db".into()], "resources[0]", "`prod//db`"),
    (|r| r.resources = vec!["prod/eu/db/orders/primary/".into()], "resources[0]", ""),
    (|r| r.resources = vec!["prod/*/db/orders/primary".into()], "resources[0]", "`prod/*/db/orders/primary`"),
    (|r| r.resources = vec!["prod/**/orders".into()], "resources[0]", ""),
    (|r| r.resources = vec!["**".into()], "resources[0]", ""),
    (|r| r.resources = vec![["a"; 17].join("/")], "resources[0]", "a/a"),
    (|r| r.resources = vec!["a".repeat(129)], "resources[0]", "aaa"),
    (|r| r.resources = vec!["prod/eu/db/örders".into()], "resources[0]", ""),
    (|r| r.resources = vec!["prod/eu/db/\u{202e}sredro".into()], "resources[0]", ""),
    (|r| r.resources = vec!["prod/eu/db/orders%2Fprimary".into()], "resources[0]", ""),
    (|r| r.resources = vec!["prod/eu/db/orders\0".into()], "resources[0]", ""),
    (|r| r.resources = vec!["prod\\eu".into()], "resources[0]", ""),
    (|r| r.resources = vec!["tenants".into()], "resources[0]", ""),
    (|r| r.duration = seconds(0), "duration", "zero"),
    (|r| r.duration = seconds(-60), "duration", "negative"),
    (|r| r.duration = seconds(86_401), "duration", "24 h"),
    (|r| r.duration = seconds(i64::MAX), "duration", "24 h"),
    (|r| r.duration = seconds(i64::MIN), "duration", "negative"),
    (|r| r.duration = Some(Duration { seconds: 60, nanos: -1 }), "duration", "disagree"),
    (|r| r.duration = Some(Duration { seconds: 60, nanos: i32::MAX }), "duration", ""),
    (|r| r.duration = Some(Duration { seconds: 60, nanos: 1 }), "duration", "millisecond"),
    (|r| r.duration = Some(Duration { seconds: 0, nanos: 999_000_000 }), "duration", "1 s"),
    (|r| r.start_time = at_millis(-1), "start_time", "1970"),
    (|r| r.start_time = at_millis(i64::MAX), "start_time", "9999"),
    (|r| r.start_time = Some(prost_types::Timestamp { seconds: 0, nanos: -1 }), "start_time", "nanos"),
    (|r| r.justification = "x".repeat(2_049), "justification", "2049 bytes"),
    (|r| r.ticket = "x".repeat(129), "ticket", "129 bytes"),
    (|r| r.on_behalf_of = "a person".into(), "on_behalf_of", "`a person`"),
    (|r| r.extends_grant_id = "0".into(), "extends_grant_id", "`0`"),
];

#[tokio::test]
async fn a_malformed_request_names_the_field_and_nothing_is_recorded() {
    let broker = Broker::shared();
    let engineer = broker.engineer().await;
    // when each field by itself is wrong
    for (number, (spoil, field, word)) in MALFORMED.iter().enumerate() {
        let mut request = repair();
        spoil(&mut request);
        // then that field alone is named
        let status = refused(engineer.request(request).await, Code::InvalidArgument, "INVALID_MESSAGE");
        let named = violations(&status);
        assert_eq!(named.len(), 1, "row {number}: {named:?}");
        assert_eq!(named[0].0, *field, "row {number}: {named:?}");
        assert!(named[0].1.contains(word), "row {number}: {named:?}");
        assert!(status.message().len() < 4_000, "row {number}");
    }
    // and the core saw none of it
    assert!(
        engineer.events(pb::ListEventsRequest::default()).await.iter().all(|event| event.actor != actor(&engineer))
    );
}

#[tokio::test]
async fn every_wrong_field_of_a_message_is_told_at_once() {
    let engineer = Broker::shared().engineer().await;
    let request = pb::RequestElevationRequest {
        request_id: "x".into(),
        resources: vec!["prod/eu".into(), "..".into()],
        duration: seconds(0),
        ..repair()
    };
    let status = refused(engineer.request(request).await, Code::InvalidArgument, "INVALID_MESSAGE");
    let fields: Vec<String> = violations(&status).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["request_id", "resources[1]", "duration"]);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_connection_lives_on() {
    let engineer = Broker::shared().engineer().await;
    let request = pb::RequestElevationRequest { resources: vec!["a/b".repeat(40); 2_000], ..repair() };
    let status = engineer.request(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_MESSAGE"), "{status:?}");
    assert!(status.message().contains("65536"), "{status:?}");
    engineer.request(repair()).await.unwrap();
}

#[tokio::test]
async fn unknown_values_of_enums_and_fields_out_of_range_are_refused_in_every_list() {
    let engineer = Broker::shared().engineer().await;
    let visible = pb::ListElevationsRequest { relation: pb::ElevationRelation::Visible.into(), ..Default::default() };
    let held = pb::ListGrantsRequest { relation: pb::GrantRelation::Held.into(), ..Default::default() };
    let (mut elevations, mut grants, mut accounts, mut audit) =
        (engineer.elevations(), engineer.grants(), engineer.accounts(), engineer.audit());
    let elevation_rows = [
        (pb::ListElevationsRequest { relation: 0, ..visible.clone() }, "relation"),
        (pb::ListElevationsRequest { relation: 99, ..visible.clone() }, "relation"),
        (pb::ListElevationsRequest { relation: -1, ..visible.clone() }, "relation"),
        (pb::ListElevationsRequest { states: vec![1, 0], ..visible.clone() }, "states[1]"),
        (pb::ListElevationsRequest { states: vec![i32::MAX], ..visible.clone() }, "states[0]"),
        (pb::ListElevationsRequest { page_size: -1, ..visible.clone() }, "page_size"),
        (pb::ListElevationsRequest { page_size: 501, ..visible.clone() }, "page_size"),
        (pb::ListElevationsRequest { min_sequence: "01".into(), ..visible.clone() }, "min_sequence"),
        (pb::ListElevationsRequest { min_sequence: "-1".into(), ..visible.clone() }, "min_sequence"),
        (pb::ListElevationsRequest { page_token: "x".repeat(513), ..visible.clone() }, "page_token"),
        (pb::ListElevationsRequest { entitlement: "No Such".into(), ..visible }, "entitlement"),
    ];
    for (request, field) in elevation_rows {
        names(elevations.list_elevations(request).await, field);
    }
    for (request, field) in [
        (pb::ListGrantsRequest { relation: 9, ..held.clone() }, "relation"),
        (pb::ListGrantsRequest { states: vec![77], ..held.clone() }, "states[0]"),
        (pb::ListGrantsRequest { holder_account: "../ana".into(), ..held }, "holder_account"),
    ] {
        names(grants.list_grants(request).await, field);
    }
    let request = pb::ListAccountsRequest { kind: 44, ..Default::default() };
    names(accounts.list_accounts(request).await, "kind");
    for (request, field) in [
        (pb::ListEventsRequest { kind: "elevation-invented".into(), ..Default::default() }, "kind"),
        (pb::ListEventsRequest { actor: "ana".into(), ..Default::default() }, "actor"),
        (pb::ListEventsRequest { about: "elevation:1".into(), ..Default::default() }, "about"),
    ] {
        names(audit.list_events(request).await, field);
    }
    let request = pb::WatchElevationsRequest { after_sequence: "soon".into(), ..Default::default() };
    names(elevations.watch_elevations(request).await.map(|_| ()), "after_sequence");
}

#[tokio::test]
async fn decisions_with_a_wrong_field_are_refused() {
    let broker = Broker::shared();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let elevation = engineer.request(repair()).await.unwrap();
    let (mut reviews, mut grants) = (ben.elevations(), ben.grants());
    let approval = pb::ApproveElevationRequest {
        request_id: call_id(),
        elevation_id: elevation.id.clone(),
        approval_digest: vec![0; 32],
        comment: String::new(),
    };
    for (request, field) in [
        (pb::ApproveElevationRequest { approval_digest: vec![], ..approval.clone() }, "approval_digest"),
        (pb::ApproveElevationRequest { approval_digest: vec![0; 33], ..approval.clone() }, "approval_digest"),
        (pb::ApproveElevationRequest { comment: "x".repeat(2_049), ..approval.clone() }, "comment"),
        (pb::ApproveElevationRequest { elevation_id: "all".into(), ..approval.clone() }, "elevation_id"),
        // an ending names a thing to look at, never one to decide on
        (pb::ApproveElevationRequest { elevation_id: elevation.id[30..].into(), ..approval.clone() }, "elevation_id"),
        (pb::ApproveElevationRequest { elevation_id: elevation.id.to_uppercase(), ..approval.clone() }, "elevation_id"),
        (pb::ApproveElevationRequest { request_id: String::new(), ..approval.clone() }, "request_id"),
    ] {
        names(reviews.approve_elevation(request).await, field);
    }
    let id = elevation.id.clone();
    let denial = pb::DenyElevationRequest { request_id: call_id(), elevation_id: id, reason: String::new() };
    names(reviews.deny_elevation(denial).await, "reason");
    let revocation = pb::RevokeGrantRequest { request_id: call_id(), grant_id: "x".into(), reason: "why".into() };
    names(grants.revoke_grant(revocation).await, "grant_id");
    // when what is sent is a digest, yet of another text, then that is another refusal, and the request waits on
    let stale = reviews.approve_elevation(approval).await.map(|_| ());
    refused(stale, Code::FailedPrecondition, "DIGEST_MISMATCH");
    assert_eq!(engineer.elevation(&elevation.id).await.unwrap().state(), pb::ElevationState::Pending);
}

#[tokio::test]
async fn a_malformed_check_is_an_error_and_never_an_allow() {
    let orders = Broker::shared().person("orders-api").await;
    for (subject, action, resource, field) in [
        ("", "db.read", "prod/eu/db/orders/a", "subject"),
        ("Ana", "db.read", "prod/eu/db/orders/a", "subject"),
        ("spiffe://northwind.example", "db.read", "prod/eu/db/orders/a", "subject"),
        ("ana", "", "prod/eu/db/orders/a", "action"),
        ("ana", "*", "prod/eu/db/orders/a", "action"),
        ("ana", "db.read", "", "resource"),
        ("ana", "db.read", "prod/eu/db/orders/**", "resource"),
        ("ana", "db.read", "prod/eu/db/orders/../a", "resource"),
    ] {
        names(orders.check(subject, action, resource).await, field);
    }
    // when one question of a batch is malformed, then the batch is refused, and the question named
    let query = |action: &str| pb::CheckQuery {
        subject: "ana".into(),
        action: action.into(),
        resource: "prod/eu/db/orders/a".into(),
    };
    let (mut access, mut again) = (orders.access(), orders.access());
    let batch = pb::BatchCheckAccessRequest { queries: vec![query("db.read"), query("DB")] };
    names(access.batch_check_access(batch).await, "queries[1].action");
    for size in [0, 129] {
        let batch = pb::BatchCheckAccessRequest { queries: vec![query("db.read"); size] };
        names(access.batch_check_access(batch).await, "queries");
    }
    let batch = pb::BatchCheckAccessRequest { queries: vec![query("db.read"); 128] };
    let answers = again.batch_check_access(batch).await.unwrap().into_inner().answers;
    let indexes: Vec<u32> = answers.iter().map(|answer| answer.query_index).collect();
    assert_eq!(indexes, (0..128).collect::<Vec<_>>());
    assert!(answers.iter().all(|answer| answer.verdict() == pb::Verdict::Deny));
}

#[tokio::test]
async fn what_is_well_formed_but_asks_for_too_much_has_a_reason_of_its_own() {
    let engineer = Broker::shared().engineer().await;
    type Change = fn(&mut pb::RequestElevationRequest);
    let rows: [(Change, Code, &str); 11] = [
        (|r| r.entitlement = "no-such".into(), Code::NotFound, "NOT_FOUND"),
        (|r| r.actions = vec!["db.drop".into()], Code::PermissionDenied, "OUT_OF_SCOPE"),
        (|r| r.resources = vec!["prod/eu/db/payments/a".into()], Code::PermissionDenied, "OUT_OF_SCOPE"),
        (|r| r.resources = vec!["prod/**".into()], Code::PermissionDenied, "OUT_OF_SCOPE"),
        (|r| r.duration = seconds(3_601), Code::FailedPrecondition, "DURATION_TOO_LONG"),
        (|r| r.start_time = at_millis(4_102_444_800_000), Code::FailedPrecondition, "START_NOT_ALLOWED"),
        (|r| r.justification = "stuck".into(), Code::FailedPrecondition, "JUSTIFICATION_REQUIRED"),
        (|r| r.ticket.clear(), Code::FailedPrecondition, "TICKET_REQUIRED"),
        (|r| r.ticket = "see INC-4711".into(), Code::FailedPrecondition, "TICKET_REQUIRED"),
        (|r| r.on_behalf_of = "ben".into(), Code::PermissionDenied, "ON_BEHALF_FORBIDDEN"),
        (|r| r.extends_grant_id = call_id(), Code::FailedPrecondition, "EXTENSION_INVALID"),
    ];
    for (change, code, wanted) in rows {
        let mut request = repair();
        change(&mut request);
        // when it is only thought through, then the same stands in the way
        let dry = pb::RequestElevationRequest { validate_only: true, ..request.clone() };
        let dry = engineer.elevations().request_elevation(dry).await.unwrap().into_inner();
        assert_eq!(dry.obstacles[0].reason, wanted, "{request:?}");
        refused(engineer.request(request).await, code, wanted);
    }
}

/// The fields that a refusal names, with what it says of each.
fn violations(status: &Status) -> Vec<(String, String)> {
    let details = status.get_error_details();
    let request = details.bad_request().unwrap_or_else(|| panic!("no fields: {status:?}"));
    request.field_violations.iter().map(|it| (it.field.clone(), it.description.clone())).collect()
}

#[track_caller]
fn names<T: std::fmt::Debug>(result: Result<T, Status>, field: &str) {
    let status = result.expect_err(field);
    assert_eq!((reason(&status).as_str(), status.code()), ("INVALID_MESSAGE", Code::InvalidArgument));
    let fields = violations(&status);
    assert!(fields.iter().any(|(name, text)| name == field && !text.is_empty()), "{field}: {fields:?}");
}

fn actor(person: &Person) -> String {
    format!("account:{}", person.name)
}

#[tokio::test]
async fn checks_have_the_limits_of_every_call_though_they_take_a_shorter_way() {
    // given checks that are too large, or have too many headers
    let broker = Broker::shared();
    let orders = broker.person("orders-api").await;
    let large = pb::CheckQuery { subject: "a".repeat(66_000), ..pb::CheckQuery::default() };
    let pb::CheckQuery { subject, action, resource } = large.clone();
    let check = pb::CheckAccessRequest { subject, action, resource };
    let mut access = orders.access();
    let is_too_large = |status: Status| {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_MESSAGE"), "{status:?}");
        assert!(status.message().contains("65536"), "{status:?}");
    };
    // then each is refused
    is_too_large(access.check_access(check).await.unwrap_err());
    let queries = vec![large];
    is_too_large(
        access.batch_check_access(pb::BatchCheckAccessRequest { queries: queries.clone() }).await.unwrap_err(),
    );
    let batch = pb::StreamCheckAccessRequest { batch_id: 1, queries };
    let mut answers = access.stream_check_access(tokio_stream::iter([batch])).await.unwrap().into_inner();
    is_too_large(answers.message().await.unwrap_err());
    let mut crowded = tonic::Request::new(pb::CheckAccessRequest::default());
    for number in 0..40 {
        let name: tonic::metadata::MetadataKey<_> = format!("x-{number}").parse().unwrap();
        crowded.metadata_mut().insert(name, "1".parse().unwrap());
    }
    refused(access.check_access(crowded).await, Code::ResourceExhausted, "OVERLOADED");
    // and the connection lives on
    let asked = pb::CheckAccessRequest { subject: "ana".into(), action: "db.read".into(), resource: "prod/x".into() };
    assert_eq!(access.check_access(asked).await.unwrap().into_inner().verdict(), pb::Verdict::Deny);
}
