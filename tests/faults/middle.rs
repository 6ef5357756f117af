//! Somebody in the middle: a server with the broker's name, which passes everything on to the broker as the replica
//! itself, but for the feed, which it may alter message by message.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::wire::v1 as pb;
use pb::access_service_client::AccessServiceClient;
use pb::access_service_server::{AccessService, AccessServiceServer};
use pb::replicate_grants_response::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Certificate, Channel, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use crate::harness::Broker;

/// What becomes of one message of the feed.
pub enum Passed {
    /// It goes on as it is.
    AsItIs,
    /// It never arrives.
    Dropped,
    /// These arrive in its place, each after a while.
    Instead(Vec<(Duration, Message)>),
    /// The stream breaks off.
    Broken,
}

/// Looks at each message.
pub type Alter = Box<dyn FnMut(&Message) -> Passed + Send>;

#[derive(Clone)]
pub struct Middle {
    broker: Channel,
    alter: Arc<Mutex<Option<Alter>>>,
    seen: Arc<Mutex<Vec<Message>>>,
    streams: Arc<Mutex<u32>>,
}

impl Middle {
    /// Between a broker and whoever connects as `name`.
    pub async fn start(broker: &Broker, name: &str) -> (Self, SocketAddr) {
        let channel = broker.endpoint(Some(&broker.organisation.leaf(name))).timeout(Duration::from_secs(600));
        let middle = Self {
            broker: channel.connect_lazy(),
            alter: Arc::default(),
            seen: Arc::default(),
            streams: Arc::default(),
        };
        let leaf = broker.organisation.northwind.issue_server("spiffe://northwind.example/service/countersign");
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(leaf.chain_pem, leaf.key_pem))
            .client_ca_root(Certificate::from_pem(broker.organisation.northwind.pem()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().tls_config(tls).unwrap().add_service(AccessServiceServer::new(middle.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (middle, address)
    }

    /// From now on messages are looked at.
    pub fn alter(&self, alter: impl FnMut(&Message) -> Passed + Send + 'static) {
        *self.alter.lock().unwrap() = Some(Box::new(alter));
    }

    /// From now on nothing is altered.
    pub fn leave_alone(&self) {
        *self.alter.lock().unwrap() = None;
    }

    /// Every message that the broker sent, altered or not.
    pub fn seen(&self) -> Vec<Message> {
        self.seen.lock().unwrap().clone()
    }

    /// How often a feed was opened.
    pub fn streams(&self) -> u32 {
        *self.streams.lock().unwrap()
    }

    fn passed(&self, message: &Message) -> Passed {
        self.seen.lock().unwrap().push(message.clone());
        match self.alter.lock().unwrap().as_mut() {
            Some(alter) => alter(message),
            None => Passed::AsItIs,
        }
    }

    async fn pass_on(
        self,
        mut from: Streaming<pb::ReplicateGrantsResponse>,
        to: mpsc::Sender<Result<pb::ReplicateGrantsResponse, Status>>,
    ) {
        loop {
            let message = match from.message().await {
                Ok(Some(pb::ReplicateGrantsResponse { message: Some(message) })) => message,
                Ok(Some(_)) => panic!("an empty message"),
                Ok(None) => return,
                Err(status) => return drop(to.send(Err(status)).await),
            };
            let instead = match self.passed(&message) {
                Passed::AsItIs => vec![(Duration::ZERO, message)],
                Passed::Dropped => vec![],
                Passed::Instead(instead) => instead,
                Passed::Broken => return drop(to.send(Err(Status::unavailable("the line broke"))).await),
            };
            for (after, message) in instead {
                tokio::time::sleep(after).await;
                if to.send(Ok(pb::ReplicateGrantsResponse { message: Some(message) })).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tonic::async_trait]
impl AccessService for Middle {
    type StreamCheckAccessStream = ReceiverStream<Result<pb::StreamCheckAccessResponse, Status>>;
    type ReplicateGrantsStream = ReceiverStream<Result<pb::ReplicateGrantsResponse, Status>>;

    async fn replicate_grants(
        &self,
        request: Request<Streaming<pb::ReplicateGrantsRequest>>,
    ) -> Result<Response<Self::ReplicateGrantsStream>, Status> {
        *self.streams.lock().unwrap() += 1;
        let asked = request.into_inner().take_while(Result::is_ok).map(Result::unwrap);
        let answers = AccessServiceClient::new(self.broker.clone()).replicate_grants(asked).await?.into_inner();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.clone().pass_on(answers, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn stream_check_access(
        &self,
        _: Request<Streaming<pb::StreamCheckAccessRequest>>,
    ) -> Result<Response<Self::StreamCheckAccessStream>, Status> {
        Err(Status::unimplemented("the feed alone passes here"))
    }

    async fn check_access(
        &self,
        _: Request<pb::CheckAccessRequest>,
    ) -> Result<Response<pb::CheckAccessResponse>, Status> {
        Err(Status::unimplemented("the feed alone passes here"))
    }

    async fn batch_check_access(
        &self,
        _: Request<pb::BatchCheckAccessRequest>,
    ) -> Result<Response<pb::BatchCheckAccessResponse>, Status> {
        Err(Status::unimplemented("the feed alone passes here"))
    }

    async fn explain_check(
        &self,
        _: Request<pb::ExplainCheckRequest>,
    ) -> Result<Response<pb::ExplainCheckResponse>, Status> {
        Err(Status::unimplemented("the feed alone passes here"))
    }
}
