//! What identity systems send besides what the standard's examples show, and Entra ID, Okta, OneLogin, JumpCloud and others
//! do: null for what they do not have, attributes of their own, a manager's name without an id, their own numbers as ids.
//! Each is understood as it is meant, or refused in SCIM's words; nothing is half applied (known failure D16).

use countersign::wire::v1 as pb;
use countersign::wire::v1::hr_event::Change;
use countersign::wire::v1::hr_service_client::HrServiceClient;
use serde_json::{Value, json};
use tonic::codegen::http::Method;

use crate::harness::{Broker, CORE, ENTERPRISE, Http, OWN, PATCH, USERS, request};

fn user(person: &str) -> Value {
    json!({ "schemas": [CORE, ENTERPRISE], "externalId": person, "userName": person, "active": true })
}

fn with(person: &str, key: &str, value: Value) -> Value {
    let mut user = user(person);
    user[key] = value;
    user
}

async fn post(broker: &Broker, body: Value) -> crate::harness::Reply {
    broker.hr(Method::POST, USERS, Some(body)).await
}

async fn manager_of(broker: &Broker, person: &str) -> Value {
    broker.get(&format!("{USERS}/{person}")).await.is(200)[ENTERPRISE]["manager"]["value"].clone()
}

#[tokio::test]
async fn a_manager_who_is_not_on_record_is_refused_however_it_is_said() {
    let broker = Broker::start();
    broker.patch("ben", json!([{ "op": "replace", "path": "active", "value": false }])).await.is(200);
    let before = broker.get(&format!("{USERS}/ana")).await.is(200);
    let (said, sequence) = (broker.hr_events(), broker.running().engine().sequence());
    // given a manager whom nobody knows, one who left, and a customer's person
    for nobody in ["not-here", "ben", "acme.lena"] {
        let (path, path_of_schema) = (format!("{ENTERPRISE}:manager"), json!({ "manager": nobody }));
        // when they are named, then it is refused in one way, and nothing else of it happens
        for operations in [
            json!([{ "op": "Add", "path": path, "value": nobody }]),
            json!([{ "op": "Replace", "path": path, "value": [{ "value": nobody }] }]),
            json!([{ "op": "replace", "value": { ENTERPRISE: { "manager": { "value": nobody } } } }]),
            json!([{ "op": "replace", "path": ENTERPRISE, "value": path_of_schema }]),
            json!([{ "op": "add", "path": format!("{OWN}:logins"), "value": ["spiffe://northwind.example/person/a2"] },
                   { "op": "replace", "path": "manager", "value": nobody }]),
        ] {
            broker.patch("ana", operations).await.is_error(400, Some("invalidValue"), "PERSON_UNKNOWN: ");
        }
        let body = with("ana", ENTERPRISE, json!({ "manager": { "value": nobody } }));
        let put = broker.hr(Method::PUT, &format!("{USERS}/ana"), Some(body)).await;
        put.is_error(400, Some("invalidValue"), "PERSON_UNKNOWN: ");
        let body = with("zoe", ENTERPRISE, json!({ "manager": { "value": nobody } }));
        post(&broker, body).await.is_error(400, Some("invalidValue"), "PERSON_UNKNOWN: ");
    }
    // and ana's manager, her roles and their ends are as they were
    assert_eq!(broker.get(&format!("{USERS}/ana")).await.is(200), before);
    assert_eq!(broker.hr_events(), said);
    let history = broker.running().engine().history();
    let page = countersign::journal::index::Page { after: Some(sequence), limit: 100, newest_first: false };
    let later = history.list(&countersign::journal::index::Filter::default(), page).unwrap();
    assert!(later.events.iter().all(|event| event.fact.kind().contains("refused")), "{:?}", later.events);
    // but whoever leaves does so, whoever else is named beside it
    let mut leaves = with("ana", ENTERPRISE, json!({ "manager": { "value": "not-here" } }));
    leaves["active"] = false.into();
    assert_eq!(broker.hr(Method::PUT, &format!("{USERS}/ana"), Some(leaves)).await.is(200)["active"], json!(false));
}

#[tokio::test]
async fn a_manager_with_a_name_and_no_id_says_nothing() {
    let broker = Broker::start();
    let named = json!({ "manager": { "displayName": "Ines I." } });
    // when somebody is created so, then without a manager
    let created = post(&broker, with("zoe", ENTERPRISE, named.clone())).await.is(201);
    assert_eq!(created[ENTERPRISE], json!({}));
    // and whoever has one keeps it
    for named in [named, json!({ "manager": { "displayName": "Omar O.", "value": null } }), json!({ "manager": {} })] {
        let body = with("ana", ENTERPRISE, named.clone());
        broker.hr(Method::PUT, &format!("{USERS}/ana"), Some(body)).await.is(200);
        broker.patch("ana", json!([{ "op": "replace", "value": { ENTERPRISE: named } }])).await.is(200);
        assert_eq!(manager_of(&broker, "ana").await, "ines", "{named}");
    }
    assert_eq!(broker.hr_events(), [("zoe".to_owned(), "JOINED")]);
    // but one who is named by where they are is meant, as /Schemas says
    let value = json!({ "$ref": "https://broker.example/scim/v2/Users/omar", "displayName": "Omar O." });
    broker.patch("ana", json!([{ "op": "replace", "path": "manager", "value": value }])).await.is(200);
    assert_eq!(manager_of(&broker, "ana").await, "omar");
}

#[tokio::test]
async fn null_and_the_empty_list_assign_nothing() {
    let broker = Broker::start();
    let keys = ["id", "active", "roles", "entitlements", "password", "x509Certificates", "manager", ENTERPRISE, OWN]
        .into_iter()
        .chain(["name", "emails", "groups", "shoeSize", "urn:example:custom:2.0:User"]);
    for (number, key) in keys.enumerate() {
        // when it is said of a new user, then they join as if it had been left out
        let nulls = post(&broker, with(&format!("null{number}"), key, Value::Null)).await;
        assert_eq!(nulls.is(201)["active"], json!(true), "{key}");
        let is_list = !key.starts_with("urn:");
        if is_list {
            post(&broker, with(&format!("list{number}"), key, json!([]))).await.is(201);
        }
        // and of one who is here, then it takes away what can be taken away, and that is the manager
        if key != "manager" {
            let body = with("ana", key, if is_list { json!([]) } else { Value::Null });
            broker.hr(Method::PUT, &format!("{USERS}/ana"), Some(body)).await.is(200);
            broker.patch("ana", json!([{ "op": "replace", "value": { key: null } }])).await.is(200);
            assert_eq!(manager_of(&broker, "ana").await, "ines", "{key}");
        }
    }
    assert!(broker.hr_events().iter().all(|(who, _)| who != "ana"));
    // without an external id the name is the id
    for nothing in [Value::Null, json!([])] {
        let mut body = user(if nothing.is_null() { "zoe" } else { "zora" });
        body["externalId"] = nothing;
        let id = body["userName"].clone();
        assert_eq!(post(&broker, body).await.is(201)["id"], id);
    }
    // and a user with neither is nobody
    let body = json!({ "schemas": [CORE], "externalId": null, "userName": [] });
    post(&broker, body).await.is_error(400, Some("invalidValue"), "`externalId`: missing");
    for nobody in [json!({ "manager": null }), json!({ "manager": [] })] {
        broker.patch("ana", json!([{ "op": "replace", "path": "manager", "value": "ines" }])).await.is(200);
        let body = with("ana", ENTERPRISE, nobody);
        assert_eq!(broker.hr(Method::PUT, &format!("{USERS}/ana"), Some(body)).await.is(200)[ENTERPRISE], json!({}));
    }
}

#[tokio::test]
async fn an_external_id_that_can_be_no_person_is_a_label_of_the_sender() {
    let broker = Broker::start();
    let okta = "00uq3Zt7HbXkPw5Rd4x9";
    let mut body = user(okta);
    body["userName"] = "rhea".into();
    // given a user whom Okta numbers itself
    let created = post(&broker, body.clone()).await.is(201);
    assert_eq!((&created["id"], &created["externalId"]), (&json!("rhea"), &json!("rhea")));
    // when it sends the same again, in whole or in part, then it is about the same person and says nothing
    broker.hr(Method::PUT, "/scim/v2/Users/rhea", Some(body.clone())).await.is(200);
    broker.patch("rhea", json!([{ "op": "replace", "value": { "externalId": okta, "active": true } }])).await.is(200);
    post(&broker, body.clone()).await.is_error(409, Some("uniqueness"), "PERSON_KNOWN: ");
    assert_eq!(broker.hr_events(), [("rhea".to_owned(), "JOINED")]);
    // and who has no id by either is nobody, and both are named
    body["userName"] = "rhea@northwind.example".into();
    let reply = post(&broker, body.clone()).await;
    let detail = reply.is_error(400, Some("invalidValue"), "`externalId`: ");
    assert!(detail.contains(okta) && detail.contains("`userName`"), "{detail}");
    // and what is no number of anybody's is still malformed
    for bad in ["", " ana", "zo\u{eb}", "zoe\n"] {
        let mut body = user(bad);
        body["userName"] = "zoe".into();
        post(&broker, body).await.is_error(400, Some("invalidValue"), "`externalId`");
    }
}

#[tokio::test]
async fn a_filter_asks_whether_a_reference_is_set() {
    let broker = Broker::start();
    for (filter, found) in [
        ("id eq \"ana\" and manager eq \"ines\"", 1),
        ("id eq \"ana\" and manager eq \"omar\"", 0),
        ("id eq \"nobody\" and manager eq \"ines\"", 0),
        ("ID EQ \"ana\" AND Manager.Value EQ \"ines\"", 1),
        (&format!("id eq \"ana\" and {ENTERPRISE}:manager eq \"ines\""), 1),
        (&format!("{}:manager.value eq \"ines\" and userName eq \"ana\"", ENTERPRISE.to_uppercase()), 1),
        ("userName eq \"ana\" and active eq true", 1),
        ("userName eq \"ana\" and active eq false", 0),
        ("userName eq \"ana\" and externalId eq \"ana\"", 1),
        ("userName eq \"ana\" and externalId eq \"ben\"", 0),
        ("externalId eq \"00uq3Zt7HbXkPw5Rd4x9\"", 0),
        ("id eq \"acme.lena\" and active eq true", 0),
        ("id eq \"ana\" or manager eq \"ines\"", 400),
        ("manager eq \"ines\"", 400),
        ("id eq \"ana\" and mangaer eq \"ines\"", 400),
    ] {
        let encoded = filter.replace(' ', "+").replace('"', "%22");
        let reply = broker.get(&format!("{USERS}?filter={encoded}&attributes=id")).await;
        if found == 400 {
            reply.is_error(400, Some("invalidFilter"), "");
        } else {
            let body = reply.is(200);
            assert_eq!(body["totalResults"], json!(found), "{filter}");
            let whole = found == 1;
            let expected = json!({ "schemas": [CORE, ENTERPRISE, OWN], "id": "ana" });
            assert_eq!(body["Resources"], if whole { json!([expected]) } else { json!([]) }, "{filter}");
        }
    }
}

/// Every key under a value, with those that lead to it; a schema's name leads to nothing.
fn keys(value: &Value, before: &str, found: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let name = if key.starts_with("urn:") { format!("{key}:") } else { format!("{before}{key}") };
        if !key.starts_with("urn:") {
            found.push(name.clone());
        }
        keys(value, &if key.starts_with("urn:") { name } else { format!("{name}.") }, found);
    }
}

#[tokio::test]
async fn what_is_answered_is_what_the_schemas_declare() {
    let broker = Broker::start();
    let schemas = broker.get("/scim/v2/Schemas").await.is(200);
    let mut declared = vec!["schemas".to_owned()];
    for schema in schemas["Resources"].as_array().unwrap() {
        let id = schema["id"].as_str().unwrap();
        let before = if id == CORE { String::new() } else { format!("{id}:") };
        for attribute in schema["attributes"].as_array().unwrap() {
            let name = format!("{before}{}", attribute["name"].as_str().unwrap());
            for part in attribute["subAttributes"].as_array().into_iter().flatten() {
                declared.push(format!("{name}.{}", part["name"].as_str().unwrap()));
            }
            declared.push(name);
        }
        // and each is found under its name, in whatever case
        assert_eq!(&broker.get(&format!("/scim/v2/Schemas/{}", id.to_uppercase())).await.is(200), schema);
    }
    // given users with all that one can have: a manager, logins, an announced leaving
    let mut hr = HrServiceClient::new(broker.person("hr-sync").await.channel);
    let time = prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 };
    let leaving = Change::Left(pb::Left { time: Some(time), urgent: false, also_approved: false });
    let events = vec![pb::HrEvent { person: "ana".to_owned(), change: Some(leaving) }];
    let request_id = uuid::Uuid::new_v4().to_string();
    let announced = pb::ApplyHrEventsRequest { request_id, events, ..Default::default() };
    hr.apply_hr_events(announced).await.unwrap();
    let users = broker.get(USERS).await.is(200);
    let mut shown = Vec::new();
    users["Resources"].as_array().unwrap().iter().for_each(|user| keys(user, "", &mut shown));
    for key in [format!("{ENTERPRISE}:manager.$ref"), format!("{OWN}:leavesAt"), format!("{OWN}:logins")] {
        assert!(shown.contains(&key), "{key}");
    }
    shown.retain(|key| !declared.contains(key));
    assert!(shown.is_empty(), "not declared: {shown:?}");
}

#[tokio::test]
async fn a_schemas_name_is_a_path() {
    let broker = Broker::start();
    let labels = json!({ "department": "Night", "employeeNumber": "7", "grade": "A" });
    for path in [ENTERPRISE.to_owned(), ENTERPRISE.to_uppercase(), format!("\"{ENTERPRISE}\"")] {
        broker.patch("ana", json!([{ "op": "Replace", "path": path, "value": labels }])).await.is(200);
        assert_eq!(manager_of(&broker, "ana").await, "ines");
    }
    let path = "urn:ietf:params:scim:schemas:extension:custom:2.0:User:badge";
    broker.patch("ana", json!([{ "op": "add", "path": path, "value": "7" }])).await.is(200);
    assert!(broker.hr_events().is_empty());
    let value = json!({ "manager": { "value": "omar" }, "department": "Night" });
    broker.patch("ana", json!([{ "op": "Add", "path": ENTERPRISE, "value": value }])).await.is(200);
    assert_eq!(manager_of(&broker, "ana").await, "omar");
    broker.patch("ana", json!([{ "op": "remove", "path": ENTERPRISE }])).await.is(200);
    assert_eq!(manager_of(&broker, "ana").await, Value::Null);
}

#[tokio::test]
async fn pages_parts_and_preconditions_are_right_or_refused() {
    let broker = Broker::start();
    // a page of nothing, and one beyond the end, still count
    let all = broker.get(USERS).await.is(200)["totalResults"].clone();
    for query in ["count=0", "startIndex=10000", "startIndex=99999999999&count=5&sortBy=userName"] {
        let page = broker.get(&format!("{USERS}?{query}")).await.is(200);
        assert_eq!((&page["totalResults"], &page["itemsPerPage"], &page["Resources"]), (&all, &json!(0), &json!([])));
    }
    // a part of a user is what was asked for, whatever is done
    let whole = broker.get(&format!("{USERS}/ana?excludedAttributes=members")).await.is(200);
    assert_eq!(whole, broker.get(&format!("{USERS}/ana")).await.is(200));
    let only = |user: &Value| {
        let object = user.as_object().unwrap();
        object.keys().map(String::as_str).filter(|key| !["id", "schemas"].contains(key)).collect::<Vec<_>>().join(" ")
    };
    let patch = json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "value": { "title": "x" } }] });
    for (method, path, body, status) in [
        (Method::GET, "/scim/v2/Users/ana", None, 200),
        (Method::PUT, "/scim/v2/Users/ana", Some(user("ana")), 200),
        (Method::PATCH, "/scim/v2/Users/ana", Some(patch.clone()), 200),
        (Method::POST, USERS, Some(user("zoe")), 201),
    ] {
        let path = format!("{path}?attributes=active,emails");
        assert_eq!(only(&broker.hr(method, &path, body).await.is(status)), "active");
    }
    let contradiction = format!("{USERS}?attributes=id&excludedAttributes=active");
    let both = broker.hr(Method::POST, &contradiction, Some(user("zora"))).await;
    both.is_error(400, Some("invalidValue"), "`attributes` and `excludedAttributes`");
    broker.get(&format!("{USERS}/zora")).await.is_error(404, None, "NOT_FOUND: ");
    // a change that is bound to a version finds none, and does not happen
    let leaf = broker.organisation.leaf("hr-sync");
    for (method, body) in [(Method::DELETE, None), (Method::PUT, Some(user("ana"))), (Method::PATCH, Some(patch))] {
        let bound = |version: &str| {
            let mut request = request(method.clone(), "/scim/v2/Users/ana", body.clone());
            request.headers_mut().insert("if-match", version.parse().unwrap());
            request
        };
        let reply = broker.send(Some(&leaf), Http::One, bound("W/\"7\"")).await.unwrap();
        reply.is_error(412, None, "`If-Match`: no versions are kept");
        if method != Method::DELETE {
            broker.send(Some(&leaf), Http::One, bound("*")).await.unwrap().is(200);
        }
    }
    assert_eq!(broker.hr_events(), [("zoe".to_owned(), "JOINED")]);
    // who only looks whether somebody is there is told so without a word, and what is not offered is named
    let head = broker.hr(Method::HEAD, "/scim/v2/Users/ana", None).await;
    assert_eq!((head.status, head.body), (200, Value::Null));
    assert_eq!(broker.hr(Method::HEAD, "/scim/v2/Users/nobody", None).await.status, 404);
    for (path, allowed) in [("/scim/v2/Users/ana", "PATCH"), ("/scim/v2/Schemas", "GET")] {
        let options = broker.hr(Method::OPTIONS, path, None).await;
        options.is_error(405, None, "no such method");
        assert!(options.headers["allow"].to_str().unwrap().contains(allowed), "{options:?}");
    }
    for path in ["/scim/v2/Schemas", "/scim/v2/ResourceTypes", "/scim/v2/ServiceProviderConfig"] {
        broker.get(path).await.is(200);
        // RFC 7644 4
        broker.get(&format!("{path}?filter=id+eq+%22x%22")).await.is_error(403, None, "`filter`");
    }
}
