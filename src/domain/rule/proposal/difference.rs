//! What a proposed file changes, key by key, for whoever signs it: what each value was, and what it would be. Rights alone do not
//! say it: how long authors wait, who is admitted by whom, when a membership ends (design.md 7; known failure A6).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::domain::record::event::{Fact, OrganisationFact};
use crate::domain::state::organisation::Organisation;
use crate::domain::value::time::Timestamp;

/// From the dotted path of a value to the value as JSON.
type Values = BTreeMap<String, String>;

/// From one policy text to another; comments and layout do not count. Entitlements come last, because the rights
/// already say what they give.
#[must_use]
pub fn in_policy(before: &str, after: &str) -> Vec<String> {
    let values = |text: &str| {
        let mut values = Values::new();
        flatten("", &toml::from_str(text).unwrap_or_default(), Value::to_string, &mut values);
        values
    };
    let (mut offered, mut rest): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for line in differences(&values(before), &values(after)) {
        if line.starts_with("entitlements.") { offered.push(line) } else { rest.push(line) }
    }
    rest.extend(offered);
    rest
}

/// From what is on record to records that would replace it.
#[must_use]
pub fn in_records(before: &Organisation, facts: &[Fact]) -> Vec<String> {
    let records = facts.iter().filter_map(|fact| if let Fact::Organisation(fact) = fact { Some(fact) } else { None });
    let lines = records.flat_map(|fact| match fact {
        OrganisationFact::TenantRecorded(fact) => {
            record("tenants", fact.id.as_str(), before.tenants().get(&fact.id), &fact.tenant)
        }
        OrganisationFact::AccountRecorded(fact) => {
            record("accounts", fact.id.as_str(), before.accounts().get(&fact.id), &fact.account)
        }
        OrganisationFact::PersonRecorded(fact) => {
            record("people", fact.id.as_str(), before.people().get(&fact.id), &fact.person)
        }
        OrganisationFact::PolicyLoaded(_) | OrganisationFact::DirectoryLoaded(_) => Vec::new(),
    });
    lines.collect()
}

fn record<T: Serialize>(kind: &str, id: &str, before: Option<&T>, after: &T) -> Vec<String> {
    let values = |record: Option<&T>| {
        let mut values = Values::new();
        let value = record.and_then(|record| serde_json::to_value(record).ok()).unwrap_or_default();
        flatten(&below(kind, id), &value, with_instants, &mut values);
        values
    };
    differences(&values(before), &values(Some(after)))
}

/// A record holds no other numbers than instants, and people read those as dates.
fn with_instants(value: &Value) -> String {
    let instant = value.as_i64().and_then(|millis| Timestamp::from_millis(millis).ok());
    instant.map_or_else(|| value.to_string(), |instant| instant.to_string())
}

fn flatten(path: &str, value: &Value, shown: fn(&Value) -> String, values: &mut Values) {
    match value {
        Value::Null => {}
        Value::Object(map) if !map.is_empty() => {
            let kept: Vec<(&String, &Value)> = map.iter().filter(|(key, _)| !is_broker_own(path, key)).collect();
            kept.iter().for_each(|(key, value)| flatten(&below(path, key), value, shown, values));
            if kept.is_empty() {
                values.insert(path.to_owned(), "{}".to_owned());
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            values.insert(path.to_owned(), shown(value));
        }
    }
}

/// `since` of a membership is the time of loading, and not in the file.
fn is_broker_own(path: &str, key: &str) -> bool {
    key == "since" && path.starts_with("accounts.")
}

/// The path of a key. A key that could be taken for two is quoted.
fn below(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let key = if plain { key.to_owned() } else { Value::from(key).to_string() };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn differences(was: &Values, is: &Values) -> Vec<String> {
    let paths: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    // A table that becomes empty, or no longer is, is left out: the lines of its content say so.
    let within = |of: &Values, path: &String| {
        let below = format!("{path}.");
        of.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below))
    };
    let changed = paths.into_iter().filter(|path| was.get(*path) != is.get(*path));
    let changed = changed.filter(|path| !within(was, path) && !within(is, path));
    let value = |of: &Values, path: &String| of.get(path).map_or("none", String::as_str).to_owned();
    changed.map(|path| format!("{path}: {} -> {}", value(was, path), value(is, path))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_value_by_value_what_was_and_what_is() {
        let before = "[limits]\nauthor_waits = \"24h\"\n[entitlements.a]\nactions = [\"x\"]\n[roles.b]\n[roles.e]\n";
        let after = "# longer\nlimits.author_waits = \"1s\"\nlimits.hr_silence = \"2d\"\n\
                     entitlements.a.actions = [\"x\", \"y\"]\n[roles.\"c.d\"]\n[roles.e]\nowner = \"f\"\n";
        assert_eq!(
            in_policy(before, after),
            [
                "limits.author_waits: \"24h\" -> \"1s\"",
                "limits.hr_silence: none -> \"2d\"",
                "roles.\"c.d\": none -> {}",
                "roles.b: {} -> none",
                "roles.e.owner: none -> \"f\"",
                "entitlements.a.actions: [\"x\"] -> [\"x\",\"y\"]",
            ]
        );
        assert_eq!(in_policy(before, &format!("# layout\n{before}")), Vec::<String>::new());
    }
}
