//! One replica's place in its feed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::channel::Channel;
use super::frame::{Frame, Place, Sent, Standing, Start};
use super::hub::Hub;
use super::roster::{Name, Replica};
use super::snapshot::{ROOM_KIB, Snapshot};
use crate::clock::Timekeeper;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::engine::queue::Queues;

/// For how long a snapshot is kept even if nobody reads it, so that replicas that begin together share it; and for how many
/// times as long while nobody lacks the room. Changes that came meanwhile are sent after it.
const SNAPSHOT_KEPT: Duration = Duration::from_secs(5);
const KEPT_TIMES: usize = 12;

/// A replica that follows. When this is dropped, it has gone.
pub struct Subscription {
    hub: Arc<Hub>,
    channel: Arc<Channel>,
    keeper: Arc<Timekeeper>,
    name: Name,
    stream: u64,
    /// What is still to be sent before the changes.
    beginning: Option<Beginning>,
    number: u64,
    taken: VecDeque<Frame>,
    newest: watch::Receiver<u64>,
}

struct Beginning {
    start: Option<Start>,
    snapshot: Option<Arc<Snapshot>>,
    pieces_sent: usize,
}

impl Subscription {
    pub(in crate::engine) fn new(
        hub: Arc<Hub>,
        channel: Arc<Channel>,
        keeper: Arc<Timekeeper>,
        who: Replica,
    ) -> Result<Self, Refusal> {
        let name = (channel.audience.account.clone(), who.id);
        let stream = hub.roster.join(name.clone(), who, &channel, keeper.boot())?;
        channel.join();
        let newest = channel.watch();
        Ok(Self { hub, channel, keeper, name, stream, beginning: None, number: 0, taken: Default::default(), newest })
    }

    /// Finds where to begin, with a snapshot if needed, which has at least the sequence `at_least` if that is reached.
    pub(in crate::engine) async fn begin(
        &mut self,
        queues: &Queues,
        at_least: u64,
        place: Option<Place>,
    ) -> Result<(), Refusal> {
        let (at, snapshot) = match place.as_ref().and_then(|place| self.resumed(place)) {
            Some(at) => (at, None),
            None => {
                let snapshot = self.snapshot(queues, at_least).await?;
                let at = (snapshot.number, snapshot.sequence);
                // After a restart of the broker a replica may already have exactly what the snapshot holds.
                let is_had = place.is_some_and(|place| {
                    (place.count, place.digest) == (snapshot.count, snapshot.digest) && place.sequence <= at.1
                });
                (at, Some(snapshot).filter(|_| !is_had))
            }
        };
        let (number, sequence) = at;
        let start = Start {
            account: self.channel.audience.account.to_string(),
            journal_id: self.hub.journal_id.clone(),
            feed_id: self.channel.feed_id.clone(),
            snapshot: snapshot.is_some(),
            number,
            sequence,
        };
        self.number = number;
        self.beginning = Some(Beginning { start: Some(start), snapshot, pieces_sent: 0 });
        Ok(())
    }

    /// The number and sequence that a replica of this very feed goes on from.
    fn resumed(&self, place: &Place) -> Option<(u64, u64)> {
        let standing = self.channel.standing()?;
        let here = place.feed_id == self.channel.feed_id
            && place.sequence <= standing.sequence
            && self.channel.follows(place.number);
        here.then_some((place.number, place.sequence))
    }

    async fn snapshot(&self, queues: &Queues, at_least: u64) -> Result<Arc<Snapshot>, Refusal> {
        if let Some(snapshot) = self.channel.fresh_snapshot(at_least) {
            return Ok(snapshot);
        }
        let halted = || Refusal::new(Reason::Halted, "");
        let turn = Arc::clone(&self.channel.making).lock_owned().await;
        // Another may have made it while this waited.
        if let Some(snapshot) = self.channel.fresh_snapshot(at_least) {
            return Ok(snapshot);
        }
        let place = Arc::clone(&self.hub.making).acquire_owned().await.map_err(|_| halted())?;
        let (hub, channel) = (Arc::clone(&self.hub), Arc::clone(&self.channel));
        // Between two batches, so that number, state and accounts are of one moment.
        let (at, base) = queues.answer(None, move |state, _| (channel.place(), hub.base(state))).await?;
        let (hub, channel) = (Arc::clone(&self.hub), Arc::clone(&self.channel));
        let (done, made) = oneshot::channel();
        // It is finished even if whoever asked has gone meanwhile, so that the next one finds it.
        tokio::spawn(async move {
            let its = Arc::clone(&channel);
            let pieces = tokio::task::spawn_blocking(move || Snapshot::pieces(&its.audience, &base)).await;
            let Ok(pieces) = pieces else { return };
            let Ok(snapshot) = Snapshot::kept(&at, pieces, &hub.room).await else { return };
            let snapshot = Arc::new(snapshot);
            channel.keep(&at, &snapshot);
            drop((turn, place));
            let _ = done.send(Arc::clone(&snapshot));
            for _ in 0..KEPT_TIMES {
                tokio::time::sleep(SNAPSHOT_KEPT).await;
                if hub.room.available_permits() < ROOM_KIB.div_ceil(2) {
                    break;
                }
            }
            drop(snapshot);
        });
        made.await.map_err(|_| halted())
    }

    /// What is to be sent next, if there is anything.
    ///
    /// # Errors
    /// `RESYNC` if the follower was too slow, or its audience is another.
    pub fn take_next(&mut self) -> Result<Option<Sent>, Refusal> {
        if let Some(beginning) = &mut self.beginning {
            if let Some(start) = beginning.start.take() {
                return Ok(Some(Sent::Start(start)));
            }
            if let Some(snapshot) = &beginning.snapshot {
                let piece = snapshot.pieces.get(beginning.pieces_sent).cloned();
                beginning.pieces_sent = beginning.pieces_sent.saturating_add(1);
                if let Some(piece) = piece {
                    return Ok(Some(Sent::Piece(piece)));
                }
                let end = Sent::SnapshotEnd { count: snapshot.count, digest: snapshot.digest };
                self.beginning = None;
                return Ok(Some(end));
            }
            self.beginning = None;
        }
        if self.taken.is_empty() {
            self.take()?;
        }
        let next = self.taken.pop_front();
        if let Some(frame) = &next {
            self.number = frame.number;
        }
        Ok(next.map(Sent::Change))
    }

    /// Where the feed stands, if all of it has been sent.
    ///
    /// # Errors
    /// As [`Subscription::take_next`].
    pub fn standing(&mut self) -> Result<Option<Standing>, Refusal> {
        if self.beginning.is_some() || !self.taken.is_empty() {
            return Ok(None);
        }
        self.take()
    }

    fn take(&mut self) -> Result<Option<Standing>, Refusal> {
        let after = self.channel.after(self.number);
        let (frames, standing) = after.ok_or_else(|| {
            let why = if self.channel.is_closed() { "the account's audience has changed" } else { "it was too slow" };
            Refusal::new(Reason::Resync, why)
        })?;
        self.taken.extend(frames);
        Ok(standing.filter(|_| self.taken.is_empty()))
    }

    /// Whether the snapshot has not been sent to its end: until then it counts among the few that may begin at one
    /// time.
    #[must_use]
    pub const fn is_beginning(&self) -> bool {
        self.beginning.is_some()
    }

    /// Resolves when something was published since the last call. Safe to drop.
    pub async fn changed(&mut self) {
        // The channel lives as long as this does.
        let _ = self.newest.changed().await;
    }

    /// The replica said that this change is in force in it.
    pub fn applied(&self, number: u64) {
        self.hub.roster.applied(&self.name, self.stream, number);
        self.hub.changed.send_modify(|times| *times = times.wrapping_add(1));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let boot = self.keeper.boot();
        self.channel.leave(boot);
        self.hub.roster.leave(&self.name, self.stream, boot);
        self.hub.changed.send_modify(|times| *times = times.wrapping_add(1));
    }
}
