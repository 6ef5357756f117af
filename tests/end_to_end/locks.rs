//! Part 2 of the guard rails over the real binary: by the command line, on every path at once, the replica's and the stream's included, over a
//! restart, and lifted by somebody else.

use countersign::domain::value::time::Timestamp;
use countersign::sdk::Replica;
use countersign::wire::v1 as pb;
use tonic::Code;

use crate::common::certificates::now_millis;
use crate::harness::{Broker, Start, eventually, run};
use crate::organisation::{Files, Organisation};
use crate::person::{ORDERS, refused, repair};

/// Runs a command as somebody, and answers its standard output; its exit code must be as wanted.
#[track_caller]
fn said(broker: &Broker, who: &str, words: &[&str], code: i32) -> (String, String) {
    let ended = run(&mut broker.command(who, words));
    assert_eq!(ended.code, Some(code), "{who} {words:?}: {}{}", ended.stdout, ended.stderr);
    (ended.stdout, ended.stderr)
}

async fn replica(broker: &Broker) -> Replica {
    let leaf = broker.organisation.leaf("orders-api");
    Replica::builder([format!("https://{}", broker.address)])
        .authority_pem(broker.organisation.northwind.pem())
        .identity_pem(leaf.chain_pem, leaf.key_pem)
        .connect()
        .await
        .unwrap()
}

const LOCKED: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Deny, pb::CheckReason::Locked);
const GRANTED: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Allow, pb::CheckReason::Granted);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_2_a_lock_stops_a_person_on_every_path_until_somebody_else_lifts_it() {
    // given ana with a grant, and a service with a replica
    let broker = Broker::new();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    let grant = ana.granted(repair(), &ben).await;
    let replica = replica(&broker).await;
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, GRANTED);
    // when she is locked, and it is waited for
    let words = ["lock", "person", "ana", "--reason", "her laptop was stolen", "--wait"];
    let (_, note) = said(&broker, "sam", &words, 0);
    assert!(note.contains("person ana is locked until somebody lifts it"), "{note}");
    assert!(note.contains("in force in 1 of 1 connected replicas"), "{note}");
    // then broker and replica deny at once, and say why
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, LOCKED);
    assert_eq!(replica.check("ana", "db.read", ORDERS).reason(), "LOCKED");
    // and she asks for nothing, and is told why, by whom she may ask
    let status = refused(ana.request(repair()).await, Code::PermissionDenied, "LOCKED");
    assert!(status.message().contains("her laptop was stolen"), "{status:?}");
    let (who, _) = said(&broker, "ana", &["whoami"], 0);
    assert!(who.contains("her laptop was stolen"), "{who}");
    let (answer, why) = said(&broker, "ana", &["check", "ana", "db.read", ORDERS, "--explain"], 3);
    assert!((answer + &why).contains("her laptop was stolen"), "{why}");
    let (listed, _) = said(&broker, "ana", &["lock", "list"], 0);
    assert!(listed.contains("person ana") && listed.contains("her laptop was stolen"), "{listed}");
    let (nothing, _) = said(&broker, "ben", &["lock", "list", "-o", "json"], 0);
    assert_eq!(nothing.trim(), "[]");
    // and the grant keeps its end: it was stopped, not ended
    assert_eq!(ben.grant(&grant.id).await.unwrap().state(), pb::GrantState::Active);
    // and the lock outlives the broker
    drop(replica);
    let organisation = broker.kill();
    let broker = Broker::serve(&organisation, &Start::default());
    let orders = broker.person("orders-api").await;
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, LOCKED);
    // when it is lifted, then she goes on where she was
    let (listed, _) = said(&broker, "sam", &["lock", "list", "-o", "json"], 0);
    let locks: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = locks[0]["id"].as_str().unwrap().to_owned();
    said(&broker, "sam", &["unlock", &id, "--reason", "it was found"], 0);
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, GRANTED);
}

#[tokio::test]
async fn part_2_everything_is_locked_but_the_one_who_may_lift_it() {
    let broker = Broker::new();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    let grant = ana.granted(repair(), &ben).await;
    said(&broker, "sam", &["lock", "all", "--reason", "we are being attacked"], 0);
    for subject in ["ana", "ben", "nobody"] {
        assert_eq!(orders.verdict(subject, "metadata.read", ORDERS).await, LOCKED);
    }
    refused(ben.request(repair()).await, Code::PermissionDenied, "LOCKED");
    // what takes away goes on
    assert_eq!(ben.revoke(&grant.id).await.unwrap().state(), pb::GrantState::Revoked);
    let (listed, _) = said(&broker, "sam", &["lock", "list", "-o", "json"], 0);
    let locks: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = locks[0]["id"].as_str().unwrap();
    said(&broker, "ana", &["unlock", id, "--reason", "mine"], 3);
    said(&broker, "sam", &["unlock", id, "--reason", "it was a drill"], 0);
    ana.granted(repair(), &ben).await;
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, GRANTED);
}

#[tokio::test]
async fn part_2_a_revoking_lock_tells_what_it_will_end_and_ends_that() {
    let broker = Broker::new();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let grant = ana.granted(repair(), &ben).await;
    let words = ["lock", "resources", "prod/eu/db/**", "--reason", "a leak", "--revoke"];
    let (tried, _) = said(&broker, "sam", &[&words[..], &["--dry-run"]].concat(), 0);
    assert_eq!(ben.grant(&grant.id).await.unwrap().state(), pb::GrantState::Active);
    let (done, _) = said(&broker, "sam", &words, 0);
    assert!(tried.contains(&grant.id[30..]) && done.contains(&grant.id[30..]), "{tried}\n{done}");
    assert_eq!(ben.grant(&grant.id).await.unwrap().state(), pb::GrantState::Revoked);
    // and what cannot be locked is refused with what to do
    let (_, no) = said(&broker, "sam", &["lock", "resources", "*/eu", "--reason", "x"], 2);
    assert!(no.contains("begins with a name"), "{no}");
    let (_, no) = said(&broker, "sam", &["lock", "person", "sam", "--reason", "x"], 5);
    assert!(no.contains("nobody could lift"), "{no}");
    said(&broker, "ana", &["lock", "person", "ben", "--reason", "x"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_2_a_service_that_is_locked_asks_nothing_by_any_way() {
    // given a service with a stream and a replica, and somebody with a grant
    let broker = Broker::new();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    ana.granted(repair(), &ben).await;
    let replica = replica(&broker).await;
    assert!(replica.check("ana", "db.read", ORDERS).is_allowed());
    let (batches, asked) = tokio::sync::mpsc::channel(1);
    let asked = tokio_stream::wrappers::ReceiverStream::new(asked);
    let mut answers = orders.access().stream_check_access(asked).await.unwrap().into_inner();
    let query = pb::CheckQuery { subject: "ana".into(), action: "db.read".into(), resource: ORDERS.into() };
    let batch = pb::StreamCheckAccessRequest { batch_id: 7, queries: vec![query] };
    batches.send(batch.clone()).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().answers[0].verdict(), pb::Verdict::Allow);
    // when it is locked
    said(&broker, "sam", &["lock", "account", "orders-api", "--reason", "its key leaked"], 0);
    // then it is refused by each way, with the reason
    let status = refused(orders.check("ana", "db.read", ORDERS).await, Code::PermissionDenied, "LOCKED");
    assert!(status.message().contains("its key leaked"), "{status:?}");
    batches.send(batch).await.unwrap();
    refused(answers.message().await, Code::PermissionDenied, "LOCKED");
    // and its replica, which was told so, allows nothing any more
    eventually("the replica allows nothing", async || {
        Some(()).filter(|()| !replica.check("ana", "db.read", ORDERS).is_allowed())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_2_a_lock_of_each_kind_stops_at_once_in_the_replica_too_and_ends_what_it_may() {
    let broker = Broker::new();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    let grant = ana.granted(repair(), &ben).await;
    let replica = replica(&broker).await;
    let kinds =
        [["account", "ana"], ["role", "db-engineer"], ["entitlement", "orders-db-repair"], ["resources", "prod/eu/**"]];
    for kind in kinds {
        // when it is locked, and that is waited for
        let lock = [&["lock"], &kind[..], &["--reason", "an incident", "--wait"]].concat();
        said(&broker, "sam", &lock, 0);
        // then broker and replica deny at once, and the request that goes with it is refused
        assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, LOCKED, "{kind:?}");
        assert_eq!(replica.check("ana", "db.read", ORDERS).reason(), "LOCKED", "{kind:?}");
        refused(ana.request(repair()).await, Code::PermissionDenied, "LOCKED");
        // and once it is lifted, both allow
        let (listed, _) = said(&broker, "sam", &["lock", "list", "-o", "json"], 0);
        let locks: serde_json::Value = serde_json::from_str(&listed).unwrap();
        said(&broker, "sam", &["unlock", locks[0]["id"].as_str().unwrap(), "--reason", "over"], 0);
        assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, GRANTED, "{kind:?}");
        eventually("the replica allows again", async || {
            Some(()).filter(|()| replica.check("ana", "db.read", ORDERS).is_allowed())
        })
        .await;
    }
    assert_eq!(ben.grant(&grant.id).await.unwrap().state(), pb::GrantState::Active);
    // when one has an end, then nobody lifts it and it is over
    let until = Timestamp::from_millis(now_millis() + 2_000).unwrap().to_string();
    said(&broker, "sam", &["lock", "role", "db-engineer", "--reason", "a moment", "--until", &until, "--wait"], 0);
    eventually("it has ended by itself", async || {
        Some(()).filter(|()| replica.check("ana", "db.read", ORDERS).is_allowed())
    })
    .await;
    // when a tenant is locked, then its own people approve nothing, and nobody asks for what is its
    let into = ["request", "mailbox-support", "tenants/acme/mail/inbox", "--ticket", "INC-9", "--reason"];
    let into = [&into[..], &["lena cannot see mail since noon"]].concat();
    let (asked, _) = said(&broker, "ana", &into, 0);
    broker.person("sam").await.approve(asked.trim()).await.unwrap();
    said(&broker, "sam", &["lock", "tenant", "acme", "--reason", "their keys leaked"], 0);
    let lena = broker.person("acme.lena").await;
    refused(lena.approve(asked.trim()).await, Code::PermissionDenied, "LOCKED");
    said(&broker, "ana", &[&into[..], &["--for", "5m"]].concat(), 3);
    let (told, _) = said(&broker, "acme.lena", &["whoami"], 0);
    assert!(told.contains("their keys leaked"), "{told}");
    // when each revokes, then what it touches is over for good
    for kind in kinds {
        let grant = ana.granted(repair(), &ben).await.id;
        said(&broker, "sam", &[&["lock"], &kind[..], &["--reason", "an incident", "--revoke"]].concat(), 0);
        assert_eq!(ben.grant(&grant).await.unwrap().state(), pb::GrantState::Revoked, "{kind:?}");
        let (listed, _) = said(&broker, "sam", &["lock", "list", "-o", "json"], 0);
        let locks: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let lock = locks.as_array().unwrap().iter().find(|it| it.to_string().contains("an incident")).unwrap();
        said(&broker, "sam", &["unlock", lock["id"].as_str().unwrap(), "--reason", "over"], 0);
        assert_ne!(orders.verdict("ana", "db.read", ORDERS).await, GRANTED, "{kind:?}");
    }
}

#[tokio::test]
async fn part_2_nobody_lifts_a_lock_on_themselves() {
    // given two who may lock
    let mut files = Files::example();
    files.policy.push_str("\n[roles.second-duty]\ncapabilities = [\"lock.manage\"]\n");
    let ben = "roles = [\"incident-commander\"]";
    assert!(files.directory.contains(ben));
    files.directory = files.directory.replacen(ben, "roles = [\"incident-commander\", \"second-duty\"]", 1);
    let broker = Broker::of(Organisation::with(&files));
    said(&broker, "sam", &["lock", "person", "ben", "--reason", "who was that"], 0);
    let (listed, _) = said(&broker, "ben", &["lock", "list", "-o", "json"], 0);
    let locks: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = locks[0]["id"].as_str().unwrap();
    // then the one whom it is on does not lift it, and the other does
    let (_, no) = said(&broker, "ben", &["unlock", id, "--reason", "that was me"], 3);
    assert!(no.contains("reason: LOCKED") && no.contains("who was that"), "{no}");
    said(&broker, "sam", &["unlock", id, "--reason", "that was them"], 0);
}
