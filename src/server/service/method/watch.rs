//! Watches: the events after a sequence, in order, each told under the rights of the moment in which it is told. At each
//! beat the caller is authorized again (design.md 13). A reader that is too slow is told to resync; nothing is left out for
//! it (known failures F4 and F5).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::past;
use crate::domain::record::event::Event;
use crate::domain::rule::visibility::Viewer;
use crate::domain::state::State;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;
use crate::engine::{Follower, History, HistoryError, PastRow};
use crate::server::caller::{Broker, Messages, Seat, VerifiedCaller, is_usable};
use crate::wire::values::SaidSequence;

/// How often an open stream is authorized again.
const BEAT: Duration = Duration::from_secs(2);
/// Messages that wait for a reader; the rest waits in the feed.
const WAITING: usize = 16;

/// What becomes of one event.
pub(crate) enum Step<E> {
    /// It is not for this caller, or not asked for.
    Skip,
    /// It is sent.
    Tell(E),
    /// It is sent with what the journal says of it.
    Past,
    /// It is sent as its row.
    Row,
}

/// How one kind of watch sends events.
pub(crate) trait Teller: Send + Sync + 'static {
    /// What happened, as the stream sends it.
    type Told: Send + 'static;
    /// One message of the stream.
    type Message: Send + 'static;

    /// Whether the viewer may watch at all; asked at the start and at every beat.
    fn is_open(&self, state: &State, viewer: &Viewer, now: Now) -> Result<(), Refusal> {
        is_usable(state, viewer, now)
    }
    /// What becomes of the event, in the present view. `RESYNC` if what it is about has left memory.
    fn step(&self, state: &State, viewer: &Viewer, event: &Event, now: Now) -> Result<Step<Self::Told>, Refusal>;
    /// The event with what the journal knows. None: no more than what is in memory.
    fn look_back(&self, _history: &History, _event: &Event) -> Result<Option<Self::Told>, HistoryError> {
        Ok(None)
    }
    /// The event as its row.
    fn of_row(&self, _row: &PastRow) -> Option<Self::Told> {
        None
    }
    /// The message of a step.
    fn message(&self, sequence: String, told: Option<Self::Told>) -> Self::Message;
}

/// Begins a watch of what comes after a sequence that the caller was given, or from now on.
pub(crate) fn watch<T: Teller>(
    broker: &Broker,
    caller: VerifiedCaller,
    after: Option<&SaidSequence>,
    teller: T,
) -> Result<Messages<T::Message>, Status> {
    let after = caller.sequence_meant("after_sequence", after)?;
    broker.still_lets(&caller, |state, viewer, now| teller.is_open(state, viewer, now))?;
    let start = after.unwrap_or_else(|| broker.engine.read(State::sequence));
    let seat = broker.watch_seat(&caller)?;
    let follower = broker.engine.follow(start).map_err(|refusal| caller.redacted(refusal))?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let (broker, teller) = (broker.clone(), Arc::new(teller));
    let watching = Watching { broker, caller, follower, sender, told: after, teller, _seat: seat };
    tokio::spawn(watching.run());
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

struct Watching<T: Teller> {
    broker: Broker,
    caller: VerifiedCaller,
    follower: Follower,
    sender: mpsc::Sender<Result<T::Message, Status>>,
    /// The sequence of the last message, or the one to resume after; none: the first message is to say from where.
    told: Option<u64>,
    teller: Arc<T>,
    /// One has so many.
    _seat: Seat,
}

impl<T: Teller> Watching<T> {
    async fn run(mut self) {
        if let Err(status) = self.tell_all().await {
            // A caller who has gone needs no last message.
            let _ = self.sender.send(Err(status)).await;
        }
    }

    async fn tell_all(&mut self) -> Result<(), Status> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopping = self.broker.stopping.clone();
        let sender = self.sender.clone();
        if self.told.is_none() {
            self.told = Some(self.follower.place());
            let first = self.teller.message(self.caller.sequence_text(self.follower.place()), None);
            if sender.send(Ok(first)).await.is_err() {
                return Ok(());
            }
        }
        loop {
            // Room first: an event is taken only when it can be told, under the rights of that moment.
            let permit = tokio::select! {
                permit = sender.reserve() => permit,
                _ = beat.tick() => { self.still_lets()?; continue; }
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            };
            let Ok(permit) = permit else { return Ok(()) };
            let event = tokio::select! {
                event = self.follower.next() => Some(event.map_err(|refusal| self.caller.redacted(refusal))?),
                _ = beat.tick() => None,
                () = sender.closed() => return Ok(()),
                _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
            };
            let told = match event {
                Some(event) => self.told_of(event).await?.map(Some),
                None => {
                    self.still_lets()?;
                    // To a customer at each beat, because that something happened elsewhere is not for them to know.
                    let moved = self.told.is_none_or(|told| told < self.follower.place());
                    (moved || self.caller.is_sealed()).then_some(None)
                }
            };
            if let Some(told) = told {
                self.told = Some(self.follower.place());
                permit.send(Ok(self.teller.message(self.caller.sequence_text(self.follower.place()), told)));
            }
        }
    }

    fn still_lets(&self) -> Result<(), Status> {
        self.broker.still_lets(&self.caller, |state, viewer, now| self.teller.is_open(state, viewer, now))
    }

    async fn told_of(&self, event: Arc<Event>) -> Result<Option<T::Told>, Status> {
        let step = self.broker.read(&self.caller, |state, viewer, now| self.teller.step(state, viewer, &event, now));
        let step = step.map_err(|refusal| self.caller.redacted(refusal))?;
        match step {
            Step::Skip => Ok(None),
            Step::Tell(told) => Ok(Some(told)),
            Step::Past => {
                let (teller, sequence) = (Arc::clone(&self.teller), event.sequence);
                let told =
                    past::blocking(&self.broker.engine, move |history| teller.look_back(history, &event)).await?;
                Ok(Some(told.ok_or_else(|| self.caller.redacted(resync(sequence)))?))
            }
            Step::Row => {
                let row = self.broker.engine.row(event.sequence).await.map_err(past::unread)?;
                let told = row.and_then(|row| self.teller.of_row(&row));
                Ok(Some(told.ok_or_else(|| self.caller.redacted(resync(event.sequence)))?))
            }
        }
    }
}

/// What the events are about has left memory: the reader lists anew.
pub(crate) fn resync(sequence: u64) -> Refusal {
    Refusal::new(Reason::Resync, format!("what event `{sequence}` is about has left memory"))
}
