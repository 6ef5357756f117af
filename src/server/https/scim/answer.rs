//! What goes back: resources, and errors as RFC 7644 3.12 has them and with no other key, for strict clients take none. The
//! broker's own reason is what the detail begins with.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt;

use crate::domain::value::ids::HoldId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::server::https::status::{http_of, http_status};
use crate::server::status::retry_after;

const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const LONGEST_DETAIL_CHARS: usize = 2_000;

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) struct ScimError {
    status: StatusCode,
    scim_type: Option<&'static str>,
    reason: Option<String>,
    detail: String,
    retry_after: Option<Duration>,
}

impl ScimError {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, scim_type: None, reason: None, detail: detail.into(), retry_after: None }
    }

    pub(super) fn of_type(scim_type: &'static str, detail: impl Into<String>) -> Self {
        Self { scim_type: Some(scim_type), ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    pub(super) fn invalid_value(detail: impl Into<String>) -> Self {
        Self::of_type("invalidValue", detail)
    }

    pub(super) fn invalid_syntax(detail: impl Into<String>) -> Self {
        Self::of_type("invalidSyntax", detail)
    }

    pub(super) fn nowhere() -> Self {
        Self::new(StatusCode::NOT_FOUND, "nothing is here; see `/scim/v2/ResourceTypes`")
    }

    /// The change was accepted, and waits for its release.
    pub(super) fn held(hold: HoldId) -> Self {
        let detail = format!(
            "the brake on mass changes holds it as `{hold}`; it takes effect when a person with `feed.release` lets it \
             through, and need not be sent again"
        );
        Self { reason: Some(Reason::Held.entry().name.to_owned()), ..Self::new(StatusCode::CONFLICT, detail) }
    }
}

impl From<&Refusal> for ScimError {
    fn from(refusal: &Refusal) -> Self {
        let entry = refusal.reason.entry();
        let scim_type = match refusal.reason {
            Reason::PersonKnown | Reason::IdentityTaken => Some("uniqueness"),
            Reason::PersonUnknown | Reason::ManagerCycle => Some("invalidValue"),
            _ => None,
        };
        let status = if scim_type == Some("invalidValue") { StatusCode::BAD_REQUEST } else { http_status(entry.code) };
        let reason = Some(entry.name.to_owned());
        Self { status, scim_type, reason, detail: refusal.to_string(), retry_after: retry_after(refusal) }
    }
}

impl IntoResponse for ScimError {
    fn into_response(self) -> Response {
        let mut detail: String = self.detail.chars().take(LONGEST_DETAIL_CHARS).collect();
        let mut body = json!({ "schemas": [ERROR], "status": self.status.as_u16().to_string() });
        if let Some(scim_type) = self.scim_type {
            put(&mut body, "scimType", scim_type.into());
        }
        if let Some(reason) = self.reason {
            detail = format!("{reason}: {detail}");
        }
        put(&mut body, "detail", detail.into());
        let mut response = response(self.status, &body);
        if let Some(delay) = self.retry_after {
            let seconds = delay.as_millis().div_ceil(1_000).max(1).to_string();
            if let Ok(value) = HeaderValue::from_str(&seconds) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        response
    }
}

/// Answers to calls that went well.
pub(super) struct Answer;

impl Answer {
    pub(super) fn ok(body: Value) -> Response {
        response(StatusCode::OK, &body)
    }

    pub(super) fn created(body: Value, location: &str) -> Response {
        let mut response = response(StatusCode::CREATED, &body);
        if let Ok(location) = HeaderValue::from_str(location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }

    pub(super) fn nothing() -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// What the connection itself refuses, before any route.
pub(crate) fn refusal(status: &Status) -> tonic::codegen::http::Response<tonic::body::Body> {
    let details = status.get_error_details();
    let error = ScimError {
        status: http_of(status.code()),
        scim_type: None,
        reason: details.error_info().map(|info| info.reason.clone()),
        detail: status.message().to_owned(),
        retry_after: details.retry_info().and_then(|info| info.retry_delay),
    };
    error.into_response().map(tonic::body::Body::new)
}

fn response(status: StatusCode, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/scim+json"), (header::CACHE_CONTROL, "no-store")];
    (status, kind, body.to_string()).into_response()
}

fn put(body: &mut Value, key: &str, value: Value) {
    if let Value::Object(object) = body {
        object.insert(key.to_owned(), value);
    }
}
