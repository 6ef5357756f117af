//! What a call costs that does nothing: an echo with messages of a check's sizes, served as the generated services are.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use countersign::wire::v1::{CheckAnswer, StreamCheckAccessRequest, StreamCheckAccessResponse, Verdict};
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
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        Box::pin(async move {
            Ok(match method.as_str() {
                "Stream" => Grpc::new(ProstCodec::default()).streaming(Reply, request).await,
                "Messages" => Grpc::new(ProstCodec::default()).streaming(Messages, request).await,
                _ => Grpc::new(ProstCodec::default()).unary(Reply, request).await,
            })
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

/// The messages of a stream of checks, read and written as they are, and nothing looked up.
struct Messages;

impl StreamingService<StreamCheckAccessRequest> for Messages {
    type Response = StreamCheckAccessResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<StreamCheckAccessResponse, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<StreamCheckAccessRequest>>) -> Self::Future {
        let answers = request.into_inner().map(|batch| {
            batch.map(|batch| {
                let answer = |(query_index, _)| CheckAnswer { query_index, ..granted() };
                let answers = (0_u32..).zip(&batch.queries).map(answer).collect();
                let (sequence, time) = ("100".to_owned(), granted().valid_until);
                StreamCheckAccessResponse { batch_id: batch.batch_id, answers, sequence, time }
            })
        });
        ready(Ok(Response::new(Box::pin(answers))))
    }
}

/// An answer as a check by a grant has it.
pub fn granted() -> CheckAnswer {
    CheckAnswer {
        query_index: 1,
        verdict: Verdict::Allow.into(),
        reason: 1,
        grant_id: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        valid_until: Some(prost_types::Timestamp { seconds: 1_795_000_000, nanos: 1_000_000 }),
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

/// Questions and answers, one after another; with their own messages, or with those of checks.
pub async fn stream<Q, A>(
    channel: &Channel,
    method: &'static str,
    questions: impl Stream<Item = Q> + Send + 'static,
) -> Result<Streaming<A>, Status>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Q, A>::default();
    let path = PathAndQuery::from_static(method);
    Ok(client.streaming(Request::new(questions), path, codec).await?.into_inner())
}
