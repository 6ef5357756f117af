//! Services behind the layer, over real mutual TLS: the example's, as tonic serves it, and one of axum that accepts TLS
//! itself.

use std::sync::Arc;
use std::time::Duration;

use countersign::sdk::{Act, CheckLayer, PassedCheck, Replica, VerifiedPeer};
use tokio::net::TcpListener;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::common::certificates::{Authority, Wanted, client};
use crate::guarded_service;
use crate::scripted::{ANA, ORDERS, Scripted, grant, revoked};

/// The example, protected by a replica of this broker.
async fn example(broker: &Scripted, replica: Replica) -> u16 {
    let leaf = broker.authority().issue_server("spiffe://northwind.example/service/orders-api");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(leaf.chain_pem, leaf.key_pem))
        .client_ca_root(Certificate::from_pem(broker.authority().pem()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(guarded_service::serve(replica, tls, listener));
    port
}

async fn connected(authority: &Authority, port: u16, wanted: &Wanted) -> Channel {
    let leaf = authority.issue(wanted);
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority.pem()))
        .identity(Identity::from_pem(leaf.chain_pem, leaf.key_pem));
    let endpoint = Endpoint::from_shared(format!("https://localhost:{port}")).unwrap();
    endpoint.tls_config(tls).unwrap().timeout(Duration::from_secs(60)).connect().await.unwrap()
}

async fn unary(channel: &Channel, method: &'static str) -> Result<String, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(String::new());
    // Whatever a client says of itself is not read.
    request.metadata_mut().insert("x-forwarded-client-cert", ANA.parse().unwrap());
    let path = PathAndQuery::from_static(method);
    Ok(grpc.unary(request, path, ProstCodec::<String, String>::default()).await?.into_inner())
}

async fn follow(channel: &Channel) -> Streaming<String> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/orders.v1.Orders/Follow");
    let codec = ProstCodec::<String, String>::default();
    grpc.server_streaming(Request::new(String::new()), path, codec).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tonic_service_lets_in_who_holds_a_grant_by_the_certificate_alone() {
    let broker = Scripted::new().await;
    let replica = broker.replica().await;
    let port = example(&broker, replica.clone()).await;
    // given ana, who may read
    let ana = connected(broker.authority(), port, &client(ANA)).await;
    assert_eq!(unary(&ana, "/orders.v1.Orders/Count").await.unwrap(), format!("{ANA} may, because GRANTED"));
    // when she writes, or calls what nobody has named, then she may not
    for method in ["/orders.v1.Orders/Repair", "/orders.v1.Orders/Other"] {
        let status = unary(&ana, method).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{method}");
    }
    // and neither may others: another identity, none, two, or her name in the wrong place
    let ben = "spiffe://northwind.example/person/ben";
    let two = Wanted { uris: vec![ANA.to_owned(), ben.to_owned()], ..Wanted::default() };
    let common_name = Wanted { common_name: Some(ANA.to_owned()), ..Wanted::default() };
    for wanted in [client(ben), Wanted::default(), two, common_name] {
        let other = connected(broker.authority(), port, &wanted).await;
        let status = unary(&other, "/orders.v1.Orders/Count").await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    // and once her grant is revoked, no more
    let sequence = broker.change(&[revoked(1)]);
    replica.reached(sequence, Duration::from_secs(20)).await.unwrap();
    let status = unary(&ana, "/orders.v1.Orders/Count").await.unwrap_err();
    assert_eq!((status.code(), status.message().contains("NO_GRANT")), (Code::PermissionDenied, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_stream_is_cut_off_by_a_revocation_and_by_a_broken_feed() {
    for broken in [false, true] {
        let broker = Scripted::new().await;
        let replica = broker.replica().await;
        let port = example(&broker, replica).await;
        let ana = connected(broker.authority(), port, &client(ANA)).await;
        // given a stream that goes on for ever
        let mut orders = follow(&ana).await;
        assert_eq!(orders.message().await.unwrap().unwrap(), "order 0");
        assert_eq!(orders.message().await.unwrap().unwrap(), "order 1");
        // when its grant is revoked, or the replica cannot believe what it is told
        if broken {
            broker.script().refuses = Some(Status::unavailable("not yet"));
            let pong = broker.script().pong(vec![3; 16]);
            broker.say(countersign::wire::v1::replicate_grants_response::Message::Pong(pong));
        } else {
            broker.change(&[revoked(1)]);
        }
        // then it ends with the reason
        let status = loop {
            match tokio::time::timeout(Duration::from_secs(20), orders.message()).await.unwrap() {
                Ok(order) => assert!(order.is_some(), "it ended as if it were whole"),
                Err(status) => break status,
            }
        };
        let reason = if broken { "STALE" } else { "NO_GRANT" };
        assert_eq!((status.code(), status.message().contains(reason)), (Code::PermissionDenied, true), "{status:?}");
    }
}

/// An axum service that accepts TLS itself, and puts each connection's peer into its requests.
async fn axum_service(broker: &Scripted, replica: Replica) -> u16 {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let check = CheckLayer::new(replica, |request| {
        let table = request.uri.path().strip_prefix("/tables/")?;
        Some(Act::new("db.read", format!("prod/eu/db/orders/{table}")))
    });
    let handler =
        async |passed: axum::Extension<PassedCheck>| format!("{} {}", passed.subject(), passed.checked().reason());
    let router = axum::Router::new().route("/tables/{table}", axum::routing::get(handler)).layer(check);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server_tls(broker.authority())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(socket).await else { return };
                let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
                let peer = VerifiedPeer::from_certificate(&leaf);
                let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
                    if let Ok(peer) = &peer {
                        request.extensions_mut().insert(peer.clone());
                    }
                    let mut router = router.clone();
                    async move { tower_service::Service::call(&mut router, request.map(axum::body::Body::new)).await }
                });
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots(authority: &Authority) -> Arc<rustls::RootCertStore> {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    Arc::new(roots)
}

type ChainAndKey = (Vec<rustls::pki_types::CertificateDer<'static>>, rustls::pki_types::PrivateKeyDer<'static>);

fn chain_and_key(leaf: &crate::common::certificates::Leaf) -> ChainAndKey {
    use rustls::pki_types::pem::PemObject as _;
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(leaf.chain_pem.as_bytes()).unwrap();
    (vec![certificate], rustls::pki_types::PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap())
}

fn server_tls(authority: &Authority) -> rustls::ServerConfig {
    let (chain, key) = chain_and_key(&authority.issue_server("spiffe://northwind.example/service/orders-api"));
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots(authority), provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    builder.with_client_cert_verifier(verifier.build().unwrap()).with_single_cert(chain, key).unwrap()
}

/// `GET` over HTTP/1.1 as somebody: status, reason and body.
async fn get(authority: &Authority, port: u16, identity: &str, path: &str) -> (u16, Option<String>, String) {
    use http_body_util::BodyExt as _;
    let (chain, key) = chain_and_key(&authority.issue(&client(identity)));
    let builder =
        rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots(authority)).with_client_auth_cert(chain, key).unwrap();
    let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(path).header("host", "localhost").header("x-subject", ANA);
    let answer = sender.send_request(request.body(String::new()).unwrap()).await.unwrap();
    let reason = answer.headers().get("x-countersign-reason").map(|reason| reason.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, reason, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_axum_service_is_protected_by_the_same_layer() {
    let broker = Scripted::new().await;
    broker.script().hold(&[grant(2, "prod/eu/db/orders/lines")]);
    let port = axum_service(&broker, broker.replica().await).await;
    let authority = broker.authority();
    let ben = "spiffe://northwind.example/person/ben";
    let table = ORDERS.rsplit_once('/').unwrap().1;
    let allowed = get(authority, port, ANA, &format!("/tables/{table}")).await;
    assert_eq!(allowed, (200, None, format!("{ANA} GRANTED")));
    for (identity, path, reason) in [
        (ben, "/tables/primary", "NO_GRANT"),
        (ANA, "/tables/secret", "NO_GRANT"),
        (ANA, "/tables/..", "OUT_OF_AUDIENCE"),
        (ANA, "/tables/primary%2f..", "OUT_OF_AUDIENCE"),
    ] {
        let (status, given, _) = get(authority, port, identity, path).await;
        assert_eq!((status, given.as_deref()), (403, Some(reason)), "{path}");
    }
}
