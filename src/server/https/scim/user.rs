//! A user as SCIM writes one: read strictly as far as rights rest on it, and shown.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::answer::ScimError;
use super::attribute::{Attribute, CORE, ENTERPRISE, OWN, is_label_elsewhere};
use super::changes::Standing;
use super::manager;
use super::reading::{field, is_unassigned, wanted};
use crate::domain::state::State;
use crate::domain::value::ids::{Identity, PersonId, excerpt};
use crate::domain::value::time::Now;

/// Where users are.
pub(super) const USERS: &str = "/scim/v2/Users";
/// What a document asserts; what it leaves out stays as it is.
#[derive(Debug, Default)]
pub(super) struct Asserted {
    pub(super) id: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) user_name: Option<String>,
    pub(super) active: Option<bool>,
    pub(super) manager: Option<Option<PersonId>>,
    pub(super) logins: Option<BTreeSet<Identity>>,
}

impl Asserted {
    /// Reads a document, or a part of one.
    pub(super) fn read(object: &Map<String, Value>) -> Result<Self, ScimError> {
        let mut asserted = Self::default();
        for (key, value) in object {
            asserted.set(Attribute::of_key(key)?, key, value)?;
        }
        Ok(asserted)
    }

    /// Sets one attribute; twice is a contradiction. Of what cannot be taken away, a value that assigns nothing says nothing.
    pub(super) fn set(&mut self, attribute: Attribute, name: &str, value: &Value) -> Result<(), ScimError> {
        let fresh = match attribute {
            Attribute::Label => true,
            Attribute::Foreign => return all_labels(name, value),
            Attribute::Schema(schema) => return self.set_all(schema, name, value),
            Attribute::Id
            | Attribute::ExternalId
            | Attribute::UserName
            | Attribute::Active
            | Attribute::Withheld(_)
                if is_unassigned(value) =>
            {
                true
            }
            Attribute::Withheld(why) => return Err(ScimError::invalid_value(format!("`{}` {why}", excerpt(name)))),
            Attribute::Id => self.id.replace(text(name, value)?).is_none(),
            Attribute::ExternalId => self.external_id.replace(text(name, value)?).is_none(),
            Attribute::UserName => self.user_name.replace(text(name, value)?).is_none(),
            Attribute::Active => self.active.replace(truth(name, value)?).is_none(),
            Attribute::Manager => match manager::read(name, value)? {
                None => true,
                Some(manager) => self.manager.replace(manager).is_none(),
            },
            Attribute::Logins => self.logins.replace(logins(name, value)?).is_none(),
        };
        if fresh { Ok(()) } else { Err(ScimError::invalid_syntax(format!("`{}` is said twice", excerpt(name)))) }
    }

    /// Sets what stands under a schema's name; null there is as if it had been left out.
    fn set_all(&mut self, schema: &str, name: &str, value: &Value) -> Result<(), ScimError> {
        if value.is_null() {
            return Ok(());
        }
        let inner = value.as_object().ok_or_else(|| wanted(name, "an object"))?;
        inner.iter().try_for_each(|(key, value)| self.set(Attribute::of_key(&format!("{schema}:{key}"))?, key, value))
    }

    /// The person that a new user is.
    pub(super) fn person(&self) -> Result<PersonId, ScimError> {
        let (name, text) = match (&self.external_id, &self.user_name) {
            (Some(label), Some(text)) if is_own_number(label) => {
                return text.parse().map_err(|error| {
                    let detail = format!("`externalId`: `{}` is no person's id; `userName`: {error}", excerpt(label));
                    ScimError::invalid_value(detail)
                });
            }
            (Some(text), _) => ("externalId", text),
            (None, Some(text)) => ("userName", text),
            (None, None) => {
                return Err(ScimError::invalid_value("`externalId`: missing; the immutable person id is wanted"));
            }
        };
        text.parse().map_err(|error| ScimError::invalid_value(format!("`{name}`: {error}")))
    }

    /// Whether the document is about nobody else: an id never changes.
    pub(super) fn is_about(&self, person: &PersonId) -> Result<(), ScimError> {
        let external = self.external_id.as_ref().filter(|id| !is_own_number(id));
        let other = [self.id.as_ref(), external].into_iter().flatten().find(|id| *id != person.as_str());
        let Some(other) = other else { return Ok(()) };
        let detail = format!("`{}` is said of `{person}`: the id of a person never changes", excerpt(other));
        Err(ScimError::of_type("mutability", detail))
    }

    /// Puts what is asserted in place of what is.
    pub(super) fn onto(&self, standing: &mut Standing) {
        if let Some(active) = self.active {
            standing.active = active;
        }
        if let Some(manager) = &self.manager {
            standing.manager.clone_from(manager);
        }
        if let Some(logins) = &self.logins {
            standing.say_all(logins.clone());
        }
    }
}

/// A person as SCIM shows one.
pub(super) fn shown(state: &State, id: &PersonId, now: Now) -> Option<Value> {
    let standing = Standing::of(state, id, now)?;
    let person = state.organisation().people().get(id)?;
    let mut own = json!({ "logins": standing.logins });
    if let (true, Some(until), Value::Object(own)) = (standing.active, person.employed_until, &mut own) {
        own.insert("leavesAt".to_owned(), until.to_string().into());
    }
    let manager = standing.manager.map(|manager| json!({ "value": manager, "$ref": location(&manager) }));
    let enterprise = manager.map_or_else(|| json!({}), |manager| json!({ "manager": manager }));
    Some(json!({
        "schemas": [CORE, ENTERPRISE, OWN],
        "id": id,
        "externalId": id,
        "userName": id,
        "active": standing.active,
        ENTERPRISE: enterprise,
        OWN: own,
        "meta": { "resourceType": "User", "location": location(id) },
    }))
}

/// Where a user is. Relative, because no header is believed about what this host is called.
pub(super) fn location(id: &PersonId) -> String {
    format!("{USERS}/{id}")
}

/// Whether an `externalId` is how the sender itself numbers the person, as Okta does with letters of both cases: it can be
/// no person's id, and is a label then.
fn is_own_number(text: &str) -> bool {
    !PersonId::accepts(text) && (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What stands under the name of a schema that is not kept.
fn all_labels(name: &str, value: &Value) -> Result<(), ScimError> {
    let keys = value.as_object().into_iter().flat_map(Map::keys);
    keys.into_iter().try_for_each(|key| is_label_elsewhere(&format!("{name}:{key}"), key))
}

/// The identities that a value names: one, or a list, each bare or as `{ "value": … }`.
pub(super) fn logins(name: &str, value: &Value) -> Result<BTreeSet<Identity>, ScimError> {
    let one = |value: &Value| -> Result<Identity, ScimError> {
        let inner = value.as_object().map_or(Some(value), |object| field(object, "value"));
        let text = inner.and_then(Value::as_str).ok_or_else(|| wanted(name, "a list of SPIFFE IDs"))?;
        text.parse().map_err(|error| ScimError::invalid_value(format!("`{}`: {error}", excerpt(name))))
    };
    match value {
        Value::Null => Ok(BTreeSet::new()),
        Value::Array(list) => list.iter().map(one).collect(),
        other => one(other).map(|identity| [identity].into()),
    }
}

fn text(name: &str, value: &Value) -> Result<String, ScimError> {
    value.as_str().map(str::to_owned).ok_or_else(|| wanted(name, "a text"))
}

/// A truth value, also as a text: Entra ID sends `"False"`.
fn truth(name: &str, value: &Value) -> Result<bool, ScimError> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(wanted(name, "`true` or `false`")),
    }
}
