//! Events as the rows of one batch. None is appended that the reader would refuse (known failure H21): each is read back
//! and compared with the event that it was made from, as a start will read it.

use super::outcome::Halt;
use crate::domain::decide::amount;
use crate::domain::record::command::Command;
use crate::domain::record::event::Event;
use crate::domain::record::row::{Unreadable, encode};
use crate::domain::state::State;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::journal::{MAX_BODY_BYTES, Row};

/// How a start reads a row: the event, and whether it is its batch's last.
pub type ReadsRow = fn(&str) -> Result<(Event, bool), Unreadable>;

/// An event that can be no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {sequence} ({kind}) cannot be a row: {what}")]
pub(super) struct Unfit {
    sequence: u64,
    kind: &'static str,
    what: String,
}

impl From<Unfit> for Halt {
    fn from(unfit: Unfit) -> Self {
        Self::System(unfit.to_string())
    }
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        Self::new(Reason::Unrecordable, format!("`{}`: {}", unfit.kind, unfit.what)).with("kind", unfit.kind)
    }
}

/// The rows of a batch: the last one says so.
pub(super) fn rows(events: &[Event], reads: ReadsRow) -> Result<Vec<Row>, Unfit> {
    let last = events.last().map(|event| event.sequence);
    events.iter().map(|event| row(event, Some(event.sequence) == last, reads)).collect()
}

fn row(event: &Event, last: bool, reads: ReadsRow) -> Result<Row, Unfit> {
    let unfit = |what: String| Unfit { sequence: event.sequence, kind: event.fact.kind(), what };
    let body = encode(event, last).map_err(|error| unfit(error.to_string()))?;
    if body.len() > MAX_BODY_BYTES {
        return Err(unfit(format!("{} bytes are over the {MAX_BODY_BYTES} of a row", body.len())));
    }
    let (read, is_last) = reads(&body).map_err(|error| unfit(error.to_string()))?;
    if read != *event || is_last != last {
        return Err(unfit("it reads back as something else".to_owned()));
    }
    Ok(Row { sequence: event.sequence, body })
}

/// Whether a command's events, whose rows these are, are within what it may write.
///
/// # Errors
/// `TOO_MUCH`.
pub(super) fn within_allowance(
    state: &State,
    command: &Command,
    events: &[Event],
    rows: &[Row],
) -> Result<(), Refusal> {
    let bytes = || rows.iter().map(|row| row.body.len());
    if bytes().sum::<usize>() <= amount::AT_LEAST_BYTES {
        return Ok(());
    }
    let counted = bytes().zip(amount::counted(events)).filter(|(_, counted)| *counted);
    let counted: usize = counted.map(|(bytes, _)| bytes).sum();
    let Some(allowance) = amount::allowance(state, command).filter(|allowance| counted > *allowance) else {
        return Ok(());
    };
    let detail = format!("{counted} bytes of rows, and by what it says itself it may write {allowance}");
    Err(Refusal::new(Reason::TooMuch, detail).with("bytes", counted).with("allowance", allowance))
}

/// Whether the journal would take what a command leads to: for who only asks what it would do.
///
/// # Errors
/// `UNRECORDABLE`, `TOO_MUCH`.
pub(super) fn recordable(state: &State, command: &Command, events: &[Event], reads: ReadsRow) -> Result<(), Refusal> {
    let rows = rows(events, reads)?;
    within_allowance(state, command, events, &rows)
}

/// Entropy for the ids of one command.
pub(super) fn nonce() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
