//! Four accounts that make one attack after another, each on its own, and what becomes of the broker and of the honest,
//! second by second: as comma-separated values on standard output, and drawn.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::attacks::ATTACKS;
use crate::child::Process;
use crate::honest::Told;
use crate::watched::Flushes;
use crate::world::ATTACKERS;
use crate::{Extent, begin, watched};

/// How long each attack goes on.
const TURN_MILLIS: u64 = 5_000;
const MEBIBYTE: f64 = 1024.0 * 1024.0;
const COLUMNS: [&str; 7] = [
    "memory MiB",
    "disk MiB",
    "threads",
    "check p99 ms",
    "request p99 ms",
    "revoke p99 ms",
    "a flush by itself, p99 ms",
];

/// True if no honest call failed.
pub fn run(folder: &Path, extent: Extent, seconds: u64, picture: &Path) -> bool {
    let (broker, address, mut honest) = begin(folder, extent, "soak");
    honest.ask("lap");
    let flushes = Flushes::begin(folder);
    let (begun, journal) = (Instant::now(), folder.join("soak.db"));
    let attackers: Vec<_> = (0..ATTACKERS)
        .map(|number| {
            let (folder, address) = (folder.to_owned(), address.clone());
            std::thread::spawn(move || attack_in_turn(&folder, &address, number, begun, seconds))
        })
        .collect();
    println!("second,{}", COLUMNS.map(|name| name.replace([' ', ','], "_")).join(","));
    let (mut rows, mut sound) = (Vec::new(), true);
    for second in 1..=seconds {
        std::thread::sleep((begun + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        let told = Told::read(&honest.ask("lap"));
        let row = [
            watched::resident(broker.id()) as f64 / MEBIBYTE,
            watched::bytes_of(&journal) as f64 / MEBIBYTE,
            watched::threads(broker.id()) as f64,
            told.micros[0][1] / 1e3,
            told.micros[1][1] / 1e3,
            told.micros[2][1] / 1e3,
            flushes.lap() / 1e3,
        ];
        println!("{second},{}", row.map(|value| format!("{value:.2}")).join(","));
        if told.failed > 0 {
            eprintln!("second {second}: {} calls of the honest failed, the first: {}", told.failed, told.first);
            sound = false;
        }
        rows.push(row);
    }
    attackers.into_iter().for_each(|attacker| attacker.join().unwrap());
    std::fs::write(picture, drawn(&rows)).unwrap();
    eprintln!("drawn: {}", picture.display());
    sound
}

fn attack_in_turn(folder: &Path, address: &str, number: usize, begun: Instant, seconds: u64) {
    let mut attacker = Process::start("attacker", folder, 0);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
    loop {
        let left = (begun + Duration::from_secs(seconds)).saturating_duration_since(Instant::now()).as_millis() as u64;
        if left == 0 {
            return;
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let attack = &ATTACKS[random as usize % ATTACKS.len()];
        attacker.ask(&format!("{address} {} {number} {}", attack.name, left.min(TURN_MILLIS)));
    }
}

/// Seconds are drawn together, each time the greatest of them, so that there are no more points than this.
const POINTS: usize = 600;

/// A panel for each column, one below the other.
fn drawn(rows: &[[f64; COLUMNS.len()]]) -> String {
    let greatest = |some: &[[f64; COLUMNS.len()]]| {
        std::array::from_fn(|column| some.iter().map(|row| row[column]).fold(0.0, f64::max))
    };
    let seconds = rows.len();
    let rows: Vec<[f64; COLUMNS.len()]> = rows.chunks(seconds.div_ceil(POINTS).max(1)).map(greatest).collect();
    const WIDTH: f64 = 900.0;
    const PANEL: f64 = 120.0;
    const LEFT: f64 = 60.0;
    let height = (PANEL + 30.0) * COLUMNS.len() as f64 + 30.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        WIDTH + LEFT + 20.0,
    );
    for (column, name) in COLUMNS.iter().enumerate() {
        let top = 25.0 + (PANEL + 30.0) * column as f64;
        let most = rows.iter().map(|row| row[column]).fold(1e-9, f64::max);
        let points: Vec<String> = rows
            .iter()
            .enumerate()
            .map(|(at, row)| {
                let x = LEFT + WIDTH * (at + 1) as f64 / rows.len() as f64;
                format!("{x:.1},{:.1}", top + PANEL * (1.0 - row[column] / most))
            })
            .collect();
        writeln!(
            text,
            "<text x=\"{LEFT}\" y=\"{:.1}\">{name}</text>\n<text x=\"4\" y=\"{:.1}\">{most:.1}</text>\n\
             <text x=\"4\" y=\"{:.1}\">0</text>\n\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{PANEL}\" fill=\"none\" stroke=\"#ccc\"/>\n\
             <polyline fill=\"none\" stroke=\"#1f5fa8\" points=\"{}\"/>",
            top - 5.0,
            top + 10.0,
            top + PANEL,
            points.join(" "),
        )
        .unwrap();
    }
    let label = format!("seconds, 0 to {seconds}");
    writeln!(text, "<text x=\"{LEFT}\" y=\"{:.1}\">{label}</text>\n</svg>", height - 8.0).unwrap();
    text
}
