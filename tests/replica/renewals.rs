//! Certificates that are renewed while a replica or a client is at work, and endpoints that are silent: nobody who uses it may
//! notice either.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use countersign::sdk::{Client, ClientError, FeedState, Replica, Trust};
use countersign::wire::v1 as pb;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::common::certificates::{Authority, Leaf, client, write};
use crate::harness::Broker;
use crate::person::{ORDERS as RESOURCE, repair};
use crate::scripted::{ANA, ORDERS, Scripted, eventually, grant, revoked};

const SERVICE: &str = "spiffe://northwind.example/service/orders-api";

fn leaf(authority: &Authority) -> Leaf {
    authority.issue(&client(SERVICE))
}

/// Certificate and key in one folder, as a kubelet writes them: behind a link to a folder that is exchanged whole.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(leaf: &Leaf) -> Self {
        let mounted = Self(tempfile::tempdir().unwrap());
        mounted.exchange("1", &leaf.chain_pem, &leaf.key_pem);
        symlink("data/tls.pem", mounted.path("tls.pem")).unwrap();
        symlink("data/tls.key", mounted.path("tls.key")).unwrap();
        mounted
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn exchange(&self, version: &str, certificate: &str, key: &str) {
        let folder = self.path(version);
        std::fs::create_dir(&folder).unwrap();
        write(&folder, "tls.pem", certificate);
        write(&folder, "tls.key", key);
        symlink(version, self.path("data.new")).unwrap();
        std::fs::rename(self.path("data.new"), self.path("data")).unwrap();
    }

    async fn replica(&self, broker: &Scripted) -> Replica {
        let builder = broker.builder_with(&[]).identity_files(self.path("tls.pem"), self.path("tls.key"));
        builder.max_staleness(Duration::from_secs(300)).connect().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_taken_up_and_nothing_is_interrupted() {
    // given a replica with a certificate in files, and work that it guards
    let broker = Scripted::new().await;
    let mounted = Mounted::new(&leaf(broker.authority()));
    let replica = mounted.replica(&broker).await;
    let guarding = replica.clone();
    let work = tokio::spawn(async move { guarding.guard(ANA, "db.read", ORDERS, std::future::pending::<()>()).await });
    for round in 1..=3 {
        // when another certificate takes its place
        let renewed = leaf(broker.authority());
        mounted.exchange(&format!("{}", round + 1), &renewed.chain_pem, &renewed.key_pem);
        eventually("taken up", || replica.status().renewals == round).await;
        // then the feed goes on from where it was, over one stream
        eventually("the former stream is over", || {
            broker.change(&[grant(7, "prod/eu/db/orders/b")]);
            broker.script().streams() == 1
        })
        .await;
        let sequence = broker.change(&[revoked(7)]);
        replica.reached(sequence, Duration::from_secs(20)).await.unwrap();
    }
    let status = replica.status();
    assert_eq!((status.snapshots, status.losses, status.breaks, status.denied_stale), (1, 0, 0, 0));
    assert_eq!((status.resumes, status.feed, status.last_error), (3, FeedState::Following, None));
    assert!(!work.is_finished());
    // and what is revoked is cut off as ever
    broker.change(&[revoked(1)]);
    let cut = tokio::time::timeout(Duration::from_secs(20), work).await.unwrap().unwrap().unwrap_err();
    assert_eq!((cut.reason(), cut.began()), ("NO_GRANT", true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_be_used_leave_the_former_certificate_at_work() {
    let broker = Scripted::new().await;
    let (first, second) = (leaf(broker.authority()), leaf(broker.authority()));
    let stranger = leaf(&Authority::new("stranger"));
    let mounted = Mounted::new(&first);
    let replica = mounted.replica(&broker).await;
    let told = |what: &'static str| {
        let replica = replica.clone();
        move || replica.status().last_error.is_some_and(|error| error.contains(what))
    };
    // when half of a pair is exchanged, or a file is broken off, or the authority is another's
    mounted.exchange("2", &second.chain_pem, &first.key_pem);
    eventually("another's key", told("is not that of")).await;
    mounted.exchange("3", &second.chain_pem[..200], &second.key_pem);
    eventually("broken off", told("the client certificate")).await;
    mounted.exchange("4", &stranger.chain_pem, &stranger.key_pem);
    eventually("a stranger's", told("do not trust")).await;
    std::fs::remove_file(mounted.path("tls.key")).unwrap();
    eventually("gone", told("cannot be read")).await;
    // then nothing has happened to the feed
    let sequence = broker.change(&[grant(2, "prod/eu/db/orders/b")]);
    replica.reached(sequence, Duration::from_secs(20)).await.unwrap();
    let status = replica.status();
    assert_eq!((status.losses, status.renewals, status.feed), (0, 0, FeedState::Following));
    // and when the pair is whole, it is taken up
    symlink("data/tls.key", mounted.path("tls.key")).unwrap();
    mounted.exchange("5", &second.chain_pem, &second.key_pem);
    eventually("taken up", || replica.status().renewals == 1).await;
    assert!(replica.check(ANA, "db.read", ORDERS).is_allowed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_would_begin_anew_with_another_certificate_does_not_replace_one_that_goes_on() {
    let broker = Scripted::new().await;
    let mounted = Mounted::new(&leaf(broker.authority()));
    let replica = mounted.replica(&broker).await;
    // given a broker that would send all of it again
    let feed = std::mem::replace(&mut broker.script().feed_id, "feed-2".to_owned());
    let renewed = leaf(broker.authority());
    mounted.exchange("2", &renewed.chain_pem, &renewed.key_pem);
    let told = || replica.status().last_error.is_some_and(|error| error.contains("does not go on"));
    eventually("it is told", told).await;
    assert_eq!((replica.status().snapshots, replica.status().renewals, replica.status().losses), (1, 0, 0));
    // when the feed can be gone on with, then it is
    broker.script().feed_id = feed;
    eventually("taken up", || replica.status().renewals == 1).await;
}

/// G12: a certificate that ends says nothing of what was held while it stood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_certificate_loses_the_feed_and_destroys_no_trust() {
    let broker = Scripted::new().await;
    let replica = broker.replica().await;
    let details = ErrorDetails::with_error_info("CERTIFICATE_EXPIRED", "countersign", [("a".into(), "b".into())]);
    let ended = Status::with_error_details(Code::Unauthenticated, "the client certificate is no longer valid", details);
    // when the broker ends the feed because of the certificate, and opens none
    broker.script().refuses = Some(ended.clone());
    broker.end_feeds(Some(ended));
    eventually("lost", || replica.status().feed == FeedState::Lost).await;
    let status = replica.status();
    assert_eq!((status.trust, status.breaks), (Trust::Live, 0));
    assert!(replica.check(ANA, "db.read", ORDERS).is_allowed());
    // then it goes on without a snapshot when there is another
    broker.script().refuses = None;
    eventually("back", || replica.status().feed == FeedState::Following).await;
    assert_eq!((replica.status().snapshots, replica.status().resumes), (1, 1));
}

/// Accepts, and says nothing.
async fn silent() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let holds = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    (port, holds)
}

fn among(broker: &Scripted, ports: &[u16]) -> countersign::sdk::ReplicaBuilder {
    let leaf = leaf(broker.authority());
    Replica::builder(ports.iter().map(|port| format!("localhost:{port}")))
        .authority_pem(broker.authority().pem())
        .identity_pem(leaf.chain_pem, leaf.key_pem)
        .connect_timeout(Duration::from_millis(400))
        .max_staleness(Duration::from_secs(300))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_endpoint_is_left_for_the_next_and_a_healthy_one_returned_to() {
    let broker = Scripted::new().await;
    let (port, _holds) = silent().await;
    // given a silent one before a healthy one, and the other way round, and one among many
    let many: Vec<u16> = std::iter::repeat_n(port, 9).chain([broker.port]).collect();
    for ports in [&[port, broker.port][..], &[broker.port, port], &many] {
        let replica = among(&broker, ports).connect().await.unwrap();
        let follows = || {
            let status = replica.status();
            status.feed == FeedState::Following && status.endpoint.unwrap().ends_with(&broker.port.to_string())
        };
        assert!(follows(), "{ports:?}");
        // when the healthy one's feed is lost and it is back at once, then it is returned to, without a snapshot
        broker.end_feeds(Some(Status::unavailable("restarting")));
        eventually("followed again", || replica.status().resumes == 1 && follows()).await;
        assert_eq!(replica.status().snapshots, 1);
    }
}

#[test]
fn a_replica_whose_runtime_has_ended_says_so() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (broker, replica) = runtime.block_on(async {
        let broker = Scripted::new().await;
        let replica = broker.replica().await;
        (broker, replica)
    });
    assert_eq!(replica.status().feed, FeedState::Following);
    drop((runtime, broker));
    assert_eq!(replica.status().feed, FeedState::Ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_broker_goes_on_with_a_renewed_certificate_and_ends_the_former_stream() {
    // given the replica of a real broker, whose certificate soon ends, and work that it guards
    let broker = Broker::new();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let issue = |to_seconds| {
        let wanted = crate::common::certificates::Wanted { to_seconds, ..client(SERVICE) };
        broker.organisation.authority().issue(&wanted)
    };
    let mounted = Mounted::new(&issue(30));
    let replica = Replica::builder([format!("localhost:{}", broker.address.port())])
        .authority_file(broker.organisation.path("northwind.pem"))
        .identity_files(mounted.path("tls.pem"), mounted.path("tls.key"))
        .max_staleness(Duration::from_secs(60))
        .connect()
        .await
        .unwrap();
    let given = engineer.granted(repair(), &ben).await;
    eventually("granted", || replica.check(&engineer.name, "db.read", RESOURCE).is_allowed()).await;
    let (guarding, subject) = (replica.clone(), engineer.name.clone());
    let work =
        tokio::spawn(async move { guarding.guard(&subject, "db.read", RESOURCE, std::future::pending::<()>()).await });
    // when it is renewed
    let renewed = issue(3_600);
    mounted.exchange("2", &renewed.chain_pem, &renewed.key_pem);
    eventually("taken up", || replica.status().renewals == 1).await;
    // then nothing was lost, and a revocation arrives
    let status = replica.status();
    assert_eq!((status.snapshots, status.losses, status.breaks, work.is_finished()), (1, 0, 0, false));
    broker.person("sam").await.revoke(&given.id).await.unwrap();
    let cut = tokio::time::timeout(Duration::from_secs(30), work).await.unwrap().unwrap().unwrap_err();
    assert_eq!((cut.reason(), cut.began()), ("NO_GRANT", true));
}

async fn client_of(broker: &Broker, folder: &Path) -> Result<Client, ClientError> {
    Client::builder(format!("localhost:{}", broker.address.port()))
        .authority_file(broker.organisation.path("northwind.pem"))
        .identity_files(folder.join("tls.pem"), folder.join("tls.key"))
        .connect()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_takes_up_exchanged_files() {
    let broker = Broker::shared();
    let issue = |name: &str| broker.organisation.authority().issue(&client(&crate::organisation::identity(name)));
    let mounted = Mounted::new(&issue("ana"));
    let client = client_of(broker, mounted.0.path()).await.unwrap();
    let who = async || client.who_am_i(pb::WhoAmIRequest::default()).await.unwrap().identity;
    assert_eq!(who().await, crate::organisation::identity("ana"));
    // when half of a pair is exchanged, then the former goes on
    let ben = issue("ben");
    mounted.exchange("2", &ben.chain_pem, &issue("ana").key_pem);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(who().await, crate::organisation::identity("ana"));
    // and when all of it is, calls come from whom it names
    mounted.exchange("3", &ben.chain_pem, &ben.key_pem);
    crate::harness::eventually("ben", async || (who().await == crate::organisation::identity("ben")).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_means_nobody_is_an_error_of_connecting() {
    let broker = Broker::shared();
    let nobody = broker.organisation.authority().issue(&client(&crate::organisation::identity("nobody")));
    let mounted = Mounted::new(&nobody);
    let error = client_of(broker, mounted.0.path()).await.unwrap_err();
    assert_eq!(error.reason(), Some(countersign::domain::value::refusal::Reason::NoAccount), "{error}");
    assert!(error.to_string().contains("countersign enrol account"), "{error}");
}
