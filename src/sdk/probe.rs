//! Why a broker has closed a connection. Under TLS 1.3 a client has finished its handshake before the broker judges its
//! certificate, and whoever writes to a socket that was closed meanwhile may lose the alert that says why (RFC 8446,
//! section 4.4.4 and 6.2): the refusal would be told as absence. So one more connection is made, which only listens.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::error::{ClientError, in_words};
use super::link::{Link, is_silence};

/// A broker that accepts a client sends its settings at once; one that does not, its alert.
const LISTEN_FOR: Duration = Duration::from_secs(2);

/// This error; or, if it says that no broker answers and one does, but refuses this client's certificate, that.
pub(super) async fn or_refused(error: ClientError, link: &Link) -> ClientError {
    match error {
        // Who said nothing until now is not asked why.
        ClientError::Unreachable { address, cause } if !is_silence(&cause) => match refusal(link).await {
            Some(cause) => ClientError::NotAuthenticated { address, cause },
            None => ClientError::Unreachable { address, cause },
        },
        other => other,
    }
}

/// What the broker says of this client's certificate, if it says no.
async fn refusal(link: &Link) -> Option<String> {
    let mut connection = match link.within(LISTEN_FOR).open().await {
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
