//! What is common to both formats: people read so far, and the mistakes found on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use chrono::NaiveDate;

use crate::domain::policy::{Mistake, SourceFile};
use crate::domain::record::hr::ImportedPerson;
use crate::domain::value::ids::{Identity, InvalidId, PersonId, excerpt};
use crate::domain::value::limits::IDENTITIES;
use crate::domain::value::time::Timestamp;

/// The longest line of the file.
pub const LONGEST_LINE_BYTES: usize = 16 * 1024;
/// The most mistakes that are reported; the rest are left out.
pub const MOST_MISTAKES: usize = 500;

/// The keys of a line and the columns of a table: one name for one thing.
pub(super) const KEYS: [&str; 4] = ["person", "manager", "login", "last_day"];
const WANTED_DAY: &str = "a date, as in `2027-01-31` (its end in UTC), or an instant that says its offset, as in \
                          `2027-01-31T18:00:00Z`";

/// What was read so far, and where.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) people: BTreeMap<PersonId, ImportedPerson>,
    lines: BTreeMap<PersonId, u32>,
    logins: BTreeMap<Identity, (PersonId, u32)>,
    pub(super) mistakes: Vec<Mistake>,
}

/// One person as a line has it, not yet compared with the others.
pub(super) struct Entry {
    pub(super) line: u32,
    pub(super) person: Option<PersonId>,
    pub(super) manager: Option<PersonId>,
    pub(super) login: Vec<Identity>,
    pub(super) leaves_at: Option<Timestamp>,
}

impl Draft {
    pub(super) fn mistake(&mut self, line: u32, key: &str, found: impl Into<String>, wanted: impl Into<String>) {
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
    pub(super) fn is_sound(&mut self, line: u32, text: &str) -> bool {
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

    pub(super) fn parsed<T: FromStr<Err = InvalidId>>(&mut self, line: u32, key: &str, text: &str) -> Option<T> {
        text.parse().map_err(|error: InvalidId| self.mistake(line, key, format!("`{}`", error.text), error.wanted)).ok()
    }

    pub(super) fn last_day(&mut self, line: u32, text: &str) -> Option<Timestamp> {
        let instant = last_day(text);
        if instant.is_none() {
            self.mistake(line, "last_day", format!("`{}`", excerpt(text)), WANTED_DAY);
        }
        instant
    }

    pub(super) fn add(&mut self, entry: Entry) {
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
        if all.len() > IDENTITIES {
            self.mistake(line, "login", format!("{} identities", all.len()), format!("at most {IDENTITIES}"));
        }
        self.people.insert(person, ImportedPerson { manager, login: all, leaves_at });
    }
}

/// The lines of a text with their numbers, without their ends, be they LF or CRLF.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
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
