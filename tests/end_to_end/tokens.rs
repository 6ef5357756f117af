//! Grant tokens over the real binary: asked for by the holder, verified without the broker, bound to one certificate and one
//! service, cut off by the grant's end (known failure E3 to E7, E10).

use countersign::domain::value::time::{Span, Timestamp};
use countersign::sdk::{Client, PresentedToken, TokenVerifier};
use countersign::wire::v1 as pb;
use pb::token_service_client::TokenServiceClient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tonic::{Code, Status};

use crate::common::certificates::{Leaf, now_millis};
use crate::harness::{Broker, Start, run};
use crate::person::{ORDERS, Person, call_id, refused, repair, seconds};

fn now() -> Timestamp {
    Timestamp::from_millis(now_millis()).unwrap()
}

fn der(leaf: &Leaf) -> Vec<u8> {
    CertificateDer::from_pem_slice(leaf.chain_pem.as_bytes()).unwrap().to_vec()
}

/// To read orders, now.
fn read_orders<'a>(token: &'a str, peer_leaf_der: &'a [u8]) -> PresentedToken<'a> {
    PresentedToken { token, peer_leaf_der, action: "db.read", resource: ORDERS, now: now() }
}

/// An engineer with a certificate that the test knows, and a client of the same.
async fn holder(broker: &Broker) -> (Person, Leaf) {
    let name = broker.engineer().await.name;
    let leaf = broker.organisation.leaf(&name);
    let channel = broker.endpoint(Some(&leaf)).connect().await.unwrap();
    (Person { name, channel }, leaf)
}

fn request(grant: &pb::Grant, audience: &str) -> pb::IssueGrantTokenRequest {
    let audience = audience.to_owned();
    pb::IssueGrantTokenRequest { request_id: call_id(), grant_id: grant.id.clone(), audience, lifetime: None }
}

async fn issue(person: &Person, request: pb::IssueGrantTokenRequest) -> Result<pb::IssueGrantTokenResponse, Status> {
    let mut tokens = TokenServiceClient::new(person.channel.clone());
    Ok(tokens.issue_grant_token(request).await?.into_inner())
}

async fn client(broker: &Broker, name: &str) -> Client {
    let leaf = broker.organisation.leaf(name);
    Client::builder(format!("https://{}", broker.address))
        .authority_pem(broker.organisation.northwind.pem())
        .identity_pem(leaf.chain_pem, leaf.key_pem)
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_service_without_the_broker_believes_the_holder_for_a_minute() {
    // given a grant, and a service that has fetched the keys
    let broker = Broker::shared();
    let ((engineer, leaf), ben) = (holder(broker).await, broker.person("ben").await);
    let grant = engineer.granted(repair(), &ben).await;
    let keys = client(broker, "orders-api").await.token_keys().await.unwrap();
    let verifier = TokenVerifier::new("orders-api", keys.clone()).unwrap();
    // when the holder has a token signed
    let asked = request(&grant, "orders-api");
    let answer = issue(&engineer, asked.clone()).await.unwrap();
    let verify = |leaf: &Leaf, action, resource, now| {
        let peer_leaf_der = &der(leaf);
        verifier.verify(PresentedToken { token: &answer.token, peer_leaf_der, action, resource, now }).reason()
    };
    // then it is believed with that certificate, within the grant, until it is over
    assert_eq!(verify(&leaf, "db.read", ORDERS, now()), "GRANTED");
    assert_eq!(verify(&leaf, "db.write", ORDERS, now()), "TOKEN_OUT_OF_SCOPE");
    assert_eq!(verify(&leaf, "db.read", "prod/eu/db/orders/replica", now()), "TOKEN_OUT_OF_SCOPE");
    assert_eq!(verify(&leaf, "db.read", ORDERS, now().plus(Span::seconds(60))), "TOKEN_EXPIRED");
    // and with no other: not even another one of the same person
    assert_eq!(verify(&broker.organisation.leaf(&engineer.name), "db.read", ORDERS, now()), "TOKEN_OTHER_CERTIFICATE");
    // and by no other service
    let other = TokenVerifier::new("deploy-bot", keys).unwrap();
    assert_eq!(other.verify(read_orders(&answer.token, &der(&leaf))).reason(), "TOKEN_OTHER_AUDIENCE");
    // when the same call is sent again, then it is the same token
    assert_eq!(issue(&engineer, asked.clone()).await.unwrap(), answer);
    // when the grant is revoked, then no token is signed any more, not for the same call either
    ben.revoke(&grant.id).await.unwrap();
    refused(issue(&engineer, asked).await, Code::FailedPrecondition, "NOT_LIVE");
    refused(issue(&engineer, request(&grant, "orders-api")).await, Code::FailedPrecondition, "NOT_LIVE");
    // and the one that is out is good until it is over, as documented
    assert_eq!(verify(&leaf, "db.read", ORDERS, now()), "GRANTED");
}

#[tokio::test]
async fn a_token_is_for_its_holder_and_an_enforcement_point() {
    let broker = Broker::shared();
    let ((engineer, _), ben) = (holder(broker).await, broker.person("ben").await);
    let grant = engineer.granted(repair(), &ben).await;
    refused(issue(&ben, request(&grant, "orders-api")).await, Code::PermissionDenied, "NOT_HOLDER");
    for audience in ["deploy-bot", "ben", "nobody"] {
        refused(issue(&engineer, request(&grant, audience)).await, Code::FailedPrecondition, "AUDIENCE_INVALID");
    }
    for wrong in [
        pb::IssueGrantTokenRequest { lifetime: seconds(61), ..request(&grant, "orders-api") },
        pb::IssueGrantTokenRequest { lifetime: seconds(0), ..request(&grant, "orders-api") },
        pb::IssueGrantTokenRequest { lifetime: seconds(-1), ..request(&grant, "orders-api") },
        pb::IssueGrantTokenRequest { request_id: String::new(), ..request(&grant, "orders-api") },
        pb::IssueGrantTokenRequest { grant_id: "7".into(), ..request(&grant, "orders-api") },
        request(&grant, ""),
        request(&grant, "Orders"),
    ] {
        refused(issue(&engineer, wrong).await, Code::InvalidArgument, "INVALID_MESSAGE");
    }
}

#[tokio::test]
async fn keys_outlive_the_broker_and_no_token_is_written_down() {
    // given a token
    let broker = Broker::new();
    let ((engineer, leaf), ben) = (holder(&broker).await, broker.person("ben").await);
    let grant = engineer.granted(repair(), &ben).await;
    let token = issue(&engineer, request(&grant, "orders-api")).await.unwrap().token;
    // when the broker is killed and started again
    let printed = broker.printed();
    let organisation = broker.kill();
    let broker = Broker::serve(&organisation, &Start::default());
    // then its keys are the same
    let keys = client(&broker, "orders-api").await.token_keys().await.unwrap();
    let verifier = TokenVerifier::new("orders-api", keys).unwrap();
    assert_eq!(verifier.verify(read_orders(&token, &der(&leaf))).reason(), "GRANTED");
    // and neither the log nor the journal has the token, or its signature
    let signature = token.rsplit('.').next().unwrap();
    let journal = std::fs::read(organisation.journal()).unwrap();
    let holds = |bytes: &[u8]| bytes.windows(signature.len()).any(|window| window == signature.as_bytes());
    assert!(!printed.contains(signature) && !broker.printed().contains(signature) && !holds(&journal));
    // but the journal tells that there was one, for whom and until when
    let auditor = broker.person("omar").await;
    let filter = pb::ListEventsRequest { kind: "grant-token-issued".into(), ..Default::default() };
    let events = auditor.events(filter).await;
    assert_eq!(events.len(), 1);
    assert!(events[0].about.contains(&format!("grant:{}", grant.id)) && events[0].facts_json.contains("orders-api"));
    assert_eq!(broker.verify().code, Some(0));
}

#[tokio::test]
async fn the_command_line_prints_the_token_alone() {
    let broker = Broker::shared();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let grant = engineer.granted(repair(), &ben).await;
    let ending = &grant.id[grant.id.len() - 12..];
    let words = ["token", ending, "--audience", "orders-api", "--lifetime", "30s"];
    let ended = run(&mut broker.command(&engineer.name, &words));
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 1), "{}", ended.stderr);
    assert_eq!(ended.stdout.trim().split('.').count(), 3);
    let ended = run(&mut broker.command("ben", &words));
    assert_eq!(ended.code, Some(3), "{}{}", ended.stdout, ended.stderr);
}
