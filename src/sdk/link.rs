//! The way to a broker: TCP, TLS and the first that HTTP/2 says, within one time limit for each connection, the first and every
//! later one. A host that accepts and then says nothing, wherever it stops, is one that does not answer (known failure G19).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use zeroize::Zeroizing;

use super::error::{ClientError, humane};
use crate::wire::certificate::no_authority;

/// The three files' texts.
pub(super) struct Files {
    pub(super) authority: Vec<u8>,
    pub(super) certificate: Vec<u8>,
    pub(super) key: Zeroizing<Vec<u8>>,
    /// How the certificate and the key are told.
    pub(super) names: [String; 2],
}

/// Where a broker is, and with what the client comes.
#[derive(Clone)]
pub(super) struct Link {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    host: String,
    port: u16,
    limit: Duration,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Link").field(&self.host).field(&self.port).finish()
    }
}

impl Link {
    /// From an address with scheme and port, and from files that were read.
    pub(super) fn new(
        address: &Uri,
        server_name: Option<&str>,
        files: &Files,
        limit: Duration,
    ) -> Result<Self, ClientError> {
        let unusable = |what: &str, why: &dyn std::fmt::Display| {
            ClientError::Configuration(format!("{what} cannot be used: {why}"))
        };
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&files.authority) {
            let authority = authority.map_err(|error| unusable("the authority's certificate", &error))?;
            if let Some(why) = no_authority(&authority, true) {
                return Err(unusable("the authority's certificate", &why));
            }
            roots.add(authority).map_err(|error| unusable("the authority's certificate", &error))?;
        }
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&files.certificate).collect();
        let chain = chain.map_err(|error| unusable("the client certificate", &error))?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|error| unusable("the client's key", &error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|config| config.with_root_certificates(roots).with_client_auth_cert(chain, key));
        let mut config = config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => of_another_key(address, files),
            other => unusable("certificate or key", &other),
        })?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let host = address.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = server_name.unwrap_or(&host).to_owned();
        let name = name.try_into().map_err(|error| unusable("the name of the broker", &error))?;
        Ok(Self { config: Arc::new(config), name, host, port: address.port_u16().unwrap_or(443), limit })
    }

    /// The same with another limit.
    #[cfg(feature = "client")]
    pub(super) fn within(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// Connects to the end of TLS.
    pub(super) async fn open(&self) -> io::Result<Linked> {
        let mut first = Box::pin(sleep(self.limit));
        let silent = silence(self.limit);
        let opened = async {
            let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
            socket.set_nodelay(true)?;
            TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), socket).await
        };
        tokio::select! {
            stream = opened => Ok(Linked { stream: stream?, first: Some(first), silent }),
            () = &mut first => Err(io::Error::new(io::ErrorKind::TimedOut, silent)),
        }
    }
}

/// The key is not that of the certificate: no broker would believe such a client.
fn of_another_key(address: &Uri, files: &Files) -> ClientError {
    let [certificate, key] = &files.names;
    let cause = format!("{key} is not that of {certificate}; give the key that the certificate was issued for");
    ClientError::NotAuthenticated { address: address.to_string().trim_end_matches('/').to_owned(), cause }
}

const SILENT: &str = "it did not connect within";

fn silence(limit: Duration) -> String {
    format!("{SILENT} {}", humane(limit))
}

/// Whether a connection came to nothing because the other side said nothing in time.
#[cfg(feature = "client")]
pub(super) fn is_silence(cause: &str) -> bool {
    cause.starts_with(SILENT)
}

impl Service<Uri> for Link {
    type Response = TokioIo<Linked>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Linked>>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _address: Uri) -> Self::Future {
        let link = self.clone();
        Box::pin(async move { link.open().await.map(TokioIo::new) })
    }
}

/// A connection, on which the other side has until the deadline to say its first byte: over HTTP/2, its settings.
pub(super) struct Linked {
    stream: TlsStream<TcpStream>,
    first: Option<Pin<Box<Sleep>>>,
    silent: String,
}

impl AsyncRead for Linked {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(context, into);
        if read.is_ready() {
            this.first = None;
            return read;
        }
        if this.first.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, this.silent.clone())));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Linked {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A link with what HTTP/2 is to be over it.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) endpoint: Endpoint,
    pub(super) link: Link,
    pub(super) address: String,
}

impl Dial {
    /// The same with other settings of HTTP/2.
    #[cfg(feature = "replica")]
    pub(super) fn with(self, change: impl FnOnce(Endpoint) -> Endpoint) -> Self {
        Self { endpoint: change(self.endpoint), ..self }
    }

    /// Connects, or not, within its limit.
    pub(super) async fn connect(&self) -> Result<Channel, ClientError> {
        let connected = self.endpoint.connect_with_connector(self.link.clone()).await;
        connected.map_err(|error| ClientError::from_transport(&error, &self.address))
    }

    /// The same at the first call.
    #[cfg(feature = "client")]
    pub(super) fn connect_when_needed(&self) -> Channel {
        self.endpoint.connect_with_connector_lazy(self.link.clone())
    }
}
