//! What is recorded of who called, beside the account: by which certificate, and from where. An identity can mean somebody else
//! tomorrow; what was presented stays what it was (known failure B10).

use serde::{Deserialize, Serialize};

use crate::domain::value::ids::{Digest, Identity};

/// What a caller presented, as the connection had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalledFrom {
    /// The certificate's one SPIFFE ID.
    pub identity: Identity,
    /// SHA-256 of the certificate in DER.
    pub certificate: Digest,
    /// The serial number that its authority gave it: at most 40 lower-case hexadecimal digits.
    pub serial: String,
    /// The address and port at the other end of the connection. It proves nothing.
    pub address: String,
}

/// The call by which something was asked for or decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// From where; none where a request is only thought through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<CalledFrom>,
    /// The journal's sequence right before it: identities that changed hands in a later event did so since.
    pub after: u64,
}

impl Call {
    /// One that nobody made: of a request that is only thought through.
    #[must_use]
    pub fn thought_through(after: u64) -> Self {
        Self { from: None, after }
    }

    /// The identity that was presented.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.from.as_ref().map(|from| &from.identity)
    }
}
