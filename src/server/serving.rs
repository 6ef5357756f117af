//! `countersign serve`, from the first signal to the last: what is heard while files and journal are read is neither lost nor
//! kept waiting by them (known failure G17).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::assembly::{Accepted, Running, ServeError, start_with};
use super::budget::{Budgets, Ledger};
use super::config::ServeSettings;
use super::log::LogSink;
use super::signals::{Heard, Hearing, Signals};
use super::supervisor;

/// How often gauges are set.
const OBSERVE_EVERY: Duration = Duration::from_secs(5);

/// What SIGHUP has read again of the configuration: the budgets. All else is as it was at the start.
pub type ReadsBudgets = Box<dyn Fn() -> Result<Budgets, String> + Send>;

/// Reads the settings, starts, serves until SIGTERM or SIGINT, drains. SIGHUP has the TLS files and the budgets read again.
///
/// # Errors
/// Why it could not start, or had to stop: then the process must not end as if all were well.
pub fn serve<Error: From<ServeError> + Send + 'static>(
    settings: impl FnOnce() -> Result<ServeSettings, Error> + Send + 'static,
    reads_budgets: ReadsBudgets,
    accepted: Accepted,
    signals: Signals,
    log: &LogSink,
) -> Result<(), Error> {
    let Signals { runtime, mut heard } = signals;
    let (log, reads_budgets) = (log.clone(), Arc::new(Mutex::new(reads_budgets)));
    let served = runtime.block_on(async {
        let sink = log.clone();
        let starting = tokio::task::spawn_blocking(move || -> Result<Running, Error> {
            let settings = settings()?;
            sink.take_all(settings.log_format);
            start_with(settings, accepted).map_err(Error::from)
        });
        match started(starting, &mut heard).await {
            Some(running) => until_stopped(running?, heard, &reads_budgets, log).await.map_err(Error::from),
            None => Ok(()),
        }
    });
    // A start that was ended in its middle goes on until the process is gone, which does not wait for it.
    runtime.shutdown_background();
    served
}

async fn until_stopped(
    mut running: Running,
    mut heard: Hearing,
    reads_budgets: &Arc<Mutex<ReadsBudgets>>,
    log: LogSink,
) -> Result<(), ServeError> {
    running.metrics().count_dropped_lines(move || log.dropped());
    tracing::info!(address = %running.address(), sequence = running.engine().sequence(), "serving");
    if let Some(address) = running.https_address() {
        tracing::info!(%address, "serving SCIM and AuthZEN over HTTPS");
    }
    supervisor::tell("READY=1");
    let mut observe = tokio::time::interval(OBSERVE_EVERY);
    loop {
        tokio::select! {
            heard = heard.next() => match heard {
                Heard::Stop => break,
                Heard::Reload => {
                    running.reload_asked.notify_one();
                    read_budgets(running.ledger(), Arc::clone(reads_budgets));
                }
            },
            _ = observe.tick() => running.observe(),
            error = running.broken() => {
                // Callers that wait still get an answer: that the outcome is not known, and what to do.
                let _ = running.stop().await;
                return Err(error);
            }
        }
    }
    tracing::info!("draining");
    supervisor::tell("STOPPING=1");
    running.stop().await
}

/// Reads the budgets again, one reading after another, and on a thread of its own: a file may be long in coming.
fn read_budgets(ledger: Arc<Ledger>, reads: Arc<Mutex<ReadsBudgets>>) {
    tokio::task::spawn_blocking(move || {
        let reads = reads.lock().unwrap_or_else(PoisonError::into_inner);
        match reads() {
            Ok(budgets) => {
                ledger.reload(budgets);
                tracing::info!("the budgets were read again");
            }
            Err(error) => tracing::error!(%error, "the configuration has mistakes; the budgets stay as they were"),
        }
    });
}

/// What a start came to; none if whoever started it has ended it since. The journal is as after a crash, and loses nothing.
async fn started<Error: From<ServeError>>(
    mut starting: JoinHandle<Result<Running, Error>>,
    heard: &mut Hearing,
) -> Option<Result<Running, Error>> {
    let mut reload = false;
    loop {
        tokio::select! {
            started = &mut starting => {
                let started = started.unwrap_or_else(|error| Err(ServeError::System(error.to_string()).into()));
                return Some(started.inspect(|running| {
                    if reload {
                        running.reload_asked.notify_one();
                    }
                }));
            }
            heard = heard.next() => match heard {
                Heard::Stop => {
                    tracing::info!("ended before it served");
                    return None;
                }
                // Once it serves it looks again: the files may have been read before.
                Heard::Reload => reload = true,
            },
        }
    }
}
