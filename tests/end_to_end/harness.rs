//! The broker as a process: `init`, `serve`, its port from what it prints, killed and started again at will.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::common::certificates::Leaf;
use crate::organisation::Organisation;
use crate::person::Person;

/// How a command of the binary ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The binary, in an environment that says nothing of a broker.
pub fn countersign() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    forget_environment(&mut command);
    command
}

fn forget_environment(command: &mut Command) {
    let ours = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("COUNTERSIGN_"));
    for name in ours.chain(["RUST_LOG".to_owned(), "TZ".to_owned()]) {
        command.env_remove(name);
    }
}

/// Runs to the end. Whatever happens, it is not a panic.
pub fn run(command: &mut Command) -> Ended {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Watchdog::begin(child.id(), Duration::from_secs(40));
    let output = child.wait_with_output().unwrap();
    drop(deadline);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ended = Ended { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended
}

/// Ends a process that takes too long, so that a broker that starts where it should refuse fails its test.
struct Watchdog(Child);

impl Watchdog {
    fn begin(process: u32, after: Duration) -> Self {
        let script = format!("sleep {} && kill -9 {process}", after.as_secs());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a broker is started.
#[derive(Default)]
pub struct Start {
    pub environment: BTreeMap<String, String>,
    /// A program with its arguments that runs the broker: `sh -c ... --`.
    pub under: Vec<String>,
    pub flags: Vec<String>,
}

/// A broker that serves.
pub struct Broker {
    pub address: SocketAddr,
    pub organisation: Arc<Organisation>,
    child: Child,
    printed: Arc<Mutex<String>>,
    /// Dropped after the child has ended.
    _keeper: Keeper,
}

/// Ends a broker and removes its folder when this process is gone, however that comes about: its input ends then.
struct Keeper(Child);

impl Keeper {
    fn of(broker: u32, folder: &Path) -> Self {
        let script = format!("trap '' TERM INT HUP; cat; kill -9 {broker}; rm -rf '{}'", folder.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Organisation {
    /// Fills the journal.
    pub fn init(&self) -> Ended {
        let mut command = countersign();
        command.arg("init");
        for (flag, name) in
            [("--policy", "policy.toml"), ("--directory", "directory.toml"), ("--journal", "journal.db")]
        {
            command.arg(flag).arg(self.path(name));
        }
        run(&mut command)
    }

    /// `serve`, as an operator would type it.
    pub fn serve_command(&self, start: &Start) -> Command {
        let binary = env!("CARGO_BIN_EXE_countersign").to_owned();
        let mut words = start.under.iter().chain([&binary]);
        let mut command = Command::new(words.next().unwrap());
        forget_environment(&mut command);
        command.args(words).arg("serve").arg("--config").arg(self.path("broker.toml")).args(&start.flags);
        command.envs(&start.environment);
        command
    }

    /// A start that is refused: what it says, and that it ends by itself.
    pub fn serve_refused(&self) -> String {
        let ended = run(&mut self.serve_command(&Start::default()));
        assert!(matches!(ended.code, Some(1 | 2)), "{}{}", ended.stdout, ended.stderr);
        ended.stderr
    }
}

impl Broker {
    /// A broker of its own, with the example's files.
    pub fn new() -> Self {
        Self::of(Organisation::new())
    }

    /// Fills the organisation's journal and serves it.
    pub fn of(organisation: Organisation) -> Self {
        let ended = organisation.init();
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        Self::serve(&Arc::new(organisation), &Start::default())
    }

    /// Serves a journal that is there.
    pub fn serve(organisation: &Arc<Organisation>, start: &Start) -> Self {
        Self::try_serve(organisation, start).unwrap_or_else(|printed| panic!("it does not serve: {printed}"))
    }

    /// Serves a journal that is there, or what a broker printed that did not within half a minute.
    pub fn try_serve(organisation: &Arc<Organisation>, start: &Start) -> Result<Self, String> {
        let mut command = organisation.serve_command(start);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let keeper = Keeper::of(child.id(), organisation.folder.path());
        let printed = Arc::new(Mutex::new(String::new()));
        let (found, finding) = std::sync::mpsc::channel();
        follow(child.stdout.take().unwrap(), Arc::clone(&printed), found.clone());
        follow(child.stderr.take().unwrap(), Arc::clone(&printed), found);
        match finding.recv_timeout(Duration::from_secs(30)) {
            Ok(address) => {
                Ok(Self { address, organisation: Arc::clone(organisation), child, printed, _keeper: keeper })
            }
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                let printed = printed.lock().unwrap().clone();
                Err(printed)
            }
        }
    }

    /// The broker that tests share whose people and things do not meet. It ends with the test process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it printed up to now.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Somebody of the directory, connected.
    pub async fn person(&self, name: &str) -> Person {
        let leaf = self.organisation.leaf(name);
        Person { name: name.to_owned(), channel: self.endpoint(Some(&leaf)).connect().await.unwrap() }
    }

    /// An engineer whom no other test has.
    pub async fn engineer(&self) -> Person {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        assert!(number <= crate::organisation::ENGINEERS, "more engineers are needed");
        self.person(&format!("eng{number:02}")).await
    }

    pub fn endpoint(&self, leaf: Option<&Leaf>) -> Endpoint {
        let authority = Certificate::from_pem(self.organisation.northwind.pem());
        let mut tls = ClientTlsConfig::new().ca_certificate(authority).domain_name("localhost");
        if let Some(leaf) = leaf {
            tls = tls.identity(Identity::from_pem(&leaf.chain_pem, &leaf.key_pem));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(tls).unwrap().timeout(Duration::from_secs(10)).connect_timeout(Duration::from_secs(10))
    }

    /// The command line, as somebody.
    pub fn command(&self, name: &str, words: &[&str]) -> Command {
        let (certificate, key) = self.organisation.leaf_files(name);
        let mut command = countersign();
        command.args(words).env("COUNTERSIGN_ADDR", format!("https://{}", self.address));
        command.env("COUNTERSIGN_CA", self.organisation.path("northwind.pem"));
        command.env("COUNTERSIGN_CERT", certificate).env("COUNTERSIGN_KEY", key);
        command
    }

    /// `kill -9`, and nothing of it is left.
    pub fn kill(mut self) -> Arc<Organisation> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Arc::clone(&self.organisation)
    }

    /// `SIGTERM`.
    pub fn terminate(&self) {
        let ended = Command::new("kill").arg("-TERM").arg(self.id().to_string()).status().unwrap();
        assert!(ended.success());
    }

    /// Waits for the end that was asked for.
    pub async fn ended(mut self) -> (Option<i32>, String, Arc<Organisation>) {
        for _ in 0..400 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), self.printed(), Arc::clone(&self.organisation));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not end: {}", self.printed());
    }

    /// `audit verify` of the journal's file.
    pub fn verify(&self) -> Ended {
        verify(&self.organisation)
    }
}

pub fn verify(organisation: &Organisation) -> Ended {
    run(countersign().args(["audit", "verify"]).arg(organisation.journal()))
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let printed = self.printed();
            assert!(!printed.contains("panicked"), "{printed}");
        }
    }
}

/// Collects what is printed, and tells the first address in it.
fn follow(from: impl Read + Send + 'static, printed: Arc<Mutex<String>>, found: std::sync::mpsc::Sender<SocketAddr>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if let Some(address) = address_in(&line) {
                let _ = found.send(address);
            }
            let mut printed = printed.lock().unwrap();
            printed.push_str(&line);
            printed.push('\n');
        }
    });
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let from = line.find("127.0.0.1:")?;
    let end = line[from + 10..].find(|c: char| !c.is_ascii_digit()).map_or(line.len(), |end| from + 10 + end);
    line[from..end].parse().ok()
}

/// Polls until it holds.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never came: {what}");
}

/// An address that is free, below those that a system gives away by itself: no other test's connection or listener takes it
/// before it is used.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id().wrapping_mul(61).wrapping_add(turn)) % 20_000;
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap())) {
            return listener.local_addr().unwrap();
        }
    }
}

/// All that the metrics' listener tells.
pub fn page(metrics: SocketAddr) -> String {
    let mut socket = std::net::TcpStream::connect(metrics).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).unwrap();
    page
}

/// The sum of the lines of the metrics that have all of these in them, whose order is nobody's promise; zero if there is none.
pub fn metric(metrics: SocketAddr, with: &[&str]) -> u64 {
    let page = page(metrics);
    let lines = page.lines().filter(|line| !line.starts_with('#') && with.iter().all(|part| line.contains(part)));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
