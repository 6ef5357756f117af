//! What a listener serves, handed in by whoever starts it: a router, calls that go past the router, and how a client is
//! told what the connection itself refuses.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::http::{HeaderValue, Request, Response, Uri};
use tonic::codegen::{Bytes, StdError};
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::door::{Guest, Guests};
use super::peer::Peer;
use super::standing::Standing;
use crate::domain::rule::spender::Spender;

/// The method under which a call is counted that reached none.
pub const UNROUTED: &str = "unknown";

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// gRPC, over HTTP/2 alone.
    Grpc,
    /// HTTP/2 and HTTP/1.1.
    Https,
}

/// What is served. Most calls find their service through a router; those of `D` do without.
#[derive(Clone)]
pub struct Services<D = Routed> {
    /// The router.
    pub routes: Routes,
    /// What goes past it.
    pub direct: D,
    /// How clients are answered where no service does.
    pub dialect: Arc<dyn Dialect>,
    /// Whose connections these are.
    pub guests: Guests,
}

impl From<Routes> for Services {
    fn from(routes: Routes) -> Self {
        let guests: Guests = Arc::new(|_| Guest { spender: Spender::Unknown, takes_away: false });
        Self { routes, direct: Routed, dialect: Arc::new(Grpc), guests }
    }
}

/// Calls past the router, for which finding it would cost more than answering.
pub trait Direct: Clone + Send + 'static {
    /// The calls of one connection.
    type Calls: DirectCalls;

    /// The calls of whoever is at the other end.
    fn connected(&self, peer: &Peer, standing: &Standing) -> Self::Calls;
}

/// The calls of one connection past the router.
pub trait DirectCalls: Clone + Send + 'static {
    /// A method.
    type Method: Copy + Send;

    /// The method that is called by this path, if it is one of these.
    fn method(path: &str) -> Option<Self::Method>;

    /// Its path.
    fn path(method: Self::Method) -> &'static str;

    /// Whether each of its answers is so short that it need not be counted while nobody reads it.
    fn is_short(method: Self::Method) -> bool;

    /// Answers one call.
    fn call<B>(self, method: Self::Method, request: Request<B>) -> impl Future<Output = Response<Body>> + Send
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send;
}

/// No calls past the router.
#[derive(Debug, Clone, Copy)]
pub struct Routed;

impl Direct for Routed {
    type Calls = Self;

    fn connected(&self, _peer: &Peer, _standing: &Standing) -> Self {
        Self
    }
}

impl DirectCalls for Routed {
    type Method = Infallible;

    fn method(_path: &str) -> Option<Infallible> {
        None
    }

    fn path(method: Infallible) -> &'static str {
        match method {}
    }

    fn is_short(method: Infallible) -> bool {
        match method {}
    }

    async fn call<B>(self, method: Infallible, _request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        match method {}
    }
}

/// What a refusal needs of a call.
#[derive(Debug)]
pub struct Head {
    /// What was called.
    pub uri: Uri,
    /// What the client calls the request, if it says so.
    pub request_id: Option<HeaderValue>,
}

/// How clients are answered where no service does, and how answers are counted.
pub trait Dialect: Send + Sync {
    /// What the connection itself refuses, as a client understands it.
    fn refusal(&self, call: &Head, status: Status) -> Response<Body>;

    /// The method and the code under which an answer is counted. A path that a client made up does not become a label.
    fn counted<'a>(&self, path: &'a str, response: &Response<Body>) -> (&'a str, Code);
}

/// As gRPC has it.
#[derive(Debug)]
pub struct Grpc;

impl Dialect for Grpc {
    fn refusal(&self, _call: &Head, status: Status) -> Response<Body> {
        status.into_http()
    }

    fn counted<'a>(&self, path: &'a str, response: &Response<Body>) -> (&'a str, Code) {
        let code = code_of(response);
        let made_up = code == Code::Unimplemented || response.status().as_u16() != 200;
        (if made_up { UNROUTED } else { path }, code)
    }
}

/// The code that a gRPC client reads from a response that has only begun.
pub(super) fn code_of(response: &Response<Body>) -> Code {
    let named = response.headers().get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()));
    named.unwrap_or(Code::Ok)
}

/// A status without details is not one of ours: tonic made it of a message that it could not read, or that was too long,
/// with codes (`INTERNAL`, `OUT_OF_RANGE`) that clients would take for a fault of the broker, or for RESYNC.
pub(crate) fn unreadable(status: Status) -> Status {
    if !status.details().is_empty() || !matches!(status.code(), Code::Internal | Code::OutOfRange) {
        return status;
    }
    let details = ErrorDetails::with_error_info("INVALID_MESSAGE", "countersign", std::collections::HashMap::new());
    let text = format!("the message cannot be read: {}; compare it with the API's .proto files", status.message());
    Status::with_error_details(Code::InvalidArgument, text, details)
}

/// There is no room, or no time, for a call now.
pub(super) fn overloaded(text: &str) -> Status {
    let mut details = ErrorDetails::with_error_info("OVERLOADED", "countersign", std::collections::HashMap::new());
    details.set_retry_info(Some(Duration::from_secs(1)));
    Status::with_error_details(Code::ResourceExhausted, text, details)
}
