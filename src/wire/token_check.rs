//! Verifying a grant token, for whoever is handed one: the SDK, and the broker when Envoy passes one on.
//!
//! `jsonwebtoken` checks signature, algorithm and type; every claim is there and of its exact type, or it is no token
//! (known failures E1 to E3); times go through the one comparison that all ends go through, without leeway. No bad
//! token is an error to handle: each is a deny with its reason.

use std::collections::BTreeMap;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};

use super::grant_token::{Claims, ISSUER, KeySet, PublicKey, TOKEN_TYPE};
use crate::domain::value::ids::{AccountId, Digest};
use crate::domain::value::scope::{Action, Resource};
use crate::domain::value::time::{Span, Timestamp};
use crate::domain::value::token::{LONGEST_LIFETIME, TOKEN_MAX_BYTES};

/// The largest set of keys that is read.
const KEYS_MAX_BYTES: usize = 256 * 1024;

/// The broker's public keys.
#[derive(Clone, Default)]
pub struct TokenKeys(BTreeMap<String, Known>);

#[derive(Clone)]
struct Known {
    key: DecodingKey,
    from: Timestamp,
    until: Timestamp,
}

/// What a token is compared with: for whom it must be, at whose connection, for what and when.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The enforcement point's account.
    pub audience: &'a AccountId,
    /// The certificate of whoever presents it (DER).
    pub peer_leaf_der: &'a [u8],
    /// What is about to be done.
    pub action: &'a str,
    /// On what.
    pub resource: &'a str,
    /// The time of the one who verifies.
    pub now: Timestamp,
}

/// Why a token does not allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenDenied {
    /// It is larger than any token; it was not looked at.
    TooLarge,
    /// It is no JWT in the compact form, or its header says what no token's does.
    Malformed,
    /// Its type is another, or none.
    WrongType,
    /// Its algorithm is not EdDSA: another, `none`, or one that no header can say.
    WrongAlgorithm,
    /// It names no key, or one that is not known here: fetch the keys anew.
    UnknownKey,
    /// The key did not sign it.
    WrongSignature,
    /// A claim is missing, of another type or out of range, or there is one too many.
    WrongClaims,
    /// It is of another issuer.
    OtherIssuer,
    /// It is for another enforcement point.
    OtherAudience,
    /// It is over.
    Expired,
    /// It was issued in the future: this machine's clock is behind, or the token is made up.
    NotYet,
    /// It lasts longer than any token, or no time at all.
    TooLong,
    /// It was issued outside its key's time, or outlives it.
    KeyOver,
    /// The peer's certificate is not the one that it is good with.
    OtherCertificate,
    /// Its holder is no longer known by that certificate's identity.
    OtherHolder,
    /// What is asked is malformed, or outside what it allows.
    OutOfScope,
    /// The token allows it, but another check denies it, for this reason.
    NotNow(&'static str),
}

/// Keys that no token can be verified with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keys of tokens cannot be used: {0}; fetch them from the broker")]
pub struct UnusableKeys(String);

impl TokenKeys {
    /// Reads a JWK set as the broker publishes it. Keys of other kinds are left out.
    ///
    /// # Errors
    /// If it is no such set, or has no key of use.
    pub fn parse(jwks: &str) -> Result<Self, UnusableKeys> {
        if jwks.len() > KEYS_MAX_BYTES {
            return Err(unusable("they are larger than any"));
        }
        let set: serde_json::Value = serde_json::from_str(jwks).map_err(|error| unusable(&error.to_string()))?;
        let keys = set.get("keys").and_then(serde_json::Value::as_array).ok_or_else(|| unusable("no `keys`"))?;
        let readable = keys.iter().filter_map(|key| serde_json::from_value::<PublicKey>(key.clone()).ok());
        Self::of(KeySet { keys: readable.collect() })
    }

    /// The claims of a token that allows what it is presented for. Of a revocation in its lifetime they know nothing.
    ///
    /// # Errors
    /// The first reason that it does not.
    pub fn verified(&self, token: &str, presented: Presented<'_>) -> Result<Claims, TokenDenied> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenDenied::TooLarge);
        }
        let header = header(token)?;
        let known = header.kid.as_ref().and_then(|kid| self.0.get(kid)).ok_or(TokenDenied::UnknownKey)?;
        let claims = signed(token, known, presented.audience)?;
        in_time(&claims, known, presented.now)?;
        if presented.peer_leaf_der.is_empty() || claims.cnf.thumbprint.0 != Digest::of(presented.peer_leaf_der) {
            return Err(TokenDenied::OtherCertificate);
        }
        let asked = presented.action.parse::<Action>().ok().zip(presented.resource.parse::<Resource>().ok());
        let scope = claims.scope().ok_or(TokenDenied::WrongClaims)?;
        match asked {
            Some((action, resource)) if scope.covers(&action, &resource) => Ok(claims),
            _ => Err(TokenDenied::OutOfScope),
        }
    }

    /// The keys of a set. Those of other kinds are left out.
    ///
    /// # Errors
    /// If none is of use.
    pub fn of(set: KeySet) -> Result<Self, UnusableKeys> {
        let mut keys = BTreeMap::new();
        let ours = |key: &PublicKey| {
            (key.kty.as_str(), key.crv.as_str(), key.alg.as_str(), key.usage.as_str())
                == ("OKP", "Ed25519", "EdDSA", "sig")
        };
        for key in set.keys.into_iter().filter(ours) {
            let decoding = DecodingKey::from_ed_components(&key.x).map_err(|error| unusable(&error.to_string()))?;
            if decoding.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == 32) {
                keys.insert(key.kid, Known { key: decoding, from: key.nbf.0, until: key.exp.0 });
            }
        }
        if keys.is_empty() { Err(unusable("none of them is of use")) } else { Ok(Self(keys)) }
    }
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl TokenDenied {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "TOKEN_TOO_LARGE",
            Self::Malformed => "TOKEN_MALFORMED",
            Self::WrongType => "TOKEN_WRONG_TYPE",
            Self::WrongAlgorithm => "TOKEN_WRONG_ALGORITHM",
            Self::UnknownKey => "TOKEN_UNKNOWN_KEY",
            Self::WrongSignature => "TOKEN_WRONG_SIGNATURE",
            Self::WrongClaims => "TOKEN_WRONG_CLAIMS",
            Self::OtherIssuer => "TOKEN_OTHER_ISSUER",
            Self::OtherAudience => "TOKEN_OTHER_AUDIENCE",
            Self::Expired => "TOKEN_EXPIRED",
            Self::NotYet => "TOKEN_NOT_YET",
            Self::TooLong => "TOKEN_TOO_LONG",
            Self::KeyOver => "TOKEN_KEY_OVER",
            Self::OtherCertificate => "TOKEN_OTHER_CERTIFICATE",
            Self::OtherHolder => "TOKEN_OTHER_HOLDER",
            Self::OutOfScope => "TOKEN_OUT_OF_SCOPE",
            Self::NotNow(reason) => reason,
        }
    }
}

/// The header, if it says what a token's says and nothing that would have to be obeyed (RFC 8725 3.1, 3.10, 3.11).
fn header(token: &str) -> Result<Header, TokenDenied> {
    let header = decode_header(token).map_err(|error| {
        // An algorithm that `jsonwebtoken` does not know, `none` among them, does not parse.
        let unknown_algorithm = matches!(error.kind(), ErrorKind::Json(_));
        if unknown_algorithm { TokenDenied::WrongAlgorithm } else { TokenDenied::Malformed }
    })?;
    if header.alg != Algorithm::EdDSA {
        return Err(TokenDenied::WrongAlgorithm);
    }
    if header.typ.as_deref() != Some(TOKEN_TYPE) {
        return Err(TokenDenied::WrongType);
    }
    let mut plain = Header::new(Algorithm::EdDSA);
    plain.typ.clone_from(&header.typ);
    plain.kid.clone_from(&header.kid);
    if header == plain { Ok(header) } else { Err(TokenDenied::Malformed) }
}

/// What `jsonwebtoken` says about a token that it rejects.
#[allow(clippy::wildcard_enum_match_arm, reason = "the library may add kinds; each of them denies")]
fn denied(kind: &ErrorKind) -> TokenDenied {
    match kind {
        ErrorKind::InvalidSignature => TokenDenied::WrongSignature,
        ErrorKind::InvalidAlgorithm => TokenDenied::WrongAlgorithm,
        ErrorKind::InvalidAudience => TokenDenied::OtherAudience,
        ErrorKind::InvalidIssuer => TokenDenied::OtherIssuer,
        _ => TokenDenied::WrongClaims,
    }
}

fn signed(token: &str, known: &Known, audience: &AccountId) -> Result<Claims, TokenDenied> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    // Its times are compared here, by the one comparison and without its leeway of a minute.
    validation.validate_exp = false;
    validation.required_spec_claims = ["exp", "aud", "iss", "sub"].map(str::to_owned).into();
    validation.set_audience(&[audience.as_str()]);
    validation.set_issuer(&[ISSUER]);
    let claims = decode::<Claims>(token, &known.key, &validation).map_err(|error| denied(error.kind()))?;
    let claims = claims.claims;
    if claims.iss != ISSUER {
        Err(TokenDenied::OtherIssuer)
    } else if claims.aud != *audience {
        Err(TokenDenied::OtherAudience)
    } else {
        Ok(claims)
    }
}

fn in_time(claims: &Claims, known: &Known, now: Timestamp) -> Result<(), TokenDenied> {
    let (issued, ends) = (claims.iat.0, claims.exp.0);
    if ends.is_over(now) {
        Err(TokenDenied::Expired)
    } else if !issued.is_over(now) {
        Err(TokenDenied::NotYet)
    } else if ends.since(issued) > LONGEST_LIFETIME || ends.since(issued) == Span::ZERO {
        Err(TokenDenied::TooLong)
    } else if !known.from.is_over(issued) || known.until.is_over(issued) || ends > known.until {
        Err(TokenDenied::KeyOver)
    } else {
        Ok(())
    }
}

fn unusable(why: &str) -> UnusableKeys {
    UnusableKeys(why.to_owned())
}
