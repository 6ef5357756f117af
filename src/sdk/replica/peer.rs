//! Whose request it is: read from the verified client certificate, never from a header (known failures D9 and D10).

use http::Extensions;
use tonic::transport::CertificateDer;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::domain::value::ids::Identity;
use crate::wire::certificate::{NoSingleUri, single_uri};

/// The identity of a client whose certificate was verified: its one URI. A service that accepts TLS itself makes it from
/// the leaf of the connection, and puts it into the extensions of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPeer(Identity);

/// Why it cannot be said who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPeer {
    /// There is no client certificate.
    #[error("no client certificate; connect with one")]
    NoCertificate,
    /// The certificate cannot be read, or one of its subject alternative names cannot.
    #[error("the client's certificate, or a name in it, cannot be read; issue it anew")]
    Unreadable,
    /// It has no URI or several, or one that is no SPIFFE ID.
    #[error("the client's certificate does not have exactly one SPIFFE ID as URI; issue one that has")]
    NotOneIdentity,
}

impl VerifiedPeer {
    /// From the leaf certificate, in DER, of a connection whose client was **verified** by TLS.
    ///
    /// # Errors
    /// If it does not name exactly one identity.
    pub fn from_certificate(leaf: &[u8]) -> Result<Self, NoPeer> {
        let (rest, certificate) = X509Certificate::from_der(leaf).map_err(|_| NoPeer::Unreadable)?;
        if !rest.is_empty() {
            return Err(NoPeer::Unreadable);
        }
        let uri = single_uri(&certificate).map_err(|why| match why {
            NoSingleUri::Unreadable => NoPeer::Unreadable,
            NoSingleUri::None | NoSingleUri::Several(_) => NoPeer::NotOneIdentity,
        })?;
        uri.parse().map(Self).map_err(|_| NoPeer::NotOneIdentity)
    }

    /// Of a request: what the service's own acceptor put there, else what tonic's server knows of the connection.
    ///
    /// # Errors
    /// If there is no verified certificate, or it does not name exactly one identity.
    pub fn of(extensions: &Extensions) -> Result<Self, NoPeer> {
        if let Some(peer) = extensions.get::<Self>() {
            return Ok(peer.clone());
        }
        let connection = extensions.get::<TlsConnectInfo<TcpConnectInfo>>();
        let chain = connection.and_then(TlsConnectInfo::peer_certs).ok_or(NoPeer::NoCertificate)?;
        let leaf: &CertificateDer<'_> = chain.first().ok_or(NoPeer::NoCertificate)?;
        Self::from_certificate(leaf)
    }

    /// The identity: what a check takes as subject.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
