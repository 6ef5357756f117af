//! A feed of HR that says nothing for `hr_silence`: nobody knows who still works here, so nothing new is granted, and what
//! is live runs on (known failure B4).

use std::sync::Arc;

use countersign::domain::record::command::{ApplyHrEvents, Command};
use countersign::domain::record::hr::StreamPlace;
use countersign::wire::v1 as pb;

use crate::common::certificates::now_millis;
use crate::earlier::Earlier;
use crate::harness::{Broker, Start, eventually};
use crate::life::{ALLOWED, place, refused};
use crate::organisation::{Files, Organisation};
use crate::person::{ORDERS, call_id, repair};

#[tokio::test]
async fn a_silent_feed_stops_new_grants_until_it_is_heard_or_retired_and_live_ones_run_on() {
    // given a feed that was last heard almost an hour ago, where an hour is silence; a live grant, one that is to start
    // in silence, and a request that waits
    let mut files = Files::example();
    files.policy = files.policy.replace("hr_silence = \"26h\"", "hr_silence = \"1h\"");
    let organisation = Arc::new(Organisation::with(&files));
    let silent = (now_millis() / 1_000) * 1_000 + 15_000;
    let earlier = Earlier::begun(&organisation, silent - 3_600_000);
    let next = StreamPlace { stream: "workday".parse().unwrap(), number: 1 };
    earlier.run("hr-sync", Command::from(ApplyHrEvents { place: Some(next), events: Vec::new() })).await;
    earlier.pass_to(silent - 600_000);
    earlier.granted("eng01", None).await;
    let scheduled = earlier.granted("eng02", Some(silent + 1_000)).await;
    let waiting = earlier.asked("eng03", None).await.to_string();
    earlier.stop();
    // when the broker serves before that hour is over, then new grants are given as ever
    let broker = Broker::serve(&organisation, &Start::default());
    let (noa, hr, ben) = (broker.person("noa").await, broker.person("hr-sync").await, broker.person("ben").await);
    let (fourth, fifth) = (broker.person("eng04").await, broker.person("eng05").await);
    assert!(!noa.feed().await.unwrap().streams[0].silent);
    fourth.granted(repair(), &ben).await;
    assert!(now_millis() < silent, "the broker took too long to start");
    // when the hour is over, then nothing can be asked for or approved, and what was to start does not
    eventually("silence", async || noa.feed().await.unwrap().streams[0].silent.then_some(())).await;
    assert!(now_millis() >= silent);
    let status = refused(fifth.request(repair()).await, "FEED_SILENT");
    assert!(status.message().contains("`workday`"), "{status:?}");
    refused(ben.approve(&waiting).await, "FEED_SILENT");
    let second = broker.person("eng02").await;
    let gone = eventually("its start has come", async || {
        Some(second.grant(&scheduled).await.unwrap()).filter(|it| it.state() != pb::GrantState::Scheduled)
    })
    .await;
    assert_eq!((gone.state(), gone.closing.unwrap().cause.as_str()), (pb::GrantState::Revoked, "FEED_SILENT"));
    // and what is live runs on, and what takes away goes on
    let orders = broker.person("orders-api").await;
    for holder in ["eng01", "eng04"] {
        assert_eq!(orders.verdict(holder, "db.read", ORDERS).await, ALLOWED, "{holder}");
    }
    hr.tell(vec![crate::life::left_urgently("eng04", false)]).await.unwrap();
    assert_eq!(orders.verdict("eng04", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    // and an event without a number is no sign of life of the stream
    refused(fifth.request(repair()).await, "FEED_SILENT");
    // when the feed is heard again, though nothing has happened, then everything goes on
    hr.tell_all(place("workday", 1), vec![], false).await.unwrap();
    fifth.granted(repair(), &ben).await;
    ben.approve(&waiting).await.unwrap();
    assert_eq!(orders.verdict("eng03", "db.read", ORDERS).await, ALLOWED);
    assert_eq!(broker.verify().code, Some(0));
}

#[tokio::test]
async fn a_feed_that_was_silent_before_the_start_is_silent_after_it_and_a_person_retires_it() {
    // given a feed that was heard two hours ago, where one is silence, and a broker that starts now
    let mut files = Files::example();
    files.policy = files.policy.replace("hr_silence = \"26h\"", "hr_silence = \"1h\"");
    let organisation = Arc::new(Organisation::with(&files));
    let earlier = Earlier::begun(&organisation, now_millis() - 7_200_000);
    let next = StreamPlace { stream: "workday".parse().unwrap(), number: 1 };
    earlier.run("hr-sync", Command::from(ApplyHrEvents { place: Some(next), events: Vec::new() })).await;
    earlier.stop();
    let broker = Broker::serve(&organisation, &Start::default());
    let (noa, eng, ben) = (broker.person("noa").await, broker.person("eng01").await, broker.person("ben").await);
    refused(eng.request(repair()).await, "FEED_SILENT");
    // when a person who may retires it, then nobody waits for it
    let retire = pb::RetireStreamRequest { request_id: call_id(), stream: "workday".into(), ..Default::default() };
    refused(ben.hr().retire_stream(retire.clone()).await, "CAPABILITY_MISSING");
    noa.hr().retire_stream(retire).await.unwrap();
    eng.granted(repair(), &ben).await;
}
