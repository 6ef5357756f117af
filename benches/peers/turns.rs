//! The load: the same clients for all, each sending its next question when the one before has been answered.

use std::cell::Cell;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::check::Query;
use countersign::sdk::{CheckedBatch, Replica};
use countersign::wire::v1::access_service_client::AccessServiceClient;
use countersign::wire::v1::{CheckAccessRequest, Verdict};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::connection::connect;
use crate::peer::QUESTIONS;
use crate::round::{Measured, Order, Round, on_threads};
use crate::world::{Size, WIDE, holder_of, resource_of};
use crate::{cerbos, etcd, openbao};

const TOGETHER: usize = 16;
const ROUND: Duration = Duration::from_secs(1);

/// The child's part: an order a line, and its outcome.
pub fn obey(folder: &Path, size: Size) {
    let asked = Arc::new(questions(size));
    let mut token = None;
    for line in std::io::stdin().lock().lines() {
        let order = Order::read(&line.unwrap());
        let told = set_up(folder, &order, &asked, &mut token);
        println!("{}", round(folder, &order, &asked, &told).text());
    }
}

/// Tells a server what is granted, once; the token for OpenBao.
fn set_up(folder: &Path, order: &Order, asked: &[CheckAccessRequest], token: &mut Option<String>) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let marker = folder.join(format!("{}.ready", order.what));
    if !marker.exists() {
        runtime.block_on(async {
            match order.what.as_str() {
                "etcd" => etcd::grant(&connect(folder, WIDE, &order.address).await, asked).await,
                "openbao" => *token = Some(openbao::set_up(&openbao::connect(folder, &order.address).await).await),
                _ => {}
            }
        });
        std::fs::write(marker, "").unwrap();
    }
    token.clone().unwrap_or_default()
}

fn round(folder: &Path, order: &Order, asked: &Arc<Vec<CheckAccessRequest>>, token: &str) -> Measured {
    let round = Round::new(order.threads);
    let threads = {
        let (round, order, token) = (Arc::clone(&round), order.clone(), token.to_owned());
        let (folder, asked): (PathBuf, _) = (folder.to_owned(), Arc::clone(asked));
        on_threads(order.threads, move |number| {
            drive(number, Arc::clone(&round), folder.clone(), order.clone(), Arc::clone(&asked), token.clone())
        })
    };
    round.measure(order, || threads.into_iter().for_each(|thread| thread.join().unwrap()))
}

async fn drive(
    number: usize,
    round: Arc<Round>,
    folder: PathBuf,
    order: Order,
    asked: Arc<Vec<CheckAccessRequest>>,
    token: String,
) {
    let connections = order.connections / order.threads;
    let (mut channels, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..connections {
        match order.what.as_str() {
            "openbao" => plain.push(openbao::connect(&folder, &order.address).await),
            _ => channels.push(connect(&folder, WIDE, &order.address).await),
        }
    }
    round.ready.wait();
    let mut clients = JoinSet::new();
    for client in 0..order.in_flight / order.threads {
        let next = Next { asked: Arc::clone(&asked), at: Cell::new((number + client) * 977) };
        let round = Arc::clone(&round);
        let place = client % connections;
        match order.what.as_str() {
            "check" => clients.spawn_local(check(round, channels[place].clone(), next)),
            "cerbos" => {
                let channel = channels[place].clone();
                clients.spawn_local(async move {
                    round.repeat(|| cerbos::ask(&channel, cerbos::question(next.one()))).await;
                })
            }
            "etcd" => {
                let channel = channels[place].clone();
                clients.spawn_local(async move {
                    round.repeat(|| etcd::ask(&channel, etcd::question(next.one()))).await;
                })
            }
            "openbao" => {
                let (connection, token) = (plain[place].clone(), token.clone());
                clients.spawn_local(async move {
                    round.repeat(|| openbao::ask(&connection, &token, openbao::question(next.one()))).await;
                })
            }
            other => panic!("no such kind: {other}"),
        };
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}

/// Goes round the questions.
struct Next {
    asked: Arc<Vec<CheckAccessRequest>>,
    at: Cell<usize>,
}

impl Next {
    fn one(&self) -> &CheckAccessRequest {
        self.at.set(self.at.get() + 1);
        &self.asked[self.at.get() % QUESTIONS]
    }
}

async fn check(round: Arc<Round>, channel: Channel, next: Next) {
    let call = || {
        let question = next.one().clone();
        let mut client = AccessServiceClient::new(channel.clone());
        async move {
            let answer = client.check_access(question).await.unwrap().into_inner();
            assert_eq!(answer.verdict(), Verdict::Allow, "{answer:?}");
        }
    };
    round.repeat(call).await;
}

/// About grants all over the index.
fn questions(size: Size) -> Vec<CheckAccessRequest> {
    let grants = (0..QUESTIONS as u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size.grants);
    let asked = grants.map(|grant| CheckAccessRequest {
        subject: format!("spiffe://northwind.example/person/{}", holder_of(grant, size)),
        action: "db.read".to_owned(),
        resource: resource_of(grant, size),
    });
    asked.collect()
}

/// A service with a replica of its own: told where the broker is, then round after round.
pub fn replica(folder: &Path, size: Size) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut lines = std::io::stdin().lock().lines();
    let address = lines.next().unwrap().unwrap();
    let file = |ending: &str| folder.join(format!("{WIDE}.{ending}"));
    let builder = Replica::builder([format!("https://{address}")])
        .authority_file(folder.join("authority.pem"))
        .identity_files(file("pem"), file("key"))
        .server_name("localhost");
    let replica = runtime.block_on(builder.connect()).unwrap();
    println!("synced");
    let asked = questions(size);
    for line in lines {
        line.unwrap();
        println!("{}", replica_round(&replica, &asked).text());
    }
}

/// A second on two threads, sixteen at a time.
fn replica_round(replica: &Replica, asked: &[CheckAccessRequest]) -> Measured {
    let queries: Vec<Query<'_>> = asked
        .iter()
        .map(|asked| Query { subject: &asked.subject, action: &asked.action, resource: &asked.resource })
        .collect();
    let begun = Instant::now();
    let work = || {
        let (mut checks, mut answers) = (0_usize, CheckedBatch::with_capacity(TOGETHER));
        while begun.elapsed() < ROUND {
            for together in queries.chunks(TOGETHER) {
                replica.check_batch(together, &mut answers);
                assert!(answers.iter().all(|answer| answer.is_allowed()));
                checks += together.len();
            }
        }
        checks
    };
    let checks: usize = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let each_micros = 2.0 * seconds * 1e6 / checks as f64;
    Measured {
        calls_per_second: checks as f64 / seconds,
        p50_micros: each_micros,
        p99_micros: each_micros,
        server_micros: 0.0,
        load_micros: each_micros,
    }
}
