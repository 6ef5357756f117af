//! One user after the other: created, found, changed, replaced, taken out.

use serde_json::{Value, json};
use tonic::codegen::http::Method;

use crate::harness::{Broker, CORE, ENTERPRISE, Http, OWN, USERS, request};

fn zoe() -> Value {
    json!({
        "schemas": [CORE, ENTERPRISE, OWN],
        "userName": "zoe@northwind.example",
        "externalId": "zoe",
        "name": { "givenName": "Zoe" },
        "emails": [{ "value": "zoe@northwind.example", "primary": true }],
        "active": true,
        ENTERPRISE: { "manager": { "value": "ines" }, "department": "Orders" },
        OWN: { "logins": ["spiffe://northwind.example/person/zoe"] },
    })
}

#[tokio::test]
async fn a_user_who_is_created_joins_and_is_found() {
    let broker = Broker::start();
    // when HR's system creates somebody, who has a label and an immutable id
    let reply = broker.hr(Method::POST, USERS, Some(zoe())).await;
    assert_eq!(reply.headers["location"], "/scim/v2/Users/zoe");
    let user = reply.is(201);
    // then the person is on record under that id, with manager and logins, and may log in
    assert_eq!((&user["id"], &user["userName"], &user["active"]), (&json!("zoe"), &json!("zoe"), &json!(true)));
    assert_eq!(user[ENTERPRISE]["manager"]["value"], "ines");
    assert_eq!(user[OWN]["logins"], json!(["spiffe://northwind.example/person/zoe"]));
    assert_eq!(broker.hr_events(), [("zoe".to_owned(), "JOINED")]);
    // and is found, by the filters that identity systems use first
    assert_eq!(broker.get("/scim/v2/Users/zoe").await.is(200), user);
    for filter in ["userName%20eq%20%22zoe%22", "externalId+eq+%22zoe%22", "ID%20EQ%20%22zoe%22"] {
        let found = broker.get(&format!("{USERS}?filter={filter}")).await.is(200);
        assert_eq!((&found["totalResults"], &found["Resources"]), (&json!(1), &json!([user])), "{filter}");
    }
    let none = broker.get(&format!("{USERS}?filter=userName%20eq%20%22Zoe%22")).await.is(200);
    assert_eq!((&none["totalResults"], &none["Resources"]), (&json!(0), &json!([])));
    // and is not created again, nor anybody with the same login
    broker.hr(Method::POST, USERS, Some(zoe())).await.is_error(409, Some("uniqueness"), "PERSON_KNOWN: ");
    let mut other = zoe();
    other["externalId"] = "zora".into();
    broker.hr(Method::POST, USERS, Some(other)).await.is_error(409, Some("uniqueness"), "IDENTITY_TAKEN: ");
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let broker = Broker::start();
    let (mut ids, mut start) = (Vec::new(), 1);
    loop {
        let page = broker.get(&format!("{USERS}?startIndex={start}&count=25")).await.is(200);
        let users = page["Resources"].as_array().unwrap().clone();
        assert_eq!((&page["startIndex"], &page["itemsPerPage"]), (&json!(start), &json!(users.len())));
        if users.is_empty() {
            assert_eq!(page["totalResults"], ids.len());
            break;
        }
        start += users.len();
        ids.extend(users.iter().map(|user| user["id"].as_str().unwrap().to_owned()));
    }
    // then these are the own organisation's, and none of a customer's
    let people = broker.running().engine().read(|state| {
        let own = state.organisation().people().iter().filter(|(_, person)| person.tenant.is_none());
        own.map(|(id, _)| id.to_string()).collect::<Vec<_>>()
    });
    assert_eq!(ids, people);
    assert!(people.iter().all(|id| !id.starts_with("acme.")));
}

#[tokio::test]
async fn a_customers_system_provisions_its_own_people_and_sees_no_others() {
    let broker = Broker::start();
    let idp = async |method: Method, path: &str, body: Option<Value>| broker.call("acme.idp", method, path, body).await;
    // given a customer's identity system, which lists its own people alone
    let listed = idp(Method::GET, USERS, None).await.is(200);
    assert_eq!((&listed["totalResults"], &listed["Resources"][0]["id"]), (&json!(2), &json!("acme.lena")));
    // when it creates one of its own, then there is an account at once
    let nils = json!({ "schemas": [CORE, OWN], "externalId": "acme.nils", "userName": "nils",
        OWN: { "logins": ["spiffe://acme.example/person/nils"] } });
    idp(Method::POST, USERS, Some(nils)).await.is(201);
    let has_account = broker.running().engine().read(|state| state.organisation().accounts().contains_key("acme.nils"));
    assert!(has_account);
    // and others are not there for it, whether they are or not
    for who in ["ana", "nobody"] {
        let path = format!("{USERS}/{who}");
        idp(Method::GET, &path, None).await.is_error(404, None, "NOT_FOUND: ");
        idp(Method::DELETE, &path, None).await.is_error(404, None, "NOT_FOUND: ");
        let joins = json!({ "schemas": [CORE], "externalId": who, "userName": who });
        idp(Method::POST, USERS, Some(joins)).await.is_error(403, None, "OUTSIDE_TENANT: ");
    }
    // nor is a customer's person there for the own organisation's HR
    broker.hr(Method::DELETE, &format!("{USERS}/acme.lena"), None).await.is_error(404, None, "NOT_FOUND: ");
}

#[tokio::test]
async fn a_call_that_is_sent_again_takes_effect_once() {
    let broker = Broker::start();
    let leaf = broker.organisation.leaf("hr-sync");
    let key = uuid::Uuid::new_v4().to_string();
    let keyed = |body: Value| {
        let mut request = request(Method::POST, USERS, Some(body));
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        request
    };
    let first = broker.send(Some(&leaf), Http::One, keyed(zoe())).await.unwrap().is(201);
    let again = broker.send(Some(&leaf), Http::Two, keyed(zoe())).await.unwrap().is(201);
    assert_eq!(first, again);
    assert_eq!(broker.hr_events(), [("zoe".to_owned(), "JOINED")]);
    // and another body under the same key is refused
    let mut other = zoe();
    other["externalId"] = "zora".into();
    let reply = broker.send(Some(&leaf), Http::One, keyed(other)).await.unwrap();
    reply.is_error(409, None, "REQUEST_ID_REUSED: ");
}

#[tokio::test]
async fn a_patch_moves_and_renames() {
    let broker = Broker::start();
    broker.hr(Method::POST, USERS, Some(zoe())).await.is(201);
    // when the manager changes, in the words of Entra ID
    let path = format!("{ENTERPRISE}:manager");
    let user = broker.patch("zoe", json!([{ "op": "Replace", "path": path, "value": "omar" }])).await.is(200);
    assert_eq!(user[ENTERPRISE]["manager"]["value"], "omar");
    // and a login is added, in the words of Okta
    let logins = "spiffe://northwind.example/person/zoe.b";
    let value = json!({ "displayName": "Zoe B", OWN: { "logins": [logins] } });
    let user = broker.patch("zoe", json!([{ "op": "replace", "value": value }])).await.is(200);
    assert_eq!(user[OWN]["logins"], json!([logins]));
    let expected = [("zoe", "JOINED"), ("zoe", "TRANSFERRED"), ("zoe", "RENAMED")];
    assert_eq!(broker.hr_events(), expected.map(|(who, what)| (who.to_owned(), what)));
    // and what changes nothing is no event
    let user_again = broker.patch("zoe", json!([{ "op": "replace", "value": value }])).await.is(200);
    assert_eq!(user_again, user);
    assert_eq!(broker.hr_events().len(), 3);
}

#[tokio::test]
async fn a_put_is_compared_with_the_record() {
    let broker = Broker::start();
    broker.hr(Method::POST, USERS, Some(zoe())).await.is(201);
    let put = async |body: Value| broker.hr(Method::PUT, "/scim/v2/Users/zoe", Some(body)).await;
    // the same again says nothing; nor does what asserts nothing that is kept
    put(zoe()).await.is(200);
    let bare = put(json!({ "schemas": [CORE], "userName": "zoe", "title": "Engineer" })).await.is(200);
    assert_eq!(bare[OWN]["logins"], json!(["spiffe://northwind.example/person/zoe"]));
    assert_eq!(broker.hr_events().len(), 1);
    // another manager and another login are two events of one command
    let mut other = zoe();
    other[ENTERPRISE]["manager"]["value"] = "omar".into();
    other[OWN]["logins"] = json!([]);
    let user = put(other).await.is(200);
    assert_eq!((&user[ENTERPRISE]["manager"]["value"], &user[OWN]["logins"]), (&json!("omar"), &json!([])));
    let expected = [("zoe", "JOINED"), ("zoe", "RENAMED"), ("zoe", "TRANSFERRED")];
    assert_eq!(broker.hr_events(), expected.map(|(who, what)| (who.to_owned(), what)));
    // and a manager who would be one's own is refused
    let mut cycle = zoe();
    cycle[ENTERPRISE]["manager"]["value"] = "zoe".into();
    put(cycle).await.is_error(400, Some("invalidValue"), "MANAGER_CYCLE: ");
    // nobody joins under a manager who is not known
    let mut orphan = zoe();
    orphan["externalId"] = "zora".into();
    orphan[OWN]["logins"] = json!([]);
    orphan[ENTERPRISE]["manager"]["value"] = "nobody".into();
    broker.hr(Method::POST, USERS, Some(orphan)).await.is_error(400, Some("invalidValue"), "PERSON_UNKNOWN: ");
}
