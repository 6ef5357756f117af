//! What the second listener serves over HTTP: SCIM and AuthZEN.

mod authzen;
mod body;
mod json;
pub(super) mod scim;
mod status;

use std::sync::Arc;

use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::{Code, Status};

use super::caller::Broker;
use super::check::access::Access;
use super::transport::served::{Dialect, Head, Routed, Services};

/// Everything that is served.
pub(super) fn services(broker: &Broker) -> Services {
    let routes = scim::router(broker).merge(authzen::router(Access::new(broker.clone())));
    Services { routes: routes.into(), direct: Routed, dialect: Arc::new(Https), guests: broker.guests() }
}

/// Refusals as SCIM has them, or as AuthZEN has them under its paths.
struct Https;

impl Dialect for Https {
    fn refusal(&self, call: &Head, status: Status) -> Response<Body> {
        match authzen::is_path(call.uri.path()) {
            true => authzen::refusal(&status, call.request_id.clone()),
            false => scim::refusal(&status),
        }
    }

    fn counted<'a>(&self, path: &'a str, response: &Response<Body>) -> (&'a str, Code) {
        let label = if authzen::is_path(path) { authzen::LABEL } else { scim::LABEL };
        (label, status::code_of(response.status()))
    }
}
