//! Layers of configuration values: file, then environment, then flag. A value knows where it came from, so that a
//! mistake names the place to correct.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

/// One mistake of the configuration: where, what, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigMistake {
    /// The key in the file, the variable or the flag.
    pub place: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Every mistake found, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMistakes(pub Vec<ConfigMistake>);

impl fmt::Display for ConfigMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigMistakes {}

/// A value as it was given, and where.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) place: String,
    pub(crate) value: Value,
    /// From the file, where a relative path is relative to the file's folder and a number is not quoted.
    pub(crate) from_file: bool,
}

/// All values by dotted key, and the mistakes so far.
#[derive(Debug, Default)]
pub(crate) struct Values {
    given: BTreeMap<&'static str, Given>,
    pub(crate) mistakes: Vec<ConfigMistake>,
}

impl Values {
    pub(crate) fn mistake(&mut self, place: &str, problem: impl Into<String>) {
        self.mistakes.push(ConfigMistake { place: place.to_owned(), problem: problem.into() });
    }

    /// Takes a file's values. A table of the schema is walked; an unknown key is a mistake that says which there are.
    pub(crate) fn take_file(&mut self, table: &Table, schema: &[&'static str], prefix: &str) {
        for (key, value) in table {
            let dotted = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            let below = format!("{dotted}.");
            if let Some(known) = schema.iter().find(|known| **known == dotted) {
                let given = Given { place: format!("`{dotted}`"), value: value.clone(), from_file: true };
                self.given.insert(known, given);
            } else if schema.iter().any(|known| known.starts_with(&below)) {
                match value {
                    Value::Table(table) => self.take_file(table, schema, &dotted),
                    _ => self.mistake(&format!("`{dotted}`"), format!("is a table: write it as `[{dotted}]`")),
                }
            } else {
                self.mistake(&format!("`{dotted}`"), format!("unknown key; {}", known_below(schema, prefix)));
            }
        }
    }

    /// Takes a text from the environment or a flag; it goes before what was there.
    pub(crate) fn take_text(&mut self, key: &'static str, place: String, text: &str) {
        self.given.insert(key, Given { place, value: Value::String(text.to_owned()), from_file: false });
    }

    pub(crate) fn given(&self, key: &str) -> Option<&Given> {
        self.given.get(key)
    }

    /// The value of a key, parsed; the default if it was not given or is a mistake.
    pub(crate) fn parse<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        default: T,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(given) = self.given.get(key).cloned() else { return default };
        let text = match &given.value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            other => {
                self.mistake(&given.place, format!("a {} is not {wanted}", other.type_str()));
                return default;
            }
        };
        parse(&text).unwrap_or_else(|| {
            let shown = crate::domain::value::ids::excerpt(&text);
            self.mistake(&given.place, format!("`{shown}` is not {wanted}"));
            default
        })
    }

    /// As [`Values::parse`], for a key that must be given.
    pub(crate) fn require<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        if self.given(key).is_none() {
            self.mistake(&format!("`{key}`"), format!("is missing; give {wanted}"));
            return None;
        }
        self.parse(key, wanted, None, |text| parse(text).map(Some))
    }
}

fn known_below(schema: &[&'static str], prefix: &str) -> String {
    let mut names: Vec<String> = schema
        .iter()
        .filter_map(|known| {
            let rest = if prefix.is_empty() { Some(*known) } else { known.strip_prefix(prefix)?.strip_prefix('.') }?;
            rest.split('.').next().map(|name| format!("`{name}`"))
        })
        .collect();
    names.dedup();
    format!("there are {}", names.join(", "))
}
