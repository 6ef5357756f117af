//! A broker with its second listener, and a client of SCIM that shows its certificate and believes one authority.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign::clock::SystemClock;
use countersign::domain::decide::Files as JournalFiles;
use countersign::domain::record::event::{Fact, FeedFact};
use countersign::engine::{self, Store};
use countersign::journal::index::{Filter, Page};
use countersign::server::assembly::{Running, start};
use countersign::server::config::{ServeOverrides, ServeSettings, parse};
use countersign::server::transport::tls::provider;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::{HeaderMap, Method, Request};
use tonic::codegen::{Body, Bytes};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::common::certificates::Leaf;
use crate::organisation::{Files, Organisation};
use crate::person::Person;

pub const USERS: &str = "/scim/v2/Users";
pub const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
pub const OWN: &str = "urn:countersign:params:scim:schemas:extension:1.0:User";
pub const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    One,
    Two,
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

pub struct Broker {
    pub organisation: Organisation,
    pub running: Option<Running>,
    pub scim: SocketAddr,
}

/// The example's files with a brake that no test of one person meets.
pub fn files() -> Files {
    let files = Files::example();
    let policy =
        files.policy.replace("hr_brake = { people = 50, percent = 20 }", "hr_brake = { people = 50, percent = 100 }");
    assert_ne!(policy, files.policy);
    Files { policy, directory: files.directory }
}

pub fn settings(organisation: &Organisation) -> ServeSettings {
    let text = std::fs::read_to_string(organisation.path("broker.toml")).unwrap();
    parse(&text, organisation.folder.path(), &BTreeMap::new(), &ServeOverrides::default()).unwrap()
}

impl Broker {
    pub fn start() -> Self {
        Self::with(&files())
    }

    pub fn with(files: &Files) -> Self {
        Self::with_routes(files, "routes = []")
    }

    /// One that knows what an Envoy's requests are about.
    pub fn with_routes(files: &Files, routes: &str) -> Self {
        let organisation = Organisation::with(files);
        std::fs::write(organisation.path("routes.toml"), routes).unwrap();
        organisation.configure("ext_authz.routes = \"routes.toml\"\n[https]\nlisten = \"127.0.0.1:0\"");
        let journal = Store::File(organisation.journal());
        let files = JournalFiles { policy: &files.policy, directory: &files.directory };
        engine::initialise(&journal, files, Arc::new(SystemClock)).unwrap();
        let running = start(settings(&organisation)).unwrap();
        let scim = running.https_address().unwrap();
        Self { organisation, running: Some(running), scim }
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Somebody of the directory, connected over gRPC.
    pub async fn person(&self, name: &str) -> Person {
        let leaf = self.organisation.leaf(name);
        let authority = Certificate::from_pem(self.organisation.northwind.pem());
        let identity = Identity::from_pem(&leaf.chain_pem, &leaf.key_pem);
        let tls = ClientTlsConfig::new().ca_certificate(authority).domain_name("localhost").identity(identity);
        let endpoint = Endpoint::from_shared(format!("https://{}", self.running().address())).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
        Person { name: name.to_owned(), channel }
    }

    /// A TLS connection without HTTP in it.
    pub async fn raw(&self, leaf: Option<&Leaf>, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.organisation.northwind.pem().as_bytes()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match leaf {
            None => config.with_no_client_auth(),
            Some(leaf) => {
                let chain =
                    CertificateDer::pem_slice_iter(leaf.chain_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let socket = TcpStream::connect(self.scim).await?;
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await
    }

    /// One request on a connection of its own.
    pub async fn send(&self, leaf: Option<&Leaf>, http: Http, request: Request<Bytes>) -> Result<Reply, String> {
        let alpn = if http == Http::Two { "h2" } else { "http/1.1" };
        let stream = self.raw(leaf, &[alpn]).await.map_err(|error| error.to_string())?;
        let (mut parts, body) = request.into_parts();
        let body = Full::new(body);
        let text = |error: hyper::Error| format!("{error:?}");
        let is_authzen = parts.uri.path().starts_with("/access/") || parts.uri.path().starts_with("/.well-known/");
        let kind = if is_authzen { "application/json" } else { "application/scim+json" };
        let response = if http == Http::Two {
            let path = parts.uri.path_and_query().unwrap().to_string();
            parts.uri = format!("https://localhost{path}").parse().unwrap();
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(text)?;
            tokio::spawn(connection);
            sender.send_request(Request::from_parts(parts, body)).await.map_err(text)?
        } else {
            parts.headers.insert("host", "localhost".parse().unwrap());
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
            tokio::spawn(connection);
            sender.send_request(Request::from_parts(parts, body)).await.map_err(text)?
        };
        Ok(reply(response, kind).await)
    }

    /// What HR's machine sends, in HTTP/1.1.
    pub async fn hr(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.call("hr-sync", method, path, body).await
    }

    pub async fn call(&self, name: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
        let leaf = self.organisation.leaf(name);
        self.send(Some(&leaf), Http::One, request(method, path, body)).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.hr(Method::GET, path, None).await
    }

    pub async fn patch(&self, person: &str, operations: Value) -> Reply {
        let body = serde_json::json!({ "schemas": [PATCH], "Operations": operations });
        self.hr(Method::PATCH, &format!("{USERS}/{person}"), Some(body)).await
    }

    /// The HR events that took effect, by person and change.
    pub fn hr_events(&self) -> Vec<(String, &'static str)> {
        let page = Page { after: None, limit: 1_000, newest_first: false };
        let past = self.running().engine().history().list(&Filter::default(), page).unwrap();
        let found = past.events.iter().filter_map(|event| match &event.fact {
            Fact::Feed(FeedFact::EventApplied(fact)) => Some((fact.event.person.to_string(), fact.event.change.name())),
            _ => None,
        });
        found.collect()
    }
}

/// A request as identity systems write it.
pub fn request(method: Method, path: &str, body: Option<Value>) -> Request<Bytes> {
    let builder = Request::builder().method(method).uri(path).header("accept", "application/scim+json");
    match body {
        None => builder.body(Bytes::new()).unwrap(),
        Some(body) => {
            let builder = builder.header("content-type", "application/scim+json; charset=utf-8");
            builder.body(body.to_string().into()).unwrap()
        }
    }
}

async fn reply<B: Body<Error = hyper::Error>>(response: tonic::codegen::http::Response<B>, kind: &str) -> Reply {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    if !body.is_null() {
        assert_eq!(parts.headers["content-type"], kind, "{body}");
    }
    Reply { status: parts.status.as_u16(), headers: parts.headers, body }
}

impl Reply {
    /// That it is an error of this status, type and reason, in the form of RFC 7644 3.12.
    #[track_caller]
    pub fn is_error(&self, status: u16, scim_type: Option<&str>, reason: &str) -> &str {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.body["schemas"], serde_json::json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        assert_eq!(self.body["status"], status.to_string(), "{self:?}");
        let known = ["schemas", "status", "scimType", "detail"];
        assert!(self.body.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{self:?}");
        assert_eq!(self.body["scimType"].as_str(), scim_type, "{self:?}");
        let detail = self.body["detail"].as_str().unwrap();
        assert!(detail.starts_with(reason), "{self:?}");
        for word in ["Option", "Some(", "Err(", "::", "struct", "serde"] {
            assert!(!detail.contains(word), "{detail}");
        }
        detail
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }
}
