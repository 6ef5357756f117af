//! Lists of users: a page, or the one that a filter finds.

use serde_json::{Value, json};

use super::answer::ScimError;
use super::filter::Filter;
use super::partial::Partial;
use super::reading::decoded;
use super::user;
use crate::domain::state::State;
use crate::domain::value::ids::{PersonId, TenantName};
use crate::domain::value::time::Now;

/// The most users of one page.
pub(super) const MOST_RESULTS: usize = 200;
const USUAL_RESULTS: usize = 100;
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// What is asked of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    filter: Option<Filter>,
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
            let value = decoded(key, value)?;
            match key {
                "filter" => query.filter = Some(Filter::read(&value)?),
                "count" => query.count = number(key, &value)?.min(MOST_RESULTS),
                _ => query.start = number(key, &value)?.max(1),
            }
        }
        Ok(query)
    }

    /// The page, of one side: of a tenant's people, or of the own organisation's.
    pub(super) fn page(&self, state: &State, side: Option<&TenantName>, partial: &Partial, now: Now) -> Value {
        let people = state.organisation().people();
        let of_side = |id: &PersonId| state.organisation().tenant_of(id) == side;
        let skipped = self.start.saturating_sub(1);
        let (total, shown): (usize, Vec<Value>) = match &self.filter {
            None => {
                let own = || people.iter().filter(|(_, person)| person.tenant.as_ref() == side);
                let page = own().skip(skipped).take(self.count);
                (own().count(), page.filter_map(|(id, _)| user::shown(state, id, now)).collect())
            }
            Some(filter) => {
                let id = filter.person(state, now).filter(of_side);
                let found = id.and_then(|id| user::shown(state, &id, now));
                (usize::from(found.is_some()), found.into_iter().skip(skipped).take(self.count).collect())
            }
        };
        let shown: Vec<Value> = shown.into_iter().map(|user| partial.of(user)).collect();
        json!({
            "schemas": [LIST],
            "totalResults": total,
            "startIndex": self.start,
            "itemsPerPage": shown.len(),
            "Resources": shown,
        })
    }
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
