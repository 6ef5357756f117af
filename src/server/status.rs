//! From a refusal, or a malformed message, to a gRPC status: one `ErrorInfo` each, with the reason of the catalogue
//! (design.md 11). What goes into trailers is bounded, because many clients take no more than 8 KiB of headers.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code as GrpcCode, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::domain::value::refusal::{Code, Reason, Refusal};
use crate::wire::message::InvalidMessage;

/// The domain of every `ErrorInfo`.
pub const DOMAIN: &str = "countersign";

const LONGEST_TEXT_CHARS: usize = 1_000;
const LONGEST_VALUE_CHARS: usize = 256;
const MOST_ENTRIES: usize = 12;

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let entry = refusal.reason.entry();
        let facts = refusal.facts.iter().take(MOST_ENTRIES);
        let metadata: HashMap<String, String> =
            facts.map(|(key, value)| (key.clone(), cut(value, LONGEST_VALUE_CHARS))).collect();
        let mut details = ErrorDetails::with_error_info(entry.name, DOMAIN, metadata);
        if let Some(delay) = retry_after(&refusal) {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(grpc_code(entry.code), cut(&refusal.to_string(), LONGEST_TEXT_CHARS), details)
    }
}

impl From<InvalidMessage> for Status {
    fn from(invalid: InvalidMessage) -> Self {
        let entry = Reason::InvalidMessage.entry();
        let mut details = ErrorDetails::with_error_info(entry.name, DOMAIN, HashMap::new());
        let told = invalid.fields.iter().take(MOST_ENTRIES);
        let violations: Vec<FieldViolation> = told
            .map(|field| FieldViolation::new(cut(&field.path, 80), cut(&field.wanted, LONGEST_VALUE_CHARS)))
            .collect();
        details.set_bad_request(violations);
        Self::with_error_details(grpc_code(entry.code), cut(&invalid.to_string(), LONGEST_TEXT_CHARS), details)
    }
}

/// The transport's name of a code.
#[must_use]
pub fn grpc_code(code: Code) -> GrpcCode {
    match code {
        Code::InvalidArgument => GrpcCode::InvalidArgument,
        Code::Unauthenticated => GrpcCode::Unauthenticated,
        Code::PermissionDenied => GrpcCode::PermissionDenied,
        Code::NotFound => GrpcCode::NotFound,
        Code::FailedPrecondition => GrpcCode::FailedPrecondition,
        Code::AlreadyExists => GrpcCode::AlreadyExists,
        Code::ResourceExhausted => GrpcCode::ResourceExhausted,
        Code::Unavailable => GrpcCode::Unavailable,
        Code::OutOfRange => GrpcCode::OutOfRange,
    }
}

/// When to try again, where that helps without anybody doing anything else.
pub(super) fn retry_after(refusal: &Refusal) -> Option<Duration> {
    let usual = match refusal.reason {
        Reason::Overloaded | Reason::BehindSequence => Some(Duration::from_millis(200)),
        Reason::StorageUnavailable | Reason::Halted | Reason::OutcomeUnknown => Some(Duration::from_secs(2)),
        Reason::ClockSuspect => Some(Duration::from_secs(5)),
        _ => None,
    };
    let named = refusal.retry_after.and_then(|span| u64::try_from(span.millis()).ok()).map(Duration::from_millis);
    named.or(usual)
}

fn cut(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
