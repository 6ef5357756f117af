//! The writer: one thread, a batch at a time. Nobody else changes the state.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::batch::{Batch, Part};
use super::changes;
use super::feed::Feed;
use super::outcome::{Done, Halt};
use super::queue::{Found, Job, Queues};
use super::refusals::{Unrecorded, UnrecordedRefusals};
use super::replication::hub::Hub;
use super::rows::{nonce, rows};
use super::settings::{Settings, Worked};
use super::view::View;
use crate::check::CheckIndex;
use crate::clock::{BootMillis, Stopwatch, Timekeeper};
use crate::domain::decide::loss::accept_loss;
use crate::domain::decide::refused::{counted, minute_of, refused};
use crate::domain::decide::tick::{abandon_rows, clock_read, decide_start, decide_tick, next_due};
use crate::domain::decide::{Decided, decide_all};
use crate::domain::record::command::{CampaignCommand, Command, Envelope, StartCampaign};
use crate::domain::record::event::{BrokerFact, BrokerStarted, Event, Fact, GrantFact, LossAccepted, RowsAbandoned};
use crate::domain::record::grant::Revocation;
use crate::domain::record::row::encode;
use crate::domain::state::State;
use crate::domain::state::apply::apply;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Span, Timestamp};
use crate::journal::{AppendError, Journal, MAX_BODY_BYTES, Refused, Row};

/// About how many events one batch has: past this no further command is decided in it.
const BATCH_EVENTS: usize = 4_096;
/// About how many events of due things one batch has: few enough to be durable soon, and to be applied to the view one
/// by one.
const TICK_EVENTS: usize = 1_024;
/// Free text up to this length fits a row however it is escaped: one byte may become 12, and may stand in the row
/// twice.
const WORDS_BYTES: usize = 16 * 1024;
/// How long the writer sleeps at most, and how long when what is due cannot be recorded now (a suspect clock, or a
/// failed batch).
const IDLE: Duration = Duration::from_millis(1_000);
const RETRY: Duration = Duration::from_millis(100);
/// Both clocks are journaled this often while anything is live.
const CLOCK_EVERY: Span = Span::seconds(60);

pub(super) struct Writer {
    pub(super) state: State,
    pub(super) journal: Box<dyn Journal>,
    pub(super) settings: Settings,
    pub(super) queues: Arc<Queues>,
    pub(super) view: Arc<View>,
    pub(super) keeper: Arc<Timekeeper>,
    pub(super) checks: Arc<CheckIndex>,
    pub(super) feed: Arc<Feed>,
    pub(super) hub: Arc<Hub>,
    pub(super) refusals: UnrecordedRefusals,
    pub(super) clock_noted: Option<BootMillis>,
    /// The wall clock stood before the last event when the broker started.
    pub(super) was_behind: bool,
    /// The mark beside the journal cannot be written: nothing is done that gives access.
    pub(super) unmarked: bool,
    /// The last batch did not happen: what is due waits a little before it is tried again.
    pub(super) held_back: bool,
    /// Rows of a torn batch at the journal's end, which the start strikes out.
    pub(super) abandoned: Option<RangeInclusive<u64>>,
    /// The loss that the operator accepts with this start.
    pub(super) loss: Option<LossAccepted>,
    /// Why the start is not recorded yet.
    pub(super) waits_for: Option<Refused>,
    /// What is due could not be recorded (a fault of the broker): it is not tried again before.
    pub(super) due_from: Option<BootMillis>,
    pub(super) halt: watch::Sender<bool>,
}

/// Why a batch was not recorded.
pub(super) enum Failed {
    /// It did not happen; the state is as it was.
    NotAppended(Refused),
    /// Nobody knows; the writer stops.
    Unknown,
}

impl Failed {
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::NotAppended(reason) => unavailable(reason),
            Self::Unknown => Refusal { retry_after: Some(Span::SECOND), ..Refusal::new(Reason::Halted, "") },
        }
    }
}

impl Drop for Writer {
    /// However it ends, by a panic too: nobody waits for an answer that cannot come.
    fn drop(&mut self) {
        self.queues.abandon();
        self.halt.send_replace(true);
    }
}

impl Writer {
    /// Records the start, and what follows from it, before anything else; or puts it off.
    pub(super) fn begin(&mut self) -> Result<(), Halt> {
        let mut batch = Vec::new();
        if let Some(rows) = &self.abandoned {
            let rows = RowsAbandoned { first: *rows.start(), last: *rows.end() };
            let events = abandon_rows(&self.state, self.now(), rows);
            self.take_in(events, &mut batch);
        }
        if let Some(loss) = self.loss.clone() {
            let events = accept_loss(&self.state, self.now(), loss, nonce());
            self.take_in(events, &mut batch);
        }
        let now = self.now();
        let clock = changes::clock_pair(&self.keeper.record());
        // Also where the operator accepts that clock: the ends were reckoned by one that ran ahead of it.
        let revoke = if self.was_behind {
            Some(Revocation::Clock)
        } else {
            self.settings.void_on_restart.then_some(Revocation::Restart)
        };
        if self.settings.accept_clock {
            let events = clock_read(&self.state, now, clock.clone(), true);
            self.take_in(events, &mut batch);
        }
        let started = BrokerStarted { version: env!("CARGO_PKG_VERSION").to_owned(), clock };
        let events = decide_start(&self.state, now, started, revoke.as_ref());
        self.take_in(events, &mut batch);
        let rows = rows(&batch, self.settings.reads_row)?;
        let (head, appending) = (self.journal.head(), Stopwatch::start());
        if let Err(error) = self.journal.append(head, &rows) {
            let revokes = |event: &Event| matches!(event.fact, Fact::Grant(GrantFact::Revoked(_)));
            return self.put_off(error, self.loss.is_some() || batch.iter().any(revokes));
        }
        self.settings.on_work.tell(Worked::Appended { rows: rows.len(), took: appending.took() });
        self.journal.flush_mark();
        (self.waits_for, self.loss) = (None, None);
        self.clock_noted = Some(self.keeper.record().boot);
        drop(self.publish(batch, &rows, now));
        Ok(())
    }

    pub(super) fn run(mut self) {
        loop {
            let Found { questions, closed } = self.queues.wait(self.wait());
            let outcome = self.batch();
            self.held_back = outcome.is_err();
            if matches!(outcome, Err(Failed::Unknown)) {
                return;
            }
            let now = self.now();
            for question in questions {
                // It looks at the state and changes nothing, so a bug in one is that one's alone.
                let asked = catch_unwind(AssertUnwindSafe(|| question(&self.state, now)));
                if asked.is_err() {
                    tracing::error!("a question to the state panicked");
                }
            }
            self.journal.maintain();
            if closed {
                self.finish();
                return;
            }
        }
    }

    /// Refusals that were counted are recorded, though their minute is not over.
    fn finish(&mut self) {
        let mut batch = Batch::default();
        self.record_refusals(&mut batch.events, Timestamp::MAX);
        // If it fails, nobody is left to answer; the log says so.
        let _ = self.record(&mut batch);
    }

    /// Decides, records, publishes, answers. Commands are taken one by one, so that what comes meanwhile waits for no more than
    /// what was begun, however much somebody has sent of what takes long (known failure G40).
    fn batch(&mut self) -> Result<(), Failed> {
        if let Err(failed) = self.begin_at_last() {
            self.refuse(std::iter::from_fn(|| self.queues.next()).take(self.settings.batch), &failed);
            return Err(failed);
        }
        let mut batch = Batch::default();
        self.unmarked = self.journal.mark().is_some_and(|mark| mark.failing.is_some());
        self.due(&mut batch.events);
        let begun = Stopwatch::start();
        for _ in 0..self.settings.batch {
            let Some(job) = self.queues.next() else { break };
            let from = batch.events.len();
            self.settings.on_work.tell(Worked::Waited(job.waits.took()));
            let deciding = Stopwatch::start();
            let answer = self.decide(&job, &mut batch.events);
            self.settings.on_work.tell(Worked::Decided(deciding.took()));
            batch.answered(job, answer, from);
            if batch.events.len() >= BATCH_EVENTS || begun.took() >= self.settings.batch_time {
                break;
            }
        }
        self.record(&mut batch)
    }

    pub(super) fn decide(&mut self, job: &Job, batch: &mut Vec<Event>) -> Result<Done, Refusal> {
        if !job.command.takes_away()
            && let Some(reason) = self.journal.trouble()
        {
            return self.repetition(job).ok_or_else(|| unavailable(&reason));
        }
        let envelope = self.envelope(job);
        match decide_all(&self.state, &envelope).and_then(|decided| self.may_be_recorded(&envelope.command, decided)) {
            Ok(decided) => {
                // What it did may have taken the caller's identity away, so that afterwards it is found by its own first event alone.
                let first = decided.events.first().map(Done::by);
                batch.extend(decided.take_effect(&mut self.state));
                Ok(first.unwrap_or_else(|| self.done(&envelope)))
            }
            Err(refusal) => {
                self.note_refusal(&envelope, &refusal, batch);
                Err(refusal)
            }
        }
    }

    /// What was decided, if it can be recorded, and could not be lost without a word.
    fn may_be_recorded(&self, command: &Command, decided: Decided) -> Result<Decided, Refusal> {
        if self.unmarked && !command.takes_away() && !decided.events.is_empty() {
            let mut refusal = Refusal::new(Reason::StorageUnavailable, "its head mark cannot be written");
            refusal.retry_after = Some(Span::SECOND);
            return Err(refusal);
        }
        fits_rows(command, decided)
    }

    pub(super) fn envelope(&self, job: &Job) -> Envelope {
        Envelope {
            caller: job.caller.clone(),
            request_id: job.request_id,
            now: self.now(),
            nonce: nonce(),
            command: job.command.clone(),
        }
    }

    pub(super) fn note_refusal(&mut self, envelope: &Envelope, refusal: &Refusal, batch: &mut Vec<Event>) {
        match refused(&self.state, envelope, refusal) {
            Some(event) => self.take_in(vec![event], batch),
            None => self.refusals.count(&self.state, envelope),
        }
    }

    /// Some of what is due by now: the rest comes with the next batch, which does not wait.
    pub(super) fn due(&mut self, batch: &mut Vec<Event>) {
        if !self.settings.timer || self.due_from.is_some_and(|from| self.keeper.boot() < from) {
            return;
        }
        self.due_from = None;
        while batch.len() < TICK_EVENTS {
            let events = decide_tick(&self.state, self.tick(), self.settings.keep_closed);
            if events.is_empty() {
                break;
            }
            self.take_in(events, batch);
        }
        self.record_refusals(batch, minute_of(self.now().stamp));
        let record = self.keeper.record();
        let is_old = self.clock_noted.is_none_or(|noted| record.boot.since(noted) >= CLOCK_EVERY);
        if is_old && self.state.is_anything_live() {
            let events = clock_read(&self.state, self.now(), changes::clock_pair(&record), false);
            self.take_in(events, batch);
            self.clock_noted = Some(record.boot);
        }
    }

    /// One durable commit, then the view, the check index and the feed, then the answers.
    fn record(&mut self, batch: &mut Batch) -> Result<(), Failed> {
        let batch = std::mem::take(batch);
        let (batch, rows) = match self.rows_of(&batch) {
            Ok(rows) => (batch, rows),
            Err(unfit) => {
                tracing::warn!(%unfit, "a batch cannot be recorded; its commands are decided again one by one");
                self.go_back(&batch.events);
                self.one_by_one(batch)
            }
        };
        let Batch { events, mut parts } = batch;
        parts.iter_mut().for_each(|part| part.count_bytes(&rows));
        let mut before = None;
        if !events.is_empty() {
            let appending = Stopwatch::start();
            if let Err(error) = self.journal.append(self.journal.head(), &rows) {
                return Err(self.failed(&error, &events, parts));
            }
            self.settings.on_work.tell(Worked::Appended { rows: rows.len(), took: appending.took() });
            let now = self.now();
            before = self.publish(events, &rows, now);
        }
        for part in parts {
            // Who asked may have gone; what was decided stands.
            let _ = part.job.reply.send(part.answer);
        }
        drop(before);
        Ok(())
    }

    fn failed(&mut self, error: &AppendError, events: &[Event], parts: Vec<Part>) -> Failed {
        tracing::error!(%error, "the journal did not take a batch");
        let failed = match error {
            AppendError::NotAppended { reason } => Failed::NotAppended(reason.clone()),
            AppendError::Unknown { .. } => Failed::Unknown,
        };
        if matches!(failed, Failed::NotAppended(_)) {
            self.go_back(events);
        }
        self.refuse(parts.into_iter().map(|part| part.job), &failed);
        failed
    }

    /// What was decided did not happen: back to what is durable.
    fn go_back(&mut self, events: &[Event]) {
        self.state = self.view.read(State::clone);
        self.take_back(events);
    }

    /// What the writer notes of its own about events that did not happen.
    pub(super) fn take_back(&mut self, events: &[Event]) {
        for event in events {
            let Fact::Broker(fact) = &event.fact else { continue };
            if let BrokerFact::RefusalsCounted(fact) = fact {
                self.refusals.put_back(fact);
            } else if let BrokerFact::ClockRead(_) = fact {
                self.clock_noted = None;
            }
        }
    }

    /// What is returned should be dropped only once everybody has an answer, because that takes time.
    fn publish(&mut self, events: Vec<Event>, rows: &[Row], now: Now) -> Option<State> {
        let touched = changes::touched_by(&events, &self.state);
        let grants_before =
            if self.hub.is_followed() { self.view.read(|state| touched.open_grants(state)) } else { BTreeMap::new() };
        let before = self.view.record(&events, &self.state);
        let changes = changes::of_batch(&self.state, touched, now);
        self.checks.apply(&changes);
        self.hub.publish(self.state.sequence(), &changes, &grants_before, self.keeper.boot());
        self.feed.publish(events, rows);
        before
    }

    fn take_in(&mut self, events: Vec<Event>, batch: &mut Vec<Event>) {
        events.iter().for_each(|event| apply(&mut self.state, event));
        batch.extend(events);
    }

    /// Records how many refusals of the minutes before one were not recorded one by one.
    fn record_refusals(&mut self, batch: &mut Vec<Event>, before: Timestamp) {
        if self.refusals.is_empty() {
            return;
        }
        let stamp = self.now().stamp;
        for (principal, Unrecorded { minute, count }) in self.refusals.take(before) {
            let event = counted(&self.state, principal, minute, count, stamp);
            self.take_in(vec![event], batch);
        }
    }

    fn wait(&self) -> Duration {
        if self.held_back || self.due_from.is_some() {
            return RETRY;
        }
        let due = next_due(&self.state, self.settings.keep_closed).filter(|_| self.settings.timer);
        let Some(due) = due else { return IDLE };
        let now = self.tick();
        if due.is_over(now.earliest) || now.suspect {
            return if now.suspect { RETRY } else { Duration::ZERO };
        }
        // What is over by one clock alone is a start or the end of a lock, which waits for the other.
        let from = if due.is_over(now.latest) { now.earliest } else { now.latest };
        let millis = u64::try_from(due.since(from).millis()).unwrap_or_default().max(1);
        IDLE.min(Duration::from_millis(millis))
    }

    /// The time, for what it brings by itself.
    fn tick(&self) -> Now {
        if self.unmarked { self.now().without_starts() } else { self.now() }
    }

    pub(super) fn now(&self) -> Now {
        self.keeper.now(self.state.last_at())
    }
}

/// The events, if each fits a row (known failure F8): else the journal would refuse the whole batch, and with it what others
/// asked. A file has its own limit; what is short enough is not looked at.
fn fits_rows(command: &Command, decided: Decided) -> Result<Decided, Refusal> {
    let words_bytes = command.words_bytes();
    let is_too_large = |event: &Event| encode(event, true).is_ok_and(|body| body.len() > MAX_BODY_BYTES);
    let may_be_too_large = words_bytes.is_none_or(|bytes| bytes > WORDS_BYTES);
    if may_be_too_large && decided.events.iter().any(is_too_large) {
        let detail = match (command, words_bytes) {
            (Command::Campaign(CampaignCommand::Start(StartCampaign { role, .. })), _) => {
                format!("`{role}` has more holders than one campaign takes")
            }
            (_, Some(bytes)) => format!("{bytes} bytes of text, which escaped are over the {MAX_BODY_BYTES} of a row"),
            (_, None) => format!("what it names is over the {MAX_BODY_BYTES} bytes of a row"),
        };
        return Err(Refusal::new(Reason::InvalidMessage, detail));
    }
    Ok(decided)
}

/// Nothing was recorded, and why.
fn unavailable(reason: &Refused) -> Refusal {
    // What may pass names nothing of others; the rest, a row's number say, is for the log.
    let detail = if reason.may_pass() { reason.to_string() } else { String::new() };
    let refusal = Refusal::new(Reason::StorageUnavailable, detail);
    Refusal { retry_after: Some(Span::SECOND), ..refusal }
}
