//! Where requests and decisions came from, as auditors are told it.

use super::v1 as pb;
use super::values::pb_timestamp;
use crate::domain::record::called_from::{Call, CalledFrom};
use crate::domain::record::elevation::Elevation;
use crate::domain::record::enrolment::Enrolment;
use crate::domain::record::proposal::Proposal;
use crate::domain::record::review::Review;
use crate::domain::value::ids::Principal;
use crate::domain::value::time::Timestamp;

/// The calls of an elevation: the request, the decisions, and the follow-up.
#[must_use]
pub fn of_elevation(it: &Elevation) -> Vec<pb::Call> {
    let follow_up = it.emergency.as_ref().and_then(|emergency| emergency.follow_up.as_ref()?.completed.as_ref());
    let completed = follow_up.and_then(|it| told(&Principal::Account(it.account.clone()), it.at, &it.call));
    let requested = told(&Principal::Account(it.requester.clone()), it.requested_at, &it.call);
    requested.into_iter().chain(of_review(&it.review)).chain(completed).collect()
}

/// The calls of an enrolment.
#[must_use]
pub fn of_enrolment(it: &Enrolment) -> Vec<pb::Call> {
    told(&it.requester, it.requested_at, &it.call).into_iter().chain(of_review(&it.review)).collect()
}

/// The calls of a proposal.
#[must_use]
pub fn of_proposal(it: &Proposal) -> Vec<pb::Call> {
    let requested = told(&Principal::Account(it.requester.clone()), it.requested_at, &it.call);
    requested.into_iter().chain(of_review(&it.review)).collect()
}

/// An event without where a call came from: for whoever does not audit.
#[must_use]
pub fn withheld(told: pb::Event) -> pb::Event {
    pb::Event { facts_json: without_calls(&told.facts_json), call: None, ..told }
}

fn without_calls(facts: &str) -> String {
    if !facts.contains("\"call\"") {
        return facts.to_owned();
    }
    let Ok(mut value) = serde_json::from_str(facts) else { return String::new() };
    strip(&mut value);
    value.to_string()
}

fn strip(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|key, value| key != "call" || !value.is_object());
            fields.values_mut().for_each(strip);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

fn of_review(review: &Review) -> impl Iterator<Item = pb::Call> {
    review.decisions.iter().filter_map(|it| told(&Principal::Account(it.account.clone()), it.at, &it.call))
}

fn told(caller: &Principal, at: Timestamp, call: &Call) -> Option<pb::Call> {
    call.from.as_ref().map(|it| from(caller, at, it))
}

/// A call of somebody, and where it came from.
#[must_use]
pub fn from(caller: &Principal, at: Timestamp, from: &CalledFrom) -> pb::Call {
    pb::Call {
        caller: caller.to_string(),
        time: Some(pb_timestamp(at)),
        identity: from.identity.to_string(),
        certificate_digest: from.certificate.bytes().to_vec(),
        serial: from.serial.clone(),
        address: from.address.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_calls;

    #[test]
    fn where_a_call_came_from_is_taken_out_and_nothing_else() {
        let facts = r#"{"elevation":"e","decision":{"person":"ben","call":{"from":{"address":"[::1]:9"},"after":7},"comment":"call me"}}"#;
        let left: serde_json::Value = serde_json::from_str(&without_calls(facts)).unwrap();
        let wanted = r#"{"elevation":"e","decision":{"person":"ben","comment":"call me"}}"#;
        assert_eq!(left, serde_json::from_str::<serde_json::Value>(wanted).unwrap());
        // what has none stays byte for byte
        let other = r#"{"b":1,"a":"the call"}"#;
        assert_eq!(without_calls(other), other);
        assert_eq!(without_calls(r#"{"reviews":[{"call":{"after":1}}]}"#), r#"{"reviews":[{}]}"#);
    }
}
