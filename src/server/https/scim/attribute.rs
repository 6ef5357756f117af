//! What the name of an attribute means here. Most attributes of a user say nothing about rights, and whatever a system calls
//! them, they are labels. A slip in a name that rights rest on is none: it is refused, for what was meant would not happen and
//! nothing would say so.

use std::borrow::Cow;

use super::answer::ScimError;
use crate::domain::policy::nearest;
use crate::domain::value::ids::excerpt;

/// The schema of users.
pub(super) const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// Where the manager is.
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// Where the identities are.
pub(super) const OWN: &str = "urn:countersign:params:scim:schemas:extension:1.0:User";
const SCHEMAS: [&str; 3] = [CORE, ENTERPRISE, OWN];

/// Labels of the standard: none of them is a slip in anything.
const LABELS: [&str; 22] = [
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
    "employeenumber",
    "costcenter",
    "organization",
    "division",
    "department",
];
/// What rights rest on, as it is compared and as it is written. Of `userName` and `id` a slip brings nothing about.
const WEIGHTY: [(&str, &str); 4] =
    [("active", "active"), ("manager", "manager"), ("logins", "logins"), ("externalid", "externalId")];
/// Other words for the same, in whole. `status` and the like are not among them: what they say is not always who works here.
const SYNONYMS: [(&str, &str); 12] = [
    ("enabled", "active"),
    ("isenabled", "active"),
    ("accountenabled", "active"),
    ("disabled", "active"),
    ("isdisabled", "active"),
    ("accountdisabled", "active"),
    ("inactive", "active"),
    ("suspended", "active"),
    ("supervisor", "manager"),
    ("reportsto", "manager"),
    ("role", "roles"),
    ("entitlement", "entitlements"),
];
const NO_SECRETS: &str = "is not taken: people authenticate with certificates; leave it out";
const NO_RIGHTS: &str = "is not given over SCIM: roles and rights are asked for, and approved";

/// What an attribute means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    Id,
    ExternalId,
    UserName,
    Active,
    Manager,
    Logins,
    /// Says nothing about rights: taken, and not kept.
    Label,
    /// Must not seem to have had an effect: refused with these words, if anything is assigned to it.
    Withheld(&'static str),
    /// All the attributes of a schema.
    Schema(&'static str),
    /// A schema that is none of those here, or something in it: labels.
    Foreign,
}

/// How a name begins.
enum Named<'a> {
    Schema(&'static str),
    Attribute { schema: &'static str, rest: &'a str },
    Foreign(&'a str),
}

impl Attribute {
    /// The attribute that a path begins with, and what of it is meant: `emails[type eq "work"].value`. A part that is a
    /// label, as the manager's `displayName`, is not taken for the whole. Names are read without regard to case (RFC 7643 2.1).
    pub(super) fn at(text: &str) -> Result<(Self, &str), ScimError> {
        let (schema, rest) = match named(text) {
            Named::Schema(schema) => return Ok((Self::Schema(schema), "")),
            Named::Foreign(urn) => return foreign(urn).map(|attribute| (attribute, "")),
            Named::Attribute { schema, rest } => (schema, rest),
        };
        let (name, part) = rest.split_at_checked(rest.find(['.', '[']).unwrap_or(rest.len())).unwrap_or((rest, ""));
        let is_manager_label = || [".displayname", ".$ref"].contains(&part.to_ascii_lowercase().as_str());
        match Self::in_schema(schema, name, text)? {
            found @ (Self::Label | Self::Withheld(_)) => Ok((found, "")),
            Self::Manager if part.eq_ignore_ascii_case(".value") => Ok((Self::Manager, "")),
            Self::Manager if is_manager_label() => Ok((Self::Label, "")),
            attribute => Ok((attribute, part)),
        }
    }

    /// The attribute that a key of a document names; some write a path as a key: `name.givenName`, `manager.value`.
    pub(super) fn of_key(key: &str) -> Result<Self, ScimError> {
        match Self::at(&unquoted(key))? {
            (attribute, "") => Ok(attribute),
            _ => Err(no_such_part(key)),
        }
    }

    /// `shown`: the whole name, for whoever wrote it. Entra ID writes `manager` without its schema, and the core has none.
    fn in_schema(schema: &str, name: &str, shown: &str) -> Result<Self, ScimError> {
        let lower = name.to_ascii_lowercase();
        match (schema, lower.as_str()) {
            (CORE, "id") => Ok(Self::Id),
            (CORE, "externalid") => Ok(Self::ExternalId),
            (CORE, "username") => Ok(Self::UserName),
            (CORE, "active") => Ok(Self::Active),
            (CORE | ENTERPRISE, "manager") => Ok(Self::Manager),
            (CORE, "password" | "x509certificates") => Ok(Self::Withheld(NO_SECRETS)),
            (CORE, "roles" | "entitlements") => Ok(Self::Withheld(NO_RIGHTS)),
            (OWN, "logins") => Ok(Self::Logins),
            // Shown only: what a client sends for it is ignored.
            (OWN, "leavesat" | "schemas") => Ok(Self::Label),
            (OWN, _) => Err(no_such(shown, "")),
            (_, label) if LABELS.contains(&label) => Ok(Self::Label),
            _ => match slip(name) {
                Some(meant) => Err(no_such(
                    shown,
                    &format!("; what is read here is called `{meant}`; say that, or leave this out"),
                )),
                None if is_name(name) => Ok(Self::Label),
                None => Err(no_such(shown, "")),
            },
        }
    }
}

/// What is left of a path whose beginning stands in quotes, as some write a schema's name for the dots in it.
pub(super) fn unquoted(text: &str) -> Cow<'_, str> {
    match text.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some((quoted, rest)) => Cow::Owned(format!("{quoted}{rest}")),
        None => Cow::Borrowed(text),
    }
}

/// That a key of another schema is none that rights rest on: they would be believed to have been said.
pub(super) fn is_label_elsewhere(shown: &str, key: &str) -> Result<(), ScimError> {
    let name = key.split(['.', '[']).next().unwrap_or_default();
    match slip(name) {
        Some(meant @ ("active" | "manager" | "logins")) => {
            let place = [CORE, ENTERPRISE, OWN].into_iter().zip(["active", "manager", "logins"]);
            let schema = place.into_iter().find(|(_, name)| *name == meant).map_or(CORE, |(schema, _)| schema);
            Err(no_such(shown, &format!("; `{meant}` is read in `{schema}` alone")))
        }
        _ => Ok(()),
    }
}

pub(super) fn no_such_part(text: &str) -> ScimError {
    ScimError::of_type("invalidPath", format!("`{}`: it has no such part", excerpt(text)))
}

fn no_such(text: &str, hint: &str) -> ScimError {
    ScimError::of_type("invalidPath", format!("`{}`: no such attribute of a user{hint}", excerpt(text)))
}

/// The schema that a name begins with, and the rest; the core's if it names none. After a schema some write a dot.
fn named(text: &str) -> Named<'_> {
    for schema in SCHEMAS {
        let split = text.get(..schema.len()).zip(text.get(schema.len()..));
        let Some((_, rest)) = split.filter(|(begin, _)| begin.eq_ignore_ascii_case(schema)) else { continue };
        if rest.is_empty() {
            return Named::Schema(schema);
        }
        if let Some(rest) = rest.strip_prefix([':', '.']) {
            return Named::Attribute { schema, rest };
        }
    }
    if text.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case("urn:")) {
        return Named::Foreign(text);
    }
    Named::Attribute { schema: CORE, rest: text }
}

fn foreign(urn: &str) -> Result<Attribute, ScimError> {
    let (schema, name) = urn.rsplit_once(':').unwrap_or((urn, ""));
    let known = SCHEMAS.map(str::to_ascii_lowercase);
    for text in [urn, schema].map(str::to_ascii_lowercase) {
        let is_longer = known.iter().any(|known| text.starts_with(known));
        if is_longer || nearest(&text, known.iter().map(String::as_str)).is_some() {
            return Err(no_such(urn, "; a schema of users is nearly called so: see `/scim/v2/Schemas`"));
        }
    }
    is_label_elsewhere(urn, name).map(|()| Attribute::Foreign)
}

/// What rights rest on, if a name is that, nearly that, or another word for it.
fn slip(name: &str) -> Option<&'static str> {
    let bare: String = name.chars().filter(char::is_ascii_alphanumeric).map(|it| it.to_ascii_lowercase()).collect();
    let near = nearest(&bare, WEIGHTY.iter().map(|(known, _)| *known));
    let weighty = WEIGHTY.iter().find(|(known, _)| Some(*known) == near);
    weighty.or_else(|| SYNONYMS.iter().find(|(word, _)| *word == bare)).map(|(_, written)| *written)
}

/// As RFC 7643 2.1 has names of attributes.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'$')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Attribute> {
        Attribute::of_key(text).ok()
    }

    #[test]
    fn what_nobody_knows_is_a_label_and_a_slip_in_what_rights_rest_on_is_refused() {
        for label in [
            "shoeSize",
            "badge-number",
            "notes",
            "surname",
            "members",
            "userStatus",
            "address2.city",
            "urn:example:custom:2.0:User",
            "urn:example:custom:2.0:User:badge",
            "urn:ietf:params:scim:schemas:extension:custom:2.0:User:badge.colour",
            "urn:scim:schemas:core:1.0",
        ] {
            assert!(matches!(found(label), Some(Attribute::Label | Attribute::Foreign)), "{label}");
        }
        assert!(matches!(found(&format!("{ENTERPRISE}:grade")), Some(Attribute::Label)));
        for slip in [
            "activ",
            "Active ",
            " active",
            "acitve",
            "aktiv",
            "isActive",
            "act\u{200b}ive",
            "\u{430}ctive",
            "enabled",
            "accountEnabled",
            "isDisabled",
            "supervisor",
            "reportsTo",
            "mangaer",
            "managers",
            "managerId",
            "external_id",
            "externalID2",
            "login",
            "logins",
            "role",
            "",
            "shoe size",
            "9lives",
            "urn:ietf:params:scim:schemas:extension:enterprise:1.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprize:2.0:User:department",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:Users:manager",
            "urn:countersign:params:scim:schemas:extension:2.0:User",
            "urn:scim:schemas:extension:enterprise:1.0:manager",
            "urn:example:custom:2.0:User:manager.value",
            "urn:example:custom:2.0:User:activ",
        ] {
            assert_eq!(found(slip), None, "{slip}");
        }
        for slip in ["mangaer", "activ", ""] {
            assert_eq!(found(&format!("{ENTERPRISE}:{slip}")), None, "{slip}");
        }
        assert_eq!(found(&format!("{OWN}:badge")), None, "what is not in our own schema is a mistake");
    }

    #[test]
    fn a_schema_is_a_path_in_each_way_in_which_it_is_written() {
        let urn = ENTERPRISE;
        for text in [urn.to_owned(), urn.to_uppercase(), format!("\"{urn}\"")] {
            assert_eq!(found(&text), Some(Attribute::Schema(ENTERPRISE)), "{text}");
        }
        for text in [
            format!("{urn}:manager"),
            format!("{urn}.manager"),
            format!("{}:MANAGER", urn.to_uppercase()),
            format!("\"{urn}\":manager"),
            format!("\"{urn}\".manager.value"),
            format!("\"{urn}:manager\""),
            format!("{urn}:manager.value"),
            "manager".to_owned(),
        ] {
            assert_eq!(found(&text), Some(Attribute::Manager), "{text}");
        }
        for text in [format!("{urn}:"), format!("{urn}::manager"), format!("{urn}/manager"), format!("\"{urn}:manager")]
        {
            assert_eq!(found(&text), None, "{text}");
        }
    }
}
