//! A client that knows nothing of this API: it lists the services by reflection, reads their descriptors, builds a
//! message from them and calls; and health, both for whoever has a certificate (known failure J5).

use countersign::wire::v1 as pb;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use tonic::codegen::http::uri::PathAndQuery;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::harness::Broker;
use crate::person::{ORDERS, Person, repair};

const SERVICES: [&str; 11] = [
    "countersign.v1.AccessService",
    "countersign.v1.AccountService",
    "countersign.v1.AuditService",
    "countersign.v1.ElevationService",
    "countersign.v1.EnrolmentService",
    "countersign.v1.GrantService",
    "countersign.v1.ProposalService",
    "countersign.v1.LockService",
    "countersign.v1.HrService",
    "countersign.v1.PolicyService",
    "countersign.v1.RecertificationService",
];

#[tokio::test]
async fn a_generic_client_lists_and_calls_the_services_by_reflection() {
    let orders = Broker::shared().person("orders-api").await;
    // when it asks which services there are
    let MessageResponse::ListServicesResponse(listed) = ask(&orders, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list")
    };
    let names: Vec<String> = listed.service.into_iter().map(|service| service.name).collect();
    assert!(SERVICES.iter().all(|service| names.iter().any(|name| name == service)), "{names:?}");
    assert!(names.iter().any(|name| name == "grpc.health.v1.Health"), "{names:?}");
    // and reads the descriptors of one, with all that it imports
    let pool = pool(&orders, "countersign.v1.AccessService").await;
    let service = pool.get_service_by_name("countersign.v1.AccessService").expect("the service");
    let method = service.methods().find(|method| method.name() == "CheckAccess").expect("the method");
    // then it can build a message, call, and read the answer
    let mut question = DynamicMessage::new(method.input());
    for (field, value) in [("subject", "ana"), ("action", "db.read"), ("resource", ORDERS)] {
        question.set_field_by_name(field, Value::String(value.to_owned()));
    }
    let path = format!("/{}/{}", service.full_name(), method.name());
    let answer = call(&orders, &path, question.encode_to_vec()).await;
    let answer = DynamicMessage::decode(method.output(), answer.as_slice()).unwrap();
    let verdict = answer.get_field_by_name("verdict").unwrap().as_enum_number().unwrap();
    let verdict_name = pool.get_enum_by_name("countersign.v1.Verdict").unwrap().get_value(verdict).unwrap();
    assert_eq!(verdict_name.name(), "VERDICT_DENY");
}

#[tokio::test]
async fn fields_that_a_request_does_not_have_change_nothing() {
    // given a request with a number of fields that the API does not know, as somebody would guess them
    let engineer = Broker::shared().engineer().await;
    let mut message = repair().encode_to_vec();
    for field in 12..64_u32 {
        // a number that could be a state, then a text that could be an approver
        prost_reflect::prost::encoding::uint32::encode(field, &2, &mut message);
        prost_reflect::prost::encoding::string::encode(field + 100, &"ben".to_owned(), &mut message);
    }
    // when it is sent
    let answer = call(&engineer, "/countersign.v1.ElevationService/RequestElevation", message).await;
    let answer = pb::RequestElevationResponse::decode(answer.as_slice()).unwrap();
    // then it waits like any other, and nobody has decided anything
    let elevation = answer.elevation.unwrap();
    assert_eq!((elevation.state(), elevation.grant_id.as_str()), (pb::ElevationState::Pending, ""));
    assert_eq!(elevation.review.unwrap().decisions, []);
}

#[tokio::test]
async fn every_method_that_reflection_tells_of_wants_a_certificate() {
    let broker = Broker::shared();
    let orders = broker.person("orders-api").await;
    let nobody = broker.endpoint(None);
    let mut methods = 0;
    for service in SERVICES {
        let pool = pool(&orders, service).await;
        for method in pool.get_service_by_name(service).unwrap().methods() {
            // when it is called over a connection without a certificate, then there is no such connection
            let path = format!("/{service}/{}", method.name());
            let called = match nobody.connect().await {
                Ok(channel) => try_call(channel, &path, Vec::new()).await.map_err(|status| status.to_string()),
                Err(error) => Err(error.to_string()),
            };
            assert!(called.is_err(), "{path}");
            methods += 1;
        }
    }
    assert!(methods >= 49, "{methods}");
}

#[tokio::test]
async fn health_is_told_to_whoever_has_a_certificate() {
    let stranger = Broker::shared().person("stranger").await;
    for service in ["", "countersign.v1.AccessService"] {
        let mut health = HealthClient::new(stranger.channel.clone());
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
}

pub async fn ask(person: &Person, question: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut client = ServerReflectionClient::new(person.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap().message_response.unwrap()
}

/// The descriptors of a service, fetched file by file until nothing that is imported is missing.
async fn pool(person: &Person, service: &str) -> DescriptorPool {
    let mut files: Vec<prost_types::FileDescriptorProto> = Vec::new();
    let mut wanted = vec![MessageRequest::FileContainingSymbol(service.to_owned())];
    while let Some(question) = wanted.pop() {
        let MessageResponse::FileDescriptorResponse(response) = ask(person, question).await else {
            panic!("no descriptors")
        };
        for bytes in response.file_descriptor_proto {
            let file = prost_types::FileDescriptorProto::decode(bytes.as_slice()).unwrap();
            if files.iter().any(|known| known.name() == file.name()) {
                continue;
            }
            wanted.extend(file.dependency.iter().cloned().map(MessageRequest::FileByFilename));
            files.push(file);
        }
    }
    DescriptorPool::from_file_descriptor_set(prost_types::FileDescriptorSet { file: files }).unwrap()
}

async fn call(person: &Person, path: &str, message: Vec<u8>) -> Vec<u8> {
    try_call(person.channel.clone(), path, message).await.unwrap()
}

async fn try_call(channel: tonic::transport::Channel, path: &str, message: Vec<u8>) -> Result<Vec<u8>, tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let path: PathAndQuery = path.parse().unwrap();
    Ok(client.unary(tonic::Request::new(message), path, Bytes).await?.into_inner())
}

/// Messages as the bytes that they are.
pub struct Bytes;

impl tonic::codec::Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;
    fn encode(&mut self, item: Vec<u8>, buffer: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;
    fn decode(&mut self, buffer: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        let mut bytes = vec![0; bytes::Buf::remaining(buffer)];
        bytes::Buf::copy_to_slice(buffer, &mut bytes);
        Ok(Some(bytes))
    }
}
