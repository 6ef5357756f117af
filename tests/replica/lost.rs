//! Feeds that are lost, not wrong (known failures F3 and F6): what is known grows old, is denied when it is too old, and is gone on
//! with when the broker is back.

use std::time::Duration;

use countersign::clock::{Clock, SystemClock};
use countersign::sdk::{ClientError, Replica, Trust};
use tonic::Status;

use crate::common::certificates::{Authority, write};
use crate::scripted::{ANA, ORDERS, Scripted, eventually, grant, revoked};

const STALENESS: Duration = Duration::from_millis(1_500);

/// Checks all the time until it is denied; how long that took.
async fn denied_after(replica: &Replica) -> (i64, &'static str) {
    let since = SystemClock.boot();
    loop {
        let checked = replica.check(ANA, "db.read", ORDERS);
        let passed = SystemClock.boot().since(since).millis();
        if !checked.is_allowed() {
            return (passed, checked.reason());
        }
        // What the verdict says of itself is true.
        assert!(checked.age() < STALENESS, "{checked:?}");
        assert!(passed < 30_000, "it is never denied");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_answers_no_more_is_denied_in_time_and_left_for_another_stream() {
    let broker = Scripted::new().await;
    let replica = broker.builder_with(&[]).max_staleness(STALENESS).connect().await.unwrap();
    // when its connection stands and its pings are not answered
    broker.script().is_mute = true;
    let (millis, reason) = denied_after(&replica).await;
    // then it is denied by `max_staleness`, and not before what was known was that old
    assert_eq!(reason, "STALE");
    assert!(millis <= 1_500 + 500, "{millis} ms");
    assert_eq!(replica.status().trust, Trust::Live);
    // and when pings are answered on another stream, it goes on from where it was
    eventually("given up", || replica.status().losses > 0).await;
    broker.script().is_mute = false;
    eventually("back", || replica.check(ANA, "db.read", ORDERS).is_allowed()).await;
    let status = replica.status();
    assert_eq!((status.snapshots, status.breaks, status.resumes > 0), (1, 0, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_reconnect_resumes_without_a_snapshot_and_nobody_notices() {
    let broker = Scripted::new().await;
    let replica = broker.replica().await;
    for rounds in 1..4 {
        // when the broker ends the stream in good order
        broker.end_feeds(None);
        eventually("resumed", || replica.status().resumes == rounds).await;
        assert!(replica.check(ANA, "db.read", ORDERS).is_allowed());
    }
    // then changes go on arriving
    let sequence = broker.change(&[revoked(1)]);
    replica.reached(sequence, Duration::from_secs(20)).await.unwrap();
    assert_eq!(replica.check(ANA, "db.read", ORDERS).reason(), "NO_GRANT");
    let script = broker.script();
    assert_eq!(script.hellos.len(), 4);
    let (first, last) = (&script.hellos[0], &script.hellos[3]);
    assert_eq!((first.feed_id.as_str(), first.count), ("", 0));
    assert_eq!((last.feed_id.as_str(), last.number, last.sequence, last.count), ("feed-1", 4, 100, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_missed_changes_gets_a_snapshot_while_the_former_goes_on() {
    let broker = Scripted::new().await;
    let replica = broker.replica().await;
    // given changes that a replica missed, and a broker that says RESYNC
    let resync = Status::aborted("too slow");
    {
        let mut script = broker.script();
        script.hold(&[grant(2, "prod/eu/db/orders/b")]);
        (script.number, script.sequence) = (script.number + 1, script.sequence + 1);
    }
    broker.end_feeds(Some(resync));
    eventually("synced anew", || replica.check(ANA, "db.read", "prod/eu/db/orders/b").is_allowed()).await;
    let status = replica.status();
    assert_eq!((status.snapshots, status.breaks, status.resumes), (2, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_brokers_the_next_one_takes_over() {
    let first = Scripted::new().await;
    let second = Scripted::of(first.authority().clone()).await;
    let builder = first.builder_with(&[&second]).max_staleness(Duration::from_secs(300));
    let replica = builder.connect().await.unwrap();
    assert!(replica.status().endpoint.unwrap().ends_with(&first.port.to_string()));
    // when the first one is gone
    first.script().refuses = Some(Status::unavailable("gone"));
    first.end_feeds(Some(Status::unavailable("gone")));
    // then it follows the second
    let at_second = || replica.status().endpoint.is_some_and(|at| at.ends_with(&second.port.to_string()));
    eventually("it follows the second", at_second).await;
    let sequence = second.change(&[revoked(1)]);
    replica.reached(sequence, Duration::from_secs(20)).await.unwrap();
    assert_eq!(replica.check(ANA, "db.read", ORDERS).reason(), "NO_GRANT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_grants_of_a_chosen_pattern_run_on_for_age_alone() {
    let broker = Scripted::new().await;
    broker.script().hold(&[grant(2, "prod/eu/db/orders/b")]);
    let builder = broker.builder_with(&[]).lets_held_grants_run_on(ORDERS.parse().unwrap());
    let replica = builder.max_staleness(Duration::from_millis(500)).connect().await.unwrap();
    broker.script().refuses = Some(Status::unavailable("gone"));
    broker.end_feeds(None);
    // when all else is too old
    let other = || replica.check(ANA, "db.read", "prod/eu/db/orders/b").reason();
    eventually("too old", || other() == "STALE").await;
    let checked = replica.check(ANA, "db.read", ORDERS);
    assert!(checked.is_allowed() && checked.age() >= Duration::from_millis(500));
    assert_eq!(replica.check(ANA, "db.write", ORDERS).reason(), "STALE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_read_again_at_each_connection() {
    // given a replica whose certificate is in files
    let broker = Scripted::new().await;
    let folder = tempfile::tempdir().unwrap();
    let issue = |authority: &Authority| {
        let leaf =
            authority.issue(&crate::common::certificates::client("spiffe://northwind.example/service/orders-api"));
        let certificate = write(folder.path(), "tls.pem", &leaf.chain_pem);
        (certificate, write(folder.path(), "tls.key", &leaf.key_pem))
    };
    let (certificate, key) = issue(broker.authority());
    let builder = broker.builder_with(&[]).identity_files(&certificate, &key);
    let replica = builder.max_staleness(Duration::from_secs(300)).connect().await.unwrap();
    // when it is exchanged for one that the broker does not know, then the next connection is refused
    issue(&Authority::new("stranger"));
    broker.end_feeds(None);
    eventually("refused", || replica.status().last_error.is_some_and(|error| error.contains("do not trust"))).await;
    // and with a new one of the right authority it is back
    issue(broker.authority());
    eventually("back", || replica.status().resumes == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_begin_says_why() {
    let broker = Scripted::new().await;
    let text = |error: ClientError| error.to_string();
    let refused = |builder: countersign::sdk::ReplicaBuilder| async move { builder.connect().await.unwrap_err() };
    let too_long = broker.builder_with(&[]).max_staleness(Duration::from_secs(301));
    assert!(text(refused(too_long).await).contains("500 ms to 5 min are possible"));
    let too_short = broker.builder_with(&[]).max_staleness(Duration::from_millis(499));
    assert!(text(refused(too_short).await).contains("499 ms"));
    let everything = broker.builder_with(&[]).lets_held_grants_run_on("**".parse().unwrap());
    assert!(text(refused(everything).await).contains("begin the pattern with a literal segment"));
    let nowhere = Replica::builder(Vec::<String>::new());
    assert!(text(refused(nowhere).await).contains("no endpoint"));
    let untrusted = broker.builder_with(&[]).authority_pem(Authority::new("stranger").pem());
    assert_eq!(refused(untrusted).await.exit_code(), 7);
    // a broker that is not there yet is waited for, up to the time that is given
    broker.script().refuses = Some(Status::unavailable("starting"));
    let waited = broker.builder_with(&[]).first_sync_within(Duration::from_millis(300));
    assert_eq!(refused(waited).await.exit_code(), 8);
    let waits = tokio::spawn(broker.builder_with(&[]).connect());
    broker.script().refuses = None;
    assert!(waits.await.unwrap().unwrap().check(ANA, "db.read", ORDERS).is_allowed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_clone_ends_the_connection() {
    let broker = Scripted::new().await;
    let replica = broker.replica().await;
    let clone = replica.clone();
    drop(replica);
    let sequence = broker.change(&[revoked(1)]);
    clone.reached(sequence, Duration::from_secs(20)).await.unwrap();
    drop(clone);
    eventually("closed", || {
        broker.change(&[grant(1, ORDERS)]);
        broker.script().streams() == 0
    })
    .await;
}
