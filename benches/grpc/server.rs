//! The servers that are measured: the broker's own listener and runtimes with the real engine behind them, and tonic's
//! server as it comes, on tokio's runtime as it comes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::clock::SystemClock;
use countersign::domain::decide::Files;
use countersign::engine::{Engine, Settings, Store, initialise};
use countersign::server::assembly::start;
use countersign::server::config::{ServeOverrides, ServeSettings, parse};
use countersign::server::metrics::Metrics;
use countersign::server::transport::listener::{ListenerSettings, listen};
use countersign::server::transport::served::Speaks;
use countersign::server::transport::tls::TlsStore;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::child::{processor_nanos, serve_until_told};
use crate::echo::Echo;
use crate::world::{CHECKER, directory, fill, identity_of, policy};

/// The whole broker on a new journal, with so many grants put into its check index; and the echo on a second listener of
/// the same kind, in the same process.
pub fn broker(folder: &Path, grants: u64) {
    let directory = directory();
    initialise(&store(folder), Files { policy: policy(), directory: &directory }, Arc::new(SystemClock)).unwrap();
    let settings = settings(folder);
    let running = start(settings.clone()).unwrap();
    fill(running.engine().checks(), grants);
    let clock = running.engine().clone();
    let tls = TlsStore::load(settings.tls, Arc::new(move || clock.latest())).unwrap();
    let listener = ListenerSettings {
        speaks: Speaks::Grpc,
        address: settings.listen,
        runtimes: settings.runtimes,
        limits: settings.limits,
        reload_interval: Duration::from_secs(60),
        reload_asked: Arc::default(),
    };
    let echo = listen(&listener, tls, Arc::new(Metrics::default()), || Routes::new(Echo)).unwrap();
    serve_until_told(&[running.address(), echo.local_address]);
}

/// As `countersign serve` has them by default, but for budgets: few stand here for very many.
fn settings(folder: &Path) -> ServeSettings {
    let text = r#"
        listen = "127.0.0.1:0"
        journal = "journal.db"
        budgets.person_commands = "1000000000 at once, 1000000000 each 1ms"
        budgets.journal_minute = "1000000000 at once, 1000000000 each 1ms"
        budgets.journal_day = "1000000000 at once, 1000000000 each 1ms"
        budgets.kept = 1000000000
        limits.connections_of_person = 8192
        [tls]
        certificate = "broker.pem"
        key = "broker.key"
        authorities = [{ file = "authority.pem", trust_domains = ["northwind.example"] }]
    "#;
    parse(text, folder, &BTreeMap::new(), &ServeOverrides::default()).unwrap()
}

/// How many events there are, how many seconds a start takes, from opening to the first check, and how much of
/// them on a processor: others may have it, too.
pub fn recovery(folder: &Path) {
    let begun = Instant::now();
    let engine = Engine::start(&store(folder), Arc::new(SystemClock), Settings::default()).unwrap();
    assert!(engine.checks().caller(&identity_of("service", CHECKER)).is_some());
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} {seconds} {}", engine.sequence(), processor_nanos(std::process::id()) as f64 / 1e9);
}

fn store(folder: &Path) -> Store {
    Store::File(folder.join("journal.db"))
}

/// The echo alone on all defaults.
pub fn defaults(folder: &Path) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(read("broker.pem"), read("broker.key")))
        .client_ca_root(Certificate::from_pem(read("authority.pem")));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap().with_nodelay(Some(true));
        let address = incoming.local_addr().unwrap();
        tokio::spawn(Server::builder().tls_config(tls).unwrap().add_service(Echo).serve_with_incoming(incoming));
        tokio::task::spawn_blocking(move || serve_until_told(&[address])).await.unwrap();
    });
}
