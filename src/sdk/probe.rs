//! Why a broker has closed a connection. Under TLS 1.3 a client has finished its handshake before the broker judges its
//! certificate, and whoever writes to a socket that was closed meanwhile may lose the alert that says why (RFC 8446,
//! section 4.4.4 and 6.2): the refusal would be told as absence. So one more connection is made, which only listens.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock::{Clock as _, SystemClock};
use crate::domain::value::time::Timestamp;

/// A broker that accepts a client sends its settings at once; one that does not, its alert.
const LISTEN_FOR: Duration = Duration::from_secs(2);

/// Where the broker is, and with what the client comes.
#[derive(Clone)]
pub(super) struct Probe {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    /// `host:port`.
    place: String,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Probe").field(&self.place).finish()
    }
}

impl Probe {
    /// None if any of it cannot be used; whoever connects with it hears why.
    pub(super) fn new(
        address: &str,
        server_name: Option<&str>,
        authority: &[u8],
        certificate: &[u8],
        key: &[u8],
    ) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authority).filter_map(Result::ok));
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().ok()?;
        let key = PrivateKeyDer::from_pem_slice(key).ok()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
        let config = config.ok()?.with_root_certificates(roots);
        let mut config = config.with_client_auth_cert(chain, key).ok()?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let uri: tonic::codegen::http::Uri = address.parse().ok()?;
        let host = uri.host()?;
        let place = format!("{host}:{}", uri.port_u16().unwrap_or(443));
        let name = server_name.unwrap_or_else(|| host.trim_start_matches('[').trim_end_matches(']')).to_owned();
        Some(Self { config: Arc::new(config), name: name.try_into().ok()?, place })
    }

    /// What the broker says of this client's certificate, if it says no.
    pub(super) async fn refusal(&self) -> Option<String> {
        tokio::time::timeout(LISTEN_FOR, self.listen()).await.ok().flatten()
    }

    async fn listen(&self) -> Option<String> {
        let socket = TcpStream::connect(&self.place).await.ok()?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let mut connection = match connector.connect(self.name.clone(), socket).await {
            Ok(connection) => connection,
            Err(error) => return said_by_tls(&error),
        };
        match connection.read(&mut [0]).await {
            Ok(_) => None,
            Err(error) => said_by_tls(&error),
        }
    }
}

/// What TLS says of either side's certificate; none for an error of the network, or of whatever else speaks there.
fn said_by_tls(error: &std::io::Error) -> Option<String> {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())?;
    matches!(inner, rustls::Error::AlertReceived(_) | rustls::Error::InvalidCertificate(_)).then(|| inner.to_string())
}

/// Why a client's own certificate is of no use now, as far as its text shows it.
pub(super) fn out_of_date(certificate: &[u8]) -> Option<String> {
    let leaf = CertificateDer::pem_slice_iter(certificate).next()?.ok()?;
    let (_, leaf) = X509Certificate::from_der(&leaf).ok()?;
    let at = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1_000)).ok();
    let (begins, ends) = (at(leaf.validity().not_before.timestamp())?, at(leaf.validity().not_after.timestamp())?);
    let now = SystemClock.read().wall;
    if now < begins {
        return Some(format!("the client certificate is valid from {begins} on, and it is {now} here"));
    }
    (ends < now).then(|| format!("the client certificate has ended at {ends}, and it is {now} here"))
}
