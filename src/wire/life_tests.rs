use prost_types::Timestamp as PbTimestamp;

use super::*;
use crate::domain::record::command::{AttestationCommand, CorrectAttestation};

const ID: &str = "0197c9a2-7f3b-4cc1-8000-0123456789ab";

fn paths<T: TryInto<Change, Error = InvalidMessage>>(message: T) -> Vec<String> {
    let Err(error) = message.try_into() else { return Vec::new() };
    error.fields.into_iter().map(|field| field.path).collect()
}

fn attestation() -> pb::RecordAttestationRequest {
    pb::RecordAttestationRequest {
        request_id: ID.to_owned(),
        person: "ana".to_owned(),
        requirement: "annual-training".to_owned(),
        met_time: Some(PbTimestamp { seconds: 1_700_000_000, nanos: 0 }),
        evidence: "course 7".to_owned(),
        validate_only: false,
    }
}

#[test]
fn an_attestation_says_who_what_and_when() {
    assert_eq!(paths(attestation()), [""; 0]);
    type Row = (fn(&mut pb::RecordAttestationRequest), &'static str);
    let rows: &[Row] = &[
        (|m| m.request_id.clear(), "request_id"),
        (|m| m.person = "Ana".to_owned(), "person"),
        (|m| m.requirement.clear(), "requirement"),
        (|m| m.met_time = None, "met_time"),
        (|m| m.met_time = Some(PbTimestamp { seconds: -1, nanos: 0 }), "met_time"),
        (|m| m.evidence = "x".repeat(513), "evidence"),
    ];
    for (change, path) in rows {
        let mut message = attestation();
        change(&mut message);
        assert_eq!(paths(message), [*path]);
    }
}

#[test]
fn a_correction_without_an_instant_takes_it_back() {
    let message = pb::CorrectAttestationRequest {
        person: "ana".to_owned(),
        requirement: "annual-training".to_owned(),
        validate_only: true,
        ..Default::default()
    };
    let Change::Dry(Command::Attestation(AttestationCommand::Correct(CorrectAttestation { met_at, .. }))) =
        Change::try_from(message.clone()).unwrap()
    else {
        panic!("a dry correction")
    };
    assert_eq!(met_at, None);
    assert_eq!(paths(pb::CorrectAttestationRequest { reason: "x".repeat(2_049), ..message }), ["reason"]);
}

#[test]
fn ends_and_rounds_name_what_they_are_about() {
    assert_eq!(paths(pb::RecordAttestationRequest::default()), ["person", "requirement", "met_time", "request_id"]);
    assert_eq!(paths(pb::EndMembershipRequest::default()), ["account", "role", "request_id"]);
    assert_eq!(paths(pb::CloseAccountRequest::default()), ["account", "request_id"]);
    assert_eq!(paths(pb::StartRecertificationRequest::default()), ["role", "due_time", "request_id"]);
    assert_eq!(paths(pb::ConfirmMembershipRequest::default()), ["recertification_id", "account", "request_id"]);
    let dry = pb::CloseAccountRequest { account: "bot".to_owned(), validate_only: true, ..Default::default() };
    assert_eq!(paths(dry), [""; 0]);
}

#[test]
fn what_lapses_is_named_by_its_kind_with_whole_days_ahead() {
    let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
    let person: PersonId = "ana".parse().unwrap();
    let coming = |what: Lapsing, ahead: Span| lapse_ahead(&person, &Coming { at: now.plus(ahead), what }, now);
    let day = 86_400;
    let told = coming(Lapsing::Requirement("annual-training".parse().unwrap()), Span::seconds(8 * day - 1));
    assert_eq!((told.kind.as_str(), told.name.as_str(), told.days), ("REQUIREMENT", "annual-training", 7));
    let membership = Lapsing::Membership("ana".parse().unwrap(), "db-engineer".parse().unwrap());
    let told = coming(membership, Span::seconds(day));
    assert_eq!((told.kind.as_str(), told.name.as_str(), told.account.as_str()), ("MEMBERSHIP", "db-engineer", "ana"));
    let told = coming(Lapsing::Employment, Span::seconds(5));
    assert_eq!((told.kind.as_str(), told.name.as_str(), told.days), ("EMPLOYMENT", "ana", 0));
}
