//! Requests and their approvals, through the real engine on its SQLite journal: each pair is another elevation, asked
//! for by one person and approved by another over a connection of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign::wire::v1::elevation_service_client::ElevationServiceClient;
use countersign::wire::v1::{ApproveElevationRequest, ElevationState, RequestElevationRequest};
use sha2::{Digest as _, Sha256};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::connection::connect;
use crate::round::{Measured, Order, Round, on_threads};
use crate::world::{APPROVERS, REQUESTERS};

/// A grant is over soon, so that nobody holds more than a few; its end is part of the work.
const GRANT_SECONDS: i64 = 2;

/// One round: `in_flight` clients, who share the requesters out among them.
pub fn round(folder: &Path, order: &Order) -> Measured {
    let round = Round::new(order.threads);
    let threads = {
        let (round, folder, order): (_, PathBuf, _) = (Arc::clone(&round), folder.to_owned(), order.clone());
        on_threads(order.threads, move |number| drive(number, Arc::clone(&round), folder.clone(), order.clone()))
    };
    round.measure(order, || threads.into_iter().for_each(|thread| thread.join().unwrap()))
}

async fn drive(number: usize, round: Arc<Round>, folder: PathBuf, order: Order) {
    let mut clients = Vec::new();
    for client in (0..order.in_flight).filter(|client| client % order.threads == number) {
        let mut requesters = Vec::new();
        for person in (client..REQUESTERS).step_by(order.in_flight) {
            requesters.push(connect(&folder, &format!("engineer-{person}"), &order.address).await);
        }
        let approver = connect(&folder, &format!("commander-{}", client % APPROVERS), &order.address).await;
        clients.push((requesters, approver));
    }
    round.ready.wait();
    let mut running = tokio::task::JoinSet::new();
    for (requesters, approver) in clients {
        let round = Arc::clone(&round);
        running.spawn_local(async move {
            let turn = std::cell::Cell::new(0);
            let call = || {
                turn.set((turn.get() + 1) % requesters.len());
                pair(requesters[turn.get()].clone(), approver.clone())
            };
            round.repeat(call).await;
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

/// A request, and the approval of the text that came back with it.
async fn pair(requester: Channel, approver: Channel) {
    let incident = Uuid::new_v4();
    let request = RequestElevationRequest {
        request_id: Uuid::new_v4().to_string(),
        entitlement: "orders-db-repair".to_owned(),
        actions: vec!["db.read".to_owned()],
        resources: vec![format!("prod/eu/db/orders/{}/**", incident.simple())],
        duration: Some(prost_types::Duration { seconds: GRANT_SECONDS, nanos: 0 }),
        justification: "orders are stuck in the queue".to_owned(),
        ticket: "INC-4711".to_owned(),
        ..RequestElevationRequest::default()
    };
    let asked = ElevationServiceClient::new(requester).request_elevation(request).await.unwrap().into_inner();
    let elevation = asked.elevation.unwrap();
    let digest = Sha256::digest(elevation.review.unwrap().approval_text);
    let approval = ApproveElevationRequest {
        request_id: Uuid::new_v4().to_string(),
        elevation_id: elevation.id,
        approval_digest: digest.to_vec(),
        ..ApproveElevationRequest::default()
    };
    let approved = ElevationServiceClient::new(approver).approve_elevation(approval).await.unwrap().into_inner();
    assert_eq!(approved.elevation.unwrap().state(), ElevationState::Approved);
    assert!(approved.grant.is_some());
}
