//! Whether there is room beside a journal. Asked of the disk itself, since a store that finds none says so in many ways.

use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::{fs, io};

use rusqlite::{Error, ErrorCode, ffi};

use super::file::{beside, create_private};

/// More than SQLite needs to open a file: the index of its log grows by 32 KiB.
const ENOUGH_BYTES: usize = 256 * 1024;

/// How SQLite keeps its index of the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogIndex {
    /// In a file beside the journal, so that others can read the journal at the same time.
    Shared,
    /// In the memory of this process, where the disk has no room for that file. Others wait until there is.
    Own,
}

impl LogIndex {
    /// The name of SQLite's way to reach a file.
    pub(super) fn vfs(self) -> &'static str {
        match self {
            Self::Shared => "unix",
            Self::Own => "unix-excl",
        }
    }
}

/// Whether something more can be written beside a journal. Any failure that is not for want of room is no answer.
pub(crate) fn is_left(journal: &Path) -> bool {
    let path = beside(journal, ".room");
    // Left over from a look that was cut short.
    let _ = fs::remove_file(&path);
    let written = create_private(&path).and_then(|mut file| file.write_all(&vec![0; ENOUGH_BYTES]));
    let _ = fs::remove_file(&path);
    !written.is_err_and(|error| is_for_want_of_room(&error))
}

fn is_for_want_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Whether a copy of the log that failed has left the log as it was: it failed to write the file, or to get memory for it.
/// After a failed fsync nobody knows what is on the disk (known failures H3 and H24).
pub(super) fn is_log_whole_after(error: &Error) -> bool {
    let Error::SqliteFailure(failure, _) = error else { return false };
    let is_write = [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_TRUNCATE, ffi::SQLITE_IOERR_SHMSIZE];
    matches!(failure.code, ErrorCode::DiskFull | ErrorCode::OutOfMemory) || is_write.contains(&failure.extended_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_for_room_leaves_nothing_and_is_no_answer_where_it_fails_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal.db");
        fs::write(beside(&journal, ".room"), "left over").unwrap();
        assert!(is_left(&journal));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(is_left(&directory.path().join("no/such/folder")));
        for errno in [28, 122, 27] {
            assert!(is_for_want_of_room(&io::Error::from_raw_os_error(errno)));
        }
        assert!(!is_for_want_of_room(&io::Error::from_raw_os_error(5)));
    }

    #[test]
    fn a_copy_of_the_log_that_found_no_room_has_left_the_log_whole() {
        let whole = |code| is_log_whole_after(&Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_NOMEM, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_TRUNCATE] {
            assert!(whole(code), "{code}");
        }
        for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_READ, ffi::SQLITE_CORRUPT, ffi::SQLITE_IOERR] {
            assert!(!whole(code), "{code}");
        }
        assert!(!whole(ffi::SQLITE_IOERR_DIR_FSYNC) && !is_log_whole_after(&Error::QueryReturnedNoRows));
    }
}
