//! Names and ids. Each parses strictly and renders to the very bytes it was parsed from (invariant 14): nothing is
//! folded, trimmed or normalised, so two different texts can never mean one thing (known failures D1 and D2).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not a name, an id or an identity. The message says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct InvalidId {
    /// What was given, cut to 80 characters and without control characters.
    pub text: String,
    /// What is allowed there.
    pub wanted: &'static str,
}

impl InvalidId {
    pub(crate) fn new(text: &str, wanted: &'static str) -> Self {
        Self { text: excerpt(text), wanted }
    }
}

/// The first 80 characters of a text, fit to stand in an error: control characters are shown escaped (known failure H11).
#[must_use]
pub fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

/// `[a-z0-9][a-z0-9._-]{0,63}`: what files and requests call a person, an account, a role, an entitlement.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let Some(first) = bytes.next() else { return false };
    text.len() <= 64
        && (first.is_ascii_lowercase() || first.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $valid:path, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text, byte for byte as it was parsed.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether the text would parse; builds nothing.
            #[must_use]
            pub fn accepts(text: &str) -> bool {
                $valid(text)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if $valid(text) { Ok(Self(text.into())) } else { Err(InvalidId::new(text, $wanted)) }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use text_type;

text_type! {
    /// A person: the immutable id that HR gives. Never an address, never reused (known failure B5).
    PersonId, is_name, "a person's id: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit"
}
text_type! {
    /// An account: an identity's place in the broker.
    AccountId, is_name, "an account's id: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit"
}
text_type! {
    /// A role of the policy.
    RoleName, is_name, "a role's name: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit"
}
text_type! {
    /// A requirement of the policy.
    RequirementName, is_name, "a requirement's name: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit"
}
text_type! {
    /// An entitlement of the policy.
    EntitlementName, is_name, "an entitlement's name: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit"
}
text_type! {
    /// A stream of the HR feed: numbered by its sender, owned by the account that first sent it.
    StreamName, is_name, "a stream's name: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit"
}
text_type! {
    /// A tenant.
    TenantName, is_name, "a tenant's name: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit"
}
text_type! {
    /// A SPIFFE ID, compared whole: `spiffe://<trust domain>/<path>`, at most 2,048 bytes (SPIFFE-ID 2.1 to 2.3).
    Identity, is_spiffe_id, "a SPIFFE ID: `spiffe://trust-domain/path`, path segments of `A-Z a-z 0-9 . _ -`"
}
text_type! {
    /// A SPIFFE trust domain: `[a-z0-9._-]{1,255}`.
    TrustDomain, is_trust_domain, "a trust domain: 1 to 255 of `a-z 0-9 . _ -`"
}

pub(super) fn is_trust_domain(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_spiffe_id(text: &str) -> bool {
    let Some((domain, path)) = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    text.len() <= 2048 && is_trust_domain(domain) && path.split('/').all(is_identity_segment)
}

pub(super) fn is_identity_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl Identity {
    /// The trust domain that this identity belongs to.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        let rest = self.0.strip_prefix("spiffe://").unwrap_or_default();
        rest.split_once('/').map_or(rest, |(domain, _)| domain)
    }
}

macro_rules! uuid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The UUID itself.
            #[must_use]
            pub fn uuid(&self) -> Uuid {
                self.0
            }
        }
        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            /// Lower-case, hyphenated form alone: one value has one spelling.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let wanted = "a UUID in lower-case hyphenated form";
                let uuid = Uuid::try_parse(text).map_err(|_| InvalidId::new(text, wanted))?;
                if uuid.as_hyphenated().to_string() == text {
                    Ok(Self(uuid))
                } else {
                    Err(InvalidId::new(text, wanted))
                }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.as_hyphenated())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.as_hyphenated())
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_type! {
    /// An elevation's id: a UUIDv7 made by the broker. Knowing it gives no access.
    ElevationId
}
uuid_type! {
    /// A grant's id: a UUIDv7 made by the broker. Knowing it gives no access.
    GrantId
}
uuid_type! {
    /// An enrolment's id: a UUIDv7 made by the broker. Knowing it gives no access.
    EnrolmentId
}
uuid_type! {
    /// The id of a campaign of recertification: a UUIDv7 made by the broker.
    CampaignId
}
uuid_type! {
    /// The id of what the HR brake holds: a UUIDv7 made by the broker.
    HoldId
}
uuid_type! {
    /// A grant token's id (`jti`): a UUIDv7 made by the broker. Knowing it gives no access.
    TokenId
}
uuid_type! {
    /// A lock's id: a UUIDv7 made by the broker. Knowing it gives no access.
    LockId
}
uuid_type! {
    /// The id of a proposal of another policy or directory: a UUIDv7 made by the broker. Knowing it gives no access.
    ProposalId
}
uuid_type! {
    /// A journal's random name, made when it is created, and anew when a loss is accepted. The first one is hashed into
    /// the chain, so rows of one journal never verify in another.
    JournalId
}
uuid_type! {
    /// A caller's own id of one call (a UUID of any version), for idempotency.
    RequestId
}

/// SHA-256 of some text; 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes the bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new(text, "a SHA-256 digest: 64 lower-case hexadecimal digits");
        let nibble = |b: u8| match b {
            b'0'..=b'9' => Some(b.wrapping_sub(b'0')),
            b'a'..=b'f' => Some(b.wrapping_sub(b'a').wrapping_add(10)),
            _ => None,
        };
        let mut bytes = [0_u8; 32];
        if text.len() != 64 {
            return Err(invalid());
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return Err(invalid()) };
            *byte = (nibble(*high).ok_or_else(invalid)? << 4) | nibble(*low).ok_or_else(invalid)?;
        }
        Ok(Self(bytes))
    }
}
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whoever calls, as separation of duties and idempotency know them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Principal {
    /// An account.
    Account(AccountId),
    /// A person who has no account yet (`login`).
    Person(PersonId),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Person(id) => write!(f, "person:{id}"),
        }
    }
}

#[cfg(test)]
#[path = "ids_tests.rs"]
mod tests;
