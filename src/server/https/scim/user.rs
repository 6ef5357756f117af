//! A user as SCIM writes one: read strictly as far as rights rest on it, and shown.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::answer::ScimError;
use super::changes::Standing;
use crate::domain::state::State;
use crate::domain::value::ids::{Identity, PersonId, excerpt};
use crate::domain::value::time::Now;

/// Where users are.
pub(super) const USERS: &str = "/scim/v2/Users";
/// The schema of users.
pub(super) const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// Where the manager is.
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// Where the identities are.
pub(super) const OWN: &str = "urn:countersign:params:scim:schemas:extension:1.0:User";

/// Attributes that say nothing about rights: taken, and not kept.
const LABELS: [&str; 17] = [
    "schemas",
    "meta",
    "name",
    "displayname",
    "nickname",
    "profileurl",
    "title",
    "usertype",
    "preferredlanguage",
    "locale",
    "timezone",
    "emails",
    "phonenumbers",
    "ims",
    "photos",
    "addresses",
    "groups",
];
const ENTERPRISE_LABELS: [&str; 5] = ["employeenumber", "costcenter", "organization", "division", "department"];
/// Attributes that must not seem to have had an effect.
const WITHHELD: [&str; 2] = ["roles", "entitlements"];
const SECRETS: [&str; 2] = ["password", "x509certificates"];

/// What an attribute means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    Id,
    ExternalId,
    UserName,
    Active,
    Manager,
    Logins,
    Label,
}

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

impl Attribute {
    /// The attribute of a name, which may begin with its schema. Names are read without regard to case (RFC 7643 2.1).
    pub(super) fn named(name: &str) -> Result<Self, ScimError> {
        let (schema, bare) = in_schema(name);
        let lower = bare.to_ascii_lowercase();
        let lower = lower.as_str();
        let found = match (schema, lower) {
            (CORE, "id") => Some(Self::Id),
            (CORE, "externalid") => Some(Self::ExternalId),
            (CORE, "username") => Some(Self::UserName),
            (CORE, "active") => Some(Self::Active),
            (ENTERPRISE, "manager") => Some(Self::Manager),
            (OWN, "logins") => Some(Self::Logins),
            // Shown only: what a client sends for it is ignored.
            (OWN, "leavesat") => Some(Self::Label),
            (CORE, label) if LABELS.contains(&label) => Some(Self::Label),
            (ENTERPRISE, label) if ENTERPRISE_LABELS.contains(&label) => Some(Self::Label),
            _ => None,
        };
        let shown = excerpt(name);
        if schema == CORE && SECRETS.contains(&lower) {
            let detail = format!("`{shown}` is not taken: people authenticate with certificates; leave it out");
            return Err(ScimError::invalid_value(detail));
        }
        if schema == CORE && WITHHELD.contains(&lower) {
            let detail = format!("`{shown}` is not given over SCIM: roles and rights are asked for, and approved");
            return Err(ScimError::invalid_value(detail));
        }
        found.ok_or_else(|| ScimError::of_type("invalidPath", format!("`{shown}`: no such attribute of a user")))
    }

    /// The attribute that a path begins with, and what of it is meant: `emails[type eq "work"].value`. A part that is a
    /// label, as the manager's `displayName`, is not taken for the whole.
    pub(super) fn at(text: &str) -> Result<(Self, &str), ScimError> {
        let (_, rest) = in_schema(text);
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        // A schema's own dots are none of these.
        let end = text.len().saturating_sub(rest.len()).saturating_add(end);
        let (name, part) = text.split_at_checked(end).unwrap_or((text, ""));
        let is_manager_label = || [".displayname", ".$ref"].contains(&part.to_ascii_lowercase().as_str());
        match Self::named(name)? {
            Self::Label => Ok((Self::Label, "")),
            Self::Manager if part.eq_ignore_ascii_case(".value") => Ok((Self::Manager, "")),
            Self::Manager if is_manager_label() => Ok((Self::Label, "")),
            attribute => Ok((attribute, part)),
        }
    }

    /// The attribute that a key of a document names; some write a path as a key: `name.givenName`, `manager.value`.
    fn of_key(key: &str) -> Result<Self, ScimError> {
        match Self::at(key)? {
            (attribute, "") => Ok(attribute),
            _ => Err(ScimError::of_type("invalidPath", format!("`{}`: it has no such part", excerpt(key)))),
        }
    }
}

impl Asserted {
    /// Reads a document, or a part of one.
    pub(super) fn read(object: &Map<String, Value>) -> Result<Self, ScimError> {
        let mut asserted = Self::default();
        for (key, value) in object {
            match [CORE, ENTERPRISE, OWN].into_iter().find(|schema| schema.eq_ignore_ascii_case(key)) {
                Some(schema) => {
                    let inner = value.as_object().ok_or_else(|| wanted(key, "an object"))?;
                    for (key, value) in inner {
                        asserted.set(Attribute::of_key(&format!("{schema}:{key}"))?, key, value)?;
                    }
                }
                None => asserted.set(Attribute::of_key(key)?, key, value)?,
            }
        }
        Ok(asserted)
    }

    /// Sets one attribute; twice is a contradiction.
    pub(super) fn set(&mut self, attribute: Attribute, name: &str, value: &Value) -> Result<(), ScimError> {
        let fresh = match attribute {
            Attribute::Label => true,
            Attribute::Id => self.id.replace(text(name, value)?).is_none(),
            Attribute::ExternalId => self.external_id.replace(text(name, value)?).is_none(),
            Attribute::UserName => self.user_name.replace(text(name, value)?).is_none(),
            Attribute::Active => self.active.replace(truth(name, value)?).is_none(),
            Attribute::Manager => self.manager.replace(manager(name, value)?).is_none(),
            Attribute::Logins => self.logins.replace(logins(name, value)?).is_none(),
        };
        if fresh { Ok(()) } else { Err(ScimError::invalid_syntax(format!("`{}` is said twice", excerpt(name)))) }
    }

    /// The person that a new user is.
    pub(super) fn person(&self) -> Result<PersonId, ScimError> {
        let (name, text) = match (&self.external_id, &self.user_name) {
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
        let other = [&self.id, &self.external_id].into_iter().flatten().find(|id| *id != person.as_str());
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
            standing.logins.clone_from(logins);
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

/// A field by its name without regard to case.
pub(super) fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The schema that a name begins with, and the rest; the core's if it names none.
pub(super) fn in_schema(name: &str) -> (&'static str, &str) {
    for schema in [CORE, ENTERPRISE, OWN] {
        let split = name.get(..schema.len()).zip(name.get(schema.len()..));
        if let Some((begin, rest)) = split
            && begin.eq_ignore_ascii_case(schema)
            && let Some(rest) = rest.strip_prefix(':')
        {
            return (schema, rest);
        }
    }
    (CORE, name)
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

/// A manager: `{ "value": "ines" }`, `"ines"`, a list of one; nobody as null or an empty text.
fn manager(name: &str, value: &Value) -> Result<Option<PersonId>, ScimError> {
    let inner = match value {
        Value::Array(list) => match list.as_slice() {
            [] => &Value::Null,
            [one] => one,
            _ => return Err(wanted(name, "one manager")),
        },
        other => other,
    };
    let inner = inner.as_object().map_or(Some(inner), |object| field(object, "value"));
    match inner {
        Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => {
            let parsed = text.parse().map(Some);
            parsed.map_err(|error| ScimError::invalid_value(format!("`{}`: {error}", excerpt(name))))
        }
        _ => Err(wanted(name, "a manager's person id, as in `{ \"value\": \"ines\" }`")),
    }
}

fn wanted(name: &str, what: &str) -> ScimError {
    ScimError::invalid_value(format!("`{}`: {what} is wanted", excerpt(name)))
}
