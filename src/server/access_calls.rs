//! AccessService, as one connection calls it: past the router, for a caller who is known from the handshake, with
//! messages of checks that are read and written in place. A check itself costs less than any of these did.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Buf as _;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Bytes, StdError, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::access::Access;
use super::access_stream::Answers;
use super::caller::Caller;
use super::check_messages::{Batch, BatchChecked, Checked, StreamChecked, Written};
use super::check_messages::{read_batch, read_check, read_stream_batch};
use super::replication::replicate;
use crate::check::{Query, Verdict};
use crate::server::limits::{REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES};
use crate::wire::message::InvalidMessage;
use crate::wire::queries::{LARGEST_BATCH, check_query};
use crate::wire::v1 as pb;

/// A check and its answer are shorter; what needs more room gets it.
const CHECK_BYTES: usize = 512;
/// What a batch and its answers take at first.
const BATCH_BYTES: usize = 16 * 1024;
/// Answers that are ready go out together up to so many bytes.
const TOGETHER_BYTES: usize = 32 * 1024;

/// A method of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    CheckAccess,
    BatchCheckAccess,
    StreamCheckAccess,
    ReplicateGrants,
    ExplainCheck,
}

impl Method {
    const ALL: [Self; 5] =
        [Self::CheckAccess, Self::BatchCheckAccess, Self::StreamCheckAccess, Self::ReplicateGrants, Self::ExplainCheck];

    /// The method that is called by this path, if it is one of these.
    pub(crate) fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.path() == path)
    }

    /// What it is called by.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::CheckAccess => "/countersign.v1.AccessService/CheckAccess",
            Self::BatchCheckAccess => "/countersign.v1.AccessService/BatchCheckAccess",
            Self::StreamCheckAccess => "/countersign.v1.AccessService/StreamCheckAccess",
            Self::ReplicateGrants => "/countersign.v1.AccessService/ReplicateGrants",
            Self::ExplainCheck => "/countersign.v1.AccessService/ExplainCheck",
        }
    }
}

/// The calls of one caller.
pub(crate) struct AccessCalls {
    pub(super) access: Access,
    pub(super) caller: Caller,
}

impl NamedService for AccessCalls {
    const NAME: &'static str = "countersign.v1.AccessService";
}

impl AccessCalls {
    /// Answers one call. What is not asked as often as a check has a future of its own on the heap, or a check's were as
    /// large as the largest.
    pub(crate) async fn call<B>(self: Arc<Self>, method: Method, request: http::Request<B>) -> http::Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        match method {
            Method::CheckAccess => {
                let check = service_fn(|asked: Request<Bytes>| answered(self.check(asked.get_ref())));
                limited(InPlace::<Checked, CHECK_BYTES>::default()).unary(check, request).await
            }
            Method::BatchCheckAccess => {
                let check = service_fn(|asked: Request<Bytes>| answered(self.check_batch(asked.get_ref())));
                Box::pin(limited(InPlace::<BatchChecked, BATCH_BYTES>::default()).unary(check, request)).await
            }
            Method::StreamCheckAccess => {
                let begin = service_fn(|batches: Request<Streaming<Bytes>>| {
                    answered(Answers::begin(Arc::clone(&self), batches.into_inner()))
                });
                Box::pin(limited(InPlace::<StreamChecked, BATCH_BYTES>::default()).streaming(begin, request)).await
            }
            Method::ReplicateGrants => {
                let begin = service_fn(async |said: Request<Streaming<pb::ReplicateGrantsRequest>>| {
                    self.caller.is_in_date(self.access.broker.engine.latest())?;
                    let told = replicate(&self.access.broker, self.caller.clone(), said.into_inner()).await;
                    told.map(Response::new)
                });
                Box::pin(limited(ProstCodec::default()).streaming(begin, request)).await
            }
            Method::ExplainCheck => {
                let explain = service_fn(|asked: Request<pb::ExplainCheckRequest>| {
                    answered(self.access.explain(&self.caller, asked.into_inner()))
                });
                Box::pin(limited(ProstCodec::default()).unary(explain, request)).await
            }
        }
    }

    pub(super) fn check(&self, message: &[u8]) -> Result<Checked, Status> {
        read_check(message, |query| {
            let (verdict, sequence) = self.access.verdict(&self.caller, query)?;
            if !verdict.is_allowed() {
                well_formed("", query)?;
            }
            Ok(Checked { verdict, sequence })
        })
        .map_err(undecodable)?
    }

    pub(super) fn check_batch(&self, message: &[u8]) -> Result<BatchChecked, Status> {
        read_batch(message, |batch| self.checked(&batch)).map_err(undecodable)?
    }

    /// The answers to a batch of a stream.
    pub(super) fn check_stream_batch(&self, message: &[u8]) -> Result<StreamChecked, Status> {
        read_stream_batch(message, |batch| match self.checked(&batch) {
            Ok(answers) => Ok(StreamChecked { batch_id: batch.id, answers }),
            Err(status) => Err(of(batch.id, &status)),
        })
        .map_err(undecodable)?
    }

    fn checked(&self, batch: &Batch<'_>) -> Result<BatchChecked, Status> {
        let count = batch.queries.len();
        if count == 0 || count > LARGEST_BATCH {
            let wanted = format!("{count} of them; 1 to {LARGEST_BATCH} are wanted");
            return Err(InvalidMessage::one("queries", wanted).into());
        }
        let (verdicts, sequence) = self.access.verdicts(&self.caller, &batch.queries)?;
        refuse_malformed(&batch.queries, &verdicts)?;
        Ok(BatchChecked { verdicts, sequence })
    }
}

/// Every question that is malformed, by its index. Nothing malformed is ever allowed, so that only what was denied is
/// looked at.
fn refuse_malformed(queries: &[Query<'_>], verdicts: &[Verdict]) -> Result<(), InvalidMessage> {
    let denied = queries.iter().enumerate().zip(verdicts).filter(|(_, verdict)| !verdict.is_allowed());
    let malformed = denied.filter(|((_, query), _)| well_formed("", **query).is_err());
    let wrong = malformed.filter_map(|((index, query), _)| well_formed(&format!("queries[{index}]."), *query).err());
    let fields: Vec<_> = wrong.flat_map(|invalid| invalid.fields).collect();
    if fields.is_empty() { Ok(()) } else { Err(InvalidMessage { fields }) }
}

fn well_formed(path: &str, Query { subject, action, resource }: Query<'_>) -> Result<(), InvalidMessage> {
    check_query(path, subject, action, resource)
}

/// What the other services have from their generated servers.
fn limited<C: Codec>(codec: C) -> Grpc<C> {
    let grpc = Grpc::new(codec);
    grpc.max_decoding_message_size(REQUEST_MAX_BYTES).max_encoding_message_size(RESPONSE_MAX_BYTES)
}

fn answered<T>(answer: Result<T, Status>) -> Ready<Result<Response<T>, Status>> {
    ready(answer.map(Response::new))
}

/// As tonic's own codec says it.
fn undecodable(error: prost::DecodeError) -> Status {
    Status::internal(error.to_string())
}

/// The same error, with the batch that it is about.
fn of(batch_id: u64, status: &Status) -> Status {
    let text = format!("batch {batch_id}: {}", status.message());
    Status::with_details_and_metadata(status.code(), text, status.details().to_vec().into(), status.metadata().clone())
}

/// Hands on a message as it came, and writes the answer straight to where it is sent from.
struct InPlace<A, const BYTES: usize>(PhantomData<A>);

impl<A, const BYTES: usize> Default for InPlace<A, BYTES> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<A: Written + Send + 'static, const BYTES: usize> Codec for InPlace<A, BYTES> {
    type Encode = A;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<A: Written, const BYTES: usize> Encoder for InPlace<A, BYTES> {
    type Item = A;
    type Error = Status;

    fn encode(&mut self, answer: A, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        answer.write(out);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BYTES, TOGETHER_BYTES)
    }
}

impl<A, const BYTES: usize> Decoder for InPlace<A, BYTES> {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BYTES, TOGETHER_BYTES)
    }
}
