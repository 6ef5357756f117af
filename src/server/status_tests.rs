use super::*;
use crate::domain::value::refusal::CATALOGUE;
use crate::domain::value::time::Span;

#[test]
fn every_reason_becomes_a_status_with_its_code_and_one_error_info() {
    for entry in CATALOGUE {
        let refusal = Refusal::new(entry.reason, "`x`").with("person", "ana");
        let text = refusal.to_string();
        let status = Status::from(refusal);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (entry.name, "countersign"));
        assert_eq!(info.metadata.get("person").map(String::as_str), Some("ana"));
        assert_eq!(status.code(), grpc_code(entry.code), "{}", entry.name);
        assert_eq!(status.message(), text);
        let infos = status.get_error_details_vec();
        assert_eq!(infos.iter().filter(|d| matches!(d, tonic_types::ErrorDetail::ErrorInfo(_))).count(), 1);
    }
}

#[test]
fn a_retry_is_offered_where_it_helps_and_nowhere_else() {
    let delay = |refusal: Refusal| Status::from(refusal).get_error_details().retry_info().and_then(|r| r.retry_delay);
    assert!(delay(Refusal::new(Reason::Overloaded, "")).is_some());
    assert!(delay(Refusal::new(Reason::SelfApproval, "")).is_none());
    let mut named = Refusal::new(Reason::Overloaded, "");
    named.retry_after = Some(Span::SECOND);
    assert_eq!(delay(named), Some(Duration::from_secs(1)));
}

#[test]
fn a_malformed_message_names_each_field() {
    let mut invalid = InvalidMessage::one("actions", "empty");
    invalid.fields.extend(InvalidMessage::one("duration", "zero").fields);
    let status = Status::from(invalid);
    assert_eq!(status.code(), GrpcCode::InvalidArgument);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "INVALID_MESSAGE");
    let violations = &details.bad_request().unwrap().field_violations;
    let told: Vec<_> = violations.iter().map(|v| (v.field.as_str(), v.description.as_str())).collect();
    assert_eq!(told, [("actions", "empty"), ("duration", "zero")]);
}

#[test]
fn no_refusal_grows_past_what_a_client_takes_in_trailers() {
    let mut refusal = Refusal::new(Reason::PolicyInvalid, "\u{e4}".repeat(9_000));
    for number in 0..500 {
        refusal = refusal.with(&format!("mistake.{number}"), "x".repeat(900));
    }
    let status = Status::from(refusal);
    assert!(status.details().len() < 6_000 && status.message().len() < 3_000);
    let fields = (0..500).flat_map(|_| InvalidMessage::one("x".repeat(900), "y".repeat(900)).fields).collect();
    assert!(Status::from(InvalidMessage { fields }).details().len() < 8_000);
}
