//! What documents and parameters are read with.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::answer::ScimError;
use crate::domain::value::ids::excerpt;

/// A field by its name without regard to case.
pub(super) fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Whether a value assigns nothing (RFC 7643 2.5).
pub(super) fn is_unassigned(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

pub(super) fn wanted(name: &str, what: &str) -> ScimError {
    ScimError::invalid_value(format!("`{}`: {what} is wanted", excerpt(name)))
}

/// The value of a parameter.
pub(super) fn decoded(key: &str, value: &str) -> Result<String, ScimError> {
    let value = value.replace('+', " ");
    let value = percent_decode_str(&value).decode_utf8().map(std::borrow::Cow::into_owned);
    value.map_err(|_| ScimError::invalid_value(format!("`{key}` is not UTF-8")))
}
