//! What is wrong with a message, all of it at once. Not a refusal: the core never sees a malformed message.

use std::fmt;

/// A malformed message: every field that cannot be taken, in the order in which they were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMessage {
    /// At least one.
    pub fields: Vec<InvalidField>,
}

/// One field that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidField {
    /// Where it is in the message: `resources[2]`.
    pub path: String,
    /// What is wrong, or what would be right.
    pub wanted: String,
}

impl InvalidMessage {
    /// One field alone.
    #[must_use]
    pub fn one(path: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self { fields: vec![InvalidField { path: path.into(), wanted: wanted.into() }] }
    }
}

impl fmt::Display for InvalidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message is malformed")?;
        for (number, field) in self.fields.iter().enumerate() {
            f.write_str(if number == 0 { ": " } else { "; " })?;
            write!(f, "`{}`: {}", field.path, field.wanted)?;
        }
        f.write_str("; correct what is named")
    }
}
impl std::error::Error for InvalidMessage {}

/// Collects the mistakes of one message while it is taken apart.
#[derive(Debug, Default)]
pub struct Fields(Vec<InvalidField>);

impl Fields {
    /// The value, or none and a note of why.
    pub fn take<T, E: fmt::Display>(&mut self, path: impl Into<String>, value: Result<T, E>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(wanted) => {
                self.0.push(InvalidField { path: path.into(), wanted: wanted.to_string() });
                None
            }
        }
    }

    /// Notes a mistake by itself.
    pub fn wrong(&mut self, path: impl Into<String>, wanted: impl Into<String>) {
        self.0.push(InvalidField { path: path.into(), wanted: wanted.into() });
    }

    /// What the parts came to, if no field was wrong.
    ///
    /// # Errors
    /// All that was wrong.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, InvalidMessage> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(InvalidMessage { fields: self.0 }),
        }
    }
}
