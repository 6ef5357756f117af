//! The main job, end to end: asked, refused to oneself, approved by another, allowed, over, denied, and verified.

use countersign::wire::v1 as pb;
use tonic::Code;

use crate::harness::{Broker, Start, eventually};
use crate::organisation::Organisation;
use crate::person::{ORDERS, Person, millis, reason, refused, repair, seconds};

const ALLOWED: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Allow, pb::CheckReason::Granted);
const NOT_ALLOWED: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Deny, pb::CheckReason::NoGrant);

#[tokio::test]
async fn the_promise_is_kept() {
    let broker = Broker::new();
    the_promise(&broker).await;
    // then the journal says so too, while the broker goes on
    let verified = broker.verify();
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
}

#[tokio::test]
async fn a_time_zone_changes_no_answer() {
    // given two brokers of one organisation, one of them at the edge of the world
    let told = |zone: &'static str| async move {
        let organisation = Organisation::new();
        assert_eq!(organisation.init().code, Some(0));
        let start = Start { environment: [("TZ".to_owned(), zone.to_owned())].into(), ..Start::default() };
        let broker = Broker::serve(&organisation.into(), &start);
        the_promise(&broker).await
    };
    // when both do the same, then they answer the same
    assert_eq!(told("Pacific/Kiritimati").await, told("Etc/GMT+12").await);
}

/// The whole way, with what each step answered.
async fn the_promise(broker: &Broker) -> Vec<String> {
    let (ana, ben, orders) =
        (broker.person("ana").await, broker.person("ben").await, broker.person("orders-api").await);
    let mut told = Vec::new();
    // given: nobody may anything
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, NOT_ALLOWED);
    // when she asks for three seconds
    let request = pb::RequestElevationRequest { duration: seconds(3), ..repair() };
    let elevation = ana.request(request).await.unwrap();
    assert_eq!(elevation.state(), pb::ElevationState::Pending);
    assert_eq!((elevation.requester_account.as_str(), elevation.requester_person.as_str()), ("ana", "ana"));
    told.push(lines_without_times(&elevation.review.as_ref().unwrap().approval_text));
    // then she cannot approve it herself, and is allowed nothing by asking
    let own = refused(ana.approve(&elevation.id).await, Code::PermissionDenied, "SELF_APPROVAL");
    told.push(own.message().replace(&elevation.id, "ID"));
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, NOT_ALLOWED);
    // when another approves what was read
    let grant = ben.approve(&elevation.id).await.unwrap().grant.expect("the last approval gives the grant");
    // then there is a grant for as long as was asked
    assert_eq!((grant.state(), grant.end_because()), (pb::GrantState::Active, pb::GrantEndBecause::Duration));
    let (start, end) = (millis(grant.start_time.as_ref()), millis(grant.end_time.as_ref()));
    assert_eq!(end - start, 3_000);
    let answer = orders.check("ana", "db.read", ORDERS).await.unwrap();
    assert_eq!((answer.verdict(), answer.reason()), ALLOWED);
    assert_eq!((answer.grant_id.as_str(), millis(answer.valid_until.as_ref())), (grant.id.as_str(), end));
    // and no more than was asked: another action, another resource, another person, and the same by her identity
    for (subject, action, resource) in [
        ("ana", "db.write", ORDERS),
        ("ana", "db.read", "prod/eu/db/orders/replica"),
        ("ines", "db.read", ORDERS),
        ("nobody", "db.read", ORDERS),
    ] {
        assert_eq!(orders.verdict(subject, action, resource).await, NOT_ALLOWED, "{subject} {action} {resource}");
    }
    assert_eq!(orders.verdict("spiffe://northwind.example/person/ana", "db.read", ORDERS).await, ALLOWED);
    told.extend(over(&ana, &orders, &grant, end).await);
    told
}

/// Waits for the end, which is a comparison at each check.
async fn over(ana: &Person, orders: &Person, grant: &pb::Grant, end: i64) -> Vec<String> {
    let denied = eventually("the end of the grant", async || {
        let answer = orders.check("ana", "db.read", ORDERS).await.unwrap();
        (answer.verdict() == pb::Verdict::Deny).then_some(answer)
    })
    .await;
    assert!(crate::common::certificates::now_millis() >= end - 50, "it ended too early");
    assert_eq!((denied.reason(), denied.grant_id.as_str()), (pb::CheckReason::NoGrant, ""));
    // then its record closes too, and a repetition of what is over is refused
    let ended = eventually("the record of the end", async || {
        ana.grant(&grant.id).await.ok().filter(|grant| grant.state() == pb::GrantState::Ended)
    })
    .await;
    assert_eq!(ended.closing.as_ref().unwrap().actor, "broker");
    let again = ana.relinquish(&grant.id).await.unwrap_err();
    assert_eq!(reason(&again), "NOT_LIVE");
    vec![format!("{:?}", denied.reason()), again.message().replace(&grant.id, "ID")]
}

/// The lines that say no id and no time.
fn lines_without_times(text: &str) -> String {
    let constant = |line: &&str| !["id:", "elevation:", "start"].iter().any(|key| line.starts_with(key));
    text.lines().filter(constant).collect::<Vec<_>>().join("\n")
}
