//! The manager of a user, in each form in which identity systems send one.

use serde_json::{Map, Value};

use super::answer::ScimError;
use super::reading::{field, is_unassigned, wanted};
use crate::domain::policy::nearest;
use crate::domain::value::ids::{PersonId, excerpt};

const FORM: &str = "a manager's person id, as in `{ \"value\": \"ines\" }`";

/// What a value says of the manager: `{ "value": "ines" }`, `"ines"`, a list of one; nobody as null, an empty list or an
/// empty text. `None`: nothing, as where there is a name to show and no id.
pub(super) fn read(name: &str, value: &Value) -> Result<Option<Option<PersonId>>, ScimError> {
    if is_unassigned(value) {
        return Ok(Some(None));
    }
    match value {
        Value::Array(list) => match list.as_slice() {
            [Value::Array(_)] => Err(wanted(name, FORM)),
            [one] => read(name, one),
            _ => Err(wanted(name, "one manager")),
        },
        Value::String(text) if text.is_empty() => Ok(Some(None)),
        Value::String(text) => id(name, text).map(|id| Some(Some(id))),
        Value::Object(object) => of_object(name, object),
        _ => Err(wanted(name, FORM)),
    }
}

fn of_object(name: &str, object: &Map<String, Value>) -> Result<Option<Option<PersonId>>, ScimError> {
    if let Some(key) = object.keys().find(|key| !key.eq_ignore_ascii_case("value") && is_slip(key)) {
        let detail = format!("`{}.{}`: it has no such part; `value` is a manager's id", excerpt(name), excerpt(key));
        return Err(ScimError::invalid_value(detail));
    }
    let value = field(object, "value");
    match value {
        Some(Value::String(text)) if !text.is_empty() => return id(name, text).map(|id| Some(Some(id))),
        None | Some(Value::Null | Value::String(_)) => {}
        Some(_) => return Err(wanted(name, FORM)),
    }
    // Without an id it is somebody all the same, if they are called something.
    if let Some(reference) = field(object, "$ref").and_then(Value::as_str).filter(|text| !text.is_empty()) {
        return referred(name, reference).map(|id| Some(Some(id)));
    }
    let is_empty = |value: &Value| is_unassigned(value) || value.as_str() == Some("");
    let is_named = object.iter().any(|(key, value)| !key.eq_ignore_ascii_case("value") && !is_empty(value));
    Ok(if is_named || value.is_none() { None } else { Some(None) })
}

/// The user whom a reference leads to: `…/Users/ines`.
fn referred(name: &str, reference: &str) -> Result<PersonId, ScimError> {
    let mut segments = reference.rsplit('/');
    match (segments.next(), segments.next()) {
        (Some(last), Some("Users")) => id(name, last),
        _ => Err(wanted(name, FORM)),
    }
}

fn is_slip(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    ["id", "managerid"].contains(&lower.as_str()) || nearest(&lower, ["value"]).is_some()
}

fn id(name: &str, text: &str) -> Result<PersonId, ScimError> {
    text.parse().map_err(|error| ScimError::invalid_value(format!("`{}`: {error}", excerpt(name))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manager_is_somebody_or_nobody_or_nothing_is_said() {
        let said = |value: Value| read("manager", &value).map_err(|_| ());
        let ines = Ok(Some(Some("ines".parse().unwrap())));
        for value in [
            json!("ines"),
            json!({ "value": "ines" }),
            json!({ "Value": "ines", "displayName": "Omar", "$ref": "../Users/omar", "type": "User" }),
            json!([{ "value": "ines" }]),
            json!({ "$ref": "https://id.example/scim/v2/Users/ines" }),
            json!({ "value": null, "$ref": "../Users/ines" }),
        ] {
            assert_eq!(said(value.clone()), ines, "{value}");
        }
        for value in [json!(null), json!([]), json!(""), json!({ "value": null }), json!({ "value": "" })] {
            assert_eq!(said(value.clone()), Ok(Some(None)), "{value}");
        }
        for value in [
            json!({ "displayName": "Ines I." }),
            json!([{ "displayName": "Ines I." }]),
            json!({ "value": null, "displayName": "Ines I." }),
            json!({ "value": "", "displayName": "Ines I." }),
            json!({ "displayName": null }),
            json!({}),
        ] {
            assert_eq!(said(value.clone()), Ok(None), "{value}");
        }
        for value in [
            json!("Ines I."),
            json!(7),
            json!(false),
            json!(["ines", "omar"]),
            json!([["ines"]]),
            json!({ "value": 7 }),
            json!({ "value": ["ines"] }),
            json!({ "vlaue": "ines" }),
            json!({ "id": "ines", "displayName": "Ines I." }),
            json!({ "managerId": "ines" }),
            json!({ "$ref": "https://id.example/people/ines" }),
            json!({ "$ref": "../Users/Ines" }),
        ] {
            assert_eq!(said(value.clone()), Err(()), "{value}");
        }
    }
}
