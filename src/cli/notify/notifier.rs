//! `notify`: a separate process, with an account of its own, that reads what happens and runs a command for each thing
//! that somebody should know. Each is sent once: what was read and what is to be sent are in a file before anything is
//! done, and what fails is tried again (known failure A16).

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::hook::Hook;
use super::reader::Reader;
use super::store::{Store, Waiting};
use crate::cli::connect::session::Session;
use crate::cli::term::failure::{Exit, Failure, Ran};
use crate::cli::term::text::wall_time;
use crate::cli::term::values;
use crate::domain::record::review::escaped;
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::{Span, Timestamp};
use crate::sdk::{ClientError, Watch};
use crate::wire::v1::{Event, WatchEventsRequest, WatchEventsResponse};

/// How long it pauses after the broker was lost.
const PAUSE: Duration = Duration::from_secs(2);
/// Where nothing is due, it looks again after this.
const LONGEST_SLEEP: Span = Span::seconds(60);
/// While so many wait, no more events are read: they stay in the journal.
const MOST_WAITING: usize = 10_000;

/// `notify`.
#[derive(Debug, Clone, Args)]
pub struct NotifyArguments {
    /// The file in which it keeps how far it has come, over restarts
    #[arg(long, value_name = "FILE")]
    pub state: PathBuf,
    /// How long before its end a grant is announced as about to end; of a shorter one, after half of it
    #[arg(long, value_parser = values::span, default_value = "5m", value_name = "TIME")]
    pub ending_within: Span,
    /// How long the command may take for one notification; then it is killed, and tried again later
    #[arg(long, value_parser = values::span, default_value = "30s", value_name = "TIME")]
    pub within: Span,
    /// The command and its arguments: it gets JSON on stdin, and has taken it if it ends with 0
    #[arg(long, num_args = 1.., required = true, allow_hyphen_values = true, value_name = "CMD")]
    pub exec: Vec<String>,
}

/// Reads and sends until it is asked to stop.
///
/// # Errors
/// If its file or account cannot be used. A broker that is away is waited for.
pub async fn run(session: &mut Session<'_>, arguments: NotifyArguments) -> Ran {
    let (store, progress) = Store::open(&arguments.state).map_err(Failure::Failed)?;
    let within = Duration::from_millis(arguments.within.millis().unsigned_abs());
    let hook = Hook { words: arguments.exec, within };
    let stops = Stops::listen().map_err(|error| Failure::Failed(format!("no signals: {error}")))?;
    session.output.go_on();
    let reader = Reader { session, progress, store, ending_within: arguments.ending_within, audited: None };
    let mut notifier = Notifier { reader, hook, running: None, stops };
    loop {
        let lost = match notifier.follow().await {
            Ok(()) => return Ok(Exit::Yes),
            Err(failure) => failure,
        };
        let Failure::Client(error) = &lost else { return Err(lost) };
        if !error.is_lost() && !is_resync(error) {
            return Err(lost);
        }
        notifier.reader.session.output.note(&format!("the broker was lost, and is tried again: {error}"));
        if notifier.pause().await {
            return Ok(Exit::Yes);
        }
    }
}

fn is_resync(error: &ClientError) -> bool {
    error.reason() == Some(Reason::Resync)
}

/// The notification that the command runs for, and what becomes of the command.
type Running = (Value, JoinHandle<Result<(), String>>);

struct Notifier<'s, 'o> {
    reader: Reader<'s, 'o>,
    hook: Hook,
    running: Option<Running>,
    stops: Stops,
}

/// What asks it to stop: SIGTERM, SIGINT, and SIGHUP of a terminal that is closed. What it has begun it ends, and it begins
/// nothing anew.
struct Stops([Signal; 3]);

impl Stops {
    fn listen() -> std::io::Result<Self> {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hangup] = kinds.map(signal);
        Ok(Self([terminate?, interrupt?, hangup?]))
    }

    /// One of them came. Safe to drop.
    async fn asked(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// What comes next.
enum Next {
    Event(Option<Box<Event>>),
    Ran(Result<(), String>),
    Due,
    Stop,
}

impl Notifier<'_, '_> {
    /// Catches up with the journal and with what is open, then follows. Ends well if it is asked to stop.
    async fn follow(&mut self) -> Result<(), Failure> {
        self.reader.catch_up().await?;
        let after_sequence = self.reader.progress.place.map(|place| place.to_string()).unwrap_or_default();
        let request = WatchEventsRequest { after_sequence, ..Default::default() };
        let mut watch = self.reader.session.client.watch_events(request);
        self.reader.save()?;
        loop {
            self.begin_next().await?;
            match self.next(&mut watch).await? {
                Next::Event(Some(event)) => {
                    self.reader.read(&event).await?;
                    self.reader.save()?;
                }
                Next::Event(None) => {}
                Next::Ran(result) => self.ran(result)?,
                Next::Due => self.reader.send_due().await?,
                Next::Stop => return self.stop().await,
            }
        }
    }

    async fn next(&mut self, watch: &mut Watch<WatchEventsResponse>) -> Result<Next, Failure> {
        let now = wall_time();
        let progress = &self.reader.progress;
        let wakes = progress.wakes_at().unwrap_or(Timestamp::MAX).min(now.plus(LONGEST_SLEEP));
        // While one is being sent, the next waits for it.
        let wakes = if self.running.is_some() { now.plus(LONGEST_SLEEP) } else { wakes };
        let sleep = Duration::from_millis(u64::try_from(wakes.since(now).millis()).unwrap_or_default());
        let reads = progress.queue.len() < MOST_WAITING;
        let running = async {
            match &mut self.running {
                Some((_, handle)) => handle.await.unwrap_or_else(|error| Err(error.to_string())),
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            result = running => Next::Ran(result),
            () = self.stops.asked() => Next::Stop,
            step = watch.next(), if reads => Next::Event(step?.event.map(Box::new)),
            () = tokio::time::sleep(sleep) => Next::Due,
        })
    }

    /// Begins to send the next, if none is being sent. That it was begun is in the file first; what is no longer so is not told.
    async fn begin_next(&mut self) -> Result<(), Failure> {
        while self.running.is_none() {
            let now = wall_time();
            let Some(index) = self.reader.progress.next(now) else { return Ok(()) };
            let Some(message) = self.reader.progress.queue.get(index).map(|waiting| waiting.message.clone()) else {
                return Ok(());
            };
            if !self.reader.is_so(&message).await? {
                self.reader.progress.queue.remove(index);
                self.reader.save()?;
                continue;
            }
            let Some(waiting) = self.reader.progress.queue.get_mut(index) else { return Ok(()) };
            waiting.begin(now);
            let message = waiting.message.clone();
            self.reader.save()?;
            let (hook, input) = (self.hook.clone(), escaped(&message.to_string()).into_bytes());
            self.running = Some((message, tokio::spawn(async move { hook.run(input).await })));
        }
        Ok(())
    }

    /// What was sent leaves the queue; what was not stays, and is tried again, unless it is no longer so.
    fn ran(&mut self, result: Result<(), String>) -> Result<(), Failure> {
        let Some((message, _)) = self.running.take() else { return Ok(()) };
        let id = message.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_it = |waiting: &Waiting| waiting.message.get("id") == message.get("id");
        let Reader { progress, session, .. } = &mut self.reader;
        let index = progress.queue.iter().position(is_it);
        match result {
            Ok(()) => {
                index.map(|index| progress.queue.remove(index));
                let kind = message.get("type").and_then(Value::as_str).unwrap_or_default();
                session.output.step(&format!("{id} {kind}\n"), || message.clone())?;
            }
            Err(why) => {
                let again = index.and_then(|index| progress.queue.get(index)).map(|waiting| waiting.not_before);
                let again = again.map_or_else(|| "; it is no longer so".to_owned(), |at| format!("; again at {at}"));
                session.output.note(&format!("{id}: {why}{again}"));
            }
        }
        self.reader.save()
    }

    /// The command that runs is waited for, so that nothing is sent twice.
    async fn stop(&mut self) -> Result<(), Failure> {
        if let Some((message, handle)) = self.running.take() {
            self.running = Some((message, tokio::spawn(std::future::ready(Ok(())))));
            let result = handle.await.unwrap_or_else(|error| Err(error.to_string()));
            self.ran(result)?;
        }
        self.reader.save()
    }

    /// Waits a little. Whether it was asked to stop meanwhile.
    async fn pause(&mut self) -> bool {
        tokio::select! {
            () = self.stops.asked() => true,
            () = tokio::time::sleep(PAUSE) => false,
        }
    }
}
