//! A journal with so many live grants, as the rows that led there; the enforcement points that check them, each within
//! its own audience and one within all; and their certificates.

use std::path::Path;
use std::sync::Arc;

use countersign::clock::{Clock as _, SystemClock};
use countersign::domain::decide::{Files, decide};
use countersign::domain::directory::{Account, AccountKind, Person};
use countersign::domain::record::command::{ApproveElevation, Command, Envelope, RequestElevation};
use countersign::domain::record::event::{
    AccountRecorded, Actor, ElevationFact, Event, Fact, GrantFact, OrganisationFact, PersonRecorded,
};
use countersign::domain::record::grant::Grant;
use countersign::domain::record::row::encode;
use countersign::domain::state::State;
use countersign::domain::state::apply::apply;
use countersign::domain::value::ids::{Identity, RequestId};
use countersign::domain::value::scope::Scope;
use countersign::domain::value::time::{Now, Span, Timestamp};
use countersign::engine::{Replay, Store, initialise};
use countersign::journal::{Journal as _, Options, Row, SqliteJournal};

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::certificates::{Authority, Leaf, client, write};

/// Who may revoke.
pub const REVOKER: &str = "sam";
/// Checks everything.
pub const WIDE: &str = "everything";
const ROWS_AT_ONCE: usize = 8_192;

/// How large it all is.
#[derive(Clone, Copy)]
pub struct Size {
    pub grants: u64,
    pub services: u64,
    /// Of one holder.
    pub grants_each: u64,
}

const POLICY: &str = r#"
[limits]
pending_per_person = 5
live_grants_per_person = 1000
[roles.engineer]
owner = "omar"
[roles.commander]
owner = "omar"
[roles.security]
owner = "omar"
capabilities = ["grant.revoke"]
[roles.admin]
owner = "omar"
capabilities = ["policy.propose", "directory.propose"]
[roles.enforcement-point]
for = "machines"
owner = "omar"
capabilities = ["access.check"]
[entitlements.repair]
title = "Repair a database"
actions = ["db.read", "db.write"]
resources = ["prod/**"]
requestable_by = ["engineer"]
max_duration = "24h"
justification = { min_length = 10 }
approval = [{ by = ["commander"], count = 1 }]
"#;

pub fn person(number: u64) -> String {
    format!("p{number:06}")
}

pub fn service(number: u64) -> String {
    format!("s{number:04}")
}

pub fn identity_of(kind: &str, name: &str) -> Identity {
    format!("spiffe://northwind.example/{kind}/{name}").parse().unwrap()
}

/// The service whose resource a grant is about.
pub fn service_of(grant: u64, size: Size) -> String {
    service(grant % size.services)
}

/// A resource that the grant covers.
pub fn resource_of(grant: u64, size: Size) -> String {
    format!("prod/{}/orders-{grant:07}/primary", service_of(grant, size))
}

pub fn holder_of(grant: u64, size: Size) -> String {
    person(grant / size.grants_each)
}

/// Its id, as the API writes it.
pub fn id_of(grant: u64) -> String {
    uuid::Uuid::from_u128(u128::from(grant) + 1).to_string()
}

fn directory(size: Size) -> String {
    let mut text = String::new();
    for (name, role) in
        [("omar", "admin"), ("ines", "admin"), ("ana", "engineer"), ("ben", "commander"), (REVOKER, "security")]
    {
        let identity = identity_of("person", name);
        text.push_str(&format!(
            "[people.{name}]\n[accounts.{name}]\nperson = \"{name}\"\nidentities = [\"{identity}\"]\nroles = [\"{role}\"]\n"
        ));
    }
    let services = (0..size.services).map(|n| (service(n), format!("prod/{}/**", service(n))));
    for (name, audience) in services.chain([(WIDE.to_owned(), "prod/**".to_owned())]) {
        let identity = identity_of("service", &name);
        text.push_str(&format!(
            "[accounts.{name}]\nowner = \"omar\"\nidentities = [\"{identity}\"]\naudience = [\"{audience}\"]\nroles = [\"enforcement-point\"]\n"
        ));
    }
    text
}

/// Writes an authority, the broker's certificate and one for each client.
pub fn write_certificates(folder: &Path, size: Size) {
    let authority = Authority::new("northwind");
    write(folder, "authority.pem", &authority.pem());
    let keep = |name: &str, leaf: &Leaf| {
        write(folder, &format!("{name}.pem"), &leaf.chain_pem);
        write(folder, &format!("{name}.key"), &leaf.key_pem);
    };
    keep("broker", &authority.issue_server(identity_of("service", "countersign").as_str()));
    keep(REVOKER, &authority.issue(&client(identity_of("person", REVOKER).as_str())));
    for name in (0..size.services).map(service).chain([WIDE.to_owned()]) {
        keep(&name, &authority.issue(&client(identity_of("service", &name).as_str())));
    }
}

/// Makes the journal; each grant ends when `end` says.
pub fn fill(path: &Path, size: Size, end: impl Fn(u64) -> Timestamp) {
    let store = Store::File(path.to_owned());
    let directory = directory(size);
    initialise(&store, Files { policy: POLICY, directory: &directory }, Arc::new(SystemClock)).unwrap();
    let mut replay = Replay::new(16);
    let opened = SqliteJournal::open(path, Options::default(), &mut |row| replay.accept(row).map_err(Into::into));
    let (mut journal, _) = opened.unwrap();
    let (state, _) = replay.finish();
    let template = Template::new(state.clone(), SystemClock.read().wall);
    let people = (0..size.grants / size.grants_each).flat_map(|number| template.person(number));
    let grants = (0..size.grants).map(|number| template.grant(number, size, end(number)));
    let at = state.last_at();
    let mut events = (state.sequence() + 1..)
        .zip(people.chain(grants))
        .map(|(sequence, fact)| Event { sequence, at, actor: Actor::Operator, request: None, fact })
        .peekable();
    while events.peek().is_some() {
        let batch: Vec<Event> = events.by_ref().take(ROWS_AT_ONCE).collect();
        let last = batch.last().unwrap().sequence;
        let row =
            |event: &Event| Row { sequence: event.sequence, body: encode(event, event.sequence == last).unwrap() };
        let rows: Vec<Row> = batch.iter().map(row).collect();
        let head = journal.head();
        journal.append(head, &rows).unwrap();
        journal.maintain();
    }
}

/// What ana has, to be given to everybody.
struct Template {
    person: Person,
    account: Account,
    grant: Grant,
}

impl Template {
    fn new(mut state: State, now: Timestamp) -> Self {
        let organisation = state.organisation();
        let person = organisation.people().get("ana").unwrap().clone();
        let account = organisation.accounts().get("ana").unwrap().clone();
        let mut run = |who: &str, command: Command| {
            let now = Now::new(now, now, state.last_at());
            let nonce = uuid::Uuid::new_v4().into_bytes();
            let request_id: RequestId = uuid::Uuid::new_v4().into();
            let caller = identity_of("person", who);
            let events = decide(&state, &Envelope { caller, request_id, now, nonce, command }).unwrap();
            events.iter().for_each(|event| apply(&mut state, event));
            events
        };
        let requested = run("ana", asking());
        let Fact::Elevation(ElevationFact::Requested(asked)) = requested[0].fact.clone() else { panic!("no request") };
        let digest = asked.review.digest();
        let approved =
            run("ben", Command::from(ApproveElevation { elevation: asked.id, digest, comment: String::new() }));
        let grant = approved.iter().find_map(|event| match &event.fact {
            Fact::Grant(GrantFact::Issued(grant)) => Some((**grant).clone()),
            _ => None,
        });
        Self { person, account, grant: grant.unwrap() }
    }

    fn person(&self, number: u64) -> [Fact; 2] {
        let id = person(number);
        let kind = AccountKind::ServiceTeam { person: id.parse().unwrap() };
        let account = Account { kind, identities: [identity_of("person", &id)].into(), ..self.account.clone() };
        [
            Fact::Organisation(OrganisationFact::PersonRecorded(PersonRecorded {
                id: id.parse().unwrap(),
                person: self.person.clone(),
            })),
            Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded { id: id.parse().unwrap(), account })),
        ]
    }

    fn grant(&self, number: u64, size: Size, end: Timestamp) -> Fact {
        let holder = holder_of(number, size);
        let resource = resource_of(number, size).replace("primary", "**").parse().unwrap();
        let id = uuid::Uuid::from_u128(u128::from(number) + 1);
        Fact::Grant(GrantFact::Issued(Box::new(Grant {
            id: id.into(),
            elevation: id.into(),
            holder: holder.parse().unwrap(),
            person: holder.parse().unwrap(),
            behind: [holder.parse().unwrap()].into(),
            scope: Scope::new(self.grant.scope.actions().clone(), [resource].into()).unwrap(),
            end,
            ..self.grant.clone()
        })))
    }
}

fn asking() -> Command {
    Command::from(RequestElevation {
        entitlement: "repair".parse().unwrap(),
        actions: ["db.read".parse().unwrap(), "db.write".parse().unwrap()].into(),
        resources: ["prod/s0000/**".parse().unwrap()].into(),
        duration: Span::parse("12h").ok(),
        start: None,
        justification: "orders are stuck since noon".to_owned(),
        ticket: None,
        on_behalf_of: None,
        extends: None,
        emergency: false,
    })
}

/// A connection of its own, as this client.
pub async fn channel(folder: &Path, name: &str, address: &str) -> Channel {
    let read = |name: String| std::fs::read(folder.join(name)).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("authority.pem".to_owned())))
        .domain_name("localhost")
        .identity(tonic::transport::Identity::from_pem(read(format!("{name}.pem")), read(format!("{name}.key"))));
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    endpoint.tcp_nodelay(true).connect().await.unwrap()
}
