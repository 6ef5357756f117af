//! Grant tokens, for a service that cannot reach the broker when it must decide: verified with the broker's public keys
//! alone. The window is what it is: a token says what stood when it was signed, at most 60 s ago, and a revocation since
//! then does not show in it. With a replica at hand [`TokenVerifier::verify_by_replica`] sees it too.
//!
//! The library checks signature, algorithm and type; every claim is there and of its exact type or the token is none
//! (THREATS E1 to E3); times go through the one comparison that all ends go through, without leeway. No bad token is an
//! error to handle: each is a deny with its reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};

use super::client::Client;
use super::error::ClientError;
use super::replica::Replica;
use crate::check::Query;
use crate::domain::ids::{AccountId, Digest, GrantId};
use crate::domain::scope::{Action, Resource};
use crate::domain::time::{Span, Timestamp};
use crate::domain::token::{LONGEST_LIFETIME, TOKEN_MAX_BYTES};
use crate::wire::grant_token::{Claims, ISSUER, KeySet, PublicKey, TOKEN_TYPE};
use crate::wire::v1::GetSigningKeysRequest;

/// A set of keys is no larger.
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

/// Verifies the tokens for one enforcement point. Without an audience there is none.
#[derive(Debug)]
pub struct TokenVerifier {
    audience: AccountId,
    keys: ArcSwap<TokenKeys>,
}

/// What a token comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a verdict that is not looked at protects nothing"]
pub enum TokenVerdict {
    /// It may be done.
    Allow {
        /// By which grant.
        grant: GrantId,
        /// Whose: the holder's account.
        subject: AccountId,
        /// Before this instant alone: whoever goes on past it needs another token.
        valid_until: Timestamp,
        /// The sequence that it was issued at, as the API says it.
        sequence: String,
    },
    /// It may not.
    Deny {
        /// The first reason that holds.
        because: TokenDenied,
    },
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
    /// It was issued in a time to come: this machine's clock is behind, or the token is made up.
    NotYet,
    /// It lasts longer than any token.
    TooLong,
    /// The key does not stand for the time at which it was issued.
    KeyOver,
    /// The peer's certificate is not the one that it is good with.
    OtherCertificate,
    /// What is asked is malformed, or outside what it allows.
    OutOfScope,
    /// The token allows it, and what else was asked does not, by this reason.
    NotNow(&'static str),
}

impl TokenKeys {
    /// Reads a JWK set as the broker publishes it. Keys of other kinds are left out.
    ///
    /// # Errors
    /// If it is no such set, or has no key of use.
    pub fn parse(jwks: &str) -> Result<Self, ClientError> {
        if jwks.len() > KEYS_MAX_BYTES {
            return Err(unusable("they are larger than any"));
        }
        let set: serde_json::Value = serde_json::from_str(jwks).map_err(|error| unusable(&error.to_string()))?;
        let keys = set.get("keys").and_then(serde_json::Value::as_array).ok_or_else(|| unusable("no `keys`"))?;
        let readable = keys.iter().filter_map(|key| serde_json::from_value::<PublicKey>(key.clone()).ok());
        Self::of(KeySet { keys: readable.collect() })
    }

    fn of(set: KeySet) -> Result<Self, ClientError> {
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

impl Client {
    /// The keys that tokens are verified with now, the next one among them: fetch them each hour, and when a token names one
    /// that is not known.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or gives none.
    pub async fn token_keys(&self) -> Result<TokenKeys, ClientError> {
        TokenKeys::parse(&self.get_signing_keys(GetSigningKeysRequest {}).await?.jwks)
    }
}

impl TokenVerifier {
    /// A verifier for the enforcement point of this account.
    ///
    /// # Errors
    /// If that is no account's id.
    pub fn new(audience: &str, keys: TokenKeys) -> Result<Self, ClientError> {
        let audience = audience.parse().map_err(|error: crate::domain::ids::InvalidId| {
            ClientError::Configuration(format!("the audience of tokens: {error}"))
        })?;
        Ok(Self { audience, keys: ArcSwap::from_pointee(keys) })
    }

    /// From now on these keys alone count.
    pub fn replace_keys(&self, keys: TokenKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// Fetches the keys anew.
    ///
    /// # Errors
    /// As [`Client::token_keys`]; the keys are then as they were.
    pub async fn refresh(&self, client: &Client) -> Result<(), ClientError> {
        self.replace_keys(client.token_keys().await?);
        Ok(())
    }

    /// Whether the token lets its holder, who is at the other end with this certificate (DER), do `action` on `resource` at
    /// `now`. Of a revocation in the token's lifetime it knows nothing.
    pub fn verify(
        &self,
        token: &str,
        peer_leaf_der: &[u8],
        action: &str,
        resource: &str,
        now: Timestamp,
    ) -> TokenVerdict {
        match self.allowed(token, peer_leaf_der, (action, resource), now) {
            Ok(claims) => TokenVerdict::Allow {
                grant: claims.grant_id,
                subject: claims.sub,
                valid_until: claims.exp.0,
                sequence: claims.sequence,
            },
            Err(because) => TokenVerdict::Deny { because },
        }
    }

    /// The same, and then whatever else is to be asked about the holder: `also` gives the reason if it denies.
    pub fn verify_and(
        &self,
        token: &str,
        peer_leaf_der: &[u8],
        (action, resource): (&str, &str),
        now: Timestamp,
        also: impl FnOnce(Query<'_>) -> Result<(), &'static str>,
    ) -> TokenVerdict {
        let verdict = self.verify(token, peer_leaf_der, action, resource, now);
        let TokenVerdict::Allow { subject, .. } = &verdict else { return verdict };
        match also(Query { subject: subject.as_str(), action, resource }) {
            Ok(()) => verdict,
            Err(reason) => TokenVerdict::Deny { because: TokenDenied::NotNow(reason) },
        }
    }

    /// The same, and then the replica: so a revocation is seen as soon as the replica has it.
    pub fn verify_by_replica(
        &self,
        token: &str,
        peer_leaf_der: &[u8],
        asked: (&str, &str),
        now: Timestamp,
        replica: &Replica,
    ) -> TokenVerdict {
        self.verify_and(token, peer_leaf_der, asked, now, |query| {
            let checked = replica.check(query.subject, query.action, query.resource);
            if checked.is_allowed() { Ok(()) } else { Err(checked.reason()) }
        })
    }

    fn allowed(
        &self,
        token: &str,
        peer_leaf_der: &[u8],
        (action, resource): (&str, &str),
        now: Timestamp,
    ) -> Result<Claims, TokenDenied> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenDenied::TooLarge);
        }
        let header = header(token)?;
        let keys = self.keys.load();
        let known = header.kid.as_ref().and_then(|kid| keys.0.get(kid)).ok_or(TokenDenied::UnknownKey)?;
        let claims = self.signed(token, known)?;
        in_time(&claims, known, now)?;
        if peer_leaf_der.is_empty() || claims.cnf.thumbprint.0 != Digest::of(peer_leaf_der) {
            return Err(TokenDenied::OtherCertificate);
        }
        let asked = action.parse::<Action>().ok().zip(resource.parse::<Resource>().ok());
        let scope = claims.scope().ok_or(TokenDenied::WrongClaims)?;
        match asked {
            Some((action, resource)) if scope.covers(&action, &resource) => Ok(claims),
            _ => Err(TokenDenied::OutOfScope),
        }
    }

    fn signed(&self, token: &str, known: &Known) -> Result<Claims, TokenDenied> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // Its times are compared here, by the one comparison and without its leeway of a minute.
        validation.validate_exp = false;
        validation.required_spec_claims = ["exp", "aud", "iss", "sub"].map(str::to_owned).into();
        validation.set_audience(&[self.audience.as_str()]);
        validation.set_issuer(&[ISSUER]);
        let claims = decode::<Claims>(token, &known.key, &validation).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => TokenDenied::WrongSignature,
            ErrorKind::InvalidAlgorithm => TokenDenied::WrongAlgorithm,
            ErrorKind::InvalidAudience => TokenDenied::OtherAudience,
            ErrorKind::InvalidIssuer => TokenDenied::OtherIssuer,
            _ => TokenDenied::WrongClaims,
        })?;
        let claims = claims.claims;
        if claims.iss != ISSUER {
            Err(TokenDenied::OtherIssuer)
        } else if claims.aud != self.audience {
            Err(TokenDenied::OtherAudience)
        } else {
            Ok(claims)
        }
    }
}

impl TokenVerdict {
    /// Whether it may be done.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// Why, in a word: `GRANTED`, `EXPIRED`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "GRANTED",
            Self::Deny { because } => because.as_str(),
        }
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
            Self::OutOfScope => "TOKEN_OUT_OF_SCOPE",
            Self::NotNow(reason) => reason,
        }
    }
}

/// The header, if it says what a token's says and nothing that asks to be followed (RFC 8725 3.1, 3.10, 3.11).
fn header(token: &str) -> Result<Header, TokenDenied> {
    let header = decode_header(token).map_err(|error| match error.kind() {
        // An algorithm that the library does not know, `none` among them, does not parse.
        ErrorKind::Json(_) => TokenDenied::WrongAlgorithm,
        _ => TokenDenied::Malformed,
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

fn unusable(why: &str) -> ClientError {
    ClientError::Configuration(format!("the keys of tokens cannot be used: {why}; fetch them from the broker"))
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
