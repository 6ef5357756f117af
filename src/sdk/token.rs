//! Grant tokens, for a service that cannot reach the broker when it must decide: verified with the broker's public keys
//! alone. A token says what stood when it was signed, at most 60 s ago, and a revocation since then does not show in
//! it. With a replica at hand [`TokenVerifier::verify_by_replica`] sees it too.
//!
//! How a token is verified: [`crate::wire::token_check`].

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::client::Client;
use super::error::ClientError;
use super::replica::{Replica, VerifiedPeer};
use crate::check::Query;
use crate::domain::value::ids::{AccountId, GrantId};
use crate::domain::value::time::Timestamp;
use crate::wire::token_check::Presented;
pub use crate::wire::token_check::{TokenDenied, TokenKeys};
use crate::wire::v1::GetSigningKeysRequest;

/// Verifies the tokens for one enforcement point. Without an audience there is none.
#[derive(Debug)]
pub struct TokenVerifier {
    audience: AccountId,
    keys: ArcSwap<TokenKeys>,
}

/// A token as a holder presents it, and what for.
#[derive(Debug, Clone, Copy)]
pub struct PresentedToken<'a> {
    /// The token.
    pub token: &'a str,
    /// The certificate of whoever presents it (DER), as the TLS connection verified it.
    pub peer_leaf_der: &'a [u8],
    /// What is about to be done.
    pub action: &'a str,
    /// To what.
    pub resource: &'a str,
    /// The service's own time.
    pub now: Timestamp,
}

/// The verdict on a token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a verdict that is not looked at protects nothing"]
pub enum TokenVerdict {
    /// It may be done.
    Allow {
        /// By which grant; none where what else was asked allows it by the baseline.
        grant: Option<GrantId>,
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

impl Client {
    /// The keys that tokens are verified with now, the next one among them: fetch them each hour, and when a token names one
    /// that is not known.
    ///
    /// # Errors
    /// If the broker refuses, cannot be reached or gives none.
    pub async fn token_keys(&self) -> Result<TokenKeys, ClientError> {
        let jwks = self.get_signing_keys(GetSigningKeysRequest {}).await?.jwks;
        TokenKeys::parse(&jwks).map_err(|error| ClientError::Configuration(error.to_string()))
    }
}

impl TokenVerifier {
    /// A verifier for the enforcement point of this account.
    ///
    /// # Errors
    /// If that is no account's id.
    pub fn new(audience: &str, keys: TokenKeys) -> Result<Self, ClientError> {
        let audience = audience.parse().map_err(|error: crate::domain::value::ids::InvalidId| {
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

    /// Whether the token lets its holder, who is at the other end with that certificate, do what is asked for. Of a
    /// revocation in the token's lifetime it knows nothing.
    pub fn verify(&self, presented: PresentedToken<'_>) -> TokenVerdict {
        let PresentedToken { token, peer_leaf_der, action, resource, now } = presented;
        let presented = Presented { audience: &self.audience, peer_leaf_der, action, resource, now };
        match self.keys.load().verified(token, presented) {
            Ok(claims) => TokenVerdict::Allow {
                grant: Some(claims.grant_id),
                subject: claims.sub,
                valid_until: claims.exp.0,
                sequence: claims.sequence,
            },
            Err(because) => TokenVerdict::Deny { because },
        }
    }

    /// The same, and then whatever else is to be asked about the holder, by the identity in the certificate: `also` gives the
    /// grant that allows it now, if it is one, and until when; or the reason if nothing does. Whether that identity is
    /// still the token's subject is for `also` to know.
    pub fn verify_and(
        &self,
        presented: PresentedToken<'_>,
        also: impl FnOnce(Query<'_>) -> Result<(Option<GrantId>, Timestamp), &'static str>,
    ) -> TokenVerdict {
        let PresentedToken { peer_leaf_der, action, resource, .. } = presented;
        let verdict = self.verify(presented);
        let TokenVerdict::Allow { subject, valid_until, sequence, .. } = verdict else { return verdict };
        let Ok(peer) = VerifiedPeer::from_certificate(peer_leaf_der) else {
            return TokenVerdict::Deny { because: TokenDenied::OtherHolder };
        };
        match also(Query { subject: peer.as_str(), action, resource }) {
            Ok((grant, until)) => TokenVerdict::Allow { grant, subject, valid_until: valid_until.min(until), sequence },
            Err(reason) => TokenVerdict::Deny { because: TokenDenied::NotNow(reason) },
        }
    }

    /// The same, and then the replica: so a revocation is seen as soon as the replica has it.
    pub fn verify_by_replica(&self, presented: PresentedToken<'_>, replica: &Replica) -> TokenVerdict {
        let mut holder = None;
        let verdict = self.verify_and(presented, |query| {
            let checked = replica.check(query.subject, query.action, query.resource);
            holder = replica.account_of(query.subject);
            // Into the time of `now`: the replica's is the broker's.
            checked.left().map(|left| (checked.grant(), presented.now.plus(left))).ok_or(checked.reason())
        });
        match &verdict {
            // The certificate's identity has passed to somebody else, who may do it too.
            TokenVerdict::Allow { subject, .. } if holder.as_ref() != Some(subject) => {
                TokenVerdict::Deny { because: TokenDenied::OtherHolder }
            }
            _ => verdict,
        }
    }
}

impl TokenVerdict {
    /// Whether it may be done.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// Why, in a word: `GRANTED`, `TOKEN_EXPIRED`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "GRANTED",
            Self::Deny { because } => because.as_str(),
        }
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
