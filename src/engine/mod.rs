//! The engine: one writer thread that decides, records and publishes, in batches; and what reads beside it.
//!
//! A command goes through [`Engine::execute`] into one of two bounded queues; the writer decides it on its own state,
//! appends the batch's rows in one durable commit, publishes to the view, the check index and the feed, and only then
//! answers (known failure H1: nothing has effect before it is in the journal).
#![deny(clippy::wildcard_enum_match_arm)]

mod changes;
mod feed;
mod history;
mod milestones;
mod queue;
mod replay;
pub mod replication;
mod view;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::check::CheckIndex;
use crate::clock::{BootId, BootMillis, Clock, Reading, Refresher, Timekeeper};
use crate::domain::decide::tick::abandon_rows;
use crate::domain::decide::{Files, decide, initialise as decide_initialise};
use crate::domain::record::command::{Command, Envelope};
use crate::domain::record::event::{Event, RowsAbandoned, Subject};
use crate::domain::state::State;
use crate::domain::value::ids::{Identity, RequestId};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Span, Timestamp};
use crate::journal::{AppendError, Journal, MemoryJournal, MemoryStore, OpenError, Options, SqliteJournal};

pub use feed::Follower;
pub use history::{History, HistoryError, is_of_same_command};
use queue::{Job, Queues, Task};
pub use replay::Replay;
use replication::Hub;
use view::View;
use writer::Writer;

/// Where the journal is.
#[derive(Debug, Clone)]
pub enum Store {
    /// A SQLite file.
    File(PathBuf),
    /// In memory: for tests.
    Memory(MemoryStore),
}

/// How the engine works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long what closed stays in memory.
    pub keep_closed: Span,
    /// Revoke every open grant at a start (`grants_on_restart = "void"`).
    pub void_on_restart: bool,
    /// The operator says that the wall clock is right.
    pub accept_clock: bool,
    /// Commands that may wait, in each of the two queues; questions, half of that.
    pub queue: usize,
    /// Commands of one batch at most.
    pub batch: usize,
    /// Events that a watch can resume over without listing anew.
    pub feed_events: usize,
    /// Bytes of changes that a replica can resume over without a snapshot.
    pub replica_bytes: usize,
    /// Whether due events are recorded. Off in tests alone: no access hangs on it.
    pub timer: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_closed: Span::DAY,
            void_on_restart: false,
            accept_clock: false,
            queue: 4_096,
            batch: 256,
            feed_events: 65_536,
            replica_bytes: 4 * 1024 * 1024,
            timer: true,
        }
    }
}

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The journal cannot be opened or does not verify.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The journal has no policy and no directory.
    #[error("the journal is empty; fill it with `countersign init --policy FILE --directory FILE`")]
    NotInitialised,
    /// The journal has been filled before.
    #[error("the journal has been filled before; load a new policy or directory through the running broker")]
    AlreadyInitialised,
    /// The files cannot be put in force.
    #[error("{0}")]
    Files(Refusal),
    /// The first rows could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The side file of lists failed.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// An event has no text, or the system gave no thread.
    #[error("{0}")]
    System(String),
}

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The sequence of its first event.
    pub sequence: u64,
    /// What it was about.
    pub about: Option<Subject>,
    /// Whether it had taken effect before, under the same `request_id`.
    pub repeated: bool,
}

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
    halted: watch::Receiver<bool>,
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
    /// Verifies the journal, replays it, records the start, and starts the writer.
    ///
    /// # Errors
    /// Why it cannot; the text says what to do.
    pub fn start(store: &Store, clock: Arc<dyn Clock>, settings: Settings) -> Result<Self, Halt> {
        let mut replay = Replay::new(settings.feed_events);
        let (journal, recovered) = open(store, &mut replay)?;
        let (state, recent, milestones) = replay.into_parts();
        if state.sequence() == 0 {
            return Err(Halt::NotInitialised);
        }
        let record = state.clock().and_then(changes::clock_record);
        let mut keeper = Timekeeper::new(Arc::clone(&clock), record.as_ref(), state.last_at());
        let was_behind = keeper.was_behind_at_start();
        if settings.accept_clock && was_behind {
            keeper = Timekeeper::new(Arc::new(Ahead::of(clock, state.last_at())), None, state.last_at());
        } else if settings.accept_clock {
            let _ = keeper.accept();
        }
        let keeper = Arc::new(keeper);
        let refresher = keeper.spawn_refresher().map_err(|error| Halt::System(error.to_string()))?;
        let reader = journal.reader();
        let history = match store {
            Store::File(path) => Arc::new(History::open(path, reader, milestones)?),
            Store::Memory(_) => Arc::new(History::in_memory(reader, milestones)?),
        };
        let (halt, halted) = watch::channel(false);
        let queues = Arc::new(Queues::new(settings.queue));
        let feed = Arc::new(feed::Feed::new(recent, state.sequence(), settings.feed_events, halted.clone()));
        let checks = Arc::new(CheckIndex::new());
        let all = changes::all(&state, keeper.now(state.last_at()));
        // Side by side: with many grants both take their time.
        let copy = std::thread::scope(|scope| {
            let copying = scope.spawn(|| state.unshared());
            checks.apply(&all);
            copying.join()
        });
        let view = Arc::new(View::new(copy.unwrap_or_else(|_| state.clone())));
        let hub = Arc::new(Hub::new(journal.id().to_string(), state.sequence(), &all, settings.replica_bytes));
        let writer = Writer {
            state,
            journal,
            settings,
            queues: Arc::clone(&queues),
            view: Arc::clone(&view),
            keeper: Arc::clone(&keeper),
            checks: Arc::clone(&checks),
            feed: Arc::clone(&feed),
            hub: Arc::clone(&hub),
            untold: std::collections::BTreeMap::new(),
            clock_noted: None,
            was_behind,
            held_back: false,
            halt,
        };
        let writer = writer.begin(recovered.abandoned)?;
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|error| Halt::System(error.to_string()))?;
        let writer = RwLock::new(Some(thread));
        let shared = Shared { queues, view, keeper, checks, feed, hub, history, halted, writer, _refresher: refresher };
        let engine = Self { shared: Arc::new(shared) };
        engine.index_in_the_background()?;
        Ok(engine)
    }

    /// Fills the side file of lists, which a long journal makes too slow for the first who lists; then keeps a state now and
    /// then, for those who ask as of a time.
    fn index_in_the_background(&self) -> Result<(), Halt> {
        let history = Arc::clone(&self.shared.history);
        let view = Arc::downgrade(&self.shared.view);
        let fill = move || {
            if let Err(error) = history.catch_up() {
                tracing::warn!(%error, "the side file of lists could not be filled; it is tried again at each list");
            }
            // A state that is kept costs the next change of each part of it: not more often than once a minute.
            let mut seconds = 0_u32;
            while let Some(view) = view.upgrade() {
                seconds = seconds.saturating_add(1);
                if seconds >= 60 && history.milestones().wants(view.read(State::sequence)) {
                    history.milestones().note(&view.read(State::clone));
                    seconds = 0;
                }
                drop(view);
                std::thread::park_timeout(Duration::from_secs(1));
            }
        };
        let thread = std::thread::Builder::new().name("lists".to_owned()).spawn(fill);
        thread.map(|_| ()).map_err(|error| Halt::System(error.to_string()))
    }

    /// Carries one command out. Ok once its events are durable.
    ///
    /// # Errors
    /// Why it was refused; `OVERLOADED`, `STORAGE_UNAVAILABLE` and `HALTED` where it could not be decided.
    pub async fn execute(&self, caller: &Identity, request_id: RequestId, command: Command) -> Result<Done, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.shared.queues.push(Job { caller: caller.clone(), request_id, command, reply })?;
        answer.await.unwrap_or_else(|_| Err(Refusal::new(Reason::Halted, "")))
    }

    /// What a command would do, and does not: `validate_only`, dry run.
    ///
    /// # Errors
    /// Why it would be refused.
    pub async fn preview(&self, caller: &Identity, command: Command) -> Result<Vec<Event>, Refusal> {
        self.preview_on_state(caller, command).await.map(|(events, _)| events)
    }

    /// The same, with the state that it was decided on.
    ///
    /// # Errors
    /// Why it would be refused.
    pub async fn preview_on_state(&self, caller: &Identity, command: Command) -> Result<(Vec<Event>, State), Refusal> {
        let caller = caller.clone();
        let request_id = uuid::Uuid::new_v4().into();
        self.ask(move |state, now| {
            let events = decide(state, &Envelope { caller, request_id, now, nonce: writer::nonce(), command })?;
            Ok((events, state.clone()))
        })
        .await?
    }

    /// A pure question to the writer's own state, answered between batches.
    ///
    /// # Errors
    /// `OVERLOADED` or `HALTED`.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&State, Now) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let task: Task = Box::new(move |state, now| {
            // Who asked may have gone.
            let _ = reply.send(question(state, now));
        });
        self.shared.queues.ask(task)?;
        answer.await.map_err(|_| Refusal::new(Reason::Halted, ""))
    }

    /// Reads the view: durable events alone, at most a batch behind the writer.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        self.shared.view.read(read)
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

/// A wall clock that the operator accepts although it stands before the last event. Time cannot run backwards, and must
/// not stand still until that clock catches up, for no grant would end meanwhile (invariant 1): it goes on from the last
/// event, at that clock's pace.
struct Ahead {
    clock: Arc<dyn Clock>,
    by: Span,
}

impl Ahead {
    fn of(clock: Arc<dyn Clock>, last_event: Timestamp) -> Self {
        let by = last_event.since(clock.read().wall);
        Self { clock, by }
    }
}

impl Clock for Ahead {
    fn read(&self) -> Reading {
        let reading = self.clock.read();
        Reading { wall: reading.wall.plus(self.by), ..reading }
    }
    fn boot(&self) -> BootMillis {
        self.clock.boot()
    }
    fn boot_id(&self) -> Option<BootId> {
        self.clock.boot_id()
    }
}

/// Fills an empty journal, creating the file if there is none: `countersign init`.
///
/// # Errors
/// If it was filled before, or the files have mistakes.
pub fn initialise(store: &Store, files: Files<'_>, clock: Arc<dyn Clock>) -> Result<(), Halt> {
    if let Store::File(path) = store
        && !path.exists()
    {
        // The files are looked at first, so that mistakes in them leave no empty journal behind.
        let now = Timekeeper::new(Arc::clone(&clock), None, Timestamp::MIN).now(Timestamp::MIN);
        decide_initialise(files, now).map_err(Halt::Files)?;
        drop(SqliteJournal::create(Path::new(path), Options::default())?);
    }
    let mut replay = Replay::new(0);
    let (mut journal, recovered) = open(store, &mut replay)?;
    if replay.finish().0.sequence() > 0 {
        return Err(Halt::AlreadyInitialised);
    }
    let now = Timekeeper::new(clock, None, Timestamp::MIN).now(Timestamp::MIN);
    let mut events = decide_initialise(files, now).map_err(Halt::Files)?;
    if let Some(torn) = recovered.abandoned {
        // An earlier `init` was cut short: its rows are struck out, and keep their numbers.
        let torn = RowsAbandoned { first: *torn.start(), last: *torn.end() };
        let mut all = abandon_rows(&State::default(), now, torn);
        let after = all.last().map_or(0, |event| event.sequence);
        events.iter_mut().for_each(|event| event.sequence = event.sequence.saturating_add(after));
        all.append(&mut events);
        events = all;
    }
    let rows = writer::rows(&events)?;
    let head = journal.head();
    journal.append(head, &rows)?;
    Ok(())
}

fn open(store: &Store, replay: &mut Replay) -> Result<(Box<dyn Journal>, crate::journal::Recovered), Halt> {
    let mut each = |row: &crate::journal::Row| replay.accept(row).map_err(Into::into);
    Ok(match store {
        Store::File(path) => {
            let (journal, recovered) = SqliteJournal::open(path, Options::default(), &mut each)?;
            (Box::new(journal), recovered)
        }
        Store::Memory(store) => {
            let (journal, recovered) = MemoryJournal::open(store, &mut each)?;
            (Box::new(journal), recovered)
        }
    })
}
