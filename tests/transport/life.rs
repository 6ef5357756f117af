//! How it begins, changes and ends: busy ports, certificates that end or are replaced, drain, errors of accept.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign::domain::value::time::Timestamp;
use countersign::server::metrics::{self, Metrics, MetricsError, Outcome};
use countersign::server::transport::limits::Limits;
use countersign::server::transport::listener::{ListenError, ListenerSettings, listen};
use countersign::server::transport::served::Speaks;
use countersign::server::transport::tls::{AuthoritySettings, Reloaded, TlsSettings, TlsStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::common::certificates::{self, Authority, client};
use crate::harness::{ANA, Broker, eventually, health, slow};

fn settings(address: std::net::SocketAddr) -> ListenerSettings {
    ListenerSettings {
        speaks: Speaks::Grpc,
        address,
        runtimes: 1,
        limits: Limits::default(),
        reload_interval: Duration::from_secs(600),
        reload_asked: Arc::default(),
    }
}

#[test]
fn a_busy_port_is_an_error_that_names_it() {
    let broker = Broker::start();
    let second =
        listen(&settings(broker.address), Arc::clone(&broker.tls), Arc::default(), tonic::service::Routes::default);
    let error = second.unwrap_err();
    assert!(matches!(error, ListenError::Busy(_)), "{error:?}");
    assert!(error.to_string().contains(&broker.address.to_string()) && error.to_string().contains("in use"));
}

/// known failure G7: a thread that ends unasked is an error of `wait`, on which the process ends.
#[tokio::test]
async fn a_thread_that_ends_unasked_is_told() {
    let broker = Broker::start();
    let listening = listen(
        &settings("127.0.0.1:0".parse().unwrap()),
        Arc::clone(&broker.tls),
        Arc::default(),
        || -> tonic::service::Routes { panic!("on purpose: services cannot be built") },
    );
    let waiting = tokio::task::spawn_blocking(move || listening.unwrap().wait(Duration::from_secs(1)));
    let error = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(&error, ListenError::Stopped(name) if name.contains("serve")), "{error:?}");
}

/// known failure G12.
#[tokio::test]
async fn a_certificate_that_ends_ends_its_connection_at_the_next_call() {
    let broker = Broker::start();
    let channel = broker.connect(&broker.ana()).await.unwrap();
    health(&channel).await.unwrap();
    broker.advance_clock(86_400 + 1);
    let status = health(&channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("ended at") && status.message().contains("connect again"), "{status:?}");
    let info = status.get_error_details().error_info().cloned().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("CERTIFICATE_EXPIRED", "countersign"));
}

/// known failure G12: a stream makes no next call.
#[tokio::test]
async fn a_certificate_that_ends_ends_its_open_streams() {
    let broker = Broker::start_with(|settings| settings.limits.certificate_beat = Duration::from_millis(50));
    let channel = broker.connect(&broker.ana()).await.unwrap();
    let watching = HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap();
    let mut watching = watching.into_inner();
    watching.message().await.unwrap().unwrap();
    broker.advance_clock(86_400 + 1);
    let end = tokio::time::timeout(Duration::from_secs(5), watching.message()).await.expect("cut within 5 s");
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
}

#[tokio::test]
async fn new_files_come_into_force_without_a_restart_and_broken_ones_do_not() {
    let broker = Broker::start_with(|settings| settings.reload_interval = Duration::from_millis(20));
    let old = broker.connect(&broker.ana()).await.unwrap();
    let reloads = |outcome| broker.metrics.tls_reloads.get_or_create(&Outcome { outcome }).get();
    // When the authority's file is broken, the old one stays in force, and the log says so once.
    certificates::write(broker.folder.path(), "northwind.pem", "broken");
    eventually("the broken file was seen", || reloads("broken") >= 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(reloads("broken"), 1);
    health(&old).await.unwrap();
    broker.connect(&broker.ana()).await.unwrap();
    // When another authority takes its place, who came by the old one is out, at the next call and at the door.
    let successor = Authority::new("northwind 2");
    certificates::write(broker.folder.path(), "northwind.pem", &successor.pem());
    eventually("the new file is in force", || reloads("changed") == 1).await;
    let status = health(&old).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("no longer trusted"), "{status:?}");
    broker.connect(&broker.ana()).await.unwrap_err();
    broker.connect(&successor.issue(&client(ANA))).await.unwrap();
    assert_eq!(broker.tls.reload().unwrap(), Reloaded::Unchanged);
}

#[tokio::test]
async fn a_drain_lets_calls_finish_and_lets_nobody_in() {
    let mut broker = Broker::start();
    let channel = broker.connect(&broker.ana()).await.unwrap();
    let working = channel.clone();
    let call = tokio::spawn(async move { slow(&working, Request::new(HealthCheckRequest::default())).await });
    let (handle, listening) = (broker.listening.as_ref().unwrap().handle(), broker.listening.take().unwrap());
    eventually("the call is under way", || broker.begun.load(Ordering::SeqCst) == 1).await;
    let waiting = tokio::task::spawn_blocking(move || listening.wait(Duration::from_secs(20)));
    handle.shutdown();
    let address = broker.address;
    eventually("the port is closed", || std::net::TcpStream::connect(address).is_err()).await;
    assert!(!call.is_finished());
    broker.gate.send_replace(true);
    call.await.unwrap().unwrap();
    let report = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
    // Looking whether the port is closed may have been a connection, too.
    assert!(report.finished >= 1 && report.cut == 0, "{report:?}");
}

#[tokio::test]
async fn a_drain_cuts_what_is_left_at_its_deadline() {
    let mut broker = Broker::start();
    let channel = broker.connect(&broker.ana()).await.unwrap();
    let call = tokio::spawn(async move { slow(&channel, Request::new(HealthCheckRequest::default())).await });
    eventually("the call is under way", || broker.begun.load(Ordering::SeqCst) == 1).await;
    let listening = broker.listening.take().unwrap();
    listening.shutdown();
    let waiting = tokio::task::spawn_blocking(move || listening.wait(Duration::from_millis(300)));
    let report = tokio::time::timeout(Duration::from_secs(4), waiting).await.unwrap().unwrap().unwrap();
    assert_eq!((report.finished, report.cut), (0, 1));
    call.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn an_old_connection_is_told_to_go_away_and_then_cut() {
    let broker = Broker::start_with(|settings| {
        settings.limits.connection_age = Duration::from_millis(200);
        settings.limits.connection_age_grace = Duration::from_millis(300);
    });
    let mut frames = broker.frames().await;
    let stream = crate::harness::headers(1, "/grpc.health.v1.Health/Watch");
    frames.writer.write_all(&stream).await.unwrap();
    frames.writer.write_all(&crate::harness::frame(0, 1, 1, &[0; 5])).await.unwrap();
    let mut told = false;
    while let Some(read) = frames.read().await {
        told |= read.kind == crate::harness::GOAWAY;
    }
    assert!(told, "cut without a word");
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_cut() {
    let broker = Broker::start_with(|settings| {
        settings.limits.keepalive_interval = Duration::from_millis(100);
        settings.limits.keepalive_timeout = Duration::from_millis(100);
    });
    let mut frames = broker.frames().await;
    frames.writer.flush().await.unwrap();
    while frames.read().await.is_some() {}
    eventually("its place is given back", || broker.metrics.connections_open.get() == 0).await;
}

/// known failure G7: the process runs out of descriptors, and recovers. In a process of its own, whose limit is low.
#[test]
fn running_out_of_descriptors_ends_nothing() {
    const CHILD: &str = "COUNTERSIGN_TEST_OUT_OF_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        return out_of_descriptors();
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "life::running_out_of_descriptors_ends_nothing", "--nocapture"])
        .env(CHILD, "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| line.split_once("listening on ").map(|(_, at)| at.trim().to_owned())).unwrap();
    // Given more connections than the child has descriptors, when they are gone, then it has met errors and serves on.
    let crowd: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(&address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(300));
    drop(crowd);
    writeln!(child.stdin.take().unwrap()).unwrap();
    let said = lines.find(|line| line.contains("accept errors")).unwrap();
    assert!(!said.contains("accept errors: 0"), "{said}");
    assert!(child.wait().unwrap().success());
}

fn out_of_descriptors() {
    let broker = Broker::start();
    let open = u64::try_from(std::fs::read_dir("/proc/self/fd").unwrap().count()).unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let low = rustix::process::Rlimit { current: Some(open + 30), maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, low).unwrap();
    println!("listening on {}", broker.address);
    std::io::stdin().read_exact(&mut [0]).unwrap();
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(broker.connect(&broker.ana())).unwrap();
    println!("accept errors: {}", broker.metrics.accept_errors.get());
}

/// The certificates of `dev` and `demo`: for their owner alone, and good for the real listener and a real client.
#[tokio::test]
async fn throwaway_certificates_get_in() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("certs-dev");
    let server = "spiffe://northwind.example/service/countersign".parse().unwrap();
    let now = Timestamp::from_millis(certificates::now_millis()).unwrap();
    let clients = [("ana".to_owned(), ANA.parse().unwrap())];
    // Made twice: the second run replaces the first.
    countersign::cli::dev::certificates::make(&folder, &server, &clients, now).unwrap();
    let made = countersign::cli::dev::certificates::make(&folder, &server, &clients, now).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in std::fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    let trust_domains = ["northwind.example".parse().unwrap()].into();
    let tls = TlsSettings {
        certificate: made.server.certificate.clone(),
        key: made.server.key.clone(),
        authorities: vec![AuthoritySettings { file: made.authority.clone(), trust_domains, identities: [].into() }],
    };
    let tls = TlsStore::load(tls, Arc::new(move || now)).unwrap();
    let routes = || tonic::service::Routes::new(tonic_health::server::health_reporter().1);
    let listening = listen(&settings("127.0.0.1:0".parse().unwrap()), tls, Arc::default(), routes).unwrap();
    let ana = made.client("ana");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let client = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&made.authority)))
        .identity(Identity::from_pem(read(&ana.certificate), read(&ana.key)));
    for host in ["localhost", "127.0.0.1"] {
        let address = format!("https://{host}:{}", listening.local_address.port());
        let channel =
            Endpoint::from_shared(address).unwrap().tls_config(client.clone()).unwrap().connect().await.unwrap();
        health(&channel).await.unwrap();
    }
}

#[tokio::test]
async fn metrics_and_liveness_are_for_loopback_alone() {
    let metrics = Arc::new(Metrics::default());
    metrics.journal_sequence.set(7);
    let refused = metrics::serve("0.0.0.0:0".parse().unwrap(), Arc::clone(&metrics), || true).unwrap_err();
    assert!(matches!(refused, MetricsError::NotLoopback(_)), "{refused}");
    let live = Arc::new(AtomicBool::new(true));
    let is_live = Arc::clone(&live);
    let alive = move || is_live.load(Ordering::SeqCst);
    let address = metrics::serve("127.0.0.1:0".parse().unwrap(), metrics, alive).unwrap();
    let ask = async |head: &str| {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(format!("{head} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let text = ask("GET /metrics").await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("countersign_journal_sequence 7"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(ask("GET /live").await.starts_with("HTTP/1.1 200"));
    live.store(false, Ordering::SeqCst);
    assert!(ask("GET /live").await.starts_with("HTTP/1.1 503"));
    assert!(ask("POST /metrics").await.starts_with("HTTP/1.1 405"));
    assert!(ask("GET /debug").await.starts_with("HTTP/1.1 404"));
}
