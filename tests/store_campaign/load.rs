//! People who ask, approve, revoke and relinquish as fast as they can, and what each of them was told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use countersign::wire::v1 as pb;

use crate::harness::{Broker, eventually};
use crate::person::{ORDERS, Person, call_id, repair};

/// What a call was told to have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Done {
    Requested,
    Granted,
    Revoked,
    Relinquished,
}

/// The newest acknowledged state of each elevation, with its grant, and when the caller knew: microseconds of the wall clock.
#[derive(Clone, Default)]
pub struct Acknowledged {
    pub by_elevation: BTreeMap<String, Vec<(u64, Done, Option<String>)>>,
    pub count: usize,
}

pub fn now_micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

impl Acknowledged {
    fn add(&mut self, elevation: &str, done: Done, grant: Option<&str>) {
        self.count += 1;
        let entry = self.by_elevation.entry(elevation.to_owned()).or_default();
        entry.push((now_micros(), done, grant.map(str::to_owned)));
    }
}

/// Works until somebody kills the broker: each worker ends at the first call without an answer.
pub struct Load {
    workers: Vec<tokio::task::JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Acknowledged>>,
}

impl Load {
    pub async fn on(broker: &Broker, told: &Arc<Mutex<Acknowledged>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = Vec::new();
        for number in 1..=6 {
            let person = broker.person(&format!("eng{number:02}")).await;
            let ben = broker.person("ben").await;
            let (stop, told) = (Arc::clone(&stop), Arc::clone(told));
            workers.push(tokio::spawn(async move {
                let mut turn = number;
                while !stop.load(Ordering::SeqCst) && one(&person, &ben, turn, &told).await.is_some() {
                    turn += 1;
                }
            }));
        }
        Self { workers, stop, told: Arc::clone(told) }
    }

    /// Until so many more calls are acknowledged, or all workers have ended.
    pub async fn works(&self, more: usize) {
        let before = self.told.lock().unwrap().count;
        eventually("some work", async || {
            let done = self.told.lock().unwrap().count >= before + more;
            (done || self.workers.iter().all(tokio::task::JoinHandle::is_finished)).then_some(())
        })
        .await;
    }

    pub async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for worker in self.workers {
            worker.await.unwrap();
        }
    }
}

/// One request and what follows; none if the broker has not answered, or refuses what it should not.
async fn one(person: &Person, ben: &Person, turn: usize, told: &Mutex<Acknowledged>) -> Option<()> {
    let request = pb::RequestElevationRequest { request_id: call_id(), ..repair() };
    let elevation = match person.request(request).await {
        Ok(elevation) => elevation.id,
        Err(status) => return left_over(person, &status).await,
    };
    told.lock().unwrap().add(&elevation, Done::Requested, None);
    let grant = answered(ben.approve(&elevation).await)?.grant?.id;
    told.lock().unwrap().add(&elevation, Done::Granted, Some(&grant));
    let done = match turn % 3 {
        0 => return Some(()),
        1 => {
            answered(ben.revoke(&grant).await)?;
            Done::Revoked
        }
        _ => {
            answered(person.relinquish(&grant).await)?;
            Done::Relinquished
        }
    };
    told.lock().unwrap().add(&elevation, done, Some(&grant));
    Some(())
}

/// An answer, or none; a refusal is shown, since nothing refuses these but a broker that stores no more.
fn answered<T>(answer: Result<T, tonic::Status>) -> Option<T> {
    answer
        .inspect_err(|status| {
            if status.code() != tonic::Code::Unavailable && !status.message().contains("transport") {
                println!("refused: {status:?}");
            }
        })
        .ok()
}

/// What a kill left open is ended, so that the work goes on: too many pending, or granted for longer than may be.
async fn left_over(person: &Person, status: &tonic::Status) -> Option<()> {
    if status.code() == tonic::Code::Unavailable {
        return None;
    }
    let details = tonic_types::StatusExt::get_error_details(status);
    let info = details.error_info()?;
    if let Some(elevation) = info.metadata.get("elevation") {
        return person.withdraw(elevation).await.ok().map(|_| ());
    }
    let mine = person.grants().list_grants(pb::ListGrantsRequest::default()).await.ok()?.into_inner().grants;
    let live = mine.into_iter().filter(|grant| grant.state() == pb::GrantState::Active);
    let mut ended = 0;
    for grant in live {
        person.relinquish(&grant.id).await.ok()?;
        ended += 1;
    }
    if ended == 0 {
        println!("{} goes no further: {status:?}", person.name);
    }
    (ended > 0).then_some(())
}

/// How a broker that serves again compares with what had been acknowledged before a moment.
#[derive(Default, Debug)]
pub struct Compared {
    pub looked_at: usize,
    pub lost: Vec<String>,
    pub revived: Vec<String>,
}

pub async fn compare(broker: &Broker, told: &Acknowledged, before: u64) -> Compared {
    let (omar, orders) = (broker.person("omar").await, broker.person("orders-api").await);
    let mut compared = Compared::default();
    for (elevation, steps) in &told.by_elevation {
        let steps: Vec<_> = steps.iter().filter(|(at, ..)| *at <= before).collect();
        let Some((_, done, grant)) = steps.last() else { continue };
        compared.looked_at += steps.len();
        let Ok(seen) = omar.elevation(elevation).await else {
            compared.lost.push(elevation.clone());
            continue;
        };
        let Some(grant) = grant else { continue };
        match omar.grant(grant).await {
            Err(_) => compared.lost.push(grant.clone()),
            Ok(found) if *done == Done::Granted => drop(found),
            Ok(found) if found.closing.is_some() => {}
            Ok(_) => {
                let verdict = orders.verdict(&seen.requester_account, "db.read", ORDERS).await.0;
                compared.revived.push(format!("{grant} ({done:?}, {verdict:?})"));
            }
        }
    }
    compared
}
