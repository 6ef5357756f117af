//! ReplicateGrants: an enforcement point's feed over one stream in each direction. Room first, then the next message, so
//! that what waits for a slow reader waits in the ring that all share; at each beat the caller is authorized again
//! (DESIGN 13, THREATS G12).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

use super::caller::{Broker, Caller, is_usable};
use super::metrics::Outcome;
use super::watch::Told;
use crate::check::SetDigest;
use crate::domain::ids::AccountId;
use crate::domain::refusal::{Reason, Refusal};
use crate::engine::replication::{Place, Sent, Subscription};
use crate::wire::message::InvalidMessage;
use crate::wire::replication::{Hello, NONCE_BYTES, Said};
use crate::wire::v1 as pb;
use crate::wire::values::pb_timestamp;
use pb::replicate_grants_response::Message;

const BEAT: Duration = Duration::from_secs(2);
/// How long a replica may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// How long a sequence may take to be published, and how long replicas are waited for.
const PUBLISHED: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How many beats a snapshot may take: who reads slower, or not at all, keeps others from having theirs.
const SNAPSHOT_BEATS: u32 = 30;
/// Messages that wait for a reader; a piece of a snapshot is one.
const WAITING: usize = 4;
/// Pings that wait for their answer; a replica sends one a second.
const PINGS_WAITING: usize = 16;

/// Begins a feed.
pub(super) async fn replicate(
    broker: &Broker,
    caller: Caller,
    mut said: Streaming<pb::ReplicateGrantsRequest>,
) -> Result<Told<pb::ReplicateGrantsResponse>, Status> {
    let account = broker.read(&caller, |_, viewer, _| viewer.account().cloned())?;
    still_lets(broker, &caller, &account)?;
    let hello = tokio::time::timeout(HELLO, said.message()).await;
    let hello = hello.map_err(|_| InvalidMessage::one("message", "none came; a replica says hello first"))??;
    let hello = hello.ok_or_else(|| InvalidMessage::one("message", "none came; a replica says hello first"))?;
    let Said::Hello(hello) = Said::try_from(hello)? else {
        return Err(InvalidMessage::one("message", "not a hello; that comes first").into());
    };
    let subscription = broker.engine.replicate(&account, hello.map(place)).await?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let (broker, pings) = (broker.clone(), VecDeque::new());
    tokio::spawn(Feeding { broker, caller, account, subscription, said, sender, pings }.run());
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

fn place(hello: Hello) -> Place {
    let Hello { feed_id, number, sequence, count, digest } = hello;
    Place { feed_id, number, sequence, count, digest: SetDigest::from(digest) }
}

fn still_lets(broker: &Broker, caller: &Caller, account: &AccountId) -> Result<(), Status> {
    broker.still_lets(caller, is_usable)?;
    Ok(broker.engine.may_follow(account)?)
}

/// Tells how far replicas are with what is published up to a sequence.
pub(super) async fn await_replicas(
    broker: &Broker,
    caller: &Caller,
    sequence: Option<u64>,
) -> Result<Told<pb::AwaitReplicasResponse>, Status> {
    broker.still_lets(caller, is_usable)?;
    broker.read(caller, |_, viewer, _| viewer.account().cloned())?;
    broker.engine.reached(sequence.unwrap_or(0), PUBLISHED).await?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let broker = broker.clone();
    tokio::spawn(async move {
        let mut stopping = broker.stopping.clone();
        let mut awaited = broker.engine.await_replicas();
        let tell = async {
            while let Some(all) = awaited.next().await {
                let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                let (connected, reached) = (count(all.connected), count(all.reached));
                if sender.send(Ok(pb::AwaitReplicasResponse { connected, reached })).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            // What was told last stands.
            _ = tokio::time::timeout(LONGEST_WAIT, tell) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

struct Feeding {
    broker: Broker,
    caller: Caller,
    account: AccountId,
    subscription: Subscription,
    said: Streaming<pb::ReplicateGrantsRequest>,
    sender: mpsc::Sender<Result<pb::ReplicateGrantsResponse, Status>>,
    pings: VecDeque<[u8; NONCE_BYTES]>,
}

impl Feeding {
    async fn run(mut self) {
        if let Err(status) = self.feed().await {
            // Given back now: a reader that has stopped may let the last word wait for long.
            drop(self.subscription);
            if status.get_error_details().error_info().is_some_and(|info| info.reason == Reason::Resync.entry().name) {
                self.broker.metrics.feeds_resynced.inc();
            }
            // Whoever has gone needs no last word.
            let _ = self.sender.send(Err(status)).await;
        }
    }

    async fn feed(&mut self) -> Result<(), Status> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopping = self.broker.stopping.clone();
        let sender = self.sender.clone();
        let mut beats: u32 = 0;
        loop {
            let permit = tokio::select! {
                permit = sender.reserve() => permit,
                _ = beat.tick() => {
                    still_lets(&self.broker, &self.caller, &self.account)?;
                    beats = beats.saturating_add(1);
                    if beats > SNAPSHOT_BEATS && self.subscription.is_beginning() {
                        return Err(Refusal::new(Reason::Resync, "its snapshot was read too slowly").into());
                    }
                    continue;
                }
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            };
            let Ok(permit) = permit else { return Ok(()) };
            if let Some(message) = self.next()? {
                permit.send(Ok(pb::ReplicateGrantsResponse { message: Some(message) }));
                continue;
            }
            tokio::select! {
                () = self.subscription.changed() => {}
                said = self.said.message() => match said? {
                    Some(said) => self.hear(Said::try_from(said)?)?,
                    None => return Ok(()),
                },
                _ = beat.tick() => still_lets(&self.broker, &self.caller, &self.account)?,
                () = sender.closed() => return Ok(()),
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            }
        }
    }

    fn hear(&mut self, said: Said) -> Result<(), Status> {
        match said {
            Said::Hello(_) => return Err(InvalidMessage::one("hello", "said before; it opens a stream").into()),
            Said::Ping(..) if self.pings.len() >= PINGS_WAITING => {
                return Err(Refusal::new(Reason::Resync, "pings came faster than answers are read").into());
            }
            Said::Ping(nonce, applied) => {
                self.pings.push_back(nonce);
                // Whoever resumed, or whose word found no room, says it by the next ping.
                if let Some(number) = applied {
                    self.subscription.applied(number);
                }
            }
            Said::Applied(number) => self.subscription.applied(number),
        }
        Ok(())
    }

    /// The feed first, and a ping's answer once all before it has been told.
    fn next(&mut self) -> Result<Option<Message>, Refusal> {
        if let Some(sent) = self.subscription.tell_next()? {
            if let Sent::Start(start) = &sent {
                let outcome = if start.snapshot { "snapshot" } else { "resumed" };
                self.broker.metrics.feeds.get_or_create(&Outcome { outcome }).inc();
            }
            return Ok(Some(message(sent)));
        }
        if self.pings.is_empty() {
            return Ok(None);
        }
        // Read before the feed's place: what is published after it only makes the answer older than it is.
        let time = self.broker.engine.latest();
        let Some(standing) = self.subscription.standing()? else { return Ok(None) };
        let pong = self.pings.pop_front().map(|nonce| {
            Message::Pong(pb::ReplicaPong {
                nonce: nonce.to_vec(),
                time: Some(pb_timestamp(time)),
                number: standing.number,
                sequence: standing.sequence,
                count: standing.count,
                digest: standing.digest.bytes().to_vec(),
            })
        });
        Ok(pong)
    }
}

fn message(sent: Sent) -> Message {
    match sent {
        Sent::Start(start) => Message::Start(pb::ReplicaStart {
            account: start.account,
            journal_id: start.journal_id,
            feed_id: start.feed_id,
            snapshot: start.snapshot,
            number: start.number,
            sequence: start.sequence,
        }),
        Sent::Piece(entries) => Message::Piece(pb::ReplicaPiece { entries }),
        Sent::SnapshotEnd { count, digest } => {
            Message::SnapshotEnd(pb::ReplicaSnapshotEnd { count, digest: digest.bytes().to_vec() })
        }
        Sent::Change(frame) => Message::Change(pb::ReplicaChange {
            number: frame.number,
            sequence: frame.sequence,
            entries: frame.entries,
        }),
    }
}
