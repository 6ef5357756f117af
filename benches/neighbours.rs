//! What one account can do to others. A broker with its usual budgets, on its real journal, and honest people and a service
//! beside it, each a process of its own; a third process attacks with the certificate of one ordinary account, one attack
//! after another. Printed are what the honest waited for, beside a run in which the processor time that the attack took of
//! broker and attacker is burnt elsewhere, and what the attack left in the broker.
//!
//! `cargo bench --bench neighbours`, or `… -- lists` for one attack, `--seconds 5 --after 20` for less of
//! each and of the wait until memory is looked at again; `… -- --soak 600 [--svg FILE]` for four accounts that
//! each make one attack after another, drawn second by second. `--folder DIR`: where journals are. On a shared disk a flush may
//! stand still for half a second, which all writes wait for: each row tells how long one by itself took meanwhile. It
//! fails if a call of the honest failed, and never by a time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "a bench stops at the first surprise, reads the clock, prints, and divides"
)]

#[path = "../tests/common/ask.rs"]
mod ask;
#[path = "neighbours/attacks.rs"]
mod attacks;
#[path = "neighbours/broker.rs"]
mod broker;
#[path = "../tests/common/certificates.rs"]
mod certificates;
#[path = "grpc/child.rs"]
mod child;
#[path = "neighbours/client.rs"]
mod client;
#[path = "../tests/common/connection.rs"]
mod connection;
#[path = "../tests/common/filled.rs"]
mod filled;
#[path = "neighbours/honest.rs"]
mod honest;
#[path = "../tests/common/organisation.rs"]
mod organisation;
#[path = "neighbours/report.rs"]
mod report;
#[path = "neighbours/soak.rs"]
mod soak;
#[path = "neighbours/watched.rs"]
mod watched;
#[path = "neighbours/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use attacks::ATTACKS;
use child::Process;
use honest::Told;
use watched::{Seen, Watched};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Ok(role) = std::env::var(child::ROLE) else { return drive() };
    let folder = PathBuf::from(std::env::var(child::FOLDER).unwrap());
    let people = std::env::var(child::GRANTS).unwrap().parse().unwrap();
    match role.split_once(':').unwrap_or((&role, "")) {
        ("broker", journal) => broker::serve(&folder, journal),
        ("honest", _) => honest::obey(&folder, people),
        ("attacker", _) => attacks::obey(&folder),
        ("burner", _) => broker::burn(),
        other => panic!("no such role: {other:?}"),
    }
    ExitCode::SUCCESS
}

/// How much is done.
#[derive(Clone, Copy)]
pub struct Extent {
    pub people: u64,
    /// Before anything counts.
    pub warm_up: Duration,
    /// Each attack.
    pub millis: u64,
    /// When memory is looked at again.
    pub after: Duration,
}

fn drive() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |key: &str| arguments.iter().position(|it| it == key).and_then(|at| arguments.get(at + 1));
    // Without `--bench` cargo only asks whether this runs at all.
    let mut extent = if arguments.iter().any(|argument| argument == "--bench") {
        Extent { people: 10_000, warm_up: Duration::from_secs(1), millis: 10_000, after: Duration::from_secs(60) }
    } else {
        Extent { people: 200, warm_up: Duration::from_millis(50), millis: 300, after: Duration::from_millis(500) }
    };
    if let Some(seconds) = value("--seconds") {
        extent.millis = seconds.parse::<u64>().unwrap() * 1_000;
    }
    if let Some(seconds) = value("--after") {
        extent.after = Duration::from_secs(seconds.parse().unwrap());
    }
    let folder = tempfile::tempdir_in(value("--folder").map_or(env!("CARGO_TARGET_TMPDIR"), String::as_str)).unwrap();
    world::write_certificates(folder.path());
    let sound = if let Some(seconds) = value("--soak") {
        let picture = value("--svg").map_or_else(|| PathBuf::from("docs/neighbours.svg"), PathBuf::from);
        soak::run(folder.path(), extent, seconds.parse().unwrap(), &picture)
    } else {
        let named = |name: &str| arguments.iter().any(|argument| argument == name);
        let some = ATTACKS.iter().any(|attack| named(attack.name));
        let chosen = ATTACKS.iter().map(|attack| attack.name).filter(|name| !some || named(name));
        one_after_another(folder.path(), extent, chosen)
    };
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What happens beside the honest.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    /// So many seconds of processor time are burnt, as an attack of this name took.
    Burning(&'static str, f64),
    Attack(&'static str),
}

impl Beside {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "quiet",
            Self::Burning(name, _) | Self::Attack(name) => name,
        }
    }

    /// The name of a journal of its own.
    fn journal(self) -> String {
        format!("{}{}", self.name(), if matches!(self, Self::Burning(..)) { "-burnt" } else { "" })
    }
}

/// A row of the table.
pub struct Row {
    pub name: &'static str,
    pub told: Told,
    pub seen: Seen,
    pub calls: Option<[u64; 2]>,
    /// Processor time that broker and attacker took.
    pub processor_seconds: f64,
    /// What the honest were told while that much was burnt elsewhere.
    pub burnt: Option<Told>,
    /// Resident bytes of the broker when it has been left alone.
    pub later: u64,
}

/// A broker that is left alone until its memory is looked at again.
struct LeftAlone {
    broker: Process,
    since: Instant,
    row: usize,
}

/// Each on a broker and a journal of its own, so that none finds what another left. True if no honest call failed.
fn one_after_another(folder: &Path, extent: Extent, chosen: impl Iterator<Item = &'static str>) -> bool {
    let (mut rows, mut waiting): (Vec<Row>, Vec<LeftAlone>) = (Vec::new(), Vec::new());
    for beside in std::iter::once(Beside::Nothing).chain(chosen.map(Beside::Attack)) {
        let name = beside.name();
        eprintln!("{name} …");
        let (broker, mut row) = trial(folder, extent, beside);
        waiting.push(LeftAlone { broker, since: Instant::now(), row: rows.len() });
        if let Some(quiet) = rows.first() {
            let extra = (row.processor_seconds - quiet.processor_seconds).max(0.0);
            row.burnt = Some(trial(folder, extent, Beside::Burning(name, extra)).1.told);
        }
        rows.push(row);
        waiting.retain_mut(|one| look_again(one, extent, &mut rows));
    }
    while !waiting.is_empty() {
        std::thread::sleep(Duration::from_millis(100));
        waiting.retain_mut(|one| look_again(one, extent, &mut rows));
    }
    report::print(&rows);
    let told = |row: &Row| row.burnt.iter().chain([&row.told]).cloned().collect::<Vec<_>>();
    let failed: Vec<_> = rows
        .iter()
        .flat_map(|row| told(row).into_iter().map(|it| (row.name, it)))
        .filter(|it| it.1.failed > 0)
        .collect();
    failed.iter().for_each(|(name, told)| {
        eprintln!("{name}: {} calls of the honest failed, the first: {}", told.failed, told.first);
    });
    failed.is_empty()
}

/// Whether it has still to wait.
fn look_again(one: &mut LeftAlone, extent: Extent, rows: &mut [Row]) -> bool {
    if one.since.elapsed() < extent.after {
        return true;
    }
    rows[one.row].later = watched::resident(one.broker.id());
    false
}

fn trial(folder: &Path, extent: Extent, beside: Beside) -> (Process, Row) {
    let (broker, address, mut honest) = begin(folder, extent, &beside.journal());
    honest.ask("lap");
    let watched = Watched::begin(broker.id(), folder, &beside.journal());
    let (mut calls, mut of_attacker) = (None, 0);
    match beside {
        Beside::Nothing => std::thread::sleep(Duration::from_millis(extent.millis)),
        Beside::Burning(_, seconds) => {
            let mut burner = Process::start("burner", folder, 0);
            burner.ask(&format!("{:.0}", seconds * 1e6 / extent.millis as f64));
            std::thread::sleep(Duration::from_millis(extent.millis));
        }
        Beside::Attack(name) => {
            let mut attacker = Process::start("attacker", folder, 0);
            let answer = attacker.ask(&format!("{address} {name} 0 {}", extent.millis));
            of_attacker = child::processor_nanos(attacker.id());
            if answer.len() > 2 {
                eprintln!("    not let, the first: {}", answer[2..].join(" "));
            }
            calls = Some([0, 1].map(|at| answer[at].parse().unwrap()));
        }
    }
    let told = Told::read(&honest.ask("lap"));
    let seen = watched.end();
    let processor_seconds = seen.processor_seconds + of_attacker as f64 / 1e9;
    (broker, Row { name: beside.name(), told, seen, calls, processor_seconds, burnt: None, later: 0 })
}

/// A broker on a new journal, and the honest at work with it.
#[must_use]
pub fn begin(folder: &Path, extent: Extent, name: &str) -> (Process, String, Process) {
    world::fill(&folder.join(format!("{name}.db")), extent.people);
    let mut broker = Process::start(&format!("broker:{name}"), folder, 0);
    let address = broker.line()[0].clone();
    let mut honest = Process::start("honest", folder, extent.people);
    honest.ask(&address);
    std::thread::sleep(extent.warm_up);
    (broker, address, honest)
}
