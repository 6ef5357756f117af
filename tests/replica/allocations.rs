//! A check of a replica allocates nothing, whatever it answers: counted, not timed.

use allocation_counter::measure;
use countersign::check::Query;
use countersign::sdk::CheckedBatch;

use crate::scripted::{ANA, ORDERS, Scripted, eventually};

#[tokio::test]
async fn a_check_of_a_replica_allocates_nothing() {
    // given a replica, and this thread's first check behind it
    let broker = Scripted::new().await;
    let builder = broker.builder_with(&[]).lets_held_grants_run_on("prod/eu/db/orders/**".parse().unwrap());
    let replica = builder.max_staleness(std::time::Duration::from_millis(500)).connect().await.unwrap();
    let _ = replica.check(ANA, "db.read", ORDERS);
    let questions = [
        (ANA, ORDERS, "GRANTED"),
        ("nobody", ORDERS, "NO_GRANT"),
        (ANA, "test/db", "OUT_OF_AUDIENCE"),
        ("", "", "OUT_OF_AUDIENCE"),
    ];
    let ask = |expected: &[&str]| {
        for ((subject, resource, _), expected) in questions.iter().zip(expected) {
            let mut reasons = ("", "");
            let counted = measure(|| {
                reasons.0 = replica.check(subject, "db.read", resource).reason();
                reasons.1 = replica.check_at_least(1, subject, "db.read", resource).reason();
            });
            assert_eq!((reasons, counted.count_total), ((*expected, *expected), 0), "{subject} {resource}");
        }
        let queries = questions.map(|(subject, resource, _)| Query { subject, action: "db.read", resource });
        let mut answers = CheckedBatch::with_capacity(questions.len());
        let counted = measure(|| replica.check_batch(&queries, &mut answers));
        let reasons: Vec<_> = answers.iter().map(|checked| checked.reason()).collect();
        assert_eq!((reasons.as_slice(), counted.count_total), (expected, 0));
    };
    // when and then, fresh
    ask(&questions.map(|(.., expected)| expected));
    // and when all is too old but what runs on
    broker.script().is_mute = true;
    eventually("too old", || replica.check("nobody", "db.read", ORDERS).reason() == "STALE").await;
    ask(&["GRANTED", "STALE", "STALE", "STALE"]);
    // and when nothing is believed
    let pong = broker.script().pong(vec![1; 16]);
    broker.script().refuses = Some(tonic::Status::unavailable("gone"));
    broker.say(countersign::wire::v1::replicate_grants_response::Message::Pong(pong));
    eventually("not believed", || replica.status().breaks == 1).await;
    ask(&["STALE"; 4]);
}
