//! Getting a role: a separate enrolment, with the role's own requirements, no two roles that must not meet in one person,
//! the manager's and the owner's approval, and an end (known failures A3 and A12).

use countersign::wire::v1 as pb;

use crate::common::certificates::now_millis;
use crate::harness::Broker;
use crate::life::{DAY, membership, refused, role};
use crate::person::{at_millis, millis, repair};

#[tokio::test]
async fn a_role_needs_its_requirements_the_manager_and_the_owner() {
    // given dev with a baseline account, whose manager is ben; ines owns the role
    let broker = Broker::new();
    let (dev, ben) = broker.hired("dev", "ben").await;
    let ines = broker.person("ines").await;
    // when the role is asked for without its training, then that is refused
    let status = refused(dev.ask(role("db-engineer")).await, "NOT_ELIGIBLE");
    assert!(status.message().contains("`dba-training`"), "{status:?}");
    // when that is recorded, then there are two stages: the manager, then the owner
    broker.person("training-feed").await.attest("dev", "dba-training", now_millis() - DAY).await.unwrap();
    let asked = dev.ask(role("db-engineer")).await.unwrap();
    let stages = asked.review.clone().unwrap().stages;
    let by: Vec<&str> = stages.iter().flat_map(|stage| &stage.by).map(String::as_str).collect();
    assert_eq!(by, ["@manager", "@role-owner"]);
    refused(ines.approve_enrolment(&asked.id).await, "STAGE_NOT_OPEN");
    let text = asked.review.unwrap().approval_text;
    refused(dev.approve_enrolment_text(&asked.id, &text, false).await, "SELF_APPROVAL");
    let first = ben.approve_enrolment(&asked.id).await.unwrap();
    assert_eq!(first.enrolment.unwrap().state(), pb::EnrolmentState::Pending);
    refused(ben.approve_enrolment(&asked.id).await, "ALREADY_REVIEWED");
    assert_eq!(dev.account().await.memberships, []);
    ines.approve_enrolment(&asked.id).await.unwrap();
    // then the membership says since when, by whose approval, and ends with the longest that the role allows
    let account = dev.account().await;
    let held = membership(&account, "db-engineer");
    assert_eq!((&held.enrolment_id, &held.approved_by), (&asked.id, &vec!["ben".to_owned(), "ines".to_owned()]));
    let (since, end) = (millis(held.since_time.as_ref()), millis(held.end_time.as_ref()));
    assert_eq!(end - since, 180 * DAY);
    assert!((now_millis() - since).abs() < 60_000);
    // and it lets dev ask, and ben, who approves in another role, approve
    let grant = dev.granted(repair(), &ben).await;
    assert_eq!((grant.state(), grant.holder_account.as_str()), (pb::GrantState::Active, "dev"));
}

#[tokio::test]
async fn where_the_manager_owns_the_role_one_approval_is_enough_and_an_end_can_be_named() {
    let broker = Broker::new();
    let (dev, ines) = broker.hired("dev", "ines").await;
    broker.person("training-feed").await.attest("dev", "dba-training", now_millis() - DAY).await.unwrap();
    let until = |days: i64| {
        let end_time = at_millis((now_millis() / 1_000) * 1_000 + days * DAY);
        pb::enrolment_ask::Ask::Role(pb::RoleAsk { role: "db-engineer".into(), end_time, ..Default::default() })
    };
    // when more than the longest membership is asked for, or an end that is over, then it is refused
    refused(dev.ask(until(181)).await, "MEMBERSHIP_TOO_LONG");
    refused(dev.ask(until(-1)).await, "MEMBERSHIP_TOO_LONG");
    // when thirty days are asked for, then one approval gives them
    let asked = dev.ask(until(30)).await.unwrap();
    assert_eq!(asked.review.as_ref().unwrap().stages.len(), 1);
    ines.approve_enrolment(&asked.id).await.unwrap();
    let account = dev.account().await;
    let end = millis(membership(&account, "db-engineer").end_time.as_ref());
    assert!((end - now_millis() - 30 * DAY).abs() < 60_000);
    // and whoami says that it ends soon
    let ahead = dev.whoami().await.lapses_ahead;
    let membership = ahead.iter().find(|it| it.kind == "MEMBERSHIP").unwrap();
    assert_eq!((membership.name.as_str(), membership.account.as_str()), ("db-engineer", "dev"));
    assert!(membership.days == 29 || membership.days == 30, "{membership:?}");
    // and the same once more is there already, while a later end can be asked for
    refused(dev.ask(until(20)).await, "ALREADY_THERE");
    let later = dev.ask(until(60)).await.unwrap();
    ines.approve_enrolment(&later.id).await.unwrap();
    let account = dev.account().await;
    let extended = crate::life::membership(&account, "db-engineer");
    assert!((millis(extended.end_time.as_ref()) - now_millis() - 60 * DAY).abs() < 60_000);
}

#[tokio::test]
async fn no_person_comes_to_ask_and_approve_the_same() {
    // given an engineer, who may ask for the repair of orders
    let broker = Broker::new();
    let (dev, _) = broker.hired_engineer("dev", "ben").await;
    // when dev asks for the role that approves it, then it is refused, naming the entitlement
    let status = refused(dev.ask(role("incident-commander")).await, "ROLE_CONFLICT");
    assert!(status.message().contains("`orders-db-"), "{status:?}");
    // and a machine's role, an unknown one and one of nobody's own account are not to be had
    refused(dev.ask(role("deploy-pipeline")).await, "NOT_IN_ROLE");
    refused(dev.ask(role("no-such-role")).await, "NOT_FOUND");
    let of_ana = pb::RoleAsk { account: "ana".into(), role: "security-duty".into(), end_time: None };
    refused(dev.ask(pb::enrolment_ask::Ask::Role(of_ana)).await, "NOT_FOUND");
}

#[tokio::test]
async fn a_request_is_approved_as_it_was_read_and_repeated_without_a_second_effect() {
    let broker = Broker::new();
    let (dev, ines) = broker.hired("dev", "ines").await;
    broker.person("training-feed").await.attest("dev", "dba-training", now_millis() - DAY).await.unwrap();
    let asked = dev.ask(role("db-engineer")).await.unwrap();
    let text = asked.review.as_ref().unwrap().approval_text.clone();
    // when the approval is tried, then it tells what it would give, and gives nothing
    let told = ines.approve_enrolment_text(&asked.id, &text, true).await.unwrap();
    let given = told.effects.clone().unwrap().changed_memberships;
    assert_eq!((given.len(), given[0].role.as_str(), given[0].change.as_str()), (1, "db-engineer", "GIVEN"));
    assert_eq!(dev.account().await.memberships, []);
    // when it is given twice under one id, then it is given once
    let request = pb::ApproveEnrolmentRequest {
        request_id: crate::person::call_id(),
        enrolment_id: asked.id.clone(),
        approval_digest: asked.review.unwrap().digest,
        ..Default::default()
    };
    let mut client = ines.enrolments();
    let done = client.approve_enrolment(request.clone()).await.unwrap().into_inner();
    let again = client.approve_enrolment(request.clone()).await.unwrap().into_inner();
    assert_eq!((&again.sequence, &again.enrolment), (&done.sequence, &done.enrolment));
    let other = pb::ApproveEnrolmentRequest { comment: "another".into(), ..request };
    refused(client.approve_enrolment(other).await, "REQUEST_ID_REUSED");
    assert_eq!(dev.account().await.memberships.len(), 1);
}

#[tokio::test]
async fn nobody_gets_a_role_by_the_own_approval_as_its_owner() {
    // given omar, who owns the role that omar asks for
    let broker = Broker::new();
    let omar = broker.person("omar").await;
    let asked = omar.ask(role("people-office")).await.unwrap();
    // then omar's own approval counts in no stage, and whoever stands in for the missing manager decides
    let text = asked.review.clone().unwrap().approval_text;
    refused(omar.approve_enrolment_text(&asked.id, &text, false).await, "SELF_APPROVAL");
    let done = broker.person("noa").await.approve_enrolment(&asked.id).await.unwrap();
    assert_eq!(done.enrolment.unwrap().state(), pb::EnrolmentState::Approved);
    let account = omar.account().await;
    assert_eq!(membership(&account, "people-office").approved_by, ["noa"]);
}
