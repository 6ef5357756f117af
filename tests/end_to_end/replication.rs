//! The feed of replicas from outside, by the generated client alone: what is said in which order, who is refused, what
//! ends it, and how `revoke --wait` tells that it has arrived (known failures F4, F9 and G12).

use std::sync::Arc;
use std::time::Duration;

use countersign::check::{Change, SetDigest, read_changes};
use countersign::wire::v1 as pb;
use pb::replicate_grants_request::Message as Said;
use pb::replicate_grants_response::Message;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::common::certificates::{Wanted, client};
use crate::harness::{Broker, Start, eventually, free_address, metric, run};
use crate::organisation::{Files, Organisation, engineer, identity};
use crate::person::{ORDERS, Person, refused, repair};

/// A replica that keeps nothing but what it was told.
struct Follower {
    said: mpsc::Sender<pb::ReplicateGrantsRequest>,
    told: Streaming<pb::ReplicateGrantsResponse>,
    start: pb::ReplicaStart,
    entries: Vec<Change>,
    place: pb::ReplicaHello,
}

impl Follower {
    async fn begin(person: &Person, hello: pb::ReplicaHello) -> Result<Self, Status> {
        let (said, saying) = mpsc::channel(8);
        said.send(pb::ReplicateGrantsRequest { message: Some(Said::Hello(hello.clone())) }).await.unwrap();
        let told = person.access().replicate_grants(ReceiverStream::new(saying)).await?.into_inner();
        let start = pb::ReplicaStart::default();
        let mut follower = Self { said, told, start, entries: Vec::new(), place: hello };
        let Message::Start(start) = follower.hear().await? else { panic!("the start comes first") };
        (follower.place.feed_id, follower.place.number) = (start.feed_id.clone(), start.number);
        follower.place.sequence = start.sequence;
        follower.start = start;
        if follower.start.snapshot {
            follower.snapshot().await?;
        }
        Ok(follower)
    }

    async fn snapshot(&mut self) -> Result<(), Status> {
        loop {
            match self.hear().await? {
                Message::Piece(piece) => self.entries.extend(read_changes(&piece.entries).map(Result::unwrap)),
                Message::SnapshotEnd(end) => {
                    let digest = self.entries.iter().fold(SetDigest::default(), |sum, it| sum.with(&it.digest()));
                    assert_eq!((end.count, end.digest), (self.entries.len() as u64, digest.bytes().to_vec()));
                    return Ok(());
                }
                other => panic!("in a snapshot: {other:?}"),
            }
        }
    }

    async fn hear(&mut self) -> Result<Message, Status> {
        let message = tokio::time::timeout(Duration::from_secs(20), self.told.message()).await.expect("nothing comes");
        Ok(message?.expect("the feed goes on").message.expect("a message"))
    }

    async fn say(&self, message: Said) {
        self.said.send(pb::ReplicateGrantsRequest { message: Some(message) }).await.unwrap();
    }

    async fn applied(&self) {
        self.say(Said::Applied(pb::ReplicaApplied { number: self.place.number })).await;
    }

    /// The next change, numbered without a gap.
    async fn change(&mut self) -> Result<Vec<Change>, Status> {
        let Message::Change(change) = self.hear().await? else { panic!("not a change") };
        assert_eq!(change.number, self.place.number + 1);
        assert!(change.sequence >= self.place.sequence);
        (self.place.number, self.place.sequence) = (change.number, change.sequence);
        Ok(read_changes(&change.entries).map(Result::unwrap).collect())
    }

    async fn ping(&mut self) -> pb::ReplicaPong {
        let nonce = uuid::Uuid::new_v4().as_bytes().to_vec();
        let (number, sequence) = (self.place.number, self.place.sequence);
        self.say(Said::Ping(pb::ReplicaPing { nonce: nonce.clone(), number, sequence })).await;
        let Message::Pong(pong) = self.hear().await.unwrap() else { panic!("not an answer") };
        assert_eq!((&pong.nonce, pong.number), (&nonce, self.place.number));
        self.place = pb::ReplicaHello {
            feed_id: self.place.feed_id.clone(),
            number: pong.number,
            sequence: pong.sequence,
            count: pong.count,
            digest: pong.digest.clone(),
            ..self.place.clone()
        };
        pong
    }

    /// What the feed ends with.
    async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.hear().await {
                return status;
            }
        }
    }
}

#[tokio::test]
async fn a_feed_is_a_snapshot_then_every_change_and_goes_on_where_it_was_left() {
    let broker = Broker::new();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    let held = ana.granted(repair(), &ben).await;
    // when a replica begins
    let mut replica = Follower::begin(&orders, pb::ReplicaHello::default()).await.unwrap();
    // then it gets all of it, and of other accounts not what they may check
    assert!(replica.start.snapshot && replica.start.account == "orders-api" && !replica.start.journal_id.is_empty());
    let grants: Vec<_> = replica.entries.iter().filter_map(grant).collect();
    assert_eq!(grants, std::slice::from_ref(&held.id));
    for entry in &replica.entries {
        if let Change::Account(account) = entry {
            assert_eq!(account.audience.is_empty(), account.id.as_str() != "orders-api", "{account:?}");
        }
    }
    let pong = replica.ping().await;
    assert_eq!(pong.count, replica.entries.len() as u64);
    // and a revocation as a change
    ben.revoke(&held.id).await.unwrap();
    let changes = replica.change().await.unwrap();
    assert!(matches!(&changes[..], [Change::GrantGone { id, .. }] if id.to_string() == held.id), "{changes:?}");
    assert_eq!(replica.ping().await.count, pong.count - 1);
    // and one that comes back misses nothing, and needs no snapshot
    let place = replica.place.clone();
    drop(replica);
    let next = ana.granted(repair(), &ben).await;
    let mut replica = Follower::begin(&orders, place).await.unwrap();
    assert!(!replica.start.snapshot);
    assert_eq!(replica.change().await.unwrap().iter().filter_map(grant).collect::<Vec<_>>(), [next.id]);
    assert_eq!(replica.ping().await.count, pong.count);
}

fn grant(entry: &Change) -> Option<String> {
    if let Change::Grant(grant) = entry { Some(grant.id.to_string()) } else { None }
}

#[tokio::test]
async fn who_may_not_check_gets_no_feed_and_hello_comes_first_and_once() {
    let broker = Broker::shared();
    for name in ["ana", "omar", "deploy-bot"] {
        let person = broker.person(name).await;
        let begun = Follower::begin(&person, pb::ReplicaHello::default()).await.map(|_| ());
        refused(begun, Code::PermissionDenied, "CAPABILITY_MISSING");
    }
    let orders = broker.person("orders-api").await;
    let applied = Said::Applied(pb::ReplicaApplied { number: 1 });
    let first = tokio_stream::once(pb::ReplicateGrantsRequest { message: Some(applied) });
    let begun = orders.access().replicate_grants(first).await.map(|_| ());
    refused(begun, Code::InvalidArgument, "INVALID_MESSAGE");
    let mut replica = Follower::begin(&orders, pb::ReplicaHello::default()).await.unwrap();
    replica.say(Said::Hello(pb::ReplicaHello::default())).await;
    refused::<()>(Err(replica.end().await), Code::InvalidArgument, "INVALID_MESSAGE");
}

#[tokio::test]
async fn a_feed_ends_with_its_certificate() {
    let broker = Broker::shared();
    let wanted = Wanted { to_seconds: 6, ..client(&identity("orders-api")) };
    let leaf = broker.organisation.northwind.issue(&wanted);
    let channel = broker.endpoint(Some(&leaf)).timeout(Duration::from_secs(30)).connect().await.unwrap();
    let orders = Person { name: "orders-api".to_owned(), channel };
    let mut replica = Follower::begin(&orders, pb::ReplicaHello::default()).await.unwrap();
    // when nothing is said until its certificate has ended, then the feed has too: within a beat, and `hear` has a bound
    let status = replica.end().await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
}

#[tokio::test]
async fn a_feed_ends_when_its_account_may_check_no_more() {
    let broker = Broker::new();
    let orders = broker.person("orders-api").await;
    let mut replica = Follower::begin(&orders, pb::ReplicaHello::default()).await.unwrap();
    // when a proposal takes its role away
    let directory = Files::example().directory;
    let without = directory.replace("roles = [\"enforcement-point\"]\n", "");
    assert_ne!(directory, without);
    std::fs::write(broker.organisation.path("without.toml"), &without).unwrap();
    let path = broker.organisation.path("without.toml").display().to_string();
    let replaces: String = Sha256::digest(directory.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let words = ["-o", "json", "directory", "propose", &path, "--replaces", &replaces, "-m", "it moves"];
    let proposed = run(&mut broker.command("omar", &words));
    assert_eq!(proposed.code, Some(0), "{}{}", proposed.stdout, proposed.stderr);
    let proposed: serde_json::Value = serde_json::from_str(&proposed.stdout).unwrap();
    let id = proposed["proposal"]["id"].as_str().unwrap();
    // which another reads, and approves
    let shown = run(&mut broker.command("vera", &["-o", "json", "show", id]));
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(run(&mut broker.command("vera", &["show", id, "--file"])).stdout, without);
    let inbox = run(&mut broker.command("vera", &["inbox"])).stdout;
    assert!(inbox.contains("the directory") && inbox.contains("omar"), "{inbox}");
    let tried = run(&mut broker.command("vera", &["deny", id, "--reason", "not now", "--dry-run"]));
    assert!(tried.stdout.contains("is pending: this would be done"), "{}{}", tried.stdout, tried.stderr);
    let words = ["approve", id, "--digest", shown["approval_digest"].as_str().unwrap()];
    let alone = run(&mut broker.command("omar", &words));
    assert!(alone.code == Some(3) && alone.stderr.contains("SELF_APPROVAL"), "{}{}", alone.stdout, alone.stderr);
    let approved = run(&mut broker.command("vera", &words));
    assert_eq!(approved.code, Some(0), "{}{}", approved.stdout, approved.stderr);
    // then the feed is over, and there is no other
    refused::<()>(Err(replica.end().await), Code::OutOfRange, "RESYNC");
    let begun = Follower::begin(&orders, pb::ReplicaHello::default()).await.map(|_| ());
    refused(begun, Code::PermissionDenied, "CAPABILITY_MISSING");
}

#[tokio::test]
async fn revoke_wait_says_in_how_many_replicas_it_is_cut_off() {
    let broker = Broker::new();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    let held = ana.granted(repair(), &ben).await;
    let mut replica = Follower::begin(&orders, pb::ReplicaHello::default()).await.unwrap();
    replica.applied().await;
    replica.ping().await;
    let serving = tokio::spawn(async move {
        let changes = replica.change().await.unwrap();
        replica.applied().await;
        (replica, changes)
    });
    // when it is revoked and waited for
    let mut command = broker.command("ben", &["-o", "json", "revoke", &held.id, "--reason", "over", "--wait"]);
    let ended = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
    // then that one replica has said so
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("cut off in 1 of 1 connected replicas"), "{}", ended.stderr);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&told["replicas"]["connected"], &told["replicas"]["reached"]), (&1.into(), &1.into()), "{told}");
    assert!(told["replicas"]["millis"].is_u64() && told["id"] == held.id.as_str(), "{told}");
    let (replica, changes) = serving.await.unwrap();
    assert!(matches!(&changes[..], [Change::GrantGone { .. }]));
    drop(replica);
}

#[tokio::test]
async fn revoke_wait_waits_for_a_replica_that_is_between_two_streams_and_counts_it_by_its_ping() {
    let broker = Broker::new();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    let held = ana.granted(repair(), &ben).await;
    // given a replica that has lost its stream, and denies by itself only in a minute
    let hello = pb::ReplicaHello {
        replica_id: vec![7; 16],
        max_staleness: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    };
    let mut replica = Follower::begin(&orders, hello).await.unwrap();
    replica.applied().await;
    replica.ping().await;
    let place = replica.place.clone();
    drop(replica);
    // when a grant is revoked, and the replica is back a moment later
    let mut command = broker.command("ben", &["-o", "json", "revoke", &held.id, "--reason", "over", "--wait"]);
    let waiting = tokio::task::spawn_blocking(move || run(&mut command));
    let denied = (pb::Verdict::Deny, pb::CheckReason::NoGrant);
    eventually("denied", async || (orders.verdict(&ana.name, "db.read", ORDERS).await == denied).then_some(())).await;
    let mut replica = Follower::begin(&orders, place).await.unwrap();
    assert!(!replica.start.snapshot);
    replica.change().await.unwrap();
    assert!(!waiting.is_finished(), "it was not waited for");
    // then its next ping says that it is in force
    replica.ping().await;
    let ended = waiting.await.unwrap();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let counts = ["connected", "reached", "lost"].map(|name| told["replicas"][name].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(0)], "{told}");
}

#[tokio::test]
async fn a_reader_that_has_stopped_is_cut_off_in_its_snapshot() {
    // given an organisation whose snapshot is larger than what a connection holds back
    let mut files = Files::example();
    (0..3_000).for_each(|number| files.directory.push_str(&engineer(&format!("clerk{number:04}"))));
    let organisation = Organisation::with(&files);
    assert_eq!(organisation.init().code, Some(0));
    let metrics = free_address();
    let flags = vec!["--metrics-listen".to_owned(), metrics.to_string()];
    let broker = Broker::serve(&Arc::new(organisation), &Start { flags, ..Start::default() });
    let leaf = broker.organisation.leaf("orders-api");
    let channel = broker.endpoint(Some(&leaf)).initial_stream_window_size(65_535).connect().await.unwrap();
    let orders = Person { name: "orders-api".to_owned(), channel };
    let (said, saying) = mpsc::channel(8);
    said.send(pb::ReplicateGrantsRequest { message: Some(Said::Hello(pb::ReplicaHello::default())) }).await.unwrap();
    // when somebody begins a feed and reads nothing of it
    let mut told = orders.access().replicate_grants(ReceiverStream::new(saying)).await.unwrap().into_inner();
    eventually("RESYNC", async || (metric(metrics, &["feeds_resynced"]) > 0).then_some(())).await;
    // then what is on its way is all that there is, and why
    let status = loop {
        match told.message().await {
            Ok(message) => assert!(message.is_some()),
            Err(status) => break status,
        }
    };
    refused::<()>(Err(status), Code::OutOfRange, "RESYNC");
}
