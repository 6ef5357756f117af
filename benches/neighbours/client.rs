//! What one account has to attack with: its certificate, an address of its own, and calls without end.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Response, Status};

/// Connections that calls are spread over; an address may have 512.
const CONNECTIONS: usize = 8;
/// After a refusal: not a courtesy, but what keeps the attacker's own process from being all that is measured.
const AFTER_REFUSAL: Duration = Duration::from_micros(500);

/// What was answered, and what was not let.
#[derive(Debug, Default)]
pub struct Tally {
    pub answered: AtomicU64,
    pub refused: AtomicU64,
    /// What the first refusal said, so that an attack that is never let is seen to be none.
    pub first: OnceLock<String>,
}

impl Tally {
    pub fn count<T>(&self, outcome: &Result<T, Status>) {
        let counter = if outcome.is_ok() { &self.answered } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Err(status) = outcome {
            self.first.get_or_init(|| status.to_string());
        }
    }
}

/// One account, at work until a time.
#[derive(Clone)]
pub struct Client {
    pub account: String,
    pub number: usize,
    pub endpoint: Endpoint,
    pub channels: Vec<Channel>,
    pub tally: Arc<Tally>,
    pub until: Instant,
}

impl Client {
    pub async fn new(folder: &Path, address: &str, account: &str, number: usize, until: Instant) -> Self {
        let endpoint = endpoint(folder, address, account, number);
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(endpoint.connect().await.unwrap());
        }
        Self { account: account.to_owned(), number, endpoint, channels, tally: Arc::default(), until }
    }

    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// So many calls at a time, each again when it has been answered.
    pub async fn again<Call, Answer, T>(&self, at_once: usize, call: Call)
    where
        Call: Fn(Self, Channel) -> Answer + Clone + Send + Sync + 'static,
        Answer: Future<Output = Result<Response<T>, Status>> + Send,
        T: Send,
    {
        let mut working = tokio::task::JoinSet::new();
        for worker in 0..at_once {
            let (client, call) = (self.clone(), call.clone());
            let channel = self.channels[worker % self.channels.len()].clone();
            working.spawn(async move {
                while client.goes_on() {
                    let outcome = call(client.clone(), channel.clone()).await;
                    client.tally.count(&outcome);
                    if outcome.is_err() {
                        tokio::time::sleep(AFTER_REFUSAL).await;
                    }
                }
            });
        }
        let _ =
            tokio::time::timeout_at(self.until.into(), async { while working.join_next().await.is_some() {} }).await;
    }
}

/// Large windows: whoever means not to read says that they can take all of it.
fn endpoint(folder: &Path, address: &str, account: &str, number: usize) -> Endpoint {
    let read = |name: String| std::fs::read(folder.join(name)).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("authority.pem".to_owned())))
        .domain_name("localhost")
        .identity(Identity::from_pem(read(format!("{account}.pem")), read(format!("{account}.key"))));
    Endpoint::from_shared(format!("https://{address}"))
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .tcp_nodelay(true)
        .initial_stream_window_size(1 << 30)
        .initial_connection_window_size(1 << 30)
        .local_address(Some(std::net::IpAddr::from([127, 0, 0, 2 + number as u8])))
}
