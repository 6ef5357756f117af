//! What a call costs that does nothing: an echo with messages of a check's sizes, served as the generated services are.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, StreamingService, UnaryService};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
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
    /// How long the answer is to be; 0: as a check's.
    #[prost(uint32, tag = "2")]
    pub reply_bytes: u32,
}

/// The answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    #[prost(string, tag = "1")]
    pub text: String,
}

/// A question of the right size.
pub fn question() -> Question {
    Question { text: "q".repeat(REQUEST_BYTES - FIELD_BYTES), reply_bytes: 0 }
}

/// A question of about so many bytes that wants about so many back.
pub fn question_of(bytes: usize, reply_bytes: usize) -> Question {
    Question { text: "q".repeat(bytes.max(reply_bytes)), reply_bytes: reply_bytes as u32 }
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
        let streams = request.uri().path().ends_with("/Stream");
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(if streams { grpc.streaming(Reply, request).await } else { grpc.unary(Reply, request).await })
        })
    }
}

struct Reply;

impl UnaryService<Question> for Reply {
    type Response = Answer;
    type Future = Ready<Result<Response<Answer>, Status>>;

    fn call(&mut self, request: Request<Question>) -> Self::Future {
        ready(Ok(Response::new(reply(request.into_inner()))))
    }
}

impl StreamingService<Question> for Reply {
    type Response = Answer;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Question>>) -> Self::Future {
        let answers = request.into_inner().map(|question| question.map(reply));
        ready(Ok(Response::new(Box::pin(answers))))
    }
}

fn reply(Question { mut text, reply_bytes }: Question) -> Answer {
    let bytes = if reply_bytes == 0 { REPLY_BYTES } else { reply_bytes as usize };
    text.truncate(bytes - FIELD_BYTES);
    Answer { text }
}

/// One call.
pub async fn call(channel: &Channel, question: Question) -> Result<Answer, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Question, Answer>::default();
    let reply = client.unary(Request::new(question), PathAndQuery::from_static("/bench.Echo/Call"), codec).await?;
    Ok(reply.into_inner())
}

/// Questions and answers, one after another.
pub async fn stream(
    channel: &Channel,
    questions: impl Stream<Item = Question> + Send + 'static,
) -> Result<Streaming<Answer>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Question, Answer>::default();
    let path = PathAndQuery::from_static("/bench.Echo/Stream");
    Ok(client.streaming(Request::new(questions), path, codec).await?.into_inner())
}
