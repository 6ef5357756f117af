//! What can be written at all can be read again (known failure H21).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

use super::*;
use crate::domain::record::called_from::CalledFrom;
use crate::domain::record::event::{Actor, RequestMark};
use crate::domain::record::extremes::{called_from, extremes};
use crate::domain::record::row::decode;
use crate::domain::value::ids::{Digest, Principal};
use crate::domain::value::time::Timestamp;
use crate::journal::{Journal as _, Known, Options, SqliteJournal, verify_known};

fn events() -> Vec<Event> {
    let longest = format!("n{}", "z".repeat(63)).parse().unwrap();
    let actor = Actor::Caller(Principal::Account(longest));
    let mark = RequestMark { id: uuid::Uuid::max().into(), command: Digest::of(b"") };
    let from: CalledFrom = serde_json::from_value(called_from()).unwrap();
    let facts = (1..).zip(extremes());
    let event = |(sequence, fact)| Event {
        sequence,
        at: Timestamp::MAX,
        actor: actor.clone(),
        request: Some(mark.clone()),
        from: Some(Box::new(from.clone())),
        fact,
    };
    facts.map(event).collect()
}

#[test]
fn the_extremes_of_every_kind_of_fact_are_rows_that_a_start_reads() {
    let events = events();
    let rows = rows(&events, decode).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let mut journal = SqliteJournal::create(&path, Options::default()).unwrap();
    journal.append(journal.head(), &rows).unwrap();
    drop(journal);
    // when the journal is opened again, then every row is the event that it was made from
    let mut read = Vec::new();
    let mut each = |row: &Row| {
        read.push(decode(&row.body)?.0);
        Ok(())
    };
    drop(SqliteJournal::open(&path, Options::default(), &mut each).unwrap());
    assert_eq!(read, events);
    verify_known(&path, Known::default(), &mut |row| decode(&row.body).map(|_| ()).map_err(Into::into)).unwrap();
}

#[test]
fn a_row_that_no_start_reads_does_not_verify_however_well_it_is_chained() {
    let event = events().remove(0);
    let body = encode(&event, true).unwrap();
    let unknown = body.replace(event.fact.kind(), "policy-loaded/9");
    let nested = body.replace(r#""facts":{"#, &format!(r#""facts":{{"deep":{}{},"#, "[".repeat(200), "]".repeat(200)));
    for (body, what) in [(unknown, "unknown kind"), (nested, "unknown field")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let mut journal = SqliteJournal::create(&path, Options::default()).unwrap();
        journal.append(journal.head(), &[Row { sequence: 1, body }]).unwrap();
        drop(journal);
        let error = verify_known(&path, Known::default(), &mut |row| decode(&row.body).map(|_| ()).map_err(Into::into))
            .unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        let started = SqliteJournal::open(&path, Options::default(), &mut |row| {
            decode(&row.body).map(|_| ()).map_err(Into::into)
        });
        assert_eq!(started.unwrap_err().to_string(), error.to_string());
    }
}
