//! A journal of so many people, each with a live grant and a pending elevation, as the rows that led there.

use std::path::Path;

use countersign::clock::{Clock as _, SystemClock};
use countersign::domain::decide::Files;
use countersign::domain::record::command::Command;
use countersign::domain::record::elevation::Elevation;
use countersign::domain::record::event::{DecisionRecorded, ElevationApproved, ElevationFact, Fact, GrantFact};
use countersign::domain::record::grant::Grant;
use countersign::domain::state::State;
use countersign::domain::value::ids::{ElevationId, Identity, RequestId};
use countersign::domain::value::time::Timestamp;

use crate::ask::Ask;
use crate::filled::{self, Likeness};

pub(crate) const HR: &str = "spiffe://northwind.example/service/hr-sync";
pub(crate) const RELEASER: &str = "spiffe://northwind.example/person/noa";
pub(crate) const ENFORCER: &str = "spiffe://northwind.example/service/orders-api";
pub(crate) const RESOURCE: &str = "prod/eu1/db/orders/main";

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
pub(crate) fn fill(path: &Path, people: usize) {
    let now = SystemClock.read().wall;
    let day = now.to_string().get(..10).unwrap().to_owned();
    let (policy, directory) = files(&day);
    filled::fill(path, Files { policy: &policy, directory: &directory }, |state| {
        let template = Template::new(state.clone(), now);
        (0..people).flat_map(move |n| template.person(n))
    });
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
    ana: Likeness,
    granted: Elevation,
    decision: DecisionRecorded,
    grant: Grant,
    pending: Elevation,
}

impl Template {
    fn new(mut state: State, now: Timestamp) -> Self {
        let ana = Likeness::of(&state, "ana");
        let granted = filled::asked(&mut state, now, identity("ana"), asking(RESOURCE));
        let (decision, grant) = filled::approved(&mut state, now, identity("ben"), &granted);
        let pending = filled::asked(&mut state, now, identity("ana"), asking("prod/eu1/db/orders/other"));
        Self { ana, granted, decision, grant, pending }
    }

    fn person(&self, n: usize) -> [Fact; 7] {
        let id = name(n);
        let manager = if n < 10 { "ines".to_owned() } else { name(n / 10) };
        let [person, account] = self.ana.recorded(&id, identity(&id), Some(&manager));
        let granted = elevation(&self.granted, &id, 4 * n);
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
        [
            person,
            account,
            Fact::Elevation(ElevationFact::Requested(Box::new(granted))),
            Fact::Elevation(ElevationFact::ApprovalRecorded(decision)),
            Fact::Elevation(ElevationFact::Approved(approved)),
            Fact::Grant(GrantFact::Issued(Box::new(grant))),
            Fact::Elevation(ElevationFact::Requested(Box::new(elevation(&self.pending, &id, 4 * n + 1)))),
        ]
    }
}

fn elevation(like: &Elevation, who: &str, number: usize) -> Elevation {
    Elevation {
        id: ElevationId::from(uuid::Uuid::from_u128(number as u128)),
        requester: who.parse().unwrap(),
        person: who.parse().unwrap(),
        behind: [who.parse().unwrap()].into(),
        ..like.clone()
    }
}

fn asking(resource: &str) -> Command {
    let ask = Ask::of("orders-db-repair", &["db.read"], &[resource]).lasting("30m").with(|request| {
        request.justification = "orders are stuck since noon".to_owned();
        request.ticket = Some("INC-4711".to_owned());
    });
    ask.command()
}
