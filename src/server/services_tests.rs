//! The services on an engine in memory, called as the listener calls them: the verified peer is an extension.
use std::sync::Arc;

use prost::Message as _;
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use super::budget::bucket::{MOST, Rate};
use super::budget::{Budget, Budgets, Ledger};
use super::caller::Broker;
use super::check::access::Access;
use super::check::checker::Checker;
use super::check::messages::pb_answer;
use super::service::accounts::Accounts;
use super::service::audit::Audit;
use super::service::elevations::Elevations;
use super::service::grants::Grants;
use super::service::hr::Hr;
use super::service::policies::Policies;
use crate::clock::ManualClock;
use crate::domain::decide::Files;
use crate::domain::rule::spender::Spender;
use crate::domain::value::ids::{Digest, Identity};
use crate::domain::value::refusal::Reason;
use crate::domain::value::time::{Span, Timestamp};
use crate::engine::{Engine, Settings, Store, initialise};
use crate::journal::MemoryStore;
use crate::server::metrics::{Metrics, Verdict};
use crate::server::transport::peer::{Leaf, Peer};
use crate::wire::v1 as pb;
use crate::wire::v1::account_service_server::AccountService as _;
use crate::wire::v1::audit_service_server::AuditService as _;
use crate::wire::v1::elevation_service_server::ElevationService as _;
use crate::wire::v1::grant_service_server::GrantService as _;
use crate::wire::v1::hr_service_server::HrService as _;
use crate::wire::v1::policy_service_server::PolicyService as _;

struct World {
    broker: Broker,
    clock: Arc<ManualClock>,
    _stopping: watch::Sender<bool>,
}

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap()
}

fn world() -> World {
    let clock = Arc::new(ManualClock::new(now()));
    let store = Store::Memory(MemoryStore::default());
    // A certificate lasts a day here.
    let policy = include_str!("../../examples/policy.toml").replace("hr_silence = \"26h\"", "hr_silence = \"2h\"");
    let files = Files { policy: &policy, directory: include_str!("../../examples/directory.toml") };
    initialise(&store, files, Arc::clone(&clock) as _).unwrap();
    let engine = Engine::start(&store, Arc::clone(&clock) as _, Settings::default()).unwrap();
    let (stopping, watched) = watch::channel(false);
    let (seal, note_key) = super::keys::sealed::keys_of(&[9; 32], "test").unwrap();
    let (seal, note_key) = (Arc::new(seal), Arc::new(note_key));
    let broker = Broker {
        engine,
        seal,
        note_key,
        metrics: Arc::new(Metrics::default()),
        ledger: Arc::new(Ledger::new(Budgets::default(), &Metrics::default())),
        stopping: watched,
    };
    World { broker, clock, _stopping: stopping }
}

fn by<T>(who: &str, message: T) -> Request<T> {
    let kind = if matches!(who, "orders-api" | "deploy-bot" | "hr-sync") { "service" } else { "person" };
    let identity: Identity = format!("spiffe://northwind.example/{kind}/{who}").parse().unwrap();
    let mut request = Request::new(message);
    request.extensions_mut().insert(Peer::new(
        Leaf {
            trust_domain: identity.trust_domain().parse().unwrap(),
            identity,
            not_after: now().plus(Span::DAY),
            digest: Digest::of(b"leaf"),
            serial: "07".to_owned(),
        },
        "127.0.0.1:9".parse().unwrap(),
    ));
    request
}

fn id(number: u32) -> String {
    format!("0197c9a2-7f3b-4cc1-8000-{number:012}")
}

fn asked(number: u32, resource: &str) -> pb::RequestElevationRequest {
    pb::RequestElevationRequest {
        request_id: id(number),
        entitlement: "orders-db-repair".to_owned(),
        actions: vec!["db.read".to_owned()],
        resources: vec![resource.to_owned()],
        justification: "INC-4711: the orders of yesterday are stuck".to_owned(),
        ticket: "INC-4711".to_owned(),
        ..Default::default()
    }
}

async fn request(world: &World, number: u32) -> pb::Elevation {
    let resource = format!("prod/eu/db/orders/replica-{number}");
    let answer = Elevations(world.broker.clone()).request_elevation(by("ana", asked(number, &resource))).await;
    answer.unwrap().into_inner().elevation.unwrap()
}

async fn approve(world: &World, elevation: &pb::Elevation, number: u32) -> pb::ApproveElevationResponse {
    let text = &elevation.review.as_ref().unwrap().approval_text;
    let message = pb::ApproveElevationRequest {
        request_id: id(number),
        elevation_id: elevation.id.clone(),
        approval_digest: Digest::of(text.as_bytes()).bytes().to_vec(),
        comment: String::new(),
    };
    Elevations(world.broker.clone()).approve_elevation(by("ben", message)).await.unwrap().into_inner()
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().unwrap().reason.clone()
}

fn list(relation: pb::ElevationRelation, page_size: i32, page_token: &str) -> pb::ListElevationsRequest {
    pb::ListElevationsRequest {
        page_size,
        page_token: page_token.to_owned(),
        relation: relation.into(),
        ..Default::default()
    }
}

fn question(subject: &str, resource: &str) -> pb::CheckQuery {
    pb::CheckQuery { subject: subject.to_owned(), action: "db.read".to_owned(), resource: resource.to_owned() }
}

#[tokio::test]
async fn what_was_asked_and_approved_is_allowed_and_its_end_is_a_comparison() {
    // given a request of ana's that ben approved
    let world = world();
    let elevation = request(&world, 1).await;
    let grant = approve(&world, &elevation, 2).await.grant.unwrap();
    let checker =
        |who| Checker { access: Access::new(world.broker.clone()), caller: world.broker.caller(&by(who, ())).unwrap() };
    let check = |who, resource| {
        let checked = checker(who).check(&question("ana", resource).encode_to_vec())?;
        Ok::<_, Status>(pb_answer(0, checked.verdict))
    };
    // when the service checks
    let answer = check("orders-api", "prod/eu/db/orders/replica-1").unwrap();
    // then it is allowed by that grant
    assert_eq!((answer.verdict(), answer.reason()), (pb::Verdict::Allow, pb::CheckReason::Granted));
    assert_eq!((&answer.grant_id, &answer.valid_until), (&grant.id, &grant.end_time));
    assert_eq!(check("orders-api", "prod/eu/db/billing/x").unwrap().reason(), pb::CheckReason::OutOfAudience);
    // and one who is nobody here may not ask
    assert_eq!(reason(&check("nobody", "prod/x").unwrap_err()), "NO_ACCOUNT");
    // and at its end the grant is told as ended, whatever is recorded
    world.clock.advance(Span::seconds(15 * 60));
    let grants = Grants(world.broker.clone());
    let told = grants.get_grant(by("ana", pb::GetGrantRequest { grant_id: grant.id.clone() })).await.unwrap();
    let told = told.into_inner().grant.unwrap();
    assert_eq!(told.state(), pb::GrantState::Ended);
    assert_eq!(told.closing.unwrap().time, grant.end_time);
    let late = check("orders-api", "prod/eu/db/orders/replica-1").unwrap();
    assert_eq!((late.verdict(), late.reason()), (pb::Verdict::Deny, pb::CheckReason::NoGrant));
    // and the explanation says so
    let query = Some(question("ana", "prod/eu/db/orders/replica-1"));
    let ana = checker("ana");
    let why = ana.access.explain(&ana.caller, pb::ExplainCheckRequest { query }).unwrap();
    assert!(why.entitlements.contains(&"orders-db-repair".to_owned()), "{:?}", why.entitlements);
    assert!(why.text.contains(&grant.id) && why.text.contains("DURATION"), "{}", why.text);
}

#[tokio::test]
async fn a_batch_names_the_questions_that_are_malformed() {
    let world = world();
    let caller = world.broker.caller(&by("orders-api", ())).unwrap();
    let checker = Checker { access: Access::new(world.broker.clone()), caller };
    let batch = |queries| checker.check_batch(&pb::BatchCheckAccessRequest { queries }.encode_to_vec());
    let status = batch(vec![question("ana", "prod/x"), question("Ana", "prod/../x")]).unwrap_err();
    let details = status.get_error_details();
    let fields: Vec<_> = details.bad_request().unwrap().field_violations.iter().map(|v| v.field.clone()).collect();
    assert_eq!(fields, ["queries[1].subject", "queries[1].resource"]);
    assert_eq!(batch(vec![question("ana", "prod/x"); 129]).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(batch(Vec::new()).unwrap_err().code(), Code::InvalidArgument);
    // then nothing of it was counted as answered
    let told =
        || world.broker.metrics.checks.get_or_create(&Verdict { verdict: "deny", reason: "OUT_OF_AUDIENCE" }).get();
    assert_eq!(told(), 0);
    assert_eq!(batch(vec![question("ana", "prod/x"); 128]).unwrap().verdicts.len(), 128);
    assert_eq!(told(), 128);
    // and who may not ask is told that, whatever was asked
    let stranger = world.broker.caller(&by("nobody", ())).unwrap();
    let stranger = Checker { access: Access::new(world.broker.clone()), caller: stranger };
    let malformed = question("Ana", "..").encode_to_vec();
    assert_eq!(reason(&stranger.check(&malformed).unwrap_err()), "NO_ACCOUNT");
    let none = pb::BatchCheckAccessRequest::default().encode_to_vec();
    assert_eq!(reason(&stranger.check_batch(&none).unwrap_err()), "NO_ACCOUNT");
}

#[tokio::test]
async fn without_a_verified_peer_or_with_an_ended_certificate_nobody_calls() {
    let world = world();
    let accounts = Accounts(world.broker.clone());
    let mut spoofed = Request::new(pb::WhoAmIRequest {});
    spoofed.metadata_mut().insert("x-forwarded-client-cert", "spiffe://northwind.example/person/ana".parse().unwrap());
    assert_eq!(reason(&accounts.who_am_i(spoofed).await.unwrap_err()), "NOT_AUTHENTICATED");
    world.clock.advance(Span::DAY);
    let status = accounts.who_am_i(by("ana", pb::WhoAmIRequest {})).await.unwrap_err();
    assert_eq!((reason(&status).as_str(), status.code()), ("CERTIFICATE_EXPIRED", Code::Unauthenticated));
}

#[tokio::test]
async fn everybody_learns_who_they_are_with_or_without_an_account() {
    let world = world();
    let accounts = Accounts(world.broker.clone());
    let ana = accounts.who_am_i(by("ana", pb::WhoAmIRequest {})).await.unwrap().into_inner();
    assert!(
        ana.obstacles.is_empty() && ana.account.unwrap().id == "ana" && !ana.person.unwrap().attestations.is_empty()
    );
    let pia = accounts.who_am_i(by("pia", pb::WhoAmIRequest {})).await.unwrap().into_inner();
    let reasons: Vec<_> = pia.obstacles.iter().map(|obstacle| obstacle.reason.as_str()).collect();
    assert_eq!((pia.account, reasons), (None, vec!["NO_ACCOUNT", "NOT_ELIGIBLE"]));
    assert_eq!(pia.person.unwrap().id, "pia");
    let nobody = accounts.who_am_i(by("nobody", pb::WhoAmIRequest {})).await.unwrap().into_inner();
    assert!(nobody.account.is_none() && nobody.person.is_none() && nobody.obstacles[0].reason == "NO_ACCOUNT");
}

#[tokio::test]
async fn what_one_may_not_see_is_not_there() {
    let world = world();
    let elevation = request(&world, 1).await;
    let service = Elevations(world.broker.clone());
    let get = |who, elevation_id: &str| {
        service.get_elevation(by(who, pb::GetElevationRequest { elevation_id: elevation_id.to_owned() }))
    };
    // a service and somebody without a part in it get the answer that a made-up id gets
    let status = get("orders-api", &elevation.id).await.unwrap_err();
    let made_up = get("orders-api", &id(9)).await.unwrap_err();
    assert_eq!((status.code(), made_up.code()), (Code::NotFound, Code::NotFound));
    assert_eq!(status.message().replace(&elevation.id, ""), made_up.message().replace(&id(9), ""));
    // the reviewer sees it by its ending, with what to weigh; the requester without
    let ending = &elevation.id[30..];
    assert!(get("ben", ending).await.unwrap().into_inner().context.is_some());
    assert!(get("ana", ending).await.unwrap().into_inner().context.is_none());
    assert_eq!(get("orders-api", ending).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(get("ana", "abc").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_list_that_changes_while_paged_neither_repeats_nor_skips_what_stayed() {
    let world = world();
    let service = Elevations(world.broker.clone());
    let mut made = Vec::new();
    for number in 1..=4 {
        made.push(request(&world, number).await.id);
        world.clock.advance(Span::SECOND);
    }
    let all = pb::ElevationRelation::Visible;
    let first = service.list_elevations(by("ana", list(all, 2, ""))).await.unwrap().into_inner();
    // while the list is paged, one comes and one of the first page closes
    let newest = request(&world, 5).await.id;
    let withdraw = pb::WithdrawElevationRequest { request_id: id(50), elevation_id: made[3].clone() };
    service.withdraw_elevation(by("ana", withdraw)).await.unwrap();
    let next = list(all, 2, &first.next_page_token);
    let second = service.list_elevations(by("ana", next.clone())).await.unwrap().into_inner();
    let told: Vec<_> = first.elevations.iter().chain(&second.elevations).map(|it| it.id.clone()).collect();
    made.reverse();
    assert_eq!(told, made);
    assert!(second.next_page_token.is_empty() && !told.contains(&newest));
    // and the token is ana's, for this list alone
    for (who, message) in [
        ("ben", next.clone()),
        ("ana", pb::ListElevationsRequest { entitlement: "orders-db-repair".to_owned(), ..next }),
        ("ana", list(all, 2, &format!("{}.{}", "0".repeat(64), newest))),
    ] {
        let status = service.list_elevations(by(who, message)).await.unwrap_err();
        assert_eq!(reason(&status), "PAGE_TOKEN_INVALID");
    }
}

#[tokio::test]
async fn a_dry_request_tells_all_obstacles_and_changes_nothing() {
    let world = world();
    let service = Elevations(world.broker.clone());
    let mut message = asked(1, "prod/eu/db/billing/x");
    message.justification.clear();
    message.validate_only = true;
    let before = world.broker.engine.sequence();
    let told = service.request_elevation(by("ana", message)).await.unwrap().into_inner();
    let reasons: Vec<_> = told.obstacles.iter().map(|obstacle| obstacle.reason.as_str()).collect();
    assert_eq!(reasons, ["OUT_OF_SCOPE", "JUSTIFICATION_REQUIRED"]);
    assert_eq!((told.elevation, world.broker.engine.sequence()), (None, before));
}

#[tokio::test]
async fn a_watch_resumes_where_it_was_left_and_tells_only_its_own() {
    let world = world();
    let service = Elevations(world.broker.clone());
    let start = world.broker.engine.sequence().to_string();
    let elevation = request(&world, 1).await;
    approve(&world, &elevation, 2).await;
    let watch = |who, after_sequence: String| {
        service.watch_elevations(by(who, pb::WatchElevationsRequest { after_sequence, elevation_id: String::new() }))
    };
    let mut stream = watch("ana", start.clone()).await.unwrap().into_inner();
    let mut kinds = Vec::new();
    let mut resume = start.clone();
    while kinds.len() < 3 {
        // killed after each event, and resumed
        let step = stream.next().await.unwrap().unwrap();
        resume = step.sequence;
        let Some(event) = step.event else { continue };
        kinds.push((event.kind.clone(), event.state()));
        stream = watch("ana", resume.clone()).await.unwrap().into_inner();
    }
    let expected = [
        ("elevation-requested", pb::ElevationState::Pending),
        ("approval-recorded", pb::ElevationState::Pending),
        ("elevation-approved", pb::ElevationState::Approved),
    ];
    assert_eq!(kinds, expected.map(|(kind, state)| (kind.to_owned(), state)));
    // a service that has no part in it learns only how far it has come
    let mut other = watch("orders-api", start).await.unwrap().into_inner();
    assert_eq!(other.next().await.unwrap().unwrap().event, None);
    // and a place that is not there yet cannot be resumed from
    assert_eq!(reason(&watch("ana", "999999".to_owned()).await.err().unwrap()), "RESYNC");
    drop((stream, resume));
}

#[tokio::test]
async fn who_reads_the_audit_sees_all_and_everybody_else_what_is_about_themselves() {
    let world = world();
    request(&world, 1).await;
    let audit = Audit(world.broker.clone());
    let events = |who| audit.list_events(by(who, pb::ListEventsRequest { page_size: 500, ..Default::default() }));
    let all = events("omar").await.unwrap().into_inner().events;
    let sequences: Vec<_> = all.iter().map(|event| event.sequence.parse::<u64>().unwrap()).collect();
    assert_eq!(sequences, (1..=world.broker.engine.sequence()).collect::<Vec<_>>());
    assert!(all.iter().all(|event| serde_json::from_str::<serde_json::Value>(&event.facts_json).unwrap().is_object()));
    assert!(all.last().unwrap().batch_last);
    let own = events("ana").await.unwrap().into_inner().events;
    assert!(own.iter().any(|event| event.kind == "elevation-requested/1") && own.len() < all.len());
    assert!(own.iter().all(|event| event.actor == "account:ana" || event.about.iter().any(|a| a.ends_with(":ana"))));
    let foreign = events("sam").await.unwrap().into_inner().events;
    assert!(!foreign.iter().any(|event| event.kind == "elevation-requested/1"));
}

#[tokio::test]
async fn every_service_is_assembled_and_told_as_serving() {
    let world = world();
    let health = tonic_health::server::HealthReporter::new();
    let keys = Arc::new(super::keys::signing::SigningKeys::in_memory(now()));
    // debug assertions within see each service noted
    assert!(super::assembly::services(&world.broker, &health, &keys, Default::default()).is_ok());
}

#[tokio::test]
async fn the_policy_is_read_by_its_keepers_alone() {
    let world = world();
    let policies = Policies(world.broker.clone());
    let status = policies.get_policy(by("ana", pb::GetPolicyRequest {})).await.unwrap_err();
    assert_eq!(reason(&status), "CAPABILITY_MISSING");
    let policy = policies.get_policy(by("omar", pb::GetPolicyRequest {})).await.unwrap().into_inner().policy.unwrap();
    assert_eq!(policy.digest, Digest::of(policy.text.as_bytes()).bytes());
    assert_eq!((policy.loaded_by.as_str(), policy.load_time.is_some()), ("broker", true));
}

#[tokio::test]
async fn an_explanation_counts_who_could_approve_without_the_requester() {
    let world = world();
    let service = Elevations(world.broker.clone());
    let message = pb::ExplainElevationRequest { entitlement: "orders-db-repair".to_owned(), ..Default::default() };
    let told = service.explain_elevation(by("ana", message.clone())).await.unwrap().into_inner();
    assert!(told.obstacles.is_empty() && told.stages[0].eligible_count >= 1, "{told:?}");
    let told = service.explain_elevation(by("ben", message.clone())).await.unwrap().into_inner();
    assert_eq!(told.obstacles[0].reason, "NOT_IN_ROLE");
    let other = pb::ExplainElevationRequest { account: "omar".to_owned(), ..message };
    assert_eq!(service.explain_elevation(by("ana", other)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_feed_that_says_nothing_stops_new_grants_until_it_is_heard() {
    // given a feed that was heard once
    let world = world();
    let hr = Hr(world.broker.clone());
    let heard = |number: u64, request: u32| {
        let stream = "workday".to_owned();
        let joined = pb::hr_event::Change::Joined(pb::Joined::default());
        let event = pb::HrEvent { person: format!("new{number}"), change: Some(joined) };
        let place = Some(pb::StreamPlace { stream, number });
        hr.apply_hr_events(by(
            "hr-sync",
            pb::ApplyHrEventsRequest { request_id: id(request), place, events: vec![event], validate_only: false },
        ))
    };
    heard(1, 1).await.unwrap();
    let status = || async { hr.get_feed_status(by("noa", pb::GetFeedStatusRequest {})).await.unwrap().into_inner() };
    assert!(!status().await.streams[0].silent);
    // when it says nothing for longer than policy allows
    world.clock.advance(Span::seconds(3 * 3_600));
    assert!(status().await.streams[0].silent);
    // then nothing is asked for
    let elevations = Elevations(world.broker.clone());
    let refused = elevations.request_elevation(by("ana", asked(3, "prod/eu/db/orders/replica-1"))).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "FEED_SILENT"));
    // and when it is heard again, it goes on
    heard(2, 4).await.unwrap();
    let elevation = request(&world, 5).await;
    assert!(approve(&world, &elevation, 6).await.grant.is_some());
}

/// known failure G26: a reset drops a call, and not what the command has made of the journal.
#[tokio::test]
async fn a_call_that_is_dropped_before_its_answer_is_paid_for() {
    // given a budget of the journal that one request is over, and a writer that is held
    let world = world();
    let mut budgets = Budgets::default();
    budgets.rates.set(Budget::JournalMinute, Rate { at_once: 500, back: 1, every: Span::DAY });
    budgets.rates.set(Budget::PersonCommands, Rate::a_second(MOST, MOST));
    world.broker.ledger.reload(budgets);
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let engine = world.broker.engine.clone();
    let held = tokio::spawn(async move { engine.ask(move |_, _| wait.recv().is_ok()).await });
    // when a request is dropped while it waits
    let elevations = Elevations(world.broker.clone());
    let call = tokio::spawn(async move {
        elevations.request_elevation(by("ana", asked(1, "prod/eu/db/orders/replica-1"))).await.map(|_| ())
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    call.abort();
    drop(go_on);
    held.await.unwrap().unwrap();
    // then it takes effect, and the next one waits for what it cost
    let ana = Spender::Person("ana".parse().unwrap());
    let paid = async {
        loop {
            match world.broker.ledger.admit(&ana, false, || false, world.broker.engine.boot()) {
                Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
                Err(over) => break over,
            }
        }
    };
    let over = tokio::time::timeout(std::time::Duration::from_secs(20), paid).await.expect("it was never paid");
    assert_eq!(over.reason, Reason::BudgetJournal);
    assert_eq!(world.broker.engine.read(|state| state.pending().len()), 1);
}
