//! Certificates, keys and authorities as files: read whole, checked, and refused with the file's name and what to do; and the
//! configurations that they make.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use super::super::peer::end_of;
use super::verifier::{Authority, BrokerTime, NowSource, PeerVerifier, provider};
use crate::domain::value::identity_pattern::IdentityPattern;
use crate::domain::value::ids::{Digest, TrustDomain};
use crate::domain::value::time::Timestamp;
use crate::pem::{CERTIFICATES, CERTIFICATES_AND_KEYS, is_exposed, mistake, private_keys, without_mark};
use crate::wire::certificate::no_authority;

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
    /// The identities in them that it may speak for; empty: all.
    pub identities: BTreeSet<IdentityPattern>,
}

/// A file of the TLS configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: `{}`: {problem}", file.display())]
pub struct TlsMistake {
    /// The configuration key that names the file.
    pub key: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it and what to do.
    pub problem: String,
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
    /// When the first certificate of the broker's chain ends.
    pub(crate) broker_end: Option<Timestamp>,
    /// When the first certificate of an authority ends.
    pub(crate) authority_end: Option<Timestamp>,
}

/// The largest file that is read.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// The bytes of all files, read together. Any of them may have a key: each is overwritten when it is no longer needed.
pub(crate) struct Files {
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    authorities: Vec<Zeroizing<Vec<u8>>>,
}

impl Files {
    /// Reads them all; every file that cannot be read is a mistake.
    pub(crate) fn read(settings: &TlsSettings) -> Result<Self, Vec<TlsMistake>> {
        let mut mistakes = Vec::new();
        let mut take = |result: Result<Zeroizing<Vec<u8>>, TlsMistake>| {
            result.unwrap_or_else(|mistake| {
                mistakes.push(mistake);
                Zeroizing::default()
            })
        };
        let files = Self {
            certificate: take(read_file("tls.certificate", &settings.certificate, false)),
            key: take(read_file("tls.key", &settings.key, true)),
            authorities: settings
                .authorities
                .iter()
                .map(|authority| take(read_file("tls.authorities.file", &authority.file, false)))
                .collect(),
        };
        if mistakes.is_empty() { Ok(files) } else { Err(mistakes) }
    }

    /// A digest of all of them, by which a change is seen.
    pub(crate) fn content(&self) -> Digest {
        let parts = [&self.certificate, &self.key].into_iter().chain(&self.authorities);
        let digests: Vec<u8> = parts.flat_map(|part| *Digest::of(part).bytes()).collect();
        Digest::of(&digests)
    }

    /// Parses them into a configuration.
    pub(crate) fn build(
        &self,
        settings: &TlsSettings,
        now: &NowSource,
        generation: u64,
    ) -> Result<Loaded, Vec<TlsMistake>> {
        let mut mistakes = Vec::new();
        let chain = certificates("tls.certificate", &settings.certificate, &self.certificate)
            .map_err(|mistake| mistakes.push(mistake))
            .unwrap_or_default();
        let key = private_key(&settings.key, &self.key).map_err(|mistake| mistakes.push(mistake)).ok();
        let broker_end = chain.iter().filter_map(end_of).min();
        let (mut authorities, mut authority_ends) = (Vec::new(), Vec::new());
        for (authority, bytes) in settings.authorities.iter().zip(&self.authorities) {
            let read = certificates("tls.authorities.file", &authority.file, bytes);
            authority_ends.extend(read.iter().flatten().filter_map(end_of));
            match read.and_then(|roots| verifier(&authority.file, roots)) {
                Ok(verifier) => authorities.push(Authority {
                    name: authority.file.display().to_string(),
                    trust_domains: authority.trust_domains.clone(),
                    identities: authority.identities.clone(),
                    verifier,
                }),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let (Some(key), true) = (key, mistakes.is_empty()) else { return Err(mistakes) };
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Arc::new(PeerVerifier { authorities, algorithms });
        let with_client: Arc<dyn rustls::server::danger::ClientCertVerifier> = verifier.clone();
        let time = Arc::new(BrokerTime(Arc::clone(now)));
        let config = ServerConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| builder.with_client_cert_verifier(with_client).with_single_cert(chain, key))
            .map_err(|error| {
                let problem = format!("cannot be used with the key in `{}`: {error}", settings.key.display());
                vec![TlsMistake { key: "tls.certificate", file: settings.certificate.clone(), problem }]
            })?;
        let https = Arc::new(harden(config.clone(), &[b"h2", b"http/1.1"]));
        let config = Arc::new(harden(config, &[b"h2"]));
        let authority_end = authority_ends.into_iter().min();
        Ok(Loaded { generation, content: self.content(), config, https, verifier, broker_end, authority_end })
    }
}

/// What every configuration shares: the protocols that it offers and no others, and nothing resumed.
fn harden(mut config: ServerConfig, protocols: &[&[u8]]) -> ServerConfig {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

fn read_file(key: &'static str, file: &Path, secret: bool) -> Result<Zeroizing<Vec<u8>>, TlsMistake> {
    let mistake = |problem: String| TlsMistake { key, file: file.to_owned(), problem };
    // Before it is opened: opening a pipe waits for who writes.
    let metadata = std::fs::metadata(file)
        .map_err(|error| mistake(format!("cannot be opened: {error}; check the path and its owner")))?;
    if !metadata.is_file() {
        return Err(mistake("is not a file; name a PEM file".to_owned()));
    }
    let opened = std::fs::File::open(file)
        .map_err(|error| mistake(format!("cannot be opened: {error}; check the path and its owner")))?;
    let metadata = opened.metadata().map_err(|error| mistake(format!("cannot be read: {error}")))?;
    let mode = metadata.mode() & 0o7777;
    if secret && is_exposed(mode, metadata.uid(), rustix::process::geteuid().as_raw()) {
        let problem = format!("a private key that others may read (mode {mode:04o}); run `chmod 600` on it");
        return Err(mistake(problem));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    opened
        .take(FILE_MAX_BYTES.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| mistake(format!("cannot be read: {error}")))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX_BYTES {
        return Err(mistake(format!("is over {FILE_MAX_BYTES} bytes; name a PEM file")));
    }
    Ok(bytes)
}

fn private_key(file: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsMistake> {
    let bytes = without_mark(bytes);
    let wrong = |problem: String| TlsMistake { key: "tls.key", file: file.to_owned(), problem };
    if let Some(found) = mistake(bytes, CERTIFICATES_AND_KEYS) {
        return Err(wrong(format!("{found}; a key stands in PEM without a passphrase")));
    }
    match private_keys(bytes) {
        0 => Err(wrong("no private key in PEM; put the key of the certificate here".to_owned())),
        1 => {
            PrivateKeyDer::from_pem_slice(bytes).map_err(|error| wrong(format!("its private key is not PEM: {error}")))
        }
        count => Err(wrong(format!("{count} private keys; leave that of the certificate alone"))),
    }
}

fn certificates(key: &'static str, file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsMistake> {
    let wrong = |problem: String| TlsMistake { key, file: file.to_owned(), problem };
    let bytes = without_mark(bytes);
    let labels = if key == "tls.certificate" { CERTIFICATES_AND_KEYS } else { CERTIFICATES };
    if let Some(found) = mistake(bytes, labels) {
        return Err(wrong(found));
    }
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match parsed {
        Ok(chain) if chain.is_empty() => Err(wrong("no certificate in PEM".to_owned())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(wrong(format!("is not PEM: {error}"))),
    }
}

fn verifier(
    file: &Path,
    certificates: Vec<CertificateDer<'static>>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsMistake> {
    let key = "tls.authorities.file";
    let mistake = |problem: String| TlsMistake { key, file: file.to_owned(), problem };
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        if let Some(why) = no_authority(&certificate, false) {
            return Err(mistake(why.to_owned()));
        }
        roots.add(certificate).map_err(|error| mistake(format!("not a certificate of an authority: {error}")))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| mistake(format!("cannot be used: {error}")))
}
