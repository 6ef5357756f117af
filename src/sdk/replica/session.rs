//! The replica's connection: one stream after another, to one broker after another, with pauses that grow and are never
//! the same for two replicas.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use uuid::Uuid;

use super::follower::{Follower, Taken};
use super::shared::Shared;
use super::status::FeedCounters;
use super::view::{Break, View};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Span;
use crate::sdk::ClientError;
use crate::sdk::builder::{ClientBuilder, full_address};
use crate::sdk::client::asked_pause;
use crate::wire::v1;
use crate::wire::v1::access_service_client::AccessServiceClient;
use crate::wire::v1::replicate_grants_request::Message;
use crate::wire::values::pb_duration;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Changes are split below 256 KiB.
const LARGEST_MESSAGE_BYTES: usize = 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// What waits to be sent. Pings repeat what an `applied` said, so a lost one does no harm.
const OUTGOING: usize = 16;
/// After so many pings without an answer the broker is given up.
const UNANSWERED_PINGS: usize = 5;
/// After so many beats without any message too, even before there are pings: making a snapshot takes a while.
const SILENT_BEATS: usize = 15;
/// A stream that answered so often was a good one: pauses begin small again.
const GOOD_ANSWERS: u64 = 3;

/// The session's task, which ends with the replica.
pub(super) struct Task(pub(super) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    /// By which brokers know it again.
    pub(super) id: Uuid,
    /// The age at which it denies everything; none if something runs on.
    pub(super) denies_at: Option<Span>,
    pub(super) follower: Follower,
    pub(super) client: ClientBuilder,
    pub(super) endpoints: VecDeque<String>,
    /// How often a ping is sent.
    pub(super) beat: Duration,
}

/// Why a stream is over.
enum Ended {
    /// What is held stays, and grows old.
    Lost(ClientError),
    /// What is held is not believed any more.
    Broken(Break, Option<ClientError>),
}

impl From<ClientError> for Ended {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Refused(refused) if takes_away(refused.code, refused.reason) => {
                Self::Broken(Break::Refused, Some(error))
            }
            _ => Self::Lost(error),
        }
    }
}

/// Whether the broker said that this account has no business here. RESYNC is an ordinary end.
fn takes_away(code: Code, reason: Option<Reason>) -> bool {
    matches!(code, Code::PermissionDenied | Code::Unauthenticated) && reason != Some(Reason::Resync)
}

/// One open stream.
struct Stream {
    outgoing: mpsc::Sender<v1::ReplicateGrantsRequest>,
    address: String,
    answers: u64,
    silent_beats: usize,
}

impl Session {
    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        let mut pauses = pauses();
        loop {
            let Some(address) = self.endpoints.front().map(|address| full_address(address)) else { return };
            let mut answers = 0;
            let ended = self.follow(&address, &mut answers).await;
            if answers >= GOOD_ANSWERS {
                pauses = self::pauses();
            }
            let asked = self.ended(ended, &address);
            self.endpoints.rotate_left(1);
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE).max(asked);
            tokio::time::sleep(pause).await;
        }
    }

    /// Notes the end, and gives the pause that the broker asked for.
    fn ended(&mut self, ended: Ended, address: &str) -> Duration {
        let (broken, error) = match ended {
            Ended::Lost(error) => (None, Some(error)),
            Ended::Broken(why, Some(error)) => (Some(why), Some(error)),
            Ended::Broken(why, None) => {
                let cause = format!("its feed cannot be believed: {why}");
                (Some(why), Some(ClientError::Unreachable { address: address.to_owned(), cause }))
            }
        };
        FeedCounters::add(&self.shared.feed.losses);
        let is_gap = matches!(&error, Some(ClientError::Refused(refused)) if refused.reason == Some(Reason::Resync));
        let asked = error.as_ref().map(asked_pause).unwrap_or_default();
        {
            let mut connection = self.shared.connection();
            connection.endpoint = None;
            let is_definite = error.as_ref().is_some_and(is_definite);
            connection.definite = if is_definite { connection.definite.saturating_add(1) } else { 0 };
            connection.last_break = broken.or(connection.last_break);
            connection.last_error = error.or(connection.last_error.take());
        }
        if let Some(why) = broken {
            tracing::error!(broker = address, %why, "the feed cannot be believed: everything is denied until it is received anew");
            FeedCounters::add(&self.shared.feed.breaks);
            self.follower.forget();
            let view = View::broken(why, &self.shared.view.load());
            self.shared.publish(view);
        } else if is_gap {
            tracing::warn!(
                broker = address,
                "changes are missing: what is known is good until it is too old, no longer"
            );
            let view = View::after_a_gap(&self.shared.view.load());
            self.shared.publish(view);
        } else {
            tracing::warn!(broker = address, "the feed was lost: what is known grows old");
            // Whoever waits for the first sync looks at the error.
            self.shared.changed.send_modify(|count| *count = count.wrapping_add(1));
        }
        asked
    }

    async fn follow(&mut self, address: &str, answers: &mut u64) -> Ended {
        match self.try_follow(address, answers).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn try_follow(&mut self, address: &str, answers: &mut u64) -> Result<std::convert::Infallible, Ended> {
        // The files are read anew, so that certificates can be exchanged while it runs.
        let dial = self.client.at(address).dial()?.with(|endpoint| {
            endpoint
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(STREAM_WINDOW_BYTES.saturating_mul(2))
        });
        let channel = dial.connect().await?;
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let mut stream = Stream { outgoing, address: address.to_owned(), answers: 0, silent_beats: 0 };
        stream.say(Message::Hello(self.hello(address)));
        let mut service = AccessServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
        let silence = self.beat.saturating_mul(u32::try_from(SILENT_BEATS).unwrap_or(u32::MAX));
        let opened = timeout(silence, service.replicate_grants(ReceiverStream::new(queue))).await;
        let failed = |status: tonic::Status| ClientError::from_status(&status, address, silence);
        let opened = opened.map_err(|_| ClientError::TimedOut { address: address.to_owned(), after: silence })?;
        let mut incoming = opened.map_err(failed)?.into_inner();
        let mut beats = interval(self.beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = incoming.message() => {
                    let closed = || ClientError::Unreachable {
                        address: address.to_owned(),
                        cause: "it closed the feed".to_owned(),
                    };
                    let message = message.map_err(failed)?.ok_or_else(closed)?;
                    stream.silent_beats = 0;
                    let taken = self.follower.take(message).map_err(|why| Ended::Broken(why, None))?;
                    self.taken(taken, &mut stream);
                    *answers = stream.answers;
                }
                _ = beats.tick() => self.beat(&mut stream, silence)?,
            }
        }
    }

    fn hello(&mut self, address: &str) -> v1::ReplicaHello {
        let (replica_id, max_staleness) = (self.id.as_bytes().to_vec(), self.denies_at.map(pb_duration));
        v1::ReplicaHello { replica_id, max_staleness, ..self.follower.hello(address) }
    }

    fn taken(&mut self, taken: Taken, stream: &mut Stream) {
        self.note(&taken, stream);
        if let Some(view) = taken.view {
            self.shared.publish(view);
        }
        if let Some(number) = taken.applied {
            // It is in force by now.
            stream.say(Message::Applied(v1::ReplicaApplied { number }));
        }
        if taken.wants_ping {
            self.ping(stream);
        }
    }

    /// Before it is published, so that whoever is woken finds it noted.
    fn note(&self, taken: &Taken, stream: &mut Stream) {
        let feed = &self.shared.feed;
        if taken.applied.is_some() {
            FeedCounters::add(if taken.synced { &feed.snapshots } else { &feed.changes });
        }
        if taken.resumed {
            FeedCounters::add(&feed.resumes);
        }
        if taken.answered {
            stream.answers = stream.answers.saturating_add(1);
            if stream.answers == 1 {
                let mut connection = self.shared.connection();
                connection.endpoint = Some(stream.address.clone());
                connection.definite = 0;
            }
        }
    }

    fn beat(&mut self, stream: &mut Stream, silence: Duration) -> Result<(), Ended> {
        stream.silent_beats = stream.silent_beats.saturating_add(1);
        if self.follower.unanswered() >= UNANSWERED_PINGS || stream.silent_beats > SILENT_BEATS {
            return Err(Ended::Lost(ClientError::TimedOut { address: stream.address.clone(), after: silence }));
        }
        self.ping(stream);
        Ok(())
    }

    fn ping(&mut self, stream: &Stream) {
        // Before it is on its way: the age may be too great, never too small.
        let boot = self.shared.clock.boot();
        if let Some(ping) = self.follower.ping(Uuid::new_v4(), boot) {
            stream.say(Message::Ping(ping));
        }
    }
}

impl Stream {
    /// What finds no room is made up for: the next ping replaces a ping, and repeats what was applied.
    fn say(&self, message: Message) {
        let _ = self.outgoing.try_send(v1::ReplicateGrantsRequest { message: Some(message) });
    }
}

fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_jitter().without_max_times();
    pauses.with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE).build()
}

/// Whether trying again cannot help.
fn is_definite(error: &ClientError) -> bool {
    match error {
        ClientError::Refused(refused) => {
            takes_away(refused.code, refused.reason) || refused.code == Code::Unimplemented
        }
        ClientError::NotAuthenticated { .. } | ClientError::Configuration(_) => true,
        _ => false,
    }
}
