//! The engine: one writer thread that decides, records and publishes, in batches; and what reads beside it.
//!
//! A command goes through [`Engine::execute`] into one of two bounded queues; the writer decides it on its own state,
//! appends the batch's rows in one durable commit, publishes to the view, the check index and the feed, and only then
//! answers (known failure H1: nothing has effect before it is in the journal).
#![deny(clippy::wildcard_enum_match_arm)]

mod ahead;
mod batch;
mod changes;
mod fair;
mod feed;
mod history;
mod late_start;
mod loss;
mod milestones;
mod outcome;
mod queue;
mod recent;
mod refusals;
mod repetition;
mod replay;
mod replicas;
pub mod replication;
mod rows;
mod settings;
mod start;
mod store;
mod told;
mod unfit;
mod view;
mod writer;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use self::queue::{Job, Queues, Sender};
use self::replication::hub::Hub;
use self::view::View;
use crate::check::CheckIndex;
use crate::clock::{BootMillis, Refresher, Stopwatch, Timekeeper};
use crate::domain::decide::decide;
use crate::domain::record::called_from::CalledFrom;
use crate::domain::record::command::{Command, Envelope};
use crate::domain::record::event::Event;
use crate::domain::state::State;
use crate::domain::value::ids::RequestId;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

pub use feed::Follower;
pub use history::{History, HistoryError, PastRow, is_of_same_command};
pub use outcome::{Done, Halt};
pub use recent::Recent;
pub use replay::Replay;
pub use rows::ReadsRow;
pub use settings::{OnWork, Settings, Worked};
pub use start::initialise;
pub use store::Store;

/// A handle to the running engine; clones are the same engine. It stops when the last one is dropped.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    queues: Arc<Queues>,
    view: Arc<View>,
    keeper: Arc<Timekeeper>,
    checks: Arc<CheckIndex>,
    feed: Arc<feed::Feed>,
    hub: Arc<Hub>,
    history: Arc<History>,
    told: told::ToldRows,
    halted: watch::Receiver<bool>,
    reads_row: ReadsRow,
    writer: RwLock<Option<std::thread::JoinHandle<()>>>,
    _refresher: Refresher,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn stop(&self) {
        self.queues.close(Reason::Halted);
        let writer = self.writer.write().unwrap_or_else(PoisonError::into_inner).take();
        // A question that held the last handle is dropped by the writer itself, which cannot wait for its own end.
        let writer = writer.filter(|writer| writer.thread().id() != std::thread::current().id());
        if let Some(writer) = writer {
            // A writer that panicked has poisoned nothing: its batch was not acknowledged.
            let _ = writer.join();
        }
    }
}

impl Engine {
    /// Carries one command out. Ok once its events are durable.
    ///
    /// # Errors
    /// Why it was refused; `OVERLOADED`, `STORAGE_UNAVAILABLE` and `HALTED` where it could not be decided.
    pub async fn execute(&self, caller: &CalledFrom, request_id: RequestId, command: Command) -> Result<Done, Refusal> {
        let (reply, answer) = oneshot::channel();
        let sender = self.sender(caller, &command);
        self.shared
            .queues
            .push(sender, Job { caller: caller.clone(), request_id, command, reply, waits: Stopwatch::start() })?;
        answer.await.unwrap_or_else(|_| Err(Refusal::new(Reason::Halted, "")))
    }

    fn sender(&self, caller: &CalledFrom, command: &Command) -> Sender {
        let at = self.latest();
        self.read(|state| {
            let organisation = state.organisation();
            Sender {
                spender: organisation.spender(&caller.identity),
                takes_from_others: command.takes_away() && organisation.takes_from_others(&caller.identity, at),
            }
        })
    }

    /// What a command would do, and does not: `validate_only`, dry run.
    ///
    /// # Errors
    /// Why it would be refused.
    pub async fn preview(&self, caller: &CalledFrom, command: Command) -> Result<Vec<Event>, Refusal> {
        self.preview_on_state(caller, command).await.map(|(events, _)| events)
    }

    /// The same, with the state that it was decided on.
    ///
    /// # Errors
    /// Why it would be refused.
    pub async fn preview_on_state(
        &self,
        caller: &CalledFrom,
        command: Command,
    ) -> Result<(Vec<Event>, State), Refusal> {
        let from = caller.clone();
        let request_id = uuid::Uuid::new_v4().into();
        let reads_row = self.shared.reads_row;
        self.ask_as(caller, move |state, now| {
            let envelope = Envelope { caller: from, request_id, now, nonce: rows::nonce(), command };
            let events = decide(state, &envelope)?;
            rows::recordable(state, &envelope.command, &events, reads_row)?;
            Ok((events, state.clone()))
        })
        .await?
    }

    /// A caller's pure question to the writer's own state: one of all callers' is answered between two batches, in turn.
    ///
    /// # Errors
    /// `OVERLOADED` or `HALTED`.
    pub async fn ask_as<T: Send + 'static>(
        &self,
        caller: &CalledFrom,
        question: impl FnOnce(&State, Now) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let spender = self.read(|state| state.organisation().spender(&caller.identity));
        self.shared.queues.answer(Some(spender), question).await
    }

    /// A short question of the broker itself to the writer's own state, answered between batches.
    ///
    /// # Errors
    /// `OVERLOADED` or `HALTED`.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&State, Now) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.shared.queues.answer(None, question).await
    }

    /// Reads the view: durable events alone, at most a batch behind the writer.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        self.shared.view.read(read)
    }

    /// The time that nobody can set, for what is counted by how long ago it was.
    #[must_use]
    pub fn boot(&self) -> BootMillis {
        self.shared.keeper.boot()
    }

    /// The time, for what is read.
    #[must_use]
    pub fn now(&self) -> Now {
        self.shared.keeper.now(Timestamp::MIN)
    }

    /// The time of a check: one read of the boot clock.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        self.shared.keeper.latest()
    }

    /// What checks are answered from.
    #[must_use]
    pub fn checks(&self) -> &CheckIndex {
        &self.shared.checks
    }

    /// The sequence of the newest event that is published.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.shared.feed.newest()
    }

    /// Waits until an event is published (`min_sequence`).
    ///
    /// # Errors
    /// `BEHIND_SEQUENCE` if it is not within the time given.
    pub async fn reached(&self, sequence: u64, within: Duration) -> Result<(), Refusal> {
        match tokio::time::timeout(within, self.shared.feed.reached(sequence)).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::new(Reason::BehindSequence, format!("`{sequence}`"))),
        }
    }

    /// All events after a sequence, in order, without gaps.
    ///
    /// # Errors
    /// `RESYNC` if they are no longer held here.
    pub fn follow(&self, after: u64) -> Result<Follower, Refusal> {
        feed::Feed::follow(&self.shared.feed, after)
    }

    /// What happened, from the journal itself. Blocks: not for an async thread.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.shared.history
    }

    /// One row of the journal, read once for all who ask for it at a time; none if there is none of this number.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn row(&self, sequence: u64) -> Result<Option<Arc<PastRow>>, HistoryError> {
        self.shared.told.row(&self.shared.history, sequence).await
    }

    /// Resolves when the writer has stopped for good.
    pub async fn halted(&self) {
        let mut halted = self.shared.halted.clone();
        // An error means that the writer is gone, which is the same.
        let _ = halted.wait_for(|halted| *halted).await;
    }

    /// Finishes what is queued, and stops. Reads and checks go on.
    pub fn shutdown(&self) {
        self.shared.stop();
    }
}
