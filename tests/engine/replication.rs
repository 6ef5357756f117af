//! The feeds of replicas: at a sequence a copy equals the broker's state restricted to its audience, through any history,
//! fault and restart (invariant 12, known failures F4 and F5); and what a feed never tells.

use std::collections::{BTreeMap, BTreeSet};

use countersign::check::{AccountEntry, Change, CheckIndex, GrantEntry, Query, SetDigest, read_changes};
use countersign::domain::record::command::{Command, CreateLock, DeleteLock};
use countersign::domain::record::grant::GrantPhase;
use countersign::domain::record::lock::{LockMode, Locked};
use countersign::domain::state::State;
use countersign::domain::value::ids::{AccountId, GrantId};
use countersign::domain::value::refusal::{Reason, Refusal};
use countersign::domain::value::scope::{Pattern, Scope};
use countersign::domain::value::time::{Span, Timestamp};
use countersign::engine::replication::{Place, Reached, Replica, Sent, Standing, Subscription};
use countersign::engine::{Engine, Settings};
use proptest::prelude::*;
use uuid::Uuid;

use super::common::*;
use super::model::{Step, step, take};

/// What a replica holds, kept as plainly as can be.
struct Copy {
    accounts: BTreeMap<AccountId, AccountEntry>,
    grants: BTreeMap<GrantId, GrantEntry>,
    baseline: Option<Vec<Scope>>,
    locked: Option<BTreeSet<Pattern>>,
    index: CheckIndex,
    place: Option<Place>,
    snapshots: usize,
    id: Uuid,
}

impl Default for Copy {
    fn default() -> Self {
        let (accounts, grants, index) = (BTreeMap::new(), BTreeMap::new(), CheckIndex::new());
        Self { accounts, grants, baseline: None, locked: None, index, place: None, snapshots: 0, id: Uuid::new_v4() }
    }
}

impl Copy {
    /// Begins where it left off.
    async fn follow(&mut self, engine: &Engine) -> Subscription {
        let at_least = self.place.as_ref().map_or(0, |place| place.sequence);
        let who = Replica { id: self.id, max_staleness: Some(Span::seconds(5)) };
        within(engine.replicate(&orders_api(), who, at_least, self.place.clone())).await.unwrap()
    }

    /// Takes in all that there is.
    fn catch_up(&mut self, subscription: &mut Subscription) -> Result<Standing, Refusal> {
        loop {
            let entries = match subscription.take_next()? {
                Some(Sent::Start(start)) => {
                    if start.snapshot {
                        *self = Self { snapshots: self.snapshots + 1, id: self.id, ..Self::default() };
                    }
                    let (count, digest) = (0, SetDigest::default());
                    let (feed_id, number, sequence) = (start.feed_id, start.number, start.sequence);
                    self.place = Some(Place { feed_id, number, sequence, count, digest });
                    continue;
                }
                Some(Sent::Piece(entries)) => entries,
                Some(Sent::SnapshotEnd { count, digest }) => {
                    assert_eq!(self.count_and_digest(), (count, digest));
                    continue;
                }
                Some(Sent::Change(frame)) => {
                    let place = self.place.as_mut().unwrap();
                    assert_eq!(frame.number, place.number + 1, "a gap");
                    assert!(frame.sequence >= place.sequence, "backwards");
                    (place.number, place.sequence) = (frame.number, frame.sequence);
                    frame.entries
                }
                None => match subscription.standing()? {
                    Some(standing) => return Ok(self.stands(standing)),
                    None => continue,
                },
            };
            read_changes(&entries).for_each(|change| self.apply(&change.unwrap()));
        }
    }

    /// And says so.
    fn apply_all(&mut self, subscription: &mut Subscription) {
        let number = self.catch_up(subscription).unwrap().number;
        subscription.applied(number);
    }

    fn stands(&mut self, standing: Standing) -> Standing {
        assert_eq!(self.count_and_digest(), (standing.count, standing.digest), "another set than the broker says");
        let place = self.place.as_mut().unwrap();
        assert_eq!(place.number, standing.number);
        *place = Place {
            feed_id: place.feed_id.clone(),
            number: standing.number,
            sequence: standing.sequence,
            count: standing.count,
            digest: standing.digest,
        };
        standing
    }

    fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Account(entry) => drop(self.accounts.insert(entry.id.clone(), entry)),
            Change::AccountGone(id) => drop(self.accounts.remove(&id)),
            Change::Grant(entry) => drop(self.grants.insert(entry.id, entry)),
            Change::GrantGone { id, .. } => drop(self.grants.remove(&id)),
            Change::Baseline(scopes) => self.baseline = Some(scopes),
            Change::Locked(patterns) => self.locked = Some(patterns),
        }
        self.index.apply(std::slice::from_ref(change));
    }

    fn count_and_digest(&self) -> (u64, SetDigest) {
        let accounts = self.accounts.values().cloned().map(Change::Account);
        let grants = self.grants.values().cloned().map(Change::Grant);
        let baseline = self.baseline.clone().map(Change::Baseline);
        let locked = self.locked.clone().map(Change::Locked);
        let all: Vec<Change> = accounts.chain(grants).chain(baseline).chain(locked).collect();
        let digest = all.iter().fold(SetDigest::default(), |sum, entry| sum.with(&entry.digest()));
        (all.len() as u64, digest)
    }

    /// That it is the broker's state, restricted.
    fn equals(&self, engine: &Engine, state: &State, now: Timestamp) {
        let own = orders_api();
        let audience = state.organisation().accounts().get(&own).unwrap().audience.clone();
        let mut open = BTreeMap::new();
        for grant in state.grants().values() {
            let is_started = match grant.phase {
                GrantPhase::Active => true,
                GrantPhase::Scheduled => false,
                _ => continue,
            };
            let resources: BTreeSet<_> = grant
                .scope
                .resources()
                .iter()
                .flat_map(|ours| audience.iter().filter_map(|theirs| ours.meet(theirs)))
                .collect();
            if let Some(scope) = Scope::new(grant.scope.actions().clone(), resources) {
                let (id, holder, end) = (grant.id, grant.holder.clone(), grant.end);
                open.insert(id, GrantEntry { id, holder, scope, end, started: is_started, locked: false });
            }
        }
        assert_eq!(self.grants, open);
        assert_eq!(self.baseline.as_ref(), Some(&state.organisation().policy().baseline.allows));
        assert_eq!(self.locked, Some(state.organisation().locks().resources()));
        let accounts = state.organisation().accounts();
        assert_eq!(self.accounts.keys().collect::<Vec<_>>(), accounts.keys().collect::<Vec<_>>());
        for (id, entry) in &self.accounts {
            assert_eq!(entry.identities, accounts.get(id).unwrap().identities);
            assert_eq!(entry.active, engine.checks().caller(id.as_str()).is_some(), "{id}");
            // What others may check is told to nobody.
            assert!(*id == own || (entry.audience.is_empty() && entry.checks_until == Timestamp::MIN), "{id}");
        }
        self.answers_alike(engine, now);
    }

    fn answers_alike(&self, engine: &Engine, now: Timestamp) {
        let own = orders_api();
        let (theirs, ours) = (engine.checks().caller(own.as_str()).unwrap(), self.index.caller(own.as_str()).unwrap());
        for subject in self.accounts.keys() {
            for action in ["db.read", "db.write", "metadata.read"] {
                for resource in
                    ["prod/eu1/db/orders/main", "prod/us2/db/orders/main", "prod/eu1/db/payments/main", "status/x"]
                {
                    let query = Query { subject: subject.as_str(), action, resource };
                    assert_eq!(
                        self.index.check(&ours, query, now),
                        engine.checks().check(&theirs, query, now),
                        "{query:?}"
                    );
                }
            }
        }
    }
}

fn orders_api() -> AccountId {
    "orders-api".parse().unwrap()
}

/// Compares between two readings of one sequence, so that the timer's work meanwhile is no difference.
async fn compare(broker: &Broker, copy: &mut Copy, subscription: &mut Subscription) {
    loop {
        let (state, now) = (broker.state(), broker.engine.latest());
        let caught_up = copy.catch_up(subscription);
        if let Err(refusal) = &caught_up {
            assert_eq!(refusal.reason, Reason::Resync);
            *subscription = copy.follow(&broker.engine).await;
            continue;
        }
        let _ = broker.engine.ask(|_, _| ()).await;
        if caught_up.unwrap().sequence == state.sequence() && broker.state().sequence() == state.sequence() {
            return copy.equals(&broker.engine, &state, now);
        }
    }
}

async fn history(steps: Vec<Step>, timer: bool) {
    let settings = Settings { timer, keep_closed: minutes(20), ..Settings::default() };
    let mut broker = Broker::with(settings, 2);
    let mut copy = Copy::default();
    let mut subscription = copy.follow(&broker.engine).await;
    for step in &steps {
        let restarts = matches!(step, Step::Restart | Step::Torn { .. });
        if restarts {
            drop(subscription);
            broker = take(broker, step).await;
            subscription = copy.follow(&broker.engine).await;
        } else {
            broker = take(broker, step).await;
        }
        compare(&broker, &mut copy, &mut subscription).await;
    }
    // and one that begins now has the same
    let mut fresh = Copy::default();
    let mut begun = fresh.follow(&broker.engine).await;
    compare(&broker, &mut fresh, &mut begun).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariant_12_a_copy_at_a_sequence_is_the_brokers_state_restricted_to_its_audience(
        steps in prop::collection::vec(step(), 1..30), timer in any::<bool>()
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(history(steps, timer));
    }
}

#[tokio::test]
async fn a_lock_on_what_a_live_grant_rests_on_is_told_without_a_snapshot() {
    // given a replica that holds a grant
    let broker = Broker::new();
    let grant = broker.grant("ana", "ben").await;
    let mut copy = Copy::default();
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    for on in [
        Locked::Account("ana".parse().unwrap()),
        Locked::Person("ana".parse().unwrap()),
        Locked::Role("db-engineer".parse().unwrap()),
        Locked::Entitlement("orders-db-repair".parse().unwrap()),
    ] {
        // when that is locked, then what is held is in count and digest what the broker says it is
        let (mode, reason) = (LockMode::Suspend, "lost".to_owned());
        broker.run("sam", Command::from(CreateLock { on: on.clone(), mode, reason, until: None })).await.unwrap();
        copy.catch_up(&mut subscription).unwrap();
        assert!(copy.grants[&grant].locked, "{on:?}");
        // and so it is once the lock is lifted
        let lock = broker.state().organisation().locks().on(&on).unwrap().id;
        broker.run("sam", Command::from(DeleteLock { lock, reason: "found".to_owned() })).await.unwrap();
        copy.catch_up(&mut subscription).unwrap();
        assert!(!copy.grants[&grant].locked, "{on:?}");
    }
    assert_eq!(copy.snapshots, 1);
}

#[tokio::test]
async fn a_replica_goes_on_in_its_feed_without_a_snapshot() {
    let broker = Broker::new();
    let mut copy = Copy::default();
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    // given one that was away while a grant was given
    drop(subscription);
    let grant = broker.grant("ana", "ben").await;
    // when it comes back
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    // then it has that, and no second snapshot
    assert!(copy.grants.contains_key(&grant));
    assert_eq!(copy.snapshots, 1);
}

#[tokio::test]
async fn replicas_that_begin_together_share_a_feed_that_goes_on() {
    for _ in 0..8 {
        let broker = Broker::with(Settings::default(), 50);
        broker.grant("ana", "ben").await;
        // given several of one service that meet a broker that has just started
        let (mut first, mut second, mut third) = (Copy::default(), Copy::default(), Copy::default());
        let engine = &broker.engine;
        let (mut one, mut two, mut three) =
            tokio::join!(first.follow(engine), second.follow(engine), third.follow(engine));
        // when something changes, then it reaches each of them in the feed that it has
        let grant = broker.grant("e0", "ben").await;
        for (copy, subscription) in [(&mut first, &mut one), (&mut second, &mut two), (&mut third, &mut three)] {
            copy.catch_up(subscription).unwrap();
            assert!(copy.grants.contains_key(&grant));
        }
    }
}

#[tokio::test]
async fn no_part_of_a_batch_names_the_sequence_of_all_of_it() {
    let broker = Broker::with(Settings::default(), 1);
    let grant = broker.grant("e0", "ben").await;
    let mut copy = Copy::default();
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    // when one proposal changes an account, which all are told, and ends its grant
    let text = directory("2026-06-01", 1).replace(
        "identities = [\"spiffe://northwind.example/person/e0\"]\nroles = [\"db-engineer\"]",
        "identities = [\"spiffe://northwind.example/person/x0\"]",
    );
    let done = broker.load_directory(text).await.unwrap();
    // then whoever has the sequence of the answer no longer has the grant
    let mut frames = Vec::new();
    while let Some(sent) = subscription.take_next().unwrap() {
        let Sent::Change(frame) = sent else { panic!("{sent:?}") };
        read_changes(&frame.entries).for_each(|change| copy.apply(&change.unwrap()));
        frames.push((frame.sequence >= done.sequence, copy.grants.contains_key(&grant)));
    }
    assert_eq!(frames.first(), Some(&(false, true)), "an account first, and the grant is still there");
    assert_eq!(frames.iter().find(|(reached, _)| *reached), Some(&(true, false)));
}

#[tokio::test]
async fn a_restarted_broker_needs_no_snapshot_for_what_did_not_change() {
    let broker = Broker::new();
    broker.grant("ana", "ben").await;
    let mut copy = Copy::default();
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    drop(subscription);
    let broker = broker.restart();
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    assert_eq!((copy.snapshots, copy.grants.len()), (1, 1));
    // but where anything is another, it begins anew
    copy.place.as_mut().unwrap().digest = SetDigest::default();
    copy.place.as_mut().unwrap().feed_id = "another".to_owned();
    drop(subscription);
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    assert_eq!(copy.snapshots, 2);
    // and so does one that is ahead of this journal
    copy.place.as_mut().unwrap().sequence += 1_000_000;
    drop(subscription);
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    assert_eq!(copy.snapshots, 3);
}

#[tokio::test]
async fn whoever_is_too_slow_is_told_to_begin_anew_and_costs_nothing() {
    let broker = Broker::with(Settings { replica_bytes: 8_192, ..Settings::default() }, 20);
    let mut copy = Copy::default();
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    // given one that reads nothing while more changes than the ring keeps: engineers whose identities come and go
    let named = directory("2026-06-01", 20);
    let renamed = named.replace("[\"spiffe://northwind.example/person/e", "[\"spiffe://northwind.example/person/x");
    for round in 0..13 {
        let text = if round % 2 == 0 { renamed.clone() } else { named.clone() };
        broker.load_directory(text).await.unwrap();
    }
    // then it is told, not given less
    assert_eq!(reason(copy.catch_up(&mut subscription)), Reason::Resync);
    let mut subscription = copy.follow(&broker.engine).await;
    compare(&broker, &mut copy, &mut subscription).await;
    assert_eq!(copy.snapshots, 2);
}

#[tokio::test]
async fn a_changed_audience_ends_the_feed() {
    let broker = Broker::new();
    let mut copy = Copy::default();
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    // when the audience becomes another
    let text =
        directory("2026-06-01", 0).replace("audience = [\"prod/*/db/orders/**\"]", "audience = [\"prod/eu1/**\"]");
    broker.load_directory(text).await.unwrap();
    // then the feed is over, and the next one is of the new audience
    assert_eq!(reason(copy.catch_up(&mut subscription)), Reason::Resync);
    let mut subscription = copy.follow(&broker.engine).await;
    compare(&broker, &mut copy, &mut subscription).await;
    assert_eq!(copy.snapshots, 2);
}

#[tokio::test]
async fn only_enforcement_points_have_feeds() {
    let broker = Broker::new();
    for name in ["ana", "omar", "deploy-bot", "nobody"] {
        let refusal = broker.engine.may_follow(&name.parse().unwrap());
        assert_eq!(reason(refusal), Reason::CapabilityMissing, "{name}");
    }
    assert!(broker.engine.may_follow(&orders_api()).is_ok());
}

#[tokio::test]
async fn replicas_are_awaited_until_each_has_said_that_it_is_in_force() {
    let broker = Broker::new();
    let grant = broker.grant("ana", "ben").await;
    let (mut first, mut second) = (Copy::default(), Copy::default());
    let mut one = first.follow(&broker.engine).await;
    let mut other = second.follow(&broker.engine).await;
    for (copy, subscription) in [(&mut first, &mut one), (&mut second, &mut other)] {
        copy.apply_all(subscription);
    }
    // when a grant is revoked
    broker.run("sam", revocation(grant)).await.unwrap();
    let mut awaited = broker.engine.await_replicas();
    let all = |connected, reached, lost| Some(Reached { connected, reached, lost });
    assert_eq!(within(awaited.next()).await, all(2, 0, 0));
    // then each counts once it has said so
    first.apply_all(&mut one);
    assert_eq!(within(awaited.next()).await, all(2, 1, 0));
    // and one that has gone without a word may allow it still
    drop(other);
    assert_eq!(within(awaited.next()).await, all(1, 1, 1));
    // until it is back and has it
    let mut other = second.follow(&broker.engine).await;
    assert_eq!(within(awaited.next()).await, all(2, 1, 0));
    second.apply_all(&mut other);
    assert_eq!(within(awaited.next()).await, all(2, 2, 0));
    assert_eq!(within(awaited.next()).await, None);
}

#[tokio::test]
async fn a_replica_that_has_gone_is_waited_for_until_it_denies_by_itself() {
    let broker = Broker::new();
    let grant = broker.grant("ana", "ben").await;
    let mut copy = Copy::default();
    let mut subscription = copy.follow(&broker.engine).await;
    copy.apply_all(&mut subscription);
    // given one that went before the revocation
    drop(subscription);
    broker.run("sam", revocation(grant)).await.unwrap();
    let all = |connected, reached, lost| Some(Reached { connected, reached, lost });
    let mut awaited = broker.engine.await_replicas();
    assert_eq!(within(awaited.next()).await, all(0, 0, 1));
    // when it is too old by what it said of itself
    broker.clock.advance(Span::seconds(5));
    let mut later = broker.engine.await_replicas();
    // then nobody waits for it
    assert_eq!(within(later.next()).await, all(0, 0, 0));
    assert_eq!(within(awaited.next()).await, all(0, 0, 0));
    assert_eq!(within(awaited.next()).await, None);
}

#[tokio::test]
async fn a_feed_that_ends_by_the_very_change_keeps_its_replica_among_those_waited_for() {
    let broker = Broker::new();
    let mut copy = Copy::default();
    let mut subscription = copy.follow(&broker.engine).await;
    copy.apply_all(&mut subscription);
    // when the audience becomes another
    let text =
        directory("2026-06-01", 0).replace("audience = [\"prod/*/db/orders/**\"]", "audience = [\"prod/eu1/**\"]");
    broker.load_directory(text).await.unwrap();
    let mut awaited = broker.engine.await_replicas();
    let all = |connected, reached, lost| Some(Reached { connected, reached, lost });
    assert_eq!(within(awaited.next()).await, all(1, 0, 0));
    drop(subscription);
    let mut subscription = copy.follow(&broker.engine).await;
    copy.apply_all(&mut subscription);
    let mut last = None;
    while let Some(told) = within(awaited.next()).await {
        last = Some(told);
    }
    assert_eq!(last, all(1, 1, 0));
}

#[tokio::test]
async fn a_feed_without_followers_is_forgotten_after_a_minute() {
    let broker = Broker::new();
    let mut copy = Copy::default();
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    assert_eq!(broker.engine.replicas(), 1);
    let feed_id = copy.place.as_ref().unwrap().feed_id.clone();
    drop(subscription);
    assert_eq!(broker.engine.replicas(), 0);
    broker.clock.advance(Span::seconds(61));
    broker.grant("ana", "ben").await;
    let mut subscription = copy.follow(&broker.engine).await;
    copy.catch_up(&mut subscription).unwrap();
    assert_ne!(copy.place.as_ref().unwrap().feed_id, feed_id);
}
