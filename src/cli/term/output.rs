//! Everything that the command line writes goes through here: data to stdout, the rest to stderr.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde_json::Value;

use super::failure::{Exit, Failure};
use super::json;
use super::text::clean_lines;

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON value, or one a line for a watch.
    Json,
}

/// The two streams, and what is known of them.
#[derive(Debug, Clone)]
pub struct Output {
    format: Format,
    width: u16,
    /// What was said beside the data and waits for the end: JSON tells a failure and all that was said before it in one object.
    held: Vec<String>,
    /// The command goes on for a while, so that what is said comes at once, an object a line.
    goes_on: bool,
}

/// Columns where the terminal does not say.
const DEFAULT_WIDTH: u16 = 120;
/// Fewer than this are not laid out for.
const LEAST_WIDTH: u16 = 40;

impl Output {
    /// For this process.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let width = comfy_table::Table::new().width().unwrap_or(DEFAULT_WIDTH);
        Self { format, width: width.max(LEAST_WIDTH), held: Vec::new(), goes_on: false }
    }

    /// Whether data is for programs.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// The columns to lay out for.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether a person can be asked: somebody reads stderr and types on stdin.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Whether a moving sign on stderr would be seen.
    #[must_use]
    pub fn can_animate(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Writes data: the text, or the value, whichever is asked for.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn data(&mut self, text: impl FnOnce(u16) -> String, value: impl FnOnce() -> Value) -> Result<(), Failure> {
        match self.format {
            Format::Text => self.text(&text(self.width)),
            Format::Json => Ok(writeln!(anstream::stdout(), "{}", json::pretty(&value()))?),
        }
    }

    /// Writes one step of a stream: a line of text, or a value on a line.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn step(&mut self, text: &str, value: impl FnOnce() -> Value) -> Result<(), Failure> {
        self.go_on();
        match self.format {
            Format::Text => self.text(text),
            Format::Json => Ok(writeln!(anstream::stdout(), "{}", json::line(&value()))?),
        }
    }

    /// Writes text to stdout, without what could deceive its reader (known failures D2 and H11).
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        let mut stdout = anstream::stdout().lock();
        let text = clean_lines(text);
        stdout.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()?;
        Ok(())
    }

    /// Writes a file: byte for byte to another file or program; on a terminal without what could deceive its reader; for
    /// programs that want JSON as a string.
    ///
    /// # Errors
    /// If stdout cannot be written, or the file is no text where one is wanted.
    pub fn file(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        if self.format == Format::Text && !io::stdout().is_terminal() {
            return self.raw(&bytes);
        }
        let text = String::from_utf8(bytes).map_err(|_| Failure::Failed("the file is no text".to_owned()))?;
        self.data(|_| text.clone(), || text.clone().into())
    }

    /// Writes bytes exactly as they are, to be saved as a file.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()?;
        Ok(())
    }

    /// Writes something that is not data, for a person; for programs an object. Those of a command that soon ends are written at its
    /// end, so that a failure is one object with all that was said before it.
    pub fn note(&mut self, text: &str) {
        if self.is_json() && !self.goes_on {
            self.held.push(text.to_owned());
            return;
        }
        self.to_stderr(&self.note_text(text));
    }

    /// What [`Output::note`] writes.
    #[must_use]
    pub fn note_text(&self, text: &str) -> String {
        match self.format {
            Format::Text => clean_lines(text).trim_end_matches('\n').to_owned(),
            Format::Json => json::line(&serde_json::json!({ "note": text.trim_end_matches('\n') })),
        }
    }

    /// The command goes on for a while: it waits for somebody, or follows a stream. From now on what is said is written at once.
    pub fn go_on(&mut self) {
        self.goes_on = true;
        for text in std::mem::take(&mut self.held) {
            self.note(&text);
        }
    }

    /// The command has done its work. What it found not in order is a failure of programs that look at stderr, too.
    pub fn finish(&mut self, exit: Exit) {
        if self.is_json() && exit == Exit::Failed {
            let said = std::mem::take(&mut self.held).join("; ");
            let text = if said.is_empty() { "not in order: see what was answered".to_owned() } else { said };
            return self.failure(&Failure::Failed(text));
        }
        self.go_on();
    }

    /// Reports a failure.
    pub fn failure(&mut self, failure: &Failure) {
        if matches!(failure, Failure::NobodyReads | Failure::Told(_)) {
            return;
        }
        let notes = std::mem::take(&mut self.held);
        if notes.is_empty() {
            return self.to_stderr(&self.failure_text(failure));
        }
        let mut value = failure.json();
        if let Some(error) = value.get_mut("error").and_then(Value::as_object_mut) {
            error.insert("notes".to_owned(), notes.into());
        }
        self.to_stderr(&json::line(&value));
    }

    fn to_stderr(&self, line: &str) {
        // Whoever closed stderr does not want to know.
        let _ = writeln!(anstream::stderr(), "{line}");
    }

    /// What [`Output::failure`] writes.
    #[must_use]
    pub fn failure_text(&self, failure: &Failure) -> String {
        match self.format {
            Format::Text => clean_lines(&failure.lines().join("\n")).trim_end_matches('\n').to_owned(),
            Format::Json => json::line(&failure.json()),
        }
    }

    /// Asks the person, and waits for a line. None: the end of the input.
    ///
    /// # Errors
    /// If stdin cannot be read.
    pub fn ask(&mut self, question: &str) -> Result<Option<String>, Failure> {
        self.go_on();
        let mut stderr = anstream::stderr();
        let _ = write!(stderr, "{} ", clean_lines(question));
        let _ = stderr.flush();
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        let bytes = read.map_err(|error| Failure::Failed(format!("the answer cannot be read: {error}")))?;
        Ok((bytes > 0).then(|| line.trim().to_owned()))
    }
}
