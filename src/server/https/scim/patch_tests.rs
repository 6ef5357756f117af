use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;

use super::*;

fn ana() -> Standing {
    Standing {
        active: true,
        manager: Some("ines".parse().unwrap()),
        logins: ["spiffe://n.example/ana".parse().unwrap()].into(),
        ..Standing::default()
    }
}

fn patched(operations: Value) -> Result<Standing, ScimError> {
    let message = json!({ "Operations": operations });
    let mut wished = ana();
    for operation in Operation::read_all(message.as_object().unwrap())? {
        operation.onto(&mut wished, &"ana".parse().unwrap())?;
    }
    Ok(wished)
}

#[track_caller]
fn one(operation: Value) -> Standing {
    patched(json!([operation])).unwrap()
}

#[track_caller]
fn refused(operations: Value) {
    let error = patched(operations.clone()).expect_err(&operations.to_string());
    assert_eq!(error.into_response().status(), StatusCode::BAD_REQUEST, "{operations}");
}

#[test]
fn deactivation_is_understood_as_every_identity_system_writes_it() {
    for operation in [
        json!({ "op": "replace", "path": "active", "value": false }),
        json!({ "op": "Replace", "path": "active", "value": "False" }),
        json!({ "op": "replace", "value": { "active": false } }),
        json!({ "OP": "Add", "Path": "ACTIVE", "value": "false" }),
        json!({ "op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": false }),
        json!({ "op": "replace", "value": { "active": "False", "displayName": "Ana", "name.givenName": "Ana" } }),
    ] {
        assert_eq!(one(operation.clone()), Standing { active: false, ..ana() }, "{operation}");
    }
}

#[test]
fn a_manager_is_named_in_many_ways_and_taken_away_in_some() {
    let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let moved = Standing { manager: Some("omar".parse().unwrap()), ..ana() };
    for operation in [
        json!({ "op": "replace", "path": format!("{urn}:manager"), "value": "omar" }),
        json!({ "op": "add", "path": format!("{urn}:manager"), "value": { "value": "omar", "displayName": "Omar" } }),
        json!({ "op": "add", "path": format!("{urn}:manager"), "value": [{ "$ref": "../Users/omar", "value": "omar" }] }),
        json!({ "op": "Replace", "path": format!("{urn}:manager.value"), "value": "omar" }),
        json!({ "op": "replace", "value": { urn: { "manager": { "value": "omar" }, "department": "People" } } }),
        json!({ "op": "replace", "value": { format!("{urn}:manager"): "omar" } }),
        json!({ "op": "Add", "path": "manager", "value": [{ "$ref": "http://n.example/Users/omar", "value": "omar" }] }),
        json!({ "op": "replace", "path": urn, "value": { "manager": "omar", "department": "People" } }),
        json!({ "op": "Add", "path": format!("\"{urn}\""), "value": { "manager": { "value": "omar" } } }),
        json!({ "op": "replace", "path": format!("\"{urn}\":manager"), "value": "omar" }),
        json!({ "op": "replace", "path": format!("{urn}.manager.value"), "value": "omar" }),
        json!({ "op": "replace", "path": urn.to_uppercase(), "value": { "MANAGER": "omar" } }),
    ] {
        assert_eq!(one(operation.clone()), moved, "{operation}");
    }
    let alone = Standing { manager: None, ..ana() };
    assert_eq!(one(json!({ "op": "remove", "path": format!("{urn}:manager") })), alone);
    assert_eq!(one(json!({ "op": "replace", "path": format!("{urn}:manager"), "value": null })), alone);
    for operation in [
        json!({ "op": "remove", "path": urn }),
        json!({ "op": "replace", "path": urn, "value": null }),
        json!({ "op": "replace", "path": urn, "value": { "manager": [] } }),
        json!({ "op": "Remove", "path": "manager", "value": [{ "value": "ines" }] }),
    ] {
        assert_eq!(one(operation.clone()), alone, "{operation}");
    }
    // nothing is said of who it is by a name, nor by the end of another one
    for operation in [
        json!({ "op": "replace", "path": format!("{urn}:manager"), "value": { "displayName": "Omar O." } }),
        json!({ "op": "replace", "path": urn, "value": { "manager": { "displayName": "Omar O." }, "grade": 7 } }),
        json!({ "op": "replace", "path": urn, "value": {} }),
        json!({ "op": "replace", "value": { urn: null } }),
        json!({ "op": "Remove", "path": "manager", "value": [{ "value": "omar" }] }),
    ] {
        assert_eq!(one(operation.clone()), ana(), "{operation}");
    }
}

#[test]
fn what_is_not_assigned_takes_away_what_can_be_and_no_more() {
    for operation in [
        json!({ "op": "replace", "path": "roles", "value": [] }),
        json!({ "op": "add", "path": "entitlements", "value": null }),
        json!({ "op": "remove", "path": "roles[primary eq \"True\"].value" }),
        json!({ "op": "remove", "path": "password" }),
        json!({ "op": "replace", "value": { "active": null, "externalId": null, "roles": null, "password": [] } }),
        json!({ "op": "add", "path": format!("{OWN}:logins"), "value": [] }),
        json!({ "op": "remove", "path": format!("{OWN}:logins"), "value": [] }),
        json!({ "op": "add", "path": OWN, "value": { "schemas": [OWN], "logins": [] } }),
        json!({ "op": "replace", "path": "urn:example:custom:2.0:User", "value": { "badge": 7 } }),
        json!({ "op": "replace", "path": "shoeSize", "value": 43 }),
    ] {
        assert_eq!(one(operation.clone()), ana(), "{operation}");
    }
    let gone = Standing { logins: [].into(), is_whole: true, ..ana() };
    for operation in [
        json!({ "op": "replace", "path": OWN, "value": { "logins": null } }),
        json!({ "op": "replace", "path": format!("{OWN}:logins"), "value": [] }),
        json!({ "op": "remove", "path": OWN }),
    ] {
        assert_eq!(one(operation.clone()), gone, "{operation}");
    }
    for operation in [
        json!({ "op": "replace", "path": "active", "value": null }),
        json!({ "op": "replace", "path": "externalId", "value": null }),
        json!({ "op": "remove", "path": "urn:ietf:params:scim:schemas:core:2.0:User" }),
        json!({ "op": "replace", "path": "roles[primary eq \"True\"].value", "value": "admin" }),
        json!({ "op": "remove", "path": format!("{OWN}:logins"), "valeu": ["spiffe://n.example/ana"] }),
        json!({ "op": "replace", "pth": "active", "value": { "active": false } }),
        json!({ "op": "replace", "path": "urn:example:custom:2.0:User", "value": { "manager": "omar" } }),
        json!({ "op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": { "vlaue": "omar" } }),
        json!({ "op": "replace", "path": ENTERPRISE, "value": "omar" }),
        json!({ "op": "replace", "path": ENTERPRISE, "value": { "mangaer": "omar" } }),
    ] {
        refused(json!([operation]));
    }
}

#[test]
fn logins_are_added_replaced_and_removed() {
    let path = "urn:countersign:params:scim:schemas:extension:1.0:User:logins";
    let (old, new) = ("spiffe://n.example/ana", "spiffe://n.example/ana-2");
    let logins = |operation| one(operation).logins.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(logins(json!({ "op": "add", "path": path, "value": [new] })), [old, new]);
    assert_eq!(logins(json!({ "op": "add", "path": path, "value": { "value": new } })), [old, new]);
    assert_eq!(logins(json!({ "op": "replace", "path": path, "value": [new] })), [new]);
    for gone in [
        json!({ "op": "remove", "path": path }),
        json!({ "op": "remove", "path": path, "value": [old] }),
        json!({ "op": "Remove", "path": format!("{path}[value eq \"{old}\"]") }),
        json!({ "op": "replace", "path": path, "value": null }),
    ] {
        assert!(logins(gone.clone()).is_empty(), "{gone}");
    }
    assert_eq!(logins(json!({ "op": "remove", "path": path, "value": [new] })), [old]);
}

#[test]
fn operations_go_in_order_and_labels_say_nothing() {
    let wished = patched(json!([
        { "op": "replace", "path": "active", "value": false },
        { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "ana@n.example" },
        { "op": "replace", "path": "userName", "value": "ana.b@n.example" },
        { "op": "remove", "path": "name.middleName" },
        { "op": "add", "path": "active", "value": true },
        { "op": "replace", "path": "externalId", "value": "ana" },
    ]));
    assert_eq!(wished.unwrap(), ana());
}

#[test]
fn what_is_not_understood_changes_nothing() {
    let path = "urn:countersign:params:scim:schemas:extension:1.0:User:logins";
    for operation in [
        json!({ "op": "move", "path": "active", "value": false }),
        json!({ "path": "active", "value": false }),
        json!({ "op": "replace", "path": "active" }),
        json!({ "op": "replace", "path": "active", "value": 0 }),
        json!({ "op": "replace", "path": "active", "value": "no" }),
        json!({ "op": "replace", "path": "active.value", "value": false }),
        json!({ "op": "remove", "path": "active" }),
        json!({ "op": "remove" }),
        json!({ "op": "replace", "value": false }),
        json!({ "op": "replace", "path": 7, "value": false }),
        json!({ "op": "replace", "path": "externalId", "value": "bob" }),
        json!({ "op": "remove", "path": "id" }),
        json!({ "op": "replace", "path": "activ", "value": false }),
        json!({ "op": "add", "path": "roles", "value": ["admin"] }),
        json!({ "op": "replace", "value": { "password": "x" } }),
        json!({ "op": "replace", "path": "mangaer", "value": "omar" }),
        json!({ "op": "add", "path": path, "value": ["ana@n.example"] }),
        json!({ "op": "add", "path": path, "value": [7] }),
        json!({ "op": "remove", "path": format!("{path}[value co \"a\"]") }),
        json!({ "op": "replace", "path": format!("{path}[value eq \"spiffe://n.example/ana\"]"), "value": [] }),
        json!("replace"),
    ] {
        refused(json!([operation]));
    }
    refused(json!([]));
    refused(json!({ "op": "replace" }));
    refused(vec![json!({ "op": "remove", "path": "title" }); MOST_OPERATIONS + 1].into());
}
