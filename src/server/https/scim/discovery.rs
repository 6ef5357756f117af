//! What a client reads to find out what is spoken here (RFC 7644 4). The same for everybody who has a certificate.

use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Answer, ScimError};
use super::query::MOST_RESULTS;
use super::user::{CORE, ENTERPRISE, OWN};

const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

pub(super) fn service_provider_config() -> Value {
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

pub(super) fn resource_types() -> Value {
    listed(vec![user_type()])
}

pub(super) async fn resource_type(request: Request) -> Result<Response, ScimError> {
    if last(&request) == "User" { Ok(Answer::ok(user_type())) } else { Err(ScimError::nowhere()) }
}

pub(super) fn schemas() -> Value {
    listed(all_schemas())
}

pub(super) async fn schema(request: Request) -> Result<Response, ScimError> {
    let wanted = last(&request);
    let found = all_schemas().into_iter().find(|schema| schema.get("id").and_then(Value::as_str) == Some(wanted));
    found.map(Answer::ok).ok_or_else(ScimError::nowhere)
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

fn all_schemas() -> Vec<Value> {
    let name = "a label, accepted but not kept; the immutable person id is shown instead";
    let id = "the immutable person id: it is given once, and a person who comes back has it again";
    let value = json!([attribute("value", "string", "readWrite", "the manager's person id")]);
    let mut manager = attribute("manager", "complex", "readWrite", "the manager of record");
    if let Value::Object(manager) = &mut manager {
        manager.insert("subAttributes".to_owned(), value);
    }
    let mut logins = attribute("logins", "string", "readWrite", "the SPIFFE IDs of the person's certificates");
    if let Value::Object(logins) = &mut logins {
        logins.insert("multiValued".to_owned(), true.into());
    }
    vec![
        schema_of(
            CORE,
            "User",
            &[
                attribute("userName", "string", "readWrite", name),
                attribute("externalId", "string", "immutable", id),
                attribute("active", "boolean", "readWrite", "works here; `false` takes everything away at once"),
            ],
        ),
        schema_of(ENTERPRISE, "EnterpriseUser", &[manager]),
        schema_of(
            OWN,
            "Logins",
            &[logins, attribute("leavesAt", "dateTime", "readOnly", "when the person leaves, if that is announced")],
        ),
    ]
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
        "uniqueness": if matches!(name, "userName" | "externalId" | "logins") { "server" } else { "none" },
    })
}
