//! Envoy's external authorization (`envoy.service.auth.v3`): Envoy describes a request that it holds back, and lets it
//! pass only when the answer says so. Envoy is an enforcement point like any other: its own certificate is the caller, its
//! audience applies, and the answer comes from the same core (known failure F1).
//!
//! Who makes the request is what Envoy has verified, its client's certificate, and never a header (known failure D10): the one
//! URI among the names of `source.certificate`, which must be what `source.principal` says too, since that falls back to
//! a DNS name or the subject. Or it is the holder of a grant token that is good with this very certificate; the broker
//! then still asks itself whether its grant stands. What is asked is found by the route map. Whatever is absent, odd or
//! unknown is a deny (known failures F11 and F12).

mod answer;
pub mod routes;

use std::sync::Arc;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse, attribute_context};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tonic::{Request, Response, Status};

use self::answer::{Passed, Refused, TOKEN};
use self::routes::{Asked, RouteMap};
use super::access::Access;
use crate::check::{Allowed, Query, Verdict};
use crate::domain::value::ids::Identity;
use crate::domain::value::time::Timestamp;
use crate::server::caller::VerifiedCaller;
use crate::server::keys::signing::SigningKeys;
use crate::server::transport::peer::Leaf;
use crate::wire::token_check::{Presented, TokenDenied};

/// A certificate as Envoy sends it, escaped; longer ones are refused unread.
const CERTIFICATE_MAX_BYTES: usize = 48 * 1024;

/// The service.
#[derive(Clone)]
pub(crate) struct ExtAuthz {
    access: Access,
    routes: Arc<RouteMap>,
    keys: Arc<SigningKeys>,
}

#[tonic::async_trait]
impl Authorization for ExtAuthz {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let caller = self.access.broker.caller(&request)?;
        let decided = self.decide(&caller, request.get_ref().attributes.as_ref())?;
        Ok(Response::new(decided.map_or_else(CheckResponse::from, CheckResponse::from)))
    }
}

/// Who makes a request, as its certificate says, and until when its token is good, if there is one.
struct Subject {
    identity: Identity,
    until: Timestamp,
}

/// A grant token that came with a request.
struct Token<'a> {
    text: &'a str,
    /// Whom it has to be for: Envoy's own account.
    audience: &'a str,
    /// What it has to allow.
    asked: &'a Asked,
}

impl ExtAuthz {
    pub(crate) fn new(access: Access, routes: Arc<RouteMap>, keys: Arc<SigningKeys>) -> Self {
        Self { access, routes, keys }
    }

    /// Whether the request may pass. An error means that the caller itself may not ask.
    fn decide(
        &self,
        caller: &VerifiedCaller,
        attributes: Option<&AttributeContext>,
    ) -> Result<Result<Passed, Refused>, Status> {
        let asking = self.access.begin(caller)?;
        let asked = attributes.ok_or(Refused::because("REQUEST_INCOMPLETE")).and_then(|attributes| {
            let http = attributes.request.as_ref().and_then(|request| request.http.as_ref());
            let http = http.ok_or(Refused::because("REQUEST_INCOMPLETE"))?;
            let found = self.routes.resolve(&http.method, &http.host, &http.path);
            let asked = found.map_err(|refusal| Refused::because(refusal.name()))?;
            let audience = asking.asker.account();
            let token = http.headers.get(TOKEN).map(|text| Token { text, audience, asked: &asked });
            Ok((self.subject(attributes.source.as_ref(), token)?, asked))
        });
        let (subject, Asked { action, resource }) = match asked {
            Ok(asked) => asked,
            Err(refused) => return Ok(Err(refused)),
        };
        let query = Query { subject: subject.identity.as_str(), action: action.as_str(), resource: resource.as_str() };
        let verdict = asking.verdict(query);
        self.access.count(&[verdict]);
        Ok(match verdict {
            Verdict::Allow { because, valid_until } => {
                let grant = match because {
                    Allowed::Granted { grant } => Some(grant),
                    Allowed::Baseline => None,
                };
                let valid_until = valid_until.min(subject.until);
                Ok(Passed {
                    subject: subject.identity,
                    grant,
                    valid_until,
                    sequence: caller.sequence_text(asking.sequence),
                })
            }
            Verdict::Deny { .. } => Err(Refused::because(verdict.reason())),
        })
    }

    /// Who makes the request: by the certificate that Envoy has verified or, if there is a token, by that alone.
    fn subject(&self, source: Option<&attribute_context::Peer>, token: Option<Token<'_>>) -> Result<Subject, Refused> {
        let source = source.filter(|source| !source.certificate.is_empty());
        let source = source.ok_or(Refused::because("CERTIFICATE_MISSING"))?;
        let der = certificate(&source.certificate).ok_or(Refused::because("CERTIFICATE_UNREADABLE"))?;
        let leaf = Leaf::read(&der).map_err(|_| Refused::because("CERTIFICATE_NAMES_NOBODY"))?;
        let now = self.access.broker.engine.latest();
        if leaf.not_after.is_over(now) {
            return Err(Refused::because("CERTIFICATE_EXPIRED"));
        }
        let Some(Token { text, audience, asked }) = token else {
            return if source.principal == leaf.identity.as_str() {
                Ok(Subject { identity: leaf.identity, until: Timestamp::MAX })
            } else {
                Err(Refused::because("PRINCIPAL_DIFFERS"))
            };
        };
        let keys = self.keys.verifying().ok_or(Refused::because("TOKEN_KEYS_UNAVAILABLE"))?;
        let audience = audience.parse().map_err(|_| Refused::because(TokenDenied::OtherAudience.as_str()))?;
        let (action, resource) = (asked.action.as_str(), asked.resource.as_str());
        let presented = Presented { audience: &audience, peer_leaf_der: &der, action, resource, now };
        let claims = keys.verified(text, presented).map_err(|denied| Refused::because(denied.as_str()))?;
        // The token was issued to whoever had this identity then.
        let holder = self.access.broker.engine.checks().caller(leaf.identity.as_str());
        if holder.is_none_or(|holder| holder.account() != claims.sub.as_str()) {
            return Err(Refused::because(TokenDenied::OtherHolder.as_str()));
        }
        Ok(Subject { identity: leaf.identity, until: claims.exp.0 })
    }
}

/// The one certificate of an escaped PEM text.
fn certificate(escaped: &str) -> Option<CertificateDer<'static>> {
    if escaped.len() > CERTIFICATE_MAX_BYTES {
        return None;
    }
    let pem: Vec<u8> = percent_decode_str(escaped).collect();
    let mut certificates = CertificateDer::pem_slice_iter(&pem);
    match (certificates.next(), certificates.next()) {
        (Some(Ok(leaf)), None) => Some(leaf),
        _ => None,
    }
}
