//! StreamCheckAccess over the real binary: the same answers as one by one, in order, each bound to its question; cut off
//! with the right to ask (known failures F1, F10 and G12).

use std::time::Duration;

use countersign::sdk::{CheckStream, Client, ClientError};
use countersign::wire::v1 as pb;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tonic::Code;

use crate::harness::{Broker, eventually};
use crate::life::left_urgently;
use crate::person::{ORDERS, refused, repair};

const PAYMENTS: &str = "prod/eu/db/payments/ledger";

async fn client(broker: &Broker, name: &str) -> Client {
    let leaf = broker.organisation.leaf(name);
    Client::builder(format!("https://{}", broker.address))
        .authority_pem(broker.organisation.northwind.pem())
        .identity_pem(leaf.chain_pem, leaf.key_pem)
        .connect()
        .await
        .unwrap()
}

fn query(subject: &str, action: &str, resource: &str) -> pb::CheckQuery {
    pb::CheckQuery { subject: subject.to_owned(), action: action.to_owned(), resource: resource.to_owned() }
}

#[tokio::test]
async fn answers_of_a_stream_are_those_of_single_checks() {
    // given somebody with a grant
    let broker = Broker::shared();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let grant = engineer.granted(repair(), &ben).await;
    let orders = client(broker, "orders-api").await;
    let mut stream = orders.check_stream().await.unwrap();
    let identity = crate::organisation::identity(&engineer.name);
    let subject = prop::sample::select(vec![engineer.name.clone(), identity, "ben".into(), "nobody".into()]);
    let action = prop::sample::select(vec!["db.read", "db.write", "metadata.read"]);
    let resource = prop::sample::select(vec![ORDERS, PAYMENTS, "prod/eu/db/orders", "status/page"]);
    let batches = prop::collection::vec((subject, action, resource), 1..=128);
    let mut runner = TestRunner::deterministic();
    let mut allowed = 0;
    for _ in 0..12 {
        // when random batches are asked, several before the first is answered
        let asked: Vec<_> = (0..3).map(|_| batches.new_tree(&mut runner).unwrap().current()).collect();
        for batch in &asked {
            let queries = batch.iter().map(|(subject, action, resource)| query(subject, action, resource));
            stream.ask(queries.collect()).await.unwrap();
        }
        for batch in &asked {
            // then each answer is that of a check by itself
            let answered = stream.answer().await.unwrap();
            assert_eq!(answered.len(), batch.len());
            for ((subject, action, resource), answer) in batch.iter().zip(&answered).step_by(7) {
                let single = orders.check(subject, action, resource).await.unwrap();
                assert_eq!((answer.is_allowed(), answer.reason()), (single.is_allowed(), single.reason()));
                assert_eq!((answer.grant_id(), answer.valid_until()), (single.grant_id(), single.valid_until()));
                allowed += usize::from(answer.is_allowed());
            }
        }
    }
    assert!(allowed > 10, "{allowed}");
    // when the grant is revoked, then the very next batch is denied, at that sequence or later
    ben.revoke(&grant.id).await.unwrap();
    let denied = stream.check(vec![query(&engineer.name, "db.read", ORDERS)]).await.unwrap();
    assert_eq!((denied[0].is_allowed(), denied[0].reason()), (false, "NO_GRANT"));
}

#[tokio::test]
async fn a_check_that_was_dropped_leaves_its_answer_to_nobody() {
    // given somebody with a grant, and a check of it that is given up before the answer is there
    let broker = Broker::shared();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    engineer.granted(repair(), &ben).await;
    let mut stream = client(broker, "orders-api").await.check_stream().await.unwrap();
    let allowed = || query(&engineer.name, "db.read", ORDERS);
    for _ in 0..20 {
        let given_up = tokio::time::timeout(Duration::ZERO, stream.check(vec![allowed(), allowed()])).await;
        // when the next question is another one, then it has an answer of its own
        let denied = stream.check(vec![query("mallory", "db.drop", ORDERS)]).await.unwrap();
        assert_eq!((denied.len(), denied[0].reason()), (1, "NO_GRANT"), "{given_up:?}");
    }
}

#[tokio::test]
async fn a_malformed_batch_ends_the_stream_and_is_named() {
    let broker = Broker::shared();
    let orders = client(broker, "orders-api").await;
    let good = || query("ana", "db.read", ORDERS);
    for (bad, wanted) in [
        (vec![good(), query("ana", "db.read", "prod/../orders")], "queries[1].resource"),
        (vec![good(), good(), query("ana", "DB", ORDERS)], "queries[2].action"),
        (vec![query("", "db.read", ORDERS)], "queries[0].subject"),
        (vec![], "queries"),
        (vec![good(); 129], "queries"),
    ] {
        let mut stream = orders.check_stream().await.unwrap();
        let _ = stream.check(vec![good()]).await.unwrap();
        stream.ask(bad).await.unwrap();
        stream.ask(vec![good()]).await.unwrap();
        // then the batch and what is wrong in it are named
        let Err(ClientError::Refused(refusal)) = stream.answer().await else { panic!("it was answered") };
        assert_eq!((refusal.code, refusal.fields[0].field.as_str()), (Code::InvalidArgument, wanted));
        assert!(refusal.text.starts_with("batch 2: "), "{}", refusal.text);
        // and nothing after it is answered
        stream.answer().await.unwrap_err();
        stream.check(vec![good()]).await.unwrap_err();
    }
}

#[tokio::test]
async fn whoever_may_not_ask_gets_no_stream() {
    let broker = Broker::shared();
    let stranger = broker.person("stranger").await;
    let batches = tokio_stream::iter([pb::StreamCheckAccessRequest::default()]);
    let told = stranger.access().stream_check_access(batches).await.map(|_| ());
    refused(told, Code::PermissionDenied, "NO_ACCOUNT");
}

#[tokio::test]
async fn an_account_that_is_shut_out_is_cut_off_in_the_middle() {
    // given a person with a stream about themselves
    let broker = Broker::new();
    broker.hired("dev", "sam").await;
    let dev = client(&broker, "dev").await;
    let (mut busy, mut idle) = (dev.check_stream().await.unwrap(), dev.check_stream().await.unwrap());
    let own = || vec![query("dev", "db.read", ORDERS)];
    let _ = busy.check(own()).await.unwrap();
    let _ = idle.check(own()).await.unwrap();
    // when they leave
    broker.person("hr-sync").await.tell(vec![left_urgently("dev", false)]).await.unwrap();
    // then the next batch is refused
    let error = busy.check(own()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Refused(refusal) if refusal.code == Code::PermissionDenied), "{error:?}");
    // and a stream on which nothing is asked ends at a beat
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    idle.check(own()).await.unwrap_err();
}

#[tokio::test]
async fn a_stream_ends_in_good_order_when_the_broker_stops() {
    let broker = Broker::new();
    let orders = client(&broker, "orders-api").await;
    let mut stream = orders.check_stream().await.unwrap();
    let asked = || vec![query("ana", "db.read", ORDERS)];
    let _ = stream.check(asked()).await.unwrap();
    // when it is told to stop, then the stream ends, and no answer is an allow
    broker.terminate();
    eventually("the end of the stream", async || stream.check(asked()).await.err()).await;
    let (code, printed, _) = broker.ended().await;
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("cut=0"), "{printed}");
}

#[tokio::test]
async fn a_reader_who_does_not_read_holds_nobody_up() {
    let broker = Broker::shared();
    let orders = client(broker, "orders-api").await;
    let mut slow: CheckStream = orders.check_stream().await.unwrap();
    let asked = vec![query("ana", "db.read", ORDERS); 128];
    // given batches that nobody takes the answers of
    for _ in 0..64 {
        slow.ask(asked.clone()).await.unwrap();
    }
    // then others are answered meanwhile
    let mut other = orders.check_stream().await.unwrap();
    assert_eq!(other.check(asked).await.unwrap().len(), 128);
    // and what was asked is answered in its order, all of it
    for _ in 0..64 {
        assert_eq!(slow.answer().await.unwrap().len(), 128);
    }
}
