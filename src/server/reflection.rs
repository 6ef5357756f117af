//! Reflection, as tonic answers it, with one thing added: a message that cannot be read is told as the mistake that it is.
//! By itself it would end the stream as if all had been answered (known failure G21).

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::server::transport::limits::REQUEST_MAX_BYTES;
use crate::server::transport::served::unreadable;

/// What was asked and not yet handed on, and what was answered and not yet taken.
const WAITING: usize = 1;

/// Reflection that reads each message itself, and has `S` answer it.
#[derive(Debug, Clone)]
pub(crate) struct Reflected<S>(pub(crate) S);

macro_rules! reflected {
    ($version:ident, $serve:ident) => {
        mod $version {
            use super::*;
            use tonic_reflection::pb::$version as pb;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_server::{ServerReflection, ServerReflectionServer};

            #[tonic::async_trait]
            impl<S: ServerReflection> ServerReflection for Reflected<ServerReflectionServer<S>> {
                type ServerReflectionInfoStream = ReceiverStream<Result<pb::ServerReflectionResponse, Status>>;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<pb::ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let mut asked = request.into_inner();
                    let (ask, questions) = mpsc::channel(WAITING);
                    let mut inner = ServerReflectionClient::new(self.0.clone());
                    let questions = ReceiverStream::new(questions);
                    let mut answers = inner.server_reflection_info(questions).await?.into_inner();
                    let (say, said) = mpsc::channel(WAITING);
                    tokio::spawn(async move {
                        loop {
                            let answer = match asked.message().await {
                                Ok(None) => return,
                                Ok(Some(question)) => match ask.send(question).await {
                                    Ok(()) => answers.message().await,
                                    Err(_) => return,
                                },
                                Err(status) => Err(unreadable(status)),
                            };
                            let is_last = !matches!(answer, Ok(Some(_)));
                            let Some(answer) = answer.transpose() else { return };
                            if say.send(answer).await.is_err() || is_last {
                                return;
                            }
                        }
                    });
                    Ok(Response::new(ReceiverStream::new(said)))
                }
            }

            /// The service, with the limit of messages that all have.
            pub(crate) fn $serve<S: ServerReflection>(
                inner: ServerReflectionServer<S>,
            ) -> ServerReflectionServer<impl ServerReflection> {
                ServerReflectionServer::new(Reflected(inner)).max_decoding_message_size(REQUEST_MAX_BYTES)
            }
        }
        pub(crate) use $version::$serve;
    };
}

reflected!(v1, strict_v1);
reflected!(v1alpha, strict_v1alpha);
