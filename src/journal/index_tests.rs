use std::os::unix::fs::{PermissionsExt as _, symlink};

use rusqlite::OpenFlags;

use std::collections::BTreeSet;

use super::super::conformance_tests::InFile;
use super::super::memory::StoreFault;
use super::super::{ABANDONED_KIND, Journal, MemoryJournal, MemoryStore, Options, SqliteJournal, verify_file};
use super::entries::STEP_ROWS;
use super::*;
use crate::domain::value::time::Timestamp;

/// Appends one batch of (actor, kind, about), one second apart.
fn append(journal: &mut dyn Journal, events: &[(&str, &str, &[&str])]) -> bool {
    let head = journal.head();
    let rows: Vec<Row> = events
        .iter()
        .zip(head.sequence + 1..)
        .map(|((actor, kind, about), sequence)| {
            let last = sequence == head.sequence + events.len() as u64;
            let facts = if *kind == ABANDONED_KIND { serde_json::json!({"first": 3, "last": 4}) } else { "x".into() };
            let mut body = serde_json::json!({ "seq": sequence, "at": sequence * 1_000, "actor": actor, "kind": kind,
                "about": about, "facts": facts });
            if last {
                body["last"] = true.into();
            }
            Row { sequence, body: body.to_string() }
        })
        .collect();
    journal.append(head, &rows).is_ok()
}

fn append_five(journal: &mut dyn Journal) {
    assert!(append(
        journal,
        &[
            ("account:ana", "elevation-requested/1", &["elevation:1", "person:ana", "person:ana"]),
            ("account:ben", "elevation-approved/1", &["elevation:1"])
        ],
    ));
    assert!(append(journal, &[("broker", "grant-started/2", &["grant:1", "person:ana"])]));
    assert!(append(journal, &[("broker", "grant-started/1", &["grant:2", "person:cleo"])]));
    assert!(append(journal, &[("account:ana", "grant-started-late/1", &[])]));
}

fn list(index: &Index, reader: &dyn JournalReader, filter: Filter) -> Vec<u64> {
    index.list(reader, &filter, Page { limit: 100, ..Page::default() }).unwrap().sequences
}

fn at(millis: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis).unwrap())
}

#[test]
fn lists_answer_by_actor_kind_about_and_time() {
    let store = MemoryStore::new();
    let (mut journal, _) = MemoryJournal::open(&store, &mut |_| Ok(())).unwrap();
    append_five(&mut journal);
    let index = Index::in_memory(&store).unwrap();
    assert_eq!(index.catch_up(&store).unwrap(), 5);
    let any = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<BTreeSet<_>>());
    let cases = [
        (Filter::default(), vec![1, 2, 3, 4, 5]),
        (Filter { actor: Some("account:ana".into()), ..Filter::default() }, vec![1, 5]),
        (Filter { kind: Some("grant-started".into()), ..Filter::default() }, vec![3, 4]),
        (Filter { kind: Some("grant-started/2".into()), ..Filter::default() }, vec![3]),
        (Filter { kind: Some("' OR 1 --".into()), ..Filter::default() }, vec![]),
        (Filter { about: Some("person:ana".into()), ..Filter::default() }, vec![1, 3]),
        (Filter { about_any: any(&["person:cleo", "elevation:1"]), ..Filter::default() }, vec![1, 2, 4]),
        (Filter { about_things_of: any(&["person:ana"]), ..Filter::default() }, vec![1, 2, 3]),
        (Filter { about_things_of: any(&["person:cleo"]), ..Filter::default() }, vec![4]),
        (Filter { about_any: any(&[]), ..Filter::default() }, vec![]),
        (Filter { about: Some("person:ana".into()), about_any: any(&["grant:1"]), ..Filter::default() }, vec![3]),
        (Filter { from: at(2_000), until: at(4_000), ..Filter::default() }, vec![2, 3]),
    ];
    for (filter, wanted) in cases {
        assert_eq!(list(&index, &store, filter.clone()), wanted, "{filter:?}");
    }
}

#[test]
fn pages_neither_repeat_nor_skip_in_either_direction() {
    let store = MemoryStore::new();
    let (mut journal, _) = MemoryJournal::open(&store, &mut |_| Ok(())).unwrap();
    append_five(&mut journal);
    let index = Index::in_memory(&store).unwrap();
    index.catch_up(&store).unwrap();
    for (newest_first, wanted) in [(false, vec![1, 2, 3, 4, 5]), (true, vec![5, 4, 3, 2, 1])] {
        let mut seen = Vec::new();
        loop {
            let page = Page { after: seen.last().copied(), limit: 2, newest_first };
            let listed = index.list(&store, &Filter::default(), page).unwrap();
            seen.extend(&listed.sequences);
            if listed.sequences.len() < 2 {
                break;
            }
        }
        assert_eq!(seen, wanted);
    }
}

#[test]
fn rows_of_a_torn_batch_are_never_listed() {
    let store = MemoryStore::new();
    let (mut journal, _) = MemoryJournal::open(&store, &mut |_| Ok(())).unwrap();
    let event = ("account:ana", "note-written/1", ["person:ana"].as_slice());
    assert!(append(&mut journal, &[event, event]));
    store.fail_next(StoreFault::Unknown { kept_rows: 2 });
    assert!(!append(&mut journal, &[event, event, event]));
    drop(journal);
    let index = Index::in_memory(&store).unwrap();
    assert_eq!(index.catch_up(&store).unwrap(), 2);
    let (mut journal, found) = MemoryJournal::open(&store, &mut |_| Ok(())).unwrap();
    assert_eq!(found.abandoned, Some(3..=4));
    assert!(append(&mut journal, &[("broker", ABANDONED_KIND, &[])]));
    assert_eq!(index.catch_up(&store).unwrap(), 5);
    assert_eq!(list(&index, &store, Filter::default()), [1, 2, 5]);
    assert_eq!(list(&index, &store, Filter { about: Some("person:ana".into()), ..Filter::default() }), [1, 2]);
}

#[test]
fn a_batch_longer_than_a_step_is_taken_in_whole() {
    let store = MemoryStore::new();
    let (mut journal, _) = MemoryJournal::open(&store, &mut |_| Ok(())).unwrap();
    let event = ("account:ana", "note-written/1", ["person:ana"].as_slice());
    let index = Index::in_memory(&store).unwrap();
    for (count, reached) in [(STEP_ROWS * 2 + 7, 519), (STEP_ROWS, 775), (1, 776)] {
        assert!(append(&mut journal, &vec![event; count]));
        assert_eq!(index.catch_up(&store).unwrap(), reached);
    }
    let page = Page { limit: 10_000, ..Page::default() };
    assert_eq!(index.list(&store, &Filter::default(), page).unwrap().sequences.len(), 776);
}

/// What lists by kind, subject, actor and time answer of the five events.
fn all_lists(index: &Index, reader: &dyn JournalReader) -> Result<Vec<Vec<u64>>, IndexError> {
    let about = |it: &str| Filter { about: Some(it.into()), ..Filter::default() };
    let filters = [
        Filter::default(),
        about("person:ana"),
        about("grant:2"),
        Filter { actor: Some("account:ana".into()), ..Filter::default() },
        Filter { kind: Some("grant-started".into()), ..Filter::default() },
        Filter { from: at(2_000), until: at(4_000), ..Filter::default() },
    ];
    let page = Page { limit: 100, ..Page::default() };
    filters.iter().map(|filter| Ok(index.list(reader, filter, page)?.sequences)).collect()
}

fn all_of_them() -> Vec<Vec<u64>> {
    vec![vec![1, 2, 3, 4, 5], vec![1, 3], vec![4], vec![1, 5], vec![3, 4], vec![2, 3]]
}

/// A journal of five events, and the place of its side file, which is filled and closed.
fn with_side_file() -> (InFile, SqliteJournal, PathBuf) {
    let place = InFile::new();
    let (mut journal, _) = SqliteJournal::open(&place.path(), Options::default(), &mut |_| Ok(())).unwrap();
    append_five(&mut journal);
    let reader = journal.reader();
    let index = Index::open(&place.path(), &*reader).unwrap();
    assert_eq!(all_lists(&index, &*reader).unwrap(), all_of_them());
    let path = index.path().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    drop(index);
    (place, journal, path)
}

fn aside(path: &Path, number: usize) -> PathBuf {
    file::beside(path, &format!(".aside-{number}"))
}

fn execute(path: &Path, sql: &str) {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).unwrap().execute_batch(sql).unwrap();
}

/// Everything that makes it say less, more or something else.
const SPOILT: [&str; 13] = [
    "UPDATE reached SET journal = 'x'",
    "UPDATE reached SET sequence = 6",
    "UPDATE reached SET sequence = 4",
    "UPDATE reached SET format = '0'",
    "DROP TABLE reached",
    "DELETE FROM event WHERE seq = 3",
    "DELETE FROM event; DELETE FROM about",
    "DELETE FROM about WHERE about = 'person:ana' AND seq = 3",
    "UPDATE event SET actor = 'account:eve' WHERE seq = 5",
    "UPDATE event SET at = at + 9000 WHERE seq = 2",
    "INSERT INTO event VALUES (9, 9, 'account:ana', 'x/1')",
    "INSERT INTO about VALUES ('person:ana', 4)",
    "DROP INDEX event_kind; CREATE INDEX event_kind ON event(kind) WHERE seq < 4",
];

#[test]
fn the_file_goes_on_where_it_was() {
    let (place, mut journal, path) = with_side_file();
    assert!(append(&mut journal, &[("account:ana", "note-written/1", &["grant:2"])]));
    let reader = journal.reader();
    let index = Index::open(&place.path(), &*reader).unwrap();
    assert_eq!(list(&index, &*reader, Filter { about: Some("grant:2".into()), ..Filter::default() }), [4, 6]);
    assert!(!aside(&path, 1).exists());
}

#[test]
fn a_file_that_differs_from_the_journal_is_set_aside_and_built_again() {
    for sql in SPOILT {
        let (place, journal, path) = with_side_file();
        let reader = journal.reader();
        // when it is changed while nobody has it open
        execute(&path, sql);
        let index = Index::open(&place.path(), &*reader).unwrap();
        // then lists tell everything, and the file is there to be looked at
        assert_eq!(all_lists(&index, &*reader).unwrap(), all_of_them(), "{sql}");
        assert!(aside(&path, 1).is_file(), "{sql}");
        // and the same when it is changed under the broker
        execute(&path, sql);
        assert_eq!(all_lists(&index, &*reader).unwrap(), all_of_them(), "running: {sql}");
        assert!(aside(&path, 2).is_file(), "running: {sql}");
    }
}

#[test]
fn whatever_bit_of_the_file_flips_lists_tell_everything_or_an_error() {
    let (place, journal, path) = with_side_file();
    let reader = journal.reader();
    // Many events, so that the indexes have pages below their roots.
    let whole = fs::read(&path).unwrap();
    let mut differed = 0;
    for at in (0..whole.len()).step_by(331) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        let index = Index::open(&place.path(), &*reader).unwrap();
        assert_eq!(all_lists(&index, &*reader).unwrap(), all_of_them(), "byte {at}");
        drop(index);
        for number in 1..=9 {
            let aside = aside(&path, number);
            differed += usize::from(aside.exists());
            let _ = fs::remove_file(&aside);
        }
    }
    assert!(differed > 0);
}

#[test]
fn whatever_stands_in_its_place_stops_nothing() {
    let (place, journal, path) = with_side_file();
    let reader = journal.reader();
    let whole = fs::read(&path).unwrap();
    let elsewhere = place.path().with_file_name("elsewhere");
    let cases: [(&str, &dyn Fn()); 10] = [
        ("a folder", &|| fs::create_dir(&path).unwrap()),
        ("a folder with something in it", &|| fs::create_dir_all(path.join("x/y")).unwrap()),
        ("a link to the journal", &|| symlink(place.path(), &path).unwrap()),
        ("a second name of another file", &|| {
            fs::write(&elsewhere, "x").unwrap();
            fs::hard_link(&elsewhere, &path).unwrap();
        }),
        ("text", &|| fs::write(&path, "no database at all").unwrap()),
        ("a part of it", &|| fs::write(&path, &whole[..whole.len() / 2]).unwrap()),
        ("what nobody may read", &|| {
            fs::write(&path, &whole).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        }),
        ("a folder for its log", &|| {
            fs::write(&path, &whole).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            fs::create_dir(file::beside(&path, "-wal")).unwrap();
        }),
        ("the journal for its log", &|| fs::hard_link(place.path(), file::beside(&path, "-wal")).unwrap()),
        ("a link to the journal for the index of its log", &|| {
            symlink(place.path(), file::beside(&path, "-shm")).unwrap();
        }),
    ];
    for (what, make) in cases {
        for path in ["", "-wal", "-shm"].map(|suffix| file::beside(&path, suffix)) {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        make();
        let index = Index::open(&place.path(), &*reader).unwrap();
        assert_eq!(all_lists(&index, &*reader).unwrap(), all_of_them(), "{what}");
    }
    assert_eq!(verify_file(&place.path(), None).unwrap().recovered.head, journal.head());
}

#[test]
fn where_no_file_can_be_lists_go_on_in_memory() {
    let (place, journal, path) = with_side_file();
    let reader = journal.reader();
    execute(&path, "DELETE FROM event WHERE seq = 3");
    // given that all names for what is set aside are taken by folders, so that it can go nowhere
    (1..=9).for_each(|number| fs::create_dir(aside(&path, number)).unwrap());
    let index = Index::open(&place.path(), &*reader).unwrap();
    assert_eq!(all_lists(&index, &*reader).unwrap(), all_of_them());
    assert_eq!(index.path(), None);
}

#[test]
fn a_row_that_is_no_event_is_named() {
    let store = MemoryStore::new();
    let (mut journal, _) = MemoryJournal::open(&store, &mut |_| Ok(())).unwrap();
    let row = Row { sequence: 1, body: r#"{"seq":1,"at":-1,"actor":"a","kind":"x/1","last":true}"#.into() };
    journal.append(journal.head(), &[row]).unwrap();
    let index = Index::in_memory(&store).unwrap();
    let text = index.catch_up(&store).unwrap_err().to_string();
    assert!(text.starts_with("row 1 cannot be indexed"), "{text}");
}
