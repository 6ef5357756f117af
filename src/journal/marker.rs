//! The thread that writes the mark: off the path of whoever waits for an answer, and at the latest a tenth of a second
//! after what it tells of was durable. It writes the newest head that it was told of, however many there were.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::loss::Mark;
use super::mark::{self, Written, place, slot};
use super::{Head, JournalId};

/// How long heads are gathered before one is written: half of what may pass, so that the write has the other half.
const GATHER: Duration = Duration::from_millis(50);
/// How long it waits after a write that failed.
const RETRY: Duration = Duration::from_millis(100);

/// How far a mark has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkStanding {
    /// The row that it has come to.
    pub sequence: u64,
    /// Why the last attempt to write it failed, if it did.
    pub failing: Option<String>,
}

/// Writes a mark's file.
#[derive(Debug)]
pub(super) struct Pen {
    path: PathBuf,
    journal: JournalId,
    /// The file, and the last turn in it; none where it is to be made anew.
    open: Option<(File, u64)>,
}

impl Pen {
    /// Goes on with the file that is there, or makes one anew.
    pub(super) fn new(path: PathBuf, journal: JournalId, there: Option<Written>) -> Self {
        let file = || OpenOptions::new().read(true).write(true).open(&path).ok();
        let open = there.and_then(|written| Some((file()?, written.turn)));
        Self { path, journal, open }
    }

    /// Writes over the older of the two slots, durably. After a failure it is the same slot again: the other one holds.
    pub(super) fn write(&mut self, head: Head) -> io::Result<()> {
        let mark = Mark { journal: self.journal, head };
        // What was removed or replaced under a running broker would be written where nobody reads it.
        let is_there = |file: &File| Ok::<_, io::Error>(fs::metadata(&self.path)?.ino() == file.metadata()?.ino());
        if let Some((file, turn)) = &mut self.open
            && is_there(file).unwrap_or(false)
        {
            let next = turn.saturating_add(1);
            file.write_all_at(&slot(&Written { turn: next, mark }), place(next))?;
            file.sync_data()?;
            *turn = next;
            return Ok(());
        }
        let made = mark::create(&self.path, &mark)?;
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        self.open = Some((file, made.turn));
        Ok(())
    }
}

/// The thread, until dropped. Then it writes what it has not written yet, and ends.
#[derive(Debug)]
pub(super) struct Marker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    wanted: Option<Head>,
    written: Option<Head>,
    /// What could not be written, and why.
    failed: Option<(Head, String)>,
    hurry: bool,
    ends: bool,
}

impl Told {
    fn is_written(&self) -> bool {
        self.wanted == self.written
    }
}

impl Marker {
    pub(super) fn start(mut pen: Pen) -> io::Result<Self> {
        let shared = Arc::new(Shared { told: Mutex::default(), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let run = move || while theirs.turn(&mut pen) {};
        let thread = std::thread::Builder::new().name("head mark".to_owned()).spawn(run)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A head that is durable.
    pub(super) fn note(&self, head: Head) {
        self.shared.lock().wanted = Some(head);
        self.shared.changed.notify_all();
    }

    /// Waits until the newest head is written, or was tried.
    pub(super) fn flush(&self) {
        let mut told = self.shared.lock();
        told.hurry = true;
        self.shared.changed.notify_all();
        let wanted = told.wanted;
        let waits = |told: &mut Told| !told.is_written() && told.failed.as_ref().map(|(head, _)| *head) != wanted;
        drop(self.shared.changed.wait_while(told, waits).unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn standing(&self) -> MarkStanding {
        let told = self.shared.lock();
        let sequence = told.written.map_or(0, |head| head.sequence);
        MarkStanding { sequence, failing: told.failed.as_ref().map(|(_, what)| what.clone()) }
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It does not panic; were it so, its mark stays behind, which is the safe side.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One mark, once there is something to write. Whether there may be another.
    fn turn(&self, pen: &mut Pen) -> bool {
        let idle = |told: &mut Told| told.is_written() && !told.ends;
        let told = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let gathers = |told: &mut Told| !told.hurry && !told.ends;
        let waited = self.changed.wait_timeout_while(told, GATHER, gathers).unwrap_or_else(PoisonError::into_inner);
        let mut told = waited.0;
        let (false, Some(head)) = (told.is_written(), told.wanted) else { return !told.ends };
        told.hurry = false;
        let ends = told.ends;
        drop(told);
        let result = pen.write(head);
        let mut told = self.lock();
        match result {
            Ok(()) => {
                if told.failed.take().is_some() {
                    tracing::info!(mark = %pen.path.display(), "the head mark is written again");
                }
                told.written = Some(head);
            }
            Err(error) => {
                if told.failed.is_none() {
                    let mark = pen.path.display();
                    tracing::error!(%mark, %error, "the head mark cannot be written; nothing that gives access is done");
                }
                told.failed = Some((head, error.to_string()));
            }
        }
        self.changed.notify_all();
        if told.failed.is_some() && !ends {
            let rests = |told: &mut Told| !told.hurry && !told.ends;
            drop(self.changed.wait_timeout_while(told, RETRY, rests).unwrap_or_else(PoisonError::into_inner));
            return true;
        }
        !(ends && told.failed.is_some())
    }
}
