//! What a client reads to find out what is spoken here (RFC 7644 4). The same for everybody who has a certificate.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Answer, ScimError};
use super::attribute::{CORE, ENTERPRISE, OWN};
use super::query::MOST_RESULTS;

const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

pub(super) async fn service_provider_config(request: Request) -> Result<Response, ScimError> {
    whole(&request).map(|()| Answer::ok(config()))
}

fn config() -> Value {
    let (is, not) = (json!({ "supported": true }), json!({ "supported": false }));
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": is,
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST_RESULTS },
        "changePassword": not,
        "sort": not,
        "etag": not,
        "authenticationSchemes": [{
            "type": "tlsclientcertificate",
            "name": "TLS client certificate",
            "description": "a certificate whose single URI is the SPIFFE ID of an account with the capability `hr.feed`",
            "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": "/scim/v2/ServiceProviderConfig" },
    })
}

pub(super) async fn resource_types(request: Request) -> Result<Response, ScimError> {
    whole(&request).map(|()| Answer::ok(listed(vec![user_type()])))
}

pub(super) async fn resource_type(request: Request) -> Result<Response, ScimError> {
    if last(&request) == "User" { Ok(Answer::ok(user_type())) } else { Err(ScimError::nowhere()) }
}

pub(super) async fn schemas(request: Request) -> Result<Response, ScimError> {
    whole(&request).map(|()| Answer::ok(listed(all_schemas())))
}

pub(super) async fn schema(request: Request) -> Result<Response, ScimError> {
    let wanted = last(&request);
    let is_wanted =
        |schema: &Value| schema.get("id").and_then(Value::as_str).is_some_and(|id| id.eq_ignore_ascii_case(wanted));
    let found = all_schemas().into_iter().find(is_wanted);
    found.map(Answer::ok).ok_or_else(ScimError::nowhere)
}

/// What is spoken is read whole (RFC 7644 4).
fn whole(request: &Request) -> Result<(), ScimError> {
    let mut keys = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    if keys.any(|key| key.eq_ignore_ascii_case("filter")) {
        return Err(ScimError::new(StatusCode::FORBIDDEN, "`filter`: this is read whole; leave it out"));
    }
    Ok(())
}

fn last(request: &Request) -> &str {
    request.uri().path().rsplit('/').next().unwrap_or_default()
}

fn listed(resources: Vec<Value>) -> Value {
    let total = resources.len();
    json!({
        "schemas": [LIST], "totalResults": total, "startIndex": 1, "itemsPerPage": total, "Resources": resources,
    })
}

fn user_type() -> Value {
    json!({
        "schemas": [RESOURCE_TYPE],
        "id": "User",
        "name": "User",
        "endpoint": "/Users",
        "description": "a person as HR knows one",
        "schema": CORE,
        "schemaExtensions": [{ "schema": ENTERPRISE, "required": false }, { "schema": OWN, "required": false }],
        "meta": { "resourceType": "ResourceType", "location": "/scim/v2/ResourceTypes/User" },
    })
}

/// Every key that a user is shown with but `schemas`, which says which of these are used.
fn all_schemas() -> Vec<Value> {
    let name = "a label, accepted but not kept; the immutable person id is shown instead";
    let id = "the immutable person id: it is given once, and a person who comes back has it again";
    let location = "where the user is, relative to this host";
    let meta = vec![
        attribute("resourceType", "string", "readOnly", "what it is: `User`"),
        with(attribute("location", "reference", "readOnly", location), "referenceTypes", json!(["uri"])),
        // Clients that make their types of this want them all (RFC 7643 3.1).
        attribute("created", "dateTime", "readOnly", "left out"),
        attribute("lastModified", "dateTime", "readOnly", "left out"),
        attribute("version", "string", "readOnly", "left out: no versions are kept"),
    ];
    let manager = vec![
        attribute("value", "string", "readWrite", "the manager's person id"),
        with(
            attribute("$ref", "reference", "readWrite", "where the manager is; read if there is no `value`"),
            "referenceTypes",
            json!(["User"]),
        ),
    ];
    let logins = attribute("logins", "string", "readWrite", "the SPIFFE IDs of the person's certificates");
    vec![
        schema_of(
            CORE,
            "User",
            &[
                with(attribute("id", "string", "readOnly", id), "returned", json!("always")),
                attribute("userName", "string", "readWrite", name),
                attribute("externalId", "string", "immutable", id),
                attribute("active", "boolean", "readWrite", "works here; `false` takes everything away at once"),
                with(attribute("meta", "complex", "readOnly", "what SCIM says of it"), "subAttributes", json!(meta)),
            ],
        ),
        schema_of(
            ENTERPRISE,
            "EnterpriseUser",
            &[with(
                attribute("manager", "complex", "readWrite", "the manager of record"),
                "subAttributes",
                json!(manager),
            )],
        ),
        schema_of(
            OWN,
            "Logins",
            &[
                with(logins, "multiValued", json!(true)),
                attribute("leavesAt", "dateTime", "readOnly", "when the person leaves, if that is announced"),
            ],
        ),
    ]
}

fn with(mut attribute: Value, key: &str, value: Value) -> Value {
    if let Value::Object(attribute) = &mut attribute {
        attribute.insert(key.to_owned(), value);
    }
    attribute
}

fn schema_of(id: &str, name: &str, attributes: &[Value]) -> Value {
    json!({
        "schemas": [SCHEMA],
        "id": id,
        "name": name,
        "attributes": attributes,
        "meta": { "resourceType": "Schema", "location": format!("/scim/v2/Schemas/{id}") },
    })
}

fn attribute(name: &str, kind: &str, mutability: &str, description: &str) -> Value {
    json!({
        "name": name,
        "type": kind,
        "description": description,
        "mutability": mutability,
        "multiValued": false,
        "required": name == "userName",
        "caseExact": kind == "string",
        "returned": "default",
        "uniqueness": if matches!(name, "id" | "userName" | "externalId" | "logins") { "server" } else { "none" },
    })
}
