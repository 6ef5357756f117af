//! What a call costs that does nothing: an echo with messages of a check's sizes, served as the generated services are.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// A request of a check, encoded, is this large.
pub const REQUEST_BYTES: usize = 99;
const REPLY_BYTES: usize = 40;
/// The tag and the length of the one field.
const FIELD_BYTES: usize = 2;

/// The question.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Question {
    #[prost(string, tag = "1")]
    pub text: String,
}

/// The answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    #[prost(string, tag = "1")]
    pub text: String,
}

/// A question of the right size.
pub fn question() -> Question {
    Question { text: "q".repeat(REQUEST_BYTES - FIELD_BYTES) }
}

/// The service.
#[derive(Clone)]
pub struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl<B> Service<http::Request<B>> for Echo
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<tonic::codegen::StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(Reply, request).await) })
    }
}

struct Reply;

impl UnaryService<Question> for Reply {
    type Response = Answer;
    type Future = Ready<Result<Response<Answer>, Status>>;

    fn call(&mut self, request: Request<Question>) -> Self::Future {
        let mut text = request.into_inner().text;
        text.truncate(REPLY_BYTES - FIELD_BYTES);
        ready(Ok(Response::new(Answer { text })))
    }
}

/// One call.
pub async fn call(channel: &Channel, question: Question) -> Result<Answer, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Question, Answer>::default();
    let reply = client.unary(Request::new(question), PathAndQuery::from_static("/bench.Echo/Call"), codec).await?;
    Ok(reply.into_inner())
}
