//! TLS 1.3 with client certificates, always (design.md 13). Each authority is verified against its own roots alone, and may
//! speak only for the trust domains that it is listed with; the certificate's single URI is the identity (known failure D9).
//! Sizes and depth are bounded before any path is built (known failure G11). Nothing is resumed: each connection proves
//! itself anew. Files are read again without a restart; a broken new file leaves the old configuration in force.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig, SignatureScheme};

use crate::domain::value::ids::{Digest, TrustDomain};
use crate::domain::value::time::Timestamp;
use crate::server::peer::{IdentityMistake, Leaf};
use crate::server::tls_files;
pub use crate::server::tls_files::TlsMistake;

/// Where the time comes from: `latest` of the broker's clock.
pub type NowSource = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The largest certificate that is looked at.
pub const CERTIFICATE_MAX_BYTES: usize = 16 * 1024;
/// The longest chain: a leaf and two issuers that are not roots.
pub const CHAIN_MAX: usize = 3;

/// The files of the listener's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The broker's certificate and its issuers, PEM, leaf first.
    pub certificate: PathBuf,
    /// The broker's private key, PEM, readable by its owner alone.
    pub key: PathBuf,
    /// Who may issue client certificates, and for which trust domains.
    pub authorities: Vec<AuthoritySettings>,
}

/// A certificate authority and what it may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthoritySettings {
    /// The authority's root certificates, PEM.
    pub file: PathBuf,
    /// The trust domains that it may speak for; at least one.
    pub trust_domains: BTreeSet<TrustDomain>,
}

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
            Self::Chain(..) => "untrusted",
        }
    }
}

/// The TLS configuration in force, read again when its files change.
pub struct TlsStore {
    settings: TlsSettings,
    now: NowSource,
    current: ArcSwap<Loaded>,
    generation: AtomicU64,
    /// The content that failed last, so that one broken file is one line in the log.
    failed: Mutex<Option<Digest>>,
}

/// What one reading of the files gave.
pub(crate) struct Loaded {
    pub(crate) generation: u64,
    pub(crate) content: Digest,
    /// For gRPC: HTTP/2 alone.
    pub(crate) config: Arc<ServerConfig>,
    /// For the second listener: HTTP/2 and HTTP/1.1.
    pub(crate) https: Arc<ServerConfig>,
    pub(crate) verifier: Arc<PeerVerifier>,
}

/// What reading the files again came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The files are as they were.
    Unchanged,
    /// New files are in force.
    Changed,
    /// The new files are broken in the same way as at the last look; the old ones stay in force.
    StillBroken,
}

impl TlsStore {
    /// Reads and checks all files.
    ///
    /// # Errors
    /// Every mistake in them, each with its file and what would be right.
    pub fn load(settings: TlsSettings, now: NowSource) -> Result<Arc<Self>, Vec<TlsMistake>> {
        let files = tls_files::Files::read(&settings)?;
        let loaded = files.build(&settings, &now, 1)?;
        Ok(Arc::new(Self {
            settings,
            now,
            current: ArcSwap::from_pointee(loaded),
            generation: AtomicU64::new(1),
            failed: Mutex::new(None),
        }))
    }

    /// Reads the files again. Connections that are open are verified against the new authorities at their next call.
    ///
    /// # Errors
    /// Every mistake in the new files; the old ones stay in force.
    pub fn reload(&self) -> Result<Reloaded, Vec<TlsMistake>> {
        let files = tls_files::Files::read(&self.settings)?;
        let content = files.content();
        if content == self.current.load().content {
            return Ok(Reloaded::Unchanged);
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *failed == Some(content) {
            return Ok(Reloaded::StillBroken);
        }
        let generation = self.generation.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        match files.build(&self.settings, &self.now, generation) {
            Ok(loaded) => {
                *failed = None;
                self.current.store(Arc::new(loaded));
                Ok(Reloaded::Changed)
            }
            Err(mistakes) => {
                *failed = Some(content);
                Err(mistakes)
            }
        }
    }

    /// The time, as the broker's clock has it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    pub(crate) fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    pub(crate) fn verifier(&self) -> (u64, Arc<PeerVerifier>) {
        let loaded = self.current.load();
        (loaded.generation, Arc::clone(&loaded.verifier))
    }
}

impl fmt::Debug for TlsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStore").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One authority: its own verifier over its own roots.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) name: String,
    pub(crate) trust_domains: BTreeSet<TrustDomain>,
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
}

/// Lets in exactly the clients of design.md 13.
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
        let (own, foreign): (Vec<_>, Vec<_>) =
            self.authorities.iter().partition(|authority| authority.trust_domains.contains(&read.trust_domain));
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
        if let Some(other) = foreign.iter().find(|authority| verify(authority).is_ok()) {
            return Err(PeerRefusal::ForeignTrustDomain(who, other.name.clone(), read.trust_domain));
        }
        match error {
            Some(error) => Err(PeerRefusal::Chain(who, explain(&error))),
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

/// What every configuration shares: the protocols that it offers and no others, and nothing resumed.
pub(crate) fn harden(mut config: ServerConfig, protocols: &[&[u8]]) -> ServerConfig {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

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
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "not issued by an authority configured for its trust domain; check which one issued it".to_owned()
        }
        other => other.to_string(),
    }
}
