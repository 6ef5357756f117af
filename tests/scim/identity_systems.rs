//! What Entra ID and Okta really send, word for word but for the names: their order of calls, their cases, truth as text,
//! paths with filters, values without a path, labels of every kind (known failures B5 and D4).

use serde_json::{Value, json};
use tonic::codegen::http::Method;

use crate::harness::{Broker, CORE, ENTERPRISE, OWN, USERS};

const LOGIN: &str = "spiffe://northwind.example/person/zoe";

/// Asks first, as both do, then creates.
async fn created(broker: &Broker, body: Value) -> Value {
    let ask = format!("{USERS}?filter=userName+eq+%22zoe%40northwind.example%22&startIndex=1&count=100");
    let none = broker.get(&ask).await.is(200);
    assert_eq!((&none["totalResults"], &none["Resources"]), (&json!(0), &json!([])));
    broker.hr(Method::POST, USERS, Some(body)).await.is(201)
}

fn said(broker: &Broker) -> Vec<&'static str> {
    broker.hr_events().into_iter().filter(|(who, _)| who == "zoe").map(|(_, what)| what).collect()
}

#[tokio::test]
async fn what_entra_id_sends_from_the_first_cycle_to_the_last() {
    let broker = Broker::start();
    // given its test of the connection, with an id that nobody has, and somebody created
    let guid = format!("{USERS}?filter=userName%20eq%20%226f3e0f5c-4a07-4d2f-9f4b-1c0a5d2f0f0a%22");
    assert_eq!(broker.get(&guid).await.is(200)["totalResults"], json!(0));
    let body = json!({
        "schemas": [CORE, ENTERPRISE],
        "externalId": "zoe",
        "userName": "zoe@northwind.example",
        "active": true,
        "displayName": "Zoe Zwart",
        "emails": [{ "primary": true, "type": "work", "value": "zoe@northwind.example" }],
        "meta": { "resourceType": "User" },
        "name": { "formatted": "Zoe Zwart", "familyName": "Zwart", "givenName": "Zoe" },
        ENTERPRISE: { "department": "Orders", "manager": { "value": "ines" } },
    });
    assert_eq!(created(&broker, body).await["id"], "zoe");
    // when labels change, in every form of it
    let manager = format!("{ENTERPRISE}:manager");
    for operations in [
        json!([{ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "zz@northwind.example" }]),
        json!([{ "op": "Add", "path": "addresses[type eq \"work\"].formatted", "value": "1, Quay" }]),
        json!([{ "op": "Replace", "path": "name.familyName", "value": "Zwaan" },
               { "op": "Add", "path": format!("{ENTERPRISE}:employeeNumber"), "value": "4711" },
               { "op": "Remove", "path": "phoneNumbers[type eq \"mobile\"].value" }]),
        json!([{ "op": "replace", "value": {
            "userName": "zz@northwind.example", "name.givenName": "Zo", "emails[type eq \"work\"].value": "zz@n.example",
            format!("{ENTERPRISE}:department"): "Payments", format!("{manager}.displayName"): "omar",
        } }]),
        json!([{ "op": "Replace", "path": format!("{manager}.displayName"), "value": "omar" }]),
        json!([{ "op": "replace", "value": { ENTERPRISE: { "manager.displayName": "omar", "manager.$ref": "../omar" } } }]),
    ] {
        // then nothing happens, least of all another manager because of a name
        let user = broker.patch("zoe", operations.clone()).await.is(200);
        assert_eq!(user[ENTERPRISE]["manager"]["value"], "ines", "{operations}");
        assert_eq!(said(&broker), ["JOINED"], "{operations}");
    }
    // when the manager changes, in each of its forms, with the same outcome
    for (number, operation) in [
        json!({ "op": "Add", "path": manager, "value": [{ "$ref": "http://n.example/Users/omar", "value": "omar" }] }),
        json!({ "op": "Replace", "path": manager, "value": "ines" }),
        json!({ "op": "Replace", "path": manager, "value": { "value": "omar" } }),
        json!({ "op": "replace", "path": format!("{manager}.value"), "value": "ines" }),
        json!({ "op": "replace", "value": { format!("{manager}.value"): "omar" } }),
        json!({ "op": "Replace", "value": { ENTERPRISE: { "manager": "ines" } } }),
    ]
    .into_iter()
    .enumerate()
    {
        let user = broker.patch("zoe", json!([operation])).await.is(200);
        assert_eq!(user[ENTERPRISE]["manager"]["value"], ["omar", "ines"][number % 2], "{operation}");
    }
    let user = broker.patch("zoe", json!([{ "op": "Remove", "path": manager }])).await.is(200);
    assert_eq!(user[ENTERPRISE], json!({}));
    assert_eq!(said(&broker)[1..], ["TRANSFERRED"; 7]);
    // when the user is taken out, truth being a text, then the answer and a search say so
    let out = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    assert_eq!(broker.patch("zoe", out.clone()).await.is(200)["active"], json!(false));
    let found = broker.get(&format!("{USERS}?filter=externalId%20eq%20%22zoe%22")).await.is(200);
    assert_eq!(found["Resources"][0]["active"], json!(false));
    broker.patch("zoe", out).await.is(200);
    assert_eq!(said(&broker)[8..], ["LEFT"]);
    // and deleted 30 days later: it is answered, and says nothing more
    for _ in 0..2 {
        assert_eq!(broker.hr(Method::DELETE, "/scim/v2/Users/zoe", None).await.status, 204);
    }
    assert_eq!(said(&broker)[8..], ["LEFT"]);
    // when the person comes back, then with nothing of what was
    let back = json!([{ "op": "Replace", "path": "active", "value": "True" }]);
    let user = broker.patch("zoe", back).await.is(200);
    assert_eq!((&user["active"], &user[OWN]["logins"], &user[ENTERPRISE]), (&json!(true), &json!([]), &json!({})));
    assert_eq!(said(&broker)[9..], ["JOINED"]);
}

#[tokio::test]
async fn what_okta_sends_from_the_first_push_to_the_last() {
    let broker = Broker::start();
    let profile = json!({
        "schemas": [CORE],
        "userName": "zoe@northwind.example",
        "name": { "givenName": "Zoe", "familyName": "Zwart" },
        "emails": [{ "primary": true, "value": "zoe@northwind.example", "type": "work" }],
        "displayName": "Zoe Zwart",
        "locale": "en-US",
        "externalId": "zoe",
        "groups": [],
        "active": true,
    });
    let mut created = created(&broker, profile.clone()).await;
    // when it is pushed again in whole, with what was answered before, and with logins of our own schema
    created["name"] = profile["name"].clone();
    broker.hr(Method::PUT, "/scim/v2/Users/zoe", Some(created.clone())).await.is(200);
    assert_eq!(said(&broker), ["JOINED"]);
    created[OWN] = json!({ "logins": [LOGIN] });
    let user = broker.hr(Method::PUT, "/scim/v2/Users/zoe", Some(created)).await.is(200);
    assert_eq!(user[OWN]["logins"], json!([LOGIN]));
    // and deactivated, without a path; and again
    for _ in 0..2 {
        let user = broker.patch("zoe", json!([{ "op": "replace", "value": { "active": false } }])).await.is(200);
        assert_eq!((&user["active"], &user[OWN]["logins"]), (&json!(false), &json!([])));
    }
    assert_eq!(said(&broker), ["JOINED", "RENAMED", "LEFT"]);
    // a profile that is pushed to somebody who left, and does not say that they work here, brings nobody back
    let mut late = profile.clone();
    late.as_object_mut().unwrap().remove("active");
    let user = broker.hr(Method::PUT, "/scim/v2/Users/zoe", Some(late)).await.is(200);
    assert_eq!((&user["active"], said(&broker).len()), (&json!(false), 3));
    // a password that is synchronised is refused, says how to go on, and is not said back
    let mut secret = profile;
    secret["externalId"] = "zora".into();
    secret["password"] = "1mz050nq".into();
    let reply = broker.hr(Method::POST, USERS, Some(secret)).await;
    let detail = reply.is_error(400, Some("invalidValue"), "`password` is not taken");
    assert!(detail.contains("certificates") && !detail.contains("1mz050nq"), "{detail}");
    // and groups are nowhere: they give nothing here
    for (method, path) in [(Method::GET, "/scim/v2/Groups?startIndex=1&count=100"), (Method::POST, "/scim/v2/Groups")] {
        let body = (method == Method::POST).then(|| json!({ "schemas": [], "displayName": "db-engineers" }));
        broker.hr(method, path, body).await.is_error(404, None, "nothing is here");
    }
}

#[tokio::test]
async fn filters_mean_one_person_however_they_are_quoted() {
    let broker = Broker::start();
    let all = broker.get(USERS).await.is(200)["totalResults"].as_u64().unwrap();
    assert!(all > 5);
    for (filter, found) in [
        ("userName%20eq%20%22ana%22", 1),
        ("userName+eq+%22ana%22", 1),
        ("userName%20Eq%20%22an%5Cu0061%22", 1),
        ("urn:ietf:params:scim:schemas:core:2.0:User:externalId%20eq%20%22ana%22", 1),
        // letters of another case, spaces and signs are other people
        ("userName%20eq%20%22Ana%22", 0),
        ("userName%20eq%20%22ana%20%22", 0),
        ("userName%20eq%20%22%22", 0),
        ("userName%20eq%20%22ana%5C%22%20or%20userName%20pr%20%5C%22%22", 0),
        ("userName%20eq%20%22O'Brien%22", 0),
        ("userName%20eq%20%22an%2561%22", 0),
        ("userName%20eq%20%22ana%00%22", 400),
        // what is not understood is refused, never passed over: that would be everybody
        ("userName%20eq%20'ana'", 400),
        ("userName%20eq%20ana", 400),
        ("userName%20eq%20%22ana", 400),
        ("userName%20eq%20%22ana%22%22", 400),
        ("userName%20eq%20%22ana%22%20or%20userName%20pr", 400),
        ("userName%20ne%20%22ana%22", 400),
        ("userName%20eq%20null", 400),
        ("urn:example:User:userName%20eq%20%22ana%22", 400),
        ("emails[type%20eq%20%22work%22]", 400),
        ("%22ana%22", 400),
        ("%80", 400),
    ] {
        let reply = broker.get(&format!("{USERS}?filter={filter}")).await;
        if found == 400 {
            assert_eq!((reply.status, reply.body["status"].as_str()), (400, Some("400")), "{filter}: {reply:?}");
        } else {
            let body = reply.is(200);
            assert_eq!(body["totalResults"], json!(found), "{filter}");
            assert_eq!(body["Resources"].as_array().unwrap().len(), found, "{filter}");
        }
    }
    let twice = format!("{USERS}?filter=userName%20eq%20%22ana%22&Filter=userName%20eq%20%22ben%22");
    broker.get(&twice).await.is_error(400, Some("invalidValue"), "`filter` is said twice");
}

#[tokio::test]
async fn paths_that_are_not_canonical_reach_nobody() {
    let broker = Broker::start();
    for path in [
        "//scim/v2/Users",
        "/scim/v2//Users/ana",
        "/scim/v2/Users/",
        "/scim/v2/Users//ana",
        "/scim/v2/Users/ana/",
        "/scim/v2/./Users/ana",
        "/scim/v2/Groups/../Users/ana",
        "/scim/v2/Users/%2e%2e/Users/ana",
        "/scim/v2/users/ana",
        "/SCIM/v2/Users/ana",
        "/scim/v2%2fUsers/ana",
        "/scim/v2/Users;x=1/ana",
        "/scim/v2/Users/ana;x=1",
        "/scim/v2/Users/ana%00",
        "/scim/v2/Users/.search",
        "/scim/v2/Bulk",
        "/scim/v2/Me",
    ] {
        for method in [Method::GET, Method::DELETE] {
            let reply = broker.hr(method.clone(), path, None).await;
            assert_eq!((reply.status, reply.body["status"].as_str()), (404, Some("404")), "{method} {path}: {reply:?}");
        }
    }
    for method in [Method::OPTIONS, Method::TRACE, "SEARCH".parse().unwrap()] {
        let reply = broker.hr(method, "/scim/v2/Users/ana", None).await;
        assert_eq!(reply.status, 405, "{reply:?}");
    }
    assert!(broker.hr_events().is_empty());
}

#[tokio::test]
async fn operations_of_one_patch_are_all_or_nothing_and_in_order() {
    let broker = Broker::start();
    let manager = format!("{ENTERPRISE}:manager");
    // when the last of several is wrong, then the first has no effect
    for last in [
        json!({ "op": "replace", "path": "active", "value": "perhaps" }),
        json!({ "op": "replace", "path": "externalId", "value": "ben" }),
        json!({ "op": "add", "path": "roles", "value": ["db-engineer"] }),
        json!({ "op": "move", "path": "active", "value": true }),
        json!({ "op": "replace", "path": "active", "value": true, "Value": false }),
        json!({ "op": "replace", "path": format!("{manager}.name"), "value": "omar" }),
    ] {
        let first = json!({ "op": "replace", "path": manager, "value": "omar" });
        let reply = broker.patch("ana", json!([first, last])).await;
        assert_eq!(reply.status, 400, "{last}: {reply:?}");
    }
    assert!(broker.hr_events().is_empty());
    // when one takes back what another said, then nothing happens; and who leaves does nothing besides
    let off = json!({ "op": "replace", "path": "active", "value": false });
    let on = json!({ "op": "replace", "path": "active", "value": true });
    broker.patch("ana", json!([off, on])).await.is(200);
    assert!(broker.hr_events().is_empty());
    let moved = json!({ "op": "replace", "path": manager, "value": "omar" });
    broker.patch("ana", json!([moved, off])).await.is(200);
    assert_eq!(broker.hr_events(), [("ana".to_owned(), "LEFT")]);
}
