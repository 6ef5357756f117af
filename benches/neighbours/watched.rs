//! What an attack takes of the broker, as its machine sees it: memory, threads, processor time, bytes on disk; and how long the
//! disk takes for a page by itself.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::child::processor_nanos;

const EVERY: Duration = Duration::from_millis(100);
/// As often as the honest ask.
const FLUSH_EVERY: Duration = Duration::from_millis(30);

/// The most of memory and threads, and how much processor time and disk were added.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub resident: u64,
    pub threads: u64,
    pub disk: u64,
    pub processor_seconds: f64,
    /// What a page took until it was durable, in microseconds, p99.
    pub flush: f64,
}

/// A broker that is being looked at.
pub struct Watched {
    process: u32,
    journal: PathBuf,
    disk: u64,
    processor_nanos: u64,
    over: Arc<AtomicBool>,
    most: JoinHandle<[u64; 2]>,
    flushes: Flushes,
}

impl Watched {
    pub fn begin(process: u32, folder: &Path, name: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let journal = folder.join(format!("{name}.db"));
        let (disk, processor_nanos) = (bytes_of(&journal), processor_nanos(process));
        let most = {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let mut most = [0, 0];
                while !over.load(Ordering::Relaxed) {
                    most = [most[0].max(resident(process)), most[1].max(threads(process))];
                    std::thread::sleep(EVERY);
                }
                most
            })
        };
        let flushes = Flushes::begin(folder);
        Self { process, journal, disk, processor_nanos, over, most, flushes }
    }

    pub fn end(self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        let [resident, threads] = self.most.join().unwrap();
        let flush = self.flushes.lap();
        let nanos = processor_nanos(self.process).saturating_sub(self.processor_nanos);
        let disk = bytes_of(&self.journal).saturating_sub(self.disk);
        Seen { resident, threads, disk, processor_seconds: nanos as f64 / 1e9, flush }
    }
}

/// A page that is made durable again and again, as long as this is held.
pub struct Flushes {
    took: Arc<Mutex<Vec<u64>>>,
    over: Arc<AtomicBool>,
}

impl Flushes {
    pub fn begin(folder: &Path) -> Self {
        let (took, over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let flushes = Self { took: Arc::clone(&took), over: Arc::clone(&over) };
        let file = std::fs::File::create(folder.join("page")).unwrap();
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                file.write_all_at(&[0; 4_096], 0).unwrap();
                let begun = Instant::now();
                file.sync_data().unwrap();
                took.lock().unwrap().push(begun.elapsed().as_micros() as u64);
                std::thread::sleep(FLUSH_EVERY);
            }
        });
        flushes
    }

    /// p99 in microseconds since the last lap.
    pub fn lap(&self) -> f64 {
        let mut took = std::mem::take(&mut *self.took.lock().unwrap());
        took.sort_unstable();
        took.get(took.len() * 99 / 100).copied().unwrap_or_default() as f64
    }
}

impl Drop for Flushes {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Bytes of a process's memory that are in memory.
pub fn resident(process: u32) -> u64 {
    status(process, "VmRSS:") * 1024
}

pub fn threads(process: u32) -> u64 {
    status(process, "Threads:")
}

fn status(process: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Bytes of the journal and of all that is beside it.
pub fn bytes_of(journal: &Path) -> u64 {
    let name = journal.file_name().unwrap().to_string_lossy().into_owned();
    let files = std::fs::read_dir(journal.parent().unwrap()).unwrap().filter_map(Result::ok);
    let beside = files.filter(|file| file.file_name().to_string_lossy().starts_with(&name));
    beside.filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
}
