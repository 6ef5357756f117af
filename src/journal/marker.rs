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
/// A write that takes so long is taken for one that fails, until it ends.
const LATE: Duration = Duration::from_secs(5);

/// How far a mark has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkStanding {
    /// The row that it has come to.
    pub sequence: u64,
    /// Why it cannot be written, if it cannot.
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

/// The thread, until dropped. Then it writes what it has not written yet, and ends; a write that does not end is left alone.
#[derive(Debug)]
pub(super) struct Marker {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    told: Mutex<Told>,
    /// For the thread that writes.
    wake: Condvar,
    /// For who waits for it.
    changed: Condvar,
    late: Duration,
}

#[derive(Debug, Default)]
struct Told {
    wanted: Option<Head>,
    written: Option<Head>,
    /// What could not be written, and why.
    failed: Option<(Head, String)>,
    /// The attempt that is under way, if one is; they are counted.
    writing: Option<u64>,
    attempts: u64,
    is_late: bool,
    hurry: bool,
    ends: bool,
    has_ended: bool,
}

impl Told {
    fn is_written(&self) -> bool {
        self.wanted == self.written
    }
}

impl Marker {
    pub(super) fn start(mut pen: Pen) -> io::Result<Self> {
        Self::writing_by(LATE, move |head| pen.write(head))
    }

    fn writing_by(late: Duration, mut write: impl FnMut(Head) -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let told = Mutex::default();
        let shared = Arc::new(Shared { told, wake: Condvar::new(), changed: Condvar::new(), late });
        let mut marker = Self { shared: Arc::clone(&shared), threads: Vec::new() };
        let theirs = Arc::clone(&shared);
        marker.begin("head mark", move || {
            while theirs.turn(&mut write) {}
            theirs.lock().has_ended = true;
            theirs.changed.notify_all();
        })?;
        marker.begin("mark watch", move || while shared.watch() {})?;
        Ok(marker)
    }

    fn begin(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// A head that is durable.
    pub(super) fn note(&self, head: Head) {
        let mut told = self.shared.lock();
        let is_idle = told.is_written();
        told.wanted = Some(head);
        drop(told);
        // Else it comes by anyway.
        if is_idle {
            self.shared.wake.notify_one();
        }
    }

    /// Waits until the newest head is written, or was tried, or takes too long.
    pub(super) fn flush(&self) {
        let mut told = self.shared.lock();
        told.hurry = true;
        self.shared.wake.notify_one();
        let wanted = told.wanted;
        let has_failed = |told: &Told| told.is_late || told.failed.as_ref().map(|(head, _)| *head) == wanted;
        let waits = |told: &mut Told| !told.is_written() && !has_failed(told);
        drop(self.shared.changed.wait_while(told, waits).unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn standing(&self) -> MarkStanding {
        let told = self.shared.lock();
        let sequence = told.written.map_or(0, |head| head.sequence);
        let failed = told.failed.as_ref().map(|(_, what)| what.clone());
        let late = told.is_late.then(|| format!("a write has not ended for {} s", self.shared.late.as_secs()));
        MarkStanding { sequence, failing: failed.or(late) }
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        let mut told = self.shared.lock();
        told.ends = true;
        self.shared.wake.notify_all();
        self.shared.changed.notify_all();
        // A disk that does not answer keeps nobody from stopping.
        let waits = |told: &mut Told| !told.has_ended;
        let waited = self.shared.changed.wait_timeout_while(told, self.shared.late, waits);
        if !waited.unwrap_or_else(PoisonError::into_inner).0.has_ended {
            tracing::error!("the last write of the head mark does not end, and is not waited for: the mark may lag");
            return;
        }
        for thread in self.threads.drain(..) {
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
    fn turn(&self, write: &mut dyn FnMut(Head) -> io::Result<()>) -> bool {
        let idle = |told: &mut Told| told.is_written() && !told.ends;
        let told = self.wake.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let gathers = |told: &mut Told| !told.hurry && !told.ends;
        let mut told = self.wake.wait_timeout_while(told, GATHER, gathers).unwrap_or_else(PoisonError::into_inner).0;
        let (false, Some(head)) = (told.is_written(), told.wanted) else { return !told.ends };
        told.hurry = false;
        told.attempts = told.attempts.saturating_add(1);
        told.writing = Some(told.attempts);
        let ends = told.ends;
        drop(told);
        self.changed.notify_all();
        let result = write(head);
        let mut told = self.lock();
        (told.writing, told.is_late) = (None, false);
        let failed = match result {
            Ok(()) => {
                if told.failed.take().is_some() {
                    tracing::info!("the head mark is written again");
                }
                told.written = Some(head);
                false
            }
            Err(error) => {
                if told.failed.is_none() {
                    tracing::error!(%error, "the head mark cannot be written; nothing that gives access is done");
                }
                told.failed = Some((head, error.to_string()));
                true
            }
        };
        self.changed.notify_all();
        if failed && !ends {
            let rests = |told: &mut Told| !told.hurry && !told.ends;
            drop(self.wake.wait_timeout_while(told, RETRY, rests).unwrap_or_else(PoisonError::into_inner));
        }
        !(failed && ends)
    }

    /// Waits for one write to end, and tells if it takes too long. Whether there may be another.
    fn watch(&self) -> bool {
        let idle = |told: &mut Told| told.writing.is_none() && !told.ends;
        let told = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let attempt = told.writing;
        let goes_on = |told: &mut Told| told.writing == attempt && !told.ends;
        let waited = self.changed.wait_timeout_while(told, self.late, goes_on);
        let mut told = waited.unwrap_or_else(PoisonError::into_inner).0;
        if goes_on(&mut told) {
            tracing::error!("a write of the head mark does not end; nothing that gives access is done");
            told.is_late = true;
            self.changed.notify_all();
            told = self.changed.wait_while(told, goes_on).unwrap_or_else(PoisonError::into_inner);
        }
        !told.ends
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::domain::value::ids::Digest;

    #[test]
    fn a_mark_that_lags_is_waited_for_and_one_that_fails_or_hangs_is_told() {
        let head = |sequence: u64| Head { sequence, hash: Digest::of(&sequence.to_be_bytes()) };
        // given a disk that answers when it is told what
        let (answer, answers) = mpsc::channel::<io::Result<()>>();
        let marker = Marker::writing_by(Duration::from_millis(1), move |_| answers.recv().unwrap()).unwrap();
        let until = |holds: &dyn Fn(MarkStanding) -> bool| {
            while !holds(marker.standing()) {
                std::thread::yield_now();
            }
        };
        marker.note(head(1));
        // when it does not answer, then that is told, and no more once it has
        until(&|standing| standing.failing.is_some());
        assert!(marker.standing().failing.unwrap().contains("has not ended"));
        answer.send(Ok(())).unwrap();
        until(&|standing| standing == MarkStanding { sequence: 1, failing: None });
        // when it answers with a failure, then the same
        marker.note(head(2));
        answer.send(Err(io::Error::other("no room"))).unwrap();
        until(&|standing| standing.failing.as_deref() == Some("no room"));
        answer.send(Ok(())).unwrap();
        until(&|standing| standing == MarkStanding { sequence: 2, failing: None });
        // when it ends, then what was noted is written before
        marker.note(head(3));
        answer.send(Ok(())).unwrap();
        drop(marker);
    }

    #[test]
    fn a_write_that_does_not_end_keeps_nobody_waiting() {
        let head = Head { sequence: 1, hash: Digest::of(b"1") };
        let (_never, never) = mpsc::channel::<io::Result<()>>();
        let marker = Marker::writing_by(Duration::from_millis(1), move |_| never.recv().unwrap()).unwrap();
        marker.note(head);
        marker.flush();
        assert!(marker.standing().failing.is_some());
        drop(marker);
    }
}
