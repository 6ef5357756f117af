//! The same call again, the same call at once, the same id for something else (invariant 13, known failures A6 and A7).

use countersign::wire::v1 as pb;
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::harness::Broker;
use crate::person::{call_id, refused, repair, seconds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_sent_sixteen_times_at_once_takes_effect_once() {
    let broker = Broker::shared();
    let engineer = broker.engineer().await;
    // given two connections of one account
    let second = broker.person(&engineer.name).await;
    let request = repair();
    // when both send it, sixteen times in all
    let calls = (0..16).map(|number| {
        let (person, request) = (if number % 2 == 0 { engineer.clone() } else { second.clone() }, request.clone());
        tokio::spawn(async move { person.request(request).await.unwrap().id })
    });
    let mut ids = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        ids.push(call.await.unwrap());
    }
    // then all were told of one elevation, and one was recorded
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let filter = pb::ListEventsRequest { kind: "elevation-requested".to_owned(), ..Default::default() };
    assert_eq!(engineer.events(filter).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_approvals_at_once_by_one_person_count_once_and_make_one_grant() {
    let broker = Broker::shared();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let omar = broker.person("omar").await;
    let elevation = engineer.request(repair()).await.unwrap();
    let digest = Sha256::digest(elevation.review.as_ref().unwrap().approval_text.as_bytes()).to_vec();
    // when one person approves sixteen times at once, each time under another id
    let calls = (0..16).map(|_| {
        let (mut reviews, elevation_id, approval_digest) = (ben.elevations(), elevation.id.clone(), digest.clone());
        let (request_id, comment) = (call_id(), String::new());
        let request = pb::ApproveElevationRequest { request_id, elevation_id, approval_digest, comment };
        tokio::spawn(async move { reviews.approve_elevation(request).await })
    });
    let mut approved = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(_) => approved += 1,
            Err(status) => assert_eq!(crate::person::reason(&status), "NOT_PENDING"),
        }
    }
    // then one of them counted
    assert_eq!(approved, 1);
    let filter = pb::ListEventsRequest { about: format!("elevation:{}", elevation.id), ..Default::default() };
    let kinds: Vec<String> = omar.events(filter).await.into_iter().map(|event| event.kind).collect();
    let wanted = ["elevation-requested/1", "approval-recorded/1", "elevation-approved/1", "grant-issued/1"];
    assert_eq!(kinds, wanted);
}

#[tokio::test]
async fn a_repetition_tells_the_present_state_and_another_body_is_refused() {
    let broker = Broker::shared();
    let (engineer, ben) = (broker.engineer().await, broker.person("ben").await);
    let request = repair();
    let elevation = engineer.request(request.clone()).await.unwrap();
    ben.deny(&elevation.id).await.unwrap();
    // when it is sent again, then nothing new is made, and its fate is told
    let again = engineer.request(request.clone()).await.unwrap();
    assert_eq!((&again.id, again.state()), (&elevation.id, pb::ElevationState::Denied));
    // when the same id comes with another body, or as another command, then it is refused
    let other = pb::RequestElevationRequest { duration: seconds(601), ..request.clone() };
    refused(engineer.request(other).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let withdrawal =
        pb::WithdrawElevationRequest { request_id: request.request_id.clone(), elevation_id: elevation.id.clone() };
    let withdrawn = engineer.elevations().withdraw_elevation(withdrawal).await;
    refused(withdrawn, Code::AlreadyExists, "REQUEST_ID_REUSED");
    // and it is one account's own: another uses the same id for itself
    let colleague = broker.engineer().await;
    assert_ne!(colleague.request(request).await.unwrap().id, elevation.id);
}

#[tokio::test]
async fn a_refused_call_binds_no_id() {
    let broker = Broker::shared();
    let engineer = broker.engineer().await;
    let short = pb::RequestElevationRequest { justification: "x".to_owned(), ..repair() };
    refused(engineer.request(short.clone()).await, Code::FailedPrecondition, "JUSTIFICATION_REQUIRED");
    let better = pb::RequestElevationRequest { justification: "orders are stuck again".to_owned(), ..short };
    engineer.request(better).await.unwrap();
}
