//! One stream of the feed, over a connection of its own.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::sdk::ClientError;
use crate::sdk::builder::ClientBuilder;
use crate::sdk::exchanged::Look;
use crate::wire::v1;
use crate::wire::v1::access_service_client::AccessServiceClient;
use crate::wire::v1::replicate_grants_request::Message;

/// Changes are split below 256 KiB.
const LARGEST_MESSAGE_BYTES: usize = 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// What waits to be sent. Pings repeat what an `applied` said, so a lost one does no harm.
const OUTGOING: usize = 16;

/// One open stream.
pub(super) struct Stream {
    outgoing: mpsc::Sender<v1::ReplicateGrantsRequest>,
    pub(super) incoming: Streaming<v1::ReplicateGrantsResponse>,
    pub(super) address: String,
    pub(super) answers: u64,
    pub(super) silent_beats: usize,
    /// What the files looked like that it was opened with.
    pub(super) look: Look,
}

impl Stream {
    /// Opens one, which the broker answers before it makes what it sends.
    pub(super) async fn open(
        Connected { channel, look }: Connected,
        address: &str,
        hello: v1::ReplicaHello,
        within: Duration,
    ) -> Result<Self, ClientError> {
        let (outgoing, queue) = mpsc::channel(OUTGOING);
        let mut service = AccessServiceClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE_BYTES);
        say(&outgoing, Message::Hello(hello));
        let opened = timeout(within, service.replicate_grants(ReceiverStream::new(queue))).await;
        let opened = opened.map_err(|_| ClientError::TimedOut { address: address.to_owned(), after: within })?;
        let incoming = opened.map_err(|status| ClientError::from_status(&status, address, within))?.into_inner();
        Ok(Self { outgoing, incoming, address: address.to_owned(), answers: 0, silent_beats: 0, look })
    }

    pub(super) fn say(&self, message: Message) {
        say(&self.outgoing, message);
    }
}

/// What finds no room is made up for: the next ping replaces a ping, and repeats what was applied.
fn say(outgoing: &mpsc::Sender<v1::ReplicateGrantsRequest>, message: Message) {
    let _ = outgoing.try_send(v1::ReplicateGrantsRequest { message: Some(message) });
}

/// A connection, and what the files looked like that it was made with.
pub(super) struct Connected {
    channel: Channel,
    look: Look,
}

/// Connects with the files as they are now. They may be on a disk that does not answer: that is waited for elsewhere.
pub(super) async fn connect(client: ClientBuilder) -> Result<Connected, ClientError> {
    let look = client.look();
    let dial = tokio::task::spawn_blocking(move || client.dial()).await;
    let dial = dial.map_err(|_| ClientError::Configuration("the runtime of this program ends".to_owned()))??;
    let dial = dial.with(|endpoint| {
        endpoint
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(STREAM_WINDOW_BYTES.saturating_mul(2))
    });
    Ok(Connected { channel: dial.connect().await?, look })
}
