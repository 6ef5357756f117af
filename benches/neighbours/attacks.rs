//! The attacks: each is all that one account can send of one kind, for a while.

use std::io::BufRead as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use countersign::wire::v1::access_service_client::AccessServiceClient;
use countersign::wire::v1::account_service_client::AccountServiceClient;
use countersign::wire::v1::audit_service_client::AuditServiceClient;
use countersign::wire::v1::elevation_service_client::ElevationServiceClient;
use countersign::wire::v1::enrolment_service_client::EnrolmentServiceClient;
use countersign::wire::v1::grant_service_client::GrantServiceClient;
use countersign::wire::v1::hr_service_client::HrServiceClient;
use countersign::wire::v1::policy_service_client::PolicyServiceClient;
use countersign::wire::v1::token_service_client::TokenServiceClient;
use countersign::wire::v1::{self as pb};
use tonic::{Response, Status};
use uuid::Uuid;

use crate::client::Client;
use crate::world::{ENTITLEMENT, FORBIDDEN, GRANT_OF_ATTACKER, POLICY, attacker, grant_id, identity_of};

type Working = Pin<Box<dyn Future<Output = ()>>>;

/// A row of the table.
pub struct Attack {
    pub name: &'static str,
    /// The kind of account that makes it.
    pub account: &'static str,
    run: fn(Client) -> Working,
}

const fn attack(name: &'static str, account: &'static str, run: fn(Client) -> Working) -> Attack {
    Attack { name, account, run }
}

/// All of them.
pub const ATTACKS: [Attack; 14] = [
    attack("request-and-withdraw", "mallory", |client| Box::pin(request_and_withdraw(client))),
    attack("policy-validation", "mallory", |client| Box::pin(policy_validation(client))),
    attack("dry-runs", "mallory", |client| Box::pin(dry_runs(client))),
    attack("lists", "mallory", |client| Box::pin(lists(client))),
    attack("as-of-reports", "auditor", |client| Box::pin(as_of_reports(client))),
    attack("watches", "mallory", |client| Box::pin(watches(client))),
    attack("unread-answers", "mallory", |client| Box::pin(unread_answers(client))),
    attack("enrolments", "mallory", |client| Box::pin(enrolments(client))),
    attack("empty-streams", "acme.feed", |client| Box::pin(empty_streams(client))),
    attack("people", "acme.feed", |client| Box::pin(people(client))),
    attack("tokens", "mallory", |client| Box::pin(tokens(client))),
    attack("explain", "mallory", |client| Box::pin(explain(client))),
    attack("connections", "mallory", |client| Box::pin(connections(client))),
    attack("refused-commands", "mallory", |client| Box::pin(refused_commands(client))),
];

/// The child's part: a line is the broker's address, the attack, the number of its account, and for how many milliseconds;
/// the answer is how many calls were answered and how many were not let, and why the first was not.
pub fn obey(folder: &Path) {
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let attack = ATTACKS.iter().find(|attack| attack.name == words[1]).unwrap();
        let number: usize = words[2].parse().unwrap();
        let until = Instant::now() + Duration::from_millis(words[3].parse().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tally = runtime.block_on(async {
            let client = Client::new(folder, words[0], &attacker(attack.account, number), number, until).await;
            let tally = client.tally.clone();
            (attack.run)(client).await;
            tally
        });
        runtime.shutdown_background();
        let first = tally.first.get().map_or("", String::as_str).replace('\n', " ");
        println!("{} {} {first}", tally.answered.load(Ordering::Relaxed), tally.refused.load(Ordering::Relaxed));
    }
}

fn request_id() -> String {
    Uuid::new_v4().to_string()
}

fn elevation(entitlement: &str, validate_only: bool) -> pb::RequestElevationRequest {
    pb::RequestElevationRequest {
        request_id: request_id(),
        entitlement: entitlement.to_owned(),
        actions: vec![if entitlement == FORBIDDEN { "incident.command" } else { "db.read" }.to_owned()],
        resources: vec![format!("prod/eu/db/orders/{}/**", Uuid::new_v4().simple())],
        duration: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        justification: "x".repeat(2_000),
        validate_only,
        ..pb::RequestElevationRequest::default()
    }
}

async fn request_and_withdraw(client: Client) {
    let pair = |client: Client, channel| async move {
        let mut service = ElevationServiceClient::new(channel);
        let asked = service.request_elevation(elevation(ENTITLEMENT, false)).await;
        client.tally.count(&asked);
        let elevation_id = asked?.into_inner().elevation.unwrap().id;
        service.withdraw_elevation(pb::WithdrawElevationRequest { request_id: request_id(), elevation_id }).await
    };
    client.again(4, pair).await;
}

/// As large a file as there may be, with as much to read in it as there can be.
async fn policy_validation(client: Client) {
    let entitlement = POLICY.split_once("[entitlements.repair]").unwrap().1.split_once("[entitlements").unwrap().0;
    let mut text = POLICY.to_owned();
    for number in 0.. {
        text.push_str(&format!("[entitlements.repair-{number}]{entitlement}"));
        if text.len() > 250 * 1000 {
            break;
        }
    }
    let chunks: Vec<_> =
        text.as_bytes().chunks(48 * 1024).map(|chunk| pb::ValidatePolicyRequest { chunk: chunk.to_vec() }).collect();
    let validate = move |_, channel| {
        let chunks = chunks.clone();
        async move { PolicyServiceClient::new(channel).validate_policy(tokio_stream::iter(chunks)).await }
    };
    client.again(8, validate).await;
}

async fn dry_runs(client: Client) {
    let ask = |_, channel| async move {
        ElevationServiceClient::new(channel).request_elevation(elevation(ENTITLEMENT, true)).await
    };
    client.again(64, ask).await;
}

fn listing() -> pb::ListElevationsRequest {
    pb::ListElevationsRequest {
        page_size: 500,
        relation: pb::ElevationRelation::Requested.into(),
        ..pb::ListElevationsRequest::default()
    }
}

/// The largest pages of one's own past, and of the journal.
async fn lists(client: Client) {
    let list = |client: Client, channel: tonic::transport::Channel| async move {
        let elevations = ElevationServiceClient::new(channel.clone()).list_elevations(listing()).await;
        client.tally.count(&elevations);
        let events = pb::ListEventsRequest { page_size: 500, ..pb::ListEventsRequest::default() };
        AuditServiceClient::new(channel).list_events(events).await
    };
    client.again(64, list).await;
}

/// Who could do something at an instant, each time another one, so that nothing is remembered.
async fn as_of_reports(client: Client) {
    let report = |_, channel| async move {
        let back = 1_000 + i64::from(Uuid::new_v4().as_bytes()[0]);
        let millis = crate::certificates::now_millis() - back;
        let nanos = (millis % 1_000) as i32 * 1_000_000;
        let as_of = pb::ListAccessAsOfRequest {
            page_size: 500,
            as_of_time: Some(prost_types::Timestamp { seconds: millis / 1_000, nanos }),
            action: "db.read".to_owned(),
            resource: "prod/eu/db/orders/shard-000001".to_owned(),
            ..pb::ListAccessAsOfRequest::default()
        };
        AuditServiceClient::new(channel).list_access_as_of(as_of).await
    };
    client.again(32, report).await;
}

/// As many streams as are let, over as many connections as are let, each read at once.
async fn watches(client: Client) {
    let mut streams = tokio::task::JoinSet::new();
    while client.goes_on() {
        let Ok(channel) = client.endpoint.connect().await else {
            client.tally.count::<()>(&Err(Status::unavailable("no connection")));
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        for number in 0..60 {
            let channel = channel.clone();
            let tally = client.tally.clone();
            streams.spawn(async move {
                let outcome = match number % 3 {
                    0 => read(AccountServiceClient::new(channel).watch_accounts(watch_accounts()).await, &tally).await,
                    1 => read(AuditServiceClient::new(channel).watch_events(watch_events()).await, &tally).await,
                    _ => read(GrantServiceClient::new(channel).watch_grants(watch_grants()).await, &tally).await,
                };
                outcome.unwrap_or_default();
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn watch_accounts() -> pb::WatchAccountsRequest {
    pb::WatchAccountsRequest::default()
}

fn watch_events() -> pb::WatchEventsRequest {
    pb::WatchEventsRequest::default()
}

fn watch_grants() -> pb::WatchGrantsRequest {
    pb::WatchGrantsRequest::default()
}

async fn read<T>(
    opened: Result<Response<tonic::Streaming<T>>, Status>,
    tally: &crate::client::Tally,
) -> Result<(), Status> {
    tally.count(&opened);
    let mut stream = opened?.into_inner();
    while stream.message().await?.is_some() {}
    Ok(())
}

/// Asks for as much as can be asked for at once, says that it can take all of it, and reads none: the thread sleeps.
async fn unread_answers(client: Client) {
    while client.goes_on() {
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let Ok(channel) = client.endpoint.connect().await else {
                client.tally.count::<()>(&Err(Status::unavailable("no connection")));
                continue;
            };
            for _ in 0..60 {
                let (channel, tally) = (channel.clone(), client.tally.clone());
                asked.spawn(async move {
                    let mut service = ElevationServiceClient::new(channel).max_decoding_message_size(usize::MAX);
                    tally.count(&service.list_elevations(listing()).await);
                });
            }
            // So long that the calls go out, and no longer.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let left = client.until.saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(Duration::from_secs(4)));
        asked.abort_all();
    }
}

async fn enrolments(client: Client) {
    let pair = |client: Client, channel| async move {
        let mut service = EnrolmentServiceClient::new(channel);
        let role = pb::RoleAsk { account: client.account.clone(), role: "night-shift".to_owned(), end_time: None };
        let request = pb::RequestEnrolmentRequest {
            request_id: request_id(),
            ask: Some(pb::EnrolmentAsk { ask: Some(pb::enrolment_ask::Ask::Role(role)) }),
            justification: "x".repeat(2_000),
            validate_only: false,
        };
        let asked = service.request_enrolment(request).await;
        client.tally.count(&asked);
        let withdrawal = pb::WithdrawEnrolmentRequest {
            request_id: request_id(),
            enrolment_id: asked?.into_inner().enrolment.unwrap().id,
            ..pb::WithdrawEnrolmentRequest::default()
        };
        service.withdraw_enrolment(withdrawal).await
    };
    client.again(1, pair).await;
}

fn feed(events: Vec<pb::HrEvent>) -> pb::ApplyHrEventsRequest {
    let place = pb::StreamPlace { stream: format!("acme.s-{}", Uuid::new_v4().simple()), number: 1 };
    pb::ApplyHrEventsRequest { request_id: request_id(), place: Some(place), events, validate_only: false }
}

/// A feed that begins one stream after another, and says nothing in any.
async fn empty_streams(client: Client) {
    let beat = |_, channel| async move { HrServiceClient::new(channel).apply_hr_events(feed(Vec::new())).await };
    client.again(32, beat).await;
}

/// A feed that brings people who are made up.
async fn people(client: Client) {
    let join = |_, channel| async move {
        let join = |_| {
            let person = format!("acme.{}", Uuid::new_v4().simple());
            let logins = vec![identity_of(&person).to_string()];
            let joined = pb::Joined { logins, manager: String::new() };
            pb::HrEvent { person, change: Some(pb::hr_event::Change::Joined(joined)) }
        };
        HrServiceClient::new(channel).apply_hr_events(feed((0..100).map(join).collect())).await
    };
    client.again(32, join).await;
}

async fn tokens(client: Client) {
    let token = |client: Client, channel| async move {
        let request = pb::IssueGrantTokenRequest {
            request_id: request_id(),
            grant_id: grant_id(GRANT_OF_ATTACKER + client.number as u64).to_string(),
            audience: crate::world::CHECKER.to_owned(),
            lifetime: None,
        };
        TokenServiceClient::new(channel).issue_grant_token(request).await
    };
    client.again(32, token).await;
}

async fn explain(client: Client) {
    let explain = |client: Client, channel: tonic::transport::Channel| async move {
        let request = pb::ExplainElevationRequest {
            account: client.account.clone(),
            entitlement: ENTITLEMENT.to_owned(),
            actions: vec!["db.read".to_owned()],
            resources: vec!["prod/eu/db/orders/mine".to_owned()],
            ..pb::ExplainElevationRequest::default()
        };
        let explained = ElevationServiceClient::new(channel.clone()).explain_elevation(request).await;
        client.tally.count(&explained);
        let query = pb::CheckQuery {
            subject: identity_of(&client.account).to_string(),
            action: "db.read".to_owned(),
            resource: "prod/eu/db/orders/mine".to_owned(),
        };
        AccessServiceClient::new(channel).explain_check(pb::ExplainCheckRequest { query: Some(query) }).await
    };
    client.again(64, explain).await;
}

/// As many connections as are let, which are kept and say nothing; and knocking without end at the door that is shut.
async fn connections(client: Client) {
    let mut kept = Vec::new();
    while client.goes_on() {
        match client.endpoint.connect().await {
            Ok(channel) => {
                client.tally.count(&Ok(()));
                kept.push(channel);
            }
            Err(_) => {
                client.tally.count::<()>(&Err(Status::unavailable("no connection")));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// Requests of what is offered to others alone: each is refused, and journaled.
async fn refused_commands(client: Client) {
    let ask = |_, channel| async move {
        ElevationServiceClient::new(channel).request_elevation(elevation(FORBIDDEN, false)).await
    };
    client.again(64, ask).await;
}
