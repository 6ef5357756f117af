//! A layer in front of a service: a request passes if its client may do what it asks for, and is cut off when that ends.
//! Where it cannot be made out who asks, for what, or whether it is allowed, the request is denied (known failure F6, invariant 7).

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::Status;
use tower_layer::Layer;
use tower_service::Service;

use super::body::CheckedBody;
use super::guard::{OnCut, Vigil};
use super::peer::{NoPeer, VerifiedPeer};
use super::{Checked, Replica};

/// With a deny over plain HTTP: why, as the API calls it.
pub const REASON_HEADER: &str = "x-countersign-reason";

/// What a request is about to do, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    action: Cow<'static, str>,
    resource: Cow<'static, str>,
}

impl Act {
    /// `db.read` on `prod/eu/db/orders/primary`. What is malformed is denied, not mended.
    pub fn new(action: impl Into<Cow<'static, str>>, resource: impl Into<Cow<'static, str>>) -> Self {
        Self { action: action.into(), resource: resource.into() }
    }
}

type Acts = dyn Fn(&Parts) -> Option<Act> + Send + Sync;
type OnDenied = dyn Fn(&DeniedRequest<'_>) + Send + Sync;

/// A request that a layer denied, or cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeniedRequest<'r> {
    /// Who asked; none if that cannot be said.
    pub subject: Option<&'r str>,
    /// What they were about to do, and to what; none if this service does not know.
    pub act: Option<(&'r str, &'r str)>,
    /// Why: `NO_GRANT`, as the API calls it, or one of the layer's own, such as `NO_SUBJECT`.
    pub reason: &'static str,
    /// Whether it had begun, and was cut off.
    pub began: bool,
}

/// Who is told of denials.
#[derive(Clone, Default)]
struct Told(Option<Arc<OnDenied>>);

impl Told {
    fn tell(&self, denied: &DeniedRequest<'_>) {
        if let Some(told) = &self.0 {
            told(denied);
        }
    }

    /// That what had begun was cut off: the call and both bodies may find out, and it is told once.
    fn of_cut(&self, subject: &VerifiedPeer, act: &Act) -> OnCut {
        let (told, subject, act) = (self.clone(), subject.clone(), act.clone());
        let said = AtomicBool::new(false);
        OnCut::new(move |checked: &Checked| {
            if !said.swap(true, Ordering::Relaxed) {
                let act = Some((&*act.action, &*act.resource));
                let subject = Some(subject.as_str());
                told.tell(&DeniedRequest { subject, act, reason: checked.reason(), began: true });
            }
        })
    }
}

/// Protects a tonic or axum service, or any other of `http` requests. The subject is the one SPIFFE ID of the client's
/// verified certificate ([`VerifiedPeer::of`]), never a header. A request that passes carries its [`PassedCheck`]; a call
/// or a body, in either direction, that goes on is cut off at the end of the grant, at a revocation, or when knowledge grows
/// too old. What would leave HTTP, and with it this layer (CONNECT, an upgrade), does not pass.
///
/// ```
/// # use countersign::sdk::{Act, CheckLayer, Replica};
/// # fn protect(replica: Replica) -> CheckLayer {
/// CheckLayer::new(replica, |request| match request.uri.path() {
///     "/orders.v1.Orders/Read" => Some(Act::new("db.read", "prod/eu/db/orders/primary")),
///     _ => None, // denied
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct CheckLayer {
    replica: Replica,
    acts: Arc<Acts>,
    told: Told,
}

impl std::fmt::Debug for CheckLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckLayer").field("replica", &self.replica).finish_non_exhaustive()
    }
}

impl CheckLayer {
    /// `acts` says what a request is about to do; what it does not know is denied. It sees the request without its body:
    /// what depends on a body is checked in the handler, with [`PassedCheck::subject`] or [`VerifiedPeer::of`].
    pub fn new(replica: Replica, acts: impl Fn(&Parts) -> Option<Act> + Send + Sync + 'static) -> Self {
        Self { replica, acts: Arc::new(acts), told: Told::default() }
    }

    /// Has each request that is denied or cut off told, for a log or an alarm: once, before its answer. It is called on the
    /// task that serves the request, and must not wait.
    #[must_use]
    pub fn on_denied(mut self, told: impl Fn(&DeniedRequest<'_>) + Send + Sync + 'static) -> Self {
        self.told = Told(Some(Arc::new(told)));
        self
    }
}

impl<S> Layer<S> for CheckLayer {
    type Service = CheckService<S>;

    fn layer(&self, inner: S) -> CheckService<S> {
        CheckService { inner, replica: self.replica.clone(), acts: Arc::clone(&self.acts), told: self.told.clone() }
    }
}

/// In the extensions of a request that passed: for the handler's log, and its further checks.
#[derive(Debug, Clone)]
pub struct PassedCheck {
    subject: VerifiedPeer,
    checked: Checked,
}

impl PassedCheck {
    /// Who asks.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject.as_str()
    }

    /// By what right, and until when.
    pub fn checked(&self) -> Checked {
        self.checked
    }
}

/// A service behind a [`CheckLayer`].
#[derive(Clone)]
pub struct CheckService<S> {
    inner: S,
    replica: Replica,
    acts: Arc<Acts>,
    told: Told,
}

impl<S: std::fmt::Debug> std::fmt::Debug for CheckService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S: tonic::server::NamedService> tonic::server::NamedService for CheckService<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, In, Out> Service<Request<In>> for CheckService<S>
where
    S: Service<Request<CheckedBody<In>>, Response = Response<Out>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
{
    type Response = Response<CheckedBody<Out>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        // The clone has not been asked whether it is ready; this one has.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let (mut parts, body) = request.into_parts();
        let is_grpc = is_grpc(&parts.headers);
        let ([vigil, sending], passed) = match self.admit(&parts) {
            Ok(admitted) => admitted,
            Err(denial) => {
                let response = denial.into_response(is_grpc);
                return Box::pin(async move { Ok(response) });
            }
        };
        parts.extensions.insert(passed);
        let body = CheckedBody::guarded(body, sending, false);
        let call = inner.call(Request::from_parts(parts, body));
        Box::pin(guarded(vigil, call, is_grpc))
    }
}

impl<S> CheckService<S> {
    /// What watches over the answer and over the request's body, and what the handler is told.
    fn admit(&self, parts: &Parts) -> Result<([Vigil; 2], PassedCheck), Denial> {
        let subject = VerifiedPeer::of(&parts.extensions);
        let act = (self.acts)(parts);
        self.judge(parts, &subject, act.as_ref()).inspect_err(|denial| {
            let subject = subject.as_ref().ok().map(VerifiedPeer::as_str);
            let act = act.as_ref().map(|act| (&*act.action, &*act.resource));
            self.told.tell(&DeniedRequest { subject, act, reason: denial.reason(), began: false });
        })
    }

    fn judge(
        &self,
        parts: &Parts,
        subject: &Result<VerifiedPeer, NoPeer>,
        act: Option<&Act>,
    ) -> Result<([Vigil; 2], PassedCheck), Denial> {
        if parts.method == Method::CONNECT || parts.headers.contains_key(header::UPGRADE) {
            return Err(Denial::LeavesHttp);
        }
        let subject = subject.as_ref().map_err(|why| Denial::NoPeer(*why))?;
        let act = act.ok_or(Denial::UnknownAct)?;
        let checked = self.replica.check(subject.as_str(), &act.action, &act.resource);
        if !checked.is_allowed() {
            return Err(Denial::Checked(checked));
        }
        let on_cut = self.told.of_cut(subject, act);
        let vigil =
            || Vigil::new(self.replica.clone(), subject.as_str(), &act.action, &act.resource).telling(on_cut.clone());
        Ok(([vigil(), vigil()], PassedCheck { subject: subject.clone(), checked }))
    }
}

/// The call while it is allowed; then its body.
async fn guarded<Out, E>(
    mut vigil: Vigil,
    call: impl Future<Output = Result<Response<Out>, E>>,
    is_grpc: bool,
) -> Result<Response<CheckedBody<Out>>, E> {
    let mut call = pin!(call);
    let ended: Result<_, Checked> = poll_fn(|context| match vigil.poll_denied(context) {
        Poll::Ready(checked) => Poll::Ready(Err(checked)),
        Poll::Pending => call.as_mut().poll(context).map(Ok),
    })
    .await;
    match ended {
        Ok(response) => Ok(response?.map(|body| CheckedBody::guarded(body, vigil, is_grpc))),
        Err(checked) => Ok(Denial::Checked(checked).into_response(is_grpc)),
    }
}

/// Why a request does not pass.
enum Denial {
    NoPeer(NoPeer),
    UnknownAct,
    LeavesHttp,
    Checked(Checked),
}

impl Denial {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoPeer(_) => "NO_SUBJECT",
            Self::UnknownAct => "UNKNOWN_ACT",
            Self::LeavesHttp => "LEAVES_HTTP",
            Self::Checked(checked) => checked.reason(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::NoPeer(why) => why.to_string(),
            Self::UnknownAct => {
                "access is denied (UNKNOWN_ACT): this service does not know what that would do".to_owned()
            }
            Self::LeavesHttp => {
                "access is denied (LEAVES_HTTP): nobody could end a tunnel or an upgraded connection with its grant"
                    .to_owned()
            }
            Self::Checked(checked) => checked.denied_text(),
        }
    }

    fn into_response<Out>(self, is_grpc: bool) -> Response<CheckedBody<Out>> {
        let reason = HeaderValue::from_static(self.reason());
        if is_grpc {
            let mut response =
                Status::permission_denied(self.text()).into_http::<Nothing>().map(|_| CheckedBody::empty());
            response.headers_mut().insert(REASON_HEADER, reason);
            return response;
        }
        let mut response = Response::new(CheckedBody::text(self.text()));
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.headers_mut().insert(REASON_HEADER, reason);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// A body of nothing, until it is exchanged.
type Nothing = Option<Infallible>;

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
