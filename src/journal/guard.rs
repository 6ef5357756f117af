//! The lock on the journal's file itself (known failure H16). A lock on a file beside it keeps nobody out who comes by
//! another name: a hard link, a rename, or a lock file that somebody removed.
//!
//! SQLite's own locks are of the process: the kernel drops all of them as soon as the process closes any descriptor of the
//! file. So the descriptor of this lock is opened before SQLite's first connection and closed after its last, the readers'
//! too; there is one for each file in the whole process, since a journal that is opened again meets readers of before.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};

use super::OpenError;
use super::file::store;

/// Which file, whatever it is called.
type Inode = (u64, u64);

/// The descriptors of this process.
static OPEN: Mutex<BTreeMap<Inode, Descriptor>> = Mutex::new(BTreeMap::new());

struct Descriptor {
    file: File,
    users: usize,
    is_locked: bool,
}

/// Keeps the descriptor open. To be dropped when no connection to the file is left.
#[derive(Debug)]
pub(super) struct Guard(Inode);

/// The lock, until it is dropped. What it locks stays open.
#[derive(Debug)]
pub(super) struct Held(Inode);

/// Takes the lock, or says at once that another broker has it. No connection of the caller's may be open yet.
pub(super) fn take(path: &Path) -> Result<(Guard, Held), OpenError> {
    let mut open = all();
    let inode = opened(&mut open, path)?;
    let Some(descriptor) = open.get_mut(&inode) else { return Err(store(path, &"it is not open")) };
    let locked = if descriptor.is_locked {
        Err(OpenError::InUse { path: path.into() })
    } else {
        match flock(&descriptor.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: path.into() }),
            Err(error) => Err(store(path, &error)),
        }
    };
    descriptor.users = descriptor.users.saturating_add(1);
    descriptor.is_locked |= locked.is_ok();
    drop(open);
    let guard = Guard(inode);
    locked.map(|()| (guard, Held(inode)))
}

/// Keeps the descriptor open without the lock, for who only reads. No connection of the caller's may be open yet.
pub(super) fn keep(path: &Path) -> Result<Guard, OpenError> {
    let mut open = all();
    let inode = opened(&mut open, path)?;
    if let Some(descriptor) = open.get_mut(&inode) {
        descriptor.users = descriptor.users.saturating_add(1);
    }
    Ok(Guard(inode))
}

/// Whether this process has the file open as a journal, whatever it is called here.
pub(super) fn is_open(metadata: &Metadata) -> bool {
    all().contains_key(&inode(metadata))
}

/// Opens the file unless this process has it open.
fn opened(open: &mut BTreeMap<Inode, Descriptor>, path: &Path) -> Result<Inode, OpenError> {
    let failed = |error| store(path, &error);
    let inode = inode(&fs::metadata(path).map_err(failed)?);
    if open.contains_key(&inode) {
        return Ok(inode);
    }
    let file = File::open(path).map_err(failed)?;
    let inode = self::inode(&file.metadata().map_err(failed)?);
    if open.contains_key(&inode) {
        // Renamed in this very moment to a file that this process has open. It must not be closed.
        std::mem::forget(file);
        return Err(store(path, &"it was replaced while it was opened"));
    }
    open.insert(inode, Descriptor { file, users: 0, is_locked: false });
    Ok(inode)
}

impl Guard {
    /// The first bytes of the file; none of one that is shorter.
    pub(super) fn header<const LENGTH: usize>(&self) -> Option<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        all().get(&self.0)?.file.read_exact_at(&mut bytes, 0).ok()?;
        Some(bytes)
    }
}

impl Drop for Held {
    /// Not by closing: a process that was begun a moment ago has the descriptor, too, until it runs its program.
    fn drop(&mut self) {
        if let Some(descriptor) = all().get_mut(&self.0) {
            let _ = flock(&descriptor.file, FlockOperation::Unlock);
            descriptor.is_locked = false;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut open = all();
        let Some(descriptor) = open.get_mut(&self.0) else { return };
        descriptor.users = descriptor.users.saturating_sub(1);
        if descriptor.users == 0 {
            // Closed before anybody else can open it again.
            open.remove(&self.0);
        }
    }
}

fn inode(metadata: &Metadata) -> Inode {
    (metadata.dev(), metadata.ino())
}

fn all() -> MutexGuard<'static, BTreeMap<Inode, Descriptor>> {
    // Nothing panics while it is held.
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
