//! Journals filled with facts, for what needs a large state.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each bench uses its own part, and stops at the first surprise"
)]

pub mod calls;

use std::path::Path;
use std::sync::Arc;

use countersign::clock::SystemClock;
use countersign::domain::decide::{Files, decide};
use countersign::domain::directory::{Account, AccountKind, Person};
use countersign::domain::record::command::{ApproveElevation, Command, Envelope};
use countersign::domain::record::elevation::Elevation;
use countersign::domain::record::event::{
    AccountRecorded, Actor, DecisionRecorded, ElevationFact, Event, Fact, GrantFact, OrganisationFact, PersonRecorded,
};
use countersign::domain::record::grant::Grant;
use countersign::domain::record::row::encode;
use countersign::domain::state::State;
use countersign::domain::state::apply::apply;
use countersign::domain::value::ids::Identity;
use countersign::domain::value::time::{Now, Timestamp};
use countersign::engine::{Replay, Store, initialise};
use countersign::journal::{Journal as _, Options, Row, SqliteJournal};

const ROWS_AT_ONCE: usize = 8_192;

/// Makes the journal: the files, then the facts, which `facts` makes from the state that the files led to.
pub fn fill<Facts: IntoIterator<Item = Fact>>(path: &Path, files: Files<'_>, facts: impl FnOnce(&State) -> Facts) {
    initialise(&Store::File(path.to_owned()), files, Arc::new(SystemClock)).unwrap();
    let (mut journal, state) = open(path);
    let at = state.last_at();
    let mut events = (state.sequence() + 1..)
        .zip(facts(&state))
        .map(|(sequence, fact)| Event { sequence, at, actor: Actor::Operator, request: None, from: None, fact })
        .peekable();
    while events.peek().is_some() {
        append(&mut journal, &events.by_ref().take(ROWS_AT_ONCE).collect::<Vec<_>>());
    }
}

/// A journal that was filled before, and its state.
pub fn open(path: &Path) -> (SqliteJournal, State) {
    let mut replay = Replay::default();
    let opened = SqliteJournal::open(path, Options::default(), &mut |row| replay.accept(row).map_err(Into::into));
    (opened.unwrap().0, replay.finish().0)
}

/// Appends events as one batch.
pub fn append(journal: &mut SqliteJournal, events: &[Event]) {
    let Some(last) = events.last().map(|event| event.sequence) else { return };
    let row = |event: &Event| Row { sequence: event.sequence, body: encode(event, event.sequence == last).unwrap() };
    let rows: Vec<Row> = events.iter().map(row).collect();
    let head = journal.head();
    journal.append(head, &rows).unwrap();
    journal.maintain();
}

/// Decides a command at a time, and applies it.
pub fn run(state: &mut State, at: Timestamp, caller: Identity, command: Command) -> Vec<Event> {
    let now = Now::new(at, at, state.last_at());
    let nonce = uuid::Uuid::new_v4().into_bytes();
    let request_id = uuid::Uuid::new_v4().into();
    let caller = calls::calling(caller);
    let events = decide(state, &Envelope { caller, request_id, now, nonce, command }).unwrap();
    events.iter().for_each(|event| apply(state, event));
    events
}

/// What an engineer asked for.
pub fn asked(state: &mut State, at: Timestamp, engineer: Identity, command: Command) -> Elevation {
    let events = run(state, at, engineer, command);
    let Fact::Elevation(ElevationFact::Requested(elevation)) = events[0].fact.clone() else { panic!("no request") };
    *elevation
}

/// What a commander's approval led to.
pub fn approved(
    state: &mut State,
    at: Timestamp,
    commander: Identity,
    elevation: &Elevation,
) -> (DecisionRecorded, Grant) {
    let digest = elevation.review.digest();
    let command = Command::from(ApproveElevation { elevation: elevation.id, digest, comment: String::new() });
    let events = run(state, at, commander, command);
    let decision = events.iter().find_map(|event| match &event.fact {
        Fact::Elevation(ElevationFact::ApprovalRecorded(decision)) => Some(decision.clone()),
        _ => None,
    });
    let grant = events.iter().find_map(|event| match &event.fact {
        Fact::Grant(GrantFact::Issued(grant)) => Some((**grant).clone()),
        _ => None,
    });
    (decision.unwrap(), grant.unwrap())
}

/// A person and an account, to be given to many others.
pub struct Likeness {
    person: Person,
    account: Account,
}

impl Likeness {
    /// What this one has: person and account of one name.
    pub fn of(state: &State, name: &str) -> Self {
        let organisation = state.organisation();
        let person = organisation.people().get(name).unwrap().clone();
        let account = organisation.accounts().get(name).unwrap().clone();
        Self { person, account }
    }

    /// The facts of another one like it. Without a manager of its own it has the same one.
    pub fn recorded(&self, name: &str, identity: Identity, manager: Option<&str>) -> [Fact; 2] {
        let manager = manager.map(|manager| manager.parse().unwrap()).or(self.person.manager.clone());
        let person = Person { manager, ..self.person.clone() };
        let kind = AccountKind::ServiceTeam { person: name.parse().unwrap() };
        let account = Account { kind, identities: [identity].into(), ..self.account.clone() };
        [
            Fact::Organisation(OrganisationFact::PersonRecorded(PersonRecorded { id: name.parse().unwrap(), person })),
            Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded {
                id: name.parse().unwrap(),
                account,
            })),
        ]
    }
}
