//! Facts about a grant.

use serde::{Deserialize, Serialize};

use super::subject::{Subject, tenant_of};
use crate::domain::record::grant::{EndBecause, Grant, Revocation};
use crate::domain::value::ids::{AccountId, Digest, GrantId, Principal, TokenId};
use crate::domain::value::scope::Scope;
use crate::domain::value::time::Timestamp;

facts! {
    /// A grant.
    GrantFact {
        /// A grant came to be.
        Issued(Box<Grant>) "grant-issued/1";
        /// A scheduled grant started.
        Started(GrantStarted) "grant-started/1";
        /// A grant's end moved to an earlier time; it never moves to a later one.
        Shortened(GrantShortened) "grant-shortened/1";
        /// A grant's time came.
        Ended(GrantNamed) "grant-ended/1";
        /// The holder gave it up.
        Relinquished(GrantClosed) "grant-relinquished/1";
        /// An act or event ended it before its time.
        Revoked(GrantRevoked) "grant-revoked/1";
        /// The holder had a token signed, for one enforcement point.
        TokenIssued(Box<GrantTokenIssued>) "grant-token-issued/1";
    }
}

impl GrantFact {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> Vec<Subject> {
        match self {
            Self::Issued(grant) => {
                let mut about = vec![
                    Subject::Grant(grant.id),
                    Subject::Elevation(grant.elevation),
                    Subject::Account(grant.holder.clone()),
                ];
                about.extend(grant.behind.iter().cloned().map(Subject::Person));
                about.extend(tenant_of(&grant.scope));
                about
            }
            Self::Started(GrantStarted { grant, holder, .. })
            | Self::Shortened(GrantShortened { grant, holder, .. })
            | Self::Ended(GrantNamed { grant, holder })
            | Self::Relinquished(GrantClosed { grant, holder, .. })
            | Self::Revoked(GrantRevoked { grant, holder, .. }) => {
                vec![Subject::Grant(*grant), Subject::Account(holder.clone())]
            }
            Self::TokenIssued(fact) => vec![
                Subject::Grant(fact.grant),
                Subject::Account(fact.holder.clone()),
                Subject::Account(fact.audience.clone()),
            ],
        }
    }
}

bodies! {
    /// Since when its person holds the entitlement without a break.
    GrantStarted { grant: GrantId, holder: AccountId, continuous_since: Timestamp }
    /// Its new end.
    GrantShortened { grant: GrantId, holder: AccountId, end: Timestamp, because: EndBecause }
    /// A grant, by its id.
    GrantNamed { grant: GrantId, holder: AccountId }
    /// Closed by the holder.
    GrantClosed { grant: GrantId, holder: AccountId, by: Principal, reason: String }
    /// Why.
    GrantRevoked { grant: GrantId, holder: AccountId, because: Revocation }
    /// All that the token says; not the token.
    GrantTokenIssued { token: TokenId, grant: GrantId, holder: AccountId, audience: AccountId, certificate: Digest, scope: Scope, expires: Timestamp }
}
