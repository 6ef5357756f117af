//! The broker, as `countersign serve` starts it, on a journal that is there.

use std::collections::BTreeMap;
use std::path::Path;

use countersign::server::assembly::start;
use countersign::server::config::{ServeOverrides, parse};

use crate::child::serve_until_told;

pub fn serve(folder: &Path) {
    let text = r#"
        listen = "127.0.0.1:0"
        journal = "journal.db"
        [tls]
        certificate = "broker.pem"
        key = "broker.key"
        authorities = [{ file = "authority.pem", trust_domains = ["northwind.example"] }]
    "#;
    let settings = parse(text, folder, &BTreeMap::new(), &ServeOverrides::default()).unwrap();
    let running = start(settings).unwrap();
    serve_until_told(&[running.address()]);
}
