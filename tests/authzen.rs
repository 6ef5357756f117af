//! AuthZEN Authorization API 1.0 over real mTLS on a real listener: what a gateway sends, what it is answered, and all that
//! is refused (known failures D4, D10, D11, F10 and G14; invariant 7).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::arithmetic_side_effects, unreachable_pub, dead_code, reason = "tests")]

mod common;
#[path = "scim/harness.rs"]
mod harness;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/person.rs"]
mod person;

use countersign::server::metrics::Call;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, Request};

use crate::harness::Broker;
use crate::organisation::identity;
use crate::person::{ORDERS, repair};

const ONE: &str = "/access/v1/evaluation";
const MANY: &str = "/access/v1/evaluations";

struct Said {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Said {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(
            (self.status, &self.headers["content-type"]),
            (200, &"application/json".parse().unwrap()),
            "{}",
            self.text
        );
        serde_json::from_str(&self.text).unwrap()
    }

    #[track_caller]
    fn is_error(&self, status: u16, reason: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(self.text.starts_with(reason), "{}", self.text);
        assert_eq!(self.headers["content-type"], "text/plain; charset=utf-8");
        for word in ["Option", "Some(", "Err(", "::", "struct", "serde"] {
            assert!(!self.text.contains(word), "{}", self.text);
        }
    }
}

async fn send(broker: &Broker, name: &str, request: Request<Bytes>) -> Said {
    let stream = broker.raw(Some(&broker.organisation.leaf(name)), &["http/1.1"]).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (parts, body) = sender.send_request(request.map(Full::new)).await.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Said { status: parts.status.as_u16(), headers: parts.headers, text }
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let request = Request::post(path).header("host", "pdp.northwind.example:7444").header("x-request-id", "id \"7\"");
    request.header("content-type", "application/json").body(body.into()).unwrap()
}

async fn ask(broker: &Broker, name: &str, path: &str, body: &Value) -> Said {
    let said = send(broker, name, post(path, body.to_string())).await;
    assert_eq!(said.headers["x-request-id"], "id \"7\"", "{}", said.text);
    said
}

fn question(subject: &str, action: &str, resource: &str) -> Value {
    json!({
        "subject": { "type": "account", "id": subject },
        "action": { "name": action },
        "resource": { "type": "resource", "id": resource },
    })
}

#[tokio::test]
async fn a_decision_is_the_checks_and_nothing_else_that_is_sent_has_an_effect() {
    // given a grant of ana's
    let broker = Broker::start();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    let grant = ana.granted(repair(), &ben).await;
    // when an enforcement point asks, then the decision is true, with the grant and its end
    let yes = ask(&broker, "orders-api", ONE, &question("ana", "db.read", ORDERS)).await.json();
    let end = crate::person::millis(grant.end_time.as_ref());
    assert_eq!((&yes["decision"], &yes["context"]["reason"]), (&json!(true), &json!("GRANTED")));
    assert_eq!(yes["context"]["grant_id"], grant.id);
    let until = chrono::DateTime::parse_from_rfc3339(yes["context"]["valid_until"].as_str().unwrap()).unwrap();
    assert_eq!(until.timestamp_millis(), end);
    // and by her certificate's identity the same
    let mut by_identity = question("", "db.read", ORDERS);
    by_identity["subject"] = json!({ "type": "spiffe", "id": identity("ana") });
    assert_eq!(ask(&broker, "orders-api", ONE, &by_identity).await.json()["decision"], true);
    // when a denied question comes with everything that a client may make up, then it is denied all the same
    for (asked, reason) in [
        (question("ana", "db.write", ORDERS), "NO_GRANT"),
        (question("dan", "db.read", ORDERS), "NO_GRANT"),
        (question("ana", "db.read", "prod/eu/db/payments/primary"), "OUT_OF_AUDIENCE"),
    ] {
        let mut dressed = asked.clone();
        dressed["context"] =
            json!({ "time": "2020-01-01T00:00:00Z", "subject": "ana", "decision": true, "grant_id": grant.id });
        dressed["subject"]["properties"] = json!({ "id": "ana", "roles": ["db-engineer"], "audience": ["**"] });
        dressed["action"]["properties"] = json!({ "name": "db.read" });
        dressed["resource"]["properties"] = json!({ "id": ORDERS });
        dressed["decision"] = json!(true);
        dressed["now"] = json!(0);
        for asked in [asked, dressed] {
            let no = ask(&broker, "orders-api", ONE, &asked).await.json();
            assert_eq!((&no["decision"], &no["context"]["reason"]), (&json!(false), &json!(reason)));
        }
    }
    // and no header makes somebody else of the caller: ben is no enforcement point
    let mut request = post(ONE, question("ana", "db.read", ORDERS).to_string());
    for name in ["x-forwarded-client-cert", "authorization", "x-spiffe-id"] {
        request.headers_mut().insert(name, identity("orders-api").parse().unwrap());
    }
    assert_eq!(send(&broker, "ben", request).await.json()["context"]["reason"], "OUT_OF_AUDIENCE");
    // when the grant is revoked, then the next decision is false
    ben.revoke(&grant.id).await.unwrap();
    assert_eq!(ask(&broker, "orders-api", ONE, &question("ana", "db.read", ORDERS)).await.json()["decision"], false);
    let call = Call { method: "authzen".to_owned(), code: "Ok".to_owned() };
    assert_eq!(broker.running().metrics().calls.get_or_create(&call).get(), 10);
}

#[tokio::test]
async fn several_are_decided_in_their_places_by_their_semantic() {
    let broker = Broker::start();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    ana.granted(repair(), &ben).await;
    // given defaults, one question that overrides them, one that is malformed
    let mut body = question("ana", "db.read", ORDERS);
    body["evaluations"] = json!([
        {},
        { "action": { "name": "db.write" } },
        { "resource": { "type": "resource", "id": "prod/../x" } },
        { "subject": { "type": "account", "id": "dan" } },
        { "resource": { "type": "resource", "id": ORDERS } },
    ]);
    let decide = async |semantic: Option<&str>| {
        let mut body = body.clone();
        if let Some(semantic) = semantic {
            body["options"] = json!({ "evaluations_semantic": semantic, "another_option": "value" });
        }
        let answer = ask(&broker, "orders-api", MANY, &body).await.json();
        assert!(answer.get("decision").is_none());
        let decisions = answer["evaluations"].as_array().unwrap().clone();
        decisions.iter().map(|one| one["decision"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(decide(None).await, [true, false, false, false, true]);
    assert_eq!(decide(Some("execute_all")).await, [true, false, false, false, true]);
    assert_eq!(decide(Some("deny_on_first_deny")).await, [true, false]);
    assert_eq!(decide(Some("permit_on_first_permit")).await, [true]);
    // and the malformed one says so, in its place
    let answer = ask(&broker, "orders-api", MANY, &body).await.json();
    assert_eq!(answer["evaluations"][2]["context"]["error"]["status"], 400);
    // without evaluations it is one question
    for none in [Value::Null, json!([])] {
        let mut single = question("ana", "db.read", ORDERS);
        if !none.is_null() {
            single["evaluations"] = none;
        }
        assert_eq!(ask(&broker, "orders-api", MANY, &single).await.json()["decision"], true);
    }
}

/// What a gateway asks of types that are its own, as the certification does, is a question like any other (known failure D17).
#[tokio::test]
async fn what_is_of_a_type_that_nobody_knows_is_denied() {
    let broker = Broker::start();
    let (ana, ben) = (broker.person("ana").await, broker.person("ben").await);
    ana.granted(repair(), &ben).await;
    let good = question("ana", "db.read", ORDERS);
    assert_eq!(ask(&broker, "orders-api", ONE, &good).await.json()["decision"], true);
    let with = |part: &str, value: Value| {
        let mut body = good.clone();
        body[part] = value;
        body
    };
    // given a question that would be allowed, when one of its types is another, then it is denied, and the answer says why
    let mut foreign = with("subject", json!({ "type": "user", "id": "alice@example.com" }));
    foreign["resource"] = json!({ "type": "record", "id": "Record 1" });
    foreign["action"] = json!({ "name": "can_read" });
    for (body, says) in [
        (with("subject", json!({ "type": "user", "id": "ana" })), "`subject.type`: `user`"),
        (with("subject", json!({ "type": "Account", "id": "ana" })), "`subject.type`: `Account`"),
        (with("subject", json!({ "type": "", "id": "" })), "`subject.type`"),
        (with("resource", json!({ "type": "record", "id": ORDERS })), "`resource.type`: `record`"),
        (with("resource", json!({ "type": "record", "id": "record-1" })), "`resource.type`: `record`"),
        (foreign, "`subject.type`: `user`"),
    ] {
        for path in [ONE, MANY] {
            let no = ask(&broker, "orders-api", path, &body).await.json();
            assert_eq!(no["decision"], false, "{body}");
            assert!(no["context"]["detail"].as_str().unwrap().starts_with(says), "{no}");
            assert!(["NO_GRANT", "OUT_OF_AUDIENCE"].contains(&no["context"]["reason"].as_str().unwrap()), "{no}");
        }
        // and of several it is one of them, in its place; what is empty is denied in its own
        let mut several = good.clone();
        several["evaluations"] = json!([{}, body, {}]);
        let answer = ask(&broker, "orders-api", MANY, &several).await.json();
        let decisions: Vec<_> =
            answer["evaluations"].as_array().unwrap().iter().map(|it| it["decision"].clone()).collect();
        assert_eq!(decisions, [true, false, true], "{answer}");
    }
    let lone = json!({ "subject": good["subject"], "action": good["action"], "evaluations": [
        { "resource": good["resource"] }, {}, { "resource": { "type": "record", "id": "1" } }] });
    let answer = ask(&broker, "orders-api", MANY, &lone).await.json();
    assert_eq!(answer["evaluations"][0]["decision"], true);
    assert_eq!(answer["evaluations"][1]["context"]["error"]["status"], 400, "{answer}");
    assert_eq!(answer["evaluations"][2]["decision"], false);
}

#[tokio::test]
async fn what_is_malformed_is_an_error_and_never_a_decision() {
    let broker = Broker::start();
    let good = question("ana", "db.read", ORDERS);
    let with = |part: &str, value: Value| {
        let mut body = good.clone();
        body[part] = value;
        body.to_string()
    };
    let deep = format!("{{\"subject\":{}", "[".repeat(30_000));
    let twice = good.to_string().replacen('{', "{\"subject\":{\"type\":\"account\",\"id\":\"ben\"},", 1);
    let mut bodies = vec![String::new(), "null".into(), "[]".into(), "{}".into(), "{} {}".into(), deep, twice];
    for part in ["subject", "action", "resource"] {
        bodies.extend([json!(null), json!("ana"), json!(7), json!([]), json!({})].map(|value| with(part, value)));
    }
    bodies.extend([
        with("subject", json!({ "type": "user" })),
        with("subject", json!({ "type": "user", "id": 7 })),
        with("subject", json!({ "type": 7, "id": "ana" })),
        with("resource", json!({ "type": "document" })),
        with("subject", json!({ "type": "account", "id": 7 })),
        with("subject", json!({ "type": "account", "id": "Ana" })),
        with("subject", json!({ "type": "account", "id": " ana" })),
        with("subject", json!({ "type": "account", "id": identity("ana") })),
        with("subject", json!({ "type": "spiffe", "id": "ana" })),
        with("subject", json!({ "type": "account", "id": "ana", "properties": "all" })),
        with("action", json!({ "name": "db.*" })),
        with("action", json!({ "name": true })),
        with("context", json!("now")),
    ]);
    for path in ["prod/eu/../x", "prod//x", "prod/eu/**", "prod/%65u", "/prod", "prod/", "prod/a;b", "prod/a\\b", ""] {
        bodies.push(with("resource", json!({ "type": "resource", "id": path })));
    }
    for body in bodies {
        for path in [ONE, MANY] {
            send(&broker, "orders-api", post(path, body.clone())).await.is_error(400, "INVALID_MESSAGE: ");
        }
    }
    for wrong in [
        with("evaluations", json!({})),
        with("evaluations", json!("all")),
        with("evaluations", json!(vec![json!({}); 129])),
        with("options", json!([])),
        with("options", json!({ "evaluations_semantic": "allow_all" })),
        with("options", json!({ "evaluations_semantic": 1 })),
    ] {
        send(&broker, "orders-api", post(MANY, wrong)).await.is_error(400, "INVALID_MESSAGE: ");
    }
    // by another method, or elsewhere
    let get =
        |path: &str| Request::get(path).header("host", "localhost").header("x-request-id", "s").body(Bytes::new());
    send(&broker, "orders-api", get(ONE).unwrap()).await.is_error(405, "INVALID_MESSAGE: ");
    for path in ["/access/v1/search/subject", "/access/v2/evaluation", "/access/"] {
        let nowhere = send(&broker, "orders-api", get(path).unwrap()).await;
        nowhere.is_error(404, "INVALID_MESSAGE: ");
        assert_eq!(nowhere.headers["x-request-id"], "s");
    }
    // who has no account is told so before anything of the body is looked at
    send(&broker, "pia", post(ONE, "{")).await.is_error(403, "NO_ACCOUNT: ");
    // what may be left out may be null, and keys in another case are others
    let mut sparse = with("context", json!({ "cn": 1, "CN": 2 }));
    for part in ["evaluations", "options"] {
        sparse = sparse.replacen('{', &format!("{{\"{part}\":null,"), 1);
    }
    sparse = sparse.replacen("\"name\"", "\"properties\":null,\"name\"", 1);
    for body in [sparse, with("context", json!(null))] {
        assert_eq!(send(&broker, "orders-api", post(MANY, body)).await.json()["decision"], false);
    }
    // and the broker goes on
    assert_eq!(ask(&broker, "orders-api", ONE, &good).await.json()["decision"], false);
}

#[tokio::test]
async fn what_is_too_large_or_not_said_to_be_json_is_an_error() {
    let broker = Broker::start();
    let good = question("ana", "db.read", ORDERS);
    let mut large = good.clone();
    large["context"] = json!({ "x": "x".repeat(70_000) });
    send(&broker, "orders-api", post(ONE, large.to_string())).await.is_error(413, "INVALID_MESSAGE: ");
    for (header, value, status) in [
        ("content-type", "text/plain", 400),
        ("content-type", "application/jsonx", 400),
        ("content-type", "application/x-www-form-urlencoded", 400),
        ("content-encoding", "gzip", 415),
    ] {
        for path in [ONE, MANY] {
            let mut other = post(path, good.to_string());
            other.headers_mut().insert(header, value.parse().unwrap());
            send(&broker, "orders-api", other).await.is_error(status, "INVALID_MESSAGE: ");
        }
    }
    let mut unsaid = post(ONE, good.to_string());
    unsaid.headers_mut().remove("content-type");
    send(&broker, "orders-api", unsaid).await.is_error(400, "INVALID_MESSAGE: ");
}

#[tokio::test]
async fn it_says_where_it_is_under_the_name_it_was_asked_by() {
    let broker = Broker::start();
    let asked = |host: &str| {
        let path = "/.well-known/authzen-configuration";
        Request::get(path).header("host", host).header("x-request-id", "q").body(Bytes::new()).unwrap()
    };
    let said = send(&broker, "orders-api", asked("pdp.northwind.example:7444")).await;
    assert_eq!(said.headers["x-request-id"], "q");
    let at = "https://pdp.northwind.example:7444";
    let expected = json!({
        "policy_decision_point": at,
        "access_evaluation_endpoint": format!("{at}{ONE}"),
        "access_evaluations_endpoint": format!("{at}{MANY}"),
    });
    assert_eq!(said.json(), expected);
    for host in ["a@b", "evil.example/x?", "a b", ""] {
        let said = send(&broker, "orders-api", asked(host)).await;
        assert_eq!(said.status, 400, "{host}: {}", said.text);
    }
}
