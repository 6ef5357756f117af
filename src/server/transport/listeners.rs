//! The listeners of one broker: they are up together, one that breaks off is a reason to end, and they drain at the same
//! time.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;

use super::listener::{DrainReport, ListenError, Listening, ShutdownHandle};

type Outcome = Result<DrainReport, ListenError>;

/// All listeners of a broker. Dropping them begins their drain.
#[derive(Default)]
pub(crate) struct Listeners(Vec<One>);

struct One {
    handle: ShutdownHandle,
    /// None once its outcome was taken.
    ended: Option<oneshot::Receiver<Outcome>>,
}

impl Listeners {
    /// Takes a listener in; a thread of its own waits for its end.
    ///
    /// # Errors
    /// If there is no such thread to be had.
    pub(crate) fn add(&mut self, listening: Listening, drain: Duration) -> std::io::Result<()> {
        let handle = listening.handle();
        let (ends, ended) = oneshot::channel();
        let wait = move || {
            // Whoever waited may have gone.
            let _ = ends.send(listening.wait(drain));
        };
        std::thread::Builder::new().name("countersign-wait".to_owned()).spawn(wait)?;
        self.0.push(One { handle, ended: Some(ended) });
        Ok(())
    }

    /// Begins the drain of all.
    pub(crate) fn shutdown(&self) {
        self.0.iter().for_each(|one| one.handle.shutdown());
    }

    /// Resolves when any of them has ended; none: its thread is gone. Safe to drop.
    pub(crate) async fn any_ended(&mut self) -> Option<Outcome> {
        std::future::poll_fn(|context| {
            for one in &mut self.0 {
                let Some(ended) = &mut one.ended else { continue };
                if let Poll::Ready(outcome) = Pin::new(ended).poll(context) {
                    one.ended = None;
                    return Poll::Ready(outcome.ok());
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for the drain of all, and sums it up.
    ///
    /// # Errors
    /// That of the first listener that did not end as it should.
    pub(crate) async fn drained(&mut self) -> Outcome {
        let mut sum = Ok(DrainReport { finished: 0, cut: 0 });
        for one in &mut self.0 {
            let outcome = match one.ended.take() {
                Some(ended) => ended.await.unwrap_or(Err(ListenError::Stuck)),
                None => Err(ListenError::Stuck),
            };
            sum = match (sum, outcome) {
                (Ok(sum), Ok(one)) => Ok(DrainReport {
                    finished: sum.finished.saturating_add(one.finished),
                    cut: sum.cut.saturating_add(one.cut),
                }),
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            };
        }
        sum
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.shutdown();
    }
}
