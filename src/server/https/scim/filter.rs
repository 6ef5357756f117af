//! The filters that are understood (RFC 7644 3.4.2.2): comparisons by `eq`, joined by `and`, one of them with an id. Ids are
//! compared whole and with regard to case (known failure D1), so a filter finds one person or nobody. What is not understood
//! is refused, never passed over: that would be somebody else.

use serde_json::Value;

use super::answer::ScimError;
use super::attribute::{Attribute, unquoted};
use super::changes::Standing;
use crate::domain::state::State;
use crate::domain::value::ids::{PersonId, excerpt};
use crate::domain::value::time::Now;

/// All of it has to hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    id: String,
    also: Vec<Comparison>,
}

#[derive(Debug, PartialEq, Eq)]
enum Comparison {
    Id(String),
    Manager(String),
    Active(bool),
}

impl Filter {
    /// Reads the text of a filter.
    pub(super) fn read(text: &str) -> Result<Self, ScimError> {
        let (mut id, mut also) = (None, Vec::new());
        let mut rest = text;
        loop {
            let (name, value, left) = comparison(rest).ok_or_else(|| not_understood(text))?;
            let name = unquoted(name);
            let (attribute, part) = Attribute::at(&name).map_err(|_| not_understood(text))?;
            match (attribute, part, value) {
                (Attribute::Id | Attribute::ExternalId | Attribute::UserName, "", Value::String(value)) => match &id {
                    None => id = Some(value),
                    Some(_) => also.push(Comparison::Id(value)),
                },
                (Attribute::Manager, "", Value::String(value)) => also.push(Comparison::Manager(value)),
                (Attribute::Active, "", Value::Bool(value)) => also.push(Comparison::Active(value)),
                _ => return Err(not_understood(text)),
            }
            let Some(next) = after_and(left) else {
                let is_end = left.trim().is_empty();
                return id.filter(|_| is_end).map(|id| Self { id, also }).ok_or_else(|| not_understood(text));
            };
            rest = next;
        }
    }

    /// The person who is meant, if all of it holds for them.
    pub(super) fn person(&self, state: &State, now: Now) -> Option<PersonId> {
        let person: PersonId = self.id.parse().ok()?;
        let standing = Standing::of(state, &person, now)?;
        let holds = |comparison: &Comparison| match comparison {
            Comparison::Id(id) => *id == self.id,
            Comparison::Manager(id) => standing.manager.as_ref().is_some_and(|manager| manager.as_str() == id),
            Comparison::Active(active) => standing.active == *active,
        };
        self.also.iter().all(holds).then_some(person)
    }
}

/// The value of `value eq "…"`, if that is what the text says: what stands in the brackets of a path.
pub(super) fn value_equals(text: &str) -> Option<String> {
    match comparison(text)? {
        (name, Value::String(value), "") if name.eq_ignore_ascii_case("value") => Some(value),
        _ => None,
    }
}

/// One comparison by `eq`: its name, its value, and the text after it.
fn comparison(text: &str) -> Option<(&str, Value, &str)> {
    let (name, rest) = text.trim_start().split_once(' ')?;
    let (verb, rest) = rest.trim_start().split_once(' ')?;
    if !verb.eq_ignore_ascii_case("eq") {
        return None;
    }
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    let value = values.next()?.ok()?;
    Some((name, value, rest.get(values.byte_offset()..)?))
}

/// What stands after an `and` between spaces.
fn after_and(text: &str) -> Option<&str> {
    let (word, rest) = text.strip_prefix(' ')?.trim_start().split_once(' ')?;
    word.eq_ignore_ascii_case("and").then_some(rest)
}

fn not_understood(text: &str) -> ScimError {
    let detail = format!(
        "`{}`: `id eq \"…\"`, `userName eq \"…\"` and `externalId eq \"…\"` are understood, and after one of them \
         `and manager eq \"…\"` and `and active eq true`",
        excerpt(text)
    );
    ScimError::of_type("invalidFilter", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Filter> {
        Filter::read(text).ok()
    }

    #[test]
    fn one_comparison_with_an_id_is_understood() {
        let found = |text: &str| read(text).filter(|filter| filter.also.is_empty()).map(|filter| filter.id);
        assert_eq!(found("userName eq \"ana\"").unwrap(), "ana");
        assert_eq!(found("USERNAME EQ \"Ana\"").unwrap(), "Ana");
        assert_eq!(found("urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"a\\u0062\"").unwrap(), "ab");
        assert_eq!(found("  externalId  eq  \"ana b\" ").unwrap(), "ana b");
        assert_eq!(found("id eq \"a\\\" and manager eq \\\"b\"").unwrap(), "a\" and manager eq \"b");
        for text in ["", "userName", "userName eq", "userName eq ana", "userName co \"a\"", "active eq true"] {
            assert_eq!(found(text), None, "{text}");
        }
        for text in ["userName eq \"a\" or id eq \"b\"", "not (userName eq \"a\")", "(userName eq \"a\")"] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn comparisons_are_joined_by_and_alone_and_one_is_with_an_id() {
        let also = |text: &str| read(text).map(|filter| (filter.id, filter.also));
        let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        for manager in ["manager", "MANAGER.value", &format!("{urn}:manager"), &format!("\"{urn}\":manager.value")] {
            let expected = ("ana".to_owned(), vec![Comparison::Manager("ines".to_owned())]);
            assert_eq!(also(&format!("id eq \"ana\" and {manager} eq \"ines\"")).unwrap(), expected);
            assert_eq!(also(&format!("{manager} eq \"ines\" AND id eq \"ana\"")).unwrap(), expected);
        }
        let three = "userName eq \"ana\" and externalId eq \"ben\" and active eq false";
        let expected = vec![Comparison::Id("ben".to_owned()), Comparison::Active(false)];
        assert_eq!(also(three).unwrap(), ("ana".to_owned(), expected));
        for text in [
            "manager eq \"ines\"",
            "id eq \"ana\" and",
            "id eq \"ana\" and ",
            "id eq \"ana\"and manager eq \"ines\"",
            "id eq \"ana\" and manager eq null",
            "id eq \"ana\" and manager pr",
            "id eq \"ana\" and manager.displayName eq \"Ines\"",
            "id eq \"ana\" and active eq \"true\"",
            "id eq \"ana\" and active.x eq true",
            "id eq \"ana\" and title eq \"x\"",
            "id eq \"ana\" and mangaer eq \"x\"",
            "id eq \"ana\" or manager eq \"ines\"",
            "id eq \"ana\" and not manager eq \"ines\"",
            "id eq \"ana\" manager eq \"ines\"",
            "id eq \"ana\" \"ben\"",
            "id eq true",
        ] {
            assert_eq!(also(text), None, "{text}");
        }
    }
}
