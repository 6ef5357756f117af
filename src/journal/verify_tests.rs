use super::super::conformance_tests::{InFile, Place as _, batch, filled};
use super::super::{Journal as _, Options, SqliteJournal};
use super::*;
use crate::domain::value::ids::Digest;

/// A copy without a log, whose bytes and rows a test may change.
fn sealed(batches: &[u64]) -> (InFile, Head) {
    let place = InFile::new();
    let head = filled(&place, batches);
    assert!(!has_log(&place.path()).unwrap());
    (place, head)
}

fn bad_row(place: &InFile) -> (u64, Fault) {
    match verify_file(&place.path(), None) {
        Err(OpenError::Broken { sequence, fault }) => (sequence, fault),
        other => panic!("not a bad row: {other:?}"),
    }
}

fn changed(place: &InFile, sql: &str) -> String {
    place.raw().execute_batch(sql).unwrap();
    verify_file(&place.path(), None).unwrap_err().to_string()
}

#[test]
fn a_sound_journal_verifies_and_nothing_is_written() {
    let (place, head) = sealed(&[2, 3]);
    let odd = place.0.path().join("a?b#c %41 é.db");
    fs::copy(place.path(), &odd).unwrap();
    let before: Vec<_> = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in [place.path(), odd] {
        let verified = verify_file(&path, None).unwrap();
        assert_eq!(verified.recovered, Recovered { head, abandoned: None });
    }
    let after: Vec<_> = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(before, after);
}

#[test]
fn a_live_journal_verifies_beside_its_writer() {
    let place = InFile::new();
    let (mut journal, _) = SqliteJournal::open(&place.path(), Options::default(), &mut |_| Ok(())).unwrap();
    journal.append(journal.head(), &batch(journal.head(), 3)).unwrap();
    assert!(has_log(&place.path()).unwrap());
    let verified = verify_file(&place.path(), None).unwrap();
    assert_eq!((verified.id, verified.recovered.head), (journal.id(), journal.head()));
    assert!(journal.append(journal.head(), &batch(journal.head(), 1)).is_ok());
}

#[test]
fn invariant_10_a_flipped_bit_in_any_byte_of_any_column_names_its_row() {
    let (place, _) = sealed(&[1, 2]);
    let original = place.stored();
    for (at, row) in original.iter().enumerate() {
        let wanted = u64::try_from(row.sequence).unwrap();
        for byte in 0..row.body.len() + row.hash.len() {
            let mut rows = original.clone();
            match byte.checked_sub(row.body.len()) {
                None => rows[at].body[byte] ^= 1 << (byte % 8),
                Some(byte) => rows[at].hash[byte] ^= 1 << (byte % 8),
            }
            place.replace(&rows);
            assert_eq!(bad_row(&place), (wanted, Fault::Hash), "byte {byte} of row {wanted}");
        }
        for bit in 0..64 {
            let mut rows = original.clone();
            rows[at].sequence ^= 1 << bit;
            let moved = rows[at].sequence;
            rows.retain(|other| other.sequence != moved || other.body == original[at].body);
            place.replace(&rows);
            let first = u64::try_from(moved).ok().filter(|moved| *moved > 0).map_or(1, |moved| moved.min(wanted));
            assert_eq!(bad_row(&place).0, first, "bit {bit} of the number of row {wanted}");
        }
    }
}

#[test]
fn invariant_10_no_flipped_byte_of_the_file_changes_what_is_verified() {
    let (place, _) = sealed(&[1, 2]);
    let sound = verify_file(&place.path(), None).unwrap();
    let bytes = fs::read(place.path()).unwrap();
    let mut found = 0;
    for at in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(place.path(), &damaged).unwrap();
        let verified = verify_file(&place.path(), None);
        // A start says the same.
        let started = SqliteJournal::open(&place.path(), Options::default(), &mut |_| Ok(())).map(|(_, found)| found);
        match verified {
            // Room that holds nothing, or a counter that says nothing of the rows.
            Ok(verified) => {
                assert_eq!(verified, sound, "byte {at}");
                assert_eq!(started.unwrap(), sound.recovered, "byte {at}");
            }
            Err(_) => {
                assert!(started.is_err(), "byte {at}");
                found += 1;
            }
        }
    }
    for (at, bit) in (16..24).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << bit;
        fs::write(place.path(), &damaged).unwrap();
        let refused = |error: OpenError| assert!(!error.to_string().contains("readonly"), "{error}");
        let verified = verify_file(&place.path(), None).map(|found| found.recovered).map_err(refused);
        let started = SqliteJournal::open(&place.path(), Options::default(), &mut |_| Ok(()));
        assert_eq!(started.map(|(_, found)| found).map_err(refused), verified, "bit {bit} of byte {at}");
        found += usize::from(verified.is_err() && matches!(at, 18 | 19));
    }
    assert!(found > 316, "{found}");
}

#[test]
fn rows_swapped_deleted_or_added_are_named() {
    let (place, _) = sealed(&[6]);
    let original = place.stored();
    let after = |sql: &str| {
        place.replace(&original);
        place.raw().execute_batch(sql).unwrap();
        bad_row(&place)
    };
    let swap = "UPDATE journal SET seq = 99 WHERE seq = 2; UPDATE journal SET seq = 2 WHERE seq = 4;
        UPDATE journal SET seq = 4 WHERE seq = 99";
    assert_eq!(after(swap), (2, Fault::Hash));
    assert_eq!(after("DELETE FROM journal WHERE seq = 3"), (3, Fault::Missing { found: 4 }));
    assert_eq!(after("DELETE FROM journal WHERE seq = 1"), (1, Fault::Missing { found: 2 }));
    assert_eq!(after("INSERT INTO journal VALUES (0, '{}', x'00')"), (1, Fault::OutOfPlace { found: 0 }));
    assert_eq!(after("INSERT INTO journal VALUES (-7, '{}', x'00')"), (1, Fault::OutOfPlace { found: -7 }));
    assert_eq!(after("INSERT INTO journal SELECT 7, body, hash FROM journal WHERE seq = 6"), (7, Fault::Hash));
    assert_eq!(after("UPDATE journal SET body = body || ' ' WHERE seq = 5"), (5, Fault::Hash));
    let text = verify_file(&place.path(), None).unwrap_err().to_string();
    assert!(text.starts_with("row 5 is bad: its hash") && text.contains("restore a copy"), "{text}");
}

#[test]
fn a_chain_that_was_made_again_is_checked_against_the_rows_themselves() {
    let (place, head) = sealed(&[2]);
    let id = verify_file(&place.path(), None).unwrap().id;
    let forged = |body: &[u8]| {
        let next = super::super::chain::following(&head, body);
        let mut rows = place.stored();
        rows.truncate(2);
        rows.push(super::super::memory::Stored { sequence: 3, body: body.to_vec(), hash: next.hash.bytes().to_vec() });
        place.replace(&rows);
        bad_row(&place)
    };
    assert_eq!(forged(br#"{"seq":4,"last":true}"#), (3, Fault::OtherSequence { body: 4 }));
    assert!(matches!(forged(b"[3,true]"), (3, Fault::NotJson { .. })));
    assert!(matches!(forged(b"{\"seq\":3"), (3, Fault::NotJson { .. })));
    assert_eq!(forged(b"\xff"), (3, Fault::Column { column: "body", wanted: "UTF-8 text" }));
    let long = super::super::MAX_BODY_BYTES + 1;
    assert_eq!(forged(&vec![b'x'; long]), (3, Fault::TooLarge { bytes: long }));
    assert_eq!(super::super::chain::origin(id).sequence, 0);
}

#[test]
fn a_cut_or_rewritten_end_shows_against_a_head_noted_earlier() {
    let (place, head) = sealed(&[2, 3]);
    let earlier = {
        let rows = place.stored();
        Head { sequence: 2, hash: Digest::from(<[u8; 32]>::try_from(rows[1].hash.as_slice()).unwrap()) }
    };
    for known in [head, earlier] {
        assert!(verify_file(&place.path(), Some(known)).is_ok());
    }
    let rewritten = Head { hash: Digest::of(b"x"), ..earlier };
    let text = verify_file(&place.path(), Some(rewritten)).unwrap_err().to_string();
    assert!(text.starts_with("row 2 is not the one that was expected"), "{text}");
    for kept in 2..5 {
        place.replace(&place.stored()[..kept]);
        assert!(verify_file(&place.path(), None).is_ok());
        let cut = verify_file(&place.path(), Some(head)).unwrap_err();
        assert!(matches!(cut, OpenError::HeadDiffers { expected, .. } if expected == head), "{cut}");
        place.replace(&[]);
        assert!(verify_file(&place.path(), Some(earlier)).is_err());
        filled(&place, &[2, 3]);
    }
    assert_eq!(head.to_string().parse::<Head>(), Ok(head));
    for text in ["5", "5:", ":00", &format!("05:{}", head.hash), &format!("+5:{}", head.hash)] {
        assert!(text.parse::<Head>().is_err(), "{text}");
    }
}

#[test]
fn another_id_or_another_definition_is_found() {
    let cases = [
        ("UPDATE journal_id SET id = '0197c9a2-7f3b-4cc1-8000-0123456789ab'", "row 1 is bad"),
        ("UPDATE journal_id SET id = 'x'", "its id `x` is not"),
        ("UPDATE journal_id SET format = 1", "does not hold its one row"),
        ("DELETE FROM journal_id", "does not hold its one row"),
        ("PRAGMA user_version = 1", "its format is 1, this version knows 5"),
        ("PRAGMA application_id = 7", "not made by countersign"),
        ("DROP VIEW event", "view `event` is missing or was changed"),
        ("DROP VIEW event; CREATE VIEW event AS SELECT seq FROM journal", "view `event` is missing or was changed"),
        ("DROP VIEW event; CREATE TABLE event(seq)", "view `event` is missing or was changed"),
        ("CREATE INDEX x ON journal(body)", "index `x`, which does not belong"),
        ("CREATE TRIGGER x AFTER INSERT ON journal BEGIN SELECT 1; END", "trigger `x`, which does not belong"),
        ("ALTER TABLE journal ADD COLUMN more TEXT", "table `journal` is missing or was changed"),
        ("ALTER TABLE journal RENAME COLUMN hash TO hush", "was changed"),
    ];
    for (sql, wanted) in cases {
        let (place, _) = sealed(&[2]);
        let text = changed(&place, sql);
        assert!(text.contains(wanted), "{sql}: {text}");
        let start = SqliteJournal::open(&place.path(), Options::default(), &mut |_| Ok(()));
        assert_eq!(start.map(|_| ()).unwrap_err().to_string(), text, "{sql}");
    }
}

#[test]
fn a_page_that_hides_rows_from_a_look_up_is_found() {
    let (place, _) = sealed(&[100]);
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'journal'";
    let root: usize = place.raw().query_row(root, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap();
    let mut bytes = fs::read(place.path()).unwrap();
    // An inner page: its type, then from byte 12 where its cells are; a cell is a child's page and that child's last key.
    let page = (root - 1) * 4096;
    assert_eq!(bytes[page], 5);
    let cell = page + usize::from(u16::from_be_bytes([bytes[page + 12], bytes[page + 13]]));
    assert!((5..100).contains(&bytes[cell + 4]));
    bytes[cell + 4] -= 3;
    fs::write(place.path(), bytes).unwrap();
    let text = verify_file(&place.path(), None).unwrap_err().to_string();
    assert!(text.contains("its pages are damaged"), "{text}");
}
