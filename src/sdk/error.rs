//! What goes wrong between a program and a broker, as values: the reason of the catalogue where the broker gave one.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::domain::value::refusal::{CATALOGUE, Reason};
#[cfg(feature = "client")]
use crate::wire::v1;

/// The `ErrorInfo.domain` of every error of a broker.
const ERROR_DOMAIN: &str = "countersign";

/// No pause is longer, whatever a broker asks for.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why a call has no answer. For whoever guards something each of them is a deny.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The broker said no, and why.
    #[error("{}", .0.text)]
    Refused(Box<RefusedCall>),
    /// No broker answered.
    #[error("no broker answers at `{address}`: {cause}; check the address, and that it runs")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What failed.
        cause: String,
    },
    /// One side does not accept the other's certificate.
    #[error(
        "`{address}` and this client do not trust each other: {cause}; check the authority's file and the client certificate"
    )]
    NotAuthenticated {
        /// Which broker.
        address: String,
        /// What TLS said.
        cause: String,
    },
    /// No answer within the time for a call. Whether a command took effect is not known: send it again with the same
    /// `request_id`.
    #[error("no answer from `{address}` within {}; send the same request_id again", humane(*.after))]
    TimedOut {
        /// Which broker.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// What came back is not an answer to what was asked.
    #[error("`{address}` did not answer what was asked: {what}; take it as a deny, and have the broker looked at")]
    Confused {
        /// Which broker.
        address: String,
        /// How that shows.
        what: String,
    },
    /// The client cannot be built from what it was given.
    #[error("{0}")]
    Configuration(String),
}

/// A refusal, as the broker sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedCall {
    /// The reason, if this version knows it.
    pub reason: Option<Reason>,
    /// The reason as it was sent; empty if none was.
    pub reason_name: String,
    /// The gRPC code.
    pub code: Code,
    /// What, and what to do next, for a person.
    pub text: String,
    /// The variables of the text.
    pub metadata: BTreeMap<String, String>,
    /// The fields of the message that are malformed.
    pub fields: Vec<FieldMistake>,
    /// After how long a retry may help, if the broker said.
    pub retry_after: Option<Duration>,
}

/// A field of a message that the broker could not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMistake {
    /// Its path: `actions[0]`.
    pub field: String,
    /// What is wrong with it.
    pub text: String,
}

impl ClientError {
    /// The reason of the catalogue, if the broker gave one that this version knows.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refused) => refused.reason,
            _ => None,
        }
    }

    /// The exit code that the command line ends with: that of the catalogue, or the code's own.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(refused) => match refused.reason {
                Some(reason) => reason.entry().exit,
                None => exit_of(refused.code),
            },
            Self::Unreachable { .. } | Self::TimedOut { .. } => 8,
            Self::NotAuthenticated { .. } => 7,
            Self::Configuration(_) => 2,
            Self::Confused { .. } => 1,
        }
    }

    /// Whether the same call, with the same `request_id`, may fare better in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused(refused) => match refused.reason {
                // It ends when clocks agree or an operator acts: not within the patience of a call.
                Some(Reason::ClockSuspect) => false,
                Some(Reason::Overloaded) => true,
                _ => refused.code == Code::Unavailable,
            },
            Self::Unreachable { .. } => true,
            _ => false,
        }
    }

    /// Whether whoever follows the broker connects and reads again. A call that timed out counts: a broker that was frozen is
    /// lost like one that went away, and reading again changes nothing.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.is_transient() || matches!(self, Self::TimedOut { .. })
    }

    /// The pause that the broker asked for, within reason.
    pub(super) fn asked_pause(&self) -> Duration {
        match self {
            Self::Refused(refused) => refused.retry_after.unwrap_or_default().min(LONGEST_PAUSE),
            _ => Duration::ZERO,
        }
    }

    /// What stands in the way of any call, if this does.
    #[cfg(feature = "client")]
    pub(super) fn from_obstacle(obstacle: v1::Obstacle) -> Option<Self> {
        let v1::Obstacle { reason: name, text, remedy, metadata } = obstacle;
        let reason = CATALOGUE.iter().find(|entry| entry.name == name).map(|entry| entry.reason)?;
        let stops_all = matches!(reason, Reason::NoAccount | Reason::AccountDisabled | Reason::Locked);
        stops_all.then(|| {
            Self::Refused(Box::new(RefusedCall {
                reason: Some(reason),
                reason_name: name,
                code: Code::PermissionDenied,
                text: format!("{text}; {remedy}"),
                metadata: metadata.into_iter().collect(),
                fields: Vec::new(),
                retry_after: None,
            }))
        })
    }

    /// Whether another certificate may fare better: this one is not accepted, or has ended.
    #[must_use]
    pub fn is_about_certificate(&self) -> bool {
        matches!(self, Self::NotAuthenticated { .. }) || self.reason() == Some(Reason::CertificateExpired)
    }

    /// What a status means that came, or was made, for a call to `address`.
    pub(super) fn from_status(status: &Status, address: &str, call_timeout: Duration) -> Self {
        let details = status.get_error_details();
        if let Some(info) = details.error_info().filter(|info| info.domain == ERROR_DOMAIN) {
            let entry = CATALOGUE.iter().find(|entry| entry.name == info.reason);
            let fields = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
            return Self::Refused(Box::new(RefusedCall {
                reason: entry.map(|entry| entry.reason),
                reason_name: info.reason.clone(),
                code: status.code(),
                text: status.message().to_owned(),
                metadata: info.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
                fields: fields
                    .iter()
                    .map(|field| FieldMistake { field: field.field.clone(), text: field.description.clone() })
                    .collect(),
                retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
            }));
        }
        // A deadline is reported by the client's own timer or by the broker's.
        let timed_out = matches!(status.code(), Code::DeadlineExceeded)
            || (status.code() == Code::Cancelled && status.message().contains("Timeout expired"));
        if timed_out {
            return Self::TimedOut { address: address.to_owned(), after: call_timeout };
        }
        if let Some(source) = status.source() {
            return Self::from_transport(source, address);
        }
        if status.code() == Code::Unavailable {
            return Self::Unreachable { address: address.to_owned(), cause: status.message().to_owned() };
        }
        Self::Refused(Box::new(RefusedCall {
            reason: None,
            reason_name: String::new(),
            code: status.code(),
            text: format!("the broker answered `{}`: {}", status.code().description(), status.message()),
            metadata: BTreeMap::new(),
            fields: Vec::new(),
            retry_after: None,
        }))
    }

    /// What a failure below gRPC means.
    pub(super) fn from_transport(error: &(dyn std::error::Error + 'static), address: &str) -> Self {
        // The outer ones say `transport error`; the innermost says what happened.
        let inner = innermost(error);
        let address = address.to_owned();
        let text = inner.to_string();
        match tls_error(inner).and_then(in_words) {
            Some(cause) => Self::NotAuthenticated { address, cause },
            // HTTP/2 hands on what TLS said to it as a text alone.
            None if text.contains("received fatal alert") => {
                let cause = format!("the broker refuses the client certificate; its log says why ({text})");
                Self::NotAuthenticated { address, cause }
            }
            None => Self::Unreachable { address, cause: text },
        }
    }
}

/// What TLS says, within an error of a connection.
fn tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let within = |error: &'e std::io::Error| error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    error.downcast_ref().or_else(|| error.downcast_ref::<std::io::Error>().and_then(within))
}

/// What TLS says of either side's certificate, for a person: what, and which side has to act. None for anything else.
pub(super) fn in_words(error: &rustls::Error) -> Option<String> {
    use rustls::{AlertDescription as Alert, CertificateError as Verdict};
    #[allow(clippy::wildcard_enum_match_arm, reason = "the library may add alerts; each is passed on by its name")]
    let words = match error {
        rustls::Error::AlertReceived(alert) => match alert {
            Alert::CertificateExpired => "the broker says that the client certificate has ended, or not begun",
            Alert::UnknownCA => "the broker does not know the authority of the client certificate",
            Alert::CertificateRequired => "the broker wants a client certificate, and got none",
            Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate | Alert::AccessDenied => {
                "the broker refuses the client certificate; its log says why"
            }
            other => return Some(format!("the broker broke the handshake off with the alert {other:?}")),
        },
        rustls::Error::InvalidCertificate(verdict) => match verdict {
            Verdict::UnknownIssuer => "the broker's certificate is of an authority that is not in the authority's file",
            Verdict::Expired | Verdict::ExpiredContext { .. } => "the broker's certificate has ended",
            Verdict::NotValidYet | Verdict::NotValidYetContext { .. } => "the broker's certificate is not valid yet",
            Verdict::NotValidForName | Verdict::NotValidForNameContext { .. } => {
                "the broker's certificate is for another name than the address has"
            }
            other => return Some(format!("the broker's certificate cannot be verified ({other})")),
        },
        _ => return None,
    };
    Some(format!("{words} ({error})"))
}

/// The error that the others only wrap.
pub(super) fn innermost<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner
}

/// The exit code of an error without a reason, from something between us and the broker.
fn exit_of(code: Code) -> u8 {
    match code {
        Code::InvalidArgument => 2,
        Code::PermissionDenied => 3,
        Code::NotFound => 4,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => 5,
        Code::Unauthenticated => 7,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => 8,
        _ => 1,
    }
}

pub(super) fn humane(span: Duration) -> String {
    if span.subsec_millis() == 0 { format!("{} s", span.as_secs()) } else { format!("{} ms", span.as_millis()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    const CALL: Duration = Duration::from_secs(10);

    fn decoded(status: &Status) -> ClientError {
        ClientError::from_status(status, "https://localhost:1", CALL)
    }

    #[test]
    fn every_reason_of_the_catalogue_comes_back_with_its_exit_code() {
        for entry in CATALOGUE {
            // given a status as a broker sends it
            let details = ErrorDetails::with_error_info(entry.name, ERROR_DOMAIN, [("id".to_owned(), "7".to_owned())]);
            let status = Status::with_error_details(Code::Internal, entry.text, details);
            // when / then
            let error = decoded(&status);
            assert_eq!((error.reason(), error.exit_code()), (Some(entry.reason), entry.exit));
            assert_eq!(error.to_string(), entry.text);
            let ClientError::Refused(refused) = error else { panic!("{error:?}") };
            assert_eq!(refused.metadata["id"], "7");
        }
    }

    #[test]
    fn malformed_fields_and_the_time_to_retry_are_told() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("INVALID_MESSAGE", ERROR_DOMAIN, std::collections::HashMap::new())
            .add_bad_request_violation("actions[0]", "`*` is no action")
            .set_retry_info(Some(Duration::from_millis(250)));
        let status = Status::with_error_details(Code::InvalidArgument, "the message is malformed", details);
        let ClientError::Refused(refused) = decoded(&status) else { panic!("refused") };
        assert_eq!(refused.fields, [FieldMistake { field: "actions[0]".into(), text: "`*` is no action".into() }]);
        assert_eq!(refused.retry_after, Some(Duration::from_millis(250)));
    }

    #[test]
    fn another_domain_or_an_unknown_reason_is_no_reason_of_ours() {
        let foreign = ErrorDetails::with_error_info("SELF_APPROVAL", "proxy.example", [("a".into(), "b".into())]);
        let error = decoded(&Status::with_error_details(Code::PermissionDenied, "no", foreign));
        assert_eq!((error.reason(), error.exit_code()), (None, 3));
        let unknown = ErrorDetails::with_error_info("LATER_REASON", ERROR_DOMAIN, [("a".into(), "b".into())]);
        let error = decoded(&Status::with_error_details(Code::FailedPrecondition, "later", unknown));
        assert_eq!((error.reason(), error.exit_code()), (None, 5));
        let ClientError::Refused(refused) = error else { panic!("refused") };
        assert_eq!(refused.reason_name, "LATER_REASON");
    }

    #[test]
    fn only_what_a_moment_can_mend_is_sent_again() {
        let with = |name: &str, code| {
            let details = ErrorDetails::with_error_info(name, ERROR_DOMAIN, [("a".to_owned(), "b".to_owned())]);
            decoded(&Status::with_error_details(code, "text", details)).is_transient()
        };
        assert!(with("OVERLOADED", Code::ResourceExhausted));
        assert!(with("STORAGE_UNAVAILABLE", Code::Unavailable));
        assert!(!with("CLOCK_SUSPECT", Code::Unavailable));
        assert!(!with("TOO_MANY_PENDING", Code::ResourceExhausted));
        assert!(!with("SELF_APPROVAL", Code::PermissionDenied));
        assert!(decoded(&Status::unavailable("gone")).is_transient());
        assert!(!decoded(&Status::deadline_exceeded("late")).is_transient());
        assert_eq!(decoded(&Status::deadline_exceeded("late")).exit_code(), 8);
    }

    #[test]
    fn a_call_that_timed_out_is_a_lost_broker_for_whoever_follows() {
        assert!(decoded(&Status::deadline_exceeded("late")).is_lost());
        assert!(decoded(&Status::unavailable("gone")).is_lost());
        assert!(!decoded(&Status::permission_denied("no")).is_lost());
    }
}
