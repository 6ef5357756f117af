//! Messages as JSON, from the API's own descriptors: fields by the names of the protos, bytes in hexadecimal (as `--digest`
//! takes them), times in RFC 3339, enum values without the prefix that protobuf needs.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value as Field,
};
use serde_json::{Map, Value};

use crate::domain::record::review::escaped;
use crate::domain::value::time::Timestamp;
use crate::wire::{DESCRIPTOR_SET, v1};

/// A message that is shown as JSON.
pub trait Named: Message {
    /// Its full name.
    const NAME: &'static str;
}

macro_rules! named {
    ($($message:ident)*) => {
        $(impl Named for v1::$message {
            const NAME: &'static str = concat!("countersign.v1.", stringify!($message));
        })*
        #[cfg(test)]
        const NAMES: &[&str] = &[$(concat!("countersign.v1.", stringify!($message))),*];
    };
}

named! {
    Access Account ApplyHrEventsResponse ApproveElevationResponse ApproveEnrolmentResponse ApproveProposalResponse
    CheckAccessResponse
    CloseAccountResponse ConfirmMembershipResponse CorrectAttestationResponse CreateLockResponse
    DeleteLockResponse DenyEnrolmentResponse DenyProposalResponse Elevation ElevationEvent
    EndMembershipResponse Enrolment EntitlementOffer Event ExplainCheckResponse ExplainElevationResponse FeedHold
    GetElevationResponse GetEnrolmentResponse GetFeedStatusResponse GetProposalResponse Grant GrantEvent ImportPeopleResponse IssueGrantTokenResponse
    Proposal ProposeDirectoryResponse ProposePolicyResponse Lock Person Policy Recertification RecordAttestationResponse
    ReleaseBrakeResponse ReportStandingResponse RequestElevationResponse RequestEnrolmentResponse RetireStreamResponse
    StartRecertificationResponse WhoAmIResponse WithdrawEnrolmentResponse WithdrawProposalResponse
}

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).ok());

/// A message as a JSON object.
#[must_use]
pub fn of<M: Named>(message: &M) -> Value {
    let descriptor = POOL.as_ref().and_then(|pool| pool.get_message_by_name(M::NAME));
    let dynamic =
        descriptor.and_then(|descriptor| DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok());
    dynamic.map_or(Value::Null, |dynamic| object(&dynamic))
}

/// Messages as a JSON array.
#[must_use]
pub fn list<M: Named>(messages: &[M]) -> Value {
    messages.iter().map(of).collect()
}

/// Several lines, for people and programs.
#[must_use]
pub fn pretty(value: &Value) -> String {
    escaped(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// One line.
#[must_use]
pub fn line(value: &Value) -> String {
    escaped(&value.to_string())
}

fn object(message: &DynamicMessage) -> Value {
    match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => timestamp(message),
        "google.protobuf.Duration" => duration(message),
        _ => Value::Object(message.descriptor().fields().map(|field| member(message, &field)).collect::<Map<_, _>>()),
    }
}

fn member(message: &DynamicMessage, field: &FieldDescriptor) -> (String, Value) {
    let name = field.name();
    if field.supports_presence() && !message.has_field(field) {
        return (name.to_owned(), Value::Null);
    }
    let value = json(&message.get_field(field), &field.kind());
    // JSON within JSON: as what it is, not as a string of it.
    let inner = name.strip_suffix("_json").filter(|_| field.kind() == Kind::String);
    match (inner, &value) {
        (Some(name), Value::String(text)) => (name.to_owned(), serde_json::from_str(text).unwrap_or(value)),
        _ => (name.to_owned(), value),
    }
}

fn json(field: &Field, kind: &Kind) -> Value {
    match field {
        Field::Bool(value) => (*value).into(),
        Field::I32(value) => (*value).into(),
        Field::I64(value) => (*value).into(),
        Field::U32(value) => (*value).into(),
        Field::U64(value) => (*value).into(),
        Field::F32(value) => (*value).into(),
        Field::F64(value) => (*value).into(),
        Field::String(value) => value.clone().into(),
        Field::Bytes(bytes) => hexadecimal(bytes).into(),
        Field::EnumNumber(number) => enum_name(*number, kind),
        Field::Message(message) => object(message),
        Field::List(items) => items.iter().map(|item| json(item, kind)).collect(),
        Field::Map(entries) => {
            let value_kind = match kind {
                Kind::Message(entry) => entry.map_entry_value_field().kind(),
                other => other.clone(),
            };
            entries.iter().map(|(key, value)| (key_text(key), json(value, &value_kind))).collect()
        }
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        MapKey::Bool(value) => value.to_string(),
        MapKey::I32(value) => value.to_string(),
        MapKey::I64(value) => value.to_string(),
        MapKey::U32(value) => value.to_string(),
        MapKey::U64(value) => value.to_string(),
    }
}

/// `PENDING` of `ELEVATION_STATE_PENDING`; an unknown value stays the number that it is.
fn enum_name(number: i32, kind: &Kind) -> Value {
    let Kind::Enum(descriptor) = kind else { return number.into() };
    let Some(value) = descriptor.get_value(number) else { return number.into() };
    let zero = descriptor.get_value(0).map(|zero| zero.name().to_owned()).unwrap_or_default();
    let prefix = zero.strip_suffix("UNSPECIFIED").unwrap_or_default();
    value.name().strip_prefix(prefix).unwrap_or(value.name()).into()
}

fn parts(message: &DynamicMessage) -> Option<(i64, i32)> {
    let seconds = message.get_field_by_name("seconds")?.as_i64()?;
    let nanos = message.get_field_by_name("nanos")?.as_i32()?;
    Some((seconds, nanos))
}

fn timestamp(message: &DynamicMessage) -> Value {
    let text = parts(message).and_then(|(seconds, nanos)| {
        super::text::instant(&prost_types::Timestamp { seconds, nanos }).as_ref().map(Timestamp::to_string)
    });
    text.map_or(Value::Null, Value::String)
}

/// As protobuf's own JSON: seconds and an `s`.
fn duration(message: &DynamicMessage) -> Value {
    let text = parts(message).map(|(seconds, nanos)| match nanos.checked_div(1_000_000) {
        None | Some(0) => format!("{seconds}s"),
        Some(millis) => format!("{seconds}.{millis:03}s"),
    });
    text.map_or(Value::Null, Value::String)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_that_is_shown_is_in_the_descriptors() {
        let pool = POOL.as_ref().unwrap();
        for name in NAMES {
            assert!(pool.get_message_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_message_has_all_its_fields_under_the_names_of_the_protos() {
        // given a message with a time, a duration, bytes, an enum value, a list and an absent message
        let elevation = v1::Elevation {
            id: "0193".into(),
            terms_digest: vec![0, 255],
            actions: vec!["db.read".into()],
            duration: Some(prost_types::Duration { seconds: 900, nanos: 0 }),
            create_time: Some(prost_types::Timestamp { seconds: 1, nanos: 5_000_000 }),
            justification: "a\u{202e}b\u{1b}[31m".into(),
            state: v1::ElevationState::Pending.into(),
            ..Default::default()
        };
        // when / then
        let value = of(&elevation);
        assert_eq!(value["terms_digest"], "00ff");
        assert_eq!(value["duration"], "900s");
        assert_eq!(value["create_time"], "1970-01-01T00:00:01.005Z");
        assert_eq!(value["state"], "PENDING");
        assert_eq!(value["actions"][0], "db.read");
        assert_eq!(
            (&value["closing"], &value["start_time"], &value["ticket"]),
            (&Value::Null, &Value::Null, &"".into())
        );
        // and the JSON, read back, is the value, though nothing in its text deceives
        let text = pretty(&value);
        assert!(!text.chars().any(|c| c != '\n' && crate::domain::value::deceptive::is_deceptive(c)));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn unknown_enum_values_stay_numbers_and_facts_are_json() {
        let elevation = v1::Elevation { state: 77, ..Default::default() };
        assert_eq!(of(&elevation)["state"], 77);
        let event = v1::Event { facts_json: r#"{"a":1}"#.into(), ..Default::default() };
        assert_eq!(of(&event)["facts"]["a"], 1);
    }

    #[test]
    fn an_empty_list_is_an_empty_array() {
        assert_eq!(line(&list::<v1::Grant>(&[])), "[]");
    }
}
