use std::fs;

use super::super::conformance_tests::{InFile, batch};
use super::super::loss::Loss;
use super::super::{Mark, verify_file};
use super::*;

fn opened(place: &InFile) -> Opened {
    MarkedJournal::open(&place.path(), Options::default(), &mut |_| Ok(())).unwrap()
}

fn settled(place: &InFile) -> MarkedJournal {
    let Opened { mut journal, lost, .. } = opened(place);
    assert_eq!(lost, None);
    journal.settle().unwrap();
    journal
}

fn appended(journal: &mut MarkedJournal, count: u64) -> Head {
    journal.append(journal.head(), &batch(journal.head(), count)).unwrap()
}

fn marked(place: &InFile) -> Mark {
    mark::read(&mark::beside(&place.path())).unwrap()
}

#[test]
fn the_mark_follows_what_is_durable_without_anybody_waiting_for_it() {
    let place = InFile::new();
    assert_eq!(marked(&place).head.sequence, 0);
    let mut journal = settled(&place);
    let head = appended(&mut journal, 3);
    journal.flush_mark();
    assert_eq!(marked(&place), Mark { journal: journal.id(), head });
    assert_eq!(journal.mark(), Some(MarkStanding { sequence: 3, failing: None }));
    // when nobody asks for it
    let head = appended(&mut journal, 2);
    while marked(&place).head != head {
        std::thread::yield_now();
    }
}

#[test]
fn a_stop_leaves_no_log_and_a_mark_at_the_head() {
    let place = InFile::new();
    let mut journal = settled(&place);
    let reader = journal.reader();
    let head = appended(&mut journal, 5);
    assert_eq!(reader.head().unwrap(), head);
    // when it stops, with a reader that has read and lives on
    drop(journal);
    let log = super::super::file::beside(&place.path(), "-wal");
    assert_eq!(fs::metadata(&log).map_or(0, |metadata| metadata.len()), 0);
    assert_eq!(marked(&place).head, head);
    // then the file alone is the journal, and who reads on still reads
    let copy = place.0.path().join("copy.db");
    fs::copy(place.path(), &copy).unwrap();
    assert_eq!(verify_file(&copy, None).unwrap().recovered.head, head);
    assert_eq!(reader.read_after(0, 9).unwrap().len(), 5);
    assert_eq!(opened(&place).lost, None);
}

#[test]
fn a_log_that_a_reader_holds_stays_whole_beside_a_mark_at_the_head() {
    let place = InFile::new();
    let mut journal = settled(&place);
    appended(&mut journal, 1);
    let other = place.raw();
    other.execute_batch("BEGIN; SELECT count(*) FROM journal;").unwrap();
    let head = appended(&mut journal, 5);
    drop(journal);
    assert_eq!(marked(&place).head, head);
    drop(other);
    assert_eq!(settled(&place).head(), head);
}

#[test]
fn a_loss_is_named_and_what_was_found_is_left_as_it_was() {
    let place = InFile::new();
    let mut journal = settled(&place);
    let first = appended(&mut journal, 2);
    drop(journal);
    let earlier = place.0.path().join("earlier.db");
    fs::copy(place.path(), &earlier).unwrap();
    let mut journal = settled(&place);
    let second = appended(&mut journal, 3);
    drop(journal);
    // given an earlier copy put back
    fs::copy(&earlier, place.path()).unwrap();
    let before = (fs::read(place.path()).unwrap(), fs::read(mark::beside(&place.path())).unwrap());
    let mark = marked(&place);
    let Opened { journal, lost, .. } = opened(&place);
    assert_eq!(lost, Some(Lost { journal: journal.id(), head: first, loss: Loss::Behind(mark) }));
    assert_eq!(mark.head, second);
    // when nobody accepts it, then nothing has changed
    drop(journal);
    assert_eq!((fs::read(place.path()).unwrap(), fs::read(mark::beside(&place.path())).unwrap()), before);
    // when somebody does, then the journal goes on from there, and both slots of its mark are of the way that it went
    let mut journal = opened(&place).journal;
    journal.settle().unwrap();
    let head = appended(&mut journal, 1);
    journal.flush_mark();
    let bytes = fs::read(mark::beside(&place.path())).unwrap();
    for slot in [[&bytes[..4_096], &[0; 4_096]].concat(), [&[0; 4_096], &bytes[4_096..]].concat()] {
        assert_eq!(mark::newest(&slot).unwrap().mark.head, head);
    }
    drop(journal);
    assert_eq!(opened(&place).lost, None);
}

#[test]
fn a_mark_that_goes_while_the_journal_is_open_is_made_again_and_one_that_cannot_be_is_told() {
    let place = InFile::new();
    let mut journal = settled(&place);
    appended(&mut journal, 1);
    journal.flush_mark();
    let path = mark::beside(&place.path());
    fs::remove_file(&path).unwrap();
    let head = appended(&mut journal, 1);
    journal.flush_mark();
    assert_eq!(marked(&place).head, head);
    // given something in its place that cannot be written over
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let head = appended(&mut journal, 1);
    journal.flush_mark();
    let standing = journal.mark().unwrap();
    assert_eq!(standing.sequence, 2);
    assert!(standing.failing.is_some());
    // when it can be again, then it is
    fs::remove_dir(&path).unwrap();
    while journal.mark().unwrap().failing.is_some() {
        std::thread::yield_now();
    }
    assert_eq!(marked(&place).head, head);
}

#[test]
fn what_is_no_mark_in_its_place_is_a_mark_that_cannot_be_read() {
    let place = InFile::new();
    drop(settled(&place));
    let path = mark::beside(&place.path());
    let stand: [(&str, &dyn Fn()); 3] = [
        ("it is no file", &|| fs::create_dir(&path).unwrap()),
        ("the journal itself", &|| fs::hard_link(place.path(), &path).unwrap()),
        ("the journal itself", &|| std::os::unix::fs::symlink(place.path(), &path).unwrap()),
    ];
    for (told, stand) in stand {
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
        stand();
        let Opened { mut journal, lost, .. } = opened(&place);
        let lost = lost.unwrap().to_string();
        assert!(lost.contains("cannot be read") && lost.contains(told), "{lost}");
        // when the loss is accepted, then the journal is written all the same, with a mark as soon as there can be one
        journal.settle().unwrap();
        let head = appended(&mut journal, 1);
        let _ = fs::remove_dir(&path);
        while journal.mark().unwrap().sequence != head.sequence {
            std::thread::yield_now();
        }
        drop(journal);
        assert_eq!(marked(&place).head, head);
    }
}

#[test]
fn a_start_that_is_refused_changes_no_file() {
    let contents = |place: &InFile| {
        let files = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.map(|file| (fs::read(&file).unwrap(), file)).collect();
        files.sort();
        files
    };
    let place = InFile::new();
    let mut journal = settled(&place);
    appended(&mut journal, 3);
    drop(journal);
    let path = mark::beside(&place.path());
    let honest = fs::read(&path).unwrap();
    // given a journal that lacks what its mark says
    let ahead = Mark { journal: marked(&place).journal, head: Head { sequence: 9, ..marked(&place).head } };
    mark::create(&path, &ahead).unwrap();
    let before = contents(&place);
    assert!(opened(&place).lost.is_some());
    assert!(contents(&place) == before, "one that may be missing its end");
    // given a bad row
    fs::write(&path, honest).unwrap();
    place.raw().execute_batch("UPDATE journal SET body = 'x' WHERE seq = 2").unwrap();
    let before = contents(&place);
    MarkedJournal::open(&place.path(), Options::default(), &mut |_| Ok(())).unwrap_err();
    assert!(contents(&place) == before, "one with a bad row");
}

#[test]
fn a_journal_is_not_made_beside_the_mark_of_one_that_is_gone() {
    let place = InFile::new();
    let mut journal = settled(&place);
    appended(&mut journal, 1);
    drop(journal);
    fs::remove_file(place.path()).unwrap();
    let refused = SqliteJournal::create(&place.path(), Options::default()).unwrap_err();
    assert!(matches!(refused, OpenError::MarkOfAnother { .. }), "{refused}");
    fs::remove_file(mark::beside(&place.path())).unwrap();
    drop(SqliteJournal::create(&place.path(), Options::default()).unwrap());
}
