//! The shape of the API, read from its descriptor set: what a request cannot say (known failure A1), what zero means (D12), and
//! what every call of a kind has in common. Each rule is tested with a bad file too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the helpers of tests")]
use std::collections::BTreeSet;

use countersign::wire::{DESCRIPTOR_SET, v1};
use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto,
};

const PACKAGE: &str = "countersign.v1";

/// What only a reviewer, or the broker, may say.
const DECISION_WORDS: [&str; 9] =
    ["state", "status", "approve", "approval", "approver", "decision", "review", "stage", "verdict"];

/// Methods that begin so change nothing; all others do.
const READING_VERBS: [&str; 13] = [
    "Get",
    "List",
    "Watch",
    "Check",
    "BatchCheck",
    "StreamCheck",
    "Replicate",
    "Await",
    "Explain",
    "Report",
    "Export",
    "Validate",
    "WhoAmI",
];

fn api() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
    set.file.into_iter().filter(|file| file.package() == PACKAGE).collect()
}

fn message<'a>(files: &'a [FileDescriptorProto], name: &str) -> Option<&'a DescriptorProto> {
    let short = name.strip_prefix(&format!(".{PACKAGE}."))?;
    files.iter().flat_map(|file| &file.message_type).find(|message| message.name() == short)
}

fn methods(files: &[FileDescriptorProto]) -> impl Iterator<Item = &MethodDescriptorProto> {
    files.iter().flat_map(|file| &file.service).flat_map(|service| &service.method)
}

fn is_mutating(method: &MethodDescriptorProto) -> bool {
    !READING_VERBS.iter().any(|verb| method.name().starts_with(verb))
}

/// All fields of a message and of what it holds, at whatever depth.
fn fields<'a>(files: &'a [FileDescriptorProto], name: &str) -> Vec<&'a FieldDescriptorProto> {
    let (mut seen, mut open, mut found) = (BTreeSet::new(), vec![name.to_owned()], vec![]);
    while let Some(name) = open.pop() {
        let Some(message) = message(files, &name).filter(|_| seen.insert(name.clone())) else { continue };
        for field in &message.field {
            found.push(field);
            if field.r#type() == Type::Message {
                open.push(field.type_name().to_owned());
            }
        }
    }
    found
}

fn has(files: &[FileDescriptorProto], message: &str, field: &str, kind: Type) -> bool {
    fields(files, message).iter().any(|f| f.name() == field && f.r#type() == kind)
}

fn has_itself(files: &[FileDescriptorProto], name: &str, field: &str, kind: Type) -> bool {
    message(files, name).is_some_and(|m| m.field.iter().any(|f| f.name() == field && f.r#type() == kind))
}

/// known failure A1: fields by which a requester could write a decision.
fn decision_fields(files: &[FileDescriptorProto], request: &str) -> Vec<String> {
    let speaks_of_it = |field: &&FieldDescriptorProto| {
        let type_name = field.type_name().to_lowercase();
        DECISION_WORDS.iter().any(|word| field.name().contains(word) || type_name.contains(word))
    };
    fields(files, request).into_iter().filter(speaks_of_it).map(|field| field.name().to_owned()).collect()
}

/// known failure D12: enums whose zero is anything but UNSPECIFIED.
fn enums_with_a_meaning_of_zero(files: &[FileDescriptorProto]) -> Vec<String> {
    let all: Vec<&EnumDescriptorProto> = files.iter().flat_map(|file| &file.enum_type).collect();
    assert!(
        files.iter().flat_map(|f| &f.message_type).all(|m| m.enum_type.is_empty() && flat(m)),
        "enums and messages are not nested, so that none escapes this test"
    );
    let zero_is_unspecified = |e: &&EnumDescriptorProto| {
        e.value.iter().filter(|v| v.number() == 0).all(|v| v.name().ends_with("_UNSPECIFIED"))
            && e.value.iter().any(|v| v.number() == 0)
    };
    all.into_iter().filter(|e| !zero_is_unspecified(e)).map(|e| e.name().to_owned()).collect()
}

/// But for the entries of maps.
fn flat(message: &DescriptorProto) -> bool {
    message.nested_type.iter().all(|nested| nested.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry))
}

fn mutating_without(files: &[FileDescriptorProto]) -> Vec<String> {
    methods(files)
        .filter(|method| is_mutating(method))
        .filter(|method| {
            !has(files, method.input_type(), "request_id", Type::String)
                || !has_itself(files, method.output_type(), "sequence", Type::String)
        })
        .map(|method| method.name().to_owned())
        .collect()
}

fn lists_without(files: &[FileDescriptorProto]) -> Vec<String> {
    methods(files)
        .filter(|method| method.name().starts_with("List"))
        .filter(|method| {
            let (asked, told) = (method.input_type(), method.output_type());
            !(has_itself(files, asked, "page_size", Type::Int32)
                && has_itself(files, asked, "page_token", Type::String)
                && has_itself(files, asked, "min_sequence", Type::String)
                && has_itself(files, told, "next_page_token", Type::String)
                && has_itself(files, told, "sequence", Type::String))
        })
        .map(|method| method.name().to_owned())
        .collect()
}

fn watches_without(files: &[FileDescriptorProto]) -> Vec<String> {
    methods(files)
        .filter(|method| method.name().starts_with("Watch"))
        .filter(|method| {
            !(method.server_streaming()
                && has_itself(files, method.input_type(), "after_sequence", Type::String)
                && has_itself(files, method.output_type(), "sequence", Type::String))
        })
        .map(|method| method.name().to_owned())
        .collect()
}

/// known failure A1.
#[test]
fn a_request_has_no_field_for_a_decision() {
    let files = api();
    assert!(message(&files, ".countersign.v1.RequestElevationRequest").is_some());
    assert_eq!(decision_fields(&files, ".countersign.v1.RequestElevationRequest"), [""; 0]);
    assert!(message(&files, ".countersign.v1.RequestEnrolmentRequest").is_some());
    assert_eq!(decision_fields(&files, ".countersign.v1.RequestEnrolmentRequest"), [""; 0]);
}

/// Whoever changes a person's standing can look first: every such call has a dry run. Of elevations and
/// grants the request alone has one.
#[test]
fn what_changes_the_life_of_an_account_can_be_tried_first() {
    let files = api();
    let by_itself = [
        "ApproveElevation",
        "CompleteFollowUp",
        "DeleteLock",
        "DenyElevation",
        "IssueGrantToken",
        "RelinquishGrant",
        "RevokeGrant",
        "WithdrawElevation",
    ];
    let without = methods(&files).filter(|method| is_mutating(method) && !by_itself.contains(&method.name()));
    let without = without.filter(|method| !has(&files, method.input_type(), "validate_only", Type::Bool));
    assert_eq!(without.map(MethodDescriptorProto::name).collect::<Vec<_>>(), [""; 0]);
}

/// known failure A1: what a naive client or an attacker adds, under any number, does not arrive.
#[test]
fn fields_that_the_request_does_not_have_are_dropped() {
    let request = v1::RequestElevationRequest { entitlement: "orders-db-repair".into(), ..Default::default() };
    let known: BTreeSet<i32> =
        fields(&api(), ".countersign.v1.RequestElevationRequest").iter().map(|field| field.number()).collect();
    for number in (1_u32..64).filter(|n| !known.contains(&i32::try_from(*n).unwrap())) {
        let mut bytes = request.encode_to_vec();
        prost::encoding::encode_key(number, prost::encoding::WireType::Varint, &mut bytes);
        prost::encoding::encode_varint(2, &mut bytes);
        prost::encoding::string::encode(number, &"APPROVED".to_owned(), &mut bytes);
        assert_eq!(v1::RequestElevationRequest::decode(bytes.as_slice()).unwrap(), request, "field {number}");
    }
}

/// known failure D12.
#[test]
fn zero_means_nothing_in_every_enum() {
    let files = api();
    assert!(files.iter().map(|file| file.enum_type.len()).sum::<usize>() > 5);
    assert_eq!(enums_with_a_meaning_of_zero(&files), [""; 0]);
}

/// known failure D12: a message of all defaults allows nothing.
#[test]
fn an_empty_answer_is_no_allow() {
    let answer = v1::CheckAccessResponse::decode(&[][..]).unwrap();
    assert_eq!(answer.verdict(), v1::Verdict::Unspecified);
    assert_eq!(answer.reason(), v1::CheckReason::Unspecified);
    // A value that this build does not know is none that allows.
    let unknown = v1::CheckAccessResponse { verdict: 99, ..Default::default() };
    assert_eq!(unknown.verdict(), v1::Verdict::Unspecified);
}

#[test]
fn what_changes_something_takes_a_request_id_and_tells_its_sequence() {
    let files = api();
    let mutating: BTreeSet<&str> =
        methods(&files).filter(|m| is_mutating(m)).map(MethodDescriptorProto::name).collect();
    let expected = [
        "ApplyHrEvents",
        "ApproveElevation",
        "ApproveEnrolment",
        "ApproveProposal",
        "CloseAccount",
        "CompleteFollowUp",
        "ConfirmMembership",
        "CorrectAttestation",
        "CreateLock",
        "DeleteLock",
        "DenyElevation",
        "DenyEnrolment",
        "DenyProposal",
        "EndMembership",
        "ImportPeople",
        "IssueGrantToken",
        "ProposeDirectory",
        "ProposePolicy",
        "RecordAttestation",
        "ReleaseBrake",
        "RelinquishGrant",
        "RequestElevation",
        "RequestEnrolment",
        "RetireStream",
        "RevokeGrant",
        "StartRecertification",
        "WithdrawElevation",
        "WithdrawEnrolment",
        "WithdrawProposal",
    ];
    assert_eq!(mutating, BTreeSet::from(expected));
    assert_eq!(mutating_without(&files), [""; 0]);
}

#[test]
fn lists_are_paged_and_say_their_sequence() {
    assert_eq!(lists_without(&api()), [""; 0]);
}

#[test]
fn watches_resume_after_a_sequence() {
    assert_eq!(watches_without(&api()), [""; 0]);
}

/// design.md 9: no caller of a check supplies a time.
#[test]
fn a_check_takes_no_time() {
    let files = api();
    for name in ["CheckAccessRequest", "BatchCheckAccessRequest", "ExplainCheckRequest"] {
        let named = format!(".{PACKAGE}.{name}");
        assert!(!fields(&files, &named).is_empty(), "{name}");
        let mut types = fields(&files, &named).into_iter().map(|f| f.type_name().to_owned());
        assert!(types.all(|t| !t.starts_with(".google.protobuf.")), "{name}");
        assert!(fields(&files, &named).iter().all(|f| f.r#type() == Type::String || f.r#type() == Type::Message));
    }
}

/// The rules above find what they are there to find.
#[test]
fn a_bad_file_is_found() {
    let files = protos_gone_wrong();
    assert_eq!(decision_fields(&files, ".countersign.v1.RequestElevationRequest"), ["approver_ids"]);
    assert_eq!(enums_with_a_meaning_of_zero(&files), ["Verdict"]);
    assert_eq!(mutating_without(&files), ["RequestElevation"]);
    assert_eq!(lists_without(&files), ["ListElevations"]);
    assert_eq!(watches_without(&files), ["WatchElevations"]);
}

fn protos_gone_wrong() -> Vec<FileDescriptorProto> {
    let mut files = api();
    for file in &mut files {
        for message in &mut file.message_type {
            match message.name() {
                // Hidden a level down.
                "RequestElevationRequest" => {
                    message.field.retain(|field| field.name() != "request_id");
                    message.field.push(field("extras", Type::Message, ".countersign.v1.WhoAmIRequest"));
                }
                "WhoAmIRequest" => message.field.push(field("approver_ids", Type::String, "")),
                "ListElevationsRequest" => message.field.retain(|field| field.name() != "page_token"),
                "WatchElevationsRequest" => message.field.retain(|field| field.name() != "after_sequence"),
                _ => {}
            }
        }
        for verdict in file.enum_type.iter_mut().filter(|e| e.name() == "Verdict") {
            verdict.value[0].name = Some("VERDICT_ALLOW".into());
        }
    }
    files
}

fn field(name: &str, kind: Type, type_name: &str) -> FieldDescriptorProto {
    let mut field = FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(99),
        type_name: Some(type_name.into()),
        ..Default::default()
    };
    field.set_type(kind);
    field
}
