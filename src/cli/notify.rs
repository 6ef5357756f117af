//! `notify`: a process apart, with an account of its own, that reads what happens and runs a command for each thing that
//! somebody should know. Each is told once: what was read and what is to be told are in a file before anything is done, and
//! what fails is tried again (known failure A16).

mod hook;
mod kept;
mod told;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use self::hook::Hook;
use self::kept::{Kept, Open, Store};
use self::told::Reviewed;
use super::failure::{Exit, Failure, Ran};
use super::session::{PAGE, Session, all_pages};
use super::text::{instant, time_field, wall_time};
use super::values;
use crate::domain::record::review::escaped;
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::{Span, Timestamp};
use crate::sdk::{ClientError, Watch};
use crate::wire::v1::{
    ElevationRelation, ElevationState, EnrolmentState, Event, GetElevationRequest, GetEnrolmentRequest,
    GetGrantRequest, GetProposalRequest, Grant, GrantRelation, GrantState, ListElevationsRequest,
    ListEnrolmentsRequest, ListEventsRequest, ListGrantsRequest, ListProposalsRequest, ProposalState,
    WatchEventsRequest, WatchEventsResponse,
};

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
    /// How long before its end a grant is told as about to end; of a shorter one, after half of it
    #[arg(long, value_parser = values::span, default_value = "5m", value_name = "TIME")]
    pub ending_within: Span,
    /// How long the command may take for one; then it is killed, and tried again later
    #[arg(long, value_parser = values::span, default_value = "30s", value_name = "TIME")]
    pub within: Span,
    /// The command and its arguments: it gets JSON on stdin, and takes it by ending with 0
    #[arg(long, num_args = 1.., required = true, allow_hyphen_values = true, value_name = "CMD")]
    pub exec: Vec<String>,
}

/// Tells until it is told to stop.
///
/// # Errors
/// If its file or account cannot be used. A broker that is away is waited for.
pub async fn run(session: &mut Session<'_>, arguments: NotifyArguments) -> Ran {
    let (store, kept) = Store::open(&arguments.state).map_err(Failure::Failed)?;
    let within = Duration::from_millis(arguments.within.millis().unsigned_abs());
    let hook = Hook { words: arguments.exec, within };
    let terminate = signal(SignalKind::terminate()).map_err(|error| Failure::Failed(format!("no signals: {error}")))?;
    let ending_within = arguments.ending_within;
    let mut notifier = Notifier { session, store, kept, hook, ending_within, running: None, terminate };
    loop {
        let lost = match notifier.tell().await {
            Ok(()) => return Ok(Exit::Yes),
            Err(failure) => failure,
        };
        let Failure::Client(error) = &lost else { return Err(lost) };
        if !error.is_transient() && !is_resync(error) {
            return Err(lost);
        }
        notifier.session.output.note(&format!("the broker was lost, and is tried again: {error}"));
        if notifier.pause().await {
            return Ok(Exit::Yes);
        }
    }
}

fn is_resync(error: &ClientError) -> bool {
    error.reason() == Some(Reason::Resync)
}

/// What became of the command for one notification.
type Running = (Value, JoinHandle<Result<(), String>>);

struct Notifier<'s, 'o> {
    session: &'s mut Session<'o>,
    store: Store,
    kept: Kept,
    hook: Hook,
    ending_within: Span,
    running: Option<Running>,
    terminate: Signal,
}

/// What comes next.
enum Next {
    Event(Option<Event>),
    Ran(Result<(), String>),
    Due,
    Stop,
}

impl Notifier<'_, '_> {
    /// Catches up with the journal and with what is open, then follows. Ends well if it is told to stop.
    async fn tell(&mut self) -> Result<(), Failure> {
        self.catch_up().await?;
        let after_sequence = self.kept.place.map(|place| place.to_string()).unwrap_or_default();
        let mut watch = self.session.client.watch_events(WatchEventsRequest { after_sequence, ..Default::default() });
        self.save()?;
        loop {
            self.begin_next()?;
            match self.next(&mut watch).await? {
                Next::Event(Some(event)) => {
                    self.read(&event).await?;
                    self.save()?;
                }
                Next::Event(None) => {}
                Next::Ran(result) => self.ran(result)?,
                Next::Due => self.due().await?,
                Next::Stop => return self.stop().await,
            }
        }
    }

    async fn next(&mut self, watch: &mut Watch<WatchEventsResponse>) -> Result<Next, Failure> {
        let now = wall_time();
        let wakes = self.kept.wakes_at().unwrap_or(Timestamp::MAX).min(now.plus(LONGEST_SLEEP));
        // While one is told, the next waits for it.
        let wakes = if self.running.is_some() { now.plus(LONGEST_SLEEP) } else { wakes };
        let sleep = Duration::from_millis(u64::try_from(wakes.since(now).millis()).unwrap_or_default());
        let reads = self.kept.queue.len() < MOST_WAITING;
        let running = async {
            match &mut self.running {
                Some((_, handle)) => handle.await.unwrap_or_else(|error| Err(error.to_string())),
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            result = running => Next::Ran(result),
            _ = self.terminate.recv() => Next::Stop,
            _ = tokio::signal::ctrl_c() => Next::Stop,
            step = watch.next(), if reads => Next::Event(step?.event),
            () = tokio::time::sleep(sleep) => Next::Due,
        })
    }

    /// All that the journal has since the last time, and all that is open: nothing is lost by having been away.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        match self.kept.place {
            Some(place) => {
                let from_time = self.kept.time.map(time_field);
                let mut request = ListEventsRequest { page_size: PAGE, from_time, ..Default::default() };
                loop {
                    let page = self.session.client.list_events(request.clone()).await?;
                    for event in page.events.iter().filter(|event| sequence(event).is_some_and(|at| at > place)) {
                        self.read(event).await?;
                    }
                    self.save()?;
                    request.page_token = page.next_page_token;
                    if request.page_token.is_empty() {
                        break;
                    }
                }
            }
            None => {
                let who = self.session.client.who_am_i(crate::wire::v1::WhoAmIRequest {}).await?;
                let place = who.sequence.parse().map_err(|_| {
                    Failure::Failed(
                        "this account is told no numbers of events; notify needs one of the own organisation"
                            .to_owned(),
                    )
                })?;
                // A little earlier than now: what is older is known by its sequence.
                let now = who.broker_time.as_ref().and_then(instant).unwrap_or_else(wall_time);
                (self.kept.place, self.kept.time) = (Some(place), Some(now.minus(LONGEST_SLEEP)));
            }
        }
        self.look_at_all().await
    }

    /// What waits and what is live, as it is now: a state that was lost, or never was, is made good.
    async fn look_at_all(&mut self) -> Result<(), Failure> {
        let pending = ListElevationsRequest {
            relation: ElevationRelation::Visible.into(),
            states: vec![ElevationState::Pending.into()],
            ..Default::default()
        };
        let client = &self.session.client;
        let elevations = all_pages!(client, list_elevations, pending, elevations);
        let live = ListGrantsRequest {
            relation: GrantRelation::Visible.into(),
            states: vec![GrantState::Active.into(), GrantState::Scheduled.into()],
            ..Default::default()
        };
        let grants = all_pages!(client, list_grants, live, grants);
        let states = vec![EnrolmentState::Pending.into()];
        let pending = ListEnrolmentsRequest { states, ..Default::default() };
        let enrolments = all_pages!(client, list_enrolments, pending, enrolments);
        let pending = ListProposalsRequest { states: vec![ProposalState::Pending.into()], ..Default::default() };
        let proposals = all_pages!(client, list_proposals, pending, proposals);
        for elevation in elevations {
            self.look("elevation", &elevation.id).await?;
        }
        for enrolment in enrolments {
            self.look("enrolment", &enrolment.id).await?;
        }
        for proposal in proposals {
            self.look("proposal", &proposal.id).await?;
        }
        for grant in grants {
            self.expect_end(&grant);
        }
        Ok(())
    }

    /// What an event means for somebody.
    async fn read(&mut self, event: &Event) -> Result<(), Failure> {
        let kind = event.kind.split('/').next().unwrap_or_default();
        let about = |prefix: &str| event.about.iter().find_map(|about| about.strip_prefix(prefix)).map(str::to_owned);
        let place = sequence(event);
        match kind {
            "elevation-requested" | "approval-recorded" | "approval-struck" => {
                if let Some(id) = about("elevation:") {
                    self.look("elevation", &id).await?;
                }
            }
            "enrolment-requested" | "enrolment-approval-recorded" | "enrolment-approval-struck" => {
                if let Some(id) = about("enrolment:") {
                    self.look("enrolment", &id).await?;
                }
            }
            "elevation-approved"
            | "elevation-denied"
            | "elevation-withdrawn"
            | "elevation-expired"
            | "elevation-cancelled" => self.decided("elevation", about("elevation:")).await?,
            "load-proposed" => {
                if let Some(id) = about("proposal:") {
                    self.look("proposal", &id).await?;
                }
            }
            "load-approved" | "load-denied" | "load-withdrawn" | "load-expired" | "load-cancelled" => {
                self.decided("proposal", about("proposal:")).await?;
            }
            "enrolment-approved"
            | "enrolment-denied"
            | "enrolment-withdrawn"
            | "enrolment-expired"
            | "enrolment-cancelled" => self.decided("enrolment", about("enrolment:")).await?,
            "grant-issued" | "grant-started" | "grant-shortened" => self.grant(about("grant:"), false).await?,
            "grant-ended" | "grant-relinquished" | "grant-revoked" => self.grant(about("grant:"), true).await?,
            "lapse-ahead" => self.of_event("lapse.ahead", event),
            "follow-up-opened" => self.follow_up("follow_up.opened", about("elevation:"), event).await?,
            "follow-up-overdue" => self.follow_up("follow_up.overdue", about("elevation:"), event).await?,
            _ => {}
        }
        self.kept.place = place.or(self.kept.place);
        self.kept.time = event.time.as_ref().and_then(instant).or(self.kept.time);
        Ok(())
    }

    fn of_event(&mut self, kind: &str, event: &Event) {
        self.kept.tell(&format!("{kind}:{}", event.sequence), told::of_event(kind, event), wall_time());
    }

    /// Something under review, as it is now. What this account may not see, or is not there any more, is nobody's to tell.
    async fn reviewed(&mut self, kind: &str, id: &str) -> Result<Option<Reviewed>, Failure> {
        let client = &self.session.client;
        let found = match kind {
            "elevation" => {
                let request = GetElevationRequest { elevation_id: id.to_owned() };
                client.get_elevation(request).await.map(told::elevation)
            }
            "proposal" => {
                let request = GetProposalRequest { proposal_id: id.to_owned() };
                client.get_proposal(request).await.map(told::proposal)
            }
            _ => {
                let request = GetEnrolmentRequest { enrolment_id: id.to_owned() };
                client.get_enrolment(request).await.map(told::enrolment)
            }
        };
        match found {
            Ok(found) => Ok(found),
            Err(error) if error.reason() == Some(Reason::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells those whose stage has opened.
    async fn look(&mut self, kind: &str, id: &str) -> Result<(), Failure> {
        let Some(it) = self.reviewed(kind, id).await?.filter(|it| it.pending) else { return Ok(()) };
        let known = self.kept.open.get(&it.key()).cloned();
        let stage = it.review.open_stage;
        if known.as_ref().is_none_or(|known| known.stage != stage) {
            // A stage that opens again, because an approval was struck out, is told again.
            let decisions = it.review.decisions.len();
            self.kept.tell(&format!("{}.opened:{stage}:{decisions}", it.key()), it.opened(), wall_time());
        }
        let told = known.as_ref().is_some_and(|known| known.told);
        let due = it.half_time().filter(|_| !told);
        self.kept.open.insert(it.key(), Open { stage, due, told });
        Ok(())
    }

    async fn decided(&mut self, kind: &str, id: Option<String>) -> Result<(), Failure> {
        let Some(id) = id else { return Ok(()) };
        if let Some(it) = self.reviewed(kind, &id).await? {
            self.kept.open.remove(&it.key());
            self.kept.tell(&format!("{}.decided", it.key()), it.decided(), wall_time());
        }
        Ok(())
    }

    /// What an emergency owes, to those who could do it.
    async fn follow_up(&mut self, kind: &str, id: Option<String>, event: &Event) -> Result<(), Failure> {
        let Some(elevation_id) = id else { return Ok(()) };
        match self.session.client.get_elevation(GetElevationRequest { elevation_id }).await {
            Ok(found) => {
                let told = told::follow_up(kind, &found);
                self.kept.tell(&format!("{kind}:{}", event.sequence), told, wall_time());
                Ok(())
            }
            Err(error) if error.reason() == Some(Reason::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A grant that was issued, or has another end, or is over.
    async fn grant(&mut self, id: Option<String>, over: bool) -> Result<(), Failure> {
        let Some(id) = id else { return Ok(()) };
        let key = format!("grant:{id}");
        let Some(grant) = self.grant_now(id).await? else { return Ok(()) };
        if over {
            self.kept.open.remove(&key);
            self.kept.tell(&format!("{key}.ended"), told::grant("ended", &grant), wall_time());
        } else if told::is_open(&grant) {
            self.expect_end(&grant);
        }
        Ok(())
    }

    async fn grant_now(&self, grant_id: String) -> Result<Option<Grant>, Failure> {
        match self.session.client.get_grant(GetGrantRequest { grant_id }).await {
            Ok(found) => Ok(found.grant),
            Err(error) if error.reason() == Some(Reason::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// When a grant is to be told as about to end.
    fn expect_end(&mut self, grant: &Grant) {
        let times = grant.start_time.as_ref().and_then(instant).zip(grant.end_time.as_ref().and_then(instant));
        let Some((start, end)) = times else { return };
        let half = end.since(start).millis().checked_div(2).and_then(|millis| Span::from_millis(millis).ok());
        let ahead = half.map_or(self.ending_within, |half| half.min(self.ending_within));
        let open = self.kept.open.entry(format!("grant:{}", grant.id)).or_default();
        open.due = Some(end.minus(ahead)).filter(|_| !open.told);
    }

    /// What has become due by now is told, if it is still so.
    async fn due(&mut self) -> Result<(), Failure> {
        let now = wall_time();
        for key in self.kept.due(now) {
            let Some((kind, id)) = key.split_once(':').map(|(kind, id)| (kind.to_owned(), id.to_owned())) else {
                continue;
            };
            let message = match kind.as_str() {
                "grant" => {
                    let live = self.grant_now(id).await?.filter(told::is_open);
                    live.map(|grant| told::grant("ending", &grant))
                }
                _ => self.reviewed(&kind, &id).await?.filter(|it| it.pending).map(|it| it.half_gone()),
            };
            if let Some(open) = self.kept.open.get_mut(&key) {
                (open.due, open.told) = (None, true);
            }
            if let Some(message) = message {
                self.kept.tell(&format!("{key}.due"), message, now);
            }
        }
        self.save()
    }

    /// Begins to tell the next, if none is being told. That it was begun is kept first.
    fn begin_next(&mut self) -> Result<(), Failure> {
        let now = wall_time();
        let Some(index) = self.kept.next(now).filter(|_| self.running.is_none()) else { return Ok(()) };
        let Some(waiting) = self.kept.queue.get_mut(index) else { return Ok(()) };
        waiting.begin(now);
        let message = waiting.message.clone();
        self.save()?;
        let (hook, input) = (self.hook.clone(), escaped(&message.to_string()).into_bytes());
        let id = message.get("id").cloned().unwrap_or_default();
        self.running = Some((id, tokio::spawn(async move { hook.run(input).await })));
        Ok(())
    }

    fn ran(&mut self, result: Result<(), String>) -> Result<(), Failure> {
        let Some((id, _)) = self.running.take() else { return Ok(()) };
        let is_it = |waiting: &kept::Waiting| waiting.message.get("id") == Some(&id);
        let Some(index) = self.kept.queue.iter().position(is_it) else { return Ok(()) };
        match result {
            Ok(()) => {
                if let Some(told) = self.kept.queue.remove(index) {
                    let kind = told.message.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
                    let line = format!("{} {kind}\n", id.as_str().unwrap_or_default());
                    self.session.output.step(&line, || told.message)?;
                }
            }
            Err(why) => {
                let again = self.kept.queue.get(index).map(|waiting| waiting.not_before);
                let again = again.map(|at| format!("; again at {at}")).unwrap_or_default();
                self.session.output.note(&format!("{}: {why}{again}", id.as_str().unwrap_or_default()));
            }
        }
        self.save()
    }

    /// What is being told is told to its end, so that it is not told twice.
    async fn stop(&mut self) -> Result<(), Failure> {
        if let Some((id, handle)) = self.running.take() {
            self.running = Some((id, tokio::spawn(std::future::ready(Ok(())))));
            let result = handle.await.unwrap_or_else(|error| Err(error.to_string()));
            self.ran(result)?;
        }
        self.save()
    }

    /// Whether it was told to stop meanwhile.
    async fn pause(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = tokio::signal::ctrl_c() => true,
            () = tokio::time::sleep(PAUSE) => false,
        }
    }

    fn save(&self) -> Result<(), Failure> {
        self.store.write(&self.kept).map_err(Failure::Failed)
    }
}

fn sequence(event: &Event) -> Option<u64> {
    event.sequence.parse().ok()
}
