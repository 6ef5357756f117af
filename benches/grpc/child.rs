//! This same binary, started again as a server or as the load: so that what a server costs can be told from what its
//! clients cost. A child says lines on its standard output and ends when its standard input does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The role of a child; the driver has none.
pub const ROLE: &str = "COUNTERSIGN_BENCH_ROLE";
/// Where certificates and journals are.
pub const FOLDER: &str = "COUNTERSIGN_BENCH_FOLDER";
/// How many grants the index holds.
pub const GRANTS: &str = "COUNTERSIGN_BENCH_GRANTS";

/// A child at work; dropping it ends it.
pub struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(role: &str, folder: &Path, grants: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ROLE, role).env(FOLDER, folder).env(GRANTS, grants.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, lines) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, orders, lines }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The words of its next line.
    pub fn line(&mut self) -> Vec<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "a child ended early");
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Says a line to it, and waits for its answer.
    pub fn ask(&mut self, order: &str) -> Vec<String> {
        let orders = self.orders.as_mut().unwrap();
        writeln!(orders, "{order}").unwrap();
        orders.flush().unwrap();
        self.line()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// For a server: says where it listens, and waits for the end of its standard input.
pub fn serve_until_told(addresses: &[std::net::SocketAddr]) {
    println!("{}", addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

/// Nanoseconds of processor time that all threads of a process have had.
pub fn processor_nanos(process: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let times = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    times.sum()
}
