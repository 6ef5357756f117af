//! One enforcement point's feed: a ring of recent differences, and the count and digest of everything in the feed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use uuid::Uuid;

use super::audience::Audience;
use super::delta::{Delta, Difference, own};
use super::frame::{Frame, Standing};
use super::snapshot::Snapshot;
use crate::check::SetDigest;
use crate::clock::BootMillis;
use crate::domain::value::time::Span;

/// Changes that a channel keeps at most, however short they are.
const RING_FRAMES: usize = 16_384;
/// What a follower takes out of the ring at once. It is kept for that follower though the ring may drop it.
const FRAMES_AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 128 * 1024;

pub(in crate::engine) struct Channel {
    pub(super) audience: Audience,
    pub(super) feed_id: String,
    frames: Mutex<Frames>,
    /// Counts what is published, and the end.
    newest: watch::Sender<u64>,
    followers: Mutex<Followers>,
    /// Held while a snapshot is made: of two at once each would take itself for the first.
    pub(super) making: Arc<tokio::sync::Mutex<()>>,
}

struct Frames {
    ring: VecDeque<Frame>,
    ring_bytes: usize,
    /// What is kept for those who are behind; whoever is further behind begins anew.
    most_bytes: usize,
    number: u64,
    sequence: u64,
    /// Wrapping, like the digest, until what it began with is added.
    count: u64,
    digest: SetDigest,
    /// What was there at the beginning has been added.
    is_whole: bool,
    is_closed: bool,
    /// The newest snapshot, as long as somebody has it.
    snapshot: Weak<Snapshot>,
}

#[derive(Default)]
struct Followers {
    count: usize,
    unfollowed_since: Option<BootMillis>,
}

impl Channel {
    /// Nobody follows it yet, since `boot`: if nobody ever does, it is forgotten like every other.
    pub(super) fn new(audience: Audience, sequence: u64, most_bytes: usize, boot: BootMillis) -> Self {
        let frames = Frames {
            ring: VecDeque::new(),
            ring_bytes: 0,
            most_bytes,
            number: 0,
            sequence,
            count: 0,
            digest: SetDigest::default(),
            is_whole: false,
            is_closed: false,
            snapshot: Weak::new(),
        };
        Self {
            audience,
            feed_id: Uuid::new_v4().to_string(),
            frames: Mutex::new(frames),
            newest: watch::Sender::new(0),
            followers: Mutex::new(Followers { unfollowed_since: Some(boot), ..Followers::default() }),
            making: Arc::default(),
        }
    }

    /// Takes in a batch. False: this feed is over, for the audience is another from now on, or it was closed before.
    pub(super) fn publish(&self, sequence: u64, differences: &[Difference<'_>], for_all: &Delta) -> bool {
        let own = own(&self.audience.account, differences);
        let is_other = own.is_some_and(|(old, new)| {
            old.is_none_or(|old| {
                (&old.audience, old.active, old.checks_until) != (&new.audience, new.active, new.checks_until)
            })
        });
        let mut frames = self.frames();
        if is_other || frames.is_closed {
            frames.close();
        } else if own.is_some() {
            frames.take(sequence, &[&Delta::for_audience(&self.audience, differences, true)]);
        } else {
            frames.take(sequence, &[for_all, &Delta::for_audience(&self.audience, differences, false)]);
        }
        let goes_on = !frames.is_closed;
        drop(frames);
        self.newest.send_modify(|times| *times = times.wrapping_add(1));
        goes_on
    }

    /// Takes note of a snapshot that was made where the channel stood at `at`. The first one says what was there when
    /// the channel began; each later one must be what the differences have led to, or the feed is over.
    pub(super) fn keep(&self, at: &Standing, snapshot: &Arc<Snapshot>) {
        let mut frames = self.frames();
        if !frames.is_whole {
            frames.count = frames.count.wrapping_sub(at.count).wrapping_add(snapshot.count);
            frames.digest = frames.digest.minus(&at.digest).plus(&snapshot.digest);
            frames.is_whole = true;
        } else if (at.count, at.digest) != (snapshot.count, snapshot.digest) {
            tracing::error!(account = %self.audience.account, number = at.number, "a feed differs from what it is made of; its replicas begin anew");
            frames.close();
        }
        frames.snapshot = Arc::downgrade(snapshot);
        let is_over = frames.is_closed;
        drop(frames);
        if is_over {
            self.newest.send_modify(|times| *times = times.wrapping_add(1));
        }
    }

    /// A snapshot that is still there, not older than this sequence if that is reached, and that changes follow without
    /// a gap.
    pub(super) fn fresh_snapshot(&self, at_least: u64) -> Option<Arc<Snapshot>> {
        let frames = self.frames();
        let least = at_least.min(frames.sequence);
        frames.snapshot.upgrade().filter(|snapshot| snapshot.sequence >= least && frames.follows(snapshot.number))
    }

    /// Where the channel stands; none until it is whole, or once it is over.
    pub(super) fn standing(&self) -> Option<Standing> {
        let frames = self.frames();
        (frames.is_whole && !frames.is_closed).then(|| frames.standing())
    }

    /// The same, whole or not: before it is, count and digest are those of the differences alone.
    pub(super) fn place(&self) -> Standing {
        self.frames().standing()
    }

    /// Whether changes after this number are still here.
    pub(super) fn follows(&self, number: u64) -> bool {
        self.frames().follows(number)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.frames().is_closed
    }

    /// Some of the frames that follow a number; with the last of them, where the channel stands after them. None: some
    /// of them are gone, or the feed is over.
    pub(super) fn after(&self, number: u64) -> Option<(Vec<Frame>, Option<Standing>)> {
        let frames = self.frames();
        if frames.is_closed || !frames.follows(number) {
            return None;
        }
        let from = frames.ring.partition_point(|frame| frame.number <= number);
        let mut bytes: usize = 0;
        let few = frames.ring.iter().skip(from).take_while(|frame| {
            let is_more = bytes < BYTES_AT_ONCE;
            bytes = bytes.saturating_add(frame.entries.len());
            is_more
        });
        let taken: Vec<Frame> = few.take(FRAMES_AT_ONCE).cloned().collect();
        let reached = taken.last().map_or(number, |frame| frame.number);
        Some((taken, (reached == frames.number && frames.is_whole).then(|| frames.standing())))
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    pub(super) fn join(&self) {
        let mut followers = self.followers();
        followers.count = followers.count.saturating_add(1);
        followers.unfollowed_since = None;
    }

    pub(super) fn leave(&self, boot: BootMillis) {
        let mut followers = self.followers();
        followers.count = followers.count.saturating_sub(1);
        if followers.count == 0 {
            followers.unfollowed_since = Some(boot);
        }
    }

    pub(super) fn followed_by(&self) -> usize {
        self.followers().count
    }

    /// Whether nobody has followed it for so long. It is over then: nothing is published to it any more, so whoever has
    /// just found it must not take its silence to mean that nothing changed.
    pub(super) fn is_forgotten(&self, boot: BootMillis, after: Span) -> bool {
        let forgotten = self.followers().unfollowed_since.is_some_and(|since| boot.since(since) >= after);
        if forgotten {
            self.frames().close();
            self.newest.send_modify(|times| *times = times.wrapping_add(1));
        }
        forgotten
    }

    /// The last change that there is.
    pub(super) fn mark(&self) -> (String, u64) {
        (self.feed_id.clone(), self.place().number)
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Frames {
    fn close(&mut self) {
        self.is_closed = true;
        self.ring.clear();
    }

    /// Whoever has a frame has all of the sequence that it names, so only the last frame of a batch names the batch's.
    fn take(&mut self, sequence: u64, deltas: &[&Delta]) {
        let before = std::mem::replace(&mut self.sequence, sequence);
        let mut left: usize = deltas.iter().map(|delta| delta.pieces.len()).sum();
        for delta in deltas {
            self.count = self.count.wrapping_add(delta.added).wrapping_sub(delta.removed);
            self.digest = self.digest.plus(&delta.sum);
            for entries in &delta.pieces {
                self.number = self.number.saturating_add(1);
                left = left.saturating_sub(1);
                let sequence = if left == 0 { sequence } else { before };
                self.ring_bytes = self.ring_bytes.saturating_add(entries.len());
                self.ring.push_back(Frame { number: self.number, sequence, entries: entries.clone() });
            }
        }
        while self.ring.len() > RING_FRAMES || self.ring_bytes > self.most_bytes {
            let Some(oldest) = self.ring.pop_front() else { return };
            self.ring_bytes = self.ring_bytes.saturating_sub(oldest.entries.len());
        }
    }

    fn follows(&self, number: u64) -> bool {
        match self.ring.front() {
            Some(oldest) => number <= self.number && number.saturating_add(1) >= oldest.number,
            None => number == self.number,
        }
    }

    fn standing(&self) -> Standing {
        Standing { number: self.number, sequence: self.sequence, count: self.count, digest: self.digest }
    }
}
