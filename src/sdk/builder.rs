//! The settings of a client: where the broker is, whom it trusts and who it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::client::Client;
use super::error::{ClientError, humane, innermost};
use super::probe::{Probe, out_of_date};
use crate::pem::{CERTIFICATES, CERTIFICATES_AND_KEYS, is_exposed, unread_part, without_mark};

/// Settings of a [`Client`]. Authority, certificate and key have to be given; there is no connection without them.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder {
    address: String,
    authority: Option<Pem>,
    certificate: Option<Pem>,
    key: Option<Pem>,
    server_name: Option<String>,
    connect_timeout: Duration,
    call_timeout: Duration,
    retries: usize,
}

/// A PEM text, or the file that has it.
#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Text(Vec<u8>),
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

impl Client {
    /// Begins to build a client of the broker at `address`: `https://host:port`, or `host:port`.
    pub fn builder(address: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(address)
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
            retries: 3,
        }
    }

    /// The file with the certificate of the authority that vouches for the broker.
    pub fn authority_file(mut self, path: impl AsRef<Path>) -> Self {
        self.authority = Some(Pem::File(path.as_ref().to_owned()));
        self
    }

    /// The same as PEM text.
    pub fn authority_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(Pem::Text(pem.into()));
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
        self.certificate = Some(Pem::Text(certificate.into()));
        self.key = Some(Pem::Text(key.into()));
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

    /// How often a call is sent again, with the same `request_id`, while the broker is unavailable or overloaded; 3 by
    /// default.
    pub fn retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// Connects. Later calls share the connection, and make it anew when it is lost.
    ///
    /// # Errors
    /// If a file cannot be read or used, or no broker can be reached and verified.
    pub async fn connect(self) -> Result<Client, ClientError> {
        let files = self.files()?;
        let endpoint = self.endpoint_with(&files)?;
        let address = full_address(&self.address);
        if let Some(cause) = out_of_date(&files.certificate) {
            return Err(ClientError::NotAuthenticated { address, cause });
        }
        let connected = tokio::time::timeout(self.connect_timeout, endpoint.connect()).await;
        // Who said nothing until now is not asked why.
        let connected = connected.map_err(|_| silent(&address, self.connect_timeout))?;
        let channel = connected.map_err(|error| ClientError::from_transport(&error, &address));
        let Files { authority, certificate, key } = &files;
        let probe = Probe::new(&address, self.server_name.as_deref(), authority, certificate, key);
        match (channel, &probe) {
            (Ok(channel), _) => Ok(Client::new(channel, address, self.call_timeout, self.retries, probe)),
            (Err(error), Some(probe)) => Err(error.or_refused_by(probe).await),
            (Err(error), None) => Err(error),
        }
    }

    /// The same settings for another address.
    pub(super) fn at(&self, address: impl Into<String>) -> Self {
        Self { address: address.into(), ..self.clone() }
    }

    /// How long connecting may take.
    pub(super) fn connects_within(&self) -> Duration {
        self.connect_timeout
    }

    pub(super) fn endpoint(&self) -> Result<Endpoint, ClientError> {
        self.endpoint_with(&self.files()?)
    }

    fn https_address(&self) -> Result<String, ClientError> {
        let address = full_address(&self.address);
        if address.starts_with("https://") {
            return Ok(address);
        }
        let text = format!("`{address}` is no address of a broker: it is `https://host:port`, there is no other way");
        Err(ClientError::Configuration(text))
    }

    fn files(&self) -> Result<Files, ClientError> {
        self.https_address()?;
        Ok(Files {
            authority: read(self.authority.as_ref(), "the authority's certificate", CERTIFICATES)?,
            certificate: read(self.certificate.as_ref(), "the client certificate", CERTIFICATES_AND_KEYS)?,
            key: read(self.key.as_ref(), "the client's key", CERTIFICATES_AND_KEYS)
                .and_then(|key| self.key.as_ref().map_or(Ok(()), kept_to_oneself).map(|()| key))?,
        })
    }

    fn endpoint_with(&self, files: &Files) -> Result<Endpoint, ClientError> {
        let address = self.https_address()?;
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&files.authority))
            .identity(Identity::from_pem(&files.certificate, &files.key));
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        let unusable = |what: &str, error: tonic::transport::Error| {
            let innermost = innermost(&error);
            ClientError::Configuration(format!("{what} cannot be used: {innermost}"))
        };
        let endpoint = Endpoint::from_shared(address.clone()).map_err(|_| {
            let text = format!("`{address}` is no address of a broker: it is `https://host:port`");
            ClientError::Configuration(text)
        })?;
        let endpoint = endpoint
            .tls_config(tls)
            .map_err(|error| unusable("authority, certificate or key", error))?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            // A watch is silent for long: a connection that died without a word must show.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        Ok(endpoint)
    }
}

/// The three files' texts.
struct Files {
    authority: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Connects, or not, within a time that ends with TLS: a host that accepts and says nothing is waited for no longer than one
/// that is not there. The first call has a limit of its own, and with it what HTTP/2 says first.
pub(super) async fn connect_within(
    endpoint: &Endpoint,
    address: &str,
    limit: Duration,
) -> Result<Channel, ClientError> {
    match tokio::time::timeout(limit, endpoint.connect()).await {
        Ok(connected) => connected.map_err(|error| ClientError::from_transport(&error, address)),
        Err(_) => Err(silent(address, limit)),
    }
}

fn silent(address: &str, limit: Duration) -> ClientError {
    let cause = format!("it did not connect within {}", humane(limit));
    ClientError::Unreachable { address: address.to_owned(), cause }
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

fn read(pem: Option<&Pem>, what: &str, labels: &[&str]) -> Result<Vec<u8>, ClientError> {
    let text = match pem {
        None => return Err(ClientError::Configuration(format!("{what} is missing: a broker speaks mutual TLS alone"))),
        Some(Pem::Text(text)) => text.clone(),
        Some(Pem::File(path)) => std::fs::read(path).map_err(|error| {
            ClientError::Configuration(format!("{what} `{}` cannot be read: {error}", path.display()))
        })?,
    };
    // An empty set of authorities would only fail later, and with a text about the broker.
    if !text.windows(11).any(|window| window == b"-----BEGIN ") {
        return Err(ClientError::Configuration(format!("{what} is not in PEM form")));
    }
    let text = without_mark(&text).to_vec();
    match unread_part(&text, labels) {
        None => Ok(text),
        Some(label) => {
            let wanted = "each part begins on a line of its own with `-----BEGIN `";
            Err(ClientError::Configuration(format!("{what}: a part `{label}` would not be read; {wanted}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: &ClientBuilder) -> String {
        builder.endpoint().unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_assumed_about_trust() {
        let builder = Client::builder("localhost:1");
        assert_eq!(refused(&builder), "the authority's certificate is missing: a broker speaks mutual TLS alone");
        let builder = builder.authority_pem("-----BEGIN CERTIFICATE-----");
        assert_eq!(refused(&builder), "the client certificate is missing: a broker speaks mutual TLS alone");
        assert!(refused(&Client::builder("http://localhost:1")).contains("is no address of a broker"));
        let builder = Client::builder("localhost:1").authority_file("/nowhere/ca.pem");
        assert!(refused(&builder).starts_with("the authority's certificate `/nowhere/ca.pem` cannot be read"));
        assert!(refused(&Client::builder("localhost:1").authority_pem("words")).ends_with("is not in PEM form"));
    }

    #[test]
    fn a_key_is_never_printed() {
        let builder = Client::builder("localhost:1").identity_pem("certificate text", "key text");
        assert!(!format!("{builder:?}").contains("text"));
    }
}
