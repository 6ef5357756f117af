//! A broker that is frozen with answers under way, and goes on after the grants' end: what it had decided by then is no allow
//! any more when it arrives (known failure C13).
//!
//! Whatever the machine does meanwhile, an answer that arrives after the end has been on its way for longer than the grant had
//! left when it was given: the test waits for the end, and for nothing else.

use std::process::Command;
use std::time::Duration;

use countersign::sdk::{CheckedAccess, Client};
use countersign::wire::v1 as pb;

use crate::common::certificates::now_millis;
use crate::harness::{Broker, Start, eventually, free_address, metric};
use crate::held::Held;
use crate::organisation::Organisation;
use crate::person::{ORDERS, millis, repair, seconds};

/// How long the grant lives: long enough to ask under it, however busy the machine is.
const LIFE_SECONDS: i64 = 20;
/// What a broker's clock may differ from the machine's.
const SLACK_MILLIS: i64 = 200;

fn signal(broker: &Broker, name: &str) {
    assert!(Command::new("kill").arg(name).arg(broker.id().to_string()).status().unwrap().success());
}

async fn client(broker: &Broker, port: u16) -> Client {
    let (certificate, key) = broker.organisation.leaf_files("orders-api");
    let patient = Duration::from_secs(60);
    let builder = Client::builder(format!("localhost:{port}")).call_timeout(patient).connect_timeout(patient);
    let builder = builder.authority_file(broker.organisation.path("northwind.pem")).identity_files(certificate, key);
    builder.connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allow_that_was_decided_before_a_freeze_is_a_deny_after_the_end() {
    // given a grant, and a service that asks by each way there is
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let metrics = free_address();
    let flags = vec!["--metrics-listen".to_owned(), metrics.to_string()];
    let broker = Broker::serve(&organisation.into(), &Start { flags, ..Start::default() });
    let held = Held::before(broker.address).await;
    let client = client(&broker, held.address.port()).await;
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let mut stream = client.check_stream().await.unwrap();
    let query = pb::CheckQuery { subject: engineer.name.clone(), action: "db.read".into(), resource: ORDERS.into() };
    let request = pb::RequestElevationRequest { duration: seconds(LIFE_SECONDS), ..repair() };
    let grant = engineer.granted(request, &ben).await;
    assert!(client.check(&engineer.name, "db.read", ORDERS).await.unwrap().is_allowed());
    // when it asks, the broker has decided, and is frozen before any of it arrives
    held.hold();
    let allows = || metric(metrics, &["checks_total", "verdict=\"allow\""]);
    let before = allows();
    let one = tokio::spawn({
        let (client, name) = (client.clone(), engineer.name.clone());
        async move { vec![client.check(&name, "db.read", ORDERS).await.unwrap()] }
    });
    let batch = tokio::spawn({
        let (client, queries) = (client.clone(), vec![query.clone(); 3]);
        async move { client.check_batch(queries).await.unwrap() }
    });
    let streamed = tokio::spawn(async move { stream.check(vec![query; 3]).await.unwrap() });
    eventually("seven allows", async || (allows() >= before + 7).then_some(())).await;
    signal(&broker, "-STOP");
    let end = millis(grant.end_time.as_ref());
    while now_millis() <= end + SLACK_MILLIS {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    signal(&broker, "-CONT");
    held.let_go();
    // then each answer says ALLOW, and allows nothing
    for answers in [one, batch, streamed] {
        for answer in answers.await.unwrap() {
            assert!(!answer.is_allowed(), "{answer:?}");
            let message = CheckedAccess::into_message(answer);
            assert_eq!((message.verdict(), message.grant_id.as_str()), (pb::Verdict::Allow, grant.id.as_str()));
        }
    }
    // and the next one is denied by the broker itself
    assert_eq!(client.check(&engineer.name, "db.read", ORDERS).await.unwrap().reason(), "NO_GRANT");
}
