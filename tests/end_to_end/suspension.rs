//! An approval by somebody whom a lock suspends, over the real binary: it waits and is told of, over a kill and a restart, and
//! what it waited for is given when the lock is gone, without anybody doing more.

use countersign::domain::value::time::Timestamp;
use countersign::wire::v1 as pb;

use crate::common::certificates::now_millis;
use crate::harness::{Broker, Start, eventually, run};
use crate::organisation::{Files, Organisation};
use crate::person::{ORDERS, Person, millis, repair};

#[track_caller]
fn said(broker: &Broker, who: &str, words: &[&str]) -> String {
    let ended = run(&mut broker.command(who, words));
    assert_eq!(ended.code, Some(0), "{who} {words:?}: {}{}", ended.stdout, ended.stderr);
    ended.stdout
}

/// In which a repair needs a commander and somebody on duty, in any order.
fn organisation() -> Organisation {
    let mut files = Files::example();
    let one = "ticket = \"INC-[0-9]+\"\napproval = [{ by = [\"incident-commander\"], count = 1 }]";
    let both = "ticket = \"INC-[0-9]+\"\napproval = [{ by = [\"incident-commander\", \"security-duty\"], count = 2 }]";
    assert!(files.policy.contains(one));
    files.policy = files.policy.replacen(one, both, 1);
    Organisation::with(&files)
}

fn unlock(broker: &Broker, on: &str) {
    let listed: serde_json::Value =
        serde_json::from_str(&said(broker, "sam", &["lock", "list", "-o", "json"])).unwrap();
    let lock = listed.as_array().unwrap().iter().find(|it| it.to_string().contains(on)).unwrap();
    said(broker, "sam", &["unlock", lock["id"].as_str().unwrap(), "--reason", "it was found"]);
}

async fn issued(ana: &Person, id: &str) -> pb::Grant {
    let elevation = eventually("it is approved", async || {
        let elevation = ana.elevation(id).await.unwrap();
        Some(elevation).filter(|it| it.state() == pb::ElevationState::Approved)
    })
    .await;
    assert_eq!(elevation.closing.unwrap().actor, "broker");
    ana.grant(&elevation.grant_id).await.unwrap()
}

#[tokio::test]
async fn an_approval_waits_out_a_lock_and_a_restart_and_counts_when_the_lock_is_lifted() {
    // given a repair that ben approved, who is locked then, and sam, who is the second of two
    let broker = Broker::of(organisation());
    let (ana, ben, sam) = (broker.person("ana").await, broker.person("ben").await, broker.person("sam").await);
    let id = ana.request(repair()).await.unwrap().id;
    ben.approve(&id).await.unwrap();
    said(&broker, "sam", &["lock", "person", "ben", "--reason", "a lost laptop"]);
    let answer = sam.approve(&id).await.unwrap();
    // then it waits, and says for what
    let review = answer.elevation.unwrap().review.unwrap();
    assert_eq!((review.stages[0].approved_count, review.open_stage), (1, 1));
    assert!(answer.grant.is_none());
    let card = said(&broker, "ana", &["show", &id]);
    // How long ago it was says where the line breaks.
    let words = card.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("does not count while they are suspended, until a lock is lifted"), "{card}");
    assert!(!card.contains("a lost laptop"), "why is for those whom it is on: {card}");
    // and it outlasts the broker
    let organisation = broker.kill();
    let broker = Broker::serve(&organisation, &Start::default());
    let (ana, orders) = (broker.person("ana").await, broker.person("orders-api").await);
    assert_eq!(ana.elevation(&id).await.unwrap().state(), pb::ElevationState::Pending);
    // when the lock is lifted, then the grant is there, with all its time
    let lifted = now_millis();
    unlock(&broker, "ben");
    let grant = issued(&ana, &id).await;
    let (start, end) = (millis(grant.start_time.as_ref()), millis(grant.end_time.as_ref()));
    assert!(start >= lifted - 1_000 && end - start == 600_000, "{start} is not after {lifted}");
    let answer = orders.check("ana", "db.read", ORDERS).await.unwrap();
    assert_eq!((answer.verdict(), answer.grant_id), (pb::Verdict::Allow, grant.id));
    assert!(!said(&broker, "ana", &["show", &id]).contains("suspended"));
}

#[tokio::test]
async fn a_lock_that_ends_by_itself_issues_what_waited() {
    let broker = Broker::of(organisation());
    let (ana, ben, sam) = (broker.person("ana").await, broker.person("ben").await, broker.person("sam").await);
    let id = ana.request(repair()).await.unwrap().id;
    ben.approve(&id).await.unwrap();
    said(&broker, "sam", &["lock", "person", "ben", "--reason", "a lost laptop"]);
    assert!(sam.approve(&id).await.unwrap().grant.is_none());
    // given a second lock, which ends, and the first lifted
    let until = Timestamp::from_millis(now_millis() + 2_000).unwrap();
    let words = ["lock", "account", "ben", "--reason", "a moment", "--until", &until.to_string()];
    said(&broker, "sam", &words);
    unlock(&broker, "lost laptop");
    // then nobody does more, and it is not before that end
    let grant = issued(&ana, &id).await;
    assert!(millis(grant.start_time.as_ref()) >= until.millis());
}
