//! The broker, as `countersign serve` starts it, with its usual budgets and limits; and the thread that only burns.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::Path;

use countersign::server::assembly::start;
use countersign::server::config::{ServeOverrides, parse};

use crate::child::serve_until_told;

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

/// Keeps one processor busy until its standard input ends.
pub fn burn() {
    std::thread::spawn(|| {
        let mut number = 0_u64;
        loop {
            number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    });
    println!("burning");
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}
