//! The calls of the API over one connection, each with its time limit, its retries and its typed error.

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::answer::CheckedAccess;
use super::builder::{ClientBuilder, Limits};
use super::error::{ClientError, LONGEST_PAUSE};
use super::exchanged::Look;
use super::line::Line;
use super::link::Dial;
use super::probe;
use crate::clock::{Clock as _, SystemClock};
use crate::wire::v1;
use crate::wire::v1::grant_service_client::GrantServiceClient;

const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A connection to a broker. Cheap to clone; all clones share it.
///
/// Every mutating message carries a `request_id`, so a call that got no answer is sent again as it is: it takes effect
/// once (design.md 4, Idempotency).
#[derive(Debug, Clone)]
pub struct Client {
    line: Arc<Line>,
    address: String,
    limits: Limits,
}

impl ClientBuilder {
    /// Connects, and asks the broker who this client is to it, so that a certificate that it does not know is an error here.
    /// Later calls share the connection, and make it anew when it is lost, or when certificate and key were exchanged.
    ///
    /// # Errors
    /// If a file cannot be read or used, no broker can be reached and verified, or the account cannot be used.
    pub async fn connect(self) -> Result<Client, ClientError> {
        let client = self.connect_unasked().await?;
        let who = client.who_am_i(v1::WhoAmIRequest::default()).await?;
        match who.obstacles.into_iter().find_map(ClientError::from_obstacle) {
            Some(error) => Err(error),
            None => Ok(client),
        }
    }

    /// The same for whoever may have no account yet, and asks for one.
    ///
    /// # Errors
    /// If a file cannot be read or used, or no broker can be reached and verified.
    pub async fn connect_unasked(self) -> Result<Client, ClientError> {
        let (look, within, dial) = (self.look(), self.connect_timeout, self.dial()?);
        match dial.connect().await {
            Ok(channel) => Ok(Client::new(self, look, channel, dial)),
            Err(error) => Err(probe::or_refused(error, &dial.link, within).await),
        }
    }
}

impl Client {
    /// Begins to build a client of the broker at `address`: `https://host:port`, or `host:port`.
    pub fn builder(address: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(address)
    }

    /// Whether `subject` (an account, or one of its identities) may do `action` on `resource` now.
    ///
    /// # Errors
    /// If it could not be decided. Take that as a deny.
    pub async fn check(&self, subject: &str, action: &str, resource: &str) -> Result<CheckedAccess, ClientError> {
        let request = v1::CheckAccessRequest {
            subject: subject.to_owned(),
            action: action.to_owned(),
            resource: resource.to_owned(),
        };
        let asked = SystemClock.boot();
        self.check_access(request).await.map(|answer| CheckedAccess::asked_at(asked, answer))
    }

    /// An answer that comes in pieces, put together.
    pub(super) async fn gather<Piece, Whole: Default>(
        &self,
        mut pieces: Streaming<Piece>,
        add: impl Fn(&mut Whole, Piece),
    ) -> Result<Whole, ClientError> {
        let mut whole = Whole::default();
        loop {
            // A connection that lives says nothing of whoever should go on answering.
            let next = tokio::time::timeout(self.limits.call, pieces.message()).await;
            match next.unwrap_or_else(|_| Err(Status::deadline_exceeded(""))) {
                Ok(Some(piece)) => add(&mut whole, piece),
                Ok(None) => return Ok(whole),
                Err(status) => return Err(self.error_of(&status).await),
            }
        }
    }

    /// In how many of the replicas that are connected now everything up to a sequence is in force: reported each time that it
    /// changes, until it is all of them or 30 s have passed.
    ///
    /// # Errors
    /// If the broker refuses or cannot be reached.
    pub async fn await_replicas(&self, sequence: &str) -> Result<Streaming<v1::AwaitReplicasResponse>, ClientError> {
        let request = v1::AwaitReplicasRequest { sequence: sequence.to_owned() };
        self.call(
            request,
            |channel, request| async move { GrantServiceClient::new(channel).await_replicas(request).await },
        )
        .await
    }

    /// Over a channel that was made of files that looked so.
    pub(super) fn new(builder: ClientBuilder, look: Look, channel: Channel, dial: Dial) -> Self {
        let (address, limits) = (dial.address.clone(), builder.limits());
        Self { line: Arc::new(Line::new(builder, look, channel, dial)), address, limits }
    }

    /// What a status means; where the connection was lost, whether it was because of this client's certificate.
    pub(super) async fn error_of(&self, status: &Status) -> ClientError {
        self.error_within(status, self.limits.call).await
    }

    /// The same, for which whoever answers is asked for that long at most.
    async fn error_within(&self, status: &Status, left: Duration) -> ClientError {
        let mut error = ClientError::from_status(status, &self.address, self.limits.call);
        // With a source, the connection failed; without, something answered.
        if status.source().is_none() {
            error = probe::or_no_broker(error, self.channel(), &self.address, left).await;
        }
        probe::or_refused(error, &self.line.link(), left).await
    }

    pub(super) fn pauses(&self) -> ExponentialBuilder {
        let pauses =
            ExponentialBuilder::default().with_jitter().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE);
        match self.limits.retries {
            Some(times) => pauses.with_max_times(times),
            // A watch is looked for no longer than an answer is waited for.
            None => pauses.without_max_times().with_total_delay(Some(self.limits.call)),
        }
    }

    pub(super) fn channel(&self) -> Channel {
        self.line.channel()
    }

    /// Whether there is another certificate to try again with after this error.
    pub(super) fn is_renewed(&self, error: &ClientError) -> bool {
        self.line.is_renewed(error)
    }

    pub(super) fn call_timeout(&self) -> Duration {
        self.limits.call
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) async fn call<Message, Answer, Sent>(
        &self,
        message: Message,
        send: impl Fn(Channel, Request<Message>) -> Sent,
    ) -> Result<Answer, ClientError>
    where
        Message: Clone,
        Sent: Future<Output = Result<Response<Answer>, Status>>,
    {
        // One limit for all attempts: a later one has what the earlier ones and the pauses left of it.
        let began = SystemClock.boot();
        let left = || {
            let spent = u64::try_from(SystemClock.boot().since(began).millis()).unwrap_or_default();
            self.limits.call.saturating_sub(Duration::from_millis(spent))
        };
        let attempt = || async {
            let mut request = Request::new(message.clone());
            let limit = left();
            request.set_timeout(limit);
            // The limit in the message is looked at once there is a connection; this one, before.
            let answer = tokio::time::timeout(limit, send(self.channel(), request)).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
            match answer {
                Ok(answer) => Ok(answer.into_inner()),
                Err(status) => Err(self.error_within(&status, left()).await),
            }
        };
        attempt
            .retry(self.pauses())
            .when(|error| error.is_transient() || self.is_renewed(error))
            // An attempt for which the pause would leave no time is none.
            .adjust(|error, pause| pause.map(|pause| pause.max(error.asked_pause())).filter(|pause| *pause < left()))
            .await
    }
}

#[cfg(all(test, feature = "server", feature = "cli"))]
#[path = "client_tests.rs"]
mod tests;
