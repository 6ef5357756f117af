//! The journal's files: owner-only, one broker at a time (known failures H15 and H16).
//!
//! The journal itself is never opened here once SQLite may have it open: closing any descriptor of a file drops the
//! POSIX locks that the same process holds on it. Modes are read by path.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::OpenError;

/// What the name of a journal's mark ends with, after the journal's.
pub(super) const MARK_SUFFIX: &str = ".mark";

/// Holds `<journal>.lock` until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) file: File,
}

impl Drop for Lock {
    /// Closing the file would not do: a process that was begun a moment ago has it open, too, until it runs its program.
    fn drop(&mut self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// `path` with `suffix` at its end: `journal.db-wal`, `journal.db.lock`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// An I/O error on the way to opening `path`.
pub(super) fn store(path: &Path, error: &dyn std::fmt::Display) -> OpenError {
    OpenError::Store { path: path.into(), what: error.to_string() }
}

/// The real path of a journal that exists: two names of one file get one lock.
pub(super) fn existing(path: &Path) -> Result<PathBuf, OpenError> {
    match fs::canonicalize(path) {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OpenError::Missing { path: path.into() }),
        Err(error) => Err(store(path, &error)),
    }
}

/// The real path of a journal that is to be created, in a directory that exists.
pub(super) fn creatable(path: &Path) -> Result<PathBuf, OpenError> {
    let name = path.file_name().ok_or_else(|| OpenError::NotAFile { path: path.into() })?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let real = fs::canonicalize(directory).map_err(|error| store(path, &error))?.join(name);
    if fs::symlink_metadata(&real).is_ok() { Err(OpenError::Exists { path: real }) } else { Ok(real) }
}

/// Refuses the journal and what lies beside it unless they are regular files that only their owner can open.
pub(crate) fn check_modes(path: &Path) -> Result<(), OpenError> {
    for suffix in ["", "-wal", "-shm", ".lock", MARK_SUFFIX] {
        let path = beside(path, suffix);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => continue,
            Err(error) => return Err(store(&path, &error)),
        };
        if !metadata.is_file() && suffix == MARK_SUFFIX {
            // What stands in the mark's place is told when the mark is read.
            continue;
        }
        if !metadata.is_file() {
            return Err(OpenError::NotAFile { path });
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(OpenError::LooseMode { path, mode });
        }
    }
    Ok(())
}

/// Refuses a file that SQLite, or the lock, would write to under the name of another: a link, or a second name of what lies beside
/// it.
pub(super) fn check_links(journal: &Path) -> Result<(), OpenError> {
    let found = |suffix: &&str| fs::symlink_metadata(beside(journal, suffix)).ok();
    let others = ["", MARK_SUFFIX, ".secret", ".token-keys", ".index", ".index-wal", ".index-shm"];
    let mut known: BTreeSet<_> = others.iter().filter_map(found).map(|found| (found.dev(), found.ino())).collect();
    for suffix in ["-wal", "-shm", ".lock"] {
        if let Some(found) = found(&suffix)
            && (found.is_symlink() || !known.insert((found.dev(), found.ino())))
        {
            return Err(OpenError::Linked { path: beside(journal, suffix) });
        }
    }
    Ok(())
}

/// Creates an empty file that is owner-only from its first moment, whatever the umask.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Takes the lock beside the journal, or says at once that another broker has it.
pub(super) fn lock(journal: &Path) -> Result<Lock, OpenError> {
    let path = beside(journal, ".lock");
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(|error| store(&path, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { file }),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: journal.into() }),
        Err(error) => Err(store(&path, &error)),
    }
}

/// Gives a finished file its final name without ever replacing another, durably.
pub(super) fn publish(made: &Path, path: &Path) -> Result<(), OpenError> {
    File::open(made).and_then(|file| file.sync_all()).map_err(|error| store(made, &error))?;
    match fs::hard_link(made, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(OpenError::Exists { path: path.into() });
        }
        Err(error) => return Err(store(path, &error)),
    }
    fs::remove_file(made).map_err(|error| store(made, &error))?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory).and_then(|file| file.sync_all()).map_err(|error| store(directory, &error))
}
