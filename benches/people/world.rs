//! A journal of so many people, each with a live grant and a pending elevation, as the rows that led there.

use std::path::Path;
use std::sync::Arc;

use countersign::clock::{Clock as _, SystemClock};
use countersign::domain::decide::{Files, decide};
use countersign::domain::directory::{Account, AccountKind, Person};
use countersign::domain::record::command::{ApproveElevation, Command, Envelope, RequestElevation};
use countersign::domain::record::elevation::Elevation;
use countersign::domain::record::event::{
    AccountRecorded, Actor, DecisionRecorded, ElevationApproved, ElevationFact, Event, Fact, GrantFact,
    OrganisationFact, PersonRecorded,
};
use countersign::domain::record::grant::Grant;
use countersign::domain::record::row::encode;
use countersign::domain::state::State;
use countersign::domain::state::apply::apply;
use countersign::domain::value::ids::{ElevationId, Identity, RequestId};
use countersign::domain::value::time::{Now, Span, Timestamp};
use countersign::engine::{Replay, Store, initialise};
use countersign::journal::{Journal as _, Options, Row, SqliteJournal};

pub(crate) const HR: &str = "spiffe://northwind.example/service/hr-sync";
pub(crate) const RELEASER: &str = "spiffe://northwind.example/person/noa";
pub(crate) const ENFORCER: &str = "spiffe://northwind.example/service/orders-api";
pub(crate) const RESOURCE: &str = "prod/eu1/db/orders/main";

const ROWS_AT_ONCE: usize = 8_192;

pub(crate) fn name(n: usize) -> String {
    format!("p{n:06}")
}

pub(crate) fn identity(name: &str) -> Identity {
    format!("spiffe://northwind.example/person/{name}").parse().unwrap()
}

pub(crate) fn request_id() -> RequestId {
    uuid::Uuid::new_v4().into()
}

/// Makes the journal.
pub(crate) fn filled(path: &Path, people: usize) {
    let store = Store::File(path.to_owned());
    let now = SystemClock.read().wall;
    let day = now.to_string().get(..10).unwrap().to_owned();
    let (policy, directory) = files(&day);
    initialise(&store, Files { policy: &policy, directory: &directory }, Arc::new(SystemClock)).unwrap();
    if people == 0 {
        return;
    }
    let mut replay = Replay::new(16);
    let opened = SqliteJournal::open(path, Options::default(), &mut |row| replay.accept(row).map_err(Into::into));
    let (mut journal, _) = opened.unwrap();
    let (state, _) = replay.finish();
    let mut facts = Vec::new();
    let template = Template::new(state.clone(), now);
    (0..people).for_each(|n| template.person(n, &mut facts));
    let numbered = (state.sequence() + 1..).zip(facts);
    let at = state.last_at();
    let events = numbered.map(|(sequence, fact)| Event { sequence, at, actor: Actor::Operator, request: None, fact });
    let events: Vec<Event> = events.collect();
    for batch in events.chunks(ROWS_AT_ONCE) {
        let last = batch.last().unwrap().sequence;
        let row =
            |event: &Event| Row { sequence: event.sequence, body: encode(event, event.sequence == last).unwrap() };
        let rows: Vec<Row> = batch.iter().map(row).collect();
        let head = journal.head();
        journal.append(head, &rows).unwrap();
        journal.maintain();
    }
}

/// The example organisation; HR's machine, which `omar` owns; and no brake but for everybody at once.
fn files(day: &str) -> (String, String) {
    let policy = include_str!("../../examples/policy.toml");
    let brake = policy.lines().find(|line| line.starts_with("hr_brake")).unwrap();
    let mut policy = policy.replace(brake, "hr_brake = { people = 1000000, percent = 100 }");
    policy.push_str("\n[roles.bench-feed]\nfor = \"machines\"\ncapabilities = [\"hr.feed\"]\n");
    let mut directory = include_str!("../../examples/directory.toml").replace("2026-11-02", day);
    directory = directory.replace(HR, "spiffe://northwind.example/service/another");
    directory.push_str(&format!(
        "\n[accounts.bench-hr]\nowner = \"omar\"\nidentities = [\"{HR}\"]\nroles = [\"bench-feed\"]\n"
    ));
    (policy, directory)
}

/// What ana has, to be given to everybody.
struct Template {
    person: Person,
    account: Account,
    granted: Elevation,
    decision: DecisionRecorded,
    grant: Grant,
    pending: Elevation,
}

impl Template {
    fn new(mut state: State, now: Timestamp) -> Self {
        let organisation = state.organisation();
        let person = organisation.people().get("ana").unwrap().clone();
        let account = organisation.accounts().get("ana").unwrap().clone();
        let mut run = |who: &str, command: Command| {
            let now = Now::new(now, now, state.last_at());
            let nonce = uuid::Uuid::new_v4().into_bytes();
            let envelope = Envelope { caller: identity(who), request_id: request_id(), now, nonce, command };
            let events = decide(&state, &envelope).unwrap();
            events.iter().for_each(|event| apply(&mut state, event));
            events
        };
        let requested = run("ana", asking(RESOURCE));
        let Fact::Elevation(ElevationFact::Requested(granted)) = requested[0].fact.clone() else {
            panic!("no request")
        };
        let digest = granted.review.digest();
        let approved =
            run("ben", Command::from(ApproveElevation { elevation: granted.id, digest, comment: String::new() }));
        let decision = approved.iter().find_map(|event| match &event.fact {
            Fact::Elevation(ElevationFact::ApprovalRecorded(decision)) => Some(decision.clone()),
            _ => None,
        });
        let grant = approved.iter().find_map(|event| match &event.fact {
            Fact::Grant(GrantFact::Issued(grant)) => Some((**grant).clone()),
            _ => None,
        });
        let waits = run("ana", asking("prod/eu1/db/orders/other"));
        let Fact::Elevation(ElevationFact::Requested(pending)) = waits[0].fact.clone() else { panic!("no request") };
        let (granted, pending) = (*granted, *pending);
        Self { person, account, granted, decision: decision.unwrap(), grant: grant.unwrap(), pending }
    }

    fn person(&self, n: usize, facts: &mut Vec<Fact>) {
        let id = name(n);
        let manager = if n < 10 { "ines".to_owned() } else { name(n / 10) };
        let person = Person { manager: Some(manager.parse().unwrap()), ..self.person.clone() };
        let kind = AccountKind::ServiceTeam { person: id.parse().unwrap() };
        let account = Account { kind, identities: [identity(&id)].into(), ..self.account.clone() };
        let granted = self.elevation(&self.granted, &id, 4 * n);
        let grant = Grant {
            id: uuid::Uuid::from_u128(4 * n as u128 + 2).into(),
            elevation: granted.id,
            holder: id.parse().unwrap(),
            person: id.parse().unwrap(),
            behind: [id.parse().unwrap()].into(),
            ..self.grant.clone()
        };
        let approved = ElevationApproved { elevation: granted.id, grant: grant.id };
        let decision = DecisionRecorded { elevation: granted.id, ..self.decision.clone() };
        facts.extend([
            Fact::Organisation(OrganisationFact::PersonRecorded(PersonRecorded { id: id.parse().unwrap(), person })),
            Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded { id: id.parse().unwrap(), account })),
            Fact::Elevation(ElevationFact::Requested(Box::new(granted))),
            Fact::Elevation(ElevationFact::ApprovalRecorded(decision)),
            Fact::Elevation(ElevationFact::Approved(approved)),
            Fact::Grant(GrantFact::Issued(Box::new(grant))),
            Fact::Elevation(ElevationFact::Requested(Box::new(self.elevation(&self.pending, &id, 4 * n + 1)))),
        ]);
    }

    fn elevation(&self, like: &Elevation, who: &str, number: usize) -> Elevation {
        Elevation {
            id: ElevationId::from(uuid::Uuid::from_u128(number as u128)),
            requester: who.parse().unwrap(),
            person: who.parse().unwrap(),
            behind: [who.parse().unwrap()].into(),
            ..like.clone()
        }
    }
}

fn asking(resource: &str) -> Command {
    Command::from(RequestElevation {
        entitlement: "orders-db-repair".parse().unwrap(),
        actions: ["db.read".parse().unwrap()].into(),
        resources: [resource.parse().unwrap()].into(),
        duration: Span::parse("30m").ok(),
        start: None,
        justification: "orders are stuck since noon".to_owned(),
        ticket: Some("INC-4711".to_owned()),
        on_behalf_of: None,
        extends: None,
        emergency: false,
    })
}
