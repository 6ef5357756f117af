//! May this person do this to that resource? Asked of the broker, of Cerbos, of etcd (a serializable read of a key that
//! is there if so) and of OpenBao (capabilities-self), each over mTLS, in one run and in turns.
//!
//! `scripts/bench-peers`, which fetches the others first. Each is set up to its advantage: Cerbos is told in the question
//! what its policy needs to know, etcd and OpenBao know little else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "a bench stops at the first surprise, reads the clock, prints, and divides"
)]

#[path = "../tests/common/ask.rs"]
mod ask;
#[path = "replica/broker.rs"]
mod broker;
#[path = "peers/cerbos.rs"]
mod cerbos;
#[path = "../tests/common/certificates.rs"]
mod certificates;
#[path = "grpc/child.rs"]
mod child;
#[path = "../tests/common/connection.rs"]
mod connection;
#[path = "peers/etcd.rs"]
mod etcd;
#[path = "../tests/common/filled.rs"]
mod filled;
#[path = "peers/openbao.rs"]
mod openbao;
#[path = "../tests/common/organisation.rs"]
mod organisation;
#[path = "peers/peer.rs"]
mod peer;
#[path = "grpc/round.rs"]
mod round;
#[path = "peers/turns.rs"]
mod turns;
#[path = "replica/world.rs"]
mod world;

use std::path::{Path, PathBuf};

use child::Process;
use countersign::clock::{Clock as _, SystemClock};
use countersign::domain::value::time::Span;
use peer::Peer;
use round::{Measured, Order};
use world::Size;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GRANTS: u64 = 1_000_000;
const CONNECTIONS: usize = 8;
const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 9;
const KINDS: [&str; 5] = ["check", "cerbos", "etcd", "openbao", "replica"];
/// Its checks are made where they are asked, on two threads.
const REPLICA: usize = 4;

fn main() {
    if let Ok(role) = std::env::var(child::ROLE) {
        let folder = PathBuf::from(std::env::var(child::FOLDER).unwrap());
        let grants = std::env::var(child::GRANTS).unwrap().parse().unwrap();
        return match role.as_str() {
            "broker" => broker::serve(&folder),
            "load" => turns::obey(&folder, size(grants)),
            "replica" => turns::replica(&folder, size(grants)),
            other => panic!("no such role: {other}"),
        };
    }
    match std::env::var("COUNTERSIGN_PEERS") {
        Ok(binaries) if std::env::args().any(|argument| argument == "--bench") => drive(Path::new(&binaries)),
        _ => println!("the others are not here: run `scripts/bench-peers`"),
    }
}

fn size(grants: u64) -> Size {
    Size { grants, services: 1, grants_each: 4 }
}

fn drive(binaries: &Path) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = folder.path();
    world::write_certificates(folder, size(GRANTS));
    let end = SystemClock.read().wall.plus(Span::seconds(12 * 3_600));
    world::fill(&folder.join("journal.db"), size(GRANTS), |_| end);
    let mut broker = Process::start("broker", folder, GRANTS);
    let own = broker.line()[0].clone();
    let peers = [cerbos::start(binaries, folder), etcd::start(binaries, folder), openbao::start(binaries, folder)];
    let mut places = vec![(own, broker.id())];
    places.extend(peers.iter().map(|peer: &Peer| (peer.address.clone(), peer.process())));
    let mut load = Process::start("load", folder, GRANTS);
    let mut replica = Process::start("replica", folder, GRANTS);
    replica.ask(&places[0].0);
    println!("8 connections, 64 in flight");
    println!("what         calls/s  p50 µs  p99 µs  server µs/call");
    let turns: Vec<Vec<Measured>> = (0..ROUNDS).map(|round| turn(round, &places, &mut load, &mut replica)).collect();
    for (kind, name) in KINDS.iter().enumerate() {
        let over = |value: fn(&Measured) -> f64| median(turns.iter().map(|turn| value(&turn[kind])));
        println!(
            "{name:<9} {:>10.0} {:>7.0} {:>7.0} {:>15.1}   check is {:.1} times it, the replica {:.0} times",
            over(|one| one.calls_per_second),
            over(|one| one.p50_micros),
            over(|one| one.p99_micros),
            over(|one| one.server_micros),
            median(turns.iter().map(|turn| turn[0].calls_per_second / turn[kind].calls_per_second)),
            median(turns.iter().map(|turn| turn[REPLICA].calls_per_second / turn[kind].calls_per_second)),
        );
    }
}

/// Each kind once, beginning with another one each time.
fn turn(round: usize, places: &[(String, u32)], load: &mut Process, replica: &mut Process) -> Vec<Measured> {
    let mut measured = vec![None; KINDS.len()];
    for step in 0..KINDS.len() {
        let kind = (step + round) % KINDS.len();
        if kind == REPLICA {
            measured[kind] = Some(Measured::read(&replica.ask("round")));
            continue;
        }
        let (address, server) = places[kind].clone();
        let what = KINDS[kind].to_owned();
        let order =
            Order { what, address, server, connections: CONNECTIONS, in_flight: IN_FLIGHT, threads: 2, millis: 1_000 };
        measured[kind] = Some(Measured::read(&load.ask(&order.text())));
    }
    measured.into_iter().map(Option::unwrap).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
