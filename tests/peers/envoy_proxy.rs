//! A real Envoy with the configuration of `examples/`, a backend behind it that says back what reached it, and a client
//! that writes its requests byte by byte.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use countersign::server::transport::tls::provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::common::certificates::{Leaf, write};
use crate::harness::{Broker, eventually};
use crate::organisation::Organisation;
use crate::tool::tool;

pub const HOST: &str = "orders.northwind.example";

/// A process that ends with its value.
pub struct Envoy {
    pub port: u16,
    organisation: Arc<Organisation>,
    child: Child,
}

/// An answer: the body is what reached the backend, if anything did.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Envoy {
    /// In front of a backend, asking this broker. Of the sample nothing changes but addresses and files.
    pub async fn start(broker: &Broker, backend: u16) -> Self {
        let organisation = Arc::clone(&broker.organisation);
        let folder = organisation.folder.path();
        let server = organisation.northwind.issue_server("spiffe://northwind.example/service/orders-envoy");
        write(folder, "orders.pem", &server.chain_pem);
        write(folder, "orders.key", &server.key_pem);
        organisation.leaf_files("orders-api");
        let mut sample = include_str!("../../examples/envoy.yaml").to_owned();
        for (theirs, ours) in [
            ("/etc/envoy/tls/authority.pem", &*folder.join("northwind.pem").to_string_lossy()),
            ("/etc/envoy/tls/", &format!("{}/", folder.display())),
            ("0.0.0.0, port_value: 8443", "127.0.0.1, port_value: 0"),
            ("port_value: 9080", &format!("port_value: {backend}")),
            (
                "broker.northwind.example, port_value: 7443",
                &format!("127.0.0.1, port_value: {}", broker.address.port()),
            ),
            ("broker.northwind.example", "localhost"),
        ] {
            assert!(sample.contains(theirs), "the sample has no `{theirs}`");
            sample = sample.replace(theirs, ours);
        }
        let configuration = write(folder, "envoy.yaml", &sample);
        let administration = folder.join("envoy-admin");
        let log = std::fs::File::create(folder.join("envoy.log")).unwrap();
        let child = Command::new(tool("envoy"))
            .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "--config-path"])
            .arg(configuration)
            .args(["--config-yaml", "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }"])
            .arg("--admin-address-path")
            .arg(&administration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut envoy = Self { port: 0, organisation, child };
        envoy.port = eventually("a port of Envoy's listener", async || envoy.listening(&administration).await).await;
        envoy
    }

    /// The listener's port, once it has one.
    async fn listening(&self, administration: &Path) -> Option<u16> {
        let address = std::fs::read_to_string(administration).ok()?;
        let mut stream = TcpStream::connect(address.trim()).await.ok()?;
        stream.write_all(b"GET /listeners HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        let (_, rest) = text.split_once("orders::127.0.0.1:")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// What Envoy logged, of which a failed test is in need.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.organisation.path("envoy.log")).unwrap_or_default()
    }

    pub async fn connect(&self, leaf: Option<&Leaf>) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.organisation.northwind.pem().as_bytes()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let config = match leaf {
            None => config.with_no_client_auth(),
            Some(leaf) => {
                let chain = CertificateDer::from_pem_slice(leaf.chain_pem.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        let socket = TcpStream::connect(("127.0.0.1", self.port)).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }

    /// One request with these further header lines, on a connection of its own.
    pub async fn ask(&self, leaf: &Leaf, line: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = self.connect(Some(leaf)).await.unwrap();
        exchange(&mut stream, &request(line, HOST, headers)).await.unwrap_or_else(|| panic!("{}", self.log()))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// What the backend saw of a header.
    pub fn seen(&self, name: &str) -> Option<&str> {
        header(&self.body, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut found =
        head.lines().filter_map(|line| line.split_once(':')).filter(|(key, _)| key.eq_ignore_ascii_case(name));
    let value = found.next().map(|(_, value)| value.trim());
    assert!(found.next().is_none(), "`{name}` twice: {head}");
    value
}

pub fn request(line: &str, host: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n")
}

/// Sends and reads one answer; none if the connection ends first.
pub async fn exchange<S: AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: &mut S, request: &str) -> Option<Answer> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let head = head(stream).await?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Answer { status, head, body: String::from_utf8(body).unwrap() })
}

/// A backend that answers each request with the head of it, and does nothing about who asks.
pub async fn backend() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                while let Some(head) = head(&mut stream).await {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Up to the empty line.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}
