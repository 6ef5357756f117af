//! PATCH (RFC 7644 3.5.2), as identity systems really send it: operations in any case, with a path or with an object of
//! values, truth as text. The operations are applied in order to what is wished; the difference is what happens.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::answer::ScimError;
use super::attribute::{Attribute, ENTERPRISE, OWN, no_such_part, unquoted};
use super::changes::Standing;
use super::filter::value_equals;
use super::manager;
use super::reading::{field, is_unassigned};
use super::user::{Asserted, logins};
use crate::domain::policy::nearest;
use crate::domain::value::ids::{Identity, PersonId, excerpt};

/// The schema of the message.
pub(super) const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The most operations of one message.
const MOST_OPERATIONS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    verb: Verb,
    path: Option<Path>,
    value: Option<Value>,
}

/// Where it applies: `logins[value eq "spiffe://…"]`, `manager.value`.
#[derive(Debug)]
struct Path {
    text: String,
    attribute: Attribute,
    /// Of several values the one that is meant.
    chosen: Option<Identity>,
}

impl Operation {
    /// Reads a whole message.
    pub(super) fn read_all(message: &Map<String, Value>) -> Result<Vec<Self>, ScimError> {
        let list = field(message, "Operations").and_then(Value::as_array).filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| ScimError::invalid_syntax("`Operations`: a list of at least one is wanted"))?;
        if list.len() > MOST_OPERATIONS {
            return Err(ScimError::invalid_syntax(format!("`Operations`: over {MOST_OPERATIONS}; send fewer")));
        }
        list.iter().map(Self::read).collect()
    }

    fn read(operation: &Value) -> Result<Self, ScimError> {
        let wanted = || ScimError::invalid_syntax("`op`: `add`, `replace` or `remove` is wanted");
        let operation = operation.as_object().ok_or_else(wanted)?;
        let verb = field(operation, "op").and_then(Value::as_str).ok_or_else(wanted)?;
        let verb = match verb.to_ascii_lowercase().as_str() {
            "add" => Verb::Add,
            "replace" => Verb::Replace,
            "remove" => Verb::Remove,
            _ => return Err(wanted()),
        };
        // One that is misspelt is missing, and without it the operation means more: all of them, for one.
        let known = ["op", "path", "value"];
        let is_slip = |key: &&String| {
            let lower = key.to_ascii_lowercase();
            !known.contains(&lower.as_str()) && nearest(&lower, known).is_some()
        };
        if let Some(key) = operation.keys().find(is_slip) {
            let detail = format!("`{}`: an operation has `op`, `path` and `value`", excerpt(key));
            return Err(ScimError::invalid_syntax(detail));
        }
        let path = match field(operation, "path") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Path::read(text)?),
            Some(_) => return Err(ScimError::of_type("invalidPath", "`path`: a text is wanted")),
        };
        Ok(Self { verb, path, value: field(operation, "value").cloned() })
    }

    /// Applies it to what is wished.
    pub(super) fn onto(&self, wished: &mut Standing, person: &PersonId) -> Result<(), ScimError> {
        match (self.verb, &self.path, &self.value) {
            (Verb::Remove, Some(path), value) => remove(wished, path, value.as_ref()),
            (Verb::Remove, None, _) => Err(ScimError::of_type("noTarget", "`path`: what to remove is wanted")),
            (_, Some(path), _) if path.chosen.is_some() => {
                Err(ScimError::of_type("invalidPath", "`path`: a filter chooses what to remove, and nothing else"))
            }
            (verb, Some(path), Some(value)) if is_unassigned(value) => match (verb, path.attribute) {
                (Verb::Add, Attribute::Logins) => Ok(()),
                _ => remove(wished, path, None),
            },
            (verb, Some(path), Some(value)) => {
                let mut asserted = Asserted::default();
                asserted.set(path.attribute, &path.text, value)?;
                put(wished, asserted, verb, person)
            }
            (verb, None, Some(Value::Object(object))) => put(wished, Asserted::read(object)?, verb, person),
            (_, None, Some(_)) => Err(ScimError::invalid_value("`value`: without a path an object is wanted")),
            (_, _, None) => Err(ScimError::invalid_value("`value`: missing")),
        }
    }
}

impl Path {
    fn read(text: &str) -> Result<Self, ScimError> {
        let invalid = |detail: &str| ScimError::of_type("invalidPath", format!("`{}`: {detail}", excerpt(text)));
        let bare = unquoted(text);
        let (attribute, part) = Attribute::at(&bare)?;
        let chosen = match attribute {
            Attribute::Logins if part.starts_with('[') => {
                let filter = part.strip_prefix('[').and_then(|part| part.strip_suffix(']'));
                let value = filter.and_then(value_equals);
                let value = value.ok_or_else(|| invalid("`[value eq \"…\"]` alone is understood"))?;
                Some(value.parse().map_err(|error| ScimError::invalid_value(format!("`path`: {error}")))?)
            }
            _ if part.is_empty() => None,
            _ => return Err(no_such_part(text)),
        };
        Ok(Self { text: text.to_owned(), attribute, chosen })
    }
}

fn put(wished: &mut Standing, mut asserted: Asserted, verb: Verb, person: &PersonId) -> Result<(), ScimError> {
    asserted.is_about(person)?;
    if verb == Verb::Add {
        wished.add(asserted.logins.take().unwrap_or_default());
    }
    asserted.onto(wished);
    Ok(())
}

fn remove(wished: &mut Standing, path: &Path, value: Option<&Value>) -> Result<(), ScimError> {
    match (path.attribute, &path.chosen, value) {
        (Attribute::Label | Attribute::Withheld(_) | Attribute::Foreign, ..) => {}
        (Attribute::Schema(ENTERPRISE), ..) => wished.manager = None,
        (Attribute::Schema(OWN), ..) | (Attribute::Logins, None, None | Some(Value::Null)) => {
            wished.say_all(BTreeSet::new());
        }
        (Attribute::Schema(_), ..) => {
            return Err(ScimError::of_type("mutability", "what every user has is not removed"));
        }
        // Another's name in `value` is not the one that was just set.
        (Attribute::Manager, _, Some(value)) if !is_unassigned(value) => {
            let named = manager::read(&path.text, value)?.flatten();
            if named.is_none() || named == wished.manager {
                wished.manager = None;
            }
        }
        (Attribute::Manager, ..) => wished.manager = None,
        (Attribute::Logins, Some(chosen), _) => {
            wished.take(chosen);
        }
        // Entra ID names in `value` what to remove.
        (Attribute::Logins, None, Some(value)) => {
            for gone in logins(&path.text, value)? {
                wished.take(&gone);
            }
        }
        (Attribute::Active, ..) => {
            return Err(ScimError::of_type("mutability", "`active` is not removed; replace it with `false`"));
        }
        (Attribute::Id | Attribute::ExternalId | Attribute::UserName, ..) => {
            return Err(ScimError::of_type("mutability", "the id of a person is not removed"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
