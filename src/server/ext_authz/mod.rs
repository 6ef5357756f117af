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

use self::answer::{Passed, Refused};
use self::routes::RouteMap;
use super::access::Access;
use super::caller::Caller;
use crate::check::{Allowed, Query, Verdict};
use crate::domain::value::ids::Identity;
use crate::domain::value::scope::{Action, Resource};
use crate::domain::value::time::Timestamp;
use crate::server::peer::Leaf;
use crate::server::tokens::SigningKeys;
use crate::wire::token_check::{Presented, TokenDenied};

/// A certificate as Envoy sends it, escaped; longer ones are refused unread.
const CERTIFICATE_MAX_BYTES: usize = 48 * 1024;
/// The header in which a client presents a grant token. It ends at Envoy: no backend sees it.
const TOKEN: &str = "x-countersign-token";

/// The service.
#[derive(Clone)]
pub(super) struct ExtAuthz {
    access: Access,
    routes: Arc<RouteMap>,
    keys: Arc<SigningKeys>,
}

#[tonic::async_trait]
impl Authorization for ExtAuthz {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let caller = self.access.broker.caller(&request)?;
        let attributes = request.get_ref().attributes.as_ref();
        Ok(Response::new(match self.decide(&caller, attributes)? {
            Ok(passed) => passed.into(),
            Err(refused) => refused.into(),
        }))
    }
}

/// Who makes a request, as its certificate says, and until when its token is good, if there is one.
struct Subject {
    identity: Identity,
    until: Timestamp,
}

impl ExtAuthz {
    pub(super) fn new(access: Access, routes: Arc<RouteMap>, keys: Arc<SigningKeys>) -> Self {
        Self { access, routes, keys }
    }

    /// Whether the request may pass. An error is that the caller itself may not ask.
    fn decide(
        &self,
        caller: &Caller,
        attributes: Option<&AttributeContext>,
    ) -> Result<Result<Passed, Refused>, Status> {
        let asking = self.access.begin(caller)?;
        let asked = attributes.ok_or(Refused::because("REQUEST_INCOMPLETE")).and_then(|attributes| {
            let http = attributes.request.as_ref().and_then(|request| request.http.as_ref());
            let http = http.ok_or(Refused::because("REQUEST_INCOMPLETE"))?;
            let found = self.routes.resolve(&http.method, &http.host, &http.path);
            let (action, resource) = found.map_err(|refusal| Refused::because(refusal.name()))?;
            let token = http.headers.get(TOKEN).map(|token| (token.as_str(), asking.asker.account()));
            Ok((self.subject(attributes.source.as_ref(), token, (&action, &resource))?, action, resource))
        });
        let (subject, action, resource) = match asked {
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
                Ok(Passed { subject: subject.identity, grant, valid_until, sequence: caller.told(asking.sequence) })
            }
            Verdict::Deny { .. } => Err(Refused::because(verdict.reason())),
        })
    }

    /// Who makes the request: by the certificate that Envoy has verified or, if there is a token, by that alone.
    fn subject(
        &self,
        source: Option<&attribute_context::Peer>,
        token: Option<(&str, &str)>,
        (action, resource): (&Action, &Resource),
    ) -> Result<Subject, Refused> {
        let source = source.filter(|source| !source.certificate.is_empty());
        let source = source.ok_or(Refused::because("CERTIFICATE_MISSING"))?;
        let der = certificate(&source.certificate).ok_or(Refused::because("CERTIFICATE_UNREADABLE"))?;
        let leaf = Leaf::read(&der).map_err(|_| Refused::because("CERTIFICATE_NAMES_NOBODY"))?;
        let now = self.access.broker.engine.latest();
        if leaf.not_after.is_over(now) {
            return Err(Refused::because("CERTIFICATE_EXPIRED"));
        }
        let Some((token, audience)) = token else {
            return if source.principal == leaf.identity.as_str() {
                Ok(Subject { identity: leaf.identity, until: Timestamp::MAX })
            } else {
                Err(Refused::because("PRINCIPAL_DIFFERS"))
            };
        };
        let keys = self.keys.verifying().ok_or(Refused::because("TOKEN_KEYS_UNAVAILABLE"))?;
        let audience = audience.parse().map_err(|_| Refused::because(TokenDenied::OtherAudience.as_str()))?;
        let (action, resource) = (action.as_str(), resource.as_str());
        let presented = Presented { audience: &audience, peer_leaf_der: &der, action, resource, now };
        let claims = keys.verified(token, presented).map_err(|denied| Refused::because(denied.as_str()))?;
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
