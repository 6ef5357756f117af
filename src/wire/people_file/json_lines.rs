//! JSON Lines: an object a line, its keys each once.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::draft::{Draft, Entry, KEYS, lines};
use crate::domain::policy::nearest;
use crate::domain::value::ids::{Identity, excerpt};

pub(super) fn read(draft: &mut Draft, text: &str) {
    for (line, text) in lines(text) {
        // The end of the last line, and lines left empty for the eye.
        if text.trim_matches([' ', '\t']).is_empty() || !draft.is_sound(line, text) {
            continue;
        }
        match serde_json::from_str::<Object>(text) {
            Ok(Object(pairs)) => entry(draft, line, pairs),
            Err(error) => {
                let column = error.column();
                let found = format!("`{}`, which breaks off as JSON at byte {column}", excerpt(text));
                draft.mistake(line, "", found, "one JSON object, as in `{\"person\":\"ana\",\"manager\":\"bob\"}`");
            }
        }
    }
}

/// The pairs of an object as they stand: a map would keep the last of two that have one key.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn entry(draft: &mut Draft, line: u32, pairs: Vec<(String, Value)>) {
    let mut entry = Entry { line, person: None, manager: None, login: Vec::new(), leaves_at: None };
    let mut seen: Vec<&str> = Vec::new();
    for (key, value) in pairs {
        let Some(key) = KEYS.into_iter().find(|known| *known == key) else {
            let known = KEYS.join("`, `");
            let meant = nearest(&key, KEYS).map_or_else(String::new, |near| format!("`{near}`? There are "));
            draft.mistake(line, &excerpt(&key), "an unknown key", format!("{meant}`{known}`"));
            continue;
        };
        if seen.contains(&key) {
            draft.mistake(line, key, "a second time", "each key once");
            continue;
        }
        seen.push(key);
        match (key, value) {
            ("person", Value::String(text)) => entry.person = draft.parsed(line, key, &text),
            ("manager", Value::String(text)) => entry.manager = draft.parsed(line, key, &text),
            ("last_day", Value::String(text)) => entry.leaves_at = draft.last_day(line, &text),
            ("login", Value::Array(list)) => entry.login = login(draft, line, list),
            // "Nobody" and "no day" are often written so.
            ("manager" | "last_day", Value::Null) => {}
            ("login", other) => draft.mistake(line, key, kind(&other), "a list of SPIFFE IDs, or no such key"),
            (_, other) => draft.mistake(line, key, kind(&other), "a text"),
        }
    }
    if !seen.contains(&"person") {
        draft.mistake(line, "person", "nothing", "the person's id");
    }
    draft.add(entry);
}

fn login(draft: &mut Draft, line: u32, list: Vec<Value>) -> Vec<Identity> {
    let mut identities = Vec::new();
    for item in list {
        match item {
            Value::String(text) => identities.extend(draft.parsed::<Identity>(line, "login", &text)),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                draft.mistake(line, "login", kind(&other), "a SPIFFE ID");
            }
        }
    }
    identities
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
