use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::super::conformance_tests::{InFile, batch};
use super::super::file::beside;
use super::super::{Journal, OpenError, Options, SqliteJournal, copy, verify_file};

fn open(path: &Path) -> Result<SqliteJournal, OpenError> {
    SqliteJournal::open(path, Options::default(), &mut |_| Ok(())).map(|(journal, _)| journal)
}

/// SQLite's own locks of this process on a file, as the kernel lists them.
fn own_locks(path: &Path) -> usize {
    let file = format!(":{} ", fs::metadata(path).unwrap().ino());
    let process = format!(" {} ", std::process::id());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let ours = |line: &&str| line.contains("POSIX") && line.contains(&file) && line.contains(&process);
    // The list is given in parts: one that moves on meanwhile is listed twice, under two numbers.
    let lock = |line: &'_ str| line.split_once(": ").map(|(_, lock)| lock.to_owned());
    locks.lines().filter(ours).filter_map(lock).collect::<BTreeSet<_>>().len()
}

#[test]
fn a_second_broker_is_refused_under_every_other_name() {
    let place = InFile::new();
    let journal = open(&place.path()).unwrap();
    let path = |name: &str| place.0.path().join(name);
    // given a hard link, in this folder and in another one
    fs::create_dir(path("backup")).unwrap();
    fs::hard_link(place.path(), path("hard.db")).unwrap();
    fs::hard_link(place.path(), path("backup/journal.db")).unwrap();
    std::os::unix::fs::symlink(path("hard.db"), path("soft.db")).unwrap();
    for name in ["hard.db", "backup/journal.db", "soft.db"] {
        assert!(matches!(open(&path(name)).unwrap_err(), OpenError::InUse { .. }), "{name}");
    }
    // given that somebody removed the lock file, or gave the journal another name
    fs::remove_file(beside(&place.path(), ".lock")).unwrap();
    assert!(matches!(open(&place.path()).unwrap_err(), OpenError::InUse { .. }));
    fs::rename(place.path(), path("renamed.db")).unwrap();
    assert!(matches!(open(&path("renamed.db")).unwrap_err(), OpenError::InUse { .. }));
    fs::rename(path("renamed.db"), place.path()).unwrap();
    // when somebody makes a copy, then a broker has it for itself
    copy(&place.path(), &path("copy.db")).unwrap();
    drop(open(&path("copy.db")).unwrap());
    // when the first one is gone, then the next has it, by any name
    drop(journal);
    drop(open(&path("hard.db")).unwrap());
}

#[test]
fn sqlite_keeps_its_locks_whatever_is_closed_beside_it() {
    // given a journal that was closed while a reader of it lives on, and the next one on the same file
    let place = InFile::new();
    let first = open(&place.path()).unwrap();
    let reader = first.reader();
    assert_eq!(reader.head().unwrap(), first.head());
    drop(first);
    let mut second = open(&place.path()).unwrap();
    second.append(second.head(), &batch(second.head(), 2)).unwrap();
    assert_eq!(own_locks(&place.path()), 1);
    // when the reader of before goes, a third one is refused, and the file is verified and copied in this process
    drop(reader);
    assert_eq!(own_locks(&place.path()), 1);
    assert!(matches!(open(&place.path()).unwrap_err(), OpenError::InUse { .. }));
    assert_eq!(verify_file(&place.path(), None).unwrap().recovered.head, second.head());
    let other = place.0.path().join("copy.db");
    copy(&place.path(), &other).unwrap();
    // then SQLite's lock is still there, and what is appended is seen by others
    assert_eq!(own_locks(&place.path()), 1);
    let head = second.append(second.head(), &batch(second.head(), 1)).unwrap();
    assert_eq!(verify_file(&place.path(), Some(head)).unwrap().recovered.head, head);
    // and this is what it would cost to read the file as any other
    drop(fs::read(place.path()).unwrap());
    assert_eq!(own_locks(&place.path()), 0);
}

#[test]
fn a_copy_is_as_private_as_the_journal_and_replaces_nothing() {
    let place = InFile::new();
    let to = place.0.path().join("copy.db");
    copy(&place.path(), &to).unwrap();
    assert_eq!(fs::metadata(&to).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(verify_file(&to, None).unwrap(), verify_file(&place.path(), None).unwrap());
    assert!(copy(&place.path(), &to).is_err());
}

#[test]
fn the_lock_is_let_go_before_the_readers_are_and_its_descriptor_is_not() {
    let place = InFile::new();
    let (guard, held) = super::take(&place.path()).unwrap();
    drop(held);
    let (again, held) = super::take(&place.path()).unwrap();
    assert_eq!(super::all().get(&guard.0).map(|descriptor| descriptor.users), Some(2));
    drop(guard);
    assert!(matches!(super::take(&place.path()).unwrap_err(), OpenError::InUse { .. }));
    drop((held, again));
    drop(super::take(&place.path()).unwrap());
}
