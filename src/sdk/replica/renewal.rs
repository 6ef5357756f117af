//! Renewal without a gap: once certificate and key were exchanged, another stream is opened with the new ones while the former
//! still stands, and goes on from where that is. Whatever goes wrong with it, the former stream stays.

use std::future::{Future, pending};
use std::pin::Pin;

use super::stream::{Connected, Stream, connect};
use crate::clock::BootMillis;
use crate::domain::value::time::Span;
use crate::sdk::ClientError;
use crate::sdk::builder::ClientBuilder;
use crate::sdk::exchanged::Look;

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
