//! A journal that began some time ago, written by the same engine on the same store under a clock that is set: what takes
//! hours or months to come about is there when the real binary, with the real clocks, goes on with it.

use std::sync::Arc;

use countersign::clock::ManualClock;
use countersign::domain::decide::Files;
use countersign::domain::record::command::{ApproveElevation, Command, RequestElevation};
use countersign::domain::record::event::Subject;
use countersign::domain::state::State;
use countersign::domain::value::ids::ElevationId;
use countersign::domain::value::time::{Span, Timestamp};
use countersign::engine::{Done, Engine, Settings, Store, initialise};

use crate::organisation::{Organisation, identity};
use crate::person::ORDERS;

pub struct Earlier {
    engine: Engine,
    clock: ManualClock,
}

pub fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

impl Earlier {
    /// Fills the organisation's journal, at an instant of the past.
    pub fn begun(organisation: &Organisation, at: i64) -> Self {
        let clock = ManualClock::new(instant(at));
        let text = |name: &str| std::fs::read_to_string(organisation.path(name)).unwrap();
        let (policy, directory) = (text("policy.toml"), text("directory.toml"));
        let store = Store::File(organisation.journal());
        let files = Files { policy: &policy, directory: &directory };
        initialise(&store, files, Arc::new(clock.clone())).unwrap();
        let engine = Engine::start(&store, Arc::new(clock.clone()), Settings::default()).unwrap();
        Self { engine, clock }
    }

    /// Time goes on to an instant.
    pub fn pass_to(&self, at: i64) {
        self.clock.advance(instant(at).since(self.engine.now().latest));
    }

    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        self.engine.read(read)
    }

    pub async fn run(&self, who: &str, command: Command) -> Done {
        let call = uuid::Uuid::new_v4().into();
        let caller = crate::calls::calling(identity(who).parse().unwrap());
        self.engine.execute(&caller, call, command).await.unwrap()
    }

    /// Asked for: an hour, from now on or from an instant.
    pub async fn asked(&self, who: &str, start: Option<i64>) -> ElevationId {
        let entitlement = if start.is_some() { "orders-db-maintenance" } else { "orders-db-repair" };
        let request = RequestElevation {
            entitlement: entitlement.parse().unwrap(),
            actions: ["db.read".parse().unwrap()].into(),
            resources: [ORDERS.parse().unwrap()].into(),
            duration: Some(Span::seconds(3_600)),
            start: start.map(instant),
            justification: "orders have been stuck since noon".to_owned(),
            ticket: start.is_none().then(|| "INC-4711".to_owned()),
            on_behalf_of: None,
            extends: None,
            emergency: false,
        };
        match self.run(who, Command::from(request)).await.about {
            Some(Subject::Elevation(id)) => id,
            other => panic!("about {other:?}"),
        }
    }

    /// The same, approved by ben: the grant's id.
    pub async fn granted(&self, who: &str, start: Option<i64>) -> String {
        let elevation = self.asked(who, start).await;
        let digest = self.read(|state| state.elevations().get(&elevation).unwrap().review.digest());
        self.run("ben", Command::from(ApproveElevation { elevation, digest, comment: String::new() })).await;
        self.read(|state| state.grants().values().find(|grant| grant.elevation == elevation).unwrap().id.to_string())
    }

    /// Lets go of the journal.
    pub fn stop(self) {
        self.engine.shutdown();
    }
}
