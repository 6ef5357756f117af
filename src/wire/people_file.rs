//! Everybody whom HR knows, in one file: JSON Lines or CSV. Strict, because an import is diffed against the directory and
//! what it misreads it would take away or give (known failures B4 and B8): unknown and repeated keys, persons and logins are
//! mistakes, nothing is trimmed or folded, and every mistake is reported with its line.

mod csv;
mod draft;
mod json_lines;

use std::collections::BTreeMap;

use self::draft::Draft;
pub use self::draft::{LONGEST_LINE_BYTES, MOST_MISTAKES};
use crate::domain::policy::Mistake;
use crate::domain::record::hr::ImportedPerson;
use crate::domain::value::ids::PersonId;

/// The longest file: fifty thousand people with room to spare.
pub const LONGEST_PEOPLE_BYTES: usize = 16 * 1024 * 1024;
/// How the people are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeopleFormat {
    /// A JSON object a line: `person`, `manager`, `login` (a list), `last_day`.
    JsonLines,
    /// A table with the header `person,manager,login,last_day`; logins are parted by spaces.
    Csv,
}

/// Reads a file of people.
///
/// # Errors
/// Every mistake in it, in the order of the text, at most [`MOST_MISTAKES`].
pub fn parse_people(format: PeopleFormat, text: &str) -> Result<BTreeMap<PersonId, ImportedPerson>, Vec<Mistake>> {
    let mut draft = Draft::default();
    if text.len() > LONGEST_PEOPLE_BYTES {
        draft.mistake(
            0,
            "",
            format!("a file of {} bytes", text.len()),
            format!("at most {LONGEST_PEOPLE_BYTES} bytes"),
        );
        return Err(draft.mistakes);
    }
    // Spreadsheets put a byte order mark before what they save.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        PeopleFormat::JsonLines => json_lines::read(&mut draft, text),
        PeopleFormat::Csv => csv::read(&mut draft, text),
    }
    if draft.mistakes.is_empty() && draft.people.is_empty() {
        let wanted = "at least one person: a file that names nobody would have everybody leave";
        draft.mistake(0, "", "nobody", wanted);
    }
    draft.mistakes.sort();
    if draft.mistakes.is_empty() { Ok(draft.people) } else { Err(draft.mistakes) }
}

#[cfg(test)]
#[path = "people_file/people_file_tests.rs"]
mod tests;
