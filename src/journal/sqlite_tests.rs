use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;

use rusqlite::ffi;

use super::super::conformance_tests::{InFile, batch, filled};
use super::*;

fn open(place: &InFile) -> SqliteJournal {
    SqliteJournal::open(&place.path(), Options::default(), &mut |_| Ok(())).unwrap().0
}

fn refusal(path: &Path) -> OpenError {
    SqliteJournal::open(path, Options::default(), &mut |_| Ok(())).map(|_| ()).unwrap_err()
}

#[test]
fn every_file_is_owner_only_and_a_looser_one_is_refused() {
    let place = InFile::new();
    let mut journal = open(&place);
    journal.append(journal.head(), &batch(journal.head(), 1)).unwrap();
    for suffix in ["", "-wal", "-shm", ".lock", ".mark"] {
        let mode = fs::metadata(file::beside(&place.path(), suffix)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{suffix}");
    }
    drop(journal);
    for suffix in ["", "-wal", "-shm", ".lock", ".mark"] {
        let path = file::beside(&place.path(), suffix);
        fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = refusal(&place.path());
        assert!(matches!(&refused, OpenError::LooseMode { mode: 0o640, .. }), "{suffix}: {refused}");
        assert!(refused.to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    drop(open(&place));
}

#[test]
fn the_lock_is_let_go_though_a_process_just_begun_still_has_its_file() {
    let place = InFile::new();
    let lock = file::lock(&place.path()).unwrap();
    let inherited = lock.file.try_clone().unwrap();
    assert!(matches!(file::lock(&place.path()).unwrap_err(), OpenError::InUse { .. }));
    drop(lock);
    assert!(file::lock(&place.path()).is_ok());
    drop(inherited);
}

#[test]
fn a_second_broker_is_refused_under_another_name_too() {
    let place = InFile::new();
    let journal = open(&place);
    let other = place.0.path().join("other.db");
    symlink(place.path(), &other).unwrap();
    assert!(matches!(refusal(&other), OpenError::InUse { .. }));
    drop(journal);
    assert!(SqliteJournal::open(&other, Options::default(), &mut |_| Ok(())).is_ok());
}

#[test]
fn what_is_no_journal_is_refused_with_what_to_do() {
    let place = InFile::new();
    let path = |name: &str| place.0.path().join(name);
    let missing = refusal(&path("none.db"));
    assert!(missing.to_string().contains("run `countersign init`"), "{missing}");
    assert!(!path("none.db").exists());
    fs::write(path("text"), "not a database, but long enough to be looked at by somebody".repeat(100)).unwrap();
    fs::set_permissions(path("text"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(refusal(&path("text")).to_string().contains("SQLite file"));
    fs::create_dir(path("directory")).unwrap();
    assert!(matches!(refusal(&path("directory")), OpenError::NotAFile { .. }));
    let exists = SqliteJournal::create(&place.path(), Options::default()).unwrap_err();
    assert!(matches!(exists, OpenError::Exists { .. }));
    let nowhere = SqliteJournal::create(&path("no/such/directory.db"), Options::default()).unwrap_err();
    assert!(nowhere.to_string().contains("check the path"), "{nowhere}");
}

#[test]
fn a_creation_that_was_cut_short_leaves_nothing_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    fs::write(file::beside(&path, ".creating"), "half").unwrap();
    fs::write(file::beside(&path, ".creating-wal"), "half").unwrap();
    let journal = SqliteJournal::create(&path, Options::default()).unwrap();
    assert_eq!(journal.head(), origin(journal.id()));
    assert!(!file::beside(&path, ".creating").exists());
}

#[test]
fn a_full_disk_is_known_not_to_have_happened_and_the_writer_goes_on() {
    let place = InFile::new();
    let before = filled(&place, &[3]);
    let options = Options { max_pages: Some(8) };
    let (mut journal, _) = SqliteJournal::open(&place.path(), options, &mut |_| Ok(())).unwrap();
    let large = batch(before, 400);
    let refused = journal.append(before, &large).unwrap_err();
    assert_eq!(refused, AppendError::NotAppended { reason: Refused::DiskFull });
    assert!(refused.to_string().contains("make room"));
    assert_eq!((journal.head(), journal.reader().head().unwrap()), (before, before));
    let head = journal.append(before, &batch(before, 1)).unwrap();
    drop(journal);
    let mut journal = open(&place);
    assert_eq!(journal.head(), head);
    assert_eq!(journal.append(head, &batch(head, 400)).unwrap().sequence, 404);
}

#[test]
fn a_lock_of_somebody_else_is_known_not_to_have_happened() {
    let place = InFile::new();
    let mut journal = open(&place);
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let head = journal.head();
    let refused = journal.append(head, &batch(head, 1)).unwrap_err();
    assert!(matches!(refused, AppendError::NotAppended { reason: Refused::Busy { .. } }), "{refused}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(journal.append(head, &batch(head, 1)).unwrap().sequence, 1);
}

#[test]
fn a_row_of_somebody_else_stops_the_writer_for_good() {
    let place = InFile::new();
    let mut journal = open(&place);
    let head = journal.append(journal.head(), &batch(journal.head(), 2)).unwrap();
    let other = place.raw();
    other.execute("INSERT INTO journal(seq, body, hash) VALUES (4, '{}', x'00')", []).unwrap();
    let stopped = journal.append(head, &batch(head, 2)).unwrap_err();
    assert!(matches!(stopped, AppendError::Unknown { .. }), "{stopped}");
    assert_eq!(journal.append(head, &batch(head, 2)).unwrap_err(), stopped);
    journal.log_pages = CHECKPOINT_PAGES;
    journal.maintain();
    assert_eq!(journal.log_pages, CHECKPOINT_PAGES);
    drop(journal);
    other.execute("DELETE FROM journal WHERE seq = 4", []).unwrap();
    assert_eq!(open(&place).head(), head);
}

#[test]
fn only_errors_before_any_write_are_known_not_to_have_happened() {
    let answer = |step, code| harmless(step, &Error::SqliteFailure(ffi::Error::new(code), None)).is_some();
    for step in [Step::Begin, Step::Insert, Step::Commit] {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_BUSY, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_LOCKED] {
            assert!(answer(step, code), "{step:?} {code}");
        }
        let fatal = [
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_DIR_FSYNC,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_READONLY_DBMOVED,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_CONSTRAINT,
            ffi::SQLITE_MISUSE,
            ffi::SQLITE_ERROR,
        ];
        for code in fatal {
            assert!(!answer(step, code), "{step:?} {code}");
        }
    }
    assert!(!answer(Step::Commit, ffi::SQLITE_NOMEM) && !answer(Step::Commit, ffi::SQLITE_IOERR_FSYNC));
    assert!(harmless(Step::Begin, &Error::QueryReturnedNoRows).is_none());
}

#[test]
fn an_auditor_reads_the_live_file_through_the_view() {
    let place = InFile::new();
    let mut journal = open(&place);
    journal.append(journal.head(), &batch(journal.head(), 3)).unwrap();
    let auditor = place.raw();
    auditor.execute_batch("PRAGMA trusted_schema = 0; BEGIN").unwrap();
    let columns = "SELECT at || ' ' || actor || ' ' || kind || ' ' || about || ' ' || facts FROM event WHERE seq = 2";
    let read = || auditor.query_row(columns, [], |row| row.get::<_, String>(0)).unwrap();
    let wanted = r#"2025-11-22T22:03:20.002Z account:ana note-written/1 ["person:ana"] {"text":"été 2"}"#;
    assert_eq!(read(), wanted);
    // The writer waits for no reader, and a reader's snapshot stays what it was.
    journal.append(journal.head(), &batch(journal.head(), 3)).unwrap();
    journal.log_pages = CHECKPOINT_PAGES;
    journal.maintain();
    assert_eq!(read(), wanted);
    let count = "SELECT count(*) FROM event";
    assert_eq!(auditor.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 3);
    auditor.execute_batch("ROLLBACK").unwrap();
    assert_eq!(auditor.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), 6);
}

#[test]
fn what_was_acknowledged_is_in_the_files_without_a_close_or_a_checkpoint() {
    let place = InFile::new();
    let mut journal = open(&place);
    for _ in 0..5 {
        journal.append(journal.head(), &batch(journal.head(), 2)).unwrap();
    }
    let crashed = tempfile::tempdir().unwrap();
    let copy = crashed.path().join("journal.db");
    for suffix in ["", "-wal"] {
        fs::copy(file::beside(&place.path(), suffix), file::beside(&copy, suffix)).unwrap();
    }
    let (reopened, _) = SqliteJournal::open(&copy, Options::default(), &mut |_| Ok(())).unwrap();
    assert_eq!((reopened.id(), reopened.head()), (journal.id(), journal.head()));
}

#[test]
fn a_checkpoint_moves_the_log_into_the_file() {
    let place = InFile::new();
    let mut journal = open(&place);
    journal.append(journal.head(), &batch(journal.head(), 50)).unwrap();
    journal.maintain();
    assert!(journal.log_pages > 0);
    journal.log_pages = CHECKPOINT_PAGES;
    journal.maintain();
    assert_eq!(journal.log_pages, 0);
    let copy = place.0.path().join("copy.db");
    fs::copy(place.path(), &copy).unwrap();
    assert_eq!(verify::verify_file(&copy, None).unwrap().recovered.head, journal.head());
    journal.log_pages = CHECKPOINT_OVERDUE_PAGES;
    journal.append(journal.head(), &batch(journal.head(), 1)).unwrap();
    assert_eq!(journal.log_pages, 0);
}

#[test]
fn readers_beside_a_writer_that_checkpoints_all_the_time_lose_nothing() {
    let place = InFile::new();
    let mut journal = open(&place);
    let follow = |reader: Arc<dyn JournalReader>| {
        std::thread::spawn(move || {
            let mut reached = 0;
            while reached < 300 {
                reached += reader.read_after(reached, 7).unwrap().len() as u64;
            }
            reached
        })
    };
    let followers: Vec<_> = (0..3).map(|_| follow(journal.reader())).collect();
    for _ in 0..100 {
        journal.append(journal.head(), &batch(journal.head(), 3)).unwrap();
        journal.log_pages = CHECKPOINT_PAGES;
        journal.maintain();
    }
    assert!(followers.into_iter().all(|follower| follower.join().unwrap() == 300));
    let head = journal.head();
    drop(journal);
    assert_eq!(verify::verify_file(&place.path(), Some(head)).unwrap().recovered.head, head);
}

#[test]
fn a_reader_never_skips_a_missing_row() {
    let place = InFile::new();
    filled(&place, &[5]);
    place.raw().execute("DELETE FROM journal WHERE seq = 3", []).unwrap();
    let (guard, _held) = guard::take(&place.path()).unwrap();
    let (path, id, index) = (place.path(), super::super::random_id(), RwLock::new(LogIndex::Shared));
    let (idle, closed) = (Mutex::default(), AtomicBool::new(false));
    let reader = SqliteReader { path, id, idle, closed, index, _guard: guard };
    let broken = reader.read_after(1, 10).unwrap_err();
    assert_eq!(broken, ReadError::Broken { sequence: 3, fault: Fault::Missing { found: 4 } });
}

#[test]
fn what_failed_half_way_is_rolled_back_before_it_is_called_harmless() {
    let place = InFile::new();
    let mut journal = open(&place);
    let head = journal.head();
    for (step, error) in [(Step::Insert, ffi::SQLITE_NOMEM), (Step::Commit, ffi::SQLITE_BUSY)] {
        journal.run("BEGIN IMMEDIATE").unwrap();
        journal.insert(&batch(head, 2)).unwrap();
        let answer = journal.failed(step, &Error::SqliteFailure(ffi::Error::new(error), None));
        assert!(matches!(answer, AppendError::NotAppended { .. }), "{answer}");
        assert_eq!(journal.reader().head().unwrap(), head);
    }
    assert_eq!(journal.append(head, &batch(head, 2)).unwrap().sequence, 2);
}

#[test]
fn a_journal_that_is_closed_is_one_whole_file_though_somebody_still_reads_it() {
    // given a reader whose connection stays open when the writer goes
    let place = InFile::new();
    let head = filled(&place, &[3]);
    let mut journal = open(&place);
    let reader = journal.reader();
    let head = journal.append(head, &batch(head, 2)).unwrap();
    assert_eq!(reader.read_after(0, 10).unwrap().len(), 5);
    drop(journal);
    // when the file is copied without its log, then every row is in the copy
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy.db");
    fs::copy(place.path(), &copy).unwrap();
    assert_eq!(super::super::verify_file(&copy, None).unwrap().recovered.head, head);
    assert_eq!(reader.head().unwrap(), head);
}

#[test]
fn a_log_that_cannot_be_copied_is_told_and_keeps_what_takes_access_away_going() {
    // given a journal whose last copy found no room
    let place = InFile::new();
    let mut journal = open(&place);
    journal.not_copied = Some("database or disk is full".into());
    // then whoever asks for access is told why, and what is appended all the same is durable
    let trouble = journal.trouble().unwrap();
    assert!(trouble.to_string().contains("disk is full") && trouble.may_pass(), "{trouble}");
    let head = journal.append(journal.head(), &batch(journal.head(), 2)).unwrap();
    assert_eq!(journal.reader().head().unwrap(), head);
    // when there is room, then it is copied without anybody asking, though the log is short
    journal.maintain();
    assert_eq!(journal.trouble(), None);
    drop(journal);
    assert_eq!(open(&place).head(), head);
}

#[test]
fn what_does_not_belong_in_the_file_is_met_while_it_runs_and_goes_again() {
    let place = InFile::new();
    let mut journal = open(&place);
    journal.append(journal.head(), &batch(journal.head(), 1)).unwrap();
    let other = place.raw();
    // given what well-known tools make, then nothing changes
    let litestream = "CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); \
        CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER); ANALYZE;";
    other.execute_batch(litestream).unwrap();
    journal.append(journal.head(), &batch(journal.head(), 1)).unwrap();
    assert_eq!(journal.trouble(), None);
    // when somebody makes a trigger, then the first batch that meets it is refused, and names how to remove it
    other.execute_batch("CREATE TRIGGER gone AFTER INSERT ON journal BEGIN DELETE FROM journal; END").unwrap();
    let head = journal.head();
    let refused = journal.append(head, &batch(head, 1)).unwrap_err();
    assert!(refused.to_string().contains("DROP TRIGGER gone;"), "{refused}");
    assert!(matches!(journal.trouble(), Some(Refused::Foreign { .. })));
    // and what takes access away is appended after that, since no connection of ours runs a trigger
    let head = journal.append(head, &batch(head, 1)).unwrap();
    assert_eq!(journal.reader().read_after(0, 10).unwrap().len(), 3);
    // when it is dropped, then all is as before without an append
    other.execute_batch("DROP TRIGGER gone").unwrap();
    journal.maintain();
    journal.maintain();
    assert_eq!(journal.trouble(), None);
    // given an index over the rows, which an append would have to fill, then nothing is appended at all
    other.execute_batch("CREATE UNIQUE INDEX one ON journal(length(hash))").unwrap_err();
    other.execute_batch("CREATE INDEX bodies ON journal(body)").unwrap();
    for _ in 0..2 {
        let refused = journal.append(head, &batch(head, 1)).unwrap_err();
        assert!(refused.to_string().contains("DROP INDEX bodies;"), "{refused}");
    }
    other.execute_batch("DROP INDEX bodies; ALTER TABLE journal ADD COLUMN more TEXT").unwrap();
    let refused = journal.append(head, &batch(head, 1)).unwrap_err();
    assert!(refused.to_string().contains("table `journal` is missing or was changed"), "{refused}");
    other.execute_batch("ALTER TABLE journal DROP COLUMN more").unwrap();
    assert_eq!(journal.append(head, &batch(head, 1)).unwrap().sequence, 4);
}

#[test]
fn a_journal_that_began_without_room_is_shared_again_when_there_is_some() {
    // given a journal whose index of the log is in memory, as on a disk without room for a file
    let place = InFile::new();
    let head = filled(&place, &[3]);
    let mut journal = open(&place);
    schema::keep_log(&journal.connection, false).unwrap();
    drop(std::mem::replace(&mut journal.connection, Connection::open_in_memory().unwrap()));
    journal.connection = schema::open_writer(&place.path(), LogIndex::Own).unwrap();
    *journal.reader.index.write().unwrap() = LogIndex::Own;
    // then it is read and appended to, and there is no file for the index
    let reader = journal.reader();
    assert_eq!(reader.read_after(0, 10).unwrap().len(), 3);
    let head = journal.append(head, &batch(head, 2)).unwrap();
    assert_eq!(reader.head().unwrap(), head);
    assert!(!file::beside(&place.path(), "-shm").exists());
    // when there is room, then others can read it beside us
    journal.maintain();
    assert_eq!(*journal.reader.index.read().unwrap(), LogIndex::Shared);
    assert_eq!(reader.read_after(0, 10).unwrap().len(), 5);
    let head = journal.append(head, &batch(head, 1)).unwrap();
    assert!(file::beside(&place.path(), "-shm").exists());
    drop(journal);
    assert_eq!(reader.head().unwrap(), head);
}
