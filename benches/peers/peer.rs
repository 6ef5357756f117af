//! Another program's server, started for the run and killed after it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What was asked at most, so that the others need not be told of a million grants.
pub const QUESTIONS: usize = 4_096;
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Peer {
    child: Child,
    pub address: String,
}

impl Peer {
    /// Starts it, and waits until something listens.
    pub fn start(mut command: Command, folder: &Path, name: &str, address: String) -> Self {
        let log = std::fs::File::create(folder.join(format!("{name}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        while std::net::TcpStream::connect(&address).is_err() {
            let ended = child.try_wait().unwrap();
            let said = || std::fs::read_to_string(folder.join(format!("{name}.log"))).unwrap();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{name} does not listen:\n{}", said());
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, address }
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody listens on just now.
pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
