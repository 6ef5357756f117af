//! Lists of users: a page, or the one that a filter finds. Ids are compared whole and with regard to case (known failure D1), so
//! a filter finds one person or nobody.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::answer::ScimError;
use super::user::{self, in_schema};
use crate::domain::state::State;
use crate::domain::value::ids::{PersonId, TenantName, excerpt};
use crate::domain::value::time::Now;

/// The most users of one page.
pub(super) const MOST_RESULTS: usize = 200;
const USUAL_RESULTS: usize = 100;
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// What is asked of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// The id that the filter names.
    filter: Option<String>,
    /// From 1.
    start: usize,
    count: usize,
}

impl Query {
    /// Reads the part of a URI after `?`. Parameters that are not understood are ignored, as RFC 7644 3.4.2 has it.
    pub(super) fn read(text: &str) -> Result<Self, ScimError> {
        let mut query = Self { filter: None, start: 1, count: USUAL_RESULTS };
        let mut seen = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = ["filter", "startindex", "count"].into_iter().find(|known| known.eq_ignore_ascii_case(key));
            let Some(key) = key else { continue };
            if seen.contains(&key) {
                return Err(ScimError::invalid_value(format!("`{key}` is said twice")));
            }
            seen.push(key);
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8();
            let value = value.map_err(|_| ScimError::invalid_value(format!("`{key}` is not UTF-8")))?;
            match key {
                "filter" => query.filter = Some(filter(&value)?),
                "count" => query.count = number(key, &value)?.min(MOST_RESULTS),
                _ => query.start = number(key, &value)?.max(1),
            }
        }
        Ok(query)
    }

    /// The page, of one side: of a tenant's people, or of the own organisation's.
    pub(super) fn page(&self, state: &State, side: Option<&TenantName>, now: Now) -> Value {
        let people = state.organisation().people();
        let of_side = |id: &PersonId| state.organisation().tenant_of(id) == side;
        let skipped = self.start.saturating_sub(1);
        let (total, shown): (usize, Vec<Value>) = match &self.filter {
            None => {
                let own = || people.iter().filter(|(_, person)| person.tenant.as_ref() == side);
                let page = own().skip(skipped).take(self.count);
                (own().count(), page.filter_map(|(id, _)| user::shown(state, id, now)).collect())
            }
            Some(id) => {
                let id = id.parse::<PersonId>().ok().filter(of_side);
                let found = id.and_then(|id| user::shown(state, &id, now));
                (usize::from(found.is_some()), found.into_iter().skip(skipped).take(self.count).collect())
            }
        };
        json!({
            "schemas": [LIST],
            "totalResults": total,
            "startIndex": self.start,
            "itemsPerPage": shown.len(),
            "Resources": shown,
        })
    }
}

/// The value of `<attribute> eq "<value>"`, if that is what the text says.
pub(super) fn equals(text: &str, attribute: &str) -> Option<String> {
    let (name, rest) = text.trim().split_once(' ')?;
    let (verb, value) = rest.trim_start().split_once(' ')?;
    let is_meant = in_schema(name).1.eq_ignore_ascii_case(attribute) && verb.eq_ignore_ascii_case("eq");
    is_meant.then(|| serde_json::from_str(value.trim()).ok()).flatten()
}

fn filter(text: &str) -> Result<String, ScimError> {
    let found = ["userName", "externalId", "id"].into_iter().find_map(|attribute| equals(text, attribute));
    found.ok_or_else(|| {
        let detail = format!("`{}`: `userName eq \"…\"` and `externalId eq \"…\"` are understood", excerpt(text));
        ScimError::of_type("invalidFilter", detail)
    })
}

/// A whole number; a negative one means 0 (RFC 7644 3.4.2.4).
fn number(key: &str, text: &str) -> Result<usize, ScimError> {
    let parsed = text.parse::<i64>().map(|number| usize::try_from(number).unwrap_or_default());
    parsed.map_err(|_| ScimError::invalid_value(format!("`{key}`: a whole number is wanted")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comparison_with_an_id_is_understood() {
        let found = |text: &str| Query::read(&format!("filter={text}")).map(|query| query.filter.unwrap()).ok();
        assert_eq!(found("userName%20eq%20%22ana%22").unwrap(), "ana");
        assert_eq!(found("USERNAME+EQ+%22Ana%22").unwrap(), "Ana");
        assert_eq!(found("urn:ietf:params:scim:schemas:core:2.0:User:userName%20eq%20%22a%5Cu0062%22").unwrap(), "ab");
        assert_eq!(found("externalId eq \"ana b\"").unwrap(), "ana b");
        for text in ["", "userName", "userName eq", "userName eq ana", "userName co \"a\"", "active eq true"] {
            assert_eq!(found(text), None, "{text}");
        }
        for text in ["userName eq \"a\" or id eq \"b\"", "not (userName eq \"a\")", "(userName eq \"a\")", "%ff"] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn a_page_is_bounded_and_begins_at_one() {
        let read = |text: &str| Query::read(text).map(|query| (query.start, query.count)).ok();
        assert_eq!(read(""), Some((1, 100)));
        assert_eq!(read("startIndex=0&count=100000&attributes=id"), Some((1, 200)));
        assert_eq!(read("startIndex=-5&count=-1"), Some((1, 0)));
        assert_eq!(read("STARTINDEX=7&Count=2"), Some((7, 2)));
        for text in ["count=many", "startIndex=1.5", "count=99999999999999999999", "count=1&count=2"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
