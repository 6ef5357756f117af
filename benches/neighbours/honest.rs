//! The honest, in a process of their own: a service that checks on a beat, whether or not it was answered; and engineers
//! who ask, commanders who approve, and security duty that revokes. How long each call took is told a lap at a time.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign::wire::v1::access_service_client::AccessServiceClient;
use countersign::wire::v1::elevation_service_client::ElevationServiceClient;
use countersign::wire::v1::grant_service_client::GrantServiceClient;
use countersign::wire::v1::{
    ApproveElevationRequest, CheckAccessRequest, RequestElevationRequest, RevokeGrantRequest, Verdict,
};
use sha2::{Digest as _, Sha256};
use tonic::transport::Channel;
use tonic::{Response, Status};
use uuid::Uuid;

use crate::connection::connect;
use crate::world::{CHECKER, COMMANDERS, ENGINEERS, ENTITLEMENT, REVOKER, holder, identity_of, resource};

const CHECK_EVERY: Duration = Duration::from_millis(2);
const CHECKER_CONNECTIONS: usize = 4;
/// How often an engineer asks: what the usual budget of a person allows for good is one command a second.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// What was measured since the last lap.
#[derive(Default)]
struct Lap {
    /// Microseconds of checks, requests, revocations.
    micros: [Vec<u64>; 3],
    failed: u64,
    first: String,
}

/// A lap as the driver reads it.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// p50 and p99 in microseconds of checks, requests, revocations.
    pub micros: [[f64; 2]; 3],
    pub failed: u64,
    pub first: String,
}

impl Told {
    pub fn read(words: &[String]) -> Self {
        let number = |at: usize| words[at].parse().unwrap();
        let micros = [0, 1, 2].map(|kind| [number(2 * kind), number(2 * kind + 1)]);
        Self { micros, failed: words[6].parse().unwrap(), first: words[7..].join(" ") }
    }
}

impl Lap {
    fn tell(&mut self) {
        let mut words = Vec::new();
        for micros in &mut self.micros {
            micros.sort_unstable();
            for share in [50, 99] {
                let at = (micros.len() * share / 100).min(micros.len().saturating_sub(1));
                words.push(micros.get(at).copied().unwrap_or_default().to_string());
            }
        }
        println!("{} {} {}", words.join(" "), self.failed, self.first.replace('\n', " "));
        *self = Self::default();
    }
}

/// The child's part: first where the broker is, then a line for each lap.
pub fn obey(folder: &Path, people: u64) {
    let mut lines = std::io::stdin().lock().lines();
    let address = lines.next().unwrap().unwrap();
    let lap = Arc::new(Mutex::new(Lap::default()));
    let (ready, told) = std::sync::mpsc::channel();
    {
        let (lap, folder) = (Arc::clone(&lap), folder.to_owned());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work(folder, address, people, lap, ready));
        });
    }
    told.recv().unwrap();
    println!("ready");
    for _ in lines {
        lap.lock().unwrap().tell();
    }
}

async fn work(folder: PathBuf, address: String, people: u64, lap: Arc<Mutex<Lap>>, ready: std::sync::mpsc::Sender<()>) {
    let mut commanders = Vec::new();
    for number in 0..COMMANDERS {
        commanders.push(connect(&folder, &format!("commander-{number}"), &address).await);
    }
    let revoker = connect(&folder, REVOKER, &address).await;
    for number in 0..ENGINEERS {
        let engineer = connect(&folder, &format!("engineer-{number}"), &address).await;
        let (commander, revoker) = (commanders[number % COMMANDERS].clone(), revoker.clone());
        let after = ASK_EVERY * number as u32 / ENGINEERS as u32;
        tokio::spawn(ask_again_and_again(Arc::clone(&lap), [engineer, commander, revoker], after));
    }
    let mut checkers = Vec::new();
    for _ in 0..CHECKER_CONNECTIONS {
        checkers.push(AccessServiceClient::new(connect(&folder, CHECKER, &address).await));
    }
    ready.send(()).unwrap();
    let mut beat = tokio::time::interval(CHECK_EVERY);
    for turn in 0.. {
        beat.tick().await;
        let (mut checker, lap) = (checkers[turn % checkers.len()].clone(), Arc::clone(&lap));
        let number = turn as u64 * 7_919 % people;
        let question = CheckAccessRequest {
            subject: identity_of(&holder(number)).to_string(),
            action: "db.read".to_owned(),
            resource: resource(number),
        };
        tokio::spawn(async move {
            let answer = timed(&lap, 0, checker.check_access(question)).await;
            if answer.is_some_and(|answer| answer.verdict() != Verdict::Allow) {
                failure::<()>(&lap, "a check of a live grant was denied".to_owned());
            }
        });
    }
}

async fn ask_again_and_again(lap: Arc<Mutex<Lap>>, channels: [Channel; 3], after: Duration) {
    let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + after, ASK_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let _ = ask_and_revoke(&lap, channels.clone()).await;
    }
}

/// None where a call failed, which has been noted.
async fn ask_and_revoke(lap: &Mutex<Lap>, [engineer, commander, revoker]: [Channel; 3]) -> Option<()> {
    let request = RequestElevationRequest {
        request_id: Uuid::new_v4().to_string(),
        entitlement: ENTITLEMENT.to_owned(),
        actions: vec!["db.read".to_owned()],
        resources: vec![format!("prod/eu/db/orders/{}/**", Uuid::new_v4().simple())],
        duration: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        justification: "orders are stuck in the queue".to_owned(),
        ..RequestElevationRequest::default()
    };
    let mut engineer = ElevationServiceClient::new(engineer);
    let elevation = timed(lap, 1, engineer.request_elevation(request)).await?.elevation?;
    let approval = ApproveElevationRequest {
        request_id: Uuid::new_v4().to_string(),
        elevation_id: elevation.id,
        approval_digest: Sha256::digest(elevation.review?.approval_text).to_vec(),
        ..ApproveElevationRequest::default()
    };
    let approved = match ElevationServiceClient::new(commander).approve_elevation(approval).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return failure(lap, status.to_string()),
    };
    let revocation = RevokeGrantRequest {
        request_id: Uuid::new_v4().to_string(),
        grant_id: approved.grant?.id,
        reason: "the incident is over".to_owned(),
    };
    timed(lap, 2, GrantServiceClient::new(revoker).revoke_grant(revocation)).await.map(|_| ())
}

async fn timed<T>(lap: &Mutex<Lap>, kind: usize, call: impl Future<Output = Result<Response<T>, Status>>) -> Option<T> {
    let begun = Instant::now();
    let answer = call.await;
    let micros = begun.elapsed().as_micros() as u64;
    match answer {
        Ok(answer) => {
            lap.lock().unwrap().micros[kind].push(micros);
            Some(answer.into_inner())
        }
        Err(status) => failure(lap, status.to_string()),
    }
}

fn failure<T>(lap: &Mutex<Lap>, text: String) -> Option<T> {
    let mut lap = lap.lock().unwrap();
    if lap.failed == 0 {
        lap.first = text;
    }
    lap.failed += 1;
    None
}
