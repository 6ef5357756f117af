//! Everybody whom HR knows, in one file: JSON Lines or CSV. Strict, because an import is diffed against the directory and
//! what it misreads it would take away or give (known failures B4 and B8): unknown and repeated keys, persons and logins are
//! mistakes, nothing is trimmed or folded, and every mistake is told with its line.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use chrono::NaiveDate;

use crate::domain::policy::{Mistake, SourceFile};
use crate::domain::record::hr::ImportedPerson;
use crate::domain::value::ids::{Identity, InvalidId, PersonId, excerpt};
use crate::domain::value::time::Timestamp;

mod csv;
mod json_lines;

/// The longest file: fifty thousand people with room to spare.
pub const LONGEST_PEOPLE_BYTES: usize = 16 * 1024 * 1024;
/// The longest line of it.
pub const LONGEST_LINE_BYTES: usize = 16 * 1024;
/// At most this many mistakes are told one by one.
pub const MOST_MISTAKES: usize = 500;

/// The keys of a line and the columns of a table: one name for one thing.
const KEYS: [&str; 4] = ["person", "manager", "login", "last_day"];
const WANTED_DAY: &str = "a date, as in `2027-01-31` (its end in UTC), or an instant that says its offset, as in \
                          `2027-01-31T18:00:00Z`";

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

/// What was read so far, and where.
#[derive(Default)]
struct Draft {
    people: BTreeMap<PersonId, ImportedPerson>,
    lines: BTreeMap<PersonId, u32>,
    logins: BTreeMap<Identity, (PersonId, u32)>,
    mistakes: Vec<Mistake>,
}

/// One person as a line has it, not yet compared with the others.
struct Entry {
    line: u32,
    person: Option<PersonId>,
    manager: Option<PersonId>,
    login: Vec<Identity>,
    leaves_at: Option<Timestamp>,
}

impl Draft {
    fn mistake(&mut self, line: u32, key: &str, found: impl Into<String>, wanted: impl Into<String>) {
        if self.mistakes.len() < MOST_MISTAKES {
            self.mistakes.push(Mistake {
                source_file: SourceFile::People,
                line,
                column: 0,
                path: key.to_owned(),
                found: found.into(),
                wanted: wanted.into(),
            });
        }
    }

    /// What no line may have, whatever the format; false: the line is not read further.
    fn is_sound(&mut self, line: u32, text: &str) -> bool {
        if text.len() > LONGEST_LINE_BYTES {
            let wanted = format!("at most {LONGEST_LINE_BYTES} bytes a line");
            self.mistake(line, "", format!("a line of {} bytes", text.len()), wanted);
            return false;
        }
        if let Some(control) = text.chars().find(|character| character.is_control() && *character != '\t') {
            let found = format!("the control character `{}`", control.escape_debug());
            self.mistake(line, "", found, "text without control characters");
            return false;
        }
        true
    }

    fn parsed<T: FromStr<Err = InvalidId>>(&mut self, line: u32, key: &str, text: &str) -> Option<T> {
        text.parse().map_err(|error: InvalidId| self.mistake(line, key, format!("`{}`", error.text), error.wanted)).ok()
    }

    fn last_day(&mut self, line: u32, text: &str) -> Option<Timestamp> {
        let instant = last_day(text);
        if instant.is_none() {
            self.mistake(line, "last_day", format!("`{}`", excerpt(text)), WANTED_DAY);
        }
        instant
    }

    fn add(&mut self, entry: Entry) {
        let Entry { line, person, manager, login, leaves_at } = entry;
        let Some(person) = person else { return };
        if let Some(first) = self.lines.get(&person) {
            let found = format!("`{person}` a second time, after line {first}");
            self.mistake(line, "person", found, "each person once");
            return;
        }
        self.lines.insert(person.clone(), line);
        if manager.as_ref() == Some(&person) {
            self.mistake(line, "manager", format!("`{person}`, of the same person"), "somebody else, or nobody");
        }
        let mut all = BTreeSet::new();
        for identity in login {
            match self.logins.get(&identity) {
                Some((holder, _)) if *holder == person => {
                    self.mistake(line, "login", format!("`{identity}` a second time"), "each identity once");
                }
                Some((holder, first)) => {
                    let found = format!("`{identity}`, which `{holder}` has in line {first}");
                    self.mistake(line, "login", found, "an identity of this person alone");
                }
                None => {
                    self.logins.insert(identity.clone(), (person.clone(), line));
                    all.insert(identity);
                }
            }
        }
        self.people.insert(person, ImportedPerson { manager, login: all, leaves_at });
    }
}

/// The lines of a text with their numbers, without their ends, be they LF or CRLF.
fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1_u32..).zip(text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)))
}

/// A day means its end in UTC: who leaves on the 31st works on the 31st.
fn last_day(text: &str) -> Option<Timestamp> {
    let Some(date) = plain_date(text) else { return Timestamp::parse_rfc3339(text).ok() };
    Timestamp::start_of(date).and_then(|_| Timestamp::end_of(date))
}

/// `YYYY-MM-DD` to the digit.
fn plain_date(text: &str) -> Option<NaiveDate> {
    let shaped = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    shaped.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}

#[cfg(test)]
#[path = "people_file/people_file_tests.rs"]
mod tests;
