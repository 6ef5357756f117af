//! The handshake of one connection: TLS with a client certificate, the protocol agreed upon and no other, and who is at the
//! other end.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::peer::{Leaf, Peer};
use super::served::Speaks;
use super::shared::Shared;
use super::standing::Standing;
use super::tls::PeerRefusal;

/// A connection whose handshake is done.
pub(super) struct Connection {
    pub(super) stream: TlsStream<TcpStream>,
    /// Whether HTTP/2 was agreed upon.
    pub(super) is_http2: bool,
    pub(super) peer: Peer,
    pub(super) standing: Standing,
}

/// A handshake that came to nothing: what it is counted as, and what the operator reads.
pub(super) struct Failure {
    pub(super) outcome: &'static str,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(outcome: &'static str, text: String) -> Self {
        Self { outcome, text }
    }

    fn of(error: &std::io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Self::new("broken", format!("the connection broke off: {error}"));
        };
        if let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = tls
            && let Some(refusal) = other.0.downcast_ref::<PeerRefusal>()
        {
            return Self::new(refusal.outcome(), refusal.to_string());
        }
        match tls {
            rustls::Error::NoCertificatesPresented => {
                Self::new("no_certificate", "the client showed no certificate; it must connect with one".to_owned())
            }
            rustls::Error::NoApplicationProtocol => Self::new("no_h2", "the client does not offer `h2`".to_owned()),
            rustls::Error::PeerIncompatible(_) => {
                let needs = "TLS 1.3 with a curve and signatures that the broker knows";
                Self::new("incompatible", format!("the client does not speak {needs}"))
            }
            rustls::Error::AlertReceived(alert) => {
                Self::new("client_alert", format!("the client refused the broker's certificate: {alert:?}"))
            }
            other => Self::new("tls", other.to_string()),
        }
    }
}

/// Shakes hands, and reads who is at the other end.
pub(super) async fn handshake(
    socket: std::net::TcpStream,
    address: SocketAddr,
    shared: &Shared,
) -> Result<Connection, Failure> {
    let broken = |error: std::io::Error| Failure::of(&error);
    let socket = TcpStream::from_std(socket).map_err(broken)?;
    socket.set_nodelay(true).map_err(broken)?;
    let loaded = shared.tls.current();
    let config = match shared.speaks {
        Speaks::Grpc => &loaded.config,
        Speaks::Https => &loaded.https,
    };
    let stream = TlsAcceptor::from(Arc::clone(config)).accept(socket).await.map_err(broken)?;
    let (_, session) = stream.get_ref();
    let is_http2 = session.alpn_protocol() == Some(b"h2".as_slice());
    // A client that names no protocol speaks HTTP/1.1, as `curl --no-alpn` does.
    if !is_http2 && shared.speaks == Speaks::Grpc {
        return Err(Failure::new("no_h2", "the client does not offer `h2`".to_owned()));
    }
    let chain: Vec<CertificateDer<'static>> =
        session.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect();
    // The verifier has read it already; a certificate that gets here without an identity is not let in either.
    let leaf = chain.first().ok_or_else(|| Failure::new("no_certificate", "no client certificate".to_owned()))?;
    let leaf = Leaf::read(leaf).map_err(|mistake| Failure::new("bad_identity", mistake.to_string()))?;
    let peer = Peer::new(leaf, address);
    let standing = Standing::new(peer.not_after, chain, Arc::clone(&shared.tls), loaded.generation);
    Ok(Connection { stream, is_http2, peer, standing })
}
