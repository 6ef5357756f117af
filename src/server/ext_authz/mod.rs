//! Envoy's external authorization (`envoy.service.auth.v3`): Envoy describes a request that it holds back, and lets it
//! pass only when the answer says so. Envoy is an enforcement point like any other: its own certificate is the caller, its
//! audience applies, and the answer comes from the same core (THREATS F1).
//!
//! Who makes the request is what Envoy has verified, its client's certificate, and never a header (THREATS D10): the one
//! URI among the names of `source.certificate`, which must be what `source.principal` says too, since that falls back to
//! a DNS name or the subject. What is asked is found by the route map. Whatever is absent, odd or unknown is a deny
//! (THREATS F11, F12).

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
use crate::domain::ids::Identity;
use crate::server::peer::Leaf;

/// A certificate as Envoy sends it, escaped; longer ones are refused unread.
const CERTIFICATE_MAX_BYTES: usize = 48 * 1024;

/// The service.
#[derive(Clone)]
pub(super) struct ExtAuthz {
    access: Access,
    routes: Arc<RouteMap>,
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

impl ExtAuthz {
    pub(super) fn new(access: Access, routes: Arc<RouteMap>) -> Self {
        Self { access, routes }
    }

    /// Whether the request may pass. An error is that the caller itself may not ask.
    fn decide(
        &self,
        caller: &Caller,
        attributes: Option<&AttributeContext>,
    ) -> Result<Result<Passed, Refused>, Status> {
        let asked = attributes.ok_or(Refused::because("REQUEST_INCOMPLETE")).and_then(|attributes| {
            let subject = self.subject(attributes.source.as_ref())?;
            Ok((subject, self.asked(attributes)?))
        });
        let (subject, (action, resource)) = match asked {
            Ok(asked) => asked,
            Err(refused) => return Ok(Err(refused)),
        };
        let query = Query { subject: subject.as_str(), action: action.as_str(), resource: resource.as_str() };
        let (verdicts, sequence) = self.access.verdicts(caller, &[query])?;
        Ok(match verdicts.first() {
            Some(Verdict::Allow { because, valid_until }) => {
                let grant = match because {
                    Allowed::Granted { grant } => Some(*grant),
                    Allowed::Baseline => None,
                };
                Ok(Passed { subject, grant, valid_until: *valid_until, sequence })
            }
            Some(denied) => Err(Refused::because(denied.reason())),
            None => Err(Refused::because("NOT_DECIDED")),
        })
    }

    /// Who makes the request, by the certificate that Envoy has verified.
    fn subject(&self, source: Option<&attribute_context::Peer>) -> Result<Identity, Refused> {
        let source = source.filter(|source| !source.certificate.is_empty());
        let source = source.ok_or(Refused::because("CERTIFICATE_MISSING"))?;
        let unreadable = || Refused::because("CERTIFICATE_UNREADABLE");
        if source.certificate.len() > CERTIFICATE_MAX_BYTES {
            return Err(unreadable());
        }
        let pem: Vec<u8> = percent_decode_str(&source.certificate).collect();
        let mut certificates = CertificateDer::pem_slice_iter(&pem);
        let (Some(Ok(leaf)), None) = (certificates.next(), certificates.next()) else { return Err(unreadable()) };
        let leaf = Leaf::read(&leaf).map_err(|_| Refused::because("CERTIFICATE_NAMES_NOBODY"))?;
        if leaf.not_after.is_over(self.access.broker.engine.latest()) {
            return Err(Refused::because("CERTIFICATE_EXPIRED"));
        }
        if source.principal != leaf.identity.as_str() {
            return Err(Refused::because("PRINCIPAL_DIFFERS"));
        }
        Ok(leaf.identity)
    }

    fn asked(&self, attributes: &AttributeContext) -> Result<routes::Asked, Refused> {
        let http = attributes.request.as_ref().and_then(|request| request.http.as_ref());
        let http = http.ok_or(Refused::because("REQUEST_INCOMPLETE"))?;
        self.routes.resolve(&http.method, &http.host, &http.path).map_err(|refusal| Refused::because(refusal.name()))
    }
}
