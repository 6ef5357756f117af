//! Invariant 10: no change of a journal with a history in it stays unseen.

use std::path::Path;

use countersign::domain::record::row::decode;
use countersign::journal::{Head, Journal, OpenError, Options, Row, SqliteJournal, verify_file};
use proptest::prelude::*;

use crate::history::{Past, Step, history};
use crate::journal::runner;
use crate::world::World;

/// What somebody does to a file of a journal.
#[derive(Debug, Clone, Copy)]
enum Tampering {
    Edit,
    Delete,
    Copy,
    Insert,
    Cut,
}

/// Rows of a history in a file, as the broker would have written them; its head.
fn written(path: &Path, world: &World) -> Head {
    let mut journal = SqliteJournal::create(path, Options::default()).unwrap();
    let mut batch = Vec::new();
    for (sequence, body) in (1_u64..).zip(&world.rows) {
        batch.push(Row { sequence, body: body.clone() });
        if decode(body).unwrap().1 {
            let expected = journal.head();
            journal.append(expected, &std::mem::take(&mut batch)).unwrap();
        }
    }
    journal.head()
}

#[test]
fn invariant_10_any_change_of_a_history_is_found_and_its_row_named() {
    let tampering = prop::sample::select(vec![
        Tampering::Edit,
        Tampering::Delete,
        Tampering::Copy,
        Tampering::Insert,
        Tampering::Cut,
    ]);
    let tampered = prop::collection::vec((tampering, any::<prop::sample::Index>()), 6);
    let run = |(steps, tampered): (Vec<Step>, Vec<(Tampering, prop::sample::Index)>)| {
        let mut past = Past::with_emergencies();
        steps.iter().for_each(|step| drop(past.step(step)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let head = written(&path, &past.world);
        assert_eq!(verify_file(&path, Some(head)).unwrap().recovered.head, head);
        for (how, at) in tampered {
            let copy = folder.path().join("copy.sqlite");
            let connection = rusqlite::Connection::open(&path).unwrap();
            connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
            // Never the last row: that its end was cut shows by a head alone that was noted before.
            let row = i64::try_from(at.index(past.world.rows.len() - 1) + 1).unwrap();
            let copied = rusqlite::Connection::open(&copy).unwrap();
            let change = match how {
                Tampering::Edit => "UPDATE journal SET body = replace(body, '\"at\":1', '\"at\":2') WHERE seq = ?1",
                Tampering::Delete => "DELETE FROM journal WHERE seq = ?1",
                Tampering::Copy => {
                    "UPDATE journal SET body = (SELECT body FROM journal WHERE seq = ?1 + 1) WHERE seq = ?1"
                }
                Tampering::Insert => {
                    copied.execute("UPDATE journal SET seq = seq + 1000000 WHERE seq >= ?1", [row]).unwrap();
                    copied.execute("UPDATE journal SET seq = seq - 999999 WHERE seq > 1000000", []).unwrap();
                    "INSERT INTO journal SELECT seq - 1, body, hash FROM journal WHERE seq = ?1 + 1"
                }
                Tampering::Cut => "DELETE FROM journal WHERE seq >= ?1 + 1",
            };
            let changed = copied.execute(change, [row]).unwrap();
            assert!(changed > 0, "{how:?} of {row}");
            drop(copied);
            let named = match how {
                Tampering::Edit | Tampering::Delete | Tampering::Copy => Some(row),
                // The one that was inserted is the very row; the one after it is in another's place.
                Tampering::Insert => Some(row + 1),
                Tampering::Cut => None,
            };
            let found = match verify_file(&copy, None) {
                Err(OpenError::Broken { sequence, .. }) => Some(i64::try_from(sequence).unwrap()),
                Err(other) => panic!("{how:?} of {row}: {other}"),
                Ok(_) => None,
            };
            assert_eq!(found, named, "{how:?} of {row}");
            assert!(verify_file(&copy, Some(head)).is_err(), "{how:?} of {row}");
            std::fs::remove_file(&copy).unwrap();
        }
        Ok(())
    };
    runner(6).run(&(history(30), tampered), run).unwrap();
}
