//! Prints the story and compares every answer with the expected one: what is printed is what the broker answered.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::clock::{Clock, Reading, SystemClock};
use crate::domain::value::time::Span;
use crate::sdk::ClientError;

/// How wide the part before an answer is.
const ASKED_COLUMNS: usize = 62;
/// How wide a note is.
const NOTE_COLUMNS: usize = 112;

/// Tells the story. The first answer that is not the expected one ends it.
pub(super) struct Narrator<'w> {
    out: &'w mut (dyn Write + Send),
    clock: Arc<dyn Clock>,
    began: Reading,
    step: u32,
    answers: u32,
}

impl<'w> Narrator<'w> {
    pub(super) fn new(out: &'w mut (dyn Write + Send)) -> Self {
        let clock = Arc::new(SystemClock);
        Self { out, began: clock.read(), clock, step: 0, answers: 0 }
    }

    /// A line of its own.
    pub(super) fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.out, "{line}").and_then(|()| self.out.flush()).context("cannot print")
    }

    /// The next step's heading.
    pub(super) fn step(&mut self, title: &str) -> Result<()> {
        self.step = self.step.saturating_add(1);
        let line = format!("{}. {title}", self.step);
        self.say(&line)
    }

    /// What the broker said that is not an answer to compare with anything, in as many lines as it takes.
    pub(super) fn note(&mut self, line: &str) -> Result<()> {
        wrapped(line).iter().try_for_each(|line| self.say(&format!("     {line}")))
    }

    /// What was asked and what the broker answered, with a word of explanation that is not compared.
    ///
    /// # Errors
    /// If the answer is not the expected one.
    pub(super) fn answer(&mut self, asked: &str, answered: &Answer, expected: &str) -> Result<()> {
        self.answers = self.answers.saturating_add(1);
        let detail = if answered.detail.is_empty() { String::new() } else { format!("  {}", answered.detail) };
        self.say(&format!("   {asked:<ASKED_COLUMNS$} {}{detail}", answered.what))?;
        if answered.what == expected {
            return Ok(());
        }
        let step = self.step;
        bail!("step {step}, {asked}: the broker answered `{}`, and `{expected}` was expected", answered.what)
    }

    /// How many answers were held against the expected ones.
    pub(super) fn answers(&self) -> u32 {
        self.answers
    }

    /// How long it has taken.
    pub(super) fn took(&self) -> Span {
        self.clock.boot().since(self.began.boot)
    }

    /// Both clocks now.
    pub(super) fn now(&self) -> Reading {
        self.clock.read()
    }
}

/// What the broker answered, in the fewest words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// What is compared: `APPROVED`, `SELF_APPROVAL`, `DENY NO_GRANT`.
    pub(super) what: String,
    /// What is only shown.
    pub(super) detail: String,
}

impl Answer {
    pub(super) fn new(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), detail: detail.into() }
    }

    /// What came back from a call: `render` makes the answer; of a refusal it is the reason.
    pub(super) fn of<T>(result: &Result<T, ClientError>, render: impl FnOnce(&T) -> Self) -> Self {
        match result {
            Ok(value) => render(value),
            Err(ClientError::Refused(refused)) if !refused.reason_name.is_empty() => {
                Self::new(refused.reason_name.clone(), "")
            }
            Err(error) => Self::new("no answer", error.to_string()),
        }
    }
}

/// Seconds and milliseconds: `4.003 s`.
pub(super) fn seconds(span: Span) -> String {
    format!("{}.{:03} s", span.millis().div_euclid(1_000), span.millis().rem_euclid(1_000))
}

/// A text in lines of so many characters, broken at blanks.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count().saturating_add(word.chars().count()) < NOTE_COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_answer_than_the_expected_one_ends_the_story_and_is_named() {
        // given a story with one step
        let mut printed = Vec::new();
        let mut narrator = Narrator::new(&mut printed);
        narrator.step("Nobody approves for themselves").unwrap();
        // when one answer is as expected and one is not
        assert!(narrator.answer("ana approves", &Answer::new("SELF_APPROVAL", ""), "SELF_APPROVAL").is_ok());
        let error = narrator.answer("ana again", &Answer::new("APPROVED", "grant 1"), "SELF_APPROVAL").unwrap_err();
        // then the second ends it, and what the broker answered was printed all the same
        assert_eq!(
            error.to_string(),
            "step 1, ana again: the broker answered `APPROVED`, and `SELF_APPROVAL` was expected"
        );
        assert_eq!(narrator.answers(), 2);
        let printed = String::from_utf8(printed).unwrap();
        assert!(printed.contains("1. Nobody approves for themselves\n   ana approves "));
        assert!(printed.ends_with("APPROVED  grant 1\n"));
    }

    #[test]
    fn an_error_without_a_reason_is_no_answer() {
        let lost: Result<(), _> = Err(ClientError::Configuration("no key".to_owned()));
        let answer = Answer::of(&lost, |()| Answer::new("APPROVED", ""));
        assert_eq!(answer, Answer::new("no answer", "no key"));
    }

    #[test]
    fn times_are_exact_and_long_notes_wrap() {
        let shown = [0, 49, 4_003, 61_000].map(|millis| seconds(Span::from_millis(millis).unwrap()));
        assert_eq!(shown, ["0.000 s", "0.049 s", "4.003 s", "61.000 s"]);
        let text = "word ".repeat(50);
        let lines = wrapped(text.trim());
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.chars().count() <= NOTE_COLUMNS));
        assert_eq!(lines.join(" "), text.trim());
    }
}
