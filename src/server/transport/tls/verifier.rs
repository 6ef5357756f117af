//! Who is let in. Each authority is verified against its own roots alone, and may speak only for the trust domains, and the
//! identities in them, that it is listed with; the certificate's single URI is the identity (known failure D9). Sizes and depth are bounded before any path is
//! built (known failure G11).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};

use crate::domain::value::identity_pattern::IdentityPattern;
use crate::domain::value::ids::{Identity, TrustDomain};
use crate::domain::value::time::Timestamp;
use crate::server::transport::peer::{IdentityMistake, Leaf};

/// Where the time comes from: `latest` of the broker's clock.
pub type NowSource = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The largest certificate that is looked at.
pub const CERTIFICATE_MAX_BYTES: usize = 16 * 1024;
/// The longest chain: a leaf and two issuers that are not roots.
pub const CHAIN_MAX: usize = 3;

/// Why a client was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// A certificate of the chain is too large.
    #[error("a client certificate of {0} bytes; at most {CERTIFICATE_MAX_BYTES} are read")]
    TooLarge(usize),
    /// The chain is too long.
    #[error("a client certificate chain of {0}; at most {CHAIN_MAX} are read, the root left out")]
    TooDeep(usize),
    /// The certificate names nobody.
    #[error(transparent)]
    Identity(#[from] IdentityMistake),
    /// The trust domain is not configured.
    #[error("`{0}`: no authority is configured for the trust domain `{1}`; list it under `tls.authorities`")]
    UnknownTrustDomain(String, TrustDomain),
    /// An authority speaks for a trust domain that is not its own.
    #[error("`{0}`: its issuer, the authority in `{1}`, may not speak for the trust domain `{2}`")]
    ForeignTrustDomain(String, String, TrustDomain),
    /// An authority speaks for an identity that is not among its own.
    #[error(
        "`{0}`: its issuer, the authority in `{1}`, may not speak for it; list it among `identities` of that authority, or have another issue it"
    )]
    ForeignIdentity(String, String),
    /// The chain does not verify.
    #[error("`{0}`: {1}")]
    Chain(String, String),
}

impl PeerRefusal {
    /// The name under which it is counted.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::TooLarge(_) | Self::TooDeep(_) => "certificate_too_large",
            Self::Identity(IdentityMistake::NoUri) => "no_identity",
            Self::Identity(IdentityMistake::SeveralUris(_)) => "several_identities",
            Self::Identity(_) => "bad_identity",
            Self::UnknownTrustDomain(..) => "unknown_trust_domain",
            Self::ForeignTrustDomain(..) => "foreign_trust_domain",
            Self::ForeignIdentity(..) => "foreign_identity",
            Self::Chain(..) => "untrusted",
        }
    }
}

/// One authority: its own verifier over its own roots.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) name: String,
    pub(crate) trust_domains: BTreeSet<TrustDomain>,
    pub(crate) identities: BTreeSet<IdentityPattern>,
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
}

impl Authority {
    /// Whether it may speak for an identity of one of its trust domains.
    fn speaks_for(&self, identity: &Identity) -> bool {
        self.identities.is_empty() || self.identities.iter().any(|pattern| pattern.fits(identity))
    }
}

/// Lets in the clients that design.md 13 describes, and no others.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    pub(crate) authorities: Vec<Authority>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl PeerVerifier {
    /// Verifies a chain and reads its identity.
    pub(crate) fn authorize(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Leaf, PeerRefusal> {
        let depth = intermediates.len().saturating_add(1);
        if depth > CHAIN_MAX {
            return Err(PeerRefusal::TooDeep(depth));
        }
        if let Some(large) = std::iter::once(leaf).chain(intermediates).find(|der| der.len() > CERTIFICATE_MAX_BYTES) {
            return Err(PeerRefusal::TooLarge(large.len()));
        }
        let read = Leaf::read(leaf)?;
        let at = unix_time(now);
        let verify = |authority: &Authority| authority.verifier.verify_client_cert(leaf, intermediates, at);
        let (of_domain, foreign): (Vec<_>, Vec<_>) =
            self.authorities.iter().partition(|authority| authority.trust_domains.contains(&read.trust_domain));
        let (own, silent): (Vec<_>, Vec<_>) =
            of_domain.into_iter().partition(|authority| authority.speaks_for(&read.identity));
        let mut error = None;
        for authority in &own {
            match verify(authority) {
                Ok(_) => return Ok(read),
                // Of several authorities for a domain, the one that issued it says more than "unknown issuer".
                Err(found) if error.is_none() || !is_unknown_issuer(&found) => error = Some(found),
                Err(_) => {}
            }
        }
        let who = read.identity.to_string();
        if let Some(other) = silent.iter().find(|authority| verify(authority).is_ok()) {
            return Err(PeerRefusal::ForeignIdentity(who, other.name.clone()));
        }
        if let Some(other) = foreign.iter().find(|authority| verify(authority).is_ok()) {
            return Err(PeerRefusal::ForeignTrustDomain(who, other.name.clone(), read.trust_domain));
        }
        match error {
            Some(error) => Err(PeerRefusal::Chain(who, explain(&error))),
            None if !silent.is_empty() => Err(PeerRefusal::Chain(who, UNKNOWN_ISSUER.to_owned())),
            None => Err(PeerRefusal::UnknownTrustDomain(who, read.trust_domain)),
        }
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Names of authorities would tell one tenant of the others.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let millis = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000);
        let now = Timestamp::from_millis(millis).unwrap_or(Timestamp::MAX);
        match self.authorize(end_entity, intermediates, now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => {
                Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal)))))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The one provider of cryptography: aws-lc-rs, always named, never a process-wide default.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The handshake's clock is the broker's.
pub(crate) struct BrokerTime(pub(crate) NowSource);

impl fmt::Debug for BrokerTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerTime")
    }
}

impl rustls::time_provider::TimeProvider for BrokerTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time((self.0)()))
    }
}

const UNKNOWN_ISSUER: &str = "not issued by an authority configured for its trust domain; check which one issued it";

fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(now.millis()).unwrap_or_default()))
}

fn is_unknown_issuer(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
}

fn explain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the client's certificate has ended; issue a new one".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "the client's certificate is not valid yet; compare the clocks".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => UNKNOWN_ISSUER.to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            "issued by an authority of the configured name, but with another key; was the authority made anew?"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => "the client's certificate is not for clients (extended key usage); issue one that is".to_owned(),
        other => other.to_string(),
    }
}
