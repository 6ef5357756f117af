//! A replica without a broker, whose clock and knowledge a test sets.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use uuid::Uuid;

use super::Replica;
use super::age::Beat;
use super::session::Task;
use super::shared::{Connection, Shared};
use super::status::{CheckCounters, FeedCounters};
use super::view::{Trust, View};
use crate::check::{AccountEntry, Change, CheckIndex, GrantEntry, Patterns};
use crate::clock::{Clock, ManualClock};
use crate::domain::value::scope::Scope;
use crate::domain::value::time::{Span, Timestamp};

/// The subject of all tests.
pub(crate) const ANA: &str = "spiffe://northwind.example/person/ana";

/// The broker's time at the newest answer. The wall clock here is a year off.
pub(crate) const BROKER_TIME_MILLIS: i64 = 1_700_000_000_000;

pub(crate) struct Held {
    pub(crate) clock: ManualClock,
    pub(crate) replica: Replica,
    index: Arc<CheckIndex>,
}

impl Held {
    /// Knows nobody but the service and ana, who holds nothing but the baseline of `status/**`. Needs a runtime.
    pub(crate) fn new(run_on: &[&str]) -> Self {
        let a_year_off = Timestamp::from_millis(BROKER_TIME_MILLIS).unwrap().plus(Span::seconds(31_536_000));
        let clock = ManualClock::new(a_year_off);
        let mut patterns = Patterns::default();
        run_on.iter().for_each(|pattern| patterns.add(&pattern.parse().unwrap()));
        let shared = Arc::new(Shared {
            clock: Arc::new(clock.clone()),
            view: ArcSwap::from_pointee(View::unsynced()),
            changed: watch::Sender::new(0),
            max_staleness: Span::seconds(5),
            run_on: patterns,
            checks: CheckCounters::default(),
            feed: FeedCounters::default(),
            connection: Mutex::new(Connection::default()),
        });
        let task = Arc::new(Task(tokio::spawn(std::future::pending())));
        let index = Arc::new(CheckIndex::new());
        index.apply(&[account("orders-api", &["prod/**", "status/**"]), account("ana", &[])]);
        index.apply(&[Change::Baseline(vec![scope("metadata.read", "status/**")])]);
        let held = Self { clock, replica: Replica { shared, session: Some(task) }, index };
        held.hear(1);
        held
    }

    /// A ping sent now is answered at once.
    pub(crate) fn hear(&self, sequence: u64) {
        let since = self.clock.boot().since(crate::clock::BootMillis::new(1_000));
        let time = Timestamp::from_millis(BROKER_TIME_MILLIS).unwrap().plus(since);
        self.publish(Beat { sent: self.clock.boot(), time }, sequence);
    }

    /// A change comes into force.
    pub(crate) fn change(&self, changes: &[Change]) {
        self.index.apply(changes);
        let (beat, sequence) = {
            let view = self.replica.shared.view.load();
            (view.beat.unwrap(), view.sequence)
        };
        self.publish(beat, sequence + 1);
    }

    pub(crate) fn break_trust(&self) {
        let view = View::broken(super::Break::Gap, &self.replica.shared.view.load());
        self.replica.shared.publish(view);
    }

    pub(crate) fn miss_changes(&self) {
        let view = View::after_a_gap(&self.replica.shared.view.load());
        self.replica.shared.publish(view);
    }

    fn publish(&self, beat: Beat, sequence: u64) {
        let caller = self.index.caller("orders-api");
        let index = Arc::clone(&self.index);
        let view = View { trust: Trust::Live, index, caller, beat: Some(beat), sequence, is_unbroken: true };
        self.replica.shared.publish(view);
    }

    pub(crate) fn reason(&self, action: &str, resource: &str) -> &'static str {
        self.replica.check(ANA, action, resource).reason()
    }
}

fn account(id: &str, audience: &[&str]) -> Change {
    Change::Account(AccountEntry {
        id: id.parse().unwrap(),
        identities: [format!("spiffe://northwind.example/person/{id}").parse().unwrap()].into(),
        active: true,
        locked: false,
        baseline_until: Timestamp::MAX,
        audience: audience.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        checks_until: if audience.is_empty() { Timestamp::MIN } else { Timestamp::MAX },
    })
}

fn scope(action: &str, pattern: &str) -> Scope {
    Scope::new([action.parse().unwrap()].into(), [pattern.parse().unwrap()].into()).unwrap()
}

/// `db.read` on `prod/db/**`, from the newest answer on for so long.
pub(crate) fn grant(number: u128, seconds: u32) -> Change {
    Change::Grant(GrantEntry {
        id: Uuid::from_u128(number).into(),
        holder: "ana".parse().unwrap(),
        scope: scope("db.read", "prod/db/**"),
        end: Timestamp::from_millis(BROKER_TIME_MILLIS).unwrap().plus(Span::seconds(seconds)),
        started: true,
        locked: false,
    })
}

pub(crate) fn revoked(number: u128) -> Change {
    Change::GrantGone { holder: "ana".parse().unwrap(), id: Uuid::from_u128(number).into() }
}
