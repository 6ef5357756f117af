//! SCIM 2.0 Users (RFC 7643, RFC 7644): a second door for what HR and identity systems say, to the same commands as the
//! HR feed. Nothing is decided here: what a request asserts is compared with the record, what differs becomes HR events
//! without a place in a stream, and the core takes or refuses them under the caller's own certificate (known failure D10).
//!
//! What is kept of a user is what rights rest on: the immutable person id (`externalId`; without one `userName`), whether
//! the person works here (`active`), the manager, and the identities (`logins` of an extension of our own). A label such
//! as `userName`, `displayName` or `emails` is taken and not kept (known failures B5 and D2). Who leaves stays on record as not
//! active, also after DELETE. What the brake holds is answered with 409.

mod answer;
mod attribute;
mod changes;
mod discovery;
mod filter;
mod manager;
mod partial;
mod patch;
mod query;
mod reading;
mod user;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Map, Value};

use self::answer::{Answer, ScimError};
use self::changes::Standing;
use self::partial::Partial;
use self::user::USERS;
use super::{body, json};
use crate::domain::policy::CapabilityName;
use crate::domain::record::command::{ApplyHrEvents, Command};
use crate::domain::record::hr::HrEvent;
use crate::domain::value::ids::{PersonId, RequestId, TenantName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;
use crate::server::caller::{Broker, VerifiedCaller};
use crate::wire::commands::Mutation;

pub(super) use self::answer::refusal;

/// The label under which calls of SCIM are counted.
pub(crate) const LABEL: &str = "scim";

/// Everything that is served.
pub(crate) fn router(broker: &Broker) -> axum::Router {
    axum::Router::new()
        .route(USERS, get(list).post(create))
        .route("/scim/v2/Users/{id}", get(read).put(replace).patch(modify).delete(remove))
        .route("/scim/v2/ServiceProviderConfig", get(discovery::service_provider_config))
        .route("/scim/v2/ResourceTypes", get(discovery::resource_types))
        .route("/scim/v2/ResourceTypes/{id}", get(discovery::resource_type))
        .route("/scim/v2/Schemas", get(discovery::schemas))
        .route("/scim/v2/Schemas/{id}", get(discovery::schema))
        .fallback(async || ScimError::nowhere())
        .method_not_allowed_fallback(async || ScimError::new(StatusCode::METHOD_NOT_ALLOWED, "no such method here"))
        .with_state(broker.clone())
}

type Answered = Result<Response, ScimError>;

async fn list(State(broker): State<Broker>, request: Request) -> Answered {
    let feeder = feeder(&broker, &request)?;
    let query = query::Query::read(request.uri().query().unwrap_or_default())?;
    let partial = asked_part(&request)?;
    let now = broker.engine.now();
    Ok(Answer::ok(broker.engine.read(|state| query.page(state, feeder.side.as_ref(), &partial, now))))
}

async fn read(State(broker): State<Broker>, request: Request) -> Answered {
    let feeder = feeder(&broker, &request)?;
    let partial = asked_part(&request)?;
    shown(&broker, &feeder, &person(&request)?).map(|user| Answer::ok(partial.of(user)))
}

async fn create(State(broker): State<Broker>, request: Request) -> Answered {
    let feeder = feeder(&broker, &request)?;
    let (request_id, partial) = (request_id(request.headers())?, asked_part(&request)?);
    let asserted = user::Asserted::read(&document(request, attribute::CORE).await?)?;
    let person = asserted.person()?;
    if asserted.active == Some(false) {
        let detail = "a user is created by joining; one who does not work here is not recorded: leave `active` out";
        return Err(ScimError::invalid_value(detail));
    }
    let mut wished = Standing { active: true, ..Standing::default() };
    asserted.onto(&mut wished);
    // Whether the person works here already is for the core to say, so that a call that is sent again is answered alike.
    let events = changes::between(&person, &Standing::default(), &wished, broker.engine.now().stamp);
    apply(&broker, &feeder.caller, request_id, events).await?;
    let location = user::location(&person);
    shown(&broker, &feeder, &person).map(|user| Answer::created(partial.of(user), &location))
}

async fn replace(State(broker): State<Broker>, request: Request) -> Answered {
    let feeder = feeder(&broker, &request)?;
    let (person, request_id, partial) = changed(&request)?;
    let asserted = user::Asserted::read(&document(request, attribute::CORE).await?)?;
    asserted.is_about(&person)?;
    change(&broker, &feeder, request_id, &person, |wished| {
        asserted.onto(wished);
        Ok(())
    })
    .await?;
    shown(&broker, &feeder, &person).map(|user| Answer::ok(partial.of(user)))
}

async fn modify(State(broker): State<Broker>, request: Request) -> Answered {
    let feeder = feeder(&broker, &request)?;
    let (person, request_id, partial) = changed(&request)?;
    let operations = patch::Operation::read_all(&document(request, patch::MESSAGE).await?)?;
    change(&broker, &feeder, request_id, &person, |wished| {
        operations.iter().try_for_each(|operation| operation.onto(wished, &person))
    })
    .await?;
    shown(&broker, &feeder, &person).map(|user| Answer::ok(partial.of(user)))
}

async fn remove(State(broker): State<Broker>, request: Request) -> Answered {
    let feeder = feeder(&broker, &request)?;
    let (person, request_id, _) = changed(&request)?;
    change(&broker, &feeder, request_id, &person, |wished| {
        wished.active = false;
        Ok(())
    })
    .await?;
    Ok(Answer::nothing())
}

/// Changes a person on record to what is wished. If they are deactivated while a joining waits behind the brake, a
/// departure is sent too: the joining must not be let through later (known failure B4).
async fn change(
    broker: &Broker,
    feeder: &Feeder,
    request_id: RequestId,
    person: &PersonId,
    wish: impl FnOnce(&mut Standing) -> Result<(), ScimError>,
) -> Result<(), ScimError> {
    let now = broker.engine.now();
    let (present, waits) = broker.engine.read(|state| {
        let own = feeder.is_own(state, person);
        (
            Standing::of(state, person, now).filter(|_| own).map(|it| it.with_awaited(state, person)),
            feeder.side.is_none() && own && changes::waits(state, person),
        )
    });
    let mut wished = present.clone().or_else(|| waits.then(Standing::default)).ok_or_else(|| unknown(person))?;
    wish(&mut wished)?;
    if let Some(present) = &present {
        reports_to_somebody(broker, feeder, present, &wished, now)?;
    }
    let events = match &present {
        None if wished.active => return Err(unknown(person)),
        Some(present) if present.active || wished.active => changes::between(person, present, &wished, now.stamp),
        _ if waits => vec![changes::leaving(person, now.stamp)],
        _ => Vec::new(),
    };
    apply(broker, &feeder.caller, request_id, events).await
}

/// That whoever is to be the manager works here. HR's feed may name somebody who is yet to join, and the transfer happens
/// without a manager (docs/life-of-an-account.md); an identity system names a user, and a name that is none is a mistake in
/// it: roles would be cut for it.
fn reports_to_somebody(
    broker: &Broker,
    feeder: &Feeder,
    present: &Standing,
    wished: &Standing,
    now: Now,
) -> Result<(), ScimError> {
    let new = wished.manager.as_ref().filter(|_| wished.active && wished.manager != present.manager);
    let Some(manager) = new else { return Ok(()) };
    let is_here = broker.engine.read(|state| {
        let person = state.organisation().people().get(manager);
        person.is_some_and(|person| person.is_employed(now.latest) && person.tenant == feeder.side)
    });
    if is_here {
        return Ok(());
    }
    let unknown = Refusal::new(Reason::PersonUnknown, format!("`{manager}`")).with("person", manager);
    Err(refused(broker, unknown))
}

/// Sends events to the core as one command, if there are any.
async fn apply(
    broker: &Broker,
    caller: &VerifiedCaller,
    request_id: RequestId,
    events: Vec<HrEvent>,
) -> Result<(), ScimError> {
    if events.is_empty() {
        return Ok(());
    }
    // A client that takes 409 for a failure sends the same again and again: one hold is enough.
    let waiting =
        broker.read(caller, |state, viewer, now| Ok(changes::waiting(state, viewer.account()?, &events, now)));
    if let Some(hold) = waiting.map_err(|refusal| refused(broker, refusal))? {
        return Err(ScimError::held(hold));
    }
    let command = Command::from(ApplyHrEvents { place: None, events: events.clone() });
    let done = broker.carry_out(caller, Mutation { request_id, command }).await;
    done.map_err(|refusal| refused(broker, refusal))?;
    let held = broker.engine.read(|state| changes::held_in(state, &events));
    held.map_or(Ok(()), |hold| Err(ScimError::held(hold)))
}

fn shown(broker: &Broker, feeder: &Feeder, person: &PersonId) -> Result<Value, ScimError> {
    let now = broker.engine.now();
    let found = broker.engine.read(|state| user::shown(state, person, now).filter(|_| feeder.is_own(state, person)));
    found.ok_or_else(|| unknown(person))
}

/// A caller who speaks for HR, of a tenant or of the own organisation, and sees only that side's people.
struct Feeder {
    caller: VerifiedCaller,
    side: Option<TenantName>,
}

impl Feeder {
    fn is_own(&self, state: &crate::domain::state::State, person: &PersonId) -> bool {
        state.organisation().people().get(person).is_none_or(|person| person.tenant == self.side)
    }
}

/// Who calls, if it may speak for HR at all; asked before a body is read (known failure G14).
fn feeder(broker: &Broker, request: &Request) -> Result<Feeder, ScimError> {
    let name = CapabilityName::HrFeed.as_str();
    let missing = || Refusal::new(Reason::CapabilityMissing, format!("`{name}`")).with("capability", name);
    let caller = broker.caller_of(request.extensions()).map_err(|refusal| refused(broker, refusal))?;
    let allowed = broker.read(&caller, |state, viewer, now| {
        let id = viewer.account()?;
        let held = state.organisation().capability(id, CapabilityName::HrFeed, now.latest);
        held.map(|_| state.organisation().tenant_of_account(id).cloned()).ok_or_else(missing)
    });
    let side = allowed.map_err(|refusal| refused(broker, refusal))?;
    Ok(Feeder { caller, side })
}

/// Counts a refusal, and turns it into an answer.
fn refused(broker: &Broker, refusal: Refusal) -> ScimError {
    let error = ScimError::from(&refusal);
    drop(broker.counted(refusal));
    error
}

/// The person of the path. An id has no letter that a path would have to escape, and some clients escape more than they have to.
fn person(request: &Request) -> Result<PersonId, ScimError> {
    let segment = request.uri().path().rsplit('/').next().unwrap_or_default();
    let id = percent_encoding::percent_decode_str(segment).decode_utf8_lossy();
    id.parse().map_err(|_| ScimError::from(&Refusal::not_found("user", crate::domain::value::ids::excerpt(&id))))
}

/// Whom a call changes, its id, and what of the user is to be answered. No versions are kept, so that a change which is bound
/// to one is none of what is here (RFC 9110 13.1.1).
fn changed(request: &Request) -> Result<(PersonId, RequestId, Partial), ScimError> {
    let found = (person(request)?, request_id(request.headers())?, asked_part(request)?);
    if request.headers().get_all(header::IF_MATCH).iter().any(|version| version != "*") {
        let detail = "`If-Match`: no versions are kept here, see `/scim/v2/ServiceProviderConfig`; send it without";
        return Err(ScimError::new(StatusCode::PRECONDITION_FAILED, detail));
    }
    Ok(found)
}

fn asked_part(request: &Request) -> Result<Partial, ScimError> {
    Partial::read(request.uri().query().unwrap_or_default())
}

fn unknown(person: &PersonId) -> ScimError {
    ScimError::from(&Refusal::not_found("user", person))
}

/// The caller's own id of the call, so that a call whose answer was lost can be sent again; otherwise a new one.
fn request_id(headers: &HeaderMap) -> Result<RequestId, ScimError> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(key) = given.next() else { return Ok(uuid::Uuid::new_v4().into()) };
    let key = key.to_str().unwrap_or_default();
    // As a string of RFC 8941 it stands in quotes.
    let bare = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    match (bare.parse::<RequestId>(), given.next()) {
        (Ok(id), None) => Ok(id),
        _ => Err(ScimError::invalid_value("`Idempotency-Key`: one UUID in lower-case hyphenated form is wanted")),
    }
}

/// A request's body: an object of the schema that is wanted, bounded before it is read (known failure G14).
async fn document(request: Request, schema: &str) -> Result<Map<String, Value>, ScimError> {
    let headers = request.headers();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !["application/scim+json", "application/json"].iter().any(|known| known.eq_ignore_ascii_case(kind)) {
        let detail = "the body is not said to be `application/scim+json`";
        return Err(ScimError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(ScimError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is encoded; send it as it is"));
    }
    let bytes = body::read(request.into_body()).await;
    let bytes = bytes.map_err(|unread| ScimError::new(unread.status, unread.text))?;
    let object = json::object(&bytes, json::Keys::AnyCase).map_err(ScimError::invalid_syntax)?;
    let schemas = reading::field(&object, "schemas").and_then(Value::as_array);
    let named = |list: &Vec<Value>| list.iter().filter_map(Value::as_str).any(|urn| urn.eq_ignore_ascii_case(schema));
    if schemas.is_some_and(named) {
        Ok(object)
    } else {
        Err(ScimError::invalid_syntax(format!("`schemas` does not name `{schema}`")))
    }
}
