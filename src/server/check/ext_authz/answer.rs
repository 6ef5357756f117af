//! The answer to Envoy: 403 with a reason, or headers for the backend that no client can have written.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::{HttpStatus, StatusCode};
use envoy_types::pb::google::rpc::Status;
use tonic::Code;

use crate::domain::value::ids::{GrantId, Identity};
use crate::domain::value::time::Timestamp;

/// The header in which a client presents a grant token. It ends at Envoy: no backend sees it.
pub(super) const TOKEN: &str = "x-countersign-token";
const SUBJECT: &str = "x-countersign-subject";
const GRANT: &str = "x-countersign-grant";
const VALID_UNTIL: &str = "x-countersign-valid-until";
const SEQUENCE: &str = "x-countersign-sequence";
const REASON: &str = "x-countersign-reason";

/// A request that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) subject: Identity,
    pub(super) grant: Option<GrantId>,
    pub(super) valid_until: Timestamp,
    pub(super) sequence: String,
}

/// One that may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    reason: &'static str,
}

impl Refused {
    pub(super) fn because(reason: &'static str) -> Self {
        Self { reason }
    }
}

impl From<Passed> for CheckResponse {
    /// Each header is set or removed: what a client sent under these names never arrives.
    fn from(passed: Passed) -> Self {
        let until = (passed.valid_until < Timestamp::MAX).then(|| passed.valid_until.to_string());
        let told = [
            (SUBJECT, Some(passed.subject.to_string())),
            (GRANT, passed.grant.map(|grant| grant.to_string())),
            (VALID_UNTIL, until),
            (SEQUENCE, Some(passed.sequence.clone())),
            (REASON, None),
            (TOKEN, None),
        ];
        let (set, absent): (Vec<_>, Vec<_>) = told.into_iter().partition(|(_, value)| value.is_some());
        let ok = OkHttpResponse {
            headers: set.into_iter().map(|(name, value)| header(name, &value.unwrap_or_default())).collect(),
            headers_to_remove: absent.into_iter().map(|(name, _)| name.to_owned()).collect(),
            ..OkHttpResponse::default()
        };
        Self { status: Some(status(Code::Ok)), http_response: Some(HttpResponse::OkResponse(ok)), ..Self::default() }
    }
}

impl From<Refused> for CheckResponse {
    fn from(refused: Refused) -> Self {
        let denied = DeniedHttpResponse {
            status: Some(HttpStatus { code: StatusCode::Forbidden.into() }),
            headers: vec![header(REASON, refused.reason)],
            body: format!("access is denied: {}\n", refused.reason),
        };
        let http_response = Some(HttpResponse::DeniedResponse(denied));
        Self { status: Some(status(Code::PermissionDenied)), http_response, ..Self::default() }
    }
}

fn header(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value: value.to_owned(), ..HeaderValue::default() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

fn status(code: Code) -> Status {
    Status { code: code.into(), ..Status::default() }
}
