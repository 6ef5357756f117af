//! What an evaluation asks, out of JSON: strict in what has an effect, and ignoring all else. A member that may be left
//! out may be null as well, for many writers cannot leave one out; of what is asked, null is an error.

use serde_json::{Map, Value};

use crate::check::Query;
use crate::domain::value::ids::{AccountId, Identity, excerpt};
use crate::domain::value::scope::{Action, Resource};

/// The type of a subject that is named by its account's id.
const ACCOUNT: &str = "account";
/// The type of a subject that is named by one of its SPIFFE IDs.
const SPIFFE: &str = "spiffe";
/// The type of all resources: their ids are paths.
const RESOURCE: &str = "resource";

/// What no account, action or resource is called.
const NOBODYS: &str = "";

/// One question, well formed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    subject: String,
    action: String,
    resource: String,
    /// That nobody here knows such a type, with what is known.
    unknown: Option<String>,
}

/// After which answer the rest of several evaluations is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Semantic {
    All,
    UntilDeny,
    UntilPermit,
}

impl Question {
    /// Reads an evaluation; a part that it leaves out is taken whole from the defaults. Of a type that nobody knows there is
    /// nothing here, and nobody may do anything to it: a question like any other, with a deny for its answer. What its ids
    /// look like is then for others to say.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn read(evaluation: &Map<String, Value>, defaults: &Map<String, Value>) -> Result<Self, String> {
        let part = |name: &str| match evaluation.get(name).or_else(|| defaults.get(name)) {
            Some(Value::Object(part)) => Ok(Some(part)),
            Some(Value::Null) if name == "context" => Ok(None),
            Some(_) => Err(format!("`{name}` is no object")),
            None => Ok(None),
        };
        let needed = |name: &str| part(name)?.ok_or_else(|| format!("`{name}` is missing"));
        // It has no effect, but what is no object shows that something else was meant.
        part("context")?;
        let (subject, action, resource) = (needed("subject")?, needed("action")?, needed("resource")?);
        for (name, part) in [("subject", subject), ("action", action), ("resource", resource)] {
            if part.get("properties").is_some_and(|properties| !properties.is_object() && !properties.is_null()) {
                return Err(format!("`{name}.properties` is no object"));
            }
        }
        let (subject_type, subject) = (text(subject, "subject", "type")?, text(subject, "subject", "id")?);
        let (resource_type, path) = (text(resource, "resource", "type")?, text(resource, "resource", "id")?);
        let action = text(action, "action", "name")?;
        let is_resource = resource_type == RESOURCE;
        let unknown = if ![ACCOUNT, SPIFFE].contains(&subject_type) {
            Some(format!("`subject.type`: `{}`; `{ACCOUNT}` and `{SPIFFE}` are known", excerpt(subject_type)))
        } else if is_resource {
            None
        } else {
            let kind = excerpt(resource_type);
            Some(format!("`resource.type`: `{kind}`; `{RESOURCE}` is known, with its path as `id`"))
        };
        if unknown.is_some() {
            let resource = if is_resource && Resource::accepts(path) { path } else { NOBODYS };
            let (subject, action) = (NOBODYS.to_owned(), NOBODYS.to_owned());
            return Ok(Self { subject, action, resource: resource.to_owned(), unknown });
        }
        if subject_type == ACCOUNT {
            subject.parse::<AccountId>().map_err(|error| format!("`subject.id`: {error}"))?;
        } else {
            subject.parse::<Identity>().map_err(|error| format!("`subject.id`: {error}"))?;
        }
        path.parse::<Resource>().map_err(|error| format!("`resource.id`: {error}"))?;
        action.parse::<Action>().map_err(|error| format!("`action.name`: {error}"))?;
        let (subject, action, resource) = (subject.to_owned(), action.to_owned(), path.to_owned());
        Ok(Self { subject, action, resource, unknown })
    }

    /// What of its types nobody knows.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    pub(super) fn query(&self) -> Query<'_> {
        Query { subject: &self.subject, action: &self.action, resource: &self.resource }
    }
}

impl Semantic {
    /// Of the options of several evaluations.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn read(document: &Map<String, Value>) -> Result<Self, String> {
        let options = match document.get("options") {
            None | Some(Value::Null) => return Ok(Self::All),
            Some(Value::Object(options)) => options,
            Some(_) => return Err("`options` is no object".to_owned()),
        };
        match options.get("evaluations_semantic") {
            None | Some(Value::Null) => Ok(Self::All),
            Some(Value::String(semantic)) if semantic == "execute_all" => Ok(Self::All),
            Some(Value::String(semantic)) if semantic == "deny_on_first_deny" => Ok(Self::UntilDeny),
            Some(Value::String(semantic)) if semantic == "permit_on_first_permit" => Ok(Self::UntilPermit),
            Some(_) => Err("`options.evaluations_semantic`: `execute_all`, `deny_on_first_deny` or \
                            `permit_on_first_permit` is wanted"
                .to_owned()),
        }
    }

    pub(super) fn stops_after(self, is_allowed: bool) -> bool {
        match self {
            Self::All => false,
            Self::UntilDeny => !is_allowed,
            Self::UntilPermit => is_allowed,
        }
    }
}

fn text<'a>(part: &'a Map<String, Value>, name: &str, field: &str) -> Result<&'a str, String> {
    match part.get(field) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{name}.{field}` is no string")),
        None => Err(format!("`{name}.{field}` is missing")),
    }
}
