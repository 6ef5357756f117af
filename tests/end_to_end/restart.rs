//! A broker that is killed, or asked to stop: what was acknowledged is there again, with its grants, requests and
//! answers (invariants 8 and 13, known failures H1, H8 and B8).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use countersign::wire::v1 as pb;
use rusqlite::Connection;
use tonic::Code;

use crate::harness::{Broker, Start, eventually, verify};
use crate::organisation::Organisation;
use crate::person::{ORDERS, call_id, millis, refused, repair, seconds};

const ALLOWED: (pb::Verdict, pb::CheckReason) = (pb::Verdict::Allow, pb::CheckReason::Granted);

#[tokio::test]
async fn pending_elevations_grants_and_answers_are_back_after_a_kill() {
    // given one pending, one granted for long, one granted for two seconds, one scheduled, one denied
    let broker = Broker::new();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let request = repair();
    let long = ana.granted(request.clone(), &ben).await;
    let one = broker.person("eng01").await;
    let short = one.granted(pb::RequestElevationRequest { duration: seconds(2), ..repair() }, &ben).await;
    let later = pb::RequestElevationRequest {
        entitlement: "orders-db-maintenance".to_owned(),
        ticket: String::new(),
        start_time: crate::person::at_millis(crate::common::certificates::now_millis() + 600_000),
        ..repair()
    };
    let scheduled = broker.person("eng02").await.granted(later, &ben).await;
    let pending = ana.request(repair()).await.unwrap();
    let denied = broker.person("eng03").await.request(repair()).await.unwrap();
    let denied = ben.deny(&denied.id).await.unwrap();
    let known = [ana.elevation(&pending.id).await.unwrap(), denied];
    // when it is killed, and serves again after the short one is over
    let organisation = broker.kill();
    let rest = millis(short.end_time.as_ref()) - crate::common::certificates::now_millis();
    tokio::time::sleep(std::time::Duration::from_millis(u64::try_from(rest.max(0)).unwrap())).await;
    let broker = Broker::serve(&organisation, &Start::default());
    let (ana, ben, omar) = (broker.person("ana").await, broker.person("ben").await, broker.person("omar").await);
    let orders = broker.person("orders-api").await;
    // then each is as it was, and what came to its end meanwhile is over
    assert_eq!([omar.elevation(&pending.id).await.unwrap(), omar.elevation(&known[1].id).await.unwrap()], known);
    assert_eq!(ana.grant(&long.id).await.unwrap(), long);
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await, ALLOWED);
    assert_eq!(omar.grant(&scheduled.id).await.unwrap(), scheduled);
    assert_eq!(orders.verdict("eng01", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    eventually("the record of the end", async || {
        (omar.grant(&short.id).await.unwrap().state() == pb::GrantState::Ended).then_some(())
    })
    .await;
    // and the same call gets the same answer, and another under its id is refused
    assert_eq!(ana.request(request.clone()).await.unwrap().id, long.elevation_id);
    let other = pb::RequestElevationRequest { duration: seconds(59), ..request };
    refused(ana.request(other).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    // and what was pending can be approved
    assert!(ben.approve(&pending.id).await.unwrap().grant.is_some());
}

#[tokio::test]
async fn with_void_a_restart_revokes_what_was_granted_and_keeps_what_waits() {
    let organisation = Organisation::new();
    organisation.configure("grants_on_restart = \"void\"");
    let broker = Broker::of(organisation);
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let grant = ana.granted(repair(), &ben).await;
    let pending = ana.request(repair()).await.unwrap();
    let organisation = broker.kill();
    let broker = Broker::serve(&organisation, &Start::default());
    let (ana, orders) = (broker.person("ana").await, broker.person("orders-api").await);
    // then the first check already denies
    assert_eq!(orders.verdict("ana", "db.read", ORDERS).await.0, pb::Verdict::Deny);
    let voided = ana.grant(&grant.id).await.unwrap();
    assert_eq!((voided.state(), voided.closing.unwrap().actor.as_str()), (pb::GrantState::Revoked, "broker"));
    assert_eq!(ana.elevation(&pending.id).await.unwrap().state(), pb::ElevationState::Pending);
}

/// What callers were told, and what they asked and were not told of.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<String, String>,
    unanswered: BTreeMap<String, pb::RequestElevationRequest>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_keeps_what_it_acknowledged_and_a_repetition_settles_the_rest() {
    let mut organisation = {
        let organisation = Organisation::new();
        assert_eq!(organisation.init().code, Some(0));
        Arc::new(organisation)
    };
    let (mut unacknowledged_tails, mut kills) = (0, 0);
    // when it is killed in the middle of its work, until it once had recorded what nobody had been told of
    while unacknowledged_tails == 0 || kills < 3 {
        assert!(kills < 25, "no kill left a tail");
        let told = Arc::new(Mutex::new(Told::default()));
        organisation = killed_under_load(&organisation, &told).await;
        kills += 1;
        // then the chain is whole, and holds everything that was acknowledged
        let verified = verify(&organisation);
        assert_eq!(verified.code, Some(0), "{}", verified.stderr);
        let recorded = recorded(&organisation);
        let told = told.lock().unwrap();
        for (request, elevation) in &told.acknowledged {
            assert_eq!(recorded.get(request), Some(elevation), "acknowledged and lost");
        }
        let tail: Vec<_> = told.unanswered.keys().filter(|request| recorded.contains_key(*request)).collect();
        unacknowledged_tails += usize::from(!tail.is_empty());
        drop(recorded);
    }
    // and a call that had no answer, sent again, takes effect once
    let told = Arc::new(Mutex::new(Told::default()));
    let organisation = killed_under_load(&organisation, &told).await;
    let before = recorded(&organisation);
    let unanswered = told.lock().unwrap().unanswered.clone();
    let broker = Broker::serve(&organisation, &Start::default());
    for (request, message) in unanswered {
        let (name, message) = (message.justification.split(' ').next_back().unwrap().to_owned(), message);
        let person = broker.person(&name).await;
        if let Some(known) = before.get(&request) {
            assert_eq!(&person.request(message).await.unwrap().id, known);
        } else {
            let (first, second) = (person.request(message.clone()).await, person.request(message).await);
            assert_eq!(first.map(|it| it.id).ok(), second.map(|it| it.id).ok());
        }
    }
}

impl Told {
    fn acknowledge(&mut self, request: &str, elevation: &str) {
        self.unanswered.remove(request);
        self.acknowledged.insert(request.to_owned(), elevation.to_owned());
    }
}

/// Serves, has twelve people ask and withdraw as fast as they can, and kills while they do.
async fn killed_under_load(organisation: &Arc<Organisation>, told: &Arc<Mutex<Told>>) -> Arc<Organisation> {
    let broker = Broker::serve(organisation, &Start::default());
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for number in 1..=12 {
        let person = broker.person(&format!("eng{number:02}")).await;
        let (stop, told) = (Arc::clone(&stop), Arc::clone(told));
        workers.push(tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let justification = format!("orders are stuck, says {}", person.name);
                let request = pb::RequestElevationRequest { request_id: call_id(), justification, ..repair() };
                told.lock().unwrap().unanswered.insert(request.request_id.clone(), request.clone());
                match person.request(request.clone()).await {
                    Ok(elevation) => {
                        told.lock().unwrap().acknowledge(&request.request_id, &elevation.id);
                        let _ = person.withdraw(&elevation.id).await;
                    }
                    Err(status) if status.code() == Code::FailedPrecondition => {
                        // One of hers waits since the kill before: it is withdrawn, and then she goes on.
                        told.lock().unwrap().unanswered.remove(&request.request_id);
                        let id = tonic_types::StatusExt::get_error_details(&status);
                        let id = id.error_info().and_then(|info| info.metadata.get("elevation").cloned());
                        let _ = person.withdraw(&id.expect("the one that waits is named")).await;
                    }
                    Err(_) => return,
                }
            }
        }));
    }
    eventually("some work", async || (told.lock().unwrap().acknowledged.len() >= 30).then_some(())).await;
    let organisation = broker.kill();
    stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    organisation
}

/// From the journal's file: each request's elevation, by the caller's own id of the call.
fn recorded(organisation: &Organisation) -> BTreeMap<String, String> {
    let journal = Connection::open(organisation.journal()).unwrap();
    let mut rows = journal
        .prepare(
            "SELECT json_extract(body, '$.request.id'), json_extract(body, '$.facts.id') FROM journal
             WHERE json_extract(body, '$.kind') = 'elevation-requested/1'",
        )
        .unwrap();
    let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_answers_what_is_under_way_ends_streams_and_loses_nothing() {
    let broker = Broker::new();
    let (ana, omar) = (broker.person("ana").await, broker.person("omar").await);
    let mut stream = omar.audit().watch_events(pb::WatchEventsRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap();
    // given one who works all the time, and one who watches
    let working = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        loop {
            let Ok(elevation) = ana.request(repair()).await else { return acknowledged };
            acknowledged.push(elevation.id.clone());
            if ana.withdraw(&elevation.id).await.is_err() {
                return acknowledged;
            }
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    // when it is asked to stop
    broker.terminate();
    let (code, printed, organisation) = broker.ended().await;
    // then it ends as if all were well, and so does the stream
    assert_eq!(code, Some(0), "{printed}");
    while let Ok(Some(_)) = stream.message().await {}
    let acknowledged = working.await.unwrap();
    assert!(acknowledged.len() > 2, "{}", acknowledged.len());
    assert_eq!(verify(&organisation).code, Some(0));
    let broker = Broker::serve(&organisation, &Start::default());
    let ana = broker.person("ana").await;
    for id in acknowledged {
        ana.elevation(&id).await.unwrap();
    }
}
