//! For the tests of a service: a replica that follows no broker, but does what the test says. Its answers are those of the real
//! index, by the real rules.
//!
//! ```
//! use std::time::Duration;
//!
//! use countersign::sdk::testing::TestReplica;
//!
//! let test = TestReplica::for_service("orders-api", &["prod/*/db/orders/**"])?;
//! let replica = test.replica();
//! let ana = "spiffe://northwind.example/person/ana";
//! assert_eq!(replica.check(ana, "db.write", "prod/eu/db/orders/primary").reason(), "NO_GRANT");
//!
//! let grant = test.grant(ana, &["db.write"], &["prod/eu/db/orders/**"], Duration::from_secs(600))?;
//! assert!(replica.check(ana, "db.write", "prod/eu/db/orders/primary").is_allowed());
//!
//! test.advance(Duration::from_secs(600));
//! assert!(!replica.check(ana, "db.write", "prod/eu/db/orders/primary").is_allowed());
//! # Ok::<(), countersign::sdk::testing::Malformed>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use uuid::Uuid;

use super::Replica;
use super::age::Beat;
use super::shared::{Connection, Shared};
use super::status::{CheckCounters, FeedCounters};
use super::view::{Break, Trust, View};
use crate::check::{AccountEntry, Change, CheckIndex, GrantEntry, Patterns};
use crate::clock::{Clock as _, ManualClock};
use crate::domain::value::ids::{AccountId, Identity};
use crate::domain::value::scope::Scope;
use crate::domain::value::time::{Span, Timestamp};

/// From here on age counts, as it does by default.
const MAX_STALENESS: Span = Span::seconds(5);
/// What time it is at the broker when a test begins: 2026-01-01T00:00:00Z.
const BEGINS_MILLIS: i64 = 1_767_225_600_000;

/// Something that a test says is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// A grant of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TestGrant(Uuid);

/// A replica whose contents, clock and connection are the test's. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct TestReplica {
    replica: Replica,
    clock: ManualClock,
    scene: Arc<Mutex<Scene>>,
}

struct Scene {
    index: Arc<CheckIndex>,
    service: AccountId,
    /// Whom each name stands for.
    accounts: BTreeMap<Identity, AccountId>,
    holders: BTreeMap<TestGrant, AccountId>,
    /// How far the broker is, and how far the replica has heard of it.
    sequence: u64,
    heard: u64,
    unheard: Vec<Change>,
    is_silent: bool,
    /// When the broker was heard last.
    beat: Option<Beat>,
    trust: Trust,
}

impl fmt::Debug for TestReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestReplica").field(&self.replica).finish()
    }
}

impl TestReplica {
    /// The replica of a service that may check these resources. It holds no grant.
    ///
    /// # Errors
    /// If the name or a pattern is none.
    pub fn for_service(name: &str, audience: &[&str]) -> Result<Self, Malformed> {
        let clock = ManualClock::new(Timestamp::from_millis(BEGINS_MILLIS).unwrap_or(Timestamp::MIN));
        let service: AccountId = parsed(name)?;
        let index = Arc::new(CheckIndex::new());
        let account = AccountEntry {
            identities: BTreeSet::new(),
            audience: all(audience)?,
            checks_until: Timestamp::MAX,
            ..usable(service.clone())
        };
        index.apply(&[Change::Account(account)]);
        let shared = Arc::new(Shared {
            clock: Arc::new(clock.clone()),
            view: ArcSwap::from_pointee(View::unsynced()),
            changed: watch::Sender::new(0),
            max_staleness: MAX_STALENESS,
            run_on: Patterns::default(),
            checks: CheckCounters::default(),
            feed: FeedCounters::default(),
            connection: Mutex::new(Connection { endpoint: Some("a test".to_owned()), ..Connection::default() }),
        });
        let scene = Scene {
            index,
            service,
            accounts: BTreeMap::new(),
            holders: BTreeMap::new(),
            sequence: 1,
            heard: 0,
            unheard: Vec::new(),
            is_silent: false,
            beat: None,
            trust: Trust::Live,
        };
        let this = Self { replica: Replica { shared, session: None }, clock, scene: Arc::new(Mutex::new(scene)) };
        this.come_back();
        Ok(this)
    }

    /// The replica, as the service uses it.
    #[must_use]
    pub fn replica(&self) -> Replica {
        self.replica.clone()
    }

    /// Gives the person or machine of this SPIFFE ID the actions on the resources, for so long from now.
    ///
    /// # Errors
    /// If one of them is malformed.
    pub fn grant(
        &self,
        identity: &str,
        actions: &[&str],
        resources: &[&str],
        lasts: Duration,
    ) -> Result<TestGrant, Malformed> {
        let identity: Identity = parsed(identity)?;
        let scope = Scope::new(all(actions)?, all(resources)?);
        let scope = scope.ok_or_else(|| Malformed("a grant has at least one action and one resource".to_owned()))?;
        let end = self.clock.read().wall.plus(span(lasts));
        let grant = TestGrant(Uuid::new_v4());
        self.change(|scene| {
            let holder = scene.account(&identity);
            scene.holders.insert(grant, holder.clone());
            let entry = GrantEntry { id: grant.0.into(), holder, scope, end, started: true, locked: false };
            vec![Change::Grant(entry)]
        });
        Ok(grant)
    }

    /// Revokes a grant: what it let through is denied, and what is guarded by it is cut off. Once is enough.
    pub fn revoke(&self, grant: TestGrant) {
        self.change(|scene| {
            let holder = scene.holders.remove(&grant);
            holder.map(|holder| Change::GrantGone { holder, id: grant.0.into() }).into_iter().collect()
        });
    }

    /// Lets time pass, here and at the broker. Grants end, and what is held stays new, unless the broker is silent.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(span(by));
        self.change(|_| Vec::new());
    }

    /// The broker is not heard any more: from now on what is held grows old with [`TestReplica::advance`].
    pub fn go_silent(&self) {
        self.scene().is_silent = true;
    }

    /// Everything is denied as `STALE`, at once, until [`TestReplica::come_back`].
    pub fn go_stale(&self) {
        self.go_silent();
        self.advance(Duration::from_millis(u64::try_from(MAX_STALENESS.millis()).unwrap_or_default()));
    }

    /// What is heard cannot be believed: everything is denied, until [`TestReplica::come_back`].
    pub fn break_trust(&self) {
        self.scene().trust = Trust::Broken(Break::Digest);
        self.change(|_| Vec::new());
    }

    /// The broker is heard again, and what it has is in force.
    pub fn come_back(&self) {
        {
            let mut scene = self.scene();
            (scene.is_silent, scene.trust) = (false, Trust::Live);
        }
        self.change(|_| Vec::new());
    }

    /// Changes what the broker has; the replica has it at once, if it hears it.
    fn change(&self, change: impl FnOnce(&mut Scene) -> Vec<Change>) {
        let mut scene = self.scene();
        let changes = change(&mut scene);
        scene.sequence = scene.sequence.saturating_add(u64::from(!changes.is_empty()));
        scene.unheard.extend(changes);
        if !scene.is_silent {
            let reading = self.clock.read();
            scene.beat = Some(Beat { sent: reading.boot, time: reading.wall });
            scene.heard = scene.sequence;
            let unheard = std::mem::take(&mut scene.unheard);
            scene.index.apply(&unheard);
        }
        let view = View {
            trust: scene.trust,
            index: Arc::clone(&scene.index),
            caller: scene.index.caller(scene.service.as_str()),
            beat: scene.beat,
            sequence: scene.heard,
            is_unbroken: scene.trust == Trust::Live,
        };
        // Published before the next change, so that they are seen in order.
        self.replica.shared.publish(view);
    }

    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scene {
    /// Whom an identity stands for; who is new has an account from now on.
    fn account(&mut self, identity: &Identity) -> AccountId {
        if let Some(known) = self.accounts.get(identity) {
            return known.clone();
        }
        let number = self.accounts.len();
        let id: AccountId = format!("account-{number}").parse().unwrap_or_else(|_| self.service.clone());
        self.accounts.insert(identity.clone(), id.clone());
        let account = AccountEntry { identities: BTreeSet::from([identity.clone()]), ..usable(id.clone()) };
        self.unheard.push(Change::Account(account));
        id
    }
}

/// An account that can be used, and checks nothing.
fn usable(id: AccountId) -> AccountEntry {
    AccountEntry {
        id,
        identities: BTreeSet::new(),
        active: true,
        locked: false,
        baseline_until: Timestamp::MIN,
        audience: BTreeSet::new(),
        checks_until: Timestamp::MIN,
    }
}

fn parsed<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, Malformed> {
    text.parse().map_err(|error| Malformed(format!("`{text}`: {error}")))
}

fn all<T: FromStr<Err: fmt::Display> + Ord>(texts: &[&str]) -> Result<BTreeSet<T>, Malformed> {
    texts.iter().map(|text| parsed(text)).collect()
}

fn span(time: Duration) -> Span {
    i64::try_from(time.as_millis()).ok().and_then(|millis| Span::from_millis(millis).ok()).unwrap_or(Span::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: &str = "spiffe://northwind.example/person/ana";
    const ORDERS: &str = "prod/eu/db/orders/primary";

    fn test() -> (TestReplica, impl Fn() -> &'static str) {
        let test = TestReplica::for_service("orders-api", &["prod/*/db/orders/**"]).unwrap();
        let replica = test.replica();
        (test, move || replica.check(ANA, "db.write", ORDERS).reason())
    }

    fn granted(test: &TestReplica) -> TestGrant {
        test.grant(ANA, &["db.write"], &["prod/eu/db/orders/**"], Duration::from_secs(600)).unwrap()
    }

    #[test]
    fn what_a_test_grants_and_takes_away_is_what_the_service_is_answered() {
        let (test, answer) = test();
        assert_eq!(answer(), "NO_GRANT");
        let grant = granted(&test);
        assert_eq!(answer(), "GRANTED");
        // What is not granted, or not the service's to ask, is denied as in earnest.
        let replica = test.replica();
        assert_eq!(replica.check(ANA, "db.read", ORDERS).reason(), "NO_GRANT");
        assert_eq!(replica.check(ANA, "db.write", "prod/eu/db/bills/primary").reason(), "OUT_OF_AUDIENCE");
        test.revoke(grant);
        assert_eq!(answer(), "NO_GRANT");
        test.revoke(grant);
        assert_eq!((replica.status().allowed, replica.status().denied), (1, 4));
    }

    #[test]
    fn grants_end_by_the_tests_clock() {
        let (test, answer) = test();
        granted(&test);
        test.advance(Duration::from_millis(599_999));
        assert_eq!(answer(), "GRANTED");
        test.advance(Duration::from_millis(1));
        assert_eq!(answer(), "NO_GRANT");
    }

    #[test]
    fn a_silent_broker_ages_a_broken_one_is_not_believed_and_both_come_back() {
        let (test, answer) = test();
        granted(&test);
        test.go_silent();
        test.advance(Duration::from_millis(4_999));
        assert_eq!(answer(), "GRANTED");
        // What is granted meanwhile is not heard.
        let ben = "spiffe://northwind.example/person/ben";
        test.grant(ben, &["db.write"], &["prod/eu/db/orders/**"], Duration::from_secs(600)).unwrap();
        assert!(!test.replica().check(ben, "db.write", ORDERS).is_allowed());
        test.advance(Duration::from_millis(1));
        assert_eq!(answer(), "STALE");
        test.come_back();
        assert_eq!(answer(), "GRANTED");
        assert!(test.replica().check(ben, "db.write", ORDERS).is_allowed());
        test.go_stale();
        assert_eq!(answer(), "STALE");
        test.come_back();
        test.break_trust();
        assert_eq!((answer(), test.replica().status().trust), ("STALE", Trust::Broken(Break::Digest)));
        test.come_back();
        assert_eq!(answer(), "GRANTED");
    }

    #[tokio::test]
    async fn what_is_guarded_is_cut_off_when_a_test_revokes() {
        let (test, _) = test();
        let (grant, replica) = (granted(&test), test.replica());
        let guarded =
            tokio::spawn(async move { replica.guard(ANA, "db.write", ORDERS, std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        test.revoke(grant);
        assert_eq!(guarded.await.unwrap().unwrap_err().reason(), "NO_GRANT");
    }

    #[test]
    fn work_of_many_steps_takes_none_after_a_revocation() {
        let (test, _) = test();
        let replica = test.replica();
        assert!(!replica.steps(ANA, "db.write", ORDERS).unwrap_err().began());
        let grant = granted(&test);
        let mut steps = replica.steps(ANA, "db.write", ORDERS).unwrap();
        assert_eq!((steps.next(), steps.next()), (Ok(()), Ok(())));
        test.revoke(grant);
        let cut = steps.next().unwrap_err();
        assert_eq!((cut.reason(), cut.began()), ("NO_GRANT", true));
    }

    #[test]
    fn what_is_malformed_is_told() {
        let (test, _) = test();
        let told = test.grant("ana", &["db.write"], &["prod/**"], Duration::from_secs(1)).unwrap_err().to_string();
        assert!(told.starts_with("`ana`: "), "{told}");
        assert!(TestReplica::for_service("Orders API", &[]).is_err());
    }
}
