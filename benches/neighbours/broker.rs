//! The broker, as `countersign serve` starts it, with its usual budgets and limits; and threads that only burn.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::Path;
use std::time::{Duration, Instant};

use countersign::server::assembly::start;
use countersign::server::config::{ServeOverrides, parse};

use crate::child::serve_until_told;

/// How long a thread that burns is at it and pauses, together.
const TURN: Duration = Duration::from_millis(20);

/// Serves the journal of this name.
pub fn serve(folder: &Path, journal: &str) {
    let text = format!(
        r#"
        listen = "127.0.0.1:0"
        journal = "{journal}.db"
        [tls]
        certificate = "broker.pem"
        key = "broker.key"
        authorities = [{{ file = "authority.pem", trust_domains = ["northwind.example", "acme.example"] }}]
    "#
    );
    let settings = parse(&text, folder, &BTreeMap::new(), &ServeOverrides::default()).unwrap();
    let running = start(settings).unwrap();
    serve_until_told(&[running.address()]);
}

/// Told how many microseconds of each millisecond, burns as much, in equal parts on all processors, until its standard input
/// ends.
pub fn burn() {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    let micros: u64 = line.trim().parse().unwrap();
    let processors = std::thread::available_parallelism().unwrap().get() as u64;
    for _ in 0..processors {
        std::thread::spawn(move || {
            let (begun, mut turn) = (Instant::now(), 0);
            loop {
                turn += 1;
                let (busy, over) = (TURN.as_micros() as u64 / 1_000 * micros / processors, begun + TURN * turn);
                let until = (over - TURN).max(Instant::now()) + Duration::from_micros(busy);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                std::thread::sleep(over.saturating_duration_since(Instant::now()));
            }
        });
    }
    println!("burning");
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}
