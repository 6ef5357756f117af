//! Replicas of a million grants: how long the first copy takes and how large it is, how soon a revocation is in force in
//! them, what a check costs, how long nobody can be let in when all of them lose the broker at once, and that a broker
//! that does not answer stops them.
//!
//! `cargo bench --bench replica`. The broker is a process of its own, started as `serve` starts it on a real journal; the
//! replicas are another; between them and the broker is a forwarder, whose connections can be cut.
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
#[path = "../tests/common/certificates.rs"]
mod certificates;
#[path = "grpc/child.rs"]
mod child;
#[path = "../tests/common/connection.rs"]
mod connection;
#[path = "../tests/common/filled.rs"]
mod filled;
#[path = "replica/forwarder.rs"]
mod forwarder;
#[path = "../tests/common/organisation.rs"]
mod organisation;
#[path = "replica/replicas.rs"]
mod replicas;
#[path = "replica/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::time::Instant;

use child::Process;
use countersign::clock::{Clock as _, SystemClock};
use countersign::domain::value::time::Span;
use forwarder::Forwarder;
use world::Size;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    if let Ok(role) = std::env::var(child::ROLE) {
        let folder = PathBuf::from(std::env::var(child::FOLDER).unwrap());
        let grants = std::env::var(child::GRANTS).unwrap().parse().unwrap();
        return match role.as_str() {
            "broker" => broker::serve(&folder),
            "replicas" => replicas::obey(&folder, size_of(grants)),
            other => panic!("no such role: {other}"),
        };
    }
    // Without `--bench` cargo only asks whether this runs at all.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let (grants, replicas, crowd, revocations) =
        if in_earnest { (1_000_000, 100, 1_000, 500) } else { (4_000, 10, 20, 5) };
    drive(grants, replicas, crowd, revocations);
}

fn size_of(grants: u64) -> Size {
    Size { grants, services: 100, grants_each: 100 }
}

fn drive(grants: u64, replicas: usize, crowd: usize, revocations: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = folder.path();
    let size = size_of(grants);
    world::write_certificates(folder, size);
    let end = SystemClock.read().wall.plus(Span::seconds(12 * 3_600));
    world::fill(&folder.join("journal.db"), size, |_| end);
    let begun = Instant::now();
    let mut broker = Process::start("broker", folder, grants);
    let address = broker.line()[0].clone();
    println!("a start with {grants} live grants: {:.1} s", begun.elapsed().as_secs_f64());
    let forwarder = Forwarder::start(&address);

    // one replica of everything, in a process of its own
    let mut wide = Process::start("replicas", folder, grants);
    let synced = wide.ask(&format!("wide {address}"));
    println!("first copy of {grants} grants: {} s, {} bytes a grant in all", synced[0], synced[1]);
    let checked = wide.ask("check");
    println!(
        "check in a replica: {} ns one by one, {} ns in batches of 16, {} a second on one thread",
        checked[0], checked[1], checked[2]
    );

    let mut others = Process::start("replicas", folder, grants);
    let connected = others.ask(&format!("narrow {address} {replicas} {}", size.services));
    println!("{replicas} replicas more, each of a hundredth: {} s", connected[0]);
    let revoked = wide.ask(&format!("revoke {address} {revocations}"));
    println!(
        "{replicas} replicas, {revocations} revocations: acknowledged to denied p50 {} ms, p99 {} ms, longest {} ms",
        revoked[0], revoked[1], revoked[2]
    );
    drop(others);

    cut_off(&broker, &forwarder, folder, grants, [2 * crowd as u64, 1]);
    let mut many = cut_off(&broker, &forwarder, folder, grants, [crowd as u64, size.services]);
    signal(broker.id(), "STOP");
    let frozen = many.ask("frozen");
    signal(broker.id(), "CONT");
    println!("the broker stopped: the last ALLOW {} ms after, with a max_staleness of {} ms", frozen[0], frozen[1]);
}

/// So many replicas, of so many services, lose all their connections at once, and come back.
fn cut_off(
    broker: &Process,
    forwarder: &Forwarder,
    folder: &Path,
    grants: u64,
    [crowd, services]: [u64; 2],
) -> Process {
    let before = resident_bytes(broker.id());
    let mut many = Process::start("replicas", folder, grants);
    let connected = many.ask(&format!("narrow {} {crowd} {services}", forwarder.address()));
    let each = per(broker.id(), before, crowd);
    println!("{crowd} replicas of {services} services: {} s, {each} bytes of the broker each", connected[0]);
    forwarder.cut();
    let cut = many.ask("after-cut");
    println!(
        "{crowd} replicas of {services} services cut off at once: checks were denied as STALE for {} ms at most, all were \
         back after {} ms; the broker had {} bytes more for each",
        cut[0],
        cut[1],
        per(broker.id(), before, crowd)
    );
    many
}

fn signal(process: u32, name: &str) {
    let status = std::process::Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(status.unwrap().success());
}

fn per(process: u32, before: u64, replicas: u64) -> u64 {
    resident_bytes(process).saturating_sub(before) / replicas
}

/// Memory that a process has at this moment.
#[must_use]
pub fn resident_bytes(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}
