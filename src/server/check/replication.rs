//! ReplicateGrants: an enforcement point's feed over one stream in each direction. Room first, then the next message, so
//! that what waits for a slow reader waits in the ring that all share; at each beat the caller is authorized again
//! (design.md 13, known failure G12).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::check::SetDigest;
use crate::domain::value::ids::AccountId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::engine::replication::{Place, Replica, Sent, Subscription};
use crate::server::caller::{Broker, Messages, VerifiedCaller, is_usable};
use crate::server::metrics::Outcome;
use crate::server::transport::served::unreadable;
use crate::wire::message::InvalidMessage;
use crate::wire::replication::{Hello, NONCE_BYTES, Said, Stood};
use crate::wire::v1 as pb;
use crate::wire::values::pb_timestamp;
use pb::replicate_grants_response::Message;

const BEAT: Duration = Duration::from_secs(2);
/// How long a replica may take to say hello: less than a call may take, so that it gets an error.
const HELLO: Duration = Duration::from_secs(3);
/// How long a sequence may take to be published, and how long replicas are waited for.
const PUBLISHED: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How many beats the reading of a snapshot may take, and how many beats a reader may take nothing: what is kept for it
/// is kept from others.
const SNAPSHOT_BEATS: u32 = 30;
const STUCK_BEATS: u32 = 3;
/// Messages that wait for a reader; a piece of a snapshot is one.
const WAITING: usize = 4;
/// Pings that wait for their answer; a replica sends one a second.
const PINGS_WAITING: usize = 16;

/// Begins a feed.
pub(crate) async fn replicate(
    broker: &Broker,
    caller: VerifiedCaller,
    mut said: Streaming<pb::ReplicateGrantsRequest>,
) -> Result<Messages<pb::ReplicateGrantsResponse>, Status> {
    let account = broker.read(&caller, |_, viewer, _| viewer.account().cloned())?;
    still_lets(broker, &caller, &account)?;
    let hello = tokio::time::timeout(HELLO, said.message()).await;
    let hello = hello
        .map_err(|_| InvalidMessage::one("message", "none came; a replica says hello first"))?
        .map_err(unreadable)?;
    let hello = hello.ok_or_else(|| InvalidMessage::one("message", "none came; a replica says hello first"))?;
    let Said::Hello(hello) = Said::try_from(hello)? else {
        return Err(InvalidMessage::one("message", "not a hello; that comes first").into());
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    let feed = Feed { broker: broker.clone(), caller, account, said, sender, pings: VecDeque::new() };
    // A snapshot may take its time: longer than a call may.
    tokio::spawn(feed.run(hello));
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

fn place(hello: Hello) -> Option<Place> {
    let Stood { feed_id, number, count, digest } = hello.stood?;
    Some(Place { feed_id, number, sequence: hello.sequence, count, digest: SetDigest::from(digest) })
}

fn still_lets(broker: &Broker, caller: &VerifiedCaller, account: &AccountId) -> Result<(), Status> {
    broker.still_lets(caller, is_usable)?;
    broker.engine.read(|state| match state.organisation().lock_on_account(account) {
        Some(lock) => Err(lock.refusal()),
        None => Ok(()),
    })?;
    Ok(broker.engine.may_follow(account)?)
}

/// Tells how far replicas are with what is published up to a sequence.
pub(crate) async fn await_replicas(
    broker: &Broker,
    caller: &VerifiedCaller,
    sequence: Option<u64>,
) -> Result<Messages<pb::AwaitReplicasResponse>, Status> {
    broker.still_lets(caller, is_usable)?;
    broker.read(caller, |state, viewer, _| {
        let account = viewer.account()?;
        // A customer has no replicas, and must not learn of others'.
        match state.organisation().tenant_of_account(account) {
            Some(_) => Err(Refusal::new(Reason::CapabilityMissing, format!("`{account}` has no replicas to wait for"))),
            None => Ok(()),
        }
    })?;
    let reached = broker.engine.reached(sequence.unwrap_or(0), PUBLISHED).await;
    reached.map_err(|refusal| caller.redacted(refusal))?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let broker = broker.clone();
    tokio::spawn(async move {
        let mut stopping = broker.stopping.clone();
        let mut awaited = broker.engine.await_replicas();
        let tell = async {
            while let Some(all) = awaited.next().await {
                let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                let (connected, reached, lost) = (count(all.connected), count(all.reached), count(all.lost));
                if sender.send(Ok(pb::AwaitReplicasResponse { connected, reached, lost })).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            // The last message stands.
            _ = tokio::time::timeout(LONGEST_WAIT, tell) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

struct Feed {
    broker: Broker,
    caller: VerifiedCaller,
    account: AccountId,
    said: Streaming<pb::ReplicateGrantsRequest>,
    sender: mpsc::Sender<Result<pb::ReplicateGrantsResponse, Status>>,
    pings: VecDeque<[u8; NONCE_BYTES]>,
}

impl Feed {
    async fn run(mut self, hello: Hello) {
        // The feed is given up before the last message, which a stopped reader may leave waiting for long.
        let Err(status) = self.begin_and_follow(hello).await else { return };
        if status.get_error_details().error_info().is_some_and(|info| info.reason == Reason::Resync.entry().name) {
            self.broker.metrics.feeds_resynced.inc();
        }
        // A caller who has gone needs no last message.
        let _ = self.sender.send(Err(status)).await;
    }

    async fn begin_and_follow(&mut self, hello: Hello) -> Result<(), Status> {
        let who = Replica { id: hello.replica_id.unwrap_or_else(Uuid::new_v4), max_staleness: hello.max_staleness };
        let mut stopping = self.broker.stopping.clone();
        let begun = tokio::select! {
            begun = self.broker.engine.replicate(&self.account, who, hello.sequence, place(hello)) => begun?,
            () = self.sender.closed() => return Ok(()),
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
        };
        self.follow(begun).await
    }

    async fn follow(&mut self, mut subscription: Subscription) -> Result<(), Status> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopping = self.broker.stopping.clone();
        let sender = self.sender.clone();
        let (mut beginning, mut stuck) = (0_u32, 0_u32);
        loop {
            // Incoming messages and the beat are served even while there is much to send.
            let permit = tokio::select! {
                permit = sender.reserve() => permit,
                said = self.said.message() => {
                    let Some(said) = said.map_err(unreadable)? else { return Ok(()) };
                    self.hear(Said::try_from(said)?, &subscription)?;
                    continue;
                }
                _ = beat.tick() => {
                    still_lets(&self.broker, &self.caller, &self.account)?;
                    stuck = stuck.saturating_add(1);
                    beginning = beginning.saturating_add(u32::from(subscription.is_beginning()));
                    if stuck > STUCK_BEATS || beginning > SNAPSHOT_BEATS {
                        return Err(Refusal::new(Reason::Resync, "it was read too slowly").into());
                    }
                    continue;
                }
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            };
            let Ok(permit) = permit else { return Ok(()) };
            stuck = 0;
            if let Some(message) = self.next(&mut subscription)? {
                permit.send(Ok(pb::ReplicateGrantsResponse { message: Some(message) }));
                continue;
            }
            tokio::select! {
                () = subscription.changed() => {}
                said = self.said.message() => match said.map_err(unreadable)? {
                    Some(said) => self.hear(Said::try_from(said)?, &subscription)?,
                    None => return Ok(()),
                },
                _ = beat.tick() => still_lets(&self.broker, &self.caller, &self.account)?,
                () = sender.closed() => return Ok(()),
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            }
        }
    }

    fn hear(&mut self, said: Said, subscription: &Subscription) -> Result<(), Status> {
        match said {
            Said::Hello(_) => return Err(InvalidMessage::one("hello", "said before; it opens a stream").into()),
            Said::Ping(..) if self.pings.len() >= PINGS_WAITING => {
                return Err(Refusal::new(Reason::Resync, "pings came faster than answers are read").into());
            }
            Said::Ping(nonce, applied) => {
                self.pings.push_back(nonce);
                // A replica that resumed, or whose `applied` found no room, reports by its next ping.
                if let Some(number) = applied {
                    subscription.applied(number);
                }
            }
            Said::Applied(number) => subscription.applied(number),
        }
        Ok(())
    }

    /// The feed first, and a ping's answer once all before it has been sent.
    fn next(&mut self, subscription: &mut Subscription) -> Result<Option<Message>, Refusal> {
        if let Some(sent) = subscription.take_next()? {
            if let Sent::Start(start) = &sent {
                let outcome = if start.snapshot { "snapshot" } else { "resumed" };
                self.broker.metrics.feeds.get_or_create(&Outcome { outcome }).inc();
            }
            return Ok(Some(message(sent)));
        }
        if self.pings.is_empty() {
            return Ok(None);
        }
        // Read before the feed's place: what is published in between only makes the answer look older.
        let time = self.broker.engine.latest();
        let Some(standing) = subscription.standing()? else { return Ok(None) };
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
