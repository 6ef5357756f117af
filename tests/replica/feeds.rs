//! Feeds that are wrong (known failures F4 and I11): each is denied from the moment it is seen, all of it, also what may run on, and
//! the replica finds back by itself.

use std::time::Duration;

use countersign::check::Change;
use countersign::sdk::{Break, Trust};
use countersign::wire::v1;
use countersign::wire::v1::replicate_grants_response::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::scripted::{ANA, ORDERS, Scripted, bytes, eventually, grant, revoked};

/// What is sent instead of the truth.
type Lie = fn(&Scripted);

fn change(broker: &Scripted, numbers: u64, sequences: i64, entries: Vec<u8>) {
    let script = broker.script();
    let (number, sequence) = (script.number, script.sequence);
    drop(script);
    broker.say(Message::Change(v1::ReplicaChange {
        number: number.wrapping_add(numbers),
        sequence: sequence.checked_add_signed(sequences).unwrap(),
        entries: entries.into(),
    }));
}

fn more() -> Vec<u8> {
    bytes(&[grant(2, "prod/eu/db/orders/replica")])
}

const LIES: &[(&str, Lie, Break)] = &[
    ("a gap", |broker| change(broker, 2, 1, more()), Break::Gap),
    ("a change twice", |broker| change(broker, 0, 0, more()), Break::Gap),
    ("an earlier change after a later one", |broker| change(broker, u64::MAX, 0, more()), Break::Gap),
    ("a lower sequence", |broker| change(broker, 1, -1, more()), Break::Sequence),
    ("an entry of an unknown kind", |broker| change(broker, 1, 1, vec![1, 0, 0, 0, 4]), Break::Unreadable),
    ("an entry cut short", |broker| change(broker, 1, 1, more()[..30].to_vec()), Break::Unreadable),
    ("entries that are none", |broker| change(broker, 1, 1, vec![0xff; 64]), Break::Unreadable),
    (
        "an altered entry",
        |broker| {
            // What the broker counts, and what arrives, are two things.
            let truth = grant(2, "prod/eu/db/orders/replica");
            let mut script = broker.script();
            script.hold(&[truth]);
            (script.number, script.sequence) = (script.number + 1, script.sequence + 1);
            let entries = bytes(&[grant(2, "prod/*/db/orders/**")]).into();
            let change = v1::ReplicaChange { number: script.number, sequence: script.sequence, entries };
            drop(script);
            broker.say(Message::Change(change));
        },
        Break::Digest,
    ),
    (
        "a change that was kept back",
        |broker| {
            let mut script = broker.script();
            script.hold(&[revoked(1)]);
            // The number and the sequence do not show it.
        },
        Break::Digest,
    ),
    (
        "an answer to no ping",
        |broker| {
            let pong = broker.script().pong(vec![9; 16]);
            broker.say(Message::Pong(pong));
        },
        Break::Unasked,
    ),
    ("a second start", |broker| broker.say(Message::Start(v1::ReplicaStart::default())), Break::OutOfPlace),
    ("the end of no snapshot", |broker| broker.say(Message::SnapshotEnd(Default::default())), Break::OutOfPlace),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_feed_is_denied_at_once_and_mended_by_a_fresh_sync() {
    for (what, lie, expected) in LIES {
        // given a replica of a feed that is right, whose held grants may run on, and which will not be too old
        let broker = Scripted::new().await;
        let builder = broker.builder_with(&[]).lets_held_grants_run_on("prod/*/db/orders/**".parse().unwrap());
        let replica = builder.max_staleness(Duration::from_secs(300)).connect().await.unwrap();
        assert_eq!(replica.check(ANA, "db.read", ORDERS).reason(), "GRANTED");
        broker.script().refuses = Some(Status::unavailable("not yet"));
        // when the feed goes wrong
        lie(&broker);
        eventually(what, || replica.status().trust == Trust::Broken(*expected)).await;
        // then all of it is denied for as long as there is no other
        for (subject, resource) in [(ANA, ORDERS), ("ana", "prod/eu/db/orders/replica"), ("nobody", ORDERS)] {
            assert_eq!(replica.check(subject, "db.read", resource).reason(), "STALE", "{what}");
        }
        // and when the feed is right again, everything has been received anew
        {
            let mut script = broker.script();
            script.refuses = None;
            script.hold(&[grant(1, ORDERS), grant(3, "prod/eu/db/orders/new")]);
            script.sequence += 10;
        }
        eventually(what, || replica.check(ANA, "db.read", "prod/eu/db/orders/new").is_allowed()).await;
        assert_eq!(replica.check(ANA, "db.read", ORDERS).reason(), "GRANTED", "{what}");
        let status = replica.status();
        assert_eq!((status.snapshots, status.breaks, status.resumes), (2, 1, 0), "{what}");
        assert_eq!(broker.script().hellos.last().unwrap().feed_id, "", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_journal_and_an_earlier_one_are_denied_and_the_known_one_is_preferred() {
    type Differ = fn(&Scripted);
    let differ: [(Differ, Break); 2] = [
        (|twin| twin.script().journal_id = "journal-2".into(), Break::Journal),
        (|twin| twin.script().sequence = 50, Break::Sequence),
    ];
    for (differ, expected) in differ {
        // given two brokers, the second of which is a twin, or was restored from an old copy with a revoked grant in it
        let broker = Scripted::new().await;
        let twin = Scripted::of(broker.authority().clone()).await;
        differ(&twin);
        twin.script().hold(&[grant(7, "prod/eu/db/orders/revoked")]);
        let builder = broker.builder_with(&[&twin]).max_staleness(Duration::from_secs(300));
        let replica = builder.connect().await.unwrap();
        // when the first one drains
        broker.script().refuses = Some(Status::unavailable("draining"));
        broker.end_feeds(None);
        // then the second is not believed
        eventually("the twin is seen", || replica.status().last_break == Some(expected)).await;
        assert!(!replica.check(ANA, "db.read", "prod/eu/db/orders/revoked").is_allowed());
        broker.script().refuses = None;
        eventually("the first one is back", || replica.check(ANA, "db.read", ORDERS).is_allowed()).await;
        assert_eq!(replica.check(ANA, "db.read", "prod/eu/db/orders/revoked").reason(), "NO_GRANT");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_journal_was_restored_is_believed_after_a_fresh_sync() {
    // given a replica of one broker, whose journal is put back to an earlier state
    let broker = Scripted::new().await;
    let replica = broker.replica().await;
    {
        let mut script = broker.script();
        (script.feed_id, script.sequence) = ("feed-2".into(), 60);
        script.hold(&[revoked(1), grant(5, "prod/eu/db/orders/restored")]);
    }
    // when it starts anew, then what was known is denied, and what it has by now is received
    broker.end_feeds(None);
    eventually("synced", || replica.check(ANA, "db.read", "prod/eu/db/orders/restored").is_allowed()).await;
    let status = replica.status();
    assert_eq!((status.last_break, status.sequence), (Some(Break::Sequence), 60));
    assert_eq!(replica.check(ANA, "db.read", ORDERS).reason(), "NO_GRANT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_may_not_check_any_more_is_told_so_at_once() {
    let broker = Scripted::new().await;
    let replica = broker.replica().await;
    let details = ErrorDetails::with_error_info("CAPABILITY_MISSING", "countersign", [("a".into(), "b".into())]);
    let refusal = Status::with_error_details(Code::PermissionDenied, "no `access.check`", details);
    broker.script().refuses = Some(refusal.clone());
    broker.end_feeds(Some(refusal));
    eventually("refused", || replica.status().trust == Trust::Broken(Break::Refused)).await;
    assert_eq!(replica.check(ANA, "db.read", ORDERS).reason(), "STALE");
    assert_eq!(replica.status().last_error.unwrap(), "no `access.check`");
    // and one that begins is told before it serves anybody
    let error = broker.builder_with(&[]).connect().await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.exit_code()), ("no `access.check`", 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_in_force_when_the_broker_is_told_so() {
    let broker = Scripted::new().await;
    let replica = broker.replica().await;
    eventually("the snapshot is told", || broker.script().applied == 4).await;
    // when a grant is revoked
    let sequence = broker.change(&[revoked(1)]);
    eventually("it is told", || broker.script().applied == 5).await;
    // then it was in force before
    let checked = replica.check_at_least(sequence, ANA, "db.read", ORDERS);
    assert_eq!((checked.reason(), checked.sequence()), ("NO_GRANT", sequence));
    // and so is what follows, also what removes an account
    let sequence = broker.change(&[grant(1, ORDERS), grant(2, "prod/eu/db/orders/b")]);
    replica.reached(sequence, Duration::from_secs(20)).await.unwrap();
    assert!(replica.check("ana", "db.read", "prod/eu/db/orders/b").is_allowed());
    let sequence = broker.change(&[Change::AccountGone("ana".parse().unwrap())]);
    replica.reached(sequence, Duration::from_secs(20)).await.unwrap();
    assert_eq!(replica.check("ana", "db.read", "prod/eu/db/orders/b").reason(), "NO_GRANT");
    let status = replica.status();
    assert_eq!((status.trust, status.changes, status.breaks), (Trust::Live, 3, 0));
}
