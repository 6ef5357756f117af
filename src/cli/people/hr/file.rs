//! A file of HR events: one JSON object a line. Read strictly: what is misread would take somebody's place away, or give
//! one (known failure B4); every mistake is shown with its line, and nothing is sent of a file that has one.

use serde::Deserialize;

use crate::cli::term::text::{clock_text, time_field};
use crate::cli::term::values;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::{HrEvent, Joined, Left, Renamed, Roles, Stays, Transferred, hr_event};

/// One event, as a line or the command line has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonEvent {
    /// The person's immutable id.
    pub person: String,
    /// What happened.
    pub change: Change,
}

/// What happened to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Joined, or came back.
    Joined {
        /// The manager of record, if there is one.
        manager: Option<String>,
        /// Identities.
        login: Vec<String>,
    },
    /// Moves to another manager.
    Transferred {
        /// The new manager; none: nobody whom HR can name yet.
        manager: Option<String>,
        /// From when on; none: at once.
        at: Option<Timestamp>,
    },
    /// Leaves.
    Left {
        /// The first instant at which the person no longer works here; none: at once.
        at: Option<Timestamp>,
        /// At once, whatever `at` says.
        urgent: bool,
        /// Started grants that the person approved are revoked as well.
        also_approved: bool,
    },
    /// Has other identities from now on.
    Renamed {
        /// All of them.
        login: Vec<String>,
    },
    /// Does not leave after all.
    Stays,
    /// Has these roles for customers from now on, and no others.
    Roles {
        /// All of them.
        roles: Vec<String>,
    },
}

impl PersonEvent {
    /// As the API takes it.
    #[must_use]
    pub fn message(self) -> HrEvent {
        let change = match self.change {
            Change::Joined { manager, login } => {
                hr_event::Change::Joined(Joined { logins: login, manager: manager.unwrap_or_default() })
            }
            Change::Transferred { manager, at } => hr_event::Change::Transferred(Transferred {
                manager: manager.unwrap_or_default(),
                time: at.map(time_field),
            }),
            Change::Left { at, urgent, also_approved } => {
                hr_event::Change::Left(Left { time: at.map(time_field), urgent, also_approved })
            }
            Change::Renamed { login } => hr_event::Change::Renamed(Renamed { logins: login }),
            Change::Stays => hr_event::Change::Stays(Stays {}),
            Change::Roles { roles } => hr_event::Change::Roles(Roles { roles }),
        };
        HrEvent { person: self.person, change: Some(change) }
    }

    /// What happened, and what to do next, once it is applied.
    #[must_use]
    pub fn outcome(&self, now: Timestamp) -> String {
        let person = &self.person;
        match &self.change {
            Change::Joined { .. } => {
                format!("{person} is on record; once attested, `countersign enrol account` asks for an account")
            }
            Change::Transferred { manager, at } => {
                let from = at.map_or_else(String::new, |at| format!(" from {}", clock_text(at)));
                match manager {
                    Some(manager) => {
                        format!(
                            "{person} moves to {manager}{from}; what it cuts can be kept by `countersign enrol keep`"
                        )
                    }
                    None => format!("{person} moves{from}; nothing can be kept until HR names a manager"),
                }
            }
            Change::Left { at: Some(at), urgent: false, .. } if !at.is_over(now) => {
                format!(
                    "{person} works here until {}; `countersign hr stays {person}` takes that back",
                    clock_text(*at)
                )
            }
            Change::Left { .. } => format!("{person} no longer works here: nothing is allowed to them any more"),
            Change::Renamed { .. } => format!("{person} is meant by the new identities alone"),
            Change::Stays => format!("{person} does not leave after all"),
            Change::Roles { roles } if roles.is_empty() => format!("{person} has no role"),
            Change::Roles { roles } => format!("{person} has the roles {}", roles.join(", ")),
        }
    }
}

/// A mistake in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineMistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what is wanted.
    pub text: String,
}

/// The longest line that is looked at.
const LONGEST_LINE_BYTES: usize = 16 * 1024;
/// So many mistakes are shown at most: whoever has more mends these first.
const MOST_MISTAKES: usize = 100;

/// Reads all events of a file, in order.
///
/// # Errors
/// Every mistake, at most a hundred.
pub fn parse_events(text: &str) -> Result<Vec<PersonEvent>, Vec<LineMistake>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut events = Vec::new();
    let mut mistakes = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        match event(line) {
            Ok(event) => events.push(event),
            Err(text) => mistakes.push(LineMistake { line: number, text }),
        }
        if mistakes.len() >= MOST_MISTAKES {
            break;
        }
    }
    if mistakes.is_empty() { Ok(events) } else { Err(mistakes) }
}

/// A line, key by key. A key that means nothing to an event is a mistake there: `urgent` on somebody who joins is no
/// detail to pass over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    person: String,
    event: Word,
    manager: Option<String>,
    login: Option<Vec<String>>,
    at: Option<String>,
    urgent: Option<bool>,
    also_approved: Option<bool>,
    roles: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Joined,
    Transferred,
    Left,
    Renamed,
    Stays,
    Roles,
}

fn event(line: &str) -> Result<PersonEvent, String> {
    if line.len() > LONGEST_LINE_BYTES {
        return Err(format!("a line of {} bytes; at most {LONGEST_LINE_BYTES} are read", line.len()));
    }
    let line: Line = serde_json::from_str(line).map_err(|error| plain(&error))?;
    line.refuse_strangers()?;
    let at = line.at.as_deref().map(values::moment).transpose()?;
    let login = line.login.unwrap_or_default();
    let change = match line.event {
        Word::Joined => Change::Joined { manager: line.manager, login },
        Word::Transferred => Change::Transferred { manager: line.manager, at },
        Word::Left => Change::Left {
            at,
            urgent: line.urgent.unwrap_or_default(),
            also_approved: line.also_approved.unwrap_or_default(),
        },
        Word::Renamed => Change::Renamed { login },
        Word::Stays => Change::Stays,
        Word::Roles => Change::Roles { roles: line.roles.unwrap_or_default() },
    };
    Ok(PersonEvent { person: line.person, change })
}

impl Line {
    fn refuse_strangers(&self) -> Result<(), String> {
        let (wanted, meant): (&str, &[&str]) = match self.event {
            Word::Joined => ("joined", &["manager", "login"]),
            Word::Transferred => ("transferred", &["manager", "at"]),
            Word::Left => ("left", &["at", "urgent", "also_approved"]),
            Word::Renamed => ("renamed", &["login"]),
            Word::Stays => ("stays", &[]),
            Word::Roles => ("roles", &["roles"]),
        };
        let given = [
            ("manager", self.manager.is_some()),
            ("login", self.login.is_some()),
            ("at", self.at.is_some()),
            ("urgent", self.urgent.is_some()),
            ("also_approved", self.also_approved.is_some()),
            ("roles", self.roles.is_some()),
        ];
        for (key, given) in given {
            if given && !meant.contains(&key) {
                return Err(format!("`{key}` means nothing to `{wanted}`"));
            }
        }
        if self.event == Word::Renamed && self.login.is_none() {
            return Err("`renamed` needs `login`: all identities that the person has from now on".to_owned());
        }
        if self.event == Word::Roles && self.roles.is_none() {
            return Err("`roles` needs `roles`: all that the person has from now on".to_owned());
        }
        if self.event == Word::Left && self.at.is_none() && self.urgent != Some(true) {
            return Err("`left` needs `at`, or `urgent`: when the person no longer works here".to_owned());
        }
        Ok(())
    }
}

/// The reader's words without its place, which is the line's column at best.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let mistake = text.rsplit_once(" at line ").map_or(text.as_str(), |(mistake, _)| mistake);
    format!("{mistake}; wanted an object such as {{\"person\":\"ana\",\"event\":\"left\",\"at\":\"2027-01-31\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_its_line() {
        // given
        let text = "\u{feff}\
            {\"person\":\"ana\",\"event\":\"joined\",\"manager\":\"ines\",\"login\":[\"spiffe://northwind.example/person/ana\"]}\n\
            \n\
            {\"person\":\"ben\",\"event\":\"transferred\",\"at\":\"2027-01-31T18:00:00Z\"}\n\
            {\"person\":\"eva\",\"event\":\"left\",\"at\":\"2027-01-31\"}\n\
            {\"person\":\"ida\",\"event\":\"left\",\"urgent\":true,\"also_approved\":true}\n\
            {\"person\":\"tom\",\"event\":\"renamed\",\"login\":[]}\n\
            {\"person\":\"uma\",\"event\":\"stays\"}\n";
        // when
        let events = parse_events(text).unwrap();
        // then
        let at = |text| Some(Timestamp::parse_rfc3339(text).unwrap());
        let changes = [
            Change::Joined {
                manager: Some("ines".into()),
                login: vec!["spiffe://northwind.example/person/ana".into()],
            },
            Change::Transferred { manager: None, at: at("2027-01-31T18:00:00Z") },
            // a date is the end of it
            Change::Left { at: at("2027-02-01T00:00:00Z"), urgent: false, also_approved: false },
            Change::Left { at: None, urgent: true, also_approved: true },
            Change::Renamed { login: Vec::new() },
            Change::Stays,
        ];
        assert_eq!(events.iter().map(|event| event.change.clone()).collect::<Vec<_>>(), changes);
        let persons: Vec<_> = events.iter().map(|event| event.person.as_str()).collect();
        assert_eq!(persons, ["ana", "ben", "eva", "ida", "tom", "uma"]);
    }

    #[test]
    fn an_event_says_what_it_came_to() {
        let outcome =
            |change: Change| PersonEvent { person: "ana".into(), change }.outcome(crate::cli::show::sample::moment());
        let at = Some(values::moment("2027-01-31").unwrap());
        let texts = [
            outcome(Change::Joined { manager: None, login: Vec::new() }),
            outcome(Change::Transferred { manager: Some("omar".into()), at }),
            outcome(Change::Transferred { manager: None, at: None }),
            outcome(Change::Left { at, urgent: false, also_approved: false }),
            outcome(Change::Left { at, urgent: true, also_approved: false }),
            // a last day that is over takes nothing back
            outcome(Change::Left {
                at: Some(values::moment("2026-01-31").unwrap()),
                urgent: false,
                also_approved: false,
            }),
            outcome(Change::Renamed { login: Vec::new() }),
            outcome(Change::Stays),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r#"
        ana is on record; once attested, `countersign enrol account` asks for an account
        ana moves to omar from 2027-02-01 00:00:00Z; what it cuts can be kept by `countersign enrol keep`
        ana moves; nothing can be kept until HR names a manager
        ana works here until 2027-02-01 00:00:00Z; `countersign hr stays ana` takes that back
        ana no longer works here: nothing is allowed to them any more
        ana no longer works here: nothing is allowed to them any more
        ana is meant by the new identities alone
        ana does not leave after all
        "#);
    }

    #[test]
    fn an_event_goes_out_as_it_came_in() {
        let at = values::moment("2027-01-31").unwrap();
        let change = Change::Left { at: Some(at), urgent: true, also_approved: true };
        let message = PersonEvent { person: "ana".into(), change }.message();
        let left = Left { time: Some(time_field(at)), urgent: true, also_approved: true };
        assert_eq!(message, HrEvent { person: "ana".into(), change: Some(hr_event::Change::Left(left)) });
    }

    #[test]
    fn every_mistake_is_shown_with_its_line() {
        let text = "{\"person\":\"ana\",\"event\":\"joined\",\"urgent\":true}\n\
            {\"person\":\"ana\",\"event\":\"left\"}\n\
            {\"person\":\"ana\",\"event\":\"fired\"}\n\
            {\"person\":\"ana\",\"person\":\"ben\",\"event\":\"stays\"}\n\
            {\"person\":\"ana\",\"event\":\"left\",\"at\":\"31.1.2027\"}\n\
            {\"person\":\"ana\",\"event\":\"stays\",\"colour\":1}\n\
            {\"person\":\"ana\",\"event\":\"renamed\"}\n\
            ana,left\n";
        let mistakes = parse_events(text).unwrap_err();
        let lines: Vec<_> = mistakes.iter().map(|it| format!("{}: {}", it.line, it.text)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        1: `urgent` means nothing to `joined`
        2: `left` needs `at`, or `urgent`: when the person no longer works here
        3: unknown variant `fired`, expected one of `joined`, `transferred`, `left`, `renamed`, `stays`, `roles`; wanted an object such as {"person":"ana","event":"left","at":"2027-01-31"}
        4: duplicate field `person`; wanted an object such as {"person":"ana","event":"left","at":"2027-01-31"}
        5: `31.1.2027` is no time: a date, as in `2027-01-31` (its end in UTC), or an instant, as in `2027-01-31T18:00:00Z`
        6: unknown field `colour`, expected one of `person`, `event`, `manager`, `login`, `at`, `urgent`, `also_approved`, `roles`; wanted an object such as {"person":"ana","event":"left","at":"2027-01-31"}
        7: `renamed` needs `login`: all identities that the person has from now on
        8: expected value; wanted an object such as {"person":"ana","event":"left","at":"2027-01-31"}
        "#);
    }
}
