//! The same attempts over gRPC, by the client library and on the command line: the same reason each time, because one
//! function decides (known failures A2 and F1).

use countersign::sdk::{Client, ClientError};
use countersign::wire::v1 as pb;
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::harness::{Broker, Ended, countersign, run};
use crate::person::{ORDERS, Person, reason, repair};

/// Runs a command as somebody, writing JSON.
pub fn command(broker: &Broker, name: &str, words: &[&str]) -> Ended {
    let mut command = broker.command(name, &[&["-o", "json"], words].concat());
    run(&mut command)
}

/// The reason that a command failed with, and its exit code.
pub fn failed(ended: &Ended) -> (String, i32) {
    let last = ended.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let error: serde_json::Value =
        serde_json::from_str(last).unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr));
    (error["error"]["reason"].as_str().unwrap_or_default().to_owned(), ended.code.unwrap())
}

fn client(broker: &Broker, name: &str) -> countersign::sdk::ClientBuilder {
    let (certificate, key) = broker.organisation.leaf_files(name);
    Client::builder(format!("https://{}", broker.address))
        .authority_file(broker.organisation.path("northwind.pem"))
        .identity_files(certificate, key)
}

fn told<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Refused(refused)) => refused.reason_name,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_refused_for_the_same_reason_on_every_surface() {
    let broker = Broker::shared();
    let engineer = broker.engineer().await;
    let (ben, sam, orders) =
        (broker.person("ben").await, broker.person("sam").await, broker.person("orders-api").await);
    let elevation = engineer.request(repair()).await.unwrap();
    let right = elevation.review.as_ref().unwrap().approval_text.clone();
    // self, in no approving role, a machine, another text
    let rows: [(&Person, &str, &str, i32); 4] = [
        (&engineer, &right, "SELF_APPROVAL", 3),
        (&sam, &right, "NOT_FOUND", 4),
        (&orders, &right, "NOT_FOUND", 4),
        (&ben, "another text", "DIGEST_MISMATCH", 5),
    ];
    for (person, text, wanted, exit) in rows {
        let by_api = person.approve_text(&elevation.id, text).await.unwrap_err();
        assert_eq!(reason(&by_api), wanted, "{}", person.name);
        let approval_digest = Sha256::digest(text.as_bytes()).to_vec();
        let digest: String = approval_digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let by_client = client(broker, &person.name).connect().await.unwrap();
        let message = pb::ApproveElevationRequest {
            request_id: crate::person::call_id(),
            elevation_id: elevation.id.clone(),
            approval_digest,
            comment: String::new(),
        };
        assert_eq!(told(by_client.approve_elevation(message).await), wanted, "{}", person.name);
        let ended = command(broker, &person.name, &["approve", &elevation.id, "--digest", &digest]);
        assert_eq!(failed(&ended), (wanted.to_owned(), exit), "{}: {}", person.name, ended.stderr);
    }
    // then nothing was approved, and on any surface it can be
    assert_eq!(engineer.elevation(&elevation.id).await.unwrap().state(), pb::ElevationState::Pending);
    let digest: String = Sha256::digest(right.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let ended = command(broker, "ben", &["approve", &elevation.id, "--digest", &digest]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let checked = command(broker, "orders-api", &["check", &engineer.name, "db.read", ORDERS]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    let checked = command(broker, "orders-api", &["check", &engineer.name, "db.write", ORDERS]);
    assert_eq!(checked.code, Some(3), "{}{}", checked.stdout, checked.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_refused_for_the_same_reason_on_every_surface() {
    let broker = Broker::shared();
    let engineer = broker.engineer().await;
    type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);
    let rows: [Row; 5] = [
        ("orders-db-repair", "prod/eu/db/payments/primary", "orders are stuck again", "INC-1", "OUT_OF_SCOPE"),
        ("orders-db-repair", ORDERS, "stuck", "INC-1", "JUSTIFICATION_REQUIRED"),
        ("orders-db-repair", ORDERS, "orders are stuck again", "CHG-1", "TICKET_REQUIRED"),
        ("no-such", ORDERS, "orders are stuck again", "INC-1", "NOT_FOUND"),
        ("orders-deploy", ORDERS, "orders are stuck again", "", "OUT_OF_SCOPE"),
    ];
    for (entitlement, resource, justification, ticket, wanted) in rows {
        let message = pb::RequestElevationRequest {
            entitlement: entitlement.to_owned(),
            resources: vec![resource.to_owned()],
            justification: justification.to_owned(),
            ticket: ticket.to_owned(),
            ..repair()
        };
        let by_api = engineer.request(message.clone()).await.unwrap_err();
        assert_eq!(reason(&by_api), wanted);
        let by_client = client(broker, &engineer.name).connect().await.unwrap();
        assert_eq!(told(by_client.request_elevation(message).await), wanted);
        let mut words =
            vec!["request", entitlement, resource, "-a", "db.read", "--for", "10m", "--reason", justification];
        if !ticket.is_empty() {
            words.extend(["--ticket", ticket]);
        }
        let ended = command(broker, &engineer.name, &words);
        assert_eq!(failed(&ended).0, wanted, "{}{}", ended.stdout, ended.stderr);
    }
}

#[tokio::test]
async fn what_cannot_be_reached_or_trusted_is_a_deny_with_an_exit_code_of_its_own() {
    let broker = Broker::new();
    let allowed_nothing = |ended: &Ended, exit: i32| {
        assert_eq!(ended.code, Some(exit), "{}{}", ended.stdout, ended.stderr);
        assert!(!ended.stdout.contains("allow"), "{}", ended.stdout);
    };
    // when nobody knows the certificate's authority
    let stranger = crate::common::certificates::Authority::new("northwind");
    let leaf = stranger.issue(&crate::common::certificates::client("spiffe://northwind.example/person/ana"));
    let status = broker.endpoint(Some(&leaf)).connect().await;
    let called = match status {
        Ok(channel) => Person { name: "ana".to_owned(), channel }.check("ana", "db.read", ORDERS).await.map(|_| ()),
        Err(error) => Err(tonic::Status::unavailable(error.to_string())),
    };
    assert_ne!(called.unwrap_err().code(), Code::Ok);
    // and when there is no broker
    let check = ["check", "ana", "db.read", ORDERS];
    allowed_nothing(&command(&broker, "orders-api", &check), 3);
    broker.terminate();
    let (_, _, organisation) = broker.ended().await;
    let (certificate, key) = organisation.leaf_files("orders-api");
    let mut gone = countersign();
    gone.args(check).env("COUNTERSIGN_ADDR", "https://127.0.0.1:1");
    gone.env("COUNTERSIGN_CA", organisation.path("northwind.pem"));
    gone.env("COUNTERSIGN_CERT", certificate).env("COUNTERSIGN_KEY", key);
    let ended = run(&mut gone);
    allowed_nothing(&ended, 8);
    assert!(ended.stderr.contains("no broker answers"), "{}", ended.stderr);
}
