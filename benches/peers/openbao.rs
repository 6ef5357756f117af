//! OpenBao: capabilities-self over HTTP/2, with a token whose policy says what may be read.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use countersign::server::transport::tls::provider;
use countersign::wire::v1::CheckAccessRequest;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tonic::codegen::Bytes;
use tonic::codegen::http::{Method, Request};

use crate::peer::{Peer, free_address};
use crate::world::WIDE;

const POLICY: &str = "path \"prod/*\" { capabilities = [\"read\", \"update\"] }";

pub fn start(binaries: &Path, folder: &Path) -> Peer {
    let address = free_address();
    let file = |name: &str| folder.join(name).display().to_string();
    let settings = format!(
        "storage \"inmem\" {{}}\ndisable_mlock = true\nlistener \"tcp\" {{\n  address = \"{address}\"\n  tls_cert_file = \"{}\"\n  \
         tls_key_file = \"{}\"\n  tls_client_ca_file = \"{}\"\n  tls_require_and_verify_client_cert = true\n}}\n",
        file("broker.pem"),
        file("broker.key"),
        file("authority.pem"),
    );
    std::fs::write(folder.join("openbao.hcl"), settings).unwrap();
    let mut command = Command::new(binaries.join("bao"));
    command.args(["server", "-log-level=error", "-config"]).arg(folder.join("openbao.hcl"));
    Peer::start(command, folder, "openbao", address)
}

pub type Connection = SendRequest<Full<Bytes>>;

/// A connection of its own over mTLS.
pub async fn connect(folder: &Path, address: &str) -> Connection {
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.join(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("authority.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{WIDE}.key"))).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate(&format!("{WIDE}.pem"))], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Unseals it, writes the policy, and gives a token of it.
pub async fn set_up(connection: &Connection) -> String {
    let init = json!({ "secret_shares": 1, "secret_threshold": 1 });
    let keys = call(connection, Method::PUT, "/v1/sys/init", "", &init).await;
    let root = keys["root_token"].as_str().unwrap();
    call(connection, Method::PUT, "/v1/sys/unseal", "", &json!({ "key": keys["keys"][0] })).await;
    call(connection, Method::PUT, "/v1/sys/policies/acl/engineer", root, &json!({ "policy": POLICY })).await;
    let token = json!({ "policies": ["engineer"], "type": "batch", "ttl": "1h" });
    let made = call(connection, Method::POST, "/v1/auth/token/create", root, &token).await;
    made["auth"]["client_token"].as_str().unwrap().to_owned()
}

pub fn question(asked: &CheckAccessRequest) -> Bytes {
    json!({ "paths": [asked.resource] }).to_string().into()
}

pub async fn ask(connection: &Connection, token: &str, question: Bytes) {
    let answer = send(connection, Method::POST, "/v1/sys/capabilities-self", token, question).await;
    let may_read = answer.windows(6).any(|window| window == b"\"read\"");
    assert!(may_read, "{}", String::from_utf8_lossy(&answer));
}

async fn call(connection: &Connection, method: Method, path: &str, token: &str, body: &Value) -> Value {
    let answer = send(connection, method, path, token, body.to_string().into()).await;
    if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).unwrap() }
}

async fn send(connection: &Connection, method: Method, path: &str, token: &str, body: Bytes) -> Bytes {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"))
        .header("x-vault-token", token)
        .body(Full::new(body))
        .unwrap();
    let mut connection = connection.clone();
    connection.ready().await.unwrap();
    let response = connection.send_request(request).await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    response.into_body().collect().await.unwrap().to_bytes()
}
