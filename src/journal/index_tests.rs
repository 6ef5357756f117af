use std::os::unix::fs::PermissionsExt as _;

use super::super::conformance_tests::InFile;
use super::super::memory::StoreFault;
use super::super::{ABANDONED_KIND, Journal, MemoryJournal, MemoryStore, Options, SqliteJournal};
use super::*;

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

fn list(index: &Index, filter: Filter) -> Vec<u64> {
    index.list(&filter, Page { limit: 100, ..Page::default() }).unwrap().sequences
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
    assert_eq!(index.list(&Filter::default(), Page { limit: 9, ..Page::default() }).unwrap(), Listed::default());
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
        assert_eq!(list(&index, filter.clone()), wanted, "{filter:?}");
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
            let listed = index.list(&Filter::default(), page).unwrap();
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
    assert_eq!(list(&index, Filter::default()), [1, 2, 5]);
    assert_eq!(list(&index, Filter { about: Some("person:ana".into()), ..Filter::default() }), [1, 2]);
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
    assert_eq!(index.list(&Filter::default(), page).unwrap().sequences.len(), 776);
}

#[test]
fn the_file_goes_on_where_it_was_and_is_built_again_when_it_is_not_this_journals() {
    let place = InFile::new();
    let (mut journal, _) = SqliteJournal::open(&place.path(), Options::default(), &mut |_| Ok(())).unwrap();
    append_five(&mut journal);
    let reader = journal.reader();
    let index = Index::open(&place.path(), &*reader).unwrap();
    assert_eq!(index.catch_up(&*reader).unwrap(), 5);
    let path = index.path().unwrap().to_path_buf();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    drop(index);
    let reached =
        || Index::open(&place.path(), &*reader).unwrap().list(&Filter::default(), Page::default()).unwrap().reached;
    assert_eq!(reached(), 5);
    let spoil = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    for sql in [
        "UPDATE reached SET journal = 'x'",
        "UPDATE reached SET sequence = 6",
        "UPDATE reached SET sequence = 4",
        "UPDATE reached SET digest = ''",
        "UPDATE reached SET format = '0'",
        "DROP TABLE reached",
    ] {
        spoil(sql);
        assert_eq!(reached(), 0, "{sql}");
        assert_eq!(Index::open(&place.path(), &*reader).unwrap().catch_up(&*reader).unwrap(), 5);
    }
    fs::write(&path, "no database at all").unwrap();
    assert_eq!(reached(), 0);
    let index = Index::open(&place.path(), &*reader).unwrap();
    index.catch_up(&*reader).unwrap();
    assert_eq!(list(&index, Filter { about: Some("grant:2".into()), ..Filter::default() }), [4]);
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
