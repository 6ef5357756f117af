//! Part 4 of the guard rails over the real binary: an emergency by name, another way of approval, a mark wherever it is
//! shown, a follow-up, and nothing more while one is overdue.

use countersign::wire::v1 as pb;
use tonic::Code;

use crate::harness::{Broker, Start, eventually, run};
use crate::organisation::{Files, Organisation};
use crate::person::{ORDERS, Person, refused, repair};

#[track_caller]
fn said(broker: &Broker, who: &str, words: &[&str], code: i32) -> (String, String) {
    let ended = run(&mut broker.command(who, words));
    assert_eq!(ended.code, Some(code), "{who} {words:?}: {}{}", ended.stdout, ended.stderr);
    (ended.stdout, ended.stderr)
}

/// Asks in an emergency by the command line; its id.
fn asked(broker: &Broker, resource: &str) -> String {
    let words = ["request", "orders-db-repair", resource, "--emergency", "--ticket", "INC-7", "--reason"];
    let (id, _) = said(broker, "ana", &[&words[..], &["orders are lost by the minute"]].concat(), 0);
    id.trim().to_owned()
}

async fn digest(person: &Person, id: &str) -> String {
    let review = person.elevation(id).await.unwrap().review.unwrap();
    countersign::domain::value::ids::Digest::of(review.approval_text.as_bytes()).to_string()
}

#[tokio::test]
async fn part_4_an_emergency_is_asked_for_by_name_and_followed_up() {
    let broker = Broker::new();
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    // given an engineer who asks in an emergency; without a reason it is refused before it is asked
    said(&broker, "ana", &["request", "orders-db-repair", ORDERS, "--emergency", "--ticket", "INC-7"], 2);
    let short = pb::RequestElevationRequest { emergency: true, justification: "it burns".into(), ..repair() };
    refused(ana.request(short).await, Code::FailedPrecondition, "JUSTIFICATION_REQUIRED");
    let id = asked(&broker, ORDERS);
    // then the ordinary approvers see it, marked, and cannot approve it
    let (listed, _) = said(&broker, "ben", &["inbox", "--of", "visible"], 0);
    assert!(listed.contains("pending, emergency"), "{listed}");
    let (card, _) = said(&broker, "ben", &["show", &id], 0);
    assert!(card.starts_with("emergency  yes"), "{card}");
    let digest = digest(&ben, &id).await;
    said(&broker, "ben", &["approve", &id, "--digest", &digest], 3);
    said(&broker, "ana", &["approve", &id, "--digest", &digest], 3);
    let request = pb::WatchElevationsRequest::default();
    let mut watched = ben.elevations().watch_elevations(request).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().unwrap().event.is_none());
    // when security duty approves it, then the service allows her, and the grant is marked
    said(&broker, "sam", &["approve", &id, "--digest", &digest], 0);
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await.0, pb::Verdict::Allow);
    let (grants, _) = said(&broker, "ana", &["grants"], 0);
    assert!(grants.contains("active, emergency"), "{grants}");
    // and whoever could have reviewed it by the ordinary way sees the event
    let owed = loop {
        let event = watched.message().await.unwrap().unwrap().event;
        if let Some(event) = event.filter(|event| event.kind == "follow-up-opened") {
            break event;
        }
    };
    assert_eq!(owed.elevation_id, id);
    // and the follow-up waits in the inbox of those whom it went around, and in no other
    for (who, waits) in [("ben", true), ("sam", false), ("ana", false)] {
        let (inbox, _) = said(&broker, who, &["inbox"], 0);
        assert_eq!(inbox.contains("follow-up due"), waits, "{who}: {inbox}");
    }
    // and only they complete it, bound to what they read
    let complete = |digest: &str| {
        let words = ["follow-up", id.as_str(), "justified", "-m", "the primary was down", "--digest", digest];
        words.map(str::to_owned)
    };
    let words = |digest: &str| complete(digest).to_vec();
    for (who, digest, code) in [
        ("ana", digest.as_str(), 3),
        ("sam", &digest, 5),
        ("ben", &"0".repeat(64), 5),
        ("ben", &digest, 0),
        ("ben", &digest, 5),
    ] {
        let words = words(digest);
        said(&broker, who, &words.iter().map(String::as_str).collect::<Vec<_>>(), code);
    }
    let (card, _) = said(&broker, "ana", &["show", &id], 0);
    assert!(card.contains("justified, by ben (incident-commander)"), "{card}");
    let (inbox, _) = said(&broker, "ben", &["inbox", "-o", "json"], 0);
    assert_eq!(inbox.trim(), "[]");
}

#[tokio::test]
async fn while_a_follow_up_is_overdue_the_emergency_way_is_shut_over_a_restart_too() {
    // given a policy by which the follow-up is due within a second
    let example = Files::example();
    let policy = example.policy.replace("follow_up_within = \"72h\"", "follow_up_within = \"1s\"");
    assert_ne!(policy, example.policy);
    let broker = Broker::of(Organisation::with(&Files { policy, ..example }));
    let (ana, sam) = (broker.person("ana").await, broker.person("sam").await);
    let first = || pb::RequestElevationRequest { emergency: true, ..repair() };
    let id = ana.request(first()).await.unwrap().id;
    sam.approve(&id).await.unwrap();
    // when that second is over
    let other = || pb::RequestElevationRequest { resources: vec!["prod/eu/db/orders/b".into()], ..first() };
    eventually("the follow-up is overdue", async || {
        let tried = pb::RequestElevationRequest { validate_only: true, ..other() };
        let told = ana.elevations().request_elevation(tried).await.unwrap().into_inner().obstacles;
        Some(()).filter(|()| told.iter().any(|it| it.reason == "FOLLOW_UP_OVERDUE"))
    })
    .await;
    // then a further emergency is refused, and the same after the broker was killed
    refused(ana.request(other()).await, Code::FailedPrecondition, "FOLLOW_UP_OVERDUE");
    let organisation = broker.kill();
    let broker = Broker::serve(&organisation, &Start::default());
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    refused(ana.request(other()).await, Code::FailedPrecondition, "FOLLOW_UP_OVERDUE");
    // when it is completed, then the way is open
    let digest = digest(&ben, &id).await;
    said(&broker, "ben", &["follow-up", &id, "not-justified", "-m", "it could have waited", "--digest", &digest], 0);
    ana.request(other()).await.unwrap();
}
