//! The broker over gRPC and mTLS, on loopback: a check among a million live grants against an echo that does nothing on
//! the same listener, that echo against one on tonic's server and tokio's runtime as they come, and requests with their
//! approvals through the engine and its SQLite journal, and a start after them.
//!
//! `cargo bench --bench grpc`. Servers and load are processes of their own, this same binary started again, so that the
//! server's processor time a call is known. Rounds of the kinds that are compared take turns, and what is printed are
//! medians and the medians of the ratios within a turn: criterion measures one thing after another, so it is not used.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::panic,
    unreachable_pub,
    reason = "a bench stops at the first surprise, reads the clock, prints, and divides"
)]

#[path = "../tests/common/certificates.rs"]
mod certificates;
#[path = "grpc/child.rs"]
mod child;
#[path = "../tests/common/connection.rs"]
mod connection;
#[path = "grpc/echo.rs"]
mod echo;
#[path = "grpc/load.rs"]
mod load;
#[path = "../tests/common/organisation.rs"]
mod organisation;
#[path = "grpc/pairs.rs"]
mod pairs;
#[path = "grpc/round.rs"]
mod round;
#[path = "grpc/server.rs"]
mod server;
#[path = "grpc/streams.rs"]
mod streams;
#[path = "grpc/world.rs"]
mod world;

use std::path::Path;

use child::Process;
use round::{Measured, Order};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections, calls in flight over all of them.
const SHAPES: [(usize, usize); 3] = [(1, 1), (8, 64), (8, 256)];

fn main() {
    let Ok(role) = std::env::var(child::ROLE) else { return drive() };
    let folder = std::env::var(child::FOLDER).unwrap();
    let (folder, grants) = (Path::new(&folder), std::env::var(child::GRANTS).unwrap().parse().unwrap());
    match role.as_str() {
        "broker" => server::broker(folder, grants),
        "defaults" => server::defaults(folder),
        "load" => load::obey(folder, grants),
        "recovery" => server::recovery(folder),
        other => panic!("no such role: {other}"),
    }
}

/// How much is done.
struct Extent {
    grants: u64,
    rounds: usize,
    millis: u64,
}

fn drive() {
    // Without `--bench` cargo only asks whether this runs at all.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let extent = if in_earnest {
        Extent { grants: 1_000_000, rounds: 9, millis: 1_000 }
    } else {
        Extent { grants: 4_000, rounds: 1, millis: 200 }
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    println!("processors: {}", std::thread::available_parallelism().unwrap());
    world::write_certificates(folder.path());
    let mut broker = Process::start("broker", folder.path(), extent.grants);
    let mut defaults = Process::start("defaults", folder.path(), 0);
    let mut load = Process::start("load", folder.path(), extent.grants);
    let (listening, defaults_listening) = (broker.line(), defaults.line());
    let place = |address: &String, server: &Process| Place { address: address.clone(), server: server.id() };
    let (api, echo) = (place(&listening[0], &broker), place(&listening[1], &broker));
    let other_echo = place(&defaults_listening[0], &defaults);
    unary(&extent, [&other_echo, &echo, &api], &mut load);
    streams(&extent, [&echo, &api], &mut load);
    requests_and_approvals(&extent, &api, &mut load);
    drop(broker);
    recovery(&extent, folder.path());
}

/// Where a server listens, and its process.
struct Place {
    address: String,
    server: u32,
}

/// Echo on defaults, echo here, check here: in turns.
fn unary(extent: &Extent, places: [&Place; 3], load: &mut Process) {
    const KINDS: [&str; 3] = ["echo", "echo", "check"];
    println!("connections in flight   what                     calls/s  p50 µs  p99 µs  server µs/call  load µs/call");
    for (connections, in_flight) in SHAPES {
        let threads = connections.min(2);
        let turns: Vec<[Measured; 3]> = (0..extent.rounds)
            .map(|round| {
                let mut turn: [Option<Measured>; 3] = [None; 3];
                for step in 0..KINDS.len() {
                    let kind = (step + round) % KINDS.len();
                    let Place { address, server } = places[kind];
                    let (what, address, server, millis) =
                        (KINDS[kind].to_owned(), address.clone(), *server, extent.millis);
                    let order = Order { what, address, server, connections, in_flight, threads, millis };
                    turn[kind] = Some(Measured::read(&load.ask(&order.text())));
                }
                turn.map(Option::unwrap)
            })
            .collect();
        let shape = format!("{connections:>11} {in_flight:>9}");
        for (kind, name) in ["echo, tokio's defaults", "echo", "check"].iter().enumerate() {
            println!("{shape}   {name:<22} {}", row(turns.iter().map(|turn| turn[kind])));
        }
        let ratio = |one: usize, other: usize, value: fn(&Measured) -> f64| {
            median(turns.iter().map(|turn| value(&turn[one]) / value(&turn[other])))
        };
        let rate = |measured: &Measured| measured.calls_per_second;
        let cost = |measured: &Measured| measured.server_micros;
        println!(
            "{shape}   echo of defaults' {:.2} (server time {:.2}), check of echo {:.2} (server time {:.2}, p99 {:.2})",
            ratio(1, 0, rate),
            ratio(1, 0, cost),
            ratio(2, 1, rate),
            ratio(2, 1, cost),
            ratio(2, 1, |measured| measured.p99_micros),
        );
    }
}

/// Checks in messages of 16 and 128 over a stream a connection, eight messages on their way in each; an echo of the same
/// messages, which are read and written but not looked into; and one of as many bytes in one text.
fn streams(extent: &Extent, places: [&Place; 2], load: &mut Process) {
    println!("checks a message        what                    checks/s  p50 µs  p99 µs server µs/check load µs/check");
    for size in [16, 128] {
        let kinds = ["text", "echo", "check"].map(|kind| format!("{kind}-{size}"));
        let turns: Vec<[Measured; 3]> = (0..extent.rounds)
            .map(|round| {
                let mut turn: [Option<Measured>; 3] = [None; 3];
                for step in 0..3 {
                    let kind = (step + round) % 3;
                    let Place { address, server } = places[kind / 2];
                    let (what, address, server, millis) =
                        (kinds[kind].clone(), address.clone(), *server, extent.millis);
                    let order = Order { what, address, server, connections: 8, in_flight: 64, threads: 2, millis };
                    turn[kind] = Some(Measured::read(&load.ask(&order.text())));
                }
                turn.map(Option::unwrap)
            })
            .collect();
        for (kind, name) in ["echo of a text", "echo", "check"].iter().enumerate() {
            println!("{size:>16} {:>6}  {name:<22} {}", "", row(turns.iter().map(|turn| turn[kind])));
        }
        let ratio = |other: usize, value: fn(&Measured) -> f64| {
            median(turns.iter().map(|turn| value(&turn[2]) / value(&turn[other])))
        };
        println!(
            "{size:>16} {:>6}  check of echo {:.2} (server time {:.2}), of the text's {:.2}",
            "",
            ratio(1, |one| one.calls_per_second),
            ratio(1, |one| one.server_micros),
            ratio(0, |one| one.calls_per_second),
        );
    }
}

/// 64 clients, each with one pair at a time.
fn requests_and_approvals(extent: &Extent, Place { address, server }: &Place, load: &mut Process) {
    let (what, address, server, millis) = ("pairs".to_owned(), address.clone(), *server, extent.millis);
    let order = Order { what, address, server, connections: 0, in_flight: 64, threads: 2, millis };
    let rounds: Vec<Measured> = (0..extent.rounds).map(|_| Measured::read(&load.ask(&order.text()))).collect();
    println!("{:>11} {:>9}   {:<22} {}", "", 64, "request and approve", row(rounds.into_iter()));
}

/// What a new start needs for the journal that those requests have left.
fn recovery(extent: &Extent, folder: &Path) {
    let starts: Vec<Vec<f64>> = (0..extent.rounds.min(3))
        .map(|_| Process::start("recovery", folder, 0).line().iter().map(|word| word.parse().unwrap()).collect())
        .collect();
    let [events, seconds, busy] = [0, 1, 2].map(|column| median(starts.iter().map(|start| start[column])));
    let scale = 1e5 / events;
    println!(
        "a start after {events:.0} events: {seconds:.2} s; for 100 thousand {:.2} s, {:.2} s of them on a processor",
        seconds * scale,
        busy * scale,
    );
}

fn row(measured: impl Iterator<Item = Measured> + Clone) -> String {
    let over = |value: fn(&Measured) -> f64| median(measured.clone().map(|one| value(&one)));
    format!(
        "{:>9.0} {:>7.0} {:>7.0} {:>15.1} {:>13.1}",
        over(|one| one.calls_per_second),
        over(|one| one.p50_micros),
        over(|one| one.p99_micros),
        over(|one| one.server_micros),
        over(|one| one.load_micros),
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
