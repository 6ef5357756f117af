//! A stream that resumes after the last sequence it gave when the connection is lost.

use std::future::Future;
use std::pin::Pin;

use backon::{BackoffBuilder as _, ExponentialBackoff};
use tonic::{Status, Streaming};

use super::client::Client;
use super::error::ClientError;
use crate::wire::v1;

/// A step of a stream that says how far the stream has come.
pub trait Sequenced {
    /// The sequence to resume after.
    fn sequence(&self) -> &str;
}

impl Sequenced for v1::WatchElevationsResponse {
    fn sequence(&self) -> &str {
        &self.sequence
    }
}
impl Sequenced for v1::WatchGrantsResponse {
    fn sequence(&self) -> &str {
        &self.sequence
    }
}
impl Sequenced for v1::WatchEnrolmentsResponse {
    fn sequence(&self) -> &str {
        &self.sequence
    }
}
impl Sequenced for v1::WatchAccountsResponse {
    fn sequence(&self) -> &str {
        &self.sequence
    }
}
impl Sequenced for v1::WatchEventsResponse {
    fn sequence(&self) -> &str {
        &self.sequence
    }
}

type Opening<T> = Pin<Box<dyn Future<Output = Result<Streaming<T>, Status>> + Send>>;
/// Opens the stream after a sequence.
pub(super) type Open<T> = Box<dyn Fn(String) -> Opening<T> + Send + Sync>;

/// A watch: every event in order, each once, over lost connections and restarts of the broker. It ends with an error alone.
pub struct Watch<T> {
    open: Open<T>,
    stream: Option<Streaming<T>>,
    after: String,
    /// Whose limits each attempt has: how long the broker has to begin it.
    client: Client,
    /// The pauses left before it gives up; as new after each step.
    left: ExponentialBackoff,
}

impl<T> std::fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("after", &self.after).finish_non_exhaustive()
    }
}

impl<T> Watch<T> {
    pub(super) fn new(open: Open<T>, after: String, client: Client) -> Self {
        let left = client.pauses().build();
        Self { open, stream: None, after, client, left }
    }

    /// The sequence after which it would resume.
    #[must_use]
    pub fn after(&self) -> &str {
        &self.after
    }
}

impl<T: Sequenced> Watch<T> {
    /// The next step. May be dropped while it waits, and called again.
    ///
    /// # Errors
    /// If the broker refuses (`RESYNC`: list again, and watch from that list's sequence), or stays out of reach for
    /// longer than the client's retries.
    pub async fn next(&mut self) -> Result<T, ClientError> {
        loop {
            let lost = match self.step().await {
                Ok(Some(step)) => {
                    step.sequence().clone_into(&mut self.after);
                    self.left = self.client.pauses().build();
                    return Ok(step);
                }
                // A broker that drains, or a connection that grew old, ends the stream in good order.
                Ok(None) => Status::unavailable("the broker closed the connection"),
                Err(status) => status,
            };
            self.stream = None;
            let error = self.client.error_of(&lost).await;
            match self.left.next().filter(|_| error.is_lost() || self.client.is_renewed(&error)) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    async fn step(&mut self) -> Result<Option<T>, Status> {
        if self.stream.is_none() {
            let opened = tokio::time::timeout(self.client.call_timeout(), (self.open)(self.after.clone())).await;
            self.stream = Some(opened.map_err(|_| Status::unavailable("it did not begin the stream in time"))??);
        }
        match &mut self.stream {
            Some(stream) => stream.message().await,
            None => Ok(None),
        }
    }
}
