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
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tracing::Instrument as _;
use uuid::Uuid;

use super::follower::{Follower, Taken};
use super::renewal::Renewal;
use super::shared::Shared;
use super::status::FeedCounters;
use super::telling::{Loss, Telling};
use super::view::{Break, View};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::Span;
use crate::sdk::ClientError;
use crate::sdk::builder::{ClientBuilder, full_address};
use crate::sdk::exchanged::Look;
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
    pub(super) telling: Telling,
}

/// Why a stream is over.
enum Ended {
    /// In good order: what is held stays.
    Closed,
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

/// Whether the broker said that this account has no business here. RESYNC is an ordinary end, and a certificate that has ended
/// says nothing of what was held while it stood: another one goes on from there.
fn takes_away(code: Code, reason: Option<Reason>) -> bool {
    matches!(code, Code::PermissionDenied | Code::Unauthenticated)
        && !matches!(reason, Some(Reason::Resync | Reason::CertificateExpired))
}

/// One open stream.
pub(super) struct Stream {
    outgoing: mpsc::Sender<v1::ReplicateGrantsRequest>,
    pub(super) incoming: Streaming<v1::ReplicateGrantsResponse>,
    pub(super) address: String,
    pub(super) answers: u64,
    silent_beats: usize,
    /// What the files looked like that it was opened with.
    pub(super) look: Look,
}

impl Session {
    /// Never ends by itself.
    pub(super) async fn run(mut self) {
        let (mut pauses, mut tried) = (pauses(), 0_usize);
        loop {
            let Some(address) = self.endpoints.front().map(|address| full_address(address)) else { return };
            let mut answers = 0;
            let span = tracing::info_span!("feed", broker = address);
            let ended = self.follow(&address, &mut answers).instrument(span).await;
            if answers >= GOOD_ANSWERS {
                (pauses, tried) = (self::pauses(), 0);
            }
            let asked = self.ended(ended, &address);
            self.endpoints.rotate_left(1);
            tried = tried.saturating_add(1);
            // The next one may be well: pauses grow only from round to round.
            let all_tried = tried.checked_rem(self.endpoints.len()) == Some(0);
            let pause = if all_tried { pauses.next().unwrap_or(LONGEST_PAUSE) } else { FIRST_PAUSE };
            tokio::time::sleep(pause.max(asked)).await;
        }
    }

    /// Notes the end, and gives the pause that the broker asked for.
    fn ended(&mut self, ended: Ended, address: &str) -> Duration {
        let was_closed = matches!(ended, Ended::Closed);
        let unreachable = |cause: String| ClientError::Unreachable { address: address.to_owned(), cause };
        let (broken, error) = match ended {
            Ended::Closed => (None, unreachable("it closed the feed".to_owned())),
            Ended::Lost(error) => (None, error),
            Ended::Broken(why, Some(error)) => (Some(why), error),
            Ended::Broken(why, None) => (Some(why), unreachable(format!("its feed cannot be believed: {why}"))),
        };
        FeedCounters::add(&self.shared.feed.losses);
        let loss = match broken {
            Some(why) => Loss::Broken(why),
            None if error.reason() == Some(Reason::Resync) => Loss::Gap,
            None if was_closed => Loss::Closed,
            None => Loss::Lost,
        };
        let asked = error.asked_pause();
        self.telling.lost(address, loss, &error, self.shared.clock.boot());
        {
            let mut connection = self.shared.connection();
            connection.endpoint = None;
            connection.definite = if is_definite(&error) { connection.definite.saturating_add(1) } else { 0 };
            connection.last_break = broken.or(connection.last_break);
            connection.last_error = Some(error);
        }
        let view = match loss {
            Loss::Broken(why) => {
                FeedCounters::add(&self.shared.feed.breaks);
                self.follower.forget();
                View::broken(why, &self.shared.view.load())
            }
            Loss::Gap => View::after_a_gap(&self.shared.view.load()),
            Loss::Closed | Loss::Lost => {
                // Whoever waits for the first sync looks at the error.
                self.shared.changed.send_modify(|count| *count = count.wrapping_add(1));
                return asked;
            }
        };
        self.shared.publish(view);
        asked
    }

    async fn follow(&mut self, address: &str, answers: &mut u64) -> Ended {
        match self.try_follow(address, answers).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn try_follow(&mut self, address: &str, answers: &mut u64) -> Result<std::convert::Infallible, Ended> {
        let connected = connect(self.client.at(address)).await?;
        let hello = self.hello(address);
        let mut stream = self.open(connected, address, hello).await?;
        let mut renewal = Renewal::default();
        let mut beats = interval(self.beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = stream.incoming.message() => {
                    let failed = |status| ClientError::from_status(&status, address, self.silence());
                    let message = message.map_err(failed)?.ok_or(Ended::Closed)?;
                    stream.silent_beats = 0;
                    let taken = self.follower.take(message).map_err(|why| Ended::Broken(why, None))?;
                    self.taken(taken, &mut stream);
                    *answers = stream.answers;
                }
                _ = beats.tick() => {
                    self.beat(&mut stream)?;
                    renewal.look(&self.client, &stream, self.shared.clock.boot());
                }
                connected = renewal.connected() => self.renewed(connected, &mut stream).await,
            }
        }
    }

    /// Opens a stream, which the broker answers before it makes what it sends.
    pub(super) async fn open(
        &self,
        Connected { channel, look }: Connected,
        address: &str,
        hello: v1::ReplicaHello,
    ) -> Result<Stream, ClientError> {
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let mut service = AccessServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
        let after = self.client.connect_timeout;
        say(&outgoing, Message::Hello(hello));
        let opened = timeout(after, service.replicate_grants(ReceiverStream::new(queue))).await;
        let opened = opened.map_err(|_| ClientError::TimedOut { address: address.to_owned(), after })?;
        let incoming = opened.map_err(|status| ClientError::from_status(&status, address, after))?.into_inner();
        Ok(Stream { outgoing, incoming, address: address.to_owned(), answers: 0, silent_beats: 0, look })
    }

    /// How long nothing may come.
    fn silence(&self) -> Duration {
        self.beat.saturating_mul(u32::try_from(SILENT_BEATS).unwrap_or(u32::MAX))
    }

    fn hello(&mut self, address: &str) -> v1::ReplicaHello {
        let hello = self.follower.hello(address);
        self.signed(hello)
    }

    /// Who says it, and what it needs.
    pub(super) fn signed(&self, hello: v1::ReplicaHello) -> v1::ReplicaHello {
        let (replica_id, max_staleness) = (self.id.as_bytes().to_vec(), self.denies_at.map(pb_duration));
        v1::ReplicaHello { replica_id, max_staleness, ..hello }
    }

    pub(super) fn taken(&mut self, taken: Taken, stream: &mut Stream) {
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
    fn note(&mut self, taken: &Taken, stream: &mut Stream) {
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
                self.telling.back(&stream.address, self.shared.clock.boot());
                let mut connection = self.shared.connection();
                connection.endpoint = Some(stream.address.clone());
                connection.definite = 0;
            }
        }
    }

    fn beat(&mut self, stream: &mut Stream) -> Result<(), Ended> {
        stream.silent_beats = stream.silent_beats.saturating_add(1);
        if self.follower.unanswered() >= UNANSWERED_PINGS || stream.silent_beats > SILENT_BEATS {
            return Err(Ended::Lost(ClientError::TimedOut { address: stream.address.clone(), after: self.silence() }));
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
    fn say(&self, message: Message) {
        say(&self.outgoing, message);
    }
}

/// What finds no room is made up for: the next ping replaces a ping, and repeats what was applied.
fn say(outgoing: &mpsc::Sender<v1::ReplicateGrantsRequest>, message: Message) {
    let _ = outgoing.try_send(v1::ReplicateGrantsRequest { message: Some(message) });
}

/// A connection, and what the files looked like that it was made with.
pub(super) struct Connected {
    channel: Channel,
    look: Look,
}

/// Connects with the files as they are now. They may be on a disk that does not answer: that is waited for elsewhere.
pub(super) async fn connect(client: ClientBuilder) -> Result<Connected, ClientError> {
    let look = client.look();
    let dial = tokio::task::spawn_blocking(move || client.dial()).await;
    let dial = dial.map_err(|_| ClientError::Configuration("the runtime of this program ends".to_owned()))??;
    let dial = dial.with(|endpoint| {
        endpoint
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(STREAM_WINDOW_BYTES.saturating_mul(2))
    });
    Ok(Connected { channel: dial.connect().await?, look })
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
