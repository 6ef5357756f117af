//! The replica's side of the feed as a machine without IO, clock or waiting: messages go in, and what is to be done comes
//! out. All rules about what may be believed are here (known failures F3, F4 and I11).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::age::Beat;
use super::view::{Break, Trust, View};
use crate::check::{Change, CheckIndex, SetDigest, read_changes};
use crate::clock::BootMillis;
use crate::domain::value::time::Timestamp;
use crate::wire::v1;
use crate::wire::v1::replicate_grants_response::Message;

/// Follows one feed after another, and remembers what it holds in between.
pub(super) struct Follower {
    phase: Phase,
    held: Option<Held>,
    /// What is received anew while the former goes on being used.
    draft: Option<Held>,
    /// The pings of this stream that have no answer yet, the oldest first.
    pings: VecDeque<(Uuid, BootMillis)>,
    floor: Option<Floor>,
    /// The broker of this stream.
    address: String,
    /// The brokers turned away because of the floor, since the last one that was not.
    turned_away: BTreeSet<String>,
    /// How many there are. If all of them were turned away, none has what was known.
    brokers: usize,
}

/// Where a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Loading,
    /// The snapshot agrees with its own digest; that the broker's present state does too shows with the first answer.
    Proving,
    Following,
}

/// A set of entries and where it stands.
struct Held {
    account: String,
    journal_id: String,
    feed_id: String,
    number: u64,
    sequence: u64,
    entries: Arc<CheckIndex>,
    beat: Option<Beat>,
}

/// The furthest point that was ever known. An earlier one, or another journal, is not believed at once.
struct Floor {
    journal_id: String,
    sequence: u64,
}

/// What a message led to.
#[derive(Default)]
pub(super) struct Taken {
    /// What checks are to read from now on.
    pub(super) view: Option<View>,
    /// The number of the last change in force by then, to be reported to the broker.
    pub(super) applied: Option<u64>,
    /// A snapshot is in force.
    pub(super) synced: bool,
    /// The stream goes on from what is held.
    pub(super) resumed: bool,
    /// A ping was answered.
    pub(super) answered: bool,
    /// The next ping need not wait for its time.
    pub(super) wants_ping: bool,
}

impl Follower {
    /// One that knows nothing. `brokers`: how many there are to ask.
    pub(super) fn new(brokers: usize) -> Self {
        Self {
            phase: Phase::Starting,
            held: None,
            draft: None,
            pings: VecDeque::new(),
            floor: None,
            address: String::new(),
            turned_away: BTreeSet::new(),
            brokers,
        }
    }

    /// A stream of the broker at this address begins.
    pub(super) fn hello(&mut self, address: &str) -> v1::ReplicaHello {
        (self.phase, self.draft, self.address) = (Phase::Starting, None, address.to_owned());
        self.pings.clear();
        let sequence = self.floor.as_ref().map_or(0, |floor| floor.sequence);
        let nothing = || v1::ReplicaHello { sequence, ..Default::default() };
        self.held.as_ref().map_or_else(nothing, Held::hello)
    }

    /// What begins another stream of the same feed while this one stands; none before this one has proved anything.
    pub(super) fn hello_beside(&self) -> Option<v1::ReplicaHello> {
        self.held.as_ref().filter(|_| self.phase == Phase::Following).map(Held::hello)
    }

    /// How that other stream begins. If it goes on exactly from what is held, the feed is that stream's from now on; if not,
    /// nothing has changed.
    pub(super) fn start_beside(&mut self, start: &v1::ReplicaStart) -> Option<Taken> {
        let held = self.held.as_ref().filter(|_| self.phase == Phase::Following)?;
        let is_same = (&held.account, &held.journal_id, &held.feed_id, held.number)
            == (&start.account, &start.journal_id, &start.feed_id, start.number);
        if start.snapshot || !is_same || start.sequence < held.sequence {
            return None;
        }
        self.pings.clear();
        Some(Taken { resumed: true, wants_ping: true, ..Taken::default() })
    }

    /// The ping for now; none before there is anything to prove.
    pub(super) fn ping(&mut self, nonce: Uuid, boot: BootMillis) -> Option<v1::ReplicaPing> {
        if matches!(self.phase, Phase::Starting | Phase::Loading) {
            return None;
        }
        self.pings.push_back((nonce, boot));
        // What is not proved is not in force: of it nothing is applied yet.
        let in_force = self.held.as_ref().filter(|_| self.phase == Phase::Following);
        Some(v1::ReplicaPing {
            nonce: nonce.as_bytes().to_vec(),
            number: in_force.map_or(0, |held| held.number),
            sequence: in_force.map_or(0, |held| held.sequence),
        })
    }

    /// How many pings of this stream have no answer.
    pub(super) fn unanswered(&self) -> usize {
        self.pings.len()
    }

    /// Takes a message.
    ///
    /// # Errors
    /// If it destroys the trust in all that is held. Then [`Follower::forget`] has been called.
    pub(super) fn take(&mut self, message: v1::ReplicateGrantsResponse) -> Result<Taken, Break> {
        let taken = match message.message {
            Some(Message::Start(start)) => self.start(start),
            Some(Message::Piece(piece)) => self.piece(&piece.entries),
            Some(Message::SnapshotEnd(end)) => self.snapshot_end(&end),
            Some(Message::Change(change)) => self.change(&change),
            Some(Message::Pong(pong)) => self.pong(&pong),
            None => Err(Break::Unreadable),
        };
        taken.inspect_err(|_| self.forget())
    }

    /// Drops all that is held.
    pub(super) fn forget(&mut self) {
        (self.phase, self.held, self.draft) = (Phase::Starting, None, None);
        self.pings.clear();
    }

    fn start(&mut self, start: v1::ReplicaStart) -> Result<Taken, Break> {
        if self.phase != Phase::Starting {
            return Err(Break::OutOfPlace);
        }
        self.hold_against_floor(&start)?;
        if start.snapshot {
            self.draft = Some(Held {
                account: start.account,
                journal_id: start.journal_id,
                feed_id: start.feed_id,
                number: start.number,
                sequence: start.sequence,
                entries: Arc::new(CheckIndex::with_set_digest()),
                beat: None,
            });
            self.phase = Phase::Loading;
            return Ok(Taken::default());
        }
        // A change without a snapshot before it cannot be right.
        let held = self.held.as_mut().ok_or(Break::OutOfPlace)?;
        if held.account != start.account {
            return Err(Break::Account);
        }
        if held.feed_id == start.feed_id && held.number != start.number {
            return Err(Break::Gap);
        }
        (held.feed_id, held.number, held.sequence) = (start.feed_id, start.number, start.sequence);
        self.phase = Phase::Following;
        Ok(Taken { resumed: true, wants_ping: true, ..Taken::default() })
    }

    /// Turns away another journal, or an earlier state of the same, so that a broker with what was known is found if
    /// there is one. Only when every broker was turned away is what they have the truth, and received anew; one that
    /// cannot be reached may still have it.
    fn hold_against_floor(&mut self, start: &v1::ReplicaStart) -> Result<(), Break> {
        let Some(floor) = &self.floor else { return Ok(()) };
        let why = if floor.journal_id != start.journal_id {
            Break::Journal
        } else if start.sequence < floor.sequence {
            Break::Sequence
        } else {
            self.turned_away.clear();
            return Ok(());
        };
        let is_new = self.turned_away.insert(self.address.clone());
        let is_believed = !is_new && self.turned_away.len() >= self.brokers;
        // What is held belongs to the floor, so it cannot be gone on with.
        if is_believed && start.snapshot { Ok(()) } else { Err(why) }
    }

    fn piece(&mut self, entries: &[u8]) -> Result<Taken, Break> {
        let draft = self.draft.as_mut().filter(|_| self.phase == Phase::Loading).ok_or(Break::OutOfPlace)?;
        let changes = readable(entries)?;
        let removes = |change: &Change| matches!(change, Change::AccountGone(_) | Change::GrantGone { .. });
        if changes.iter().any(removes) {
            return Err(Break::Unreadable);
        }
        draft.entries.apply(&changes);
        Ok(Taken::default())
    }

    fn snapshot_end(&mut self, end: &v1::ReplicaSnapshotEnd) -> Result<Taken, Break> {
        let draft = self.draft.as_ref().filter(|_| self.phase == Phase::Loading).ok_or(Break::OutOfPlace)?;
        draft.compare(end.count, &end.digest)?;
        self.phase = Phase::Proving;
        Ok(Taken { wants_ping: true, ..Taken::default() })
    }

    fn change(&mut self, change: &v1::ReplicaChange) -> Result<Taken, Break> {
        let current = self.current().ok_or(Break::OutOfPlace)?;
        if current.number.checked_add(1) != Some(change.number) {
            return Err(Break::Gap);
        }
        if change.sequence < current.sequence {
            return Err(Break::Sequence);
        }
        // All of it is read before any of it is in force.
        let changes = readable(&change.entries)?;
        current.entries.apply(&changes);
        (current.number, current.sequence) = (change.number, change.sequence);
        if self.phase == Phase::Following { Ok(self.in_force()) } else { Ok(Taken::default()) }
    }

    fn pong(&mut self, pong: &v1::ReplicaPong) -> Result<Taken, Break> {
        let nonce = Uuid::from_slice(&pong.nonce).map_err(|_| Break::Unasked)?;
        let place = self.pings.iter().position(|(sent, _)| *sent == nonce).ok_or(Break::Unasked)?;
        let (_, sent) = self.pings.drain(..=place).next_back().ok_or(Break::Unasked)?;
        let time = time(pong).ok_or(Break::Unreadable)?;
        let current = self.current().ok_or(Break::OutOfPlace)?;
        if current.number != pong.number {
            return Err(Break::Gap);
        }
        if pong.sequence < current.sequence {
            return Err(Break::Sequence);
        }
        current.compare(pong.count, &pong.digest)?;
        current.sequence = pong.sequence;
        current.beat = Some(Beat { sent, time });
        let synced = self.draft.is_some();
        if let Some(proved) = self.draft.take() {
            self.held = Some(proved);
        }
        self.phase = Phase::Following;
        self.turned_away.clear();
        let applied = self.in_force();
        // A pong alone tells the broker nothing that it does not know.
        let applied = Taken { applied: applied.applied.filter(|_| synced), ..applied };
        Ok(Taken { synced, answered: true, ..applied })
    }

    /// What the stream is about: what is being proved, else what is held.
    fn current(&mut self) -> Option<&mut Held> {
        match self.phase {
            Phase::Starting | Phase::Loading => None,
            Phase::Proving => self.draft.as_mut(),
            Phase::Following => self.held.as_mut(),
        }
    }

    fn in_force(&mut self) -> Taken {
        let Some(held) = &self.held else { return Taken::default() };
        self.floor = Some(Floor { journal_id: held.journal_id.clone(), sequence: held.sequence });
        let index = &held.entries;
        let view = View {
            trust: Trust::Live,
            caller: index.caller(&held.account),
            index: std::sync::Arc::clone(index),
            beat: held.beat,
            sequence: held.sequence,
            is_unbroken: true,
        };
        Taken { view: Some(view), applied: Some(held.number), ..Taken::default() }
    }
}

impl Held {
    fn hello(&self) -> v1::ReplicaHello {
        let (count, digest) = self.entries.count_and_digest();
        v1::ReplicaHello {
            feed_id: self.feed_id.clone(),
            number: self.number,
            sequence: self.sequence,
            count,
            digest: digest.bytes().to_vec(),
            ..Default::default()
        }
    }

    fn compare(&self, count: u64, digest: &[u8]) -> Result<(), Break> {
        let digest: [u8; 32] = digest.try_into().map_err(|_| Break::Digest)?;
        let same = self.entries.count_and_digest() == (count, SetDigest::from(digest));
        if same { Ok(()) } else { Err(Break::Digest) }
    }
}

fn readable(entries: &[u8]) -> Result<Vec<Change>, Break> {
    read_changes(entries).collect::<Result<_, _>>().map_err(|_| Break::Unreadable)
}

fn time(pong: &v1::ReplicaPong) -> Option<Timestamp> {
    let time = pong.time?;
    let millis = time.seconds.checked_mul(1_000)?.checked_add(i64::from(time.nanos).checked_div(1_000_000)?)?;
    Timestamp::from_millis(millis).ok()
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
