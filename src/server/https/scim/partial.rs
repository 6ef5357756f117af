//! The part of a user that a client asks to see (RFC 7644 3.9): `attributes`, or all but `excludedAttributes`. Names that no
//! user has select nothing; `id` and `schemas` are always there.

use serde_json::{Map, Value};

use super::answer::ScimError;
use super::attribute::{CORE, ENTERPRISE, OWN, unquoted};
use super::reading::decoded;

/// Shown whatever is asked.
const ALWAYS: [&str; 2] = ["id", "schemas"];

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Partial {
    Whole,
    Only(Vec<Place>),
    Without(Vec<Place>),
}

/// Keys from the outside in, as a user is shown.
type Place = Vec<String>;

impl Partial {
    /// Reads the part of a URI after `?`.
    pub(super) fn read(text: &str) -> Result<Self, ScimError> {
        let (mut only, mut without) = (None, None);
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match key.to_ascii_lowercase().as_str() {
                "attributes" => &mut only,
                "excludedattributes" => &mut without,
                _ => continue,
            };
            let value = decoded(key, value)?;
            let places: Vec<Place> =
                value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(place_of).collect();
            if place.replace(places).is_some() {
                return Err(ScimError::invalid_value(format!("`{key}` is said twice")));
            }
        }
        match (only, without) {
            (Some(_), Some(_)) => {
                Err(ScimError::invalid_value("`attributes` and `excludedAttributes`: one of them is wanted"))
            }
            // A list of nothing asks for nothing less than usual.
            (Some(only), None) if !only.is_empty() => Ok(Self::Only(only)),
            (None, Some(without)) => Ok(Self::Without(without)),
            (_, None) => Ok(Self::Whole),
        }
    }

    /// That part of a user.
    pub(super) fn of(&self, user: Value) -> Value {
        let Value::Object(mut user) = user else { return user };
        match self {
            Self::Whole => {}
            Self::Only(places) => {
                let mut shown = Map::new();
                for place in ALWAYS.into_iter().map(|name| vec![name.to_owned()]).chain(places.iter().cloned()) {
                    copy(&user, &mut shown, &place);
                }
                user = shown;
            }
            Self::Without(places) => {
                let removed = |place: &&Place| !ALWAYS.iter().any(|name| place.first().is_some_and(|it| it == name));
                places.iter().filter(removed).for_each(|place| take(&mut user, place));
            }
        }
        user.into()
    }
}

/// Where an attribute is shown: `manager`, `urn:…:User:manager.value`, a schema. Names are compared in lower case.
fn place_of(name: &str) -> Place {
    let name = unquoted(name).to_ascii_lowercase();
    let in_schema = [CORE, ENTERPRISE, OWN].into_iter().find_map(|schema| {
        let rest = name.strip_prefix(&schema.to_ascii_lowercase())?;
        Some((schema, if rest.is_empty() { rest } else { rest.strip_prefix([':', '.'])? }))
    });
    let is_manager = || name.split('.').next() == Some("manager");
    let (schema, rest) = in_schema.unwrap_or_else(|| (if is_manager() { ENTERPRISE } else { CORE }, &name));
    let outer = (schema != CORE).then(|| schema.to_ascii_lowercase());
    outer.into_iter().chain(rest.split('.').filter(|segment| !segment.is_empty()).map(str::to_owned)).collect()
}

fn key_of(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
}

/// Copies what is at a place, if there is something.
fn copy(from: &Map<String, Value>, to: &mut Map<String, Value>, place: &[String]) {
    let Some((name, inner)) = place.split_first() else { return };
    let Some(key) = key_of(from, name) else { return };
    match (from.get(&key), inner) {
        (Some(value), []) => drop(to.insert(key, value.clone())),
        (Some(Value::Object(object)), inner) => {
            let slot = to.entry(key).or_insert_with(|| Map::new().into());
            if let Value::Object(slot) = slot {
                copy(object, slot, inner);
            }
        }
        _ => {}
    }
}

fn take(from: &mut Map<String, Value>, place: &[String]) {
    let Some((name, inner)) = place.split_first() else { return };
    let Some(key) = key_of(from, name) else { return };
    match (from.get_mut(&key), inner) {
        (Some(_), []) => drop(from.remove(&key)),
        (Some(Value::Object(object)), inner) => take(object, inner),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(query: &str) -> Value {
        let user = json!({
            "schemas": [CORE], "id": "ana", "userName": "ana", "active": true,
            ENTERPRISE: { "manager": { "value": "ines", "$ref": "/scim/v2/Users/ines" } }, OWN: { "logins": [] },
        });
        Partial::read(query).unwrap().of(user)
    }

    #[test]
    fn a_part_is_what_is_asked_for_and_always_says_whose() {
        let only = |query: &str| {
            let mut shown = shown(query);
            assert_eq!((&shown["id"], &shown["schemas"]), (&json!("ana"), &json!([CORE])), "{query}");
            ALWAYS.iter().for_each(|key| drop(shown.as_object_mut().unwrap().remove(*key)));
            shown
        };
        assert_eq!(only("attributes=id"), json!({}));
        assert_eq!(only("Attributes=USERNAME,%20active"), json!({ "userName": "ana", "active": true }));
        assert_eq!(only("attributes=title,nothing"), json!({}));
        let manager = json!({ ENTERPRISE: { "manager": { "value": "ines" } } });
        for name in ["manager.value".to_owned(), format!("{ENTERPRISE}:manager.value")] {
            assert_eq!(only(&format!("attributes={name}")), manager, "{name}");
        }
        assert_eq!(only(&format!("attributes={OWN}")), json!({ OWN: { "logins": [] } }));
        let rest = only(&format!("excludedAttributes=id,active,schemas,{OWN}:logins,manager"));
        assert_eq!(rest, json!({ "userName": "ana", ENTERPRISE: {}, OWN: {} }));
        for whole in ["", "attributes=", "excludedAttributes=members", "count=3"] {
            assert_eq!(shown(whole), shown("excludedAttributes="), "{whole}");
        }
        for query in ["attributes=id&excludedAttributes=active", "attributes=id&ATTRIBUTES=id", "attributes=%ff"] {
            assert!(Partial::read(query).is_err(), "{query}");
        }
    }
}
