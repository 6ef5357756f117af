//! Locks over the real binary: by the command line, on every path at once, the replica's and the stream's included, over a
//! restart, and lifted by somebody else.

use countersign::sdk::Replica;
use countersign::wire::v1 as pb;
use tonic::Code;

use crate::harness::{Broker, Start, eventually, run};
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
async fn a_lock_stops_a_person_on_every_path_until_somebody_else_lifts_it() {
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
async fn everything_is_locked_but_the_one_who_may_lift_it() {
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
async fn a_revoking_lock_tells_what_it_will_end_and_ends_that() {
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
async fn a_service_that_is_locked_asks_nothing_by_any_way() {
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
