//! Who reads the log, or does not, and which signals come when: none of it ends or stops the broker (known failure G17).

use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as SocketAddrOf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use countersign::wire::v1 as pb;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::harness::{Start, eventually, free_address, metric};
use crate::organisation::Organisation;
use crate::person::Person;

/// A broker whose stderr is ours, to read or not.
struct Unread {
    child: Child,
    address: SocketAddr,
    metrics: SocketAddr,
    organisation: Arc<Organisation>,
}

impl Unread {
    fn serve(log: &str) -> Self {
        let organisation = Organisation::new();
        assert_eq!(organisation.init().code, Some(0));
        let (address, metrics) = (free_address(), free_address());
        let flags = ["--listen", &address.to_string(), "--metrics-listen", &metrics.to_string()].map(str::to_owned);
        let environment = [("RUST_LOG".to_owned(), log.to_owned())].into();
        let mut command = organisation.serve_command(&Start { flags: flags.to_vec(), environment, ..Start::default() });
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child, address, metrics, organisation: Arc::new(organisation) }
    }

    async fn person(&self, name: &str) -> Person {
        let leaf = self.organisation.leaf(name);
        let authority = Certificate::from_pem(self.organisation.northwind.pem());
        let tls = ClientTlsConfig::new().ca_certificate(authority).domain_name("localhost");
        let tls = tls.identity(Identity::from_pem(&leaf.chain_pem, &leaf.key_pem));
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        let endpoint = endpoint.tls_config(tls).unwrap().timeout(Duration::from_secs(10));
        let channel = eventually("a broker", async || endpoint.connect().await.ok()).await;
        Person { name: name.to_owned(), channel }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    async fn ended(&mut self) -> Option<i32> {
        eventually("its end", async || self.child.try_wait().unwrap()).await.code()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn call(person: &Person) {
    person.accounts().who_am_i(pb::WhoAmIRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_reader_of_the_log_that_stalls_stops_nobody() {
    // given a broker that writes more than a pipe holds, and nobody who reads
    let mut broker = Unread::serve("trace");
    let ana = broker.person("ana").await;
    eventually("lines that nobody reads", async || {
        call(&ana).await;
        (metric(broker.metrics, &["log_lines_dropped"]) > 0).then_some(())
    })
    .await;
    // then old and new callers are answered, and it is live
    call(&ana).await;
    call(&broker.person("ben").await).await;
    assert_eq!(live(broker.metrics), "HTTP/1.1 200 OK");
    // and it ends when it is told to
    broker.signal("TERM");
    assert_eq!(broker.ended().await, Some(0));
}

#[tokio::test]
async fn a_reader_of_the_log_that_is_gone_ends_nothing() {
    // given a broker whose stderr is closed at the other end
    let mut broker = Unread::serve("info");
    let ana = broker.person("ana").await;
    drop(broker.child.stderr.take());
    // when it has something to say: a certificate's renewal
    let renewed = broker.organisation.northwind.issue_server("spiffe://northwind.example/service/countersign");
    crate::common::certificates::write(broker.organisation.folder.path(), "broker.pem", &renewed.chain_pem);
    crate::common::certificates::write(broker.organisation.folder.path(), "broker.key", &renewed.key_pem);
    broker.signal("HUP");
    eventually("the renewal", async || (metric(broker.metrics, &["tls_reloads", "changed"]) == 1).then_some(())).await;
    // then it goes on, and ends when it is told to
    call(&ana).await;
    call(&broker.person("ben").await).await;
    broker.signal("TERM");
    assert_eq!(broker.ended().await, Some(0));
}

#[tokio::test]
async fn signals_are_heard_before_the_configuration_is_read() {
    // given a broker that has come as far as to read its configuration, which comes from a pipe
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let text = std::fs::read_to_string(organisation.path("broker.toml")).unwrap();
    std::fs::remove_file(organisation.path("broker.toml")).unwrap();
    assert!(Command::new("mkfifo").arg(organisation.path("broker.toml")).status().unwrap().success());
    let mut command = organisation.serve_command(&Start::default());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let fifo = organisation.path("broker.toml");
    // Whoever opens a pipe to write waits for who reads it.
    let pipe = tokio::task::spawn_blocking(move || std::fs::File::options().write(true).open(fifo).unwrap());
    let mut pipe = pipe.await.unwrap();
    // when SIGHUP comes there
    let id = child.id().to_string();
    let kill = |name: &str| Command::new("kill").arg(name).arg(&id).status().unwrap();
    assert!(kill("-HUP").success());
    // then it serves all the same
    std::io::Write::write_all(&mut pipe, text.as_bytes()).unwrap();
    drop(pipe);
    let mut stderr = child.stderr.take().unwrap();
    let mut seen = String::new();
    let mut byte = [0];
    while !seen.contains("serving") {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it ended: {seen}");
        seen.push(char::from(byte[0]));
    }
    assert!(kill("-TERM").success());
    assert_eq!(eventually("its end", async || child.try_wait().unwrap()).await.code(), Some(0));
}

/// Whether the process hears a signal itself, by what the system says.
fn hears(process: u32, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(caught.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

const HANGUP: u32 = 1;

fn kill(process: u32, signal: &str) {
    assert!(Command::new("kill").arg(signal).arg(process.to_string()).status().unwrap().success());
}

/// Starts a broker that waits for what never comes, and looks that one signal to stop is enough.
async fn stops_while_it_waits(mut command: Command) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("signals that are heard", async || hears(child.id(), HANGUP).then_some(())).await;
    kill(child.id(), "-HUP");
    kill(child.id(), "-TERM");
    assert_eq!(eventually("its end", async || child.try_wait().unwrap()).await.code(), Some(0));
}

#[tokio::test]
async fn a_stop_waits_for_no_file() {
    for (name, configured) in [("broker.toml", ""), ("routes.toml", "[ext_authz]\nroutes = \"routes.toml\"")] {
        // given a file of the configuration that nobody ever writes
        let organisation = Organisation::new();
        assert_eq!(organisation.init().code, Some(0));
        organisation.configure(configured);
        let _ = std::fs::remove_file(organisation.path(name));
        assert!(Command::new("mkfifo").arg(organisation.path(name)).status().unwrap().success());
        // when it is told to stop, then it does
        stops_while_it_waits(organisation.serve_command(&Start::default())).await;
    }
}

#[tokio::test]
async fn signals_are_heard_before_the_command_line_is_read() {
    let organisation = Organisation::new();
    for _ in 0..40 {
        // given one that makes no sense, and a stderr that is full: so far it comes, and no further
        let (reader, writer) = std::io::pipe().unwrap();
        let mut full = writer.try_clone().unwrap();
        std::io::Write::write_all(&mut full, &vec![b'x'; 64 * 1024]).unwrap();
        let mut command =
            organisation.serve_command(&Start { flags: vec!["--nonsense".to_owned()], ..Start::default() });
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).spawn().unwrap();
        drop(command);
        // when SIGHUP comes there, and then a signal to stop
        eventually("signals that are heard", async || hears(child.id(), HANGUP).then_some(())).await;
        kill(child.id(), "-HUP");
        kill(child.id(), "-TERM");
        // then the first does not end it, and the second does
        assert_eq!(eventually("its end", async || child.try_wait().unwrap()).await.code(), Some(2));
        drop((reader, full));
    }
}

#[test]
fn a_supervisor_is_told_when_it_serves_and_when_it_ends() {
    for abstract_name in [false, true] {
        // given a supervisor that listens
        let organisation = Organisation::new();
        assert_eq!(organisation.init().code, Some(0));
        let path = organisation.path("notify");
        let name = path.to_str().unwrap().to_owned();
        let address = if abstract_name {
            <SocketAddrOf as std::os::linux::net::SocketAddrExt>::from_abstract_name(name.as_bytes()).unwrap()
        } else {
            SocketAddrOf::from_pathname(&path).unwrap()
        };
        let supervisor = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
        supervisor.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let said = || {
            let mut bytes = [0; 64];
            let length = supervisor.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        let place = if abstract_name { format!("@{name}") } else { name };
        let environment = [("NOTIFY_SOCKET".to_owned(), place)].into();
        let broker = crate::harness::Broker::serve(&organisation.into(), &Start { environment, ..Start::default() });
        // then it hears both
        assert_eq!(said(), "READY=1");
        broker.terminate();
        assert_eq!(said(), "STOPPING=1");
    }
}

#[test]
fn an_empty_filter_of_the_log_is_none() {
    // It prints where it serves, or this does not return.
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let environment = [("RUST_LOG".to_owned(), String::new())].into();
    drop(crate::harness::Broker::serve(&organisation.into(), &Start { environment, ..Start::default() }));
}

#[test]
fn no_memory_of_a_broker_is_written_to_a_file() {
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let under = ["sh", "-c", "ulimit -S -c \"$(ulimit -H -c)\"; exec \"$@\"", "--"].map(str::to_owned).to_vec();
    let broker = crate::harness::Broker::serve(&organisation.into(), &Start { under, ..Start::default() });
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", broker.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

fn live(metrics: SocketAddr) -> String {
    use std::io::Write as _;
    let mut socket = std::net::TcpStream::connect(metrics).unwrap();
    socket.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}
