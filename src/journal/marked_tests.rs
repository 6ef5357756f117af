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
    let stand: [(&str, &dyn Fn()); 4] = [
        ("leads nowhere", &|| std::os::unix::fs::symlink("nowhere", &path).unwrap()),
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
    let contents = |place: &InFile| contents(place.0.path());
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

/// What lies in a folder, but for the lock.
fn contents(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_none_or(|extension| extension != "lock"));
    let mut files: Vec<_> = files.map(|file| (file.clone(), fs::read(&file).unwrap())).collect();
    files.sort();
    files
}

/// A copy of what a killed broker leaves: five rows in the file, three more in the log alone.
fn killed() -> tempfile::TempDir {
    let place = InFile::new();
    let mut journal = settled(&place);
    appended(&mut journal, 5);
    journal.settle().unwrap();
    appended(&mut journal, 3);
    journal.flush_mark();
    let copy = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal", ".mark"] {
        let of = |folder: &tempfile::TempDir| super::super::file::beside(&folder.path().join("journal.db"), suffix);
        fs::copy(of(&place.0), of(&copy)).unwrap();
    }
    copy
}

#[test]
fn a_file_without_pages_costs_nothing_of_its_log() {
    let copy = killed();
    let path = copy.path().join("journal.db");
    let whole = fs::read(&path).unwrap();
    for left in [0, 1, 99] {
        fs::write(&path, &whole[..left]).unwrap();
        let before = contents(copy.path());
        for told in [
            verify_file(&path, None).unwrap_err().to_string(),
            MarkedJournal::open(&path, Options::default(), &mut |_| Ok(())).unwrap_err().to_string(),
        ] {
            assert!(told.contains("shorter than the header"), "{told}");
        }
        assert!(contents(copy.path()) == before, "{left} bytes");
    }
    // when the file is put back, then all that was acknowledged is there
    fs::write(&path, &whole).unwrap();
    let Opened { recovered, lost, .. } = MarkedJournal::open(&path, Options::default(), &mut |_| Ok(())).unwrap();
    assert_eq!((recovered.head.sequence, lost), (8, None));
}

#[test]
fn nothing_is_written_through_a_link_to_another_file() {
    let beside =
        |copy: &tempfile::TempDir, suffix: &str| super::super::file::beside(&copy.path().join("journal.db"), suffix);
    for (name, target) in [("-wal", ""), ("-shm", ""), ("-shm", ".mark"), ("-shm", ".secret"), (".lock", "")] {
        for is_hard in [true, false] {
            let copy = killed();
            fs::write(beside(&copy, ".secret"), [7; 32]).unwrap();
            let _ = fs::remove_file(beside(&copy, name));
            if is_hard {
                fs::hard_link(beside(&copy, target), beside(&copy, name)).unwrap();
            } else {
                std::os::unix::fs::symlink(beside(&copy, target), beside(&copy, name)).unwrap();
            }
            let before = contents(copy.path());
            let path = copy.path().join("journal.db");
            let started = MarkedJournal::open(&path, Options::default(), &mut |_| Ok(())).unwrap_err();
            assert!(matches!(started, OpenError::Linked { .. }), "{name} to {target}: {started}");
            assert!(matches!(verify_file(&path, None).unwrap_err(), OpenError::Linked { .. }), "{name} to {target}");
            assert!(contents(copy.path()) == before, "{name} to {target}");
        }
    }
}

#[test]
fn a_journal_is_not_made_under_the_log_of_another() {
    let copy = killed();
    let path = copy.path().join("journal.db");
    fs::remove_file(&path).unwrap();
    fs::remove_file(mark::beside(&path)).unwrap();
    let before = contents(copy.path());
    let refused = SqliteJournal::create(&path, Options::default()).unwrap_err();
    assert!(matches!(refused, OpenError::LogOfAnother { .. }), "{refused}");
    assert!(contents(copy.path()) == before);
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
