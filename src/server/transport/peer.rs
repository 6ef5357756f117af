//! Who is at the other end of a connection: read once from the verified certificate, never from a header, a common name
//! or a DNS name (known failures D9 and D10).

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tonic::{Request, Status};
use tonic_types::{ErrorDetails, StatusExt};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::domain::record::called_from::CalledFrom;
use crate::domain::value::ids::{Digest, Identity, InvalidId, TrustDomain};
use crate::domain::value::time::Timestamp;
use crate::wire::certificate::{NoSingleUri, single_uri};

/// The verified other end of a connection. A request carries it as an extension: [`Peer::of`].
#[derive(Debug, Clone)]
pub struct Peer {
    /// The one URI of the leaf certificate.
    pub identity: Identity,
    /// The identity's trust domain, for which the certificate's authority may speak.
    pub trust_domain: TrustDomain,
    /// From this instant on the certificate is over.
    pub not_after: Timestamp,
    /// SHA-256 of the leaf certificate in DER.
    pub certificate_digest: Digest,
    /// Where the connection comes from. For logs and limits: it proves nothing.
    pub address: SocketAddr,
    /// What is recorded of the calls that come by it.
    pub called_from: Arc<CalledFrom>,
}

impl Peer {
    /// Whoever showed this certificate, from this address.
    pub(crate) fn new(leaf: Leaf, address: SocketAddr) -> Self {
        let Leaf { identity, trust_domain, not_after, digest, serial } = leaf;
        let called_from =
            CalledFrom { identity: identity.clone(), certificate: digest, serial, address: address.to_string() };
        let called_from = Arc::new(called_from);
        Self { identity, trust_domain, not_after, certificate_digest: digest, address, called_from }
    }

    /// The peer of a request.
    ///
    /// # Errors
    /// UNAUTHENTICATED, if the request did not come through the listener.
    pub fn of<T>(request: &Request<T>) -> Result<&Self, Status> {
        request
            .extensions()
            .get::<Self>()
            .ok_or_else(|| unauthenticated("NOT_AUTHENTICATED", "no client certificate; connect with one".to_owned()))
    }
}

/// Why a certificate names nobody. The text is for the operator's log; the other end sees a TLS alert.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityMistake {
    /// The certificate cannot be read.
    #[error("the client's certificate cannot be read: {0}; issue it anew")]
    Unreadable(String),
    /// A subject alternative name that cannot be read: it may be a second URI.
    #[error("the client's certificate has a subject alternative name that cannot be read; issue it anew without it")]
    UnreadableName,
    /// No URI among the subject alternative names.
    #[error(
        "the client's certificate has no URI among its subject alternative names; issue one with exactly one SPIFFE ID (common name and DNS names are not read)"
    )]
    NoUri,
    /// More than one URI.
    #[error("the client's certificate has {0} URIs among its subject alternative names; issue one with exactly one")]
    SeveralUris(usize),
    /// The URI is not a SPIFFE ID.
    #[error("the client's certificate: {0}")]
    NotAnIdentity(String),
}

/// What the leaf says, read once.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) identity: Identity,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) not_after: Timestamp,
    pub(crate) digest: Digest,
    pub(crate) serial: String,
}

/// Octets of a serial number (RFC 5280, 4.1.2.2), so that what is recorded of a call is bounded.
const SERIAL_MAX_OCTETS: usize = 20;

impl Leaf {
    /// Reads the one identity of a leaf certificate.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Self, IdentityMistake> {
        let unreadable = |error: &dyn std::fmt::Display| IdentityMistake::Unreadable(error.to_string());
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| unreadable(&error))?;
        if !rest.is_empty() {
            return Err(IdentityMistake::Unreadable("bytes after its end".to_owned()));
        }
        let uri = single_uri(&certificate).map_err(|why| match why {
            NoSingleUri::Unreadable => IdentityMistake::UnreadableName,
            NoSingleUri::None => IdentityMistake::NoUri,
            NoSingleUri::Several(count) => IdentityMistake::SeveralUris(count),
        })?;
        let identity: Identity =
            uri.parse().map_err(|error: InvalidId| IdentityMistake::NotAnIdentity(error.to_string()))?;
        let trust_domain = identity
            .trust_domain()
            .parse()
            .map_err(|error: InvalidId| IdentityMistake::NotAnIdentity(error.to_string()))?;
        let not_after =
            end(&certificate).ok_or_else(|| IdentityMistake::Unreadable("its end is out of range".to_owned()))?;
        let serial = serial(certificate.raw_serial())?;
        Ok(Self { identity, trust_domain, not_after, digest: Digest::of(der), serial })
    }
}

/// When a certificate ends, if it can be read.
pub(crate) fn end_of(der: &CertificateDer<'_>) -> Option<Timestamp> {
    X509Certificate::from_der(der).ok().and_then(|(_, certificate)| end(&certificate))
}

fn end(certificate: &X509Certificate<'_>) -> Option<Timestamp> {
    let seconds = certificate.validity().not_after.timestamp();
    seconds.checked_mul(1_000).and_then(|millis| Timestamp::from_millis(millis).ok())
}

/// A serial number as people compare it: without the octet that keeps it from being negative.
fn serial(raw: &[u8]) -> Result<String, IdentityMistake> {
    let octets = raw.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(raw);
    if octets.len() > SERIAL_MAX_OCTETS {
        let why = format!("its serial number has {} octets, and at most {SERIAL_MAX_OCTETS} are read", octets.len());
        return Err(IdentityMistake::Unreadable(why));
    }
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

/// The status for a call without a valid certificate.
pub(super) fn unauthenticated(reason: &str, text: String) -> Status {
    let details = ErrorDetails::with_error_info(reason, "countersign", std::collections::HashMap::new());
    Status::with_error_details(tonic::Code::Unauthenticated, text, details)
}
