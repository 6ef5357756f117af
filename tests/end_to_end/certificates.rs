//! Who gets in, and as whom: certificates that the broker refuses at the door, each counted as what it is, and people
//! whom it lets in and does not know (known failures D9, D10 and J5).

use std::net::SocketAddr;

use countersign::wire::v1 as pb;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::common::certificates::{Authority, Leaf, Wanted, client};
use crate::harness::{Broker, Start, eventually, free_address, metric};
use crate::organisation::Organisation;
use crate::person::{ORDERS, Person, refused, repair};

const ANA: &str = "spiffe://northwind.example/person/ana";

#[tokio::test]
async fn a_certificate_that_is_not_right_is_refused_and_counted_as_what_it_is() {
    // given a broker that tells what it counts
    let organisation = Organisation::new();
    let metrics = free_address();
    organisation.configure("drain_deadline = \"2s\"");
    assert_eq!(organisation.init().code, Some(0));
    let flags = vec!["--metrics-listen".to_owned(), metrics.to_string()];
    let broker = Broker::serve(&organisation.into(), &Start { flags, ..Start::default() });
    let (northwind, acme) = (&broker.organisation.northwind, &broker.organisation.acme);
    let several =
        Wanted { uris: vec![ANA.to_owned(), "spiffe://northwind.example/person/ben".to_owned()], ..Wanted::default() };
    let named =
        Wanted { common_name: Some("ana".to_owned()), dns: vec!["ana.example".to_owned()], ..Wanted::default() };
    let rows: [(Option<Leaf>, &str); 8] = [
        (None, "no_certificate"),
        (Some(Authority::new("northwind").issue(&client(ANA))), "untrusted"),
        (Some(acme.issue(&client(ANA))), "foreign_trust_domain"),
        (Some(northwind.issue(&client("spiffe://acme.example/person/zoe"))), "foreign_trust_domain"),
        (Some(northwind.issue(&several)), "several_identities"),
        (Some(northwind.issue(&named)), "no_identity"),
        (Some(northwind.issue(&client("spiffe://northwind.example/person/../ana"))), "bad_identity"),
        (Some(northwind.issue(&Wanted { from_seconds: -7_000, to_seconds: -60, ..client(ANA) })), "untrusted"),
    ];
    for (leaf, outcome) in rows {
        // when it calls
        let before = counted(metrics, outcome);
        let result = match broker.endpoint(leaf.as_ref()).connect().await {
            Ok(channel) => {
                HealthClient::new(channel).check(HealthCheckRequest::default()).await.map_err(|e| e.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        // then it is not let in, and why is counted
        assert!(result.is_err(), "{outcome}");
        eventually(outcome, async || (counted(metrics, outcome) > before).then_some(())).await;
    }
    assert_eq!(counted(metrics, "accepted"), 0);
    // and whoever is right still gets in
    broker.person("ana").await.request(repair()).await.unwrap();
    // and how much was recorded at once is counted
    assert!(metric(metrics, &["batch_rows_count"]) > 0);
}

#[tokio::test]
async fn an_identity_that_nobody_knows_is_told_who_it_is_and_nothing_else() {
    let broker = Broker::shared();
    let zoe = broker.organisation.acme.issue(&client("spiffe://acme.example/person/zoe"));
    let zoe = Person { name: "zoe".to_owned(), channel: broker.endpoint(Some(&zoe)).connect().await.unwrap() };
    for stranger in [broker.person("stranger").await, zoe] {
        let who = stranger.accounts().who_am_i(pb::WhoAmIRequest {}).await.unwrap().into_inner();
        assert!(who.identity.ends_with(&stranger.name) && who.account.is_none() && who.person.is_none(), "{who:?}");
        no_account(&stranger).await;
    }
}

#[tokio::test]
async fn a_person_without_an_account_sees_the_way_to_one_and_can_ask_for_nothing() {
    let pia = Broker::shared().person("pia").await;
    let who = pia.accounts().who_am_i(pb::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((who.person.as_ref().unwrap().id.as_str(), who.account), ("pia", None));
    assert_eq!(who.obstacles.first().map(|obstacle| obstacle.reason.as_str()), Some("NO_ACCOUNT"));
    refused(pia.request(repair()).await, Code::PermissionDenied, "NO_ACCOUNT");
    refused(pia.check("pia", "metadata.read", "status/api").await, Code::PermissionDenied, "NO_ACCOUNT");
}

#[tokio::test]
async fn one_account_asks_about_itself_alone_and_a_machine_within_its_audience() {
    let broker = Broker::shared();
    let (engineer, orders) = (broker.engineer().await, broker.person("orders-api").await);
    let allowed = (pb::Verdict::Allow, pb::CheckReason::Baseline);
    let outside = (pb::Verdict::Deny, pb::CheckReason::OutOfAudience);
    assert_eq!(engineer.verdict(&engineer.name, "metadata.read", "status/api").await, allowed);
    assert_eq!(engineer.verdict("ana", "metadata.read", "status/api").await, outside);
    assert_eq!(orders.verdict("ana", "metadata.read", "status/api").await, outside);
    assert_eq!(orders.verdict("ana", "db.read", "prod/eu/db/payments/a").await, outside);
    assert_eq!(
        orders.verdict("ana", "db.write", "prod/ap/db/orders/a/b").await,
        (pb::Verdict::Deny, pb::CheckReason::NoGrant)
    );
}

async fn no_account(stranger: &Person) {
    refused(stranger.request(repair()).await, Code::PermissionDenied, "NO_ACCOUNT");
    refused(stranger.check("ana", "db.read", ORDERS).await, Code::PermissionDenied, "NO_ACCOUNT");
    refused(stranger.elevation("019ab000-0000-7000-8000-000000000000").await, Code::PermissionDenied, "NO_ACCOUNT");
    let (mut elevations, mut audit, mut policy) = (stranger.elevations(), stranger.audit(), stranger.policy());
    let listed = elevations.list_entitlements(pb::ListEntitlementsRequest::default()).await;
    refused(listed, Code::PermissionDenied, "NO_ACCOUNT");
    refused(audit.list_events(pb::ListEventsRequest::default()).await, Code::PermissionDenied, "NO_ACCOUNT");
    refused(policy.get_policy(pb::GetPolicyRequest {}).await, Code::PermissionDenied, "NO_ACCOUNT");
    let watch = elevations.watch_elevations(pb::WatchElevationsRequest::default()).await.map(|_| ());
    refused(watch, Code::PermissionDenied, "NO_ACCOUNT");
}

/// How many handshakes ended so.
fn counted(metrics: SocketAddr, outcome: &str) -> u64 {
    metric(metrics, &["handshake", &format!("outcome=\"{outcome}\"")])
}
