//! Every field of every request of the API, as the proto lists them, spoiled by itself: refused at the door with its name.
//! A method or a field that is added is asked here without anybody thinking of it (known failures A1, C6, D3, D12 and F8).

use std::time::Duration;

use countersign::wire::DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use tonic_types::StatusExt;

use crate::harness::Broker;
use crate::person::{Person, reason};
use crate::reflection::Bytes;

/// What may hold anything, and is looked at nowhere but where it is compared or read as a file.
const FREE: [(&str, &str); 11] = [
    ("StreamCheckAccessRequest", "batch_id"),
    // Where a replica stands is only ever compared.
    ("ReplicaHello", "number"),
    ("ReplicaHello", "sequence"),
    ("ReplicaHello", "count"),
    ("ReplicaPing", "number"),
    ("ReplicaPing", "sequence"),
    ("ReplicaApplied", "number"),
    ("ImportPeopleRequest", "chunk"),
    ("ProposeDirectoryRequest", "chunk"),
    ("ProposePolicyRequest", "chunk"),
    ("ValidatePolicyRequest", "chunk"),
];

/// A request whose one field cannot be meant.
struct Spoiled {
    /// Where it is: the name of the field and those around it.
    path: String,
    field: String,
    bytes: Vec<u8>,
    is_zero: bool,
}

#[tokio::test]
async fn every_field_of_every_method_is_refused_by_its_name() {
    let broker = Broker::shared();
    let (omar, orders) = (broker.person("omar").await, broker.person("orders-api").await);
    let methods = methods();
    let (mut asked, mut wrong) = (0, Vec::new());
    for method in &methods {
        let fields = spoiled(&method.input(), 0);
        // then whoever can say something at all can say something wrong
        assert_eq!(fields.is_empty(), method.input().fields().all(|field| is_free(&field)), "{}", method.name());
        for spoiled in fields {
            asked += 1;
            // A feed asks for the right to have it before it listens.
            let person = if method.name() == "ReplicateGrants" { &orders } else { &omar };
            if let Err(text) = is_named(person, method, &spoiled).await {
                wrong.push(format!("{}: {}: {text}", method.name(), spoiled.path));
            }
        }
    }
    assert!(wrong.is_empty(), "of {asked}:\n{}", wrong.join("\n"));
    assert!(methods.len() > 45 && asked > 2 * methods.len(), "{} methods, {asked} fields", methods.len());
}

/// What no message is: a tag without an end, and more bytes than a message may have.
#[tokio::test]
async fn what_no_method_can_read_is_a_mistake_of_the_message_and_no_fault_of_the_broker() {
    let broker = Broker::shared();
    let (omar, orders) = (broker.person("omar").await, broker.person("orders-api").await);
    let (mut wrong, all) = (Vec::new(), every_method());
    // then no service is left out that reflection tells of, and there is one that it does not tell of
    let listed = listed(&omar).await;
    assert!(listed.iter().all(|service| all.iter().any(|it| it.parent_service().full_name() == service)), "{listed:?}");
    let envoys = ("Check".to_owned(), "/envoy.service.auth.v3.Authorization/Check".to_owned());
    let named = all.iter().map(|method| {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        (method.name().to_owned(), path)
    });
    for (name, path) in named.chain([envoys]) {
        let person = if name == "ReplicateGrants" { &orders } else { &omar };
        for bytes in [vec![0xff; 16], vec![b'x'; 70_000]] {
            let length = bytes.len();
            match call(person, &path, bytes).await {
                Err(status)
                    if status.code() == tonic::Code::InvalidArgument && reason(&status) == "INVALID_MESSAGE" => {}
                other => wrong.push(format!("{path}, {length} bytes: {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All methods that are served: the API's, and those of reflection and health.
fn every_method() -> Vec<MethodDescriptor> {
    let mut pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    for more in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        pool.decode_file_descriptor_set(more).unwrap();
    }
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// The services that reflection tells of.
async fn listed(person: &Person) -> Vec<String> {
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let asked = MessageRequest::ListServices(String::new());
    let MessageResponse::ListServicesResponse(listed) = crate::reflection::ask(person, asked).await else {
        panic!("no list")
    };
    listed.service.into_iter().map(|service| service.name).collect()
}

/// All methods of the API.
fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let services = pool.services().filter(|service| service.package_name() == "countersign.v1");
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

async fn is_named(person: &Person, method: &MethodDescriptor, spoiled: &Spoiled) -> Result<(), String> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let status = call(person, &path, spoiled.bytes.clone()).await.err().ok_or("not refused")?;
    if reason(&status) != "INVALID_MESSAGE" {
        return Err(format!("{status:?}"));
    }
    let details = status.get_error_details();
    let named = &details.bad_request().ok_or("no fields")?.field_violations;
    let is_it = |path: &str| {
        let last = path.rsplit('.').next().unwrap_or_default();
        last.split('[').next() == Some(spoiled.field.as_str())
    };
    match named.iter().find(|it| is_it(&it.field)) {
        // A number that is 0 is as none.
        Some(it) if it.description.contains("missing") && !spoiled.is_zero => Err(format!("called missing: {named:?}")),
        Some(_) => Ok(()),
        None => Err(format!("another is named: {named:?}")),
    }
}

/// On the wire all calls are alike: messages, then an answer or several.
async fn call(person: &Person, path: &str, message: Vec<u8>) -> Result<(), tonic::Status> {
    let mut client = tonic::client::Grpc::new(person.channel.clone());
    client.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    let request = tonic::Request::new(tokio_stream::iter([message]));
    let answered = async {
        client.streaming(request, path.parse().unwrap(), Bytes).await?.into_inner().message().await.map(|_| ())
    };
    tokio::time::timeout(Duration::from_secs(5), answered).await.unwrap_or(Ok(()))
}

/// A request for each field, at whatever depth, that has this field alone, and wrong.
fn spoiled(message: &MessageDescriptor, depth: usize) -> Vec<Spoiled> {
    message.fields().filter(|field| !is_free(field)).flat_map(|field| spoiled_field(&field, depth)).collect()
}

fn is_free(field: &FieldDescriptor) -> bool {
    // Of two values each is meant.
    field.kind() == Kind::Bool || FREE.contains(&(field.parent_message().name(), field.name()))
}

fn spoiled_field(field: &FieldDescriptor, depth: usize) -> Vec<Spoiled> {
    let name = field.name().to_owned();
    let tag = |kind: u32| varint(u64::from(field.number() << 3 | kind));
    let delimited = |bytes: &[u8]| [tag(2), varint(bytes.len() as u64), bytes.to_vec()].concat();
    let number = |value: i64| {
        if field.is_list() { delimited(&varint(value as u64)) } else { [tag(0), varint(value as u64)].concat() }
    };
    let bytes = match field.kind() {
        Kind::Message(message) if message.package_name() == "countersign.v1" => {
            assert!(depth < 6, "{name} holds itself");
            let within = spoiled(&message, depth + 1).into_iter();
            return within
                .map(|it| Spoiled { path: format!("{name}.{}", it.path), bytes: delimited(&it.bytes), ..it })
                .collect();
        }
        // Both of `google.protobuf`: a length and an instant below zero.
        Kind::Message(_) => delimited(&[vec![8], varint(-1_i64 as u64)].concat()),
        Kind::Enum(_) => number(99),
        Kind::String | Kind::Bytes => delimited(&b"#".repeat(5_000)),
        Kind::Int32 | Kind::Int64 => number(-1),
        // Nothing is counted from 0.
        Kind::Uint32 | Kind::Uint64 => number(0),
        other => panic!("{name}: {other:?}"),
    };
    let is_zero = matches!(field.kind(), Kind::Uint32 | Kind::Uint64);
    vec![Spoiled { path: name.clone(), field: name, bytes, is_zero }]
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
