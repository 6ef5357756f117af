//! What every journal must do, run over each of them, and the tampering that every journal must find (invariant 10).

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rusqlite::Connection;

use super::memory::Stored;
use super::*;

/// A place where a journal is kept, which outlives the journal and lets a test change what is stored.
pub(super) trait Place {
    fn open(&self, each: EachRow<'_>) -> Result<(Box<dyn Journal>, Recovered), OpenError>;
    fn stored(&self) -> Vec<Stored>;
    fn replace(&self, rows: &[Stored]);
}

pub(super) struct InMemory(pub(super) MemoryStore);

pub(super) struct InFile(pub(super) tempfile::TempDir);

impl InFile {
    pub(super) fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        drop(SqliteJournal::create(&place.path(), Options::default()).unwrap());
        place
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("journal.db")
    }

    pub(super) fn raw(&self) -> Connection {
        let raw = Connection::open(self.path()).unwrap();
        // Tampering need not be durable.
        raw.pragma_update(None, "synchronous", "off").unwrap();
        raw
    }
}

impl Place for InMemory {
    fn open(&self, each: EachRow<'_>) -> Result<(Box<dyn Journal>, Recovered), OpenError> {
        MemoryJournal::open(&self.0, each).map(|(journal, found)| (Box::new(journal) as Box<dyn Journal>, found))
    }
    fn stored(&self) -> Vec<Stored> {
        self.0.disk().rows.clone()
    }
    fn replace(&self, rows: &[Stored]) {
        self.0.disk().rows = rows.to_vec();
    }
}

impl Place for InFile {
    fn open(&self, each: EachRow<'_>) -> Result<(Box<dyn Journal>, Recovered), OpenError> {
        SqliteJournal::open(&self.path(), Options::default(), each)
            .map(|(journal, found)| (Box::new(journal) as Box<dyn Journal>, found))
    }
    fn stored(&self) -> Vec<Stored> {
        let raw = self.raw();
        let mut rows = raw.prepare("SELECT seq, CAST(body AS BLOB), hash FROM journal ORDER BY seq").unwrap();
        let rows = rows.query_map([], |row| Ok(Stored { sequence: row.get(0)?, body: row.get(1)?, hash: row.get(2)? }));
        rows.unwrap().map(Result::unwrap).collect()
    }
    fn replace(&self, rows: &[Stored]) {
        let mut raw = self.raw();
        let transaction = raw.transaction().unwrap();
        transaction.execute("DELETE FROM journal", []).unwrap();
        for row in rows {
            let insert = "INSERT INTO journal(seq, body, hash) VALUES (?1, CAST(?2 AS TEXT), ?3)";
            transaction.execute(insert, rusqlite::params![row.sequence, row.body, row.hash]).unwrap();
        }
        transaction.commit().unwrap();
    }
}

/// A batch of `count` rows that follows `head`.
pub(super) fn batch(head: Head, count: u64) -> Vec<Row> {
    (1..=count).map(|n| row(head.sequence + n, n == count)).collect()
}

pub(super) fn row(sequence: u64, last: bool) -> Row {
    let at = 1_763_849_000_000_u64 + sequence;
    let last = if last { r#","last":true"# } else { "" };
    let body = format!(
        r#"{{"seq":{sequence},"at":{at},"actor":"account:ana","kind":"note-written/1","about":["person:ana"],"facts":{{"text":"été {sequence}"}}{last}}}"#
    );
    Row { sequence, body }
}

pub(super) fn filled(place: &dyn Place, batches: &[u64]) -> Head {
    let (mut journal, _) = place.open(&mut |_| Ok(())).unwrap();
    for count in batches {
        let head = journal.head();
        journal.append(head, &batch(head, *count)).unwrap();
    }
    journal.head()
}

fn reopened(place: &dyn Place) -> (Vec<Row>, Result<Recovered, OpenError>) {
    let mut rows = Vec::new();
    let found = place.open(&mut |row| {
        rows.push(row.clone());
        Ok(())
    });
    (rows, found.map(|(_, found)| found))
}

macro_rules! conformance {
    ($($test:ident),+ $(,)?) => {
        mod memory_journal { $(#[test] fn $test() { super::$test(&super::InMemory(super::MemoryStore::new())); })+ }
        mod sqlite_journal { $(#[test] fn $test() { super::$test(&super::InFile::new()); })+ }
    };
}

conformance! {
    what_is_appended_is_read_back_in_order,
    reopening_gives_the_same_head_and_rows,
    a_batch_that_does_not_follow_the_head_is_refused,
    a_batch_of_another_shape_is_refused_and_nothing_of_it_kept,
    a_body_may_be_one_mebibyte_and_not_a_byte_more,
    readers_see_what_is_durable_and_nothing_else,
    rows_without_a_last_one_are_reported_as_abandoned,
    opening_stops_where_the_caller_refuses_a_row,
    a_second_writer_is_refused_at_once_until_the_first_is_gone,
    invariant_10_any_edit_deletion_swap_or_insertion_is_found_and_the_row_named,
}

fn what_is_appended_is_read_back_in_order(place: &dyn Place) {
    let (mut journal, found) = place.open(&mut |_| Ok(())).unwrap();
    assert_eq!((found.head.sequence, found.abandoned), (0, None));
    let first = batch(journal.head(), 3);
    let head = journal.append(journal.head(), &first).unwrap();
    let second = batch(head, 2);
    let head = journal.append(head, &second).unwrap();
    let all: Vec<Row> = first.into_iter().chain(second).collect();
    let reader = journal.reader();
    assert_eq!((head, reader.head().unwrap()), (journal.head(), journal.head()));
    assert_eq!(reader.read_after(0, 10).unwrap(), all);
    assert_eq!(reader.read_after(1, 2).unwrap(), all[1..3]);
    assert_eq!(
        (reader.read(4).unwrap().as_ref(), reader.read(6).unwrap(), reader.read(0).unwrap()),
        (Some(&all[3]), None, None)
    );
    assert!(reader.read_after(u64::MAX, 10).unwrap().is_empty());
}

fn reopening_gives_the_same_head_and_rows(place: &dyn Place) {
    let head = filled(place, &[1, 4, 2]);
    let (rows, found) = reopened(place);
    assert_eq!(found.unwrap(), Recovered { head, abandoned: None });
    let wanted: Vec<Row> = (1..=7).map(|sequence| row(sequence, [1, 5, 7].contains(&sequence))).collect();
    assert_eq!(rows, wanted);
    assert_eq!(filled(place, &[1]).sequence, 8);
}

fn a_batch_that_does_not_follow_the_head_is_refused(place: &dyn Place) {
    filled(place, &[2]);
    let (mut journal, _) = place.open(&mut |_| Ok(())).unwrap();
    let head = journal.head();
    let others = [Head { sequence: 1, ..head }, Head { sequence: 3, ..head }, Head { hash: Digest::of(b"x"), ..head }];
    for expected in others {
        let refused = journal.append(expected, &batch(head, 1)).unwrap_err();
        assert_eq!(refused, AppendError::NotAppended { reason: Refused::HeadMoved { expected, head } });
    }
    assert_eq!(journal.append(head, &batch(head, 1)).unwrap().sequence, 3);
}

fn a_batch_of_another_shape_is_refused_and_nothing_of_it_kept(place: &dyn Place) {
    let head = filled(place, &[2]);
    let (mut journal, _) = place.open(&mut |_| Ok(())).unwrap();
    let body = |body: &str| vec![row(3, false), Row { sequence: 4, body: body.into() }];
    let bad = [
        vec![],
        vec![row(4, true)],
        vec![row(2, true)],
        vec![row(3, false), row(3, true)],
        vec![row(3, false), row(5, true)],
        vec![row(3, false)],
        vec![row(3, true), row(4, true)],
        body(r#"{"seq":5,"last":true}"#),
        body(r#"{"seq":"4","last":true}"#),
        body(r#"{"seq":4,"seq":4,"last":true}"#),
        body(r#"{"seq":4,"last":1}"#),
        body(r#"{"last":true}"#),
        body(r#"[4,true]"#),
        body(r#"{"seq":4,"last":true}{}"#),
        body("4"),
        body(""),
    ];
    for rows in bad {
        let refused = journal.append(head, &rows);
        assert!(matches!(refused, Err(AppendError::NotAppended { .. })), "{rows:?} {refused:?}");
        assert_eq!((journal.head(), journal.reader().head().unwrap()), (head, head), "{rows:?}");
    }
    assert_eq!(journal.append(head, &batch(head, 2)).unwrap().sequence, 4);
}

fn a_body_may_be_one_mebibyte_and_not_a_byte_more(place: &dyn Place) {
    let (mut journal, _) = place.open(&mut |_| Ok(())).unwrap();
    let sized = |sequence: u64, bytes: usize| {
        let body = format!(r#"{{"seq":{sequence},"last":true,"text":""}}"#);
        let text = "x".repeat(bytes - body.len());
        Row { sequence, body: body.replace(r#""text":"""#, &format!(r#""text":"{text}""#)) }
    };
    let mut head = journal.head();
    for bytes in [MAX_BODY_BYTES - 1, MAX_BODY_BYTES] {
        head = journal.append(head, &[sized(head.sequence + 1, bytes)]).unwrap();
    }
    let refused = journal.append(head, &[sized(3, MAX_BODY_BYTES + 1)]).unwrap_err();
    let reason = Refused::TooLarge { sequence: 3, bytes: MAX_BODY_BYTES + 1 };
    assert_eq!(refused, AppendError::NotAppended { reason });
    assert!(refused.to_string().contains(&format!("limit of {MAX_BODY_BYTES}")));
    drop(journal);
    assert_eq!(reopened(place).1.unwrap().head, head);
}

fn readers_see_what_is_durable_and_nothing_else(place: &dyn Place) {
    let (mut journal, _) = place.open(&mut |_| Ok(())).unwrap();
    let reader = journal.reader();
    assert_eq!((reader.id(), reader.head().unwrap()), (journal.id(), journal.head()));
    let head = journal.append(journal.head(), &batch(journal.head(), 2)).unwrap();
    assert_eq!(reader.head().unwrap(), head);
    let watching = std::thread::spawn(move || {
        // Whatever instant it looks at, it sees whole batches of four after the first two rows.
        let seen = || reader.read_after(2, 1_000).unwrap().len();
        std::iter::repeat_with(seen).take_while(|count| *count < 40).all(|count| count % 4 == 0)
    });
    for _ in 0..10 {
        journal.append(journal.head(), &batch(journal.head(), 4)).unwrap();
    }
    assert!(watching.join().unwrap());
}

fn rows_without_a_last_one_are_reported_as_abandoned(place: &dyn Place) {
    filled(place, &[2, 3]);
    place.replace(&place.stored()[..4]);
    let (rows, found) = reopened(place);
    let found = found.unwrap();
    assert_eq!((rows.len(), found.head.sequence, found.abandoned), (4, 4, Some(3..=4)));
    let (mut journal, _) = place.open(&mut |_| Ok(())).unwrap();
    let body = format!(r#"{{"seq":5,"kind":"{ABANDONED_KIND}","facts":{{"first":3,"last":4}},"last":true}}"#);
    assert_eq!(abandoned_by(&body), Some(3..=4));
    journal.append(journal.head(), &[Row { sequence: 5, body }]).unwrap();
    drop(journal);
    assert_eq!(reopened(place).1.unwrap().abandoned, None);
}

fn opening_stops_where_the_caller_refuses_a_row(place: &dyn Place) {
    filled(place, &[3]);
    let mut seen = 0;
    let refused = place.open(&mut |row| {
        seen = row.sequence;
        if row.sequence == 2 { Err("unknown kind `x/9`".into()) } else { Ok(()) }
    });
    let text = refused.map(|_| ()).unwrap_err().to_string();
    assert!(seen == 2 && text.starts_with("row 2 was not understood: unknown kind `x/9`"), "{seen} {text}");
}

fn a_second_writer_is_refused_at_once_until_the_first_is_gone(place: &dyn Place) {
    let first = place.open(&mut |_| Ok(())).unwrap();
    let refused = place.open(&mut |_| Ok(())).map(|_| ()).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    drop(first);
    assert!(place.open(&mut |_| Ok(())).is_ok());
}

#[derive(Debug, Clone)]
enum Tampering {
    Body { row: usize, byte: usize, bit: u8 },
    Hash { row: usize, byte: usize, bit: u8 },
    Sequence { row: usize, bit: u32 },
    Delete { row: usize },
    Swap { row: usize, other: usize },
    Insert { row: usize, at: i64 },
}

impl Tampering {
    fn apply(&self, rows: &mut Vec<Stored>) {
        let count = rows.len();
        let flip = |bytes: &mut Vec<u8>, byte: usize, bit: u8| {
            let length = bytes.len();
            bytes[byte % length] ^= 1 << bit;
        };
        match *self {
            Self::Body { row, byte, bit } => flip(&mut rows[row % count].body, byte, bit),
            Self::Hash { row, byte, bit } => flip(&mut rows[row % count].hash, byte, bit),
            Self::Sequence { row, bit } => rows[row % count].sequence ^= 1 << bit,
            Self::Delete { row } => drop(rows.remove(row % count)),
            Self::Swap { row, other } => {
                let (row, other) = (row % count, other % count);
                let (one, two) = (rows[row].sequence, rows[other].sequence);
                rows.swap(row, other);
                (rows[row].sequence, rows[other].sequence) = (one, two);
            }
            Self::Insert { row, at } => {
                let copy = Stored { sequence: at, ..rows[row % count].clone() };
                rows.push(copy);
            }
        }
        // As the table keeps them: in order, one row a number.
        rows.sort_by_key(|row| row.sequence);
        rows.dedup_by_key(|row| row.sequence);
    }
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let any = any::<usize>;
    prop_oneof![
        (any(), any(), 0..8_u8).prop_map(|(row, byte, bit)| Tampering::Body { row, byte, bit }),
        (any(), any(), 0..8_u8).prop_map(|(row, byte, bit)| Tampering::Hash { row, byte, bit }),
        (any(), 0..64_u32).prop_map(|(row, bit)| Tampering::Sequence { row, bit }),
        any().prop_map(|row| Tampering::Delete { row }),
        (any(), any()).prop_map(|(row, other)| Tampering::Swap { row, other }),
        (any(), -2..20_i64).prop_map(|(row, at)| Tampering::Insert { row, at }),
    ]
}

fn same(one: &Stored, two: &Stored) -> bool {
    (one.sequence, &one.body, &one.hash) == (two.sequence, &two.body, &two.hash)
}

fn invariant_10_any_edit_deletion_swap_or_insertion_is_found_and_the_row_named(place: &dyn Place) {
    filled(place, &[1, 5, 2, 3]);
    let original = place.stored();
    let check = |tampering: Tampering| {
        let mut rows = original.clone();
        tampering.apply(&mut rows);
        place.replace(&rows);
        let found = reopened(place).1;
        // The first place where what is stored is not what was written.
        let differs = (0..rows.len().max(original.len()))
            .find(|at| !matches!((rows.get(*at), original.get(*at)), (Some(one), Some(two)) if same(one, two)));
        match (differs, found) {
            (None, found) => prop_assert!(found.is_ok()),
            // A cut-off end alone verifies: only a head noted earlier shows it (known failure H6; verify_tests).
            (Some(at), Ok(found)) => prop_assert!(at == rows.len() && found.head.sequence < 11),
            (Some(at), Err(OpenError::Broken { sequence, .. })) => prop_assert_eq!(sequence, at as u64 + 1),
            (Some(_), Err(other)) => prop_assert!(false, "{}", other),
        }
        Ok(())
    };
    TestRunner::new(Config { cases: 128, ..Config::default() }).run(&tampering(), check).unwrap();
}
