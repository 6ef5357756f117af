//! What the tests of the engine share: Northwind's example files, a broker over them, and its people.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use countersign::check::{Allowed, Denied, Query, Verdict};
use countersign::clock::{Clock, ManualClock};
use countersign::domain::decide::Files;
use countersign::domain::record::called_from::CalledFrom;
use countersign::domain::record::command::{
    ApproveElevation, ApproveProposal, Command, ProposeFile, RelinquishGrant, RequestElevation, RevokeGrant,
    WithdrawElevation,
};
use countersign::domain::record::event::{Event, Subject};
use countersign::domain::record::proposal::ProposedFile;
use countersign::domain::state::State;
use countersign::domain::value::ids::{Digest, ElevationId, GrantId, Identity, RequestId};
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::time::{Span, Timestamp};
use countersign::engine::{Done, Engine, Halt, Replay, Settings, Store, initialise};
use countersign::journal::{JournalReader, MemoryStore};

pub(crate) const POLICY: &str = include_str!("../../examples/policy.toml");
pub(crate) const DIRECTORY: &str = include_str!("../../examples/directory.toml");
pub(crate) const RESOURCE: &str = "prod/eu1/db/orders/main";
/// When the tests begin, and the day of all attestations.
pub(crate) const BEGIN: &str = "2026-06-01T08:00:00Z";
const DAY: &str = "2026-06-01";

pub(crate) fn timestamp(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

pub(crate) fn minutes(minutes: u32) -> Span {
    Span::seconds(minutes * 60)
}

/// The example directory, and so many more engineers `e<n>` and commanders `c<n>`.
pub(crate) fn directory(day: &str, more: usize) -> String {
    let mut text = DIRECTORY.replace("2026-11-02", day);
    for n in 0..more {
        for (kind, role) in [("e", "db-engineer"), ("c", "incident-commander")] {
            text.push_str(&format!(
                "\n[people.{kind}{n}]\nattestations = {{ screening = {day}, background-check = {day}, \
                 annual-training = {day}, dba-training = {day} }}\n[accounts.{kind}{n}]\nperson = \"{kind}{n}\"\n\
                 identities = [\"spiffe://northwind.example/person/{kind}{n}\"]\nroles = [\"{role}\"]\n"
            ));
        }
    }
    text
}

pub(crate) fn identity(name: &str) -> Identity {
    let kind =
        if matches!(name, "orders-api" | "deploy-bot" | "hr-sync" | "training-feed") { "service" } else { "person" };
    format!("spiffe://northwind.example/{kind}/{name}").parse().unwrap()
}

/// What somebody of this name presents.
pub(crate) fn calling(name: &str) -> CalledFrom {
    crate::calls::calling(identity(name))
}

pub(crate) fn request_id() -> RequestId {
    uuid::Uuid::new_v4().into()
}

/// A broker over a store, with the clock that drives it. Dropping `engine` stops it; the store stays.
pub(crate) struct Broker {
    pub(crate) engine: Engine,
    pub(crate) clock: ManualClock,
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    _directory: Option<tempfile::TempDir>,
}

impl Broker {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default(), 0)
    }

    pub(crate) fn with(settings: Settings, more: usize) -> Self {
        Self::over(Store::Memory(MemoryStore::new()), None, settings, more)
    }

    pub(crate) fn sqlite(settings: Settings, more: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::File(directory.path().join("journal.db"));
        Self::over(store, Some(directory), settings, more)
    }

    fn over(store: Store, kept: Option<tempfile::TempDir>, settings: Settings, more: usize) -> Self {
        let clock = ManualClock::new(timestamp(BEGIN));
        let directory = directory(DAY, more);
        let files = Files { policy: POLICY, directory: &directory };
        initialise(&store, files, Arc::new(clock.clone())).unwrap();
        let engine = Engine::start(&store, Arc::new(clock.clone()), settings.clone()).unwrap();
        Self { engine, clock, store, settings, _directory: kept }
    }

    pub(crate) fn memory(&self) -> &MemoryStore {
        match &self.store {
            Store::Memory(store) => store,
            Store::File(_) => panic!("not in memory"),
        }
    }

    /// Stops the engine and starts another on the same journal.
    pub(crate) fn restart(self) -> Self {
        self.try_restart().unwrap()
    }

    pub(crate) fn try_restart(self) -> Result<Self, Halt> {
        self.engine.shutdown();
        let Self { engine, clock, store, settings, _directory } = self;
        drop(engine);
        let mut broker = Self::started(&store, &clock, &settings)?;
        broker._directory = _directory;
        Ok(broker)
    }

    pub(crate) fn started(store: &Store, clock: &ManualClock, settings: &Settings) -> Result<Self, Halt> {
        let engine = Engine::start(store, Arc::new(clock.clone()), settings.clone())?;
        let (clock, store, settings) = (clock.clone(), store.clone(), settings.clone());
        Ok(Self { engine, clock, store, settings, _directory: None })
    }

    pub(crate) fn state(&self) -> State {
        self.engine.read(State::clone)
    }

    pub(crate) async fn run(&self, who: &str, command: Command) -> Result<Done, Refusal> {
        run(&self.engine, who, command).await
    }

    /// Proposed by `omar`, approved by `vera`: what the approval came to.
    pub(crate) async fn load_directory(&self, text: String) -> Result<Done, Refusal> {
        let approval = self.propose_directory(text).await?;
        self.run("vera", approval).await
    }

    /// Proposed by `omar`: the approval that it waits for.
    pub(crate) async fn propose_directory(&self, text: String) -> Result<Command, Refusal> {
        let replaces = self.engine.read(|state| state.organisation().directory_digest()).unwrap();
        let file = ProposedFile::Directory;
        let proposal = Command::from(ProposeFile { file, replaces, text, justification: String::new() });
        let done = self.run("omar", proposal).await?;
        let Some(Subject::Proposal(proposal)) = done.about else { panic!("{done:?}") };
        let digest = self.engine.read(|state| state.proposals().get(&proposal).unwrap().review.digest());
        Ok(Command::from(ApproveProposal { proposal, digest, comment: String::new() }))
    }

    pub(crate) async fn request(&self, who: &str) -> ElevationId {
        request(&self.engine, who, RESOURCE).await.unwrap()
    }

    pub(crate) async fn approve(&self, who: &str, elevation: ElevationId) -> Result<Done, Refusal> {
        run(&self.engine, who, approval(&self.engine, elevation)).await
    }

    /// Requested by one, approved by another: the grant.
    pub(crate) async fn grant(&self, who: &str, by: &str) -> GrantId {
        let elevation = self.request(who).await;
        self.approve(by, elevation).await.unwrap();
        grant_of(&self.engine, elevation).unwrap()
    }

    pub(crate) fn check(&self, who: &str) -> Verdict {
        check(&self.engine, who, RESOURCE)
    }

    /// Waits, without a guess how long, until the engine has recorded an event of this kind after a sequence.
    pub(crate) async fn recorded(&self, after: u64, kind: &str) -> Arc<Event> {
        let mut follower = self.engine.follow(after).unwrap();
        let wait = async {
            loop {
                let event = follower.next().await.unwrap();
                if event.fact.kind() == kind {
                    return event;
                }
            }
        };
        within(wait).await
    }

    /// Every row of the journal, as a state: what a restart would see.
    pub(crate) fn replayed(&self) -> State {
        match &self.store {
            Store::Memory(store) => replayed(store),
            Store::File(_) => panic!("not in memory"),
        }
    }
}

/// A bound on what must happen, so that a test that fails ends.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes far too long")
}

pub(crate) fn replayed(reader: &dyn JournalReader) -> State {
    let mut replay = Replay::default();
    for row in reader.read_after(0, usize::MAX).unwrap() {
        replay.accept(&row).unwrap();
    }
    replay.finish().0
}

pub(crate) async fn run(engine: &Engine, who: &str, command: Command) -> Result<Done, Refusal> {
    within(engine.execute(&calling(who), request_id(), command)).await
}

pub(crate) fn asking(resource: &str) -> RequestElevation {
    RequestElevation {
        entitlement: "orders-db-repair".parse().unwrap(),
        actions: ["db.read".parse().unwrap()].into(),
        resources: [resource.parse().unwrap()].into(),
        duration: Some(minutes(15)),
        start: None,
        justification: "orders are stuck since noon".to_owned(),
        ticket: Some("INC-4711".to_owned()),
        on_behalf_of: None,
        extends: None,
        emergency: false,
    }
}

pub(crate) async fn request(engine: &Engine, who: &str, resource: &str) -> Result<ElevationId, Refusal> {
    elevation_of(&run(engine, who, Command::from(asking(resource))).await?)
}

pub(crate) fn elevation_of(done: &Done) -> Result<ElevationId, Refusal> {
    match &done.about {
        Some(Subject::Elevation(id)) => Ok(*id),
        other => panic!("about {other:?}"),
    }
}

pub(crate) fn approval(engine: &Engine, elevation: ElevationId) -> Command {
    let digest = engine.read(|state| state.elevations().get(&elevation).map(|it| it.review.digest()));
    Command::from(ApproveElevation { elevation, digest: digest.unwrap_or(Digest::of(b"")), comment: String::new() })
}

pub(crate) fn withdrawal(elevation: ElevationId) -> Command {
    Command::from(WithdrawElevation { elevation, reason: "not needed".to_owned() })
}

pub(crate) fn revocation(grant: GrantId) -> Command {
    Command::from(RevokeGrant { grant, reason: "the incident is over".to_owned() })
}

pub(crate) fn relinquishment(grant: GrantId) -> Command {
    Command::from(RelinquishGrant { grant, reason: "done".to_owned() })
}

pub(crate) fn grant_of(engine: &Engine, elevation: ElevationId) -> Option<GrantId> {
    engine.read(|state| state.grants().values().find(|grant| grant.elevation == elevation).map(|grant| grant.id))
}

/// What the orders service is told about somebody.
pub(crate) fn check(engine: &Engine, who: &str, resource: &str) -> Verdict {
    let caller = engine.checks().caller(identity("orders-api").as_str()).unwrap();
    engine.checks().check(&caller, Query { subject: who, action: "db.read", resource }, engine.latest())
}

pub(crate) const NO: Verdict = Verdict::Deny { because: Denied::NoGrant };

pub(crate) fn is_granted(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Allow { because: Allowed::Granted { .. }, .. })
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Reason {
    result.unwrap_err().reason
}

/// Kinds of the events after a sequence, from the journal.
pub(crate) fn kinds(reader: &dyn JournalReader, after: u64) -> Vec<&'static str> {
    let rows = reader.read_after(after, usize::MAX).unwrap();
    rows.iter().map(|row| countersign::domain::record::row::decode(&row.body).unwrap().0.fact.kind()).collect()
}

/// Holds the writer between two batches until told to go on: what is sent meanwhile waits in the queues.
pub(crate) struct Held(Option<std::sync::mpsc::Sender<()>>);

pub(crate) async fn hold(engine: &Engine) -> Held {
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let (held, is_held) = tokio::sync::oneshot::channel();
    let engine = engine.clone();
    tokio::spawn(async move {
        let question = move |_: &State, _| {
            let _ = held.send(());
            // An error means go on as well.
            let _ = wait.recv();
        };
        engine.ask(question).await
    });
    within(is_held).await.unwrap();
    Held(Some(go_on))
}

impl Held {
    pub(crate) fn release(mut self) {
        drop(self.0.take());
    }
}

/// Yields until this holds; the bound is only there so that a test that fails ends.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came about: {what}");
}

/// Begins a call: what it sends is in the queues when this is done.
pub(crate) async fn sent<'a, T>(
    call: impl Future<Output = T> + Send + 'a,
) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    let mut call: Pin<Box<dyn Future<Output = T> + Send + 'a>> = Box::pin(call);
    poll_fn(|context| {
        assert!(call.as_mut().poll(context).is_pending(), "nothing answers while the writer is held");
        Poll::Ready(())
    })
    .await;
    call
}

/// Reads a clock where a test needs the machine's.
pub(crate) fn wall(clock: &dyn Clock) -> Timestamp {
    clock.read().wall
}
