//! Values of the command line, parsed where it is read, so that a mistake is a usage error with the right form beside it.

use crate::domain::ids::{Digest, RequestId};
use crate::domain::scope::{Action, Pattern, Resource};
use crate::domain::time::{Span, Timestamp};

/// `90s`, `15m`, `4h`.
///
/// # Errors
/// If the text has another form.
pub fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).map_err(|_| "a whole number and a unit is wanted: `90s`, `15m`, `4h`".to_owned())
}

/// RFC 3339.
///
/// # Errors
/// If the text has another form.
pub fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).map_err(|_| "an instant is wanted: `2026-11-22T21:43:00Z`".to_owned())
}

/// An action.
///
/// # Errors
/// If the text has another form.
pub fn action(text: &str) -> Result<String, String> {
    text.parse::<Action>().map(|action| action.to_string()).map_err(|error| error.to_string())
}

/// A concrete resource.
///
/// # Errors
/// If the text has another form.
pub fn resource(text: &str) -> Result<String, String> {
    text.parse::<Resource>().map(|resource| resource.to_string()).map_err(|error| error.to_string())
}

/// A concrete resource, or a subtree of them.
///
/// # Errors
/// If the text has another form.
pub fn requested(text: &str) -> Result<String, String> {
    Pattern::parse_requested(text).map(|pattern| pattern.to_string()).map_err(|error| error.to_string())
}

/// SHA-256 in hexadecimal.
///
/// # Errors
/// If the text has another form.
pub fn digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|error: crate::domain::ids::InvalidId| error.to_string())
}

/// A caller's own id of a call.
///
/// # Errors
/// If the text is no UUID.
pub fn request_id(text: &str) -> Result<String, String> {
    text.parse::<RequestId>().map(|id| id.to_string()).map_err(|error| error.to_string())
}

/// A new id of a call.
#[must_use]
pub fn new_request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
