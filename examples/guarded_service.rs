//! A gRPC service that does only what its clients hold a grant for. Beside `countersign dev`, in the folder that it runs in,
//! with the address that it prints:
//!
//! ```console
//! $ cargo run --example guarded_service -- https://127.0.0.1:PORT certs-dev/authority.pem certs-dev/orders-api certs-dev/broker
//! $ printf '\0\0\0\0\0' | curl -i --http2 --cacert certs-dev/authority.pem --cert certs-dev/ana.pem --key certs-dev/ana.key \
//!     -H 'content-type: application/grpc' --data-binary @- https://localhost:7500/orders.v1.Orders/Count
//! ```
//!
//! The last two arguments are beginnings of names, to which `.pem` and `.key` are added: the certificate by which it is a
//! client of the broker, and the one that it serves with (in `dev` the broker's, which is good for localhost).
//! docs/checking.md goes through it step by step.
#![allow(clippy::print_stdout, clippy::arithmetic_side_effects, reason = "an example says what it does")]

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use countersign::sdk::{Act, CheckLayer, PassedCheck, Replica};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, StdError};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_layer::Layer as _;
use tower_service::Service;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let usage = "usage: guarded_service BROKER AUTHORITY.pem OWN-CERTIFICATE SERVER-CERTIFICATE";
    let mut words = std::env::args().skip(1);
    let (Some(broker), Some(authority), Some(own), Some(server)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(usage.into());
    };

    // One replica for the whole service. It is ready when this returns, and stays connected.
    let replica = Replica::builder([broker])
        .authority_file(&authority)
        .identity_files(format!("{own}.pem"), format!("{own}.key"))
        .connect()
        .await?;
    println!("replica: {} grants at sequence {}", replica.status().grants, replica.status().sequence);

    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(std::fs::read(format!("{server}.pem"))?, std::fs::read(format!("{server}.key"))?))
        .client_ca_root(Certificate::from_pem(std::fs::read(authority)?));
    let listener = TcpListener::bind("127.0.0.1:7500").await?;
    println!("orders.v1.Orders at https://{}", listener.local_addr()?);
    serve(replica, tls, listener).await
}

/// Serves orders, to whom may.
pub async fn serve(replica: Replica, tls: ServerTlsConfig, listener: TcpListener) -> Result<(), Failure> {
    // The three lines: what each method does, to what, and the layer around the service.
    let check = CheckLayer::new(replica, |request| act(request.uri.path()));
    let orders = check.layer(Orders);
    let server = Server::builder().tls_config(tls)?.add_service(orders);
    server.serve_with_incoming(TcpListenerStream::new(listener)).await.map_err(Into::into)
}

/// What is not named here is denied.
fn act(path: &str) -> Option<Act> {
    match path {
        "/orders.v1.Orders/Count" | "/orders.v1.Orders/Follow" => {
            Some(Act::new("db.read", "prod/eu/db/orders/primary"))
        }
        "/orders.v1.Orders/Repair" => Some(Act::new("db.write", "prod/eu/db/orders/primary")),
        _ => None,
    }
}

/// The service itself. It is written by hand, so that the example needs no `.proto` of its own; generated code is the same.
#[derive(Clone)]
pub struct Orders;

impl NamedService for Orders {
    const NAME: &'static str = "orders.v1.Orders";
}

impl<B> Service<http::Request<B>> for Orders
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<String, String>::default());
            Ok(match request.uri().path() {
                "/orders.v1.Orders/Follow" => grpc.server_streaming(Follow, request).await,
                "/orders.v1.Orders/Count" | "/orders.v1.Orders/Repair" => grpc.unary(Count, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// Answers once.
struct Count;

impl UnaryService<String> for Count {
    type Response = String;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Status>> + Send>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        Box::pin(async move {
            // Who asks, and by what right, is known without asking again.
            let passed = request.extensions().get::<PassedCheck>().ok_or_else(|| Status::internal("not protected"))?;
            Ok(Response::new(format!("{} may, because {}", passed.subject(), passed.checked().reason())))
        })
    }
}

/// Answers for ever: the layer ends it when the grant does.
struct Follow;

impl ServerStreamingService<String> for Follow {
    type Response = String;
    type ResponseStream = ReceiverStream<Result<String, Status>>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, _: Request<String>) -> Self::Future {
        let (orders, stream) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let mut number = 0_u64;
            while orders.send(Ok(format!("order {number}"))).await.is_ok() {
                number += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Box::pin(async move { Ok(Response::new(ReceiverStream::new(stream))) })
    }
}
