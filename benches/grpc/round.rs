//! A round: so many clients for so long, what they counted, and what it cost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::child::processor_nanos;

/// Calls before it counts.
const WARM_UP: Duration = Duration::from_millis(150);

/// What is asked of the load.
#[derive(Clone)]
pub struct Order {
    /// `echo` or `check`.
    pub what: String,
    pub address: String,
    /// The server's process, whose processor time is read.
    pub server: u32,
    pub connections: usize,
    pub in_flight: usize,
    /// Threads of the load.
    pub threads: usize,
    pub millis: u64,
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub calls_per_second: f64,
    pub p50_micros: f64,
    pub p99_micros: f64,
    /// Processor time of the server, a call.
    pub server_micros: f64,
    /// And of the load.
    pub load_micros: f64,
}

impl Order {
    pub fn text(&self) -> String {
        let Self { what, address, server, connections, in_flight, threads, millis } = self;
        format!("{what} {address} {server} {connections} {in_flight} {threads} {millis}")
    }

    pub fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        Self {
            what: words[0].to_owned(),
            address: words[1].to_owned(),
            server: words[2].parse().unwrap(),
            connections: words[3].parse().unwrap(),
            in_flight: words[4].parse().unwrap(),
            threads: words[5].parse().unwrap(),
            millis: words[6].parse().unwrap(),
        }
    }
}

impl Measured {
    pub fn read(words: &[String]) -> Self {
        let number = |index: usize| words[index].parse().unwrap();
        Self {
            calls_per_second: number(0),
            p50_micros: number(1),
            p99_micros: number(2),
            server_micros: number(3),
            load_micros: number(4),
        }
    }

    pub fn text(&self) -> String {
        let Self { calls_per_second, p50_micros, p99_micros, server_micros, load_micros } = self;
        format!("{calls_per_second} {p50_micros} {p99_micros} {server_micros} {load_micros}")
    }
}

/// What the threads of a round share.
pub struct Round {
    pub counted: AtomicU64,
    pub counting: AtomicBool,
    pub over: AtomicBool,
    pub nanos: Mutex<Vec<u64>>,
    pub ready: Barrier,
}

impl Round {
    pub fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self {
            counted: AtomicU64::new(0),
            counting: AtomicBool::new(false),
            over: AtomicBool::new(false),
            nanos: Mutex::default(),
            ready: Barrier::new(threads + 1),
        })
    }

    /// One client's loop: `call` again and again until the round is over.
    pub async fn repeat<F: Future<Output = ()>>(&self, mut call: impl FnMut() -> F) {
        let mut nanos = Vec::with_capacity(1 << 14);
        while !self.over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            call().await;
            if self.counting.load(Ordering::Relaxed) {
                nanos.push(begun.elapsed().as_nanos() as u64);
                self.counted.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.nanos.lock().unwrap().extend(nanos);
    }

    /// The time of the round, kept by a thread that does nothing else.
    pub fn measure(&self, order: &Order, join: impl FnOnce()) -> Measured {
        self.ready.wait();
        std::thread::sleep(WARM_UP);
        let own = std::process::id();
        let (server, load, begun) = (processor_nanos(order.server), processor_nanos(own), Instant::now());
        self.counting.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(order.millis));
        self.counting.store(false, Ordering::Relaxed);
        let (calls, seconds) = (self.counted.load(Ordering::Relaxed) as f64, begun.elapsed().as_secs_f64());
        // A thread that ends meanwhile takes its time with it.
        let server = processor_nanos(order.server).saturating_sub(server);
        let load = processor_nanos(own).saturating_sub(load);
        self.over.store(true, Ordering::Relaxed);
        join();
        let mut nanos = self.nanos.lock().unwrap();
        nanos.sort_unstable();
        let quantile = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        Measured {
            calls_per_second: calls / seconds,
            p50_micros: quantile(0.5),
            p99_micros: quantile(0.99),
            server_micros: server as f64 / 1e3 / calls,
            load_micros: load as f64 / 1e3 / calls,
        }
    }
}

/// A runtime of one thread for each of the round's threads.
pub fn on_threads<F: Future<Output = ()>>(
    threads: usize,
    work: impl Fn(usize) -> F + Send + Sync + 'static,
) -> Vec<std::thread::JoinHandle<()>> {
    let work = Arc::new(work);
    let each = (0..threads).map(|number| {
        let work = Arc::clone(&work);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(tokio::task::LocalSet::new().run_until(work(number)));
        })
    });
    each.collect()
}
