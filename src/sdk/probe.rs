//! Why a broker has closed a connection. Under TLS 1.3 a client has finished its handshake before the broker judges its
//! certificate, and whoever writes to a socket that was closed meanwhile may lose the alert that says why (RFC 8446,
//! section 4.4.4 and 6.2): the refusal would be told as absence. So one more connection is made, which only listens.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tonic::codegen::{Service as _, http};
use tonic::transport::Channel;

use super::error::{ClientError, in_words};
use super::link::{Link, is_silence};
use crate::domain::value::ids::excerpt;

/// A broker that accepts a client sends its settings at once; one that does not, its alert.
const LISTEN_FOR: Duration = Duration::from_secs(2);

/// This error; or, if it says that no broker answers and one does, but refuses this client's certificate, that.
pub(super) async fn or_refused(error: ClientError, link: &Link, within: Duration) -> ClientError {
    match error {
        // Who said nothing until now is not asked why.
        ClientError::Unreachable { address, cause } if !is_silence(&cause) => {
            match refusal(link, within.min(LISTEN_FOR)).await {
                Some(cause) => ClientError::NotAuthenticated { address, cause },
                None => ClientError::Unreachable { address, cause },
            }
        }
        other => other,
    }
}

/// This error; or, if whoever answers is no broker, that. What a broker answers is gRPC whatever it says; what a proxy or a web
/// server answers is not, and what is made of it says nothing. So it is asked once more, for nothing.
pub(super) async fn or_no_broker(error: ClientError, channel: Channel, address: &str, within: Duration) -> ClientError {
    let is_odd = match &error {
        ClientError::Refused(refused) => refused.reason_name.is_empty(),
        ClientError::Unreachable { .. } => true,
        ClientError::NotAuthenticated { .. }
        | ClientError::TimedOut { .. }
        | ClientError::Confused { .. }
        | ClientError::Configuration(_) => false,
    };
    if !is_odd {
        return error;
    }
    match tokio::time::timeout(within.min(LISTEN_FOR), no_broker(channel)).await {
        Ok(Some(cause)) => ClientError::Unreachable { address: address.to_owned(), cause },
        Ok(None) | Err(_) => error,
    }
}

/// What answers, if it does and is no broker.
async fn no_broker(mut channel: Channel) -> Option<String> {
    let request =
        http::Request::post("/").header(http::header::CONTENT_TYPE, GRPC).header(http::header::TE, "trailers");
    let request = request.body(tonic::body::Body::empty()).ok()?;
    std::future::poll_fn(|context| channel.poll_ready(context)).await.ok()?;
    let answer = channel.call(request).await.ok()?;
    let kind = answer.headers().get(http::header::CONTENT_TYPE);
    let kind =
        kind.map_or_else(|| "no content type".to_owned(), |kind| String::from_utf8_lossy(kind.as_bytes()).into());
    let status = answer.status();
    (!kind.starts_with(GRPC)).then(|| {
        format!("what answers there is no broker but a proxy or a web server: HTTP {status}, {}", excerpt(&kind))
    })
}

const GRPC: &str = "application/grpc";

/// What the broker says of this client's certificate, if it says no.
async fn refusal(link: &Link, within: Duration) -> Option<String> {
    let mut connection = match link.within(within).open().await {
        Ok(connection) => connection,
        Err(error) => return said_by_tls(&error),
    };
    match connection.read(&mut [0]).await {
        Ok(_) => None,
        Err(error) => said_by_tls(&error),
    }
}

/// What TLS says of either side's certificate; none for an error of the network, or of whatever else speaks there.
fn said_by_tls(error: &std::io::Error) -> Option<String> {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())?;
    in_words(inner)
}
