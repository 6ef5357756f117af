//! The grant token: a JWT (RFC 7519) whose every claim is there and of its exact type, or it is no token (known
//! failures E2 and E3). Signer and verifier share this one form.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(feature = "core")]
use crate::domain::record::event::{Event, GrantTokenIssued};
use crate::domain::value::ids::{AccountId, Digest, GrantId, TokenId};
use crate::domain::value::scope::{Action, Pattern, Scope};
use crate::domain::value::time::Timestamp;

/// `typ` of the header: no other kind of JWT is taken for a token (RFC 8725 3.11).
pub const TOKEN_TYPE: &str = "countersign-grant+jwt";
/// `iss`.
pub const ISSUER: &str = "countersign";
/// `type` of the one element of `authorization_details`.
pub const DETAIL_TYPE: &str = "countersign";

/// The claims. None is optional, and there are no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Always [`ISSUER`].
    pub iss: String,
    /// The enforcement point's account: one text, never a list.
    pub aud: AccountId,
    /// The holder's account.
    pub sub: AccountId,
    /// When it was issued.
    pub iat: Seconds,
    /// From when on it is over.
    pub exp: Seconds,
    /// Its id.
    pub jti: TokenId,
    /// The grant that it is a copy of.
    pub grant_id: GrantId,
    /// The certificate that it is good with (RFC 8705).
    pub cnf: Confirmation,
    /// What it allows (RFC 9396): one element.
    pub authorization_details: [Detail; 1],
    /// The sequence of the event that it was issued by: digits; of a customer's empty.
    pub sequence: String,
}

/// `cnf`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// SHA-256 of the certificate in DER.
    #[serde(rename = "x5t#S256")]
    pub thumbprint: Thumbprint,
}

/// An element of `authorization_details`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// Always [`DETAIL_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// At least one.
    pub actions: BTreeSet<Action>,
    /// At least one.
    pub resources: BTreeSet<Pattern>,
}

/// An instant as a JWT says it: whole seconds, an integer and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Timestamp);

/// A digest in base64url without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thumbprint(pub Digest);

impl Claims {
    /// What a recorded token says.
    #[cfg(feature = "core")]
    #[must_use]
    pub fn of(event: &Event, issued: &GrantTokenIssued) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            aud: issued.audience.clone(),
            sub: issued.holder.clone(),
            iat: Seconds(event.at),
            exp: Seconds(issued.expires),
            jti: issued.token,
            grant_id: issued.grant,
            cnf: Confirmation { thumbprint: Thumbprint(issued.certificate) },
            authorization_details: [Detail {
                kind: DETAIL_TYPE.to_owned(),
                actions: issued.scope.actions().clone(),
                resources: issued.scope.resources().clone(),
            }],
            sequence: event.sequence.to_string(),
        }
    }

    /// What it allows; none if that is nothing, or not said in the one way.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        let [detail] = &self.authorization_details;
        (detail.kind == DETAIL_TYPE).then(|| Scope::new(detail.actions.clone(), detail.resources.clone())).flatten()
    }
}

impl Seconds {
    /// Rounded down to whole seconds.
    #[must_use]
    pub fn whole(self) -> i64 {
        self.0.millis().div_euclid(1_000)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.whole())
    }
}
impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = i64::deserialize(deserializer)?;
        let millis = seconds.checked_mul(1_000).ok_or_else(|| D::Error::custom("out of range"))?;
        Timestamp::from_millis(millis).map(Self).map_err(D::Error::custom)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.bytes()))
    }
}
impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(D::Error::custom)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| D::Error::custom("not 32 bytes"))?;
        Ok(Self(bytes.into()))
    }
}

/// A set of public keys (RFC 7517), as the broker publishes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeySet {
    /// The keys.
    pub keys: Vec<PublicKey>,
}

/// An Ed25519 key (RFC 8037), and for tokens of which period it counts (known failure E7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// `EdDSA`.
    pub alg: String,
    /// `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Its name.
    pub kid: String,
    /// The key: 32 bytes, base64url.
    pub x: String,
    /// It signs from here on.
    pub nbf: Seconds,
    /// Every token that it signed is over by here.
    pub exp: Seconds,
}
