//! The replica of a real broker: what a service sees when its broker works, freezes, is killed and comes back.

use std::process::Command;
use std::time::Duration;

use countersign::clock::{Clock, SystemClock};
use countersign::sdk::{Replica, ReplicaBuilder};
use countersign::wire::v1 as pb;

use crate::harness::{Broker, Start, eventually};
use crate::organisation::Organisation;
use crate::person::{ORDERS, repair, seconds};

const STALENESS: Duration = Duration::from_secs(2);
/// What a busy machine may add between two looks.
const SLACK_MILLIS: i64 = 1_000;

fn builder(broker: &Broker, before: Option<u16>) -> ReplicaBuilder {
    let (certificate, key) = broker.organisation.leaf_files("orders-api");
    let ports = before.into_iter().chain([broker.address.port()]);
    Replica::builder(ports.map(|port| format!("localhost:{port}")))
        .authority_file(broker.organisation.path("northwind.pem"))
        .identity_files(certificate, key)
        .max_staleness(STALENESS)
}

fn signal(broker: &Broker, name: &str) {
    let sent = Command::new("kill").arg(name).arg(broker.id().to_string()).status().unwrap();
    assert!(sent.success());
}

/// Checks until it is denied, without a break: for how long it was allowed, and why no longer.
async fn allowed_for(replica: &Replica, subject: &str) -> (i64, &'static str) {
    let since = SystemClock.boot();
    loop {
        let checked = replica.check(subject, "db.read", ORDERS);
        let passed = SystemClock.boot().since(since).millis();
        if !checked.is_allowed() {
            return (passed, checked.reason());
        }
        assert!(passed < 60_000, "it is never denied");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn becomes(replica: &Replica, subject: &str, reason: &str) {
    eventually(reason, async || (replica.check(subject, "db.read", ORDERS).reason() == reason).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_arrives_and_a_revocation_cuts_it_off() {
    // given a replica whose first endpoint is nobody's
    let broker = Broker::shared();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let replica = builder(broker, Some(nobody)).connect().await.unwrap();
    let (engineer, ben, sam) = (broker.engineer().await, broker.person("ben").await, broker.person("sam").await);
    assert_eq!(replica.check(&engineer.name, "db.read", ORDERS).reason(), "NO_GRANT");
    // when a grant is given
    let grant = engineer.granted(repair(), &ben).await;
    becomes(&replica, &engineer.name, "GRANTED").await;
    // then the replica says what the broker says, by either name
    let checked = replica.check(&crate::organisation::identity(&engineer.name), "db.read", ORDERS);
    let orders_api = broker.person("orders-api").await;
    let said = orders_api.check(&engineer.name, "db.read", ORDERS).await.unwrap();
    assert_eq!(checked.grant().unwrap().to_string(), grant.id);
    assert_eq!(said.grant_id, grant.id);
    assert_eq!(checked.valid_until().unwrap().millis(), crate::person::millis(said.valid_until.as_ref()));
    assert_eq!(replica.check(&engineer.name, "db.write", ORDERS).reason(), "NO_GRANT");
    assert_eq!(replica.check(&engineer.name, "db.read", "prod/eu/db/stock/a").reason(), "OUT_OF_AUDIENCE");
    // and when it is revoked, nobody who waits for that very sequence is let in
    sam.revoke(&grant.id).await.unwrap();
    let sequence = orders_api.check(&engineer.name, "db.read", ORDERS).await.unwrap().sequence.parse().unwrap();
    assert!(!replica.check_at_least(sequence, &engineer.name, "db.read", ORDERS).is_allowed());
    replica.reached(sequence, Duration::from_secs(20)).await.unwrap();
    assert_eq!(replica.check_at_least(sequence, &engineer.name, "db.read", ORDERS).reason(), "NO_GRANT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarded_work_is_cut_off_by_revocation_and_by_the_end() {
    let broker = Broker::shared();
    let replica = builder(broker, None).max_staleness(Duration::from_secs(60)).connect().await.unwrap();
    let (ben, sam) = (broker.person("ben").await, broker.person("sam").await);
    // given work that never ends, under a grant of ten minutes and under one of three seconds
    let (long, short) = (broker.engineer().await, broker.engineer().await);
    let grant = long.granted(repair(), &ben).await;
    short.granted(pb::RequestElevationRequest { duration: seconds(3), ..repair() }, &ben).await;
    becomes(&replica, &long.name, "GRANTED").await;
    becomes(&replica, &short.name, "GRANTED").await;
    let endless = |subject: String| {
        let replica = replica.clone();
        tokio::spawn(async move { replica.guard(&subject, "db.read", ORDERS, std::future::pending::<()>()).await })
    };
    let (long_work, short_work) = (endless(long.name.clone()), endless(short.name.clone()));
    // then the short one ends by itself, not before its time
    let cut = tokio::time::timeout(Duration::from_secs(30), short_work).await.unwrap().unwrap().unwrap_err();
    assert_eq!((cut.reason(), cut.began()), ("NO_GRANT", true));
    assert!(!long_work.is_finished());
    // and the long one when it is revoked
    sam.revoke(&grant.id).await.unwrap();
    let cut = tokio::time::timeout(Duration::from_secs(30), long_work).await.unwrap().unwrap().unwrap_err();
    assert_eq!((cut.reason(), cut.began()), ("NO_GRANT", true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_is_denied_in_time_and_what_runs_on_ends_with_its_grant() {
    // given a grant of eight seconds, and two services, one of which chose to let it run on
    let broker = Broker::new();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let replica = builder(&broker, None).connect().await.unwrap();
    let pattern = "prod/*/db/orders/**".parse().unwrap();
    let runs_on = builder(&broker, None).lets_held_grants_run_on(pattern).connect().await.unwrap();
    engineer.granted(pb::RequestElevationRequest { duration: seconds(8), ..repair() }, &ben).await;
    becomes(&replica, &engineer.name, "GRANTED").await;
    becomes(&runs_on, &engineer.name, "GRANTED").await;
    let left =
        i64::try_from(runs_on.check(&engineer.name, "db.read", ORDERS).valid_for().unwrap().as_millis()).unwrap();
    let since = SystemClock.boot();
    // and work of both
    let endless = |replica: &Replica| {
        let (replica, subject) = (replica.clone(), engineer.name.clone());
        tokio::spawn(async move { replica.guard(&subject, "db.read", ORDERS, std::future::pending::<()>()).await })
    };
    let (work, work_that_runs_on) = (endless(&replica), endless(&runs_on));
    // when the broker freezes: its connections stand, and nothing is answered
    signal(&broker, "-STOP");
    let (millis, reason) = allowed_for(&replica, &engineer.name).await;
    // then it is denied by `max_staleness`, work that goes on too
    assert_eq!(reason, "STALE");
    assert!(millis <= 2_000 + SLACK_MILLIS, "{millis} ms");
    let cut = tokio::time::timeout(Duration::from_secs(5), work).await.unwrap().unwrap().unwrap_err();
    assert_eq!(cut.reason(), "STALE");
    // and the other runs on to its end and no further, with nothing else
    eventually("too old", async || runs_on.status().age.filter(|age| *age >= STALENESS)).await;
    let checked = runs_on.check(&engineer.name, "db.read", ORDERS);
    assert!(checked.is_allowed() && !work_that_runs_on.is_finished());
    assert_eq!(runs_on.check(&engineer.name, "db.write", ORDERS).reason(), "STALE");
    allowed_for(&runs_on, &engineer.name).await;
    let passed = SystemClock.boot().since(since).millis();
    assert!((left - 100..=left + SLACK_MILLIS).contains(&passed), "{passed} ms of {left} ms");
    assert!(work_that_runs_on.await.unwrap().is_err());
    // and when the broker goes on, both know it again
    signal(&broker, "-CONT");
    becomes(&replica, &engineer.name, "NO_GRANT").await;
    becomes(&runs_on, &engineer.name, "NO_GRANT").await;
    assert_eq!(replica.status().breaks, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_is_denied_in_time_and_resumed_without_a_snapshot() {
    // given a broker at a port of its own, so that it can come back to it
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let organisation = Organisation::new();
    let configured = std::fs::read_to_string(organisation.path("broker.toml")).unwrap();
    let configured = configured.replace("listen = \"127.0.0.1:0\"", &format!("listen = \"127.0.0.1:{port}\""));
    std::fs::write(organisation.path("broker.toml"), configured).unwrap();
    let broker = Broker::of(organisation);
    let replica = builder(&broker, None).connect().await.unwrap();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let grant = engineer.granted(repair(), &ben).await;
    becomes(&replica, &engineer.name, "GRANTED").await;
    // when it is killed
    let organisation = broker.kill();
    let (millis, reason) = allowed_for(&replica, &engineer.name).await;
    assert_eq!(reason, "STALE");
    assert!(millis <= 2_000 + SLACK_MILLIS, "{millis} ms");
    // and started again, then it is heard without a snapshot, and revocations arrive
    let broker = Broker::serve(&organisation, &Start::default());
    becomes(&replica, &engineer.name, "GRANTED").await;
    let status = replica.status();
    assert_eq!((status.snapshots, status.breaks, status.resumes), (1, 0, 1), "{status:?}");
    broker.person("sam").await.revoke(&grant.id).await.unwrap();
    becomes(&replica, &engineer.name, "NO_GRANT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_may_not_check_has_no_replica() {
    let broker = Broker::shared();
    let (certificate, key) = broker.organisation.leaf_files("deploy-bot");
    let error = builder(broker, None).identity_files(certificate, key).connect().await.unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
}
