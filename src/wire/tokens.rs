//! TokenService's messages.

use super::commands::request_id;
use super::message::{Fields, InvalidMessage};
use super::v1 as pb;
use super::values::{duration, parsed};
use crate::domain::value::ids::{AccountId, GrantId, RequestId};
use crate::domain::value::time::Span;
use crate::domain::value::token::LONGEST_LIFETIME;

/// `IssueGrantToken`, but for the certificate, which no message carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAsked {
    /// The caller's own id of the call.
    pub request_id: RequestId,
    /// Of what.
    pub grant: GrantId,
    /// For whom.
    pub audience: AccountId,
    /// How long.
    pub lifetime: Option<Span>,
}

impl TryFrom<&pb::IssueGrantTokenRequest> for TokenAsked {
    type Error = InvalidMessage;

    fn try_from(message: &pb::IssueGrantTokenRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let request_id = request_id(&mut fields, &message.request_id, false);
        let grant = fields.take("grant_id", parsed(&message.grant_id));
        let audience = fields.take("audience", parsed(&message.audience));
        let lifetime = message.lifetime.as_ref().map(duration).transpose();
        let lifetime = fields.take("lifetime", lifetime).flatten();
        if let Some(span) = lifetime.filter(|span| *span > LONGEST_LIFETIME) {
            fields.wrong("lifetime", format!("{span}; 1 s to {LONGEST_LIFETIME} is wanted"));
        }
        let asked = || Some(Self { request_id: request_id?, grant: grant?, audience: audience?, lifetime });
        let asked = asked();
        fields.finish(asked)
    }
}
