//! AccessService, as one connection calls it: past the router, for a caller who is known from the handshake, with
//! messages of checks that are read and written in place. Each of these would otherwise cost more than the check
//! itself.

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
use super::checker::Checker;
use super::messages::{BatchChecked, Checked, StreamChecked, Written};
use super::replication::replicate;
use super::stream::Answers;
use crate::domain::value::refusal::{Reason, Refusal};
use crate::server::caller::VerifiedCaller;
use crate::server::transport::limits::{REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES};
use crate::server::transport::peer::Peer;
use crate::server::transport::served::{Direct, DirectCalls};
use crate::server::transport::standing::Standing;
use crate::wire::v1 as pb;

/// A check and its answer are shorter; what needs more room gets it, once it has come.
const CHECK_BYTES: usize = 512;
/// What the answers to a batch take at first.
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

    fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.path() == path)
    }

    /// Its path.
    fn path(self) -> &'static str {
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
#[derive(Clone)]
pub(crate) struct AccessCalls(Arc<Checker>);

impl NamedService for AccessCalls {
    const NAME: &'static str = "countersign.v1.AccessService";
}

impl Direct for Access {
    type Calls = AccessCalls;

    fn connected(&self, peer: &Peer, standing: &Standing) -> AccessCalls {
        let caller = VerifiedCaller::of(peer, Some(standing.clone()));
        AccessCalls(Arc::new(Checker { caller: self.broker.sealing(caller), access: self.clone() }))
    }
}

impl DirectCalls for AccessCalls {
    type Method = Method;

    fn method(path: &str) -> Option<Method> {
        Method::of(path)
    }

    fn path(method: Method) -> &'static str {
        method.path()
    }

    fn is_short(method: Method) -> bool {
        matches!(method, Method::CheckAccess)
    }

    /// Answers one call. The rarer methods keep their futures on the heap; otherwise a check's would be as large as the
    /// largest.
    async fn call<B>(self, method: Method, request: http::Request<B>) -> http::Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        let Self(checker) = self;
        match method {
            Method::CheckAccess => {
                let check = service_fn(|asked: Request<Bytes>| answered(checker.check(asked.get_ref())));
                limited(InPlace::<Checked, CHECK_BYTES>::default()).unary(check, request).await
            }
            Method::BatchCheckAccess => {
                let check = service_fn(|asked: Request<Bytes>| answered(checker.check_batch(asked.get_ref())));
                Box::pin(limited(InPlace::<BatchChecked, BATCH_BYTES>::default()).unary(check, request)).await
            }
            Method::StreamCheckAccess => {
                let begin = service_fn(|batches: Request<Streaming<Bytes>>| {
                    answered(Answers::begin(Arc::clone(&checker), batches.into_inner()))
                });
                Box::pin(limited(InPlace::<StreamChecked, BATCH_BYTES>::default()).streaming(begin, request)).await
            }
            Method::ReplicateGrants => {
                let begin = service_fn(async |said: Request<Streaming<pb::ReplicateGrantsRequest>>| {
                    checker.caller.is_in_date(checker.access.broker.engine.latest())?;
                    let told = replicate(&checker.access.broker, checker.caller.clone(), said.into_inner()).await;
                    told.map(Response::new)
                });
                Box::pin(limited(ProstCodec::default()).streaming(begin, request)).await
            }
            Method::ExplainCheck => {
                let explain = service_fn(async |asked: Request<pb::ExplainCheckRequest>| {
                    let turn = checker.access.broker.turn(&checker.caller).await;
                    let explaining = Arc::clone(&checker);
                    // Not on a thread that serves: it looks at much more than a check does.
                    let explained = tokio::task::spawn_blocking(move || {
                        let _kept = turn;
                        explaining.access.explain(&explaining.caller, asked.into_inner())
                    });
                    explained.await.map_err(|_| Status::from(Refusal::new(Reason::Overloaded, "")))?.map(Response::new)
                });
                Box::pin(limited(ProstCodec::default()).unary(explain, request)).await
            }
        }
    }
}

/// The size limits that the other services get from their generated servers.
fn limited<C: Codec>(codec: C) -> Grpc<C> {
    let grpc = Grpc::new(codec);
    grpc.max_decoding_message_size(REQUEST_MAX_BYTES).max_encoding_message_size(RESPONSE_MAX_BYTES)
}

fn answered<T>(answer: Result<T, Status>) -> Ready<Result<Response<T>, Status>> {
    ready(answer.map(Response::new))
}

/// Hands on a message as it came, and writes the answer straight to where it is sent from. What follows the message of a
/// unary call is not read.
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
        BufferSettings::new(CHECK_BYTES, TOGETHER_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;

    use super::*;
    use crate::wire::DESCRIPTOR_SET;

    #[test]
    fn every_method_of_the_service_is_served() {
        let files = prost_types::FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap().file;
        let service = |file: &prost_types::FileDescriptorProto| {
            let package = file.package().to_owned();
            let named =
                |it: &&prost_types::ServiceDescriptorProto| format!("{package}.{}", it.name()) == AccessCalls::NAME;
            file.service.iter().find(named).cloned()
        };
        let methods = files.iter().find_map(service).unwrap().method;
        let paths = methods.iter().map(|method| format!("/{}/{}", AccessCalls::NAME, method.name()));
        assert_eq!(paths.collect::<BTreeSet<_>>(), Method::ALL.map(|method| method.path().to_owned()).into());
        assert!(Method::ALL.iter().all(|method| Method::of(method.path()) == Some(*method)));
    }
}
