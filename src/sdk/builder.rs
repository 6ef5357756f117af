//! The settings of a client: where the broker is, whom it trusts and who it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::codegen::http::Uri;
use tonic::transport::Endpoint;
use zeroize::Zeroizing;

use super::address::has_port_or_none;
use super::error::ClientError;
use super::exchanged::Look;
use super::link::{Dial, Files, Link};
use super::own;
use crate::pem::{CERTIFICATES, CERTIFICATES_AND_KEYS, is_exposed, mistake, private_keys, without_mark};
use crate::reading;

/// Settings of a [`Client`]. Authority, certificate and key have to be given; there is no connection without them.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder {
    address: String,
    authority: Option<Pem>,
    certificate: Option<Pem>,
    key: Option<Pem>,
    server_name: Option<String>,
    pub(super) connect_timeout: Duration,
    call_timeout: Duration,
    retries: Option<usize>,
}

/// How long and how often something is tried.
#[cfg(feature = "client")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) call: Duration,
    /// None: as often as the time for a call allows.
    pub(super) retries: Option<usize>,
}

/// The largest file that is read.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

const CERTIFICATE: &str = "the client certificate";
const KEY: &str = "the client's key";

/// A PEM text, or the file that has it. It may be a key: what is no longer needed of it is overwritten.
#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Text(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for Pem {
    /// Never the text: it may be a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Text(_) => f.write_str("PEM"),
        }
    }
}

impl ClientBuilder {
    pub(super) fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            authority: None,
            certificate: None,
            key: None,
            server_name: None,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(10),
            retries: None,
        }
    }

    /// The file with the certificate of the authority that vouches for the broker.
    pub fn authority_file(mut self, path: impl AsRef<Path>) -> Self {
        self.authority = Some(Pem::File(path.as_ref().to_owned()));
        self
    }

    /// The same as PEM text.
    pub fn authority_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(Pem::Text(Zeroizing::new(pem.into())));
        self
    }

    /// The files with this client's certificate (its chain, the leaf first) and its key.
    pub fn identity_files(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.certificate = Some(Pem::File(certificate.as_ref().to_owned()));
        self.key = Some(Pem::File(key.as_ref().to_owned()));
        self
    }

    /// The same as PEM texts.
    pub fn identity_pem(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.certificate = Some(Pem::Text(Zeroizing::new(certificate.into())));
        self.key = Some(Pem::Text(Zeroizing::new(key.into())));
        self
    }

    /// The name that the broker's certificate must carry, if not the host of the address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// How long connecting may take; 5 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one call may take; 10 s by default. A watch has no such limit.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// How often a call is sent again at most, with the same `request_id`, while the broker is unavailable or overloaded. By
    /// default as often as the time for the call allows, which outlasts a restart.
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = Some(retries);
        self
    }

    /// What the files look like that [`ClientBuilder::dial`] would read.
    pub(super) fn look(&self) -> Look {
        let pems = [&self.authority, &self.certificate, &self.key].into_iter().flatten();
        Look::at(pems.filter_map(|pem| match pem {
            Pem::File(path) => Some(path.as_path()),
            Pem::Text(_) => None,
        }))
    }

    #[cfg(feature = "client")]
    pub(super) fn limits(&self) -> Limits {
        Limits { call: self.call_timeout, retries: self.retries }
    }

    /// The same settings for another address.
    #[cfg(feature = "replica")]
    pub(super) fn at(&self, address: impl Into<String>) -> Self {
        Self { address: address.into(), ..self.clone() }
    }

    /// The way there, from files that are read now. With a certificate that no broker would accept there is none.
    pub(super) fn dial(&self) -> Result<Dial, ClientError> {
        let files = self.files()?;
        let dial = self.dial_with(&files)?;
        match own::refusal(&files.certificate) {
            Some(cause) => Err(ClientError::NotAuthenticated { address: dial.address, cause }),
            None => Ok(dial),
        }
    }

    /// The address as it is dialled: a port that is none would otherwise be taken for one that was left out.
    fn uri(&self) -> Result<Uri, ClientError> {
        let address = full_address(&self.address);
        let wrong = || {
            let text =
                format!("`{address}` is no address of a broker: it is `https://host:port`, there is no other way");
            ClientError::Configuration(text)
        };
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        let is_plain = uri.authority().is_some_and(|authority| has_port_or_none(authority, '@'));
        if uri.scheme_str() == Some("https") && is_plain { Ok(uri) } else { Err(wrong()) }
    }

    fn files(&self) -> Result<Files, ClientError> {
        self.uri()?;
        let within = self.connect_timeout;
        Ok(Files {
            authority: read(self.authority.as_ref(), "the authority's certificate", CERTIFICATES, within)?.to_vec(),
            certificate: read(self.certificate.as_ref(), CERTIFICATE, CERTIFICATES_AND_KEYS, within)?.to_vec(),
            key: self.private_key()?,
            names: [(CERTIFICATE, &self.certificate), (KEY, &self.key)]
                .map(|(what, pem)| pem.as_ref().map_or_else(|| what.to_owned(), |pem| named(what, pem))),
        })
    }

    fn private_key(&self) -> Result<Zeroizing<Vec<u8>>, ClientError> {
        let key = read(self.key.as_ref(), KEY, CERTIFICATES_AND_KEYS, self.connect_timeout)?;
        self.key.as_ref().map_or(Ok(()), kept_to_oneself)?;
        match private_keys(&key) {
            1 => Ok(key),
            count => {
                let what = self.key.as_ref().map_or_else(|| KEY.to_owned(), |pem| named(KEY, pem));
                let text = format!("{what}: {count} private keys in the file; it is the one of the certificate");
                Err(ClientError::Configuration(text))
            }
        }
    }

    fn dial_with(&self, files: &Files) -> Result<Dial, ClientError> {
        let uri = self.uri()?;
        let link = Link::new(&uri, self.server_name.as_deref(), files, self.connect_timeout)?;
        // TLS is the link's: what stands on it knows the scheme from here.
        let endpoint = Endpoint::from_static("http://broker")
            .origin(uri)
            // A watch is silent for long: a connection that died without a word must show.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        Ok(Dial { endpoint, link, address: full_address(&self.address) })
    }
}

pub(super) fn full_address(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("https://{address}") }
}

/// A client's key is held to the same rule as the broker's.
#[cfg(unix)]
fn kept_to_oneself(key: &Pem) -> Result<(), ClientError> {
    use std::os::unix::fs::MetadataExt as _;
    let Pem::File(path) = key else { return Ok(()) };
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    let mode = metadata.mode() & 0o7777;
    if !is_exposed(mode, metadata.uid(), rustix::process::geteuid().as_raw()) {
        return Ok(());
    }
    let path = path.display();
    let text = format!("the client's key `{path}` may be read by others (mode {mode:04o}); run `chmod 600` on it");
    Err(ClientError::Configuration(text))
}

/// Other systems say in other ways who may read a file.
#[cfg(not(unix))]
fn kept_to_oneself(_key: &Pem) -> Result<(), ClientError> {
    Ok(())
}

fn read(pem: Option<&Pem>, what: &str, labels: &[&str], within: Duration) -> Result<Zeroizing<Vec<u8>>, ClientError> {
    let wrong = |text: String| Err(ClientError::Configuration(text));
    let Some(pem) = pem else { return wrong(format!("{what} is missing: a broker speaks mutual TLS alone")) };
    let what = named(what, pem);
    let text = match pem {
        Pem::Text(text) => text.clone(),
        Pem::File(path) => match reading::read(path, FILE_MAX_BYTES, within) {
            Ok(text) => Zeroizing::new(text),
            Err(error) => return wrong(format!("{what} cannot be read: {error}")),
        },
    };
    let text = Zeroizing::new(without_mark(&text).to_vec());
    if let Some(mistake) = mistake(&text, labels) {
        return wrong(format!("{what}: {mistake}"));
    }
    // An empty set of authorities would only fail later, and with a text about the broker.
    if !text.windows(11).any(|window| window == b"-----BEGIN ") {
        return wrong(format!("{what} is not in PEM form"));
    }
    Ok(text)
}

/// What it is, and the file that has it.
fn named(what: &str, pem: &Pem) -> String {
    match pem {
        Pem::File(path) => format!("{what} `{}`", path.display()),
        Pem::Text(_) => what.to_owned(),
    }
}

#[cfg(all(test, feature = "client"))]
mod tests {
    use super::*;
    use crate::sdk::Client;

    fn refused(builder: &ClientBuilder) -> String {
        builder.dial().unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_assumed_about_trust() {
        let builder = Client::builder("localhost:1");
        assert_eq!(refused(&builder), "the authority's certificate is missing: a broker speaks mutual TLS alone");
        let builder = builder.authority_pem("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----");
        assert_eq!(refused(&builder), "the client certificate is missing: a broker speaks mutual TLS alone");
        assert!(refused(&Client::builder("http://localhost:1")).contains("is no address of a broker"));
        let builder = Client::builder("localhost:1").authority_file("/nowhere/ca.pem");
        assert!(refused(&builder).starts_with("the authority's certificate `/nowhere/ca.pem` cannot be read"));
        assert!(refused(&Client::builder("localhost:1").authority_pem("words")).ends_with("is not in PEM form"));
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_that_nobody_writes_is_given_up_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let patient = || Client::builder("localhost:1").connect_timeout(Duration::from_millis(50));
        let authority = patient().authority_file(&pipe);
        let pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let key = patient().authority_pem(pem).identity_files(&pipe, &pipe);
        for (builder, what) in [(authority, "the authority's certificate"), (key, "the client certificate")] {
            let told = refused(&builder);
            assert!(told.starts_with(&format!("{what} `{}` cannot be read", pipe.display())), "{told}");
            assert!(told.contains("within 50 ms"), "{told}");
        }
    }

    #[test]
    fn an_empty_part_is_told_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n").unwrap();
        let told = refused(&Client::builder("localhost:1").authority_file(&file));
        assert!(told.starts_with(&format!("the authority's certificate `{}`: ", file.display())), "{told}");
        assert!(told.contains("line 1") && told.contains("CERTIFICATE"), "{told}");
    }

    #[test]
    fn an_address_has_a_port_that_is_one() {
        for address in ["localhost:99999", "https://localhost:0", "localhost:", "https://ana@localhost:1", "[::1]:x"] {
            assert!(refused(&Client::builder(address)).contains("is no address of a broker"), "{address}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let builder = Client::builder("localhost:1").identity_pem("certificate text", "key text");
        assert!(!format!("{builder:?}").contains("text"));
    }
}
