//! AuthZEN Authorization API 1.0 (OpenID, January 2026): the check for gateways that speak the standard. A caller is an
//! enforcement point with its certificate and its audience, as over gRPC, and the answer comes from the same core
//! (known failure F1). Nothing that a request carries besides subject, action and resource has any effect: no property,
//! no context, no time (known failure D10).

mod question;

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use serde_json::{Map, Value, json};
use tonic::Status;
use tonic_types::StatusExt as _;

use self::question::{Question, Semantic};
use super::{body, json as strict};
use crate::check::{Allowed, Verdict};
use crate::domain::value::refusal::Refusal;
use crate::domain::value::time::Timestamp;
use crate::server::caller::VerifiedCaller;
use crate::server::check::access::Access;
use crate::server::https::status::{http_of, http_status};
use crate::server::transport::REQUEST_ID;
use crate::wire::queries::LARGEST_BATCH;

/// The label under which its calls are counted.
pub(crate) const LABEL: &str = "authzen";
const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const CONFIGURATION: &str = "/.well-known/authzen-configuration";

/// Whether a path is one of its own.
pub(crate) fn is_path(path: &str) -> bool {
    path.starts_with("/access/") || path == CONFIGURATION
}

/// What is served.
pub(crate) fn router(access: Access) -> axum::Router {
    axum::Router::new()
        .route(EVALUATION, post(evaluation))
        .route(EVALUATIONS, post(evaluations))
        .route(CONFIGURATION, get(configuration))
        .route("/access/", any(nowhere))
        .route("/access/{*rest}", any(nowhere))
        .method_not_allowed_fallback(async |request: Request| {
            not_here(&request, StatusCode::METHOD_NOT_ALLOWED, "no such method here")
        })
        .with_state(access)
}

/// Answers paths that are not served, such as the standard's searches.
async fn nowhere(request: Request) -> Response {
    not_here(&request, StatusCode::NOT_FOUND, "nothing is here")
}

fn not_here(request: &Request, status: StatusCode, what: &str) -> Response {
    let text = format!("{what}; see `{CONFIGURATION}`");
    respond(Err(Undecided { status, ..Undecided::malformed(text) }), request_id(request.headers()))
}

/// What the connection itself refuses, before any route.
pub(crate) fn refusal(status: &Status, request_id: Option<HeaderValue>) -> http::Response<tonic::body::Body> {
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let undecided =
        Undecided { status: http_of(status.code()), reason: reason.into(), text: status.message().to_owned() };
    respond(Err(undecided), request_id).map(tonic::body::Body::new)
}

/// Why there is no decision. A gateway takes it as a deny.
#[derive(Debug)]
struct Undecided {
    status: StatusCode,
    reason: Cow<'static, str>,
    text: String,
}

impl Undecided {
    fn malformed(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: "INVALID_MESSAGE".into(), text: text.into() }
    }
}

impl From<Refusal> for Undecided {
    fn from(refusal: Refusal) -> Self {
        let entry = refusal.reason.entry();
        Self { status: http_status(entry.code), reason: entry.name.into(), text: refusal.to_string() }
    }
}

async fn evaluation(State(access): State<Access>, request: Request) -> Response {
    let request_id = request_id(request.headers());
    let answered = async {
        let caller = asker(&access, &request)?;
        let asked = Question::read(&document(request).await?, &Map::new()).map_err(Undecided::malformed)?;
        one(&access, &caller, &asked)
    };
    respond(answered.await, request_id)
}

async fn evaluations(State(access): State<Access>, request: Request) -> Response {
    let request_id = request_id(request.headers());
    let answered = async {
        let caller = asker(&access, &request)?;
        several(&access, &caller, &document(request).await?)
    };
    respond(answered.await, request_id)
}

/// The caller, if they may ask; checked before the body is read (known failure G14).
fn asker(access: &Access, request: &Request) -> Result<VerifiedCaller, Refusal> {
    let caller = access.broker.caller_of(request.extensions())?;
    access.begin(&caller)?;
    Ok(caller)
}

/// Where everything is, under the name by which the broker was asked.
async fn configuration(request: Request) -> Response {
    let request_id = request_id(request.headers());
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    let host = request.uri().authority().map(ToString::to_string).or(host);
    // A host and perhaps a port, so that no client makes another address of it than the one that it asked.
    let host = host.filter(|host| !host.contains('@') && host.parse::<Authority>().is_ok());
    let answered =
        host.ok_or_else(|| Undecided::malformed("the request does not say which host it is to")).map(|host| {
            let at = format!("https://{host}");
            json!({
                "policy_decision_point": at,
                "access_evaluation_endpoint": format!("{at}{EVALUATION}"),
                "access_evaluations_endpoint": format!("{at}{EVALUATIONS}"),
            })
        });
    respond(answered, request_id)
}

fn one(access: &Access, caller: &VerifiedCaller, asked: &Question) -> Result<Value, Undecided> {
    let asking = access.begin(caller)?;
    let verdict = asking.verdict(asked.query());
    access.count(&[verdict]);
    Ok(decision(&verdict, asked, &caller.sequence_text(asking.sequence)))
}

/// A malformed evaluation is denied in its place, and does not keep the others from being decided.
fn several(access: &Access, caller: &VerifiedCaller, document: &Map<String, Value>) -> Result<Value, Undecided> {
    let semantic = Semantic::read(document).map_err(Undecided::malformed)?;
    let evaluations = match document.get("evaluations") {
        None | Some(Value::Null) => &Vec::new(),
        Some(Value::Array(evaluations)) => evaluations,
        Some(_) => return Err(Undecided::malformed("`evaluations` is no array")),
    };
    if evaluations.is_empty() {
        let asked = Question::read(document, &Map::new()).map_err(Undecided::malformed)?;
        return one(access, caller, &asked);
    }
    if evaluations.len() > LARGEST_BATCH {
        let text = format!("{} evaluations; at most {LARGEST_BATCH} are taken", evaluations.len());
        return Err(Undecided::malformed(text));
    }
    let asked: Vec<Result<Question, String>> = evaluations
        .iter()
        .map(|evaluation| match evaluation {
            Value::Object(evaluation) => Question::read(evaluation, document),
            _ => Err("an evaluation is no object".to_owned()),
        })
        .collect();
    let queries: Vec<_> = asked.iter().flatten().map(Question::query).collect();
    let asking = access.begin(caller)?;
    let verdicts = asking.verdicts(&queries);
    access.count(&verdicts);
    let mut verdicts = verdicts.iter();
    let mut decisions = Vec::new();
    for asked in &asked {
        let verdict = asked.as_ref().map(|asked| (asked, verdicts.next()));
        let is_allowed = matches!(verdict, Ok((_, Some(verdict))) if verdict.is_allowed());
        decisions.push(match verdict {
            Ok((asked, Some(verdict))) => decision(verdict, asked, &caller.sequence_text(asking.sequence)),
            Ok((_, None)) => malformed("not decided"),
            Err(text) => malformed(text),
        });
        if semantic.stops_after(is_allowed) {
            break;
        }
    }
    Ok(json!({ "evaluations": decisions }))
}

fn decision(verdict: &Verdict, asked: &Question, sequence: &str) -> Value {
    let mut context = json!({ "reason": verdict.reason(), "sequence": sequence });
    if let (Some(unknown), Value::Object(context)) = (asked.unknown(), &mut context) {
        context.insert("detail".to_owned(), unknown.into());
    }
    if let (Verdict::Allow { because, valid_until }, Value::Object(context)) = (verdict, &mut context) {
        if let Allowed::Granted { grant } = because {
            context.insert("grant_id".to_owned(), grant.to_string().into());
        }
        if *valid_until < Timestamp::MAX {
            context.insert("valid_until".to_owned(), valid_until.to_string().into());
        }
    }
    json!({ "decision": verdict.is_allowed(), "context": context })
}

fn malformed(text: &str) -> Value {
    let error = json!({ "status": StatusCode::BAD_REQUEST.as_u16(), "message": text });
    json!({ "decision": false, "context": { "reason": "INVALID_MESSAGE", "error": error } })
}

/// A request's body: one JSON object, bounded before it is read (known failure G14).
async fn document(request: Request) -> Result<Map<String, Value>, Undecided> {
    let headers = request.headers();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        // Where others have 415, the standard has 400.
        return Err(Undecided::malformed("the body is not said to be `application/json`"));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        let text = "the body is encoded; send it as it is".to_owned();
        return Err(Undecided { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, ..Undecided::malformed(text) });
    }
    let bytes = body::read(request.into_body()).await;
    let bytes = bytes.map_err(|unread| Undecided { status: unread.status, ..Undecided::malformed(unread.text) })?;
    strict::object(&bytes, strict::Keys::Exact).map_err(Undecided::malformed)
}

/// What the caller calls the request: sent back as it came, with errors too.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(REQUEST_ID).cloned()
}

/// A decision is JSON; an error is a text, as the standard has it (10.1.7), that begins with the broker's own reason.
fn respond(answered: Result<Value, Undecided>, request_id: Option<HeaderValue>) -> Response {
    let (status, kind, body) = match answered {
        Ok(body) => (StatusCode::OK, "application/json", body.to_string()),
        Err(Undecided { status, reason, text }) => (status, "text/plain; charset=utf-8", format!("{reason}: {text}")),
    };
    let kind = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")];
    let mut response = (status, kind, body).into_response();
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if let Some(id) = request_id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
