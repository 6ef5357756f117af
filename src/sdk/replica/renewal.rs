//! Renewal without a gap: once certificate and key were exchanged, another stream is opened with the new ones while the former
//! still stands, and goes on from where that is. Whatever goes wrong with it, the former stream stays.

use std::future::{Future, pending};
use std::pin::Pin;

use tokio::time::timeout;

use super::session::{Connected, Session, Stream, connect};
use super::status::FeedCounters;
use crate::clock::BootMillis;
use crate::domain::value::time::Span;
use crate::sdk::ClientError;
use crate::sdk::builder::ClientBuilder;
use crate::sdk::exchanged::Look;
use crate::wire::v1::replicate_grants_response::Message;

/// After so long files that could not be used are tried again, though they look the same.
const AGAIN: Span = Span::seconds(5);

type Connecting = Pin<Box<dyn Future<Output = Result<Connected, ClientError>> + Send>>;

/// A connection that is being made with exchanged files.
#[derive(Default)]
pub(super) struct Renewal {
    connecting: Option<Connecting>,
    /// What was tried last, and when.
    tried: Option<(Look, BootMillis)>,
}

impl Renewal {
    /// Begins to connect if the files are others than the stream was opened with.
    pub(super) fn look(&mut self, client: &ClientBuilder, stream: &Stream, boot: BootMillis) {
        let look = client.look();
        let was_tried = self.tried.as_ref().is_some_and(|(tried, at)| *tried == look && boot.since(*at) < AGAIN);
        if self.connecting.is_some() || look.is_empty() || look == stream.look || was_tried {
            return;
        }
        self.tried = Some((look, boot));
        self.connecting = Some(Box::pin(connect(client.at(&stream.address))));
    }

    /// The connection, once there is one; nothing comes while none is being made. Safe to drop and call again.
    pub(super) async fn connected(&mut self) -> Result<Connected, ClientError> {
        let Some(connecting) = &mut self.connecting else { return pending().await };
        let connected = connecting.await;
        self.connecting = None;
        connected
    }
}

impl Session {
    /// Takes the new connection's stream in place of the former, or stays with that one.
    pub(super) async fn renewed(&mut self, connected: Result<Connected, ClientError>, stream: &mut Stream) {
        let renewed = match connected {
            Ok(connected) => self.beside(connected, stream).await,
            Err(error) => Err(error),
        };
        match renewed {
            Ok(()) => tracing::info!(broker = stream.address, "a renewed certificate was taken up"),
            Err(error) => {
                let broker = &stream.address;
                tracing::warn!(broker, %error, "a renewed certificate cannot be used yet; the former goes on to its end");
                self.shared.connection().last_error = Some(error);
            }
        }
    }

    /// Opens a stream beside the former one, of which nothing is read meanwhile, so that both stand at the same change.
    async fn beside(&mut self, connected: Connected, stream: &mut Stream) -> Result<(), ClientError> {
        let address = stream.address.clone();
        let no_time = ClientError::TimedOut { address: address.clone(), after: self.beat };
        let other = |what: &str| ClientError::Confused { address: address.clone(), what: what.to_owned() };
        let Some(hello) = self.follower.hello_beside() else { return Err(other("it has sent nothing to go on from")) };
        let opened = async {
            let mut new = self.open(connected, &address, self.signed(hello)).await?;
            let first = new.incoming.message().await;
            let first = first.map_err(|status| ClientError::from_status(&status, &address, self.beat))?;
            Ok((new, first))
        };
        let (mut new, first) = timeout(self.beat, opened).await.map_err(|_| no_time)??;
        let Some(Message::Start(start)) = first.and_then(|first| first.message) else {
            return Err(other("a feed begins with its start"));
        };
        let taken = self.follower.start_beside(&start);
        let taken = taken.ok_or_else(|| other("with this certificate the feed does not go on from where it is"))?;
        new.answers = stream.answers;
        *stream = new;
        FeedCounters::add(&self.shared.feed.renewals);
        self.taken(taken, stream);
        Ok(())
    }
}
