//! How a command ends: an exit code that scripts can tell apart, and one form of error text (design.md 11, 12).

use std::io;

use serde_json::{Value, json};

use crate::domain::value::refusal::Reason;
use crate::reading;
use crate::sdk::ClientError;

/// What a command that did its work answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0.
    Yes,
    /// 1: what was looked at is not in order.
    Failed,
    /// 3: the answer is no.
    Denied,
    /// 6: still waiting, or the time ran out.
    Waiting,
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::Failed => 1,
            Self::Denied => 3,
            Self::Waiting => 6,
        }
    }
}

/// Why a command could not do its work.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The broker said no, or could not be asked.
    Client(Box<ClientError>),
    /// The command line, a file or the environment asks for something that makes no sense. Exit code 2.
    Usage(String),
    /// There is no such thing among those that the broker listed. Exit code 4, as when the broker says so itself.
    NotFound(String),
    /// What is named belongs to something else than what it is used with. Exit code 5.
    Conflict(String),
    /// Something else went wrong. Exit code 1.
    Failed(String),
    /// The person at the terminal said no. Exit code 1.
    Declined(String),
    /// It was told already; its exit code.
    Told(u8),
    /// Whoever read the output has gone away: no error.
    NobodyReads,
}

/// The end of a command.
pub type Ran = Result<Exit, Failure>;

impl Failure {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Usage(_) => 2,
            Self::NotFound(_) => 4,
            Self::Conflict(_) => 5,
            Self::Failed(_) | Self::Declined(_) => 1,
            Self::Told(code) => *code,
            Self::NobodyReads => 0,
        }
    }

    /// `error: …`, then what programs and people look the reason up by.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("error: {}", self.text())];
        if let Some((reason, fields)) = self.details() {
            lines.extend(fields.iter().map(|field| format!("  field `{}`: {}", field.field, field.text)));
            if !reason.is_empty() {
                lines.push(format!("reason: {reason}"));
            }
        }
        lines
    }

    /// The same as an object.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut error = json!({ "text": self.text(), "exit": self.exit_code(), "reason": Value::Null });
        if let (Self::Client(client), Some(object)) = (self, error.as_object_mut())
            && let ClientError::Refused(refused) = &**client
        {
            let fields = refused.fields.iter().map(|field| json!({ "field": field.field, "text": field.text }));
            object.insert("fields".into(), fields.collect());
            object.insert("metadata".into(), json!(refused.metadata));
            if !refused.reason_name.is_empty() {
                object.insert("reason".into(), json!(refused.reason_name));
            }
        }
        if let (Self::NotFound(_), Some(object)) = (self, error.as_object_mut()) {
            object.insert("reason".into(), json!(Reason::NotFound.entry().name));
        }
        json!({ "error": error })
    }

    fn text(&self) -> String {
        match self {
            Self::Client(error) => error.to_string(),
            Self::Usage(text)
            | Self::NotFound(text)
            | Self::Conflict(text)
            | Self::Failed(text)
            | Self::Declined(text) => text.clone(),
            Self::Told(_) | Self::NobodyReads => String::new(),
        }
    }

    fn details(&self) -> Option<(&str, &[crate::sdk::FieldMistake])> {
        match self {
            Self::Client(error) => match &**error {
                ClientError::Refused(refused) => Some((&refused.reason_name, &refused.fields)),
                _ => None,
            },
            Self::NotFound(_) => Some((Reason::NotFound.entry().name, &[])),
            _ => None,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(Box::new(error))
    }
}

impl From<io::Error> for Failure {
    /// Of writing the output; files are read with their own words.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::NobodyReads
        } else {
            Self::Failed(format!("the output cannot be written: {error}"))
        }
    }
}

/// The longest file that is read: twice what the longest that a broker takes may have.
const LONGEST_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Reads a file that the command line names. One that does not end, such as a pipe that somebody goes on writing to, is given
/// up before it fills the memory; so is one that nobody writes.
///
/// # Errors
/// If it cannot be read: a usage error that names it.
pub fn read_file(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    read_up_to(path, LONGEST_FILE_BYTES).map_err(Failure::Usage)
}

/// Reads a file of at most so many bytes.
///
/// # Errors
/// Why it cannot be read, with its name.
pub fn read_up_to(path: &std::path::Path, longest: u64) -> Result<Vec<u8>, String> {
    let unreadable = |why: &dyn std::fmt::Display| format!("`{}` cannot be read: {why}", path.display());
    reading::read(path, longest, reading::PATIENCE).map_err(|error| unreadable(&error))
}

/// The same as text.
///
/// # Errors
/// If it cannot be read or is not UTF-8.
pub fn read_text(path: &std::path::Path) -> Result<String, Failure> {
    String::from_utf8(read_file(path)?).map_err(|_| Failure::Usage(format!("`{}` is not UTF-8 text", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::value::refusal::Reason;
    use crate::sdk::{FieldMistake, RefusedCall};

    fn refused() -> Failure {
        Failure::from(ClientError::Refused(Box::new(RefusedCall {
            reason: Some(Reason::InvalidMessage),
            reason_name: "INVALID_MESSAGE".into(),
            code: tonic::Code::InvalidArgument,
            text: "the message is malformed; correct the fields that are named".into(),
            metadata: [("n".to_owned(), "1".to_owned())].into(),
            fields: vec![FieldMistake { field: "actions[0]".into(), text: "`*` is no action".into() }],
            retry_after: None,
        })))
    }

    #[test]
    fn an_error_is_written_in_words_with_its_reason_last() {
        insta::assert_snapshot!(refused().lines().join("\n"), @r"
        error: the message is malformed; correct the fields that are named
          field `actions[0]`: `*` is no action
        reason: INVALID_MESSAGE
        ");
        assert_eq!(refused().exit_code(), 2);
    }

    #[test]
    fn an_error_is_one_object_for_programs() {
        insta::assert_snapshot!(refused().json(), @r#"{"error":{"exit":2,"fields":[{"field":"actions[0]","text":"`*` is no action"}],"metadata":{"n":"1"},"reason":"INVALID_MESSAGE","text":"the message is malformed; correct the fields that are named"}}"#);
        insta::assert_snapshot!(Failure::Usage("no".into()).json(), @r#"{"error":{"exit":2,"reason":null,"text":"no"}}"#);
    }

    #[test]
    fn a_file_without_an_end_is_given_up() {
        let told = read_file(std::path::Path::new("/dev/zero")).unwrap_err();
        assert_eq!(told.exit_code(), 2);
        assert!(told.lines().join("").contains("`/dev/zero` cannot be read: it is over 33554432 bytes"), "{told:?}");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit_code(), 0);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).exit_code(), 1);
    }
}
