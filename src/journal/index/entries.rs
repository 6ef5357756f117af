//! What the journal's rows say, as the side file has it: written by one function and compared by it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rusqlite::{Connection, Rows, params};
use serde::Deserialize;

use super::error::IndexError;
use super::side_file::{check, differs, failed, reached, signed};
use crate::domain::value::time::Timestamp;
use crate::journal::{JournalReader, Row, abandoned_by};

/// How many rows one step takes; lists wait for one step at most.
pub(super) const STEP_ROWS: usize = 256;

/// What the side file says of one row.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    sequence: i64,
    at: i64,
    actor: Cow<'a, str>,
    kind: Cow<'a, str>,
    about: BTreeSet<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    at: Timestamp,
    #[serde(borrow)]
    actor: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    about: Vec<Cow<'a, str>>,
    #[serde(default)]
    last: bool,
}

fn parse(row: &Row) -> Result<Event<'_>, IndexError> {
    serde_json::from_str(&row.body).map_err(|error| IndexError::Row { sequence: row.sequence, what: error.to_string() })
}

/// The entries of complete batches. A row that a later one of its batch strikes out has none.
fn entries(rows: &[Row]) -> Result<Vec<Entry<'_>>, IndexError> {
    let (mut all, mut batch_from) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        if let Some(struck) = abandoned_by(&row.body) {
            let struck = signed(*struck.start())..=signed(*struck.end());
            let mut of_batch = all.split_off(batch_from);
            of_batch.retain(|entry: &Entry<'_>| !struck.contains(&entry.sequence));
            all.append(&mut of_batch);
        }
        let Event { at, actor, kind, about, last } = parse(row)?;
        let about = about.into_iter().collect();
        all.push(Entry { sequence: signed(row.sequence), at: at.millis(), actor, kind, about });
        if last {
            batch_from = all.len();
        }
    }
    Ok(all)
}

/// How many of the rows, from the first, are complete batches.
fn last_complete(rows: &[Row]) -> Result<Option<usize>, IndexError> {
    for (at, row) in rows.iter().enumerate().rev() {
        if parse(row)?.last {
            return Ok(at.checked_add(1));
        }
    }
    Ok(None)
}

/// Gives the journal's complete batches after a sequence, up to another, to `each`, some at a time. Says how far they went.
pub(super) fn walk(
    reader: &dyn JournalReader,
    after: u64,
    until: u64,
    each: &mut dyn FnMut(&[Row]) -> Result<(), IndexError>,
) -> Result<u64, IndexError> {
    let mut reached = after;
    let mut waiting: Vec<Row> = Vec::new();
    loop {
        let from = waiting.last().map_or(reached, |row| row.sequence);
        let wanted = usize::try_from(until.saturating_sub(from)).unwrap_or(usize::MAX).min(STEP_ROWS);
        let rows = reader.read_after(from, wanted)?;
        let end = rows.len() < STEP_ROWS;
        waiting.extend(rows);
        if let Some(complete) = last_complete(&waiting)? {
            let rest = waiting.split_off(complete);
            each(&waiting)?;
            reached = waiting.last().map_or(reached, |row| row.sequence);
            waiting = rest;
        }
        if end {
            return Ok(reached);
        }
    }
}

/// Writes the entries of complete batches, and with them how far they go.
pub(super) fn put(connection: &Connection, rows: &[Row]) -> Result<(), IndexError> {
    let entries = entries(rows)?;
    let run = || -> rusqlite::Result<()> {
        for Entry { sequence, at, actor, kind, about } in &entries {
            let insert = "INSERT INTO event(seq, at, actor, kind) VALUES (?1, ?2, ?3, ?4)";
            connection.prepare_cached(insert)?.execute(params![sequence, at, actor, kind])?;
            let mut insert = connection.prepare_cached("INSERT INTO about(about, seq) VALUES (?1, ?2)")?;
            for about in about {
                insert.execute(params![about, sequence])?;
            }
        }
        let last = rows.last().map_or(0, |row| signed(row.sequence));
        connection.execute("UPDATE reached SET sequence = ?1", [last]).map(|_| ())
    };
    run().map_err(|error| failed(&error))
}

/// Compares all that the side file says with the journal: its pages and indexes with its tables, and those with the rows.
pub(super) fn compare(connection: &Connection, reader: &dyn JournalReader) -> Result<(), IndexError> {
    // One snapshot for all of it.
    let snapshot = connection.unchecked_transaction().map_err(|error| failed(&error))?;
    check(&snapshot, reader)?;
    let sound = snapshot.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    let sound = sound.map_err(|error| failed(&error))?;
    if sound != "ok" {
        return Err(differs(sound));
    }
    let reached = reached(&snapshot)?;
    let prepare = |sql| snapshot.prepare(sql).map_err(|error| failed(&error));
    let mut events = prepare("SELECT seq, at, actor, kind FROM event ORDER BY seq")?;
    let mut abouts = prepare("SELECT seq, about FROM about ORDER BY seq, about")?;
    let events = events.query([]).map_err(|error| failed(&error))?;
    let abouts = abouts.query([]).map_err(|error| failed(&error))?;
    let mut told = Told { events, abouts, next_about: None };
    told.advance()?;
    let walked = walk(reader, 0, reached, &mut |rows| {
        for entry in entries(rows)? {
            if told.next()?.as_ref() != Some(&entry) {
                return Err(differs(format!("of event {} it says something else", entry.sequence)));
            }
        }
        Ok(())
    })?;
    if walked != reached {
        return Err(differs(format!("it goes to event {reached}, and the journal to {walked}")));
    }
    match told.next()? {
        None if told.next_about.is_none() => Ok(()),
        _ => Err(differs("it says more than the journal".to_owned())),
    }
}

/// What the side file says, event by event.
struct Told<'a> {
    events: Rows<'a>,
    abouts: Rows<'a>,
    next_about: Option<(i64, String)>,
}

impl Told<'_> {
    fn next(&mut self) -> Result<Option<Entry<'static>>, IndexError> {
        let row = self.events.next().and_then(|row| {
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            row.map(read).transpose()
        });
        let row: Option<(i64, i64, String, String)> = row.map_err(|error| failed(&error))?;
        let Some((sequence, at, actor, kind)) = row else { return Ok(None) };
        let mut about = BTreeSet::new();
        while let Some((_, of_event)) = self.next_about.take_if(|(of, _)| *of == sequence) {
            about.insert(Cow::Owned(of_event));
            self.advance()?;
        }
        Ok(Some(Entry { sequence, at, actor: Cow::Owned(actor), kind: Cow::Owned(kind), about }))
    }

    fn advance(&mut self) -> Result<(), IndexError> {
        let row = self.abouts.next();
        let next = row.and_then(|row| row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose());
        self.next_about = next.map_err(|error| failed(&error))?;
        Ok(())
    }
}
