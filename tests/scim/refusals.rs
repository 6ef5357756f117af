//! What is refused, in SCIM's words and with the broker's reason; nothing of it has any effect.

use serde_json::{Value, json};
use tonic::codegen::Bytes;
use tonic::codegen::http::{Method, Request};

use crate::harness::{Broker, CORE, ENTERPRISE, Http, OWN, PATCH, USERS, request};

fn user(person: &str) -> Value {
    json!({ "schemas": [CORE], "userName": person })
}

/// POST of bytes as they are.
fn post(kind: Option<&str>, body: impl Into<Bytes>) -> Request<Bytes> {
    let mut builder = Request::builder().method(Method::POST).uri(USERS);
    if let Some(kind) = kind {
        builder = builder.header("content-type", kind);
    }
    builder.body(body.into()).unwrap()
}

#[tokio::test]
async fn only_who_speaks_for_hr_reads_and_writes() {
    let broker = Broker::start();
    // given a machine, a person and an administrator without `hr.feed`
    for name in ["training-feed", "ana", "omar"] {
        for (method, path, body) in [
            (Method::GET, USERS, None),
            (Method::GET, "/scim/v2/Users/ben", None),
            (Method::POST, USERS, Some(user("zoe"))),
            (Method::DELETE, "/scim/v2/Users/ben", None),
        ] {
            // when it calls, then it is refused before anything is read
            broker.call(name, method, path, body).await.is_error(403, None, "CAPABILITY_MISSING: ");
        }
    }
    // and so is a person without an account, and a certificate that nobody is known by
    for name in ["pia", "mallory"] {
        broker.call(name, Method::GET, USERS, None).await.is_error(403, None, "NO_ACCOUNT: ");
    }
    // and a header names nobody (known failure D10)
    let mut spoofed = request(Method::GET, USERS, None);
    for name in ["x-forwarded-client-cert", "authorization", "x-remote-user"] {
        let value = "URI=spiffe://northwind.example/service/hr-sync";
        spoofed.headers_mut().insert(name, value.parse().unwrap());
    }
    let leaf = broker.organisation.leaf("training-feed");
    let reply = broker.send(Some(&leaf), Http::Two, spoofed).await.unwrap();
    reply.is_error(403, None, "CAPABILITY_MISSING: ");
    assert!(broker.hr_events().is_empty());
    broker.get("/scim/v2/Users/ben").await.is(200);
}

#[tokio::test]
async fn what_is_malformed_is_named_and_changes_nothing() {
    let broker = Broker::start();
    let leaf = broker.organisation.leaf("hr-sync");
    let before = broker.running().engine().sequence();
    let send = async |request| broker.send(Some(&leaf), Http::One, request).await.unwrap();
    let scim = Some("application/scim+json");
    for (body, says) in [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[]", "not a JSON object"),
        ("{\"schemas\":[\"x\"],\"schemas\":[]}", "stands twice"),
        ("{\"userName\":\"zoe\"}", "`schemas` does not name"),
    ] {
        let reply = send(post(scim, body)).await;
        assert!(reply.is_error(400, Some("invalidSyntax"), "").contains(says), "{body}: {reply:?}");
    }
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonx")] {
        send(post(kind, user("zoe").to_string())).await.is_error(415, None, "the body is not said to be");
    }
    let mut encoded = post(scim, user("zoe").to_string());
    encoded.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    send(encoded).await.is_error(415, None, "the body is encoded");
    send(post(scim, vec![b' '; 64 * 1024 + 1])).await.is_error(413, None, "the body is over 65536 bytes");
    for key in ["7", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", ""] {
        let mut keyed = post(scim, user("zoe").to_string());
        keyed.headers_mut().insert("idempotency-key", key.parse().unwrap());
        send(keyed).await.is_error(400, Some("invalidValue"), "`Idempotency-Key`");
    }
    assert_eq!(broker.running().engine().sequence(), before, "nothing of it reached the journal");
}

#[tokio::test]
async fn values_that_mean_nobody_are_refused() {
    let broker = Broker::start();
    let before = broker.running().engine().sequence();
    let with = |key: &str, value: Value| {
        let mut user = user("zoe");
        user[key] = value;
        user
    };
    for (body, scim_type, says) in [
        (json!({ "schemas": [CORE] }), "invalidValue", "`externalId`: missing"),
        (user("Zoe"), "invalidValue", "`userName`: `Zoe` is not a person's id"),
        (user("zoe@northwind.example"), "invalidValue", "`userName`"),
        (with("externalId", "zoe\u{0}".into()), "invalidValue", "`externalId`"),
        (with("externalId", 7.into()), "invalidValue", "`externalId`: a text is wanted"),
        (with("active", "perhaps".into()), "invalidValue", "`active`"),
        (with("active", false.into()), "invalidValue", "a user is created by joining"),
        (with("roles", json!(["admin"])), "invalidValue", "`roles` is not given over SCIM"),
        (with("entitlements", json!([{ "value": "x" }])), "invalidValue", "`entitlements` is not given over SCIM"),
        (
            with("activ", true.into()),
            "invalidPath",
            "`activ`: no such attribute of a user; what is read here is called `active`",
        ),
        (with("Active ", true.into()), "invalidPath", "`Active `: no such attribute"),
        (with("mangaer", "ines".into()), "invalidPath", "what is read here is called `manager`"),
        (with("enabled", false.into()), "invalidPath", "what is read here is called `active`"),
        (with("role", "admin".into()), "invalidPath", "what is read here is called `roles`"),
        (with(ENTERPRISE, json!({ "mangaer": "ines" })), "invalidPath", "what is read here is called `manager`"),
        (with("urn:example:User", json!({ "manager": "ines" })), "invalidPath", "`manager` is read in `urn:ietf"),
        (with(&ENTERPRISE.replace("2.0", "1.0"), json!({ "manager": "ines" })), "invalidPath", "nearly called so"),
        (with(OWN, json!({ "logins": ["zoe"] })), "invalidValue", "`logins`: `zoe` is not a SPIFFE ID"),
        (with(OWN, json!([])), "invalidValue", "an object is wanted"),
        (with(ENTERPRISE, json!({ "manager": { "value": "I N" } })), "invalidValue", "`manager`"),
        (with(ENTERPRISE, json!({ "manager": ["ines", "omar"] })), "invalidValue", "one manager"),
    ] {
        let reply = broker.hr(Method::POST, USERS, Some(body.clone())).await;
        assert!(reply.is_error(400, Some(scim_type), "").contains(says), "{body}: {reply:?}");
    }
    for filter in ["userName%20co%20%22a%22", "active%20eq%20true", "userName%20eq%20ana", ""] {
        let reply = broker.get(&format!("{USERS}?filter={filter}")).await;
        reply.is_error(400, Some("invalidFilter"), "");
    }
    broker.get(&format!("{USERS}?count=many")).await.is_error(400, Some("invalidValue"), "`count`");
    assert_eq!(broker.running().engine().sequence(), before, "nothing of it reached the journal");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let broker = Broker::start();
    let patch = json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "active", "value": false }] });
    for (method, body) in
        [(Method::GET, None), (Method::DELETE, None), (Method::PUT, Some(user("zoe"))), (Method::PATCH, Some(patch))]
    {
        for id in ["zoe", "Ana", "an%2561", "ana%2f", "a..%20", "%ff"] {
            let reply = broker.hr(method.clone(), &format!("{USERS}/{id}"), body.clone()).await;
            reply.is_error(404, None, "NOT_FOUND: ");
        }
    }
    for path in ["/", "/scim/v2/Groups", "/scim/v2/Users/ana/x", "/scim/v1/Users", "/scim/v2/Schemas/x"] {
        broker.get(path).await.is_error(404, None, "nothing is here");
    }
    broker.hr(Method::PUT, USERS, Some(user("zoe"))).await.is_error(405, None, "no such method");
    broker.hr(Method::POST, "/scim/v2/Users/ana", Some(user("ana"))).await.is_error(405, None, "no such method");
}

#[tokio::test]
async fn an_id_never_changes() {
    let broker = Broker::start();
    let path = format!("{USERS}/ana");
    for body in [json!({ "schemas": [CORE], "externalId": "ben" }), json!({ "schemas": [CORE], "id": "ben" })] {
        let reply = broker.hr(Method::PUT, &path, Some(body)).await;
        reply.is_error(400, Some("mutability"), "`ben` is said of `ana`");
    }
    let reply = broker.patch("ana", json!([{ "op": "replace", "path": "externalId", "value": "ben" }])).await;
    reply.is_error(400, Some("mutability"), "`ben` is said of `ana`");
    assert!(broker.hr_events().is_empty());
}
