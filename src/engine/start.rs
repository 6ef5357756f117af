//! How an engine starts, and how a journal is filled for the first time.

use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use super::ahead::Ahead;
use super::feed::Feed;
use super::history::History;
use super::loss::accepted;
use super::outcome::Halt;
use super::queue::Queues;
use super::recent::Recent;
use super::refusals::UnrecordedRefusals;
use super::replay::Replay;
use super::replication::hub::Hub;
use super::rows::rows;
use super::settings::Settings;
use super::store::{Found, Store};
use super::told::ToldRows;
use super::view::View;
use super::writer::Writer;
use super::{Engine, Shared, changes};
use crate::check::CheckIndex;
use crate::clock::{Clock, Timekeeper};
use crate::domain::decide::tick::abandon_rows;
use crate::domain::decide::{self, Files};
use crate::domain::record::event::RowsAbandoned;
use crate::domain::record::row::decode;
use crate::domain::state::State;
use crate::domain::value::time::Timestamp;
use crate::journal::{Options, SqliteJournal};

impl Engine {
    /// Verifies the journal, replays it, records the start, and starts the writer.
    ///
    /// # Errors
    /// Why it cannot; the text says what to do.
    pub fn start(store: &Store, clock: Arc<dyn Clock>, settings: Settings) -> Result<Self, Halt> {
        let mut replay = Replay::new(Recent::new(settings.feed_events, settings.feed_bytes));
        let Found { mut journal, recovered, lost } = store.open(&mut replay)?;
        let (state, recent, milestones) = replay.into_parts();
        let loss = accepted(lost.filter(|lost| !lost.is_of_nothing()), settings.accept_loss)?;
        if state.sequence() == 0 {
            return Err(Halt::NotInitialised);
        }
        journal.settle()?;
        let named = loss.as_ref().map(|loss| loss.journal).or(state.journal()).unwrap_or(journal.id());
        let (keeper, was_behind) = keeper(&state, clock, settings.accept_clock);
        let refresher = keeper.spawn_refresher().map_err(|error| Halt::System(error.to_string()))?;
        let reader = journal.reader();
        let history = Arc::new(match store {
            Store::File(path) => History::open(path, named, reader, milestones)?,
            Store::Memory(_) => History::in_memory(named, reader, milestones)?,
        });
        let (halt, halted) = watch::channel(false);
        let reads_row = settings.reads_row;
        let queues = Arc::new(Queues::new(settings.queue));
        let feed = Arc::new(Feed::new(recent, state.sequence(), halted.clone()));
        let checks = Arc::new(CheckIndex::new());
        let all = changes::all(&state, keeper.now(state.last_at()));
        let view = Arc::new(View::new(copied(&state, || checks.apply(&all))));
        let hub = Arc::new(Hub::new(named.to_string(), state.sequence(), &all, settings.replica_bytes));
        let mut writer = Writer {
            state,
            journal,
            settings,
            queues: Arc::clone(&queues),
            view: Arc::clone(&view),
            keeper: Arc::clone(&keeper),
            checks: Arc::clone(&checks),
            feed: Arc::clone(&feed),
            hub: Arc::clone(&hub),
            refusals: UnrecordedRefusals::default(),
            clock_noted: None,
            was_behind,
            unmarked: false,
            held_back: false,
            abandoned: recovered.abandoned,
            loss,
            waits_for: None,
            due_from: None,
            halt,
        };
        writer.begin()?;
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|error| Halt::System(error.to_string()))?;
        let writer = RwLock::new(Some(thread));
        let shared = Shared {
            queues,
            view,
            keeper,
            checks,
            feed,
            hub,
            history,
            told: ToldRows::default(),
            halted,
            reads_row,
            writer,
            _refresher: refresher,
        };
        let engine = Self { shared: Arc::new(shared) };
        engine.index_in_the_background()?;
        Ok(engine)
    }

    /// Fills the side file of lists, which for a long journal would take too long at the first list; then keeps a state
    /// now and then, for questions about the past.
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
}

/// The broker's time, and whether the wall clock stood before the last event. Who accepts the clock has that put right.
fn keeper(state: &State, clock: Arc<dyn Clock>, accepts: bool) -> (Arc<Timekeeper>, bool) {
    let record = state.clock().and_then(changes::clock_record);
    let mut keeper = Timekeeper::new(Arc::clone(&clock), record.as_ref(), state.last_at());
    let was_behind = keeper.was_behind_at_start();
    if accepts && was_behind {
        keeper = Timekeeper::new(Arc::new(Ahead::of(clock, state.last_at())), None, state.last_at());
    } else if accepts {
        let _ = keeper.accept();
    }
    (Arc::new(keeper), was_behind)
}

/// A copy of a state, made beside other work: with many grants both take their time.
fn copied(state: &State, beside: impl FnOnce()) -> State {
    let copy = std::thread::scope(|scope| {
        let copying = scope.spawn(|| state.unshared());
        beside();
        copying.join()
    });
    copy.unwrap_or_else(|_| state.clone())
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
        decide::initialise(files, now).map_err(Halt::Files)?;
        drop(SqliteJournal::create(Path::new(path), Options::default())?);
    }
    let mut replay = Replay::default();
    let Found { mut journal, recovered, lost } = store.open(&mut replay)?;
    if replay.finish().0.sequence() > 0 {
        return Err(Halt::AlreadyInitialised);
    }
    accepted(lost.filter(|lost| !lost.is_of_nothing()), None)?;
    journal.settle()?;
    let now = Timekeeper::new(clock, None, Timestamp::MIN).now(Timestamp::MIN);
    let mut events = decide::initialise(files, now).map_err(Halt::Files)?;
    if let Some(torn) = recovered.abandoned {
        // An earlier `init` was cut short: its rows are struck out, and keep their numbers.
        let torn = RowsAbandoned { first: *torn.start(), last: *torn.end() };
        let mut all = abandon_rows(&State::default(), now, torn);
        let after = all.last().map_or(0, |event| event.sequence);
        events.iter_mut().for_each(|event| event.sequence = event.sequence.saturating_add(after));
        all.append(&mut events);
        events = all;
    }
    let rows = rows(&events, decode)?;
    let head = journal.head();
    journal.append(head, &rows)?;
    Ok(())
}
